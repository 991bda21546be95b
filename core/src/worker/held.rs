//! The batches that a worker holds, and what of each is in safety.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use crate::envelope::{TaskRun, TaskType};
use crate::id::TaskId;
use crate::queue::LeaseId;

use super::frame::TaskTypeInfo;
use super::replay::BatchId;

/// A batch under lease.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) lease: LeaseId,
    /// The task types as the batch names them, to put a part of it back.
    pub(super) task_types: Arc<[TaskType]>,
    /// The same, as this program's registry has them.
    pub(super) known: Arc<[TaskTypeInfo]>,
    /// The same as registry indices, for slots.
    pub(super) indices: Arc<[u32]>,
    /// How many tasks it brought.
    pub(super) count: u32,
    /// How many of them are in safety: their result, or the batch that they were put back in, is stored.
    pub(super) safe: u32,
    /// Whether the lease was lost: it is never acknowledged then.
    // Also true of a lease that the worker gave up itself (`give_up_lease`): both end without an acknowledgement.
    pub(super) lost: bool,
    /// Whether its task needs a fresh slot to itself, so that a crash there is charged to it.
    pub(super) alone: bool,
    /// Whether the worker must run nothing else beside it: it may have ended another worker.
    pub(super) quarantined: bool,
    /// Whether a task of it was given to a slot.
    pub(super) begun: bool,
    /// Which batch it is, however often it is delivered.
    pub(super) id: BatchId,
    /// The first task and the number of tasks of each part that was put back: none of them is here any more.
    // First task and count are enough: a put-back keeps the number of its batch, and its entries stay in one piece.
    pub(super) put_back: Vec<(TaskId, u32)>,
    /// Its tasks whose results were published: once they are stored, none of them runs again.
    pub(super) done: Vec<TaskRun>,
}

/// Tasks of one batch that no slot has.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) execution: u64,
    pub(super) entries: Bytes,
    pub(super) count: u32,
    /// Whether they were in a slot that crashed: they are noted one by one, so that the next crash is charged to one
    /// task.
    pub(super) noted: bool,
    /// Whether they need a fresh slot to themselves.
    pub(super) alone: bool,
    /// When they came, or came back from a slot.
    pub(super) since: Instant,
}
