//! The attempts that must not run, as the master's control names them.

use std::collections::BTreeMap;

use crate::envelope::entry::task_heads;
use crate::envelope::{Control, TaskRun};
use crate::id::{Attempt, TaskId};

/// A set of (task, attempts up to n), in ranges of tasks that do not overlap; and every attempt at the tasks below a
/// number, which have all ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RevokedSet {
    ended_below: TaskId,
    ranges: BTreeMap<u64, (u64, Attempt)>,
}

impl RevokedSet {
    /// The set that a control message names.
    #[must_use]
    pub fn new(control: &Control) -> Self {
        let ranges = control.revoked.iter();
        Self {
            ended_below: control.ended_below,
            ranges: ranges.map(|r| (r.first.0, (r.last.0, r.attempt))).collect(),
        }
    }

    /// Whether a task has ended for certain, so that no attempt at it needs to run.
    #[must_use]
    pub fn has_ended(&self, task: TaskId) -> bool {
        task < self.ended_below
    }

    /// Whether this attempt must not run.
    #[must_use]
    pub fn contains(&self, task: TaskId, attempt: Attempt) -> bool {
        // One look-up in a sorted map, O(log n): this runs for each task of a batch that touches the set.
        let below = self.ranges.range(..=task.0).next_back();
        self.has_ended(task)
            || below.is_some_and(|(_, (last, newest))| task.0 <= *last && attempt <= *newest)
    }

    /// Whether some of these tasks may be in the set: cheaper than a look at each.
    #[must_use]
    pub fn touches(&self, runs: &[TaskRun]) -> bool {
        runs.iter().any(|run| {
            let (first, count) = (run.first.0, u64::from(run.count));
            // Only the range that begins last before the run's end can reach into it: ranges do not overlap.
            let last = first.saturating_add(count.saturating_sub(1));
            let below = self.ranges.range(..=last).next_back();
            self.has_ended(run.first) || below.is_some_and(|(_, (end, _))| *end >= first)
        })
    }

    /// Whether a task among these entries is in the set.
    #[must_use]
    pub fn stops_some(&self, entries: &[u8]) -> bool {
        // Entries that cannot be read end the look: they were read to their end when the batch was taken
        // (`count_runs`).
        task_heads(entries).any(|head| self.contains(head.task, head.attempt))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::{Revoked, RunState};
    use crate::id::RunId;

    fn set(ended_below: u64, ranges: &[(u64, u64, u32)]) -> RevokedSet {
        let range = |(first, last, n): &(u64, u64, u32)| Revoked {
            first: TaskId(*first),
            last: TaskId(*last),
            attempt: Attempt(*n),
        };
        RevokedSet::new(&Control {
            run: RunId::new("test").unwrap(),
            epoch: 1,
            sequence: 1,
            state: RunState::Open,
            ended_below: TaskId(ended_below),
            revoked: ranges.iter().map(range).collect(),
            drain: Vec::new(),
            greeted: Vec::new(),
        })
    }

    #[test]
    fn ranges_hold_their_ends_and_older_attempts() {
        let set = set(0, &[(5, 9, 2), (20, 20, 1)]);
        let holds = |task, attempt| set.contains(TaskId(task), Attempt(attempt));
        assert!(holds(5, 1) && holds(9, 2) && holds(20, 1));
        assert!(!holds(4, 1) && !holds(10, 1) && !holds(5, 3) && !holds(21, 1));
    }

    #[test]
    fn no_attempt_at_a_task_below_the_number_runs() {
        let set = set(4, &[(7, 7, 1)]);
        let holds = |task, attempt| set.contains(TaskId(task), Attempt(attempt));
        assert!(holds(0, 1) && holds(3, u32::MAX) && holds(7, 1));
        assert!(!holds(4, 1) && !holds(7, 2));
        assert!(set.has_ended(TaskId(3)) && !set.has_ended(TaskId(7)));
    }

    #[test]
    fn a_run_that_meets_the_set_at_either_end_touches_it() {
        let set = set(4, &[(7, 9, 1)]);
        let touches = |first, count| {
            set.touches(&[TaskRun {
                first: TaskId(first),
                count,
                attempt: Attempt(1),
            }])
        };
        assert!(touches(3, 1) && touches(0, 9) && touches(4, 4) && touches(9, 5) && touches(6, 9));
        assert!(!touches(4, 3) && !touches(10, 5) && !set.touches(&[]));
        assert!(!touches(u64::MAX, u32::MAX));
    }
}
