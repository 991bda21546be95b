//! The command line, and the plan that is made of the command line after all checks.

use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use clap::{Parser, ValueEnum};
use jiff::Zoned;

use super::airlines::Airlines;
use super::days::{BadRange, Days};
use super::files::{Files, InputError};
use super::input::Input;
use super::out::{Out, OutError};

/// Backfills the flights that left New York in 2013: one task per day, one CSV per day
#[derive(Clone, Debug, Parser)]
#[command(name = "flights", version)]
pub struct Arguments {
    /// Where the files go: a directory, or a URL such as s3://bucket/prefix (with the feature for it);
    /// pods keep no directory [default: a new directory under ./out, named by the time; with --run out/RUN]
    #[arg(long, value_name = "OUT")]
    pub out: Option<String>,
    /// Where flights.csv, weather.csv and airlines.csv are, each plain or .gz: a directory, or a URL as for --out
    /// [default: examples/data]
    #[arg(long, value_name = "IN")]
    pub input: Option<String>,
    /// The first day
    #[arg(long, value_name = "DATE", default_value = "2013-01-01")]
    pub from: String,
    /// The last day
    #[arg(long, value_name = "DATE", default_value = "2013-12-31")]
    pub to: String,
    /// How many tasks run at once [default: one for each processor]
    #[arg(long, value_name = "N")]
    pub workers: Option<NonZeroUsize>,
    /// Where the tasks run [default: as PODPOOL_BACKEND says, else local]
    #[arg(long, value_name = "NAME", value_enum)]
    pub backend: Option<BackendName>,
    /// The name of the run: started again with it, the program does only the days that are missing. Needs a ledger
    #[arg(long, value_name = "RUN")]
    pub run: Option<String>,
    /// Where the run is remembered: a directory; podpool must be built with its feature ledger
    /// [default: as PODPOOL_LEDGER says]
    #[arg(long, value_name = "DIR", requires = "run")]
    pub ledger: Option<PathBuf>,
}

/// What starts the workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BackendName {
    /// Child processes on this machine
    Local,
    /// Pods on a cluster; podpool must be built with its feature kubernetes
    Kubernetes,
}

/// The checked plan of a backfill.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The days.
    pub days: Days,
    /// The input: a directory or a URL.
    pub input: String,
    /// The airlines' names.
    pub airlines: Airlines,
    /// Where the files go, open.
    pub out: Out,
    /// How many tasks run at once.
    pub workers: usize,
    /// Where the tasks run, if the command line says.
    pub backend: Option<BackendName>,
    /// The run's name.
    pub run: Option<String>,
    /// Where the run is remembered.
    pub ledger: Option<PathBuf>,
}

/// Why nothing was started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The range of days makes no sense.
    #[error(transparent)]
    Range(#[from] BadRange),
    /// An input file is missing or can't be used.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The output can't be opened.
    #[error(transparent)]
    Out(#[from] OutError),
    /// No directory could be made for the output.
    #[error("{dir}: no directory can be made for the output: {source}; name another with --out")]
    NoOut {
        /// The directory.
        dir: String,
        /// Why.
        source: io::Error,
    },
}

impl StartError {
    /// The program's exit code: 2 when the command line is wrong, 1 for all else.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Range(_) => 2,
            Self::Input(_) | Self::Out(_) | Self::NoOut { .. } => 1,
        }
    }
}

impl Arguments {
    /// Checks everything that can be checked before any work, and opens the output. Of an input in a bucket it fetches
    /// the airlines, and of the other files what holds their headers.
    ///
    /// # Errors
    /// The first thing that is wrong, in one line. The output is opened last: nothing is made for nothing.
    pub async fn plan(self) -> Result<Plan, StartError> {
        let days = Days::parse(&self.from, &self.to)?;
        let input = self.input.unwrap_or_else(default_input);
        let files = Files::find_headers(&input).await?;
        let airlines = Input::check(&files).map_err(InputError::Fault)?;
        let out = match (self.out, &self.run) {
            (Some(name), _) => name,
            // The same for every start of the run: the days that are done are there.
            (None, Some(run)) => Path::new("out").join(run).display().to_string(),
            (None, None) => new_directory(Path::new("out"), &Zoned::now())?,
        };
        let workers = self.workers.or_else(|| available_parallelism().ok());
        Ok(Plan {
            days,
            input,
            airlines,
            out: Out::open(&out)?,
            workers: workers.map_or(1, NonZeroUsize::get),
            backend: self.backend,
            run: self.run,
            ledger: self.ledger,
        })
    }
}

