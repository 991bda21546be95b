//! A ledger on a disk that is full or read-only: a real file system of 1 MiB, mounted for the program alone.

#![cfg(all(feature = "ledger", target_os = "linux"))]
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]
#![expect(clippy::print_stdout, reason = "what is left out is said")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use podpool_tests::scratch::Scratch;

/// What a refusal names, so that another place can be chosen.
const SETTINGS: [&str; 2] = ["Builder::ledger", "PODPOOL_LEDGER"];

/// Mounts a small file system at `$2`, and becomes the program behind it.
const MOUNT: &str = r#"mount -t tmpfs -o "size=$1,mode=700" tmpfs "$2" && shift 2 && exec "$@""#;

/// A shell in a name space of its own, where it may mount: other processes do not see what it mounts, and it is gone with
/// it. Root needs no name space of users.
fn shell() -> Command {
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--mount", "--", "sh", "-c", MOUNT, "sh", "1m"]);
    command
}

/// Whether a test may mount. Where it may not, prints that, and fails where `CI=true`.
fn may_mount(disk: &Path) -> bool {
    let tried = shell().arg(disk).arg("true").output();
    let reason = match tried {
        Ok(tried) if tried.status.success() => return true,
        Ok(tried) => String::from_utf8_lossy(&tried.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    let ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(
        !ci,
        "CI=true leaves nothing out, and nothing can be mounted: {reason}"
    );
    println!("left out: nothing can be mounted: {reason}");
    false
}

/// What the program printed: its lines, and what a user read on standard error.
struct Told {
    lines: Vec<String>,
    errors: String,
}

impl Told {
    /// What follows this word on the only line that begins with it.
    fn one(&self, word: &str) -> &str {
        match self.all(word)[..] {
            [one] => one,
            ref others => panic!("{word}: {others:?} of {:?}", self.lines),
        }
    }

    fn all(&self, word: &str) -> Vec<&str> {
        let lines = self.lines.iter();
        let rest = lines.filter_map(|line| line.strip_prefix(word)?.strip_prefix(' '));
        rest.collect()
    }
}

/// Runs a part of the program on a disk of its own; none where that cannot be made.
fn told(part: &str) -> Option<Told> {
    let scratch = Scratch::new();
    let disk = scratch.path().join("disk");
    fs::create_dir(&disk).unwrap();
    if !may_mount(&disk) {
        return None;
    }
    let mut program = shell();
    program.arg(&disk).arg(env!("CARGO_BIN_EXE_ledger-disk"));
    let ended = program.arg(part).arg(&disk).stdin(Stdio::null()).output();
    let ended = ended.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (output, errors) = (text(&ended.stdout), text(&ended.stderr));
    assert!(ended.status.success(), "{part}: {output}{errors}");
    let lines = output.lines().map(str::to_owned).collect();
    Some(Told { lines, errors })
}

/// Whether a text has all of these words.
#[track_caller]
fn says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is missing: {text}");
    }
}

#[test]
fn results_wait_for_a_full_disk_and_the_user_is_told() {
    let Some(told) = told("full") else { return };
    assert_eq!(told.one("waits"), "true");
    assert_eq!(told.one("sum"), (2..50).sum::<u64>().to_string());
    assert_eq!(told.one("ended"), "Ok(())");
    assert_eq!(told.one("tasks"), "49 done 49");
    says(
        &told.errors,
        &[
            "the ledger stores nothing at present",
            "is full",
            "runs/nightly-",
            "the ledger answers again",
        ],
    );
}

#[test]
fn a_disk_that_stays_full_ends_the_pool_and_the_next_start_does_what_is_missing() {
    let Some(told) = told("lasts") else { return };
    says(
        told.one("task"),
        &[
            "PoolBroken",
            "the ledger failed",
            "is full",
            "runs/nightly-",
        ],
    );
    let [broken, ended] = told.all("ended")[..] else {
        panic!("{:?}", told.lines);
    };
    says(broken, &["the ledger failed", "is full", "runs/nightly-"]);
    assert_eq!(ended, "Ok(())");
    assert_eq!((told.one("again"), told.one("stored")), ("1 2", "1"));
    let tasks = told.one("tasks");
    assert!(tasks.ends_with("done 2"), "{tasks}");
}

#[test]
fn a_pool_on_a_full_disk_is_refused_and_leaves_nothing_in_the_way() {
    let Some(told) = told("starts") else { return };
    let words = ["cannot write", "/runs/", "has room", "is full"];
    says(told.one("refused"), &[&words[..], &SETTINGS].concat());
    assert_eq!(told.one("first"), "1");
    assert_eq!(told.one("tasks"), "1 done 1");
}

#[test]
fn a_pool_on_a_read_only_disk_is_refused_and_its_run_is_there_afterwards() {
    let Some(told) = told("read-only") else {
        return;
    };
    let [first, second] = told.all("refused")[..] else {
        panic!("{:?}", told.lines);
    };
    for refusal in [first, second] {
        let words = ["cannot", "/runs", "can be written"];
        says(refusal, &[&words[..], &SETTINGS].concat());
    }
    // It cannot be read there either, and the error tells how.
    says(told.one("read"), &["cannot read", "copy the directory"]);
    assert_eq!((told.one("again"), told.one("stored")), ("1", "1"));
    assert_eq!(told.one("tasks"), "1 done 1");
}
