//! The list of attempts that must not run, in ranges: a cancelled backlog is one range.
//!
//! Every operation on a task costs a search among the ranges, however many tasks they have.

use std::collections::BTreeMap;

use podpool_core::envelope::{Revoked, TaskRun};
use podpool_core::id::{Attempt, TaskId};

/// Most ranges that a control message names; past it those of the oldest tasks leave. One takes 23 bytes at most (two
/// numbers of 9, one of 5), all 46,000: what is left of [`CONTROL_BYTES`](podpool_core::envelope::CONTROL_BYTES) holds
/// two thousand workers.
pub(crate) const MAX_RANGES: usize = 2_000;

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
#[derive(Debug)]
pub(super) struct RevokedList {
    ranges: BTreeMap<u64, Range>,
    looks: u64,
    /// Most ranges.
    most: usize,
    overflow: Overflow,
}

/// What left the list because it was full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Overflow {
    /// Tasks, each as often as it left.
    pub(crate) tasks: u64,
    /// All of them have lower numbers.
    pub(crate) below: TaskId,
}

impl RevokedList {
    pub(super) fn new(most: usize) -> Self {
        Self {
            ranges: BTreeMap::new(),
            looks: 0,
            most,
            overflow: Overflow::default(),
        }
    }

    pub(super) const fn overflow(&self) -> Overflow {
        self.overflow
    }

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
        self.bound();
    }

    fn bound(&mut self) {
        // The lowest numbers: `ended_below` passes them first. What leaves too early costs executions, whose results are
        // late and change nothing.
        if self.ranges.len() > self.most
            && let Some((first, range)) = self.ranges.pop_first()
        {
            let Overflow { tasks, below } = &mut self.overflow;
            *tasks += range.last + 1 - first;
            *below = (*below).max(TaskId(range.last + 1));
        }
    }

    /// Adds tasks that have ended, whatever attempts of them may be in the queue. None of them is in the list.
    pub(super) fn add_ended(&mut self, tasks: std::ops::Range<u64>) {
        if tasks.is_empty() {
            return;
        }
        let range = Range {
            last: tasks.end - 1,
            attempt: Attempt(u32::MAX),
            copies: true,
            since: self.looks,
        };
        self.ranges.insert(tasks.start, range);
        self.bound();
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
mod tests;
