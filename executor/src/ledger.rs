//! What runs leave behind, to be read beside a living master or without one: which tasks there are, which ran when, for
//! which master, and with which result.
//!
//! ```no_run
//! use podpool::ledger::{Ledger, Status};
//!
//! # fn show() -> Result<(), Box<dyn std::error::Error>> {
//! let ledger = Ledger::open("runs");
//! for run in ledger.runs()? {
//!     let run = run?;
//!     println!("{} since {:?}, {} starts", run.run, run.created, run.masters.len());
//! }
//! let mut run = ledger.run("year-2013")?;
//! for task in run.tasks()? {
//!     if task.status == Status::Failed {
//!         println!("{:?}: {:?}", task.key, task.ended);
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Every call blocks while it reads the disk. A run is written by the pool that [`Builder::ledger`](crate::Builder::ledger)
//! gives a ledger.

mod sqlite;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use podpool_core::codec;
use podpool_core::id::{RunId, TaskId};
use podpool_core::ledger::Ledger as _;
use podpool_core::ledger::ReadRun;
use serde::de::DeserializeOwned;

pub use podpool_core::ledger::{
    AttemptRecord, Command, CommandId, CommandRecord, Durability, EndRecord, EventRecord, Events,
    Holder, LedgerError, Listed, ListedEnd, Master, PlaceRecord, RunRecord, Status, TaskRecord,
    TypeRecord, UnfinishedRun, Why,
};
pub use podpool_core::place::WorkerPlace;

pub use self::sqlite::SqliteLedger;
use crate::named_run::{self, is_elsewhere};
use crate::process::this_process;

/// The ledger in a directory.
#[derive(Clone, Debug)]
pub struct Ledger(Arc<SqliteLedger>);

impl Ledger {
    /// The ledger in this directory. Nothing is opened before the first call.
    pub fn open(directory: impl Into<PathBuf>) -> Self {
        Self(Arc::new(SqliteLedger::new(directory)))
    }

