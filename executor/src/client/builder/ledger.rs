//! The run's ledger: opened before anything of the run is made.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::select;
use podpool_core::id::{RunName, TaskId};
use podpool_core::ledger::{Durability, Ledger, Opening, Which};
use podpool_core::queue::refusals::BROKER_TIMEOUT;

use crate::client::join::{self, Run};
use crate::deadline::Deadline;
use crate::error::BuildError;
use crate::error::ledger::unopened;
use crate::master::handle::Handle;
use crate::master::ledger::{self, OpenedRun, Terms};
use crate::process::this_process;

use super::{Builder, setting};

/// The variable for the ledger's directory.
pub(super) const LEDGER: &str = "PODPOOL_LEDGER";
/// The variable for what its commits survive.
const DURABILITY: &str = "PODPOOL_LEDGER_DURABILITY";

/// How long a run may take to be free again when its executor could not start.
const FREED: Duration = Duration::from_secs(10);

/// A run that is to be opened.
pub(super) struct Wanted {
    ledger: Arc<dyn Ledger>,
    opening: Opening,
    /// The name or id of a run that must exist; else the opening names it.
    attached: Option<String>,
    patience: Duration,
}

impl Wanted {
    /// The ledger, and the name or id of the run in it. Nothing is opened.
    pub(super) fn seen(self) -> (Arc<dyn Ledger>, String, bool) {
        let name = match self.opening.which {
            Which::Named { name, .. } => name.to_string(),
            _ => String::new(),
        };
        (
            self.ledger,
            self.attached.unwrap_or(name),
            self.opening.take_over,
        )
    }

    async fn open(self, adopts: bool) -> Result<OpenedRun, BuildError> {
        let terms = Terms {
            opening: self.opening,
            attached: self.attached,
            patience: self.patience,
            adopts,
        };
        let opened = ledger::open(self.ledger, terms).await;
        opened.map_err(unopened)
    }
}

/// Starts a run. One that is remembered is opened first, when every setting has been checked: that makes this process
/// the run's master.
pub(super) async fn start(mut run: Run, wanted: Option<Wanted>) -> Result<Handle, BuildError> {
    run.settings.outlives = run.elsewhere.as_ref().is_some_and(|it| it.outlives);
    let mut freed = None;
    if let Some(mut wanted) = wanted {
        wanted.opening.master.settings.extend(shown(&run));
        // Workers elsewhere, and queues, outlive a master.
        let mut opened = wanted.open(run.elsewhere.is_some()).await?;
        let settings = &mut run.settings;
        settings.run = opened.run.clone();
        settings.name = Some(opened.name.clone());
        settings.first_task = TaskId(opened.memory.next());
        settings.ledger = Some(opened.ledger.clone());
        if let Some(elsewhere) = &mut run.elsewhere {
            // The key of the earlier masters: workers that live verify messages with it, and know no other.
            (elsewhere.key, elsewhere.epoch) = (opened.mac_key, opened.epoch);
        }
        freed = opened.ended.take();
        run.ledger = Some(opened);
    }
    let started = join::start(run).await;
    if let (Err(_), Some(freed)) = (&started, freed) {
        // So that another try finds the run free.
        select(freed, Deadline::after(FREED)).await;
    }
    started
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

    /// What a commit of the ledger survives. A kill of this program loses nothing at either setting; a loss of power loses
    /// nothing with [`Full`](Durability::Full), and with [`Normal`](Durability::Normal) it may take the last commits: the
    /// tasks of those run again, although the program may have had their results. Counts where the ledger is a directory.
    /// Default: `PODPOOL_LEDGER_DURABILITY`, else `Full`.
    ///
    /// ```
    /// # use podpool::PodPoolExecutor;
    /// use podpool::options::Durability;
    ///
    /// let pool = PodPoolExecutor::builder().ledger_durability(Durability::Normal);
    /// # drop(pool);
    /// ```
    pub const fn ledger_durability(mut self, durability: Durability) -> Self {
        self.durability = Some(durability);
        self
    }

    /// Takes the run from a master that lives: that one ends with [`Superseded`](crate::error::ShutdownError::Superseded),
    /// even if it was stopped meanwhile. Default: `build()` refuses, and tells who has the run since when.
    pub const fn take_over(mut self, take_over: bool) -> Self {
        self.take_over = take_over;
        self
    }

    /// Picks up a run that exists, by its name or its id, as its next master; `build()` refuses one that the
    /// [ledger](Self::ledger) does not have. In place of [`run`](Self::run), which makes the run where there is none.
    ///
    /// On a cluster the run goes on: what runs there and what waits in its queues. Futures of its tasks are those of
    /// their calls, which join them, or of [`resume`](crate::PodPoolExecutor::resume), which needs no call;
    /// [`shutdown`](crate::PodPoolExecutor::shutdown) waits for all of them.
    ///
    /// ```no_run
    /// # use podpool::prelude::*;
    /// # async fn wait() -> Result<(), Box<dyn std::error::Error>> {
    /// let builder = PodPoolExecutor::builder().backend(podpool::Backend::Kubernetes);
    /// let pool = builder.ledger("ledger").attach("year-2013").build().await?;
    /// for future in pool.resume().await? {
    ///     println!("{:?}: {:?}", future.key(), future.await);
    /// }
    /// pool.shutdown().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn attach(mut self, run: impl Into<String>) -> Self {
        self.attached = Some(run.into());
        self
    }

    /// The name of the run, or what stands for it until the run is found.
    fn wanted_name(&self) -> Result<Option<RunName>, BuildError> {
        let name = self.run_name()?;
        match &self.attached {
            Some(run) if name.is_some() => {
                let reason = "it is for a run that exists, and `run` names one that may be made; use one of the two";
                Err(setting("attach", run, reason))
            }
            Some(run) if run.is_empty() => {
                Err(setting("attach", run, "give the name or the id of a run"))
            }
            _ => Ok(name),
        }
    }

    /// The run as its ledger has it, if it has one. Nothing is opened.
    pub(super) fn wanted_run(&mut self) -> Result<Option<Wanted>, BuildError> {
        let name = self.wanted_name()?;
        let attached = self.attached.take();
        let place = match (self.hooks.ledger.take(), self.ledger.take()) {
            (Some(ledger), _) => Place::Given(ledger),
            (None, Some(directory)) => Place::Directory(directory, "ledger"),
            // The variable counts for a whole shell: runs without a name are not remembered.
            (None, None) => match variable().filter(|_| name.is_some() || attached.is_some()) {
                Some(directory) => Place::Directory(directory.into(), LEDGER),
                None if attached.is_some() => {
                    let reason = "only a run in a ledger can be picked up; name one by `Builder::ledger` or PODPOOL_LEDGER";
                    let run = attached.unwrap_or_default();
                    return Err(setting("attach", run, reason));
                }
                None if self.take_over => {
                    let reason = "only a run in a ledger can be taken over; name one by `Builder::ledger`, and the run by `Builder::run`";
                    return Err(setting("take_over", true, reason));
                }
                None => return Ok(None),
            },
        };
        let mut master = this_process();
        let backend = self.chosen_backend()?.to_string();
        master.settings.push(("back-end".to_owned(), backend));
        let patience = self.hooks.broker_timeout.unwrap_or(BROKER_TIMEOUT);
        let fresh = self.run_id(name.as_ref());
        let which = match name {
            Some(name) => Which::Named {
                name,
                fresh,
                mac_key: super::run_key::fresh_key()?,
            },
            // Found when the ledger is read.
            None if attached.is_some() => Which::Existing(fresh),
            None => {
                let reason =
                    "only a run with a name can be picked up again; give it one by `Builder::run`";
                return Err(setting(place.setting(), place.shown(), reason));
            }
        };
        Ok(Some(Wanted {
            ledger: place.open(chosen(self.durability)?)?,
            attached,
            opening: Opening {
                which,
                master,
                take_over: self.take_over,
                now: now(),
            },
            patience,
        }))
    }
}

