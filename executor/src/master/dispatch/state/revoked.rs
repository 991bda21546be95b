//! The list of attempts that must not run, in ranges: a cancelled backlog is one range.
//!
//! Every operation on a task costs a search among the ranges, however many tasks they have.

use std::collections::BTreeMap;

use podpool_core::envelope::{Revoked, TaskRun};
use podpool_core::id::{Attempt, TaskId};

/// Most ranges that a control message names; past it those of the oldest tasks leave. One takes 23 bytes at most (two
/// numbers of 9, one of 5), all 46,000: what is left of [`CONTROL_BYTES`](podpool_core::envelope::CONTROL_BYTES) holds
/// two thousand workers.
pub(super) const MAX_RANGES: usize = 2_000;

/// Looks after which a range leaves that no queue and no worker can have any more.
// A lease lies between two looks. An envelope whose worker crashed comes again after one lease, a heartbeat names it
// well within the next one, and the range may have been added just before a look. At half such an envelope could come
// later and run; at double control names ranges that no worker needs for twice as long.
const LOOKS: u64 = 3;

/// Tasks that follow each other, revoked alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    last: u64,
    /// Up to this attempt.
    attempt: Attempt,
    /// Whether more than one envelope of the attempt may be in the queue.
    copies: bool,
    /// The number of looks when the newest task of the range was added.
    since: u64,
}

impl Range {
    // Without the age: ranges that differ in it alone would split a backlog that is cancelled over minutes. The joined
    // range takes the younger age, so that it stays longer than it must.
    fn joins(&self, other: &Self) -> bool {
        (self.attempt, self.copies) == (other.attempt, other.copies)
    }
}

/// Revoked attempts, in ranges that do not overlap, by their first task.
#[derive(Debug, Default)]
pub(super) struct RevokedList {
    ranges: BTreeMap<u64, Range>,
    looks: u64,
}

impl RevokedList {
    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Adds a task; where it lies next to a range of the same attempt it lengthens that one. `copies`: more than one
    /// envelope of the attempt may be in the queue.
    pub(super) fn add(&mut self, task: TaskId, attempt: Attempt, copies: bool) {
        // Ranges must not overlap: workers find a task by the range that begins last before it. A task that is added
        // again has a newer attempt, and a range stops all attempts up to its own.
        self.remove(task);
        let mut first = task.0;
        let mut range = Range {
            last: task.0,
            attempt,
            copies,
            since: self.looks,
        };
        if let Some(next) = self
            .ranges
            .get(&(task.0 + 1))
            .filter(|next| next.joins(&range))
        {
            range.last = next.last;
            self.ranges.remove(&(task.0 + 1));
        }
        if let Some((before, below)) = self.ranges.range(..task.0).next_back()
            && below.last + 1 == task.0
            && below.joins(&range)
        {
            first = *before;
        }
        self.ranges.insert(first, range);
        if self.ranges.len() > MAX_RANGES {
            // The lowest numbers: `ended_below` passes them first. What leaves too early costs executions, whose
            // results are late and change nothing.
            self.ranges.pop_first();
        }
    }

    /// All tasks below have ended, and control carries that number: they need no range.
    pub(super) fn forget_below(&mut self, ended_below: TaskId) {
        while let Some(lowest) = self.ranges.first_entry()
            && *lowest.key() < ended_below.0
        {
            let range = lowest.remove();
            if range.last >= ended_below.0 {
                self.ranges.insert(ended_below.0, range);
            }
        }
    }

    /// A worker acknowledged these envelopes without running them. Those that were the only ones of their attempt need no
    /// range.
    pub(super) fn acknowledged(&mut self, runs: &[TaskRun]) {
        for run in runs {
            for task in run.tasks() {
                self.ended(task, run.attempt);
            }
        }
    }

    /// A worker reported how an execution of this attempt ended, so its envelope is acknowledged, or will be. Where it
    /// was the only one, the attempt needs no range. Returns whether it left.
    pub(super) fn ended(&mut self, task: TaskId, attempt: Attempt) -> bool {
        // An older attempt's end proves nothing about the newest, whose envelope is still out.
        let only = |(_, range): &(u64, Range)| range.attempt == attempt && !range.copies;
        self.find(task).filter(only).is_some() && {
            self.remove(task);
            true
        }
    }

    /// Called once a lease. Where the queue was found empty since, ranges leave that were added [`LOOKS`] looks ago and
    /// of which no worker `holds` a task: their envelopes were acknowledged by executions that ended before the
    /// workers received that they are revoked, and no message will report it. Returns whether one left.
    // Linear in the tasks of old ranges. The other way round, by the tasks that workers hold, would need them in order.
    pub(super) fn look(&mut self, found_empty: bool, holds: impl Fn(TaskId) -> bool) -> bool {
        // Counted in any case: the age of a range is time, and an empty queue is the second condition.
        self.looks += 1;
        if !found_empty {
            return false;
        }
        let (before, looks) = (self.ranges.len(), self.looks);
        self.ranges.retain(|first, range| {
            range.since.saturating_add(LOOKS) >= looks
                || (*first..=range.last).any(|task| holds(TaskId(task)))
        });
        self.ranges.len() < before
    }

    pub(super) fn to_vec(&self) -> Vec<Revoked> {
        let range = |(first, range): (&u64, &Range)| Revoked {
            first: TaskId(*first),
            last: TaskId(range.last),
            attempt: range.attempt,
        };
        self.ranges.iter().map(range).collect()
    }

