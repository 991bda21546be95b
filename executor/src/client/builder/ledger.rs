//! The run's ledger: opened before anything of the run is made.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use podpool_core::ledger::{Ledger, Master, Opening, Which};
use podpool_core::queue::refusals::BROKER_TIMEOUT;

use crate::error::BuildError;
use crate::error::ledger::unopened;
use crate::master::ledger::{self, OpenedRun};

use super::{Builder, setting};

/// The variable for the ledger's directory.
const LEDGER: &str = "PODPOOL_LEDGER";

/// A run that is to be opened.
pub(super) struct Wanted {
    ledger: Arc<dyn Ledger>,
    opening: Opening,
    patience: Duration,
}

impl Wanted {
    /// Opens the run. Last, when every setting has been checked: it makes this process the run's master.
    pub(super) async fn open(self) -> Result<OpenedRun, BuildError> {
        let opened = ledger::open(self.ledger, self.opening, self.patience).await;
        opened.map_err(unopened)
    }
}

impl Builder {
    /// Where the run is remembered: a directory on a disk of this machine, made if it does not exist. The run needs a
    /// [name](Self::run). Started again with it, the program does what is missing: a call whose task is done resolves to
    /// the stored result at once; one whose task failed, was cancelled or had not ended runs. Default: `PODPOOL_LEDGER`,
    /// else nothing is remembered. Needs the feature `ledger`.
    ///
    /// A call is the same task as an earlier one by its [key](podpool_core::task::Call::key), or without a key by its
    /// task and its arguments; of equal calls the first is the first, and so on. Arguments with a map need a key. A stored
    /// result of another `version` or shape is computed anew.
    pub fn ledger(mut self, directory: impl Into<PathBuf>) -> Self {
        self.ledger = Some(directory.into());
        self
    }

    /// Takes the run from a master that lives: that one ends with [`Superseded`](crate::error::ShutdownError::Superseded),
    /// even if it was stopped meanwhile. Default: `build()` refuses, and tells who has the run since when.
    pub const fn take_over(mut self, take_over: bool) -> Self {
        self.take_over = take_over;
        self
    }

    /// The run as its ledger has it, if it has one. Nothing is opened.
    pub(super) fn wanted_run(&mut self) -> Result<Option<Wanted>, BuildError> {
        let name = self.run_name()?;
        let place = match (self.hooks.ledger.take(), self.ledger.take()) {
            (Some(ledger), _) => Place::Given(ledger),
            (None, Some(directory)) => Place::Directory(directory, "ledger"),
            // The variable counts for a whole shell: runs without a name are not remembered.
            (None, None) => match variable().filter(|_| name.is_some()) {
                Some(directory) => Place::Directory(directory.into(), LEDGER),
                None if self.take_over => {
                    let reason = "only a run in a ledger can be taken over; name one by `Builder::ledger`, and the run by `Builder::run`";
                    return Err(setting("take_over", true, reason));
                }
                None => return Ok(None),
            },
        };
        let Some(name) = name else {
            let reason =
                "only a run with a name can be picked up again; give it one by `Builder::run`";
            return Err(setting(place.setting(), place.shown(), reason));
        };
        let patience = self.hooks.broker_timeout.unwrap_or(BROKER_TIMEOUT);
        let fresh = self.run_id(Some(&name));
        Ok(Some(Wanted {
            ledger: place.open()?,
            opening: Opening {
                which: Which::Named {
                    name,
                    fresh,
                    mac_key: super::run_key::fresh_key()?,
                },
                master: this_master(),
                take_over: self.take_over,
                now: now(),
            },
            patience,
        }))
    }

    /// Refuses a ledger, where it would have no effect.
    #[cfg(feature = "kubernetes")]
    pub(super) fn refuse_ledger(&self, reason: &str) -> Result<(), BuildError> {
        let named = self.run_name()?.is_some();
        match (&self.ledger, variable().filter(|_| named)) {
            (Some(directory), _) => Err(setting("ledger", directory.display(), reason)),
            (None, Some(directory)) => {
                Err(setting(LEDGER, PathBuf::from(directory).display(), reason))
            }
            (None, None) => Ok(()),
        }
    }
}

fn variable() -> Option<OsString> {
    std::env::var_os(LEDGER).filter(|value| !value.is_empty())
}

/// Where runs are remembered.
enum Place {
    Given(Arc<dyn Ledger>),
    Directory(PathBuf, &'static str),
}

impl Place {
    const fn setting(&self) -> &'static str {
        match self {
            Self::Given(_) => "ledger",
            Self::Directory(_, setting) => setting,
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Given(ledger) => format!("{ledger:?}"),
            Self::Directory(directory, _) => directory.display().to_string(),
        }
    }

    fn open(self) -> Result<Arc<dyn Ledger>, BuildError> {
        match self {
            Self::Given(ledger) => Ok(ledger),
            Self::Directory(directory, _) => in_directory(&directory),
        }
    }
}

#[cfg(feature = "ledger")]
#[expect(
    clippy::unnecessary_wraps,
    reason = "without the feature it is an error"
)]
fn in_directory(directory: &Path) -> Result<Arc<dyn Ledger>, BuildError> {
    Ok(Arc::new(crate::ledger::SqliteLedger::new(directory)))
}

#[cfg(not(feature = "ledger"))]
fn in_directory(_: &Path) -> Result<Arc<dyn Ledger>, BuildError> {
    Err(BuildError::FeatureMissing {
        backend: "ledger".to_owned(),
        feature: "ledger",
    })
}

/// This process, as others are told of it.
fn this_master() -> Master {
    let program = std::env::current_exe().ok();
    let program =
        program.and_then(|path| path.file_name().map(|it| it.to_string_lossy().into_owned()));
    Master {
        host: host(),
        pid: std::process::id(),
        user: std::env::var("USER").unwrap_or_default(),
        program: program.unwrap_or_default(),
        build: String::new(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

fn host() -> String {
    #[cfg(unix)]
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    #[cfg(not(unix))]
    let host = std::env::var("COMPUTERNAME").unwrap_or_default();
    host
}

#[expect(
    clippy::disallowed_methods,
    reason = "people are told, days later, since when a master has a run"
)]
fn now() -> SystemTime {
    SystemTime::now()
}