/// The settings of a run, as the ledger shows them to people and to who picks the run up.
fn shown(run: &Run) -> Vec<(String, String)> {
    let settings = &run.settings;
    let mut shown = vec![
        ("workers".to_owned(), run.workers.to_string()),
        (
            "slots per worker".to_owned(),
            settings.worker.slots.to_string(),
        ),
        ("grace".to_owned(), format!("{:?}", settings.worker.grace)),
    ];
    let limits = &settings.limits;
    let duration = |it: Option<Duration>| it.map(|it| format!("{it:?}"));
    let number = |it: Option<u64>| it.map(|it| it.to_string());
    let perhaps = [
        ("retries", number(settings.retries.map(u64::from))),
        ("deadline", duration(limits.deadline)),
        ("no progress timeout", duration(limits.no_progress)),
        ("lease", duration(settings.lease)),
        ("slot memory", number(settings.worker.memory)),
        ("payload store", run.payload_store.clone()),
    ];
    let set = perhaps.into_iter();
    shown.extend(set.filter_map(|(name, value)| Some((name.to_owned(), value?))));
    let classes = run.fleet.classes().into_iter();
    shown.extend(classes.map(|(class, what)| (format!("class {class}"), what)));
    shown
}

/// What commits survive: what the program sets, else the variable.
fn chosen(set: Option<Durability>) -> Result<Durability, BuildError> {
    if let Some(set) = set {
        return Ok(set);
    }
    let value = std::env::var_os(DURABILITY).unwrap_or_default();
    if value.is_empty() {
        return Ok(Durability::default());
    }
    // A text that is no Unicode becomes one that is no word either.
    let text = value.to_string_lossy();
    let chosen = text.parse();
    chosen.map_err(|error| setting(DURABILITY, &text, error))
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

    fn open(self, durability: Durability) -> Result<Arc<dyn Ledger>, BuildError> {
        match self {
            Self::Given(ledger) => Ok(ledger),
            Self::Directory(directory, _) => in_directory(&directory, durability),
        }
    }
}

#[cfg(feature = "ledger")]
#[expect(
    clippy::unnecessary_wraps,
    reason = "without the feature it is an error"
)]
fn in_directory(directory: &Path, durability: Durability) -> Result<Arc<dyn Ledger>, BuildError> {
    Ok(Arc::new(
        crate::ledger::SqliteLedger::new(directory).durability(durability),
    ))
}

#[cfg(not(feature = "ledger"))]
fn in_directory(_: &Path, _: Durability) -> Result<Arc<dyn Ledger>, BuildError> {
    Err(BuildError::FeatureMissing {
        backend: "ledger".to_owned(),
        feature: "ledger",
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "people are told, days later, since when a master has a run"
)]
fn now() -> SystemTime {
    SystemTime::now()
}