    /// The range that a task is in, with its first task.
    fn find(&self, task: TaskId) -> Option<(u64, Range)> {
        let (first, range) = self.ranges.range(..=task.0).next_back()?;
        (task.0 <= range.last).then_some((*first, *range))
    }

    fn remove(&mut self, task: TaskId) {
        let Some((first, range)) = self.find(task) else {
            return;
        };
        self.ranges.remove(&first);
        if first < task.0 {
            let last = task.0 - 1;
            self.ranges.insert(first, Range { last, ..range });
        }
        if task.0 < range.last {
            self.ranges.insert(task.0 + 1, range);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(list: &RevokedList) -> Vec<(u64, u64, u32)> {
        list.to_vec()
            .iter()
            .map(|r| (r.first.0, r.last.0, r.attempt.0))
            .collect()
    }

    #[test]
    fn a_backlog_is_one_range_and_an_acknowledged_task_leaves_a_hole() {
        let mut revoked = RevokedList::default();
        (3..10).for_each(|n| revoked.add(TaskId(n), Attempt(1), false));
        assert_eq!(list(&revoked), [(3, 9, 1)]);
        let gone = TaskRun {
            first: TaskId(5),
            count: 2,
            attempt: Attempt(1),
        };
        revoked.acknowledged(&[gone]);
        assert_eq!(list(&revoked), [(3, 4, 1), (7, 9, 1)]);
        revoked.add(TaskId(8), Attempt(2), false);
        assert_eq!(list(&revoked), [(3, 4, 1), (7, 7, 1), (8, 8, 2), (9, 9, 1)]);
    }

    #[test]
    fn an_acknowledged_envelope_proves_nothing_about_other_envelopes_of_its_task() {
        let mut revoked = RevokedList::default();
        revoked.add(TaskId(0), Attempt(2), false);
        revoked.add(TaskId(5), Attempt(1), true);
        let run = |task, attempt| TaskRun {
            first: TaskId(task),
            count: 1,
            attempt: Attempt(attempt),
        };
        revoked.acknowledged(&[run(0, 1), run(5, 1)]);
        assert_eq!(list(&revoked), [(0, 0, 2), (5, 5, 1)]);
        revoked.acknowledged(&[run(0, 2)]);
        assert_eq!(list(&revoked), [(5, 5, 1)]);
    }

    #[test]
    fn the_oldest_tasks_leave_when_the_list_is_full() {
        let mut revoked = RevokedList::default();
        (0..=MAX_RANGES as u64).for_each(|n| revoked.add(TaskId(2 * n), Attempt(1), false));
        assert_eq!(revoked.to_vec().len(), MAX_RANGES);
        assert_eq!(list(&revoked)[0], (2, 2, 1));
    }

    #[test]
    fn ranges_below_the_oldest_unfinished_task_leave() {
        let mut revoked = RevokedList::default();
        for task in (0..6).chain(8..12) {
            revoked.add(TaskId(task), Attempt(1), false);
        }
        revoked.forget_below(TaskId(0));
        assert_eq!(list(&revoked), [(0, 5, 1), (8, 11, 1)]);
        revoked.forget_below(TaskId(9));
        assert_eq!(list(&revoked), [(9, 11, 1)]);
        revoked.forget_below(TaskId(12));
        assert!(revoked.is_empty());
    }

    #[test]
    fn a_backlog_is_one_range_in_whatever_order_it_is_cancelled() {
        let orders: [Vec<u64>; 3] = [
            (0..100).collect(),
            (0..100).rev().collect(),
            (0..100).map(|n| n * 37 % 100).collect(),
        ];
        for order in orders {
            let mut revoked = RevokedList::default();
            order
                .iter()
                .for_each(|n| revoked.add(TaskId(*n), Attempt(1), false));
            assert_eq!(list(&revoked), [(0, 99, 1)], "{order:?}");
        }
        let mut revoked = RevokedList::default();
        for (n, copies) in [(0, false), (2, false), (1, true), (4, true), (3, true)] {
            revoked.add(TaskId(n), Attempt(1), copies);
        }
        assert_eq!(list(&revoked), [(0, 0, 1), (1, 1, 1), (2, 2, 1), (3, 4, 1)]);
    }

    #[test]
    fn an_attempt_that_ran_leaves_with_its_result_unless_there_are_copies() {
        let mut revoked = RevokedList::default();
        revoked.add(TaskId(1), Attempt(2), false);
        revoked.add(TaskId(2), Attempt(1), true);
        for (task, attempt) in [(1, 1), (1, 3), (2, 1), (9, 1)] {
            assert!(!revoked.ended(TaskId(task), Attempt(attempt)));
        }
        assert!(revoked.ended(TaskId(1), Attempt(2)));
        assert_eq!(list(&revoked), [(2, 2, 1)]);
    }

    #[test]
    fn a_range_that_no_worker_can_have_leaves_after_three_looks_at_an_empty_queue() {
        let mut revoked = RevokedList::default();
        revoked.add(TaskId(1), Attempt(1), true);
        assert!(!revoked.look(true, |_| false));
        revoked.add(TaskId(5), Attempt(1), true);
        revoked.add(TaskId(7), Attempt(1), true);
        assert!(!revoked.look(true, |_| false) && !revoked.look(true, |_| false));
        assert!(!revoked.look(false, |_| false), "the queue was not empty");
        assert!(revoked.look(true, |task| task.0 == 7));
        assert_eq!(list(&revoked), [(7, 7, 1)], "a worker holds it");
        assert!(revoked.look(true, |_| false) && revoked.is_empty());
    }
}
