//! Errors, classified by what the caller can do about them.

pub(crate) mod ledger;
pub(crate) mod leftover;
pub(crate) mod start;

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use podpool_core::id::RunId;
pub use podpool_core::ledger::LedgerError;
use podpool_core::slot::{Request, advice};

pub use podpool_core::commit::CommitError;
pub(crate) use podpool_core::error::Subject;
pub use podpool_core::error::{AttemptReport, TaskError, TaskErrorKind};
pub use podpool_core::outcome::{Cause, Exit};
pub use podpool_core::place::WorkerPlace;

/// Why an executor could not be built. Nothing was started.
///
/// `{}` is the message, and [`source`](Error::source) its cause. `{:?}` is the message with all causes, in one line: what
/// is shown where `main` returns the error.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// `init()` did not run, so a child process would run `main` again instead of tasks.
    #[error(
        "podpool is not initialised, so no process was started; put `#[podpool::main]` on main, or call \
         `podpool::init()` as its first line; in a file of `#[test]`s write `podpool::test_slots!()` once, outside of any \
         function (`init()` does not help there), or set `LocalOptions::isolation` to `Isolation::InProcess`"
    )]
    NotInitialised,
    /// `init()` was called inside a `#[test]`, so a child process would run the other tests again instead of tasks.
    #[error(
        "podpool::init() was called inside a #[test], where it has no effect, so no process was started; write \
         `podpool::test_slots!()` once in the test file, outside of any function, or set `LocalOptions::isolation` to `Isolation::InProcess`"
    )]
    InitInTest,
    /// A task tried to build an executor of its own.
    #[error(
        "a task cannot build an executor inside its slot; submit further tasks from the master"
    )]
    NestedPool,
    /// `max_workers(0)`.
    #[error("an executor needs at least one worker; give max_workers 1 or more, or leave it out")]
    ZeroWorkers,
    /// The back-end exists and was not compiled in.
    #[error(
        "back-end {backend:?} is not compiled in; add the feature: podpool = {{ features = [\"{feature}\"] }}"
    )]
    FeatureMissing {
        /// The requested back-end.
        backend: String,
        /// The cargo feature that holds it.
        feature: &'static str,
    },
    /// No such back-end.
    #[error("there is no back-end {0:?}; use one of local, kubernetes")]
    UnknownBackend(String),
    /// A setting that cannot be used.
    #[error("{name} cannot be {value:?}: {reason}")]
    Setting {
        /// The method of the builder or of an options' struct, with its variable if it has one; or the variable.
        name: String,
        /// The value that was set.
        value: String,
        /// The permitted values.
        reason: String,
    },
    /// The tasks of this program contradict each other; the source names them.
    #[error("the tasks of this program cannot be used")]
    Registry(#[source] Box<dyn Error + Send + Sync>),
    /// The run cannot be opened in its ledger: another master has it, or the ledger cannot be read or written.
    #[error(transparent)]
    Ledger(Box<LedgerError>),
    /// Topics and subscriptions that an administrator made belong to one run at a time, and another run uses them, or
    /// left messages in them. It was met before this run published a message. One that is met later ends the pool with
    /// [`ShutdownError::NamesInUse`].
    #[error("{}", names_in_use(by))]
    NamesInUse {
        /// The older run.
        by: RunId,
    },
    /// The operating system or a service refused something that the executor needs.
    #[error("cannot {what}{}", remedy(&**source))]
    Start {
        /// The step that failed, such as "start the executor's thread".
        what: String,
        /// The answer of the system or the service; its own sources follow it.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

// A program whose `main` returns `Box<dyn Error>` shows its users this text and no other.
impl fmt::Debug for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&start::chain(self))
    }
}

fn names_in_use(by: &RunId) -> String {
    format!(
        "run {by} is older and uses the same topics and subscriptions, or has left messages in them; wait until it ends, or set other names for this run; if run {by} has ended, empty them with podpool::pubsub::Admin::purge"
    )
}

