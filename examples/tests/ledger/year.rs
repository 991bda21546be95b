//! The year, with masters that are killed again and again until one of them ends it.
//!
//! `cargo test` does it once, with every tenth flight; `FLIGHTS_KILL_ROUNDS=5` does it five times, with all flights.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use podpool::ledger::{Ledger, Status};

use super::renames::Renames;
use super::{DATA, flights};

/// Days of the year.
const YEAR: usize = 365;
/// Slots of a master.
const SLOTS: usize = 2;
/// Most tasks of a batch: a share of what waits.
const BATCH: usize = YEAR.div_ceil(4 * SLOTS);
/// A master is killed when it has written so many days. In the short form each writes some, so that there are some ten
/// kills.
const DAYS: RangeInclusive<usize> = 1..=60;
const SHORT: RangeInclusive<usize> = 20..=60;
/// Kills that there must be at least, and at most: with more the year would make no progress.
const KILLS: (usize, usize) = (5, 60);
/// The variable that marks the processes of a test: slots inherit it from their master.
const MARK: &str = "FLIGHTS_OF_TEST";
/// The part of the flights that the short form keeps.
const PART: usize = 10;

#[test]
fn a_year_that_is_killed_again_and_again_is_the_year() {
    let scratch = tempfile::tempdir().unwrap();
    let rounds = std::env::var("FLIGHTS_KILL_ROUNDS").ok();
    let rounds = rounds.map(|rounds| rounds.parse::<u64>().unwrap());
    let (input, days) = match rounds {
        Some(_) => (PathBuf::from(DATA), DAYS),
        None => (thinned(scratch.path()), SHORT),
    };
    let whole = scratch.path().join("whole");
    let undisturbed = flights(&input, &whole).status().unwrap();
    assert!(undisturbed.success());
    let expected = entries(&whole);
    assert_eq!(expected.len(), YEAR + 1, "the days and the summary");
    for round in 0..rounds.unwrap_or(1) {
        let dir = scratch.path().join(format!("round-{round}"));
        fs::create_dir(&dir).unwrap();
        a_killed_year(&input, &dir, &expected, &days);
    }
}

/// One year in this directory.
fn a_killed_year(
    input: &Path,
    dir: &Path,
    expected: &BTreeMap<String, Vec<u8>>,
    days: &RangeInclusive<usize>,
) {
    let (out, ledger) = (dir.join("out"), dir.join("runs"));
    fs::create_dir(&out).unwrap();
    // As a slot leaves it that is killed while it writes.
    fs::write(out.join("2013-07-01.csv#1"), "half of a day").unwrap();
    let mut renames = Renames::of(&out);
    let (mut kills, seed) = (0, fastrand::u64(..));
    let mut random = fastrand::Rng::with_seed(seed);
    let printed = loop {
        let mut master = start(input, dir, &out, &ledger);
        let written = renames.count() + random.usize(days.clone());
        if !renames.until(written, &mut master) {
            break said(master);
        }
        // SIGKILL, unless it has ended in this moment: then `wait` says so.
        master.kill().unwrap();
        if master.wait().unwrap().code().is_some() {
            break said(master);
        }
        kills += 1;
        assert!(kills < KILLS.1, "seed {seed}: no progress");
        let done = entries(&out)
            .keys()
            .filter(|it| it.ends_with(".csv"))
            .count();
        println!("kill {kills}: {done} days of {YEAR} are written");
    };
    println!("seed {seed}: {kills} kills, {} executions", renames.count());
    assert!(kills >= KILLS.0, "{kills} kills in a year, seed {seed}");
    assert!(
        printed.contains("were stored by earlier starts"),
        "{printed}"
    );
    assert_eq!(
        &entries(&out),
        expected,
        "byte for byte, and nothing beside them"
    );
    let most = YEAR + kills * SLOTS * BATCH;
    assert!(renames.count() <= most, "{} of {most}", renames.count());
    is_whole(&ledger, kills);
    let left = processes(dir);
    assert!(left.is_empty(), "processes are left: {left:?}");
}

fn start(input: &Path, mark: &Path, out: &Path, ledger: &Path) -> Child {
    let mut command = flights(input, out);
    let command = command.env(MARK, mark).stderr(Stdio::piped());
    let command = command.args(["--run", "year-2013", "--ledger"]).arg(ledger);
    command.spawn().unwrap()
}

/// What a master that ended by itself has printed.
fn said(master: Child) -> String {
    let ended = master.wait_with_output().unwrap();
    let printed = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.success(), "{printed}");
    printed
}

/// The run is read, nobody holds it, each day has one result, and no file of a master is left.
fn is_whole(ledger: &Path, kills: usize) {
    // SQLite's log may stay beside a run: the next master takes it in. The lock of a master that has left may not.
    let names: Vec<_> = entries(ledger).into_keys().collect();
    let is_known = |name: &String| name.contains(".sqlite");
    assert!(names.iter().all(is_known), "{names:?}");
    let mut run = Ledger::open(ledger).run("year-2013").unwrap();
    let record = run.record().unwrap();
    let (last, killed) = record.masters.split_last().unwrap();
    assert!(!record.held && last.until.is_some(), "{record:?}");
    assert!(killed.iter().all(|it| it.until.is_none()), "{record:?}");
    assert_eq!(killed.len(), kills, "one epoch for each start");
    let mut days = BTreeMap::<_, usize>::new();
    for task in run.tasks().unwrap() {
        let done = usize::from(task.status == Status::Done);
        assert!(done == 1 || task.status == Status::Interrupted, "{task:?}");
        *days.entry(task.key.unwrap()).or_default() += done;
    }
    assert_eq!(days.len(), YEAR);
    assert!(days.values().all(|results| *results == 1), "{days:?}");
}

/// Every file of a directory, by name.
fn entries(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let read = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().unwrap();
        // A file that has got its name meanwhile has no bytes under the old one.
        (name, fs::read(entry.path()).unwrap_or_default())
    };
    entries.map(read).collect()
}

/// The processes that have the mark.
fn processes(mark: &Path) -> Vec<String> {
    let mark = format!("{MARK}={}", mark.display()).into_bytes();
    let has_mark = |environment: &[u8]| environment.split(|it| *it == 0).any(|it| it == mark);
    let all = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap());
    let marked = all.filter(|process| {
        // A process of another user, or one that has ended, has no environment for us.
        fs::read(process.path().join("environ")).is_ok_and(|it| has_mark(&it))
    });
    marked
        .map(|it| it.file_name().into_string().unwrap())
        .collect()
}

/// The same input with a part of the flights: a slot reads it at once.
fn thinned(scratch: &Path) -> PathBuf {
    let thin = scratch.join("input");
    fs::create_dir(&thin).unwrap();
    for name in ["airlines.csv", "weather.csv.gz"] {
        fs::copy(Path::new(DATA).join(name), thin.join(name)).unwrap();
    }
    let all = File::open(Path::new(DATA).join("flights.csv.gz")).unwrap();
    let lines = BufReader::new(GzDecoder::new(all)).lines();
    let part = File::create(thin.join("flights.csv.gz")).unwrap();
    let mut part = BufWriter::new(GzEncoder::new(part, Compression::fast()));
    // The first line names the columns.
    for line in lines.step_by(PART) {
        writeln!(part, "{}", line.unwrap()).unwrap();
    }
    part.into_inner().unwrap().finish().unwrap();
    thin
}