    /// Where it is, for messages.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn place(&self) -> String {
        self.0.place()
    }

    /// The runs, the youngest first. One that cannot be read is an error in its place.
    ///
    /// # Errors
    /// [`LedgerError`] where the directory cannot be read.
    pub fn runs(&self) -> Result<Vec<Result<RunRecord, LedgerError>>, LedgerError> {
        self.0.runs()
    }

    /// The runs whose master is gone and that have tasks which have not ended: of a program that was killed, stopped,
    /// or detached. The one that stopped last is the first. The same program with the run's name picks a run up; and
    /// [`delete`](Self::delete) removes one, or `podpool::gc::remove_run` where it ran on a cluster.
    ///
    /// A program that begins another run in this ledger is told of them by a notice. Runs past their
    /// [deadline](UnfinishedRun::deadline) are here, and not in the notice.
    ///
    /// ```no_run
    /// use podpool::ledger::Ledger;
    ///
    /// # fn show() -> Result<(), podpool::error::LedgerError> {
    /// for left in Ledger::open("runs").unfinished()? {
    ///     println!("{}: {} tasks since {:?}", left.run.name, left.unended, left.stopped);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`LedgerError`] where the directory cannot be read. A run that cannot be read is left out; [`runs`](Self::runs)
    /// shows it.
    pub fn unfinished(&self) -> Result<Vec<UnfinishedRun>, LedgerError> {
        Ok(self.0.unfinished(usize::MAX)?.runs)
    }

    /// Deletes a run with all its results, and returns its id. The run is named as for [`run`](Self::run). What it has
    /// on a cluster stays: see `podpool::gc::remove_run`.
    ///
    /// # Errors
    /// [`LedgerError::NoRun`] where there is none, [`LedgerError::Held`] while a master lives; else why it cannot be
    /// deleted.
    pub fn delete(&self, which: &str) -> Result<RunId, LedgerError> {
        let run = named_run::find(&*self.0, which)?;
        self.0.delete(&run)?;
        Ok(run)
    }

    /// A run, by its id, or by its name: then the youngest of that name.
    ///
    /// # Errors
    /// [`LedgerError::NoRun`] where there is none; else why it cannot be read.
    pub fn run(&self, which: &str) -> Result<Run, LedgerError> {
        let run = named_run::find(&*self.0, which)?;
        self.0.read(&run).map(Run)
    }

    /// Asks something of the master of a run, which may be any process on this machine that has this ledger: to stop, to
    /// have fewer workers, to submit tasks again. The run is named as for [`run`](Self::run). The master reads the command
    /// within a second or two, carries it out where it can, and answers in words: see [`commands`](Self::commands).
    ///
    /// ```no_run
    /// use podpool::ledger::{Command, Ledger};
    ///
    /// # fn stop() -> Result<(), podpool::error::LedgerError> {
    /// let ledger = Ledger::open("runs");
    /// let id = ledger.command("year-2013", &Command::Stop)?;
    /// println!("asked as command {id}");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`LedgerError::NoRun`] where there is no such run, [`LedgerError::NotHeld`] where no master lives; else why the
    /// command cannot be written.
    pub fn command(&self, which: &str, command: &Command) -> Result<CommandId, LedgerError> {
        let run = self.run(which)?.record()?.run;
        self.0.command(&run, command, &this_process(), now())
    }

    /// What was asked of a run's masters, oldest first, with the answers. The run is named as for [`run`](Self::run).
    ///
    /// # Errors
    /// [`LedgerError::NoRun`] where there is no such run; else why it cannot be read.
    pub fn commands(&self, which: &str) -> Result<Vec<CommandRecord>, LedgerError> {
        self.run(which)?.0.asked()
    }

    fn stored(&self, run: &RunRecord) -> Result<Stored, LedgerError> {
        let mut stored = Stored {
            newest: run.created,
            unended: false,
        };
        self.0.read(&run.run)?.list(&mut |task| {
            let ended = task.ended.map(|it| it.stored.1);
            stored.newest = stored
                .newest
                .max(task.submitted.1)
                .max(ended.unwrap_or(run.created));
            stored.unended |= task.status == Status::Unended;
        })?;
        Ok(stored)
    }

    /// Deletes the runs of which nothing was stored for so long and whose newest master left, or opened the run, before
    /// that; runs that are held stay, and so do runs on a cluster that have unended tasks: their workers may go on without
    /// a master. Returns what was deleted.
    ///
    /// # Errors
    /// [`LedgerError`] of the first run that cannot be deleted.
    pub fn gc(&self, older_than: Duration) -> Result<Vec<RunId>, LedgerError> {
        let mut deleted = Vec::new();
        for run in self.runs()?.into_iter().flatten() {
            if run.held || !is_older(last_use(&run), now(), older_than) {
                continue;
            }
            let Stored { newest, unended } = self.stored(&run)?;
            // A master that was killed did not say when: its newest record does.
            if !is_older(newest, now(), older_than) || (unended && is_elsewhere(&run)) {
                continue;
            }
            match self.0.delete(&run.run) {
                Ok(()) => deleted.push(run.run),
                // A master has opened it meanwhile.
                Err(LedgerError::Held { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(deleted)
    }
}

/// What the tasks of a run tell of it.
struct Stored {
    /// When one was submitted or ended last.
    newest: SystemTime,
    /// Whether one has not ended.
    unended: bool,
}

fn last_use(run: &RunRecord) -> SystemTime {
    let last = run.masters.last();
    last.map_or(run.created, |last| last.until.unwrap_or(last.since))
}

/// A clock that was set back makes nothing older.
fn is_older(last: SystemTime, now: SystemTime, than: Duration) -> bool {
    now.duration_since(last).is_ok_and(|age| age >= than)
}

#[expect(
    clippy::disallowed_methods,
    reason = "runs are kept for days, by the wall clock"
)]
fn now() -> SystemTime {
    SystemTime::now()
}

/// A run that is read.
#[derive(Debug)]
pub struct Run(Box<dyn ReadRun>);

impl Run {
    /// The run: its id, its name, and its masters.
    ///
    /// # Errors
    /// [`LedgerError`]: why it cannot be read; here and below.
    pub fn record(&mut self) -> Result<RunRecord, LedgerError> {
        self.0.run()
    }

    /// Its task types, by their number.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn types(&mut self) -> Result<Vec<TypeRecord>, LedgerError> {
        self.0.types()
    }

    /// All its tasks, in the order of their numbers: those that others have replaced too.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn tasks(&mut self) -> Result<Vec<Listed>, LedgerError> {
        let mut tasks = Vec::new();
        self.0.list(&mut |task| tasks.push(task))?;
        Ok(tasks)
    }

    /// The tasks of a key, oldest first: what ran for it when, for which master, and why again.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn history(&mut self, key: &str) -> Result<Vec<Listed>, LedgerError> {
        let mut tasks = self.tasks()?;
        tasks.retain(|task| task.key.as_deref() == Some(key));
        Ok(tasks)
    }

    /// A task with its arguments and options; none where the run has no such task.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn task(&mut self, task: TaskId) -> Result<Option<TaskRecord>, LedgerError> {
        self.0.task(task)
    }

    /// The attempts of a task that gave no result, oldest first.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn attempts(&mut self, task: TaskId) -> Result<Vec<AttemptRecord>, LedgerError> {
        self.0.attempts(task)
    }

    /// Where its workers ran, by their names: pod, zone, whether the node was spot, and image, as far as the cluster
    /// showed it. Each end of a [task](Self::tasks) and each [attempt](Self::attempts) has the place of its worker.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn places(&mut self) -> Result<Vec<PlaceRecord>, LedgerError> {
        self.0.places()
    }

    /// What happened to the run as a whole: workers that came and went, notices, why the pool broke. The newest 10,000,
    /// and how many there were before.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn events(&mut self) -> Result<Events, LedgerError> {
        self.0.events()
    }

    /// The result of a task; none while it has none. `T` is what the task returns, or the `Ok` of what it returns.
    ///
    /// # Errors
    /// [`LedgerError`]; [`LedgerError::Damaged`] where the bytes are no `T`.
    pub fn result<T: DeserializeOwned>(&mut self, task: TaskId) -> Result<Option<T>, LedgerError> {
        let Some((_, output)) = self.0.outputs(&[task])?.pop() else {
            return Ok(None);
        };
        let decoded = codec::decode(&output).map_err(|error| LedgerError::Damaged {
            what: format!("the result of task {task}"),
            reason: format!("it is no {}: {error}", std::any::type_name::<T>()),
        });
        decoded.map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_old_by_its_last_use_and_never_by_a_clock_that_was_set_back() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        let day = Duration::from_secs(100);
        assert!(is_older(SystemTime::UNIX_EPOCH, now, day));
        assert!(!is_older(now, now, day));
        assert!(is_older(now, now, Duration::ZERO));
        assert!(!is_older(now + day, now, Duration::ZERO));
    }
}
