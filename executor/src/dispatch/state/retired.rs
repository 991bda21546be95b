//! The list of attempts that must not run, in ranges: cancelling a backlog is one range.

use std::collections::BTreeMap;

use podpool_core::envelope::{Retired, TaskRun};
use podpool_core::id::{Attempt, TaskId};

/// Most ranges that a control message names: about a megabyte. Past it the oldest leave.
const MAX_RANGES: usize = 50_000;

/// Retired attempts, in ranges that do not overlap.
#[derive(Debug, Default)]
pub(super) struct RetiredList {
    ranges: BTreeMap<u64, (u64, Attempt)>,
}

impl RetiredList {
    /// Adds a task; one that follows on a range of the same attempt lengthens it.
    pub(super) fn add(&mut self, task: TaskId, attempt: Attempt) {
        self.remove(task);
        if let Some((_, (last, newest))) = self.ranges.range_mut(..task.0).next_back()
            && *last + 1 == task.0
            && *newest == attempt
        {
            *last = task.0;
            return;
        }
        self.ranges.insert(task.0, (task.0, attempt));
        if self.ranges.len() > MAX_RANGES {
            self.ranges.pop_first();
        }
    }

    /// A worker acknowledged these envelopes without running them: they need no naming.
    pub(super) fn acknowledged(&mut self, runs: &[TaskRun]) {
        for task in runs.iter().flat_map(|run| run.tasks()) {
            self.remove(task);
        }
    }

    pub(super) fn to_vec(&self) -> Vec<Retired> {
        let range = |(first, (last, attempt)): (&u64, &(u64, Attempt))| Retired {
            first: TaskId(*first),
            last: TaskId(*last),
            attempt: *attempt,
        };
        self.ranges.iter().map(range).collect()
    }

    fn remove(&mut self, task: TaskId) {
        let below = self.ranges.range(..=task.0).next_back();
        let Some((first, last, attempt)) = below.map(|(first, (last, n))| (*first, *last, *n))
        else {
            return;
        };
        if last < task.0 {
            return;
        }
        self.ranges.remove(&first);
        if first < task.0 {
            self.ranges.insert(first, (task.0 - 1, attempt));
        }
        if task.0 < last {
            self.ranges.insert(task.0 + 1, (last, attempt));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(list: &RetiredList) -> Vec<(u64, u64, u32)> {
        list.to_vec()
            .iter()
            .map(|r| (r.first.0, r.last.0, r.attempt.0))
            .collect()
    }

    #[test]
    fn a_backlog_is_one_range_and_an_acknowledged_task_leaves_a_hole() {
        let mut retired = RetiredList::default();
        (3..10).for_each(|n| retired.add(TaskId(n), Attempt(1)));
        assert_eq!(list(&retired), [(3, 9, 1)]);
        let gone = TaskRun {
            first: TaskId(5),
            count: 2,
            attempt: Attempt(1),
        };
        retired.acknowledged(&[gone]);
        assert_eq!(list(&retired), [(3, 4, 1), (7, 9, 1)]);
        retired.add(TaskId(8), Attempt(2));
        assert_eq!(list(&retired), [(3, 4, 1), (7, 7, 1), (8, 8, 2), (9, 9, 1)]);
    }

    #[test]
    fn the_oldest_leave_when_the_list_is_full() {
        let mut retired = RetiredList::default();
        (0..=MAX_RANGES as u64).for_each(|n| retired.add(TaskId(2 * n), Attempt(1)));
        assert_eq!(retired.to_vec().len(), MAX_RANGES);
        assert_eq!(list(&retired)[0], (2, 2, 1));
    }
}
