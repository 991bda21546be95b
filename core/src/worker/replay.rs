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
mod tests {
    use proptest::prelude::*;

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
        stored.add(BATCH, &[run(3, 2), run(9, 1)]);
        stored.add(BATCH, &[run(6, 1)]);
        let known: Vec<u64> = (0..12)
            .filter(|task| stored.holds(BATCH, TaskId(*task), Attempt::FIRST))
            .collect();
        assert_eq!(known, [3, 4, 6, 9]);
        assert!(!stored.holds(BATCH, TaskId(3), Attempt::FIRST.next()));
        for other in [
            BatchId { number: 8, ..BATCH },
            BatchId { number: 6, ..BATCH },
            BatchId { epoch: 2, ..BATCH },
        ] {
            assert!(!stored.holds(other, TaskId(3), Attempt::FIRST));
            assert!(!stored.knows(other));
        }
    }

    #[test]
    fn the_newest_65_536_tasks_are_known_however_they_are_packed() {
        for packed in [1, 7, 256, 4_096] {
            let mut stored = Stored::default();
            let batches = 3 * TASKS / u64::from(packed);
            for number in 0..batches {
                let first = number * u64::from(packed);
                stored.add(BatchId { epoch: 1, number }, &[run(first, packed)]);
            }
            let holds = |number: u64| {
                let task = TaskId(number * u64::from(packed));
                stored.holds(BatchId { epoch: 1, number }, task, Attempt::FIRST)
            };
            let kept = TASKS.div_ceil(u64::from(packed));
            assert!((batches - kept..batches).all(holds), "{packed}");
            assert!(!(0..batches - kept).any(holds), "{packed}");
            assert_eq!(stored.runs.len(), stored.order.len());
        }
    }

    #[test]
    fn a_batch_larger_than_all_that_is_kept_is_known() {
        let mut stored = Stored::default();
        let runs: Vec<_> = (0..=TASKS).map(|n| run(2 * n, 1)).collect();
        stored.add(BATCH, &runs);
        assert!(stored.holds(BATCH, TaskId(2 * TASKS), Attempt::FIRST));
        assert!(!stored.holds(BATCH, TaskId(0), Attempt::FIRST));
    }

    #[test]
    fn an_old_batch_whose_result_is_new_is_remembered_as_new() {
        let mut stored = Stored::default();
        for number in 100..100 + TASKS {
            stored.add(BatchId { epoch: 1, number }, &[run(number, 1)]);
        }
        // It ran for long, so its number is the lowest of all.
        stored.add(BATCH, &[run(7, 1)]);
        assert!(stored.holds(BATCH, TaskId(7), Attempt::FIRST));
        let oldest = BatchId {
            epoch: 1,
            number: 100,
        };
        assert!(!stored.knows(oldest));
    }

    proptest! {
        /// Against a map of every task, and whatever is stored again.
        #[test]
        fn the_record_holds_what_was_stored_and_nothing_else(
            adds in prop::collection::vec((0u64..6, 0u64..20, 1u32..5, 1u32..3), 0..40),
        ) {
            let mut stored = Stored::default();
            let mut plain = BTreeMap::new();
            for (number, place, count, attempt) in adds {
                // Runs of one batch do not overlap: a task that is remembered does not run again.
                let (batch, first) = (BatchId { epoch: 1, number }, place * 5);
                let run = TaskRun { first: TaskId(first), count, attempt: Attempt(attempt) };
                plain.retain(|(of, task), _| *of != batch || !(first..first + 5).contains(task));
                plain.extend((0..u64::from(count)).map(|n| ((batch, first + n), attempt)));
                stored.add(batch, &[run]);
                prop_assert_eq!(stored.tasks, plain.len() as u64);
            }
            for (number, task, attempt) in (0..6).flat_map(|n| (0..100).flat_map(move |t| [(n, t, 1), (n, t, 2)])) {
                let batch = BatchId { epoch: 1, number };
                let held = stored.holds(batch, TaskId(task), Attempt(attempt));
                prop_assert_eq!(held, plain.get(&(batch, task)) == Some(&attempt));
            }
        }
    }
}
