//! The flights with a ledger: killed at any moment and started again, they do what is missing, and give the same files.

#![expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]
#![cfg_attr(
    target_os = "linux",
    expect(
        clippy::print_stdout,
        reason = "how often masters were killed is shown where a test fails"
    )
)]

#[cfg(target_os = "linux")]
#[path = "ledger/renames.rs"]
mod renames;
#[cfg(target_os = "linux")]
#[path = "ledger/year.rs"]
mod year;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The real input.
const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data");
/// Longest time of one start.
const LIMIT: Duration = Duration::from_secs(120);

/// The program, which `cargo test` builds beside this one.
fn flights(input: &Path, out: &Path) -> Command {
    let here = std::env::current_exe().unwrap();
    let mut command = Command::new(here.ancestors().nth(2).unwrap().join("examples/flights"));
    command
        .env_remove("PODPOOL_BACKEND")
        .env_remove("PODPOOL_LEDGER")
        .args(["--workers", "2", "--input"])
        .arg(input)
        .arg("--out")
        .arg(out)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// The files of a directory, by name. A temporary file of a killed slot is none.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return BTreeMap::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    let whole = paths.filter(|path| {
        path.extension()
            .is_some_and(|it| it == "csv" || it == "json")
    });
    let read = |path: PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, std::fs::read(path).unwrap_or_default())
    };
    whole.map(read).collect()
}

/// Waits until the program has ended, or so many files are there.
#[expect(
    clippy::disallowed_methods,
    reason = "a directory sends no event that std could wait for"
)]
fn until(child: &mut Child, out: &Path, count: usize) {
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() && files(out).len() < count {
        assert!(
            began.elapsed() < LIMIT,
            "{} files after {LIMIT:?}",
            files(out).len()
        );
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_second_start_is_told_who_has_the_run_and_a_finished_one_computes_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let (out, ledger) = (scratch.path().join("out"), scratch.path().join("runs"));
    let month = |out: &Path| {
        let mut command = flights(Path::new(DATA), out);
        command.args([
            "--from",
            "2013-01-01",
            "--to",
            "2013-01-31",
            "--run",
            "january",
            "--ledger",
        ]);
        command.arg(&ledger).stderr(Stdio::piped());
        command
    };
    let mut first = month(&out).spawn().unwrap();
    until(&mut first, &out, 1);
    let second = month(&out).output().unwrap();
    let refusal = String::from_utf8_lossy(&second.stderr).into_owned();
    // The first may have ended meanwhile: then the second finds all that it did.
    if !second.status.success() {
        assert!(refusal.contains(&first.id().to_string()), "{refusal}");
    }
    let first = first.wait_with_output().unwrap();
    assert!(first.status.success(), "{first:?}");
    let before = files(&out);
    let third = month(&out).output().unwrap();
    let printed = String::from_utf8_lossy(&third.stderr).into_owned();
    assert!(third.status.success(), "{printed}");
    assert!(printed.contains("31 of 31 days were stored"), "{printed}");
    assert_eq!(files(&out), before);
}
