//! The commands of users to an executor beside running tasks.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::cell::Cell;
use crate::error::ShutdownError;

/// How an executor shuts down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ShutdownBehavior {
    /// Complete when every submitted task has ended by itself. The default.
    #[default]
    WaitForTasks,
    /// Cancel what has not begun; complete when the rest has ended. The cancelled tasks resolve to `Cancelled`.
    CancelPending,
    /// End everything and stop the workers; complete when they are gone. Tasks that have not ended resolve to
    /// `ShutDown` and count as failed.
    Abort,
}

/// The state in which a cancel found its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CancelOutcome {
    /// The task had not left the executor: it will never run.
    Dequeued,
    /// The task was published: its workers receive the cancellation. It may have begun; its result is dropped.
    Signalled,
    /// The task had ended.
    AlreadyDone,
}

/// A command of a user to the executor.
#[derive(Debug)]
pub(crate) enum Command {
    /// Cancel one task.
    Cancel {
        cell: Arc<Cell>,
        reply: Option<oneshot::Sender<CancelOutcome>>,
    },
    /// Cancel the tasks that a map has not delivered; some of them may have ended.
    CancelMany(Vec<Arc<Cell>>),
    /// A signal came: shut down with this behaviour.
    Interrupt(ShutdownBehavior),
    /// Leave the run to a later master, and reply when that is done.
    Detach {
        done: oneshot::Sender<Result<(), ShutdownError>>,
    },
    /// Shut down, and reply when the shutdown is complete.
    Shutdown {
        behavior: ShutdownBehavior,
        done: oneshot::Sender<Result<(), ShutdownError>>,
    },
}
