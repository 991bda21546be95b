//! Which results are stored, so that what is delivered again does not run again.
//!
//! A batch comes again when its lease ended before it was acknowledged: this process was stopped, or its queue could
//! not be reached. It keeps its number then. The master publishes under a new number what must run once more.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use crate::envelope::{Batch, TaskRun};
use crate::id::{Attempt, TaskId};

/// Most runs of tasks that are remembered; the oldest are forgotten first. A replay past them costs an execution, no
/// more. An acknowledgement follows its results at once, so it is missing for few of the newest; and so many fit into the
/// cache of a core: this is written for every batch.
const MOST: usize = 4_096;

/// A batch, however often it is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

/// The tasks with stored results, by batch.
#[derive(Debug, Default)]
pub(super) struct Stored {
    batches: HashMap<BatchId, Vec<TaskRun>>,
    /// Oldest first, with how many runs each entry added.
    order: VecDeque<(BatchId, usize)>,
    runs: usize,
}

impl Stored {
    /// Remembers tasks of a batch.
    pub(super) fn add(&mut self, batch: BatchId, done: Vec<TaskRun>) {
        if done.is_empty() {
            return;
        }
        self.order.push_back((batch, done.len()));
        self.runs += done.len();
        match self.batches.entry(batch) {
            Entry::Occupied(mut known) => known.get_mut().extend(done),
            Entry::Vacant(new) => drop(new.insert(done)),
        }
        while self.runs > MOST && self.order.len() > 1 {
            let Some((oldest, runs)) = self.order.pop_front() else {
                break;
            };
            self.runs -= runs;
            self.batches.remove(&oldest);
        }
    }

    /// Whether anything of a batch is remembered.
    pub(super) fn knows(&self, batch: BatchId) -> bool {
        self.batches.contains_key(&batch)
    }

    /// Whether the result of a task of a batch is stored.
    pub(super) fn holds(&self, batch: BatchId, task: TaskId, attempt: Attempt) -> bool {
        let within = |run: &TaskRun| {
            let place = task.0.checked_sub(run.first.0);
            run.attempt == attempt && place.is_some_and(|place| place < u64::from(run.count))
        };
        let runs = self.batches.get(&batch);
        runs.is_some_and(|runs| runs.iter().any(within))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BATCH: BatchId = BatchId {
        epoch: 1,
        number: 7,
    };

    fn run(first: u64, count: u32) -> TaskRun {
        TaskRun {
            first: TaskId(first),
            count,
            attempt: Attempt::FIRST,
        }
    }

    #[test]
    fn a_task_is_known_by_batch_number_and_attempt() {
        let mut stored = Stored::default();
        stored.add(BATCH, vec![run(3, 2), run(9, 1)]);
        stored.add(BATCH, vec![run(6, 1)]);
        let known: Vec<u64> = (0..12)
            .filter(|task| stored.holds(BATCH, TaskId(*task), Attempt::FIRST))
            .collect();
        assert_eq!(known, [3, 4, 6, 9]);
        assert!(!stored.holds(BATCH, TaskId(3), Attempt::FIRST.next()));
        let other = BatchId { number: 8, ..BATCH };
        assert!(!stored.holds(other, TaskId(3), Attempt::FIRST));
    }

    #[test]
    fn the_oldest_are_forgotten_and_the_newest_never() {
        let mut stored = Stored::default();
        let runs = |number: u64, of: u64| (0..of).map(|i| run(number * 100 + i, 1)).collect();
        for number in 0..1000 {
            stored.add(BatchId { epoch: 1, number }, runs(number, 100));
        }
        assert!(stored.runs <= MOST && stored.runs > MOST - 100);
        assert_eq!(stored.batches.len(), stored.order.len());
        assert!(!stored.knows(BatchId {
            epoch: 1,
            number: 0
        }));
        assert!(stored.knows(BatchId {
            epoch: 1,
            number: 999
        }));
        stored.add(BATCH, runs(0, MOST as u64 + 1));
        assert!(stored.knows(BATCH), "larger than all that is kept");
    }
}
