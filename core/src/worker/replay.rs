//! Which results are stored, so that what is delivered again does not run again.
//!
//! A batch comes again when its lease ended before it was acknowledged: this process was stopped, or its queue could
//! not be reached. It keeps its number then. The master publishes under a new number what must run once more.

use std::collections::{BTreeMap, VecDeque};

use crate::envelope::{Batch, TaskRun};
use crate::id::{Attempt, TaskId};

/// The newest tasks that are remembered at least. A replay past them costs an execution, no more.
// Some 60 bytes for each run: 4 MB where every batch is one task, a few KiB where batches are packed. At 1,000 tasks a
// second the memory reaches back 65 s, a little more than the usual lease, after whose end a batch comes again.
const TASKS: u64 = 65_536;

/// A batch, however often it is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct BatchId {
    epoch: u64,
    number: u64,
}

impl BatchId {
    pub(super) const fn of(batch: &Batch) -> Self {
        Self {
            epoch: batch.epoch,
            number: batch.number,
        }
    }

    /// The master's epoch in which it was published.
    pub(super) const fn epoch(self) -> u64 {
        self.epoch
    }

    /// Its number in that epoch.
    pub(super) const fn number(self) -> u64 {
        self.number
    }
}

/// The tasks with stored results, by batch, in runs: most batches are a single one.
///
/// This is written for every batch. Numbers of batches grow, so that a sorted map is written at its end and emptied at
/// its beginning: both stay in the cache of a core, which the places of a hash table of this size would not.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// The length of each run and the attempt at its tasks, by batch and first task.
    runs: BTreeMap<(BatchId, TaskId), (u32, Attempt)>,
    /// The runs in the order in which they were stored, oldest first.
    order: VecDeque<(BatchId, TaskId)>,
    /// How many tasks the runs have together.
    tasks: u64,
}

impl Stored {
    /// Remembers tasks of a batch, and forgets the oldest runs beyond [`TASKS`].
    pub(super) fn add(&mut self, batch: BatchId, done: &[TaskRun]) {
        for run in done {
            let key = (batch, run.first);
            // The same run again, from a redelivery: it replaces the older entry and keeps its place in `order`.
            let known = self.runs.insert(key, (run.count, run.attempt));
            self.tasks += u64::from(run.count);
            match known {
                Some((count, _)) => self.tasks -= u64::from(count),
                None => self.order.push_back(key),
            }
        }
        // Whole runs leave, and only while the rest still holds what was promised: up to one batch more is kept, and a long
        // run is never cut.
        while let Some(oldest) = self.order.front()
            && let Some((count, _)) = self.runs.get(oldest)
            && self.tasks - u64::from(*count) >= TASKS
        {
            self.tasks -= u64::from(*count);
            self.runs.remove(oldest);
            self.order.pop_front();
        }
    }

    /// Whether anything of a batch is remembered.
    pub(super) fn knows(&self, batch: BatchId) -> bool {
        let of_batch = (batch, TaskId(0))..=(batch, TaskId(u64::MAX));
        self.runs.range(of_batch).next().is_some()
    }

    /// Whether the result of a task of a batch is stored.
    pub(super) fn holds(&self, batch: BatchId, task: TaskId, attempt: Attempt) -> bool {
        let up_to = (batch, TaskId(0))..=(batch, task);
        let run = self.runs.range(up_to).next_back();
        run.is_some_and(|((_, first), (count, of))| {
            // No underflow: the range ends at `task`, so the run begins at it or before.
            *of == attempt && task.0 - first.0 < u64::from(*count)
        })
    }
}

#[cfg(test)]
mod tests;