/// The data in the repository: from its root by a short name, from elsewhere by the whole path.
fn default_input() -> String {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
    let below_here = std::env::current_dir()
        .ok()
        .and_then(|here| data.strip_prefix(here).ok().map(Path::to_owned));
    below_here.unwrap_or(data).display().to_string()
}

/// Makes a directory that wasn't there, so that two runs never share one.
fn new_directory(parent: &Path, now: &Zoned) -> Result<String, StartError> {
    let name = now.strftime("flights-%Y%m%d-%H%M%S").to_string();
    let failed = |dir: &Path, source| StartError::NoOut {
        dir: dir.display().to_string(),
        source,
    };
    std::fs::create_dir_all(parent).map_err(|error| failed(parent, error))?;
    let mut dir = parent.join(&name);
    for number in 2u64.. {
        match std::fs::create_dir(&dir) {
            Ok(()) => break,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                dir = parent.join(format!("{name}-{number}"));
            }
            Err(error) => return Err(failed(&dir, error)),
        }
    }
    Ok(dir.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(arguments: &[&str]) -> Arguments {
        Arguments::try_parse_from([&["flights"], arguments].concat()).unwrap()
    }

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
        let given = parse(&[
            "--out",
            "s3://b/x",
            "--input",
            "s3://b/in",
            "--from",
            "2013-02-01",
            "--to",
            "2013-02-02",
            "--workers",
            "3",
            "--backend",
            "local",
        ]);
        assert_eq!(given.out.as_deref(), Some("s3://b/x"));
        assert_eq!(given.input.as_deref(), Some("s3://b/in"));
        assert_eq!(given.workers.map(NonZeroUsize::get), Some(3));
        assert_eq!(given.backend, Some(BackendName::Local));
        assert!(Arguments::try_parse_from(["flights", "--workers", "0"]).is_err());
        let remembered = parse(&["--run", "year-2013", "--ledger", "runs"]);
        assert_eq!(remembered.run.as_deref(), Some("year-2013"));
        assert_eq!(remembered.ledger.as_deref(), Some(Path::new("runs")));
        assert!(Arguments::try_parse_from(["flights", "--ledger", "runs"]).is_err());
    }

    #[tokio::test]
    async fn the_defaults_are_the_year_and_the_data_in_the_repository() {
        let plan = parse(&[]).plan_into_temporary().await;
        assert_eq!(plan.days, Days::parse("2013-01-01", "2013-12-31").unwrap());
        assert_eq!(plan.airlines.name("AA"), "American Airlines Inc.");
        assert!(plan.input.ends_with("data"), "{}", plan.input);
        assert!(plan.workers >= 1);
    }

    impl Arguments {
        async fn plan_into_temporary(mut self) -> Plan {
            let dir = tempfile::tempdir().unwrap();
            self.out = Some(dir.path().display().to_string());
            self.plan().await.unwrap()
        }
    }

    #[tokio::test]
    async fn a_bad_range_is_usage_and_a_missing_file_is_not() {
        let range = parse(&["--from", "2014-01-01"]).plan().await.unwrap_err();
        assert_eq!(range.exit_code(), 2);
        let dir = tempfile::tempdir().unwrap();
        let empty = dir.path().to_str().unwrap();
        let error = parse(&["--input", empty]).plan().await.unwrap_err();
        assert_eq!(error.exit_code(), 1);
        let line = error.to_string();
        assert!(line.contains("flights.csv: no such file"), "{line}");
        assert_eq!(line.lines().count(), 1);
        let gone = format!("{empty}/gone");
        let error = parse(&["--input", &gone]).plan().await.unwrap_err();
        assert_eq!(error.to_string(), format!("{gone}: no such directory"));
    }

    #[test]
    fn two_runs_in_one_second_get_two_directories() {
        let dir = tempfile::tempdir().unwrap();
        let now: Zoned = "2026-11-21T10:15:00+00:00[UTC]".parse().unwrap();
        let name = |tail: &str| {
            let path = dir.path().join(format!("flights-20261121-101500{tail}"));
            path.display().to_string()
        };
        for tail in ["", "-2", "-3"] {
            assert_eq!(new_directory(dir.path(), &now).unwrap(), name(tail));
        }
    }
}
