//! The attempts that must not run, as the master's control says.

use std::collections::BTreeMap;

use crate::envelope::Revoked;
use crate::id::{Attempt, TaskId};

/// A set of (task, attempts up to n), in ranges of tasks that do not overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RevokedSet {
    ranges: BTreeMap<u64, (u64, Attempt)>,
}

impl RevokedSet {
    /// The set that a control message names.
    #[must_use]
    pub fn new(revoked: &[Revoked]) -> Self {
        let ranges = revoked
            .iter()
            .map(|r| (r.first.0, (r.last.0, r.attempt)))
            .collect();
        Self { ranges }
    }

    /// Whether nothing is revoked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether this attempt must not run.
    #[must_use]
    pub fn contains(&self, task: TaskId, attempt: Attempt) -> bool {
        let below = self.ranges.range(..=task.0).next_back();
        below.is_some_and(|(_, (last, newest))| task.0 <= *last && attempt <= *newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_their_ends_and_older_attempts() {
        let range = |first, last, n| Revoked {
            first: TaskId(first),
            last: TaskId(last),
            attempt: Attempt(n),
        };
        let set = RevokedSet::new(&[range(5, 9, 2), range(20, 20, 1)]);
        let holds = |task, attempt| set.contains(TaskId(task), Attempt(attempt));
        assert!(holds(5, 1) && holds(9, 2) && holds(20, 1));
        assert!(!holds(4, 1) && !holds(10, 1) && !holds(5, 3) && !holds(21, 1));
    }
}