/// The advice about a refusal of the system, as the rest of a sentence.
// The source is not repeated here: it is the error's `source`, which reports print after the message.
fn remedy(source: &(dyn Error + 'static)) -> String {
    let refused = source.downcast_ref::<io::Error>();
    let advice = refused.and_then(|refused| advice(Request::Other, refused));
    advice.map_or_else(String::new, |advice| format!("; {advice}"))
}

/// Why a run cannot be left to go on without its master.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DetachError {
    /// Its workers are processes of this machine, which end with this program. Nothing was changed.
    #[error(
        "the workers of run {0} end with this program, so the run cannot go on without it; detach a run on a cluster"
    )]
    Local(RunId),
    /// It has no ledger, so that no later master could pick it up. Nothing was changed.
    #[error(
        "run {0} has no ledger, so no later process could pick it up; give it one with `Builder::ledger`"
    )]
    NoLedger(RunId),
    /// The executor ended otherwise. With a ledger the next master of the run does what is missing.
    #[error("the run was not left as it should be")]
    Ended(#[from] ShutdownError),
}

/// The failure of a run at its end. Every future is resolved all the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShutdownError {
    /// The pool broke before or while it shut down; its pending futures resolved to `PoolBroken`.
    #[error("the pool broke before it was shut down: {reason}")]
    Broken {
        /// Why.
        reason: String,
    },
    /// Something that the run made could not be removed.
    #[error(
        "the run ended, but something could not be removed: {what}; remove it by hand, or with podpool::gc::remove and the run's id"
    )]
    Leftover {
        /// The things, by name, and why each is still there.
        what: String,
    },
    /// Topics and subscriptions that an administrator made belong to one run at a time, and another run was there
    /// first; the futures of this one resolved to `PoolBroken`.
    #[error("{}", names_in_use(by))]
    NamesInUse {
        /// The older run.
        by: RunId,
    },
    /// A signal ended the run: the first Ctrl-C cancelled tasks that had not begun, a second one or SIGTERM ended
    /// everything. The futures of the cancelled tasks resolve to that. A run that failed in another way reports that
    /// failure in place of this. [`Builder::signals`](crate::Builder::signals) has an example of a `main` that matches
    /// it, so that the exit code is 130.
    #[error(
        "the run was interrupted by {}; tasks that had not ended were cancelled",
        signal_name(*.signal)
    )]
    Interrupted {
        /// The signal's number: 2 for Ctrl-C, 15 for SIGTERM.
        signal: i32,
    },
    /// Another process stopped the run by a command in its ledger before every task had ended. Tasks that had not begun
    /// were cancelled, or all that had not ended, and are unended for the next start of the run.
    #[error(
        "the run was stopped by a command before every task had ended; start it again to do what is missing"
    )]
    Stopped,
    /// The run reached its [deadline](crate::Builder::deadline); the futures of tasks that had not ended resolved to
    /// [`RunLimit`](TaskErrorKind::RunLimit).
    #[non_exhaustive]
    #[error(
        "the run has lasted {deadline:?}, its deadline (Builder::deadline), {}; set a later deadline, or give the run more workers",
        ended_by_it(*unended)
    )]
    DeadlinePassed {
        /// The deadline that was set.
        deadline: Duration,
        /// How many tasks had not ended.
        unended: usize,
    },
    /// More tasks failed than [`Builder::fail_run_after`](crate::Builder::fail_run_after) permits; the futures of tasks
    /// that had not ended resolved to [`RunLimit`](TaskErrorKind::RunLimit).
    #[non_exhaustive]
    #[error(
        "{failed} of the {ended} tasks that ended have failed, and that ends the run (Builder::fail_run_after); fix the cause, or permit more; the last failure: {last}"
    )]
    TooManyFailures {
        /// How many tasks failed for good.
        failed: u64,
        /// How many tasks failed or gave a result.
        ended: u64,
        /// The last failure: the task, its number and key, and the first line of its message.
        last: String,
    },
    /// Nothing happened in the run for its [timeout](crate::Builder::no_progress_timeout); the futures of tasks that had
    /// not ended resolved to [`RunLimit`](TaskErrorKind::RunLimit).
    #[non_exhaustive]
    #[error(
        "for {timeout:?} no task started, ended or was tried again, and none is known to run (Builder::no_progress_timeout), {}; {diagnosis}",
        ended_by_it(*unended)
    )]
    NoProgress {
        /// The timeout that was set.
        timeout: Duration,
        /// How many tasks had not ended.
        unended: usize,
        /// Why the oldest of them waited, and what the workers did, in the words of
        /// [`stats`](crate::PodPoolExecutor::stats).
        diagnosis: String,
    },
    /// Another master has taken the run over; the futures of this one resolved to `PoolBroken`.
    #[error("another master (epoch {epoch}) has taken over this run and continues its tasks")]
    Superseded {
        /// The other master's epoch.
        epoch: u64,
    },
}

