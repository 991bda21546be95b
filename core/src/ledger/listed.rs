//! A task as a list of tasks shows it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::error::TaskErrorKind;
use crate::id::{Attempt, TaskId};
use crate::place::WorkerPlace;

use super::{Identity, Status, TypeId, Why};

/// A task with its times, without its arguments and result.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "stores make it, column by column"
)]
pub struct Listed {
    /// Its number.
    pub task: TaskId,
    /// Its type.
    pub task_type: TypeId,
    /// What makes another call the same task.
    pub identity: Identity,
    /// The call's key.
    pub key: Option<Arc<str>>,
    /// Why it runs.
    pub why: Why,
    /// Which master of the run submitted it, and when.
    pub submitted: (u64, SystemTime),
    /// What it is.
    pub status: Status,
    /// How it ended; none while it has not.
    pub ended: Option<ListedEnd>,
}

/// The end of a task, without its result.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "stores make it, column by column"
)]
pub struct ListedEnd {
    /// Which master of the run stored it, and when.
    pub stored: (u64, SystemTime),
    /// The attempt that ended it.
    pub attempt: Attempt,
    /// When that attempt started, by the master's clock.
    pub started: Option<SystemTime>,
    /// How long it waited before, from its publish.
    pub queued: Option<Duration>,
    /// How long its execution took.
    pub elapsed: Option<Duration>,
    /// The worker that ran it.
    pub worker: Option<Arc<str>>,
    /// The node of that worker.
    pub node: Option<Arc<str>>,
    /// Where that worker runs, beside its node.
    pub place: Option<Arc<WorkerPlace>>,
    /// Its error: the kind, and one line.
    pub error: Option<(TaskErrorKind, String)>,
}
