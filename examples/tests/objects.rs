//! The flights program with its input and its output in a bucket.
//!
//! The tests that need an S3 server take it from the environment: `AWS_ENDPOINT`, `AWS_ACCESS_KEY_ID` and
//! `AWS_SECRET_ACCESS_KEY`, and `AWS_ALLOW_HTTP=true` where it speaks plain HTTP. They use the bucket `test-bucket`.
//! Refusals come from a small server in `objects/refusing.rs`.

#![expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]
#![expect(clippy::print_stdout, reason = "a test that is left out is said")]

#[path = "objects/refusing.rs"]
mod refusing;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::SystemTime;

use futures_util::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, parse_url_opts};
use podpool_examples::flights::Out;
use refusing::Refusing;
use url::Url;

/// The real input.
const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data");
const TABLES: [&str; 3] = ["flights.csv.gz", "weather.csv.gz", "airlines.csv"];

const AIRLINES: &str = "carrier,name\nAA,American\n";
const WEATHER: &str = "origin,year,month,day,wind_speed,time_hour\n\
    EWR,2013,1,1,10.5,2013-01-01T10:00:00Z\n";
const FLIGHTS: &str = "year,month,day,dep_time,dep_delay,arr_delay,carrier,origin,distance,time_hour\n\
    2013,1,1,517,2,11,AA,EWR,1400,2013-01-01T10:00:00Z\n\
    2013,1,2,noon,2,11,AA,EWR,1400,2013-01-02T10:00:00Z\n";
const FIRST_DAY: &str = "carrier,name,flights,cancelled,mean_dep_delay,mean_arr_delay,distance,mean_wind_speed\n\
    AA,American,1,0,2.000,11.000,1400,10.500\n";

/// Whether there is a server; without one a test is left out, but not in CI.
fn server() -> bool {
    let there = std::env::var_os("AWS_ENDPOINT").is_some();
    let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(
        there || !ci,
        "AWS_ENDPOINT names no S3 server, and CI needs one"
    );
    if !there {
        println!("left out: AWS_ENDPOINT names no S3 server");
    }
    there
}

/// The program, which `cargo test` builds beside this one. A choice of targets may leave it as it was: then it would
/// be an older program that is tested.
fn flights() -> Command {
    let here = std::env::current_exe().unwrap();
    let program = here.ancestors().nth(2).unwrap().join("examples/flights");
    let built = program.metadata().and_then(|found| found.modified());
    assert!(
        built.is_ok_and(|built| built >= newest_source()),
        "{} is missing or older than its source: cargo build -p podpool-examples --features aws --example flights",
        program.display()
    );
    let mut command = Command::new(program);
    command.env_remove("PODPOOL_BACKEND").stdin(Stdio::null());
    command
}

/// When the program's own source was last changed.
fn newest_source() -> SystemTime {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut directories = vec![package.join("src")];
    let mut newest = std::fs::metadata(package.join("flights.rs"))
        .and_then(|found| found.modified())
        .unwrap();
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let found = entry.metadata().unwrap();
            if found.is_dir() {
                directories.push(entry.path());
            } else {
                newest = newest.max(found.modified().unwrap());
            }
        }
    }
    newest
}