/// The tasks that a limit ends, as a part of a sentence.
fn ended_by_it(unended: usize) -> String {
    match unended {
        0 => "and every task had ended".to_owned(),
        1 => "and 1 task that had not ended ends with it".to_owned(),
        tasks => format!("and {tasks} tasks that had not ended end with it"),
    }
}

fn signal_name(signal: i32) -> String {
    match signal {
        2 => "Ctrl-C (SIGINT)".to_owned(),
        15 => "SIGTERM".to_owned(),
        other => format!("signal {other}"),
    }
}

/// A result that was not there in time. The task continues: wait again, or cancel it.
// As `Future.result(timeout)` of CPython raises `TimeoutError` and leaves the task running.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{subject} is not done after {waited:?} and continues; wait for it again, or cancel it")]
pub struct NotDone {
    pub(crate) subject: Subject,
    pub(crate) waited: Duration,
}

/// Futures that did not end in time. Their tasks continue.
// The message begins with the words of the `TimeoutError` of CPython's `as_completed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{unfinished} (of {total}) futures unfinished after {waited:?}; their tasks continue")]
pub struct Unfinished {
    pub(crate) unfinished: usize,
    pub(crate) total: usize,
    pub(crate) waited: Duration,
}

impl Unfinished {
    /// How many futures had not ended.
    #[must_use]
    pub const fn unfinished(&self) -> usize {
        self.unfinished
    }

    /// How many futures there were.
    #[must_use]
    pub const fn total(&self) -> usize {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forgotten_init_names_the_three_ways() {
        let text = BuildError::NotInitialised.to_string();
        for way in [
            "#[podpool::main]",
            "podpool::init()",
            "podpool::test_slots!()",
        ] {
            assert!(text.contains(way), "{text}");
        }
    }

    #[test]
    fn a_refusal_of_the_system_comes_with_advice() {
        let start = |source: io::Error| start::failed("start the executor's thread")(source);
        let text = start(io::Error::from_raw_os_error(24)).to_string();
        assert!(text.contains("ulimit -n"), "{text}");
        let text = start(io::Error::other("x")).to_string();
        assert_eq!(text, "cannot start the executor's thread");
    }

    #[test]
    fn what_main_shows_has_the_message_and_its_causes() {
        let source = BuildError::Registry("two tasks of one name".into());
        let error: BuildError = start::failed("prepare the run")(source);
        assert_eq!(error.to_string(), "cannot prepare the run");
        assert_eq!(
            format!("{error:?}"),
            "cannot prepare the run: the tasks of this program cannot be used: two tasks of one name"
        );
    }

    #[test]
    fn a_missing_feature_is_named_as_cargo_needs_it() {
        let error = BuildError::FeatureMissing {
            backend: "kubernetes".to_owned(),
            feature: "kubernetes",
        };
        assert!(error.to_string().contains("features = [\"kubernetes\"]"));
    }
}
