//! Messages: batches of tasks, results, and the other messages between master and workers.
//!
//! ```text
//! version u8 | type u8 | MAC u8 | 0 u8 | header length u32 | header … | body … | MAC (32 bytes, or none)
//! ```
//! The header is a value of the codec; the body holds [entries](entry). The MAC covers everything before it, and the
//! header names the run, so that no message is accepted as one of another type, run or attempt.

mod arguments;
pub mod entry;
mod mac;
mod message;
pub mod reference;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::broker::ClassId;
use crate::id::{Attempt, ExecutionId, RunId, TaskId, WorkerId};
use crate::shape::Fingerprint;
use crate::wall::WallTime;

pub use self::arguments::Arguments;
pub use self::mac::MacKey;
pub(crate) use self::message::GAP;
pub use self::message::{Body, Message, WireError};
pub use self::reference::Reference;

/// The version of the wire format; the first byte of every message.
// To be raised with each change of a header below: bincode has no field names, so an older reader would misread the
// bytes.
pub const VERSION: u8 = 8;

/// Most bytes of a [`Control`] message: each worker reads one at every change and every few seconds.
// Each worker has a subscription of its own, so with 1,000 workers one message of this size is about 64 MB of traffic.
pub const CONTROL_BYTES: usize = 64 << 10;

/// A task as a batch names it: an entry holds the index of its task type.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TaskType {
    /// `crate::module::function`.
    pub name: Arc<str>,
    /// Name, version, codec and shape: the worker's must be equal.
    pub fingerprint: Fingerprint,
}

/// The head of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The run.
    pub run: RunId,
    /// The master's epoch.
    pub epoch: u64,
    /// Its number among the batches of this epoch. A redelivery keeps the number, and so does a batch of put-back
    /// tasks; tasks that are published again have a new number. Under one number a worker does not run a task again
    /// whose result it has stored.
    pub number: u64,
    /// Whether it must run alone, in a fresh slot: its task is a suspect.
    pub alone: bool,
    /// The tasks that the entries name by index.
    pub task_types: Vec<TaskType>,
    /// How many entries follow.
    pub count: u32,
}

/// The options that a call overrides, in its entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryOptions {
    /// The call's key.
    pub key: Option<Arc<str>>,
    /// The call's timeout.
    pub timeout: Option<Duration>,
    /// The call's memory, in bytes.
    pub memory: Option<u64>,
    /// Whether the body runs although the task would be skipped.
    pub force: bool,
}

/// The head of a message of results.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Results {
    /// The run.
    pub run: RunId,
    /// The execution that produced them.
    pub execution: ExecutionId,
    /// The highest epoch that the worker has seen.
    pub epoch: u64,
    /// How many entries follow.
    pub count: u32,
    /// How many lines the worker's slots had printed by then. The master has received all of them when
    /// [`Printed::through`] has reached this number.
    pub lines: u64,
    /// When the worker made the message. With [`Alive::at`], from which the master learns by how much the two clocks
    /// differ, and with the time that each execution took, it tells when each began: so no entry carries a time.
    pub at: WallTime,
}

/// Attempts at tasks whose numbers follow each other: most batches are one such run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRun {
    /// The first task.
    pub first: TaskId,
    /// How many tasks, from the first on.
    pub count: u32,
    /// The attempt at each of them.
    pub attempt: Attempt,
}

impl TaskRun {
    /// Appends a task to a list of runs, and lengthens the last run where it follows on.
    pub fn push(runs: &mut Vec<Self>, task: TaskId, attempt: Attempt) {
        if let Some(last) = runs.last_mut()
            && last.attempt == attempt
            && last.first.0.checked_add(u64::from(last.count)) == Some(task.0)
        {
            last.count += 1;
            return;
        }
        runs.push(Self {
            first: task,
            count: 1,
            attempt,
        });
    }

    /// The tasks of the run.
    pub fn tasks(self) -> impl Iterator<Item = TaskId> {
        (self.first.0..self.first.0.saturating_add(u64::from(self.count))).map(TaskId)
    }
}

/// A worker has taken a batch. Sent before its first task starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// The run.
    pub run: RunId,
    /// This execution of the batch.
    pub execution: ExecutionId,
    /// The highest epoch that the worker has seen.
    pub epoch: u64,
    /// The batch's tasks and attempts.
    pub tasks: Vec<TaskRun>,
}

/// A worker's greeting: its first message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The run.
    pub run: RunId,
    /// The worker.
    pub worker: WorkerId,
    /// Its name: a pod's, or `local`.
    pub name: Arc<str>,
    /// Its host.
    pub node: Arc<str>,
    /// The class whose tasks it runs.
    pub class: ClassId,
    /// How many slots it feeds.
    pub slots: u32,
    /// Its build, for people.
    pub build: String,
    /// The highest epoch that it has seen.
    pub epoch: u64,
    /// Grows with each [`Hello`] and [`Alive`] of this worker, from 1: the master ignores one that is not newer than
    /// the newest, because queues may deliver in any order and more than once.
    pub sequence: u64,
}

