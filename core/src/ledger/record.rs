//! What a master appends.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::broker::ClassId;
use crate::error::{AttemptReport, TaskErrorKind};
use crate::id::{Attempt, ExecutionId, TaskId};
use crate::place::WorkerPlace;
use crate::shape::Fingerprint;
use crate::task::CallOptions;

use super::{Content, EventRecord, Identity};

/// One thing to remember.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Record {
    /// A task type, before its first task.
    Type(TypeRecord),
    /// A task, before it is published.
    Task(TaskRecord),
    /// An attempt is stored in the queue of tasks.
    Published(PublishedRecord),
    /// An attempt gave no result.
    Attempt(AttemptRecord),
    /// It is better known now why an attempt gave no result: this takes the place of the task's last [`Attempt`](Self::Attempt)
    /// with this number on this worker. It is one of its own where there is none.
    Amended(AttemptRecord),
    /// A task ended, before its owners learn of it.
    End(EndRecord),
    /// The numbers of tasks below this one belong to this master and earlier ones: the next master begins with this
    /// one, or behind the newest task. It may also give numbers back.
    Reserved(TaskId),
    /// Something happened to the run as a whole. It changes no task.
    Event(EventRecord),
    /// Where a worker runs is known, or known better. It is the place of all that the worker has run, or will.
    Place(PlaceRecord),
}

/// The number of a task type in its run. The ledger's own: a registry's indexes change with the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeId(pub u32);

/// A task type: what a reader needs to show arguments and results without the program.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "stores make it, column by column"
)]
pub struct TypeRecord {
    /// Its number: one more than that of the type before it, from 0.
    pub number: TypeId,
    /// The task's name.
    pub name: String,
    /// Its version, where the attribute states one.
    pub version: Option<String>,
    /// The fingerprint of name, version, encoding and shape.
    pub fingerprint: Fingerprint,
    /// The serde shape of arguments and output; empty where it cannot be traced.
    pub shape: String,
    /// The names of the parameters that travel.
    pub parameters: Vec<String>,
}

/// A task.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "stores make it, column by column"
)]
pub struct TaskRecord {
    /// Its number: no other task of the run has it.
    pub task: TaskId,
    /// Its type.
    pub task_type: TypeId,
    /// What makes another call the same task.
    pub identity: Identity,
    /// The hash of what it is called with.
    pub content: Content,
    /// Which workers can run it.
    pub class: ClassId,
    /// Its encoded arguments.
    pub arguments: Bytes,
    /// What the call set, its key among it.
    pub options: Option<Box<CallOptions>>,
    /// Why it runs.
    pub why: Why,
}

impl TaskRecord {
    /// The call's key.
    #[must_use]
    pub fn key(&self) -> Option<&Arc<str>> {
        self.options.as_ref()?.key.as_ref()
    }
}

/// Why a task runs, where an earlier task of the same identity exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// No task of this identity was there.
    #[default]
    First,
    /// The earlier one failed.
    Failed,
    /// The earlier one was cancelled.
    Cancelled,
    /// The stored result has another shape, or is of another version.
    Changed,
    /// The key was called with other arguments, and `force` allowed that.
    Forced,
    /// A user asked for it.
    Reprocessed,
    /// The earlier one had not ended when its master did.
    Interrupted,
}

impl Why {
    /// All of them, in the order of their codes.
    pub const ALL: [Self; 7] = [
        Self::First,
        Self::Failed,
        Self::Cancelled,
        Self::Changed,
        Self::Forced,
        Self::Reprocessed,
        Self::Interrupted,
    ];
}

/// An attempt of a task is stored in the queue of tasks: a later master finds its message there, or its result. A task
/// may have ended before its publish was confirmed; the record changes nothing then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "stores make it, column by column"
)]
pub struct PublishedRecord {
    /// Its task.
    pub task: TaskId,
    /// The attempt.
    pub attempt: Attempt,
}

/// Where a worker runs.
// One for each worker, and not with each task: nearly all tasks of a run repeat it, and a fleet may learn it after the
// first of them have ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "stores make it, column by column"
)]
pub struct PlaceRecord {
    /// The worker's name.
    pub worker: Arc<str>,
    /// Where it runs.
    pub place: Arc<WorkerPlace>,
}

/// An attempt that gave no result.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "stores make it, column by column"
)]
pub struct AttemptRecord {
    /// Its task.
    pub task: TaskId,
    /// What is known of it. Its place is not stored with it, but with its [worker](PlaceRecord).
    pub report: AttemptReport,
}

impl AttemptRecord {
    /// Whether another record is of an attempt with the same number on the same worker.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let (one, other) = (&self.report, &other.report);
        (one.attempt, &one.worker) == (other.attempt, &other.worker)
    }
}

/// The end of a task.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "stores make it, column by column"
)]
pub struct EndRecord {
    /// The task.
    pub task: TaskId,
    /// The attempt that ended it.
    pub attempt: Attempt,
    /// When that attempt started, as [`AttemptReport::started`] says.
    pub started: Option<SystemTime>,
    /// How long it waited before, from its publish.
    pub queued: Option<Duration>,
    /// How long its execution took.
    pub elapsed: Option<Duration>,
    /// The worker that ran it: a pod's name, or `local`.
    pub worker: Option<Arc<str>>,
    /// The node of that worker.
    pub node: Option<Arc<str>>,
    /// The execution that gave the result.
    pub execution: Option<ExecutionId>,
    /// Whether the body was skipped, because the task's work was done.
    pub skipped: bool,
    /// How.
    pub end: End,
}

/// How a task ended.
// An executor that is shut down or breaks ends its futures, and no task: those are unended for the next master.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// With this encoded result.
    Done(Bytes),
    /// Without one. The attempts tell more.
    Failed {
        /// The kind of its error.
        kind: TaskErrorKind,
        /// The error in one line.
        message: String,
    },
    /// The program cancelled it.
    Cancelled,
    /// Its master ended before it, and a later one runs another task of its identity.
    Interrupted,
}

impl End {
    /// What the task is from then on.
    #[must_use]
    pub const fn status(&self) -> Status {
        match self {
            Self::Done(_) => Status::Done,
            Self::Failed { .. } => Status::Failed,
            Self::Cancelled => Status::Cancelled,
            Self::Interrupted => Status::Interrupted,
        }
    }
}

/// What a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Status {
    /// It has not ended.
    Unended,
    /// It has a result.
    Done,
    /// It has an error.
    Failed,
    /// It was cancelled.
    Cancelled,
    /// Its master ended before it, and a later task of its identity took its place.
    Interrupted,
}

impl Status {
    /// All of them, in the order of their codes.
    pub const ALL: [Self; 5] = [
        Self::Unended,
        Self::Done,
        Self::Failed,
        Self::Cancelled,
        Self::Interrupted,
    ];
}
