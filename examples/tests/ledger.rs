//! The flights with a ledger: killed at any moment and started again, they do what is missing, and give the same files.

#![expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use podpool::ledger::{Ledger, Status};

/// Kills of the master.
const KILLS: usize = 6;
/// Days that a start must have added before it is killed.
const DAYS: usize = 25;
/// Days of the year.
const YEAR: usize = 365;
/// Most tasks that a map has under way: what a killed master leaves unended is no more.
const WINDOW: usize = 4096;
/// Longest time of one start.
const LIMIT: Duration = Duration::from_secs(120);

/// The program, which `cargo test` builds beside this one.
fn flights(out: &Path) -> Command {
    let here = std::env::current_exe().unwrap();
    let mut command = Command::new(here.ancestors().nth(2).unwrap().join("examples/flights"));
    command
        .env_remove("PODPOOL_BACKEND")
        .env_remove("PODPOOL_LEDGER")
        .args(["--workers", "2", "--input"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/data"))
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
fn a_year_that_is_killed_again_and_again_is_the_year() {
    let scratch = tempfile::tempdir().unwrap();
    let (whole, cut) = (scratch.path().join("whole"), scratch.path().join("cut"));
    let ledger = scratch.path().join("runs");
    assert!(flights(&whole).status().unwrap().success());
    let expected = files(&whole);
    assert!(expected.len() >= YEAR, "{}", expected.len());

    let start = |stderr: Stdio| {
        let mut command = flights(&cut);
        command
            .args(["--run", "year-2013", "--ledger"])
            .arg(&ledger);
        command.stderr(stderr).spawn().unwrap()
    };
    let mut kills = 0;
    for _ in 0..KILLS {
        let mut child = start(Stdio::null());
        let there = files(&cut).len();
        until(&mut child, &cut, there + DAYS);
        if child.try_wait().unwrap().is_some() {
            break;
        }
        // SIGKILL: nothing of the program runs any more.
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    }
    assert!(kills >= 3, "{kills} kills in a year");
    let last = start(Stdio::piped()).wait_with_output().unwrap();
    let printed = String::from_utf8_lossy(&last.stderr).into_owned();
    assert!(last.status.success(), "{printed}");
    assert!(
        printed.contains("were stored by earlier starts"),
        "{printed}"
    );
    assert_eq!(files(&cut), expected, "the same files, byte for byte");

    let mut run = Ledger::open(&ledger).run("year-2013").unwrap();
    let masters = run.record().unwrap().masters;
    assert_eq!(masters.len(), kills + 1, "one epoch for each start");
    let tasks = run.tasks().unwrap();
    let done = tasks.iter().filter(|it| it.status == Status::Done).count();
    assert_eq!(done, YEAR, "each day has one result");
    let others = tasks.iter().filter(|it| it.status != Status::Done);
    let interrupted = others.inspect(|it| assert_eq!(it.status, Status::Interrupted));
    assert!(interrupted.count() <= kills * WINDOW);
    for day in ["2013-01-01", "2013-12-31"] {
        let history = run.history(day).unwrap();
        assert_eq!(
            history.last().map(|it| it.status),
            Some(Status::Done),
            "{day}"
        );
    }
}

#[test]
fn a_second_start_is_told_who_has_the_run_and_a_finished_one_computes_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let (out, ledger) = (scratch.path().join("out"), scratch.path().join("runs"));
    let month = |out: &Path| {
        let mut command = flights(out);
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