/// A worker's heartbeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alive {
    /// The run.
    pub run: RunId,
    /// The worker.
    pub worker: WorkerId,
    /// Tasks that it holds, running or not yet.
    pub held: Vec<TaskRun>,
    /// How many of them run in a slot.
    pub running: u32,
    /// Slots without work.
    pub free: u32,
    /// Pulls that came back empty since the last heartbeat.
    pub empty_pulls: u32,
    /// Envelopes of revoked attempts that it acknowledged since the last heartbeat.
    pub revoked: Vec<TaskRun>,
    /// Envelopes since its start that it acknowledged without running them, because the result was stored or the task
    /// had ended.
    pub replays: u64,
    /// The highest epoch that it has seen.
    pub epoch: u64,
    /// The same count as [`Hello::sequence`].
    pub sequence: u64,
    /// When the worker made it.
    pub at: WallTime,
}

/// The state of the run, as the master sends it to the workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunState {
    /// Tasks are submitted.
    Open,
    /// No new tasks are submitted; the present ones continue.
    Closing,
    /// The run has no master for a time.
    Detached,
    /// Every future is resolved: workers exit.
    Ended,
    /// Workers stop their slots and exit at once.
    Aborted,
}

/// Revoked attempts: every attempt up to `attempt` at the tasks `first..=last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// The first task.
    pub first: TaskId,
    /// The last task.
    pub last: TaskId,
    /// The last attempt that must not run.
    pub attempt: Attempt,
}

/// The master's message to the workers: a state, not an event, so the next one replaces a lost one. It has at most
/// [`CONTROL_BYTES`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    /// The run.
    pub run: RunId,
    /// The master's epoch: a later master has a higher one.
    pub epoch: u64,
    /// Grows with each change; workers keep the state with the highest number, and ignore older ones that arrive later.
    pub sequence: u64,
    /// The state of the run.
    pub state: RunState,
    /// All tasks with lower numbers have ended: no attempt at them needs to run.
    pub ended_below: TaskId,
    /// Attempts that must not run, or not any more.
    pub revoked: Vec<Revoked>,
    /// Workers that must finish their running tasks and exit.
    pub drain: Vec<WorkerId>,
    /// Workers whose greeting was read within the last minute: they may pull.
    // A worker waits 10 s for its own id here, so within a minute several control messages can carry it.
    pub greeted: Vec<WorkerId>,
}

/// Lines that tasks printed, on their way to the master.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Printed {
    /// The run.
    pub run: RunId,
    /// The worker.
    pub worker: WorkerId,
    /// The highest epoch that the worker has seen.
    pub epoch: u64,
    /// The tasks that printed them.
    pub tasks: Vec<PrintedTask>,
    /// The lines, in order.
    pub lines: Vec<PrintedLine>,
    /// Lines before these that were left out, because more was printed than may be sent.
    pub left_out: u64,
    /// How many lines the worker's slots had printed with these, since the worker's start: lines that were left out
    /// count too, or a failure would wait for lines that are never sent.
    pub through: u64,
}

/// A task that printed a line. The master may have removed the task from its table before the line arrives, so the name
/// and the key travel with the line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrintedTask {
    /// The task.
    pub task: TaskId,
    /// The attempt at it.
    pub attempt: Attempt,
    /// `crate::module::function`.
    pub name: Arc<str>,
    /// The call's key.
    pub key: Option<Arc<str>>,
}

/// One line that a task printed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrintedLine {
    /// The place of its task in [`Printed::tasks`], where the task is known.
    pub task: Option<u32>,
    /// Whether it went to standard error.
    pub error: bool,
    /// The line, without its end.
    pub text: String,
}

impl Batch {
    /// Builds the message of a batch from its entries.
    #[must_use]
    pub fn message(&self, entries: &[u8], mac_key: &MacKey) -> Bytes {
        message::write(message::Type::Batch, self, entries, mac_key)
    }

    /// The same from a body that was made for it, without copying the entries.
    #[must_use]
    pub fn close(&self, body: Body, mac_key: &MacKey) -> Bytes {
        message::close(message::Type::Batch, self, body, mac_key)
    }
}

impl Results {
    /// Builds the message of results from their entries.
    #[must_use]
    pub fn message(&self, entries: &[u8], mac_key: &MacKey) -> Bytes {
        message::write(message::Type::Results, self, entries, mac_key)
    }

    /// The same from a body that was made for it, without copying the entries.
    #[must_use]
    pub fn close(&self, body: Body, mac_key: &MacKey) -> Bytes {
        message::close(message::Type::Results, self, body, mac_key)
    }
}

macro_rules! message_of {
    ($($name:ident),*) => {$(
        impl $name {
            /// Builds the message.
            #[must_use]
            pub fn message(&self, mac_key: &MacKey) -> Bytes {
                message::write(message::Type::$name, self, &[], mac_key)
            }
        }
    )*};
}

message_of!(Started, Hello, Alive, Control, Printed);
