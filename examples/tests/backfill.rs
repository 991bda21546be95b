//! The whole backfill, day after day in this process: the year's totals, repeated writes, a range that ends
//! outside the year, and an independent count by a program in another language.

#![expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]
#![expect(clippy::print_stdout, reason = "a comparison that is left out is said")]

use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use podpool_examples::flights::{CarrierSummary, Days, Out, Summary, Workshop, backfill};

/// The real input.
const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data");

/// One reading of the data serves every test of this file.
fn workshop() -> &'static Workshop {
    static WORKSHOP: LazyLock<Workshop> = LazyLock::new(Workshop::default);
    &WORKSHOP
}

/// An empty directory that stays after the test, so that a developer can read the files.
fn empty(name: &str) -> String {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if dir.exists() {
        std::fs::remove_dir_all(&dir).unwrap();
    }
    dir.display().to_string()
}

/// Runs the steps of the program without a pool.
async fn run(from: &str, to: &str, out: &str) -> Summary {
    let mut summary = Summary::default();
    for day in Days::parse(from, to).unwrap().iter() {
        let done = backfill(workshop(), day, DATA, out).await.unwrap();
        done.into_iter().for_each(|day| summary.add(day));
    }
    let json = summary.json().unwrap();
    Out::open(out)
        .unwrap()
        .put("summary.json", json)
        .await
        .unwrap();
    summary
}

/// Every file of a directory with its bytes, sorted by name.
fn files(dir: &str) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, std::fs::read(entry.path()).unwrap())
        })
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn the_year_agrees_with_counts_made_by_other_tools() {
    let out = empty("flights-year");
    let summary = run("2013-01-01", "2013-12-31", &out).await;
    // By sqlite3 on the uncompressed file: count(*), sum(dep_time = 'NA'), sum(distance), sum(arr_delay).
    let expected = CarrierSummary {
        flights: 336_776,
        cancelled: 8_255,
        distance: 350_217_607,
        arr_delay_sum: 2_257_174,
        arrivals: 327_346,
    };
    assert_eq!((summary.days, summary.all), (365, expected));
    assert_eq!(summary.carriers.len(), 16);
    assert_eq!(files(&out).len(), 366);
    agree_with_python(&out);
}

/// Every byte of every file, computed again by `check_flights.py`.
fn agree_with_python(out: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("check_flights.py");
    let checked = Command::new("python3")
        .arg(script)
        .arg(out)
        .arg("--input")
        .arg(DATA)
        .output();
    match checked {
        Ok(checked) => assert!(
            checked.status.success(),
            "{}{}",
            String::from_utf8_lossy(&checked.stdout),
            String::from_utf8_lossy(&checked.stderr)
        ),
        Err(error) => {
            println!("not compared with check_flights.py: python3: {error}");
            let must = std::env::var("CI").is_ok_and(|ci| ci == "true");
            assert!(!must, "CI=true: the comparison must not be left out");
        }
    }
}

#[tokio::test]
async fn a_second_run_leaves_the_same_files_and_nothing_else() {
    let out = empty("flights-twice");
    run("2013-06-30", "2013-07-01", &out).await;
    let first = files(&out);
    run("2013-06-30", "2013-07-01", &out).await;
    assert_eq!(files(&out), first);
    let names: Vec<_> = first.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["2013-06-30.csv", "2013-07-01.csv", "summary.json"]);
}

#[tokio::test]
async fn days_without_flights_write_no_file() {
    let out = empty("flights-edge");
    let summary = run("2013-12-31", "2014-01-02", &out).await;
    assert_eq!(summary.days, 1);
    let names: Vec<_> = files(&out).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["2013-12-31.csv", "summary.json"]);
}