/// Runs in a place of its own for temporary files, which must be empty afterwards.
fn run(command: &mut Command) -> Output {
    let temporary = tempfile::tempdir().unwrap();
    let output = command.env("TMPDIR", temporary.path()).output().unwrap();
    let left: Vec<_> = std::fs::read_dir(temporary.path()).unwrap().collect();
    assert!(left.is_empty(), "left behind: {left:?}");
    output
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn succeeded(output: &Output) {
    assert!(output.status.success(), "{}", errors(output));
}

/// The objects below one prefix of the server's bucket.
struct Below {
    url: String,
    store: Arc<dyn ObjectStore>,
    prefix: object_store::path::Path,
}

impl Below {
    /// A prefix that only this run of a test has.
    fn new(test: &str) -> Self {
        let number = std::process::id();
        let url = format!("s3://test-bucket/flights-{number}/{test}");
        // The test's own client needs a provider of TLS too. The call fails where another test has installed one.
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
        let settings = std::env::vars().filter(|(name, _)| name.starts_with("AWS_"));
        let (store, prefix) = parse_url_opts(&Url::parse(&url).unwrap(), settings).unwrap();
        Self {
            url,
            store: store.into(),
            prefix,
        }
    }

    fn place(&self, name: &str) -> String {
        format!("{}/{name}", self.url)
    }

    /// The names below the prefix, sorted.
    async fn names(&self) -> Vec<object_store::path::Path> {
        let listed = self.store.list(Some(&self.prefix));
        let found: Vec<_> = listed.try_collect().await.unwrap();
        let mut names: Vec<_> = found.into_iter().map(|found| found.location).collect();
        names.sort();
        names
    }

    async fn clear(self) {
        for name in self.names().await {
            self.store.delete(&name).await.unwrap();
        }
    }

    /// The files of a place with their bytes, sorted by name.
    async fn files(&self, place: &str) -> Vec<(String, Vec<u8>)> {
        let mut files = Vec::new();
        let place = self.prefix.clone().join(place);
        for name in self.names().await {
            if name.prefix_matches(&place) {
                let bytes = self.store.get(&name).await.unwrap().bytes().await.unwrap();
                files.push((name.filename().unwrap().to_owned(), bytes.to_vec()));
            }
        }
        files
    }
}

/// The files of a directory with their bytes, sorted by name.
fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
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

async fn upload(place: &str, files: &[(&str, Vec<u8>)]) {
    let place = Out::open(place).unwrap();
    for (name, bytes) in files {
        place.put(name, bytes.clone()).await.unwrap();
    }
}

#[tokio::test]
async fn a_year_from_bucket_to_bucket_is_the_year_from_directory_to_directory() {
    if !server() {
        return;
    }
    let below = Below::new("year");
    let data = TABLES.map(|name| (name, std::fs::read(Path::new(DATA).join(name)).unwrap()));
    upload(&below.place("in"), &data).await;
    succeeded(&run(flights()
        .args(["--workers", "2", "--backend", "local"])
        .args(["--input", &below.place("in")])
        .args(["--out", &below.place("out")])));
    let dir = tempfile::tempdir().unwrap();
    succeeded(&run(flights()
        .args(["--workers", "2", "--backend", "local"])
        .args(["--input", DATA, "--out"])
        .arg(dir.path())));
    let (wanted, found) = (files(dir.path()), below.files("out").await);
    assert_eq!(wanted.len(), 366);
    let names = |files: &[(String, Vec<u8>)]| -> Vec<_> {
        files.iter().map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(names(&found), names(&wanted));
    for (found, wanted) in found.iter().zip(&wanted) {
        assert!(found == wanted, "{} differs", wanted.0);
    }
    below.clear().await;
}

#[tokio::test]
async fn a_missing_file_ends_the_program_before_any_work() {
    if !server() {
        return;
    }
    let below = Below::new("missing");
    let (input, out) = (below.place("in"), below.place("out"));
    let flights_alone = ("flights.csv", FLIGHTS.as_bytes().to_vec());
    upload(&input, &[flights_alone]).await;
    let output = run(flights().args(["--input", &format!("{input}/"), "--out", &out]));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        errors(&output),
        format!("{input}/weather.csv: no such file, and no weather.csv.gz beside it\n")
    );
    assert!(below.files("out").await.is_empty());
    below.clear().await;
}

#[tokio::test]
async fn a_bad_row_is_named_by_its_url_and_fails_its_day_only() {
    if !server() {
        return;
    }
    let below = Below::new("bad");
    let (input, out) = (below.place("in"), below.place("out"));
    let tables = [
        ("flights.csv", FLIGHTS.as_bytes().to_vec()),
        ("weather.csv", WEATHER.as_bytes().to_vec()),
        ("airlines.csv", AIRLINES.as_bytes().to_vec()),
    ];
    upload(&input, &tables).await;
    let output = run(flights()
        .args(["--from", "2013-01-01", "--to", "2013-01-02"])
        .args(["--input", &input, "--out", &out]));
    assert_eq!(output.status.code(), Some(1));
    let line =
        format!("2013-01-02: {input}/flights.csv:3: dep_time \"noon\" is not a whole number\n");
    assert!(errors(&output).ends_with(&line), "{}", errors(&output));
    let written = below.files("out").await;
    assert_eq!(written.len(), 2);
    assert_eq!(written[0].1, FIRST_DAY.as_bytes());
    below.clear().await;
}

/// The program for one day, against a server of this file; the directory is its output.
fn first_day(server: &Refusing, out: &Path) -> Output {
    run(flights()
        .env("AWS_ENDPOINT", server.endpoint())
        .env("AWS_ALLOW_HTTP", "true")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .args(["--from", "2013-01-01", "--to", "2013-01-01"])
        .args(["--workers", "1", "--backend", "local"])
        .args(["--input", "s3://b/in", "--out"])
        .arg(out))
}

fn tables() -> Vec<(PathBuf, &'static str)> {
    let tables = [
        ("flights.csv.gz", FLIGHTS),
        ("weather.csv", WEATHER),
        ("airlines.csv", AIRLINES),
    ];
    let named = |(name, text)| (Path::new("/b/in").join(name), text);
    tables.map(named).to_vec()
}

#[test]
fn a_file_that_a_slot_is_refused_once_is_fetched_again() {
    // The first time is the check before any work, the second the first attempt of the day.
    let server = Refusing::new(tables(), "/b/in/flights.csv.gz", |time| time == 2);
    let out = tempfile::tempdir().unwrap();
    succeeded(&first_day(&server, out.path()));
    assert_eq!(server.asked(), 3);
    let day = std::fs::read_to_string(out.path().join("2013-01-01.csv")).unwrap();
    assert_eq!(day, FIRST_DAY);
}

#[test]
fn a_day_whose_file_stays_refused_fails_with_the_files_name() {
    let server = Refusing::new(tables(), "/b/in/flights.csv.gz", |time| time > 1);
    let out = tempfile::tempdir().unwrap();
    let output = first_day(&server, out.path());
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(server.asked(), 4);
    let errors = errors(&output);
    let last = errors.lines().last().unwrap();
    let begin = "2013-01-01: s3://b/in/flights.csv.gz: the file can't be fetched: ";
    assert!(last.starts_with(begin), "{errors}");
}

#[test]
fn a_refused_check_ends_the_program_in_one_line() {
    let server = Refusing::new(tables(), "/b/in/weather.csv", |_| true);
    let out = tempfile::tempdir().unwrap();
    let output = first_day(&server, out.path());
    assert_eq!(output.status.code(), Some(1));
    let errors = errors(&output);
    let begin = "s3://b/in/weather.csv: the file can't be fetched: ";
    assert!(errors.starts_with(begin), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(files(out.path()).is_empty());
}
