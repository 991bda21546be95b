//! What went wrong with a task so far.

use podpool_core::retry::Spent;

use crate::error::AttemptReport;

/// Kept only for tasks that had a failure.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) spent: Spent,
    pub(super) attempts: Vec<AttemptReport>,
}

impl History {
    /// Adds an attempt.
    // By `keep`, which bounds the list: a task may lose a hundred executions.
    pub(super) fn push(&mut self, report: AttemptReport) {
        AttemptReport::keep(&mut self.attempts, report);
    }

    /// The attempts of a task that has ended, for its error.
    pub(super) fn into_attempts(history: Option<Box<Self>>) -> Vec<AttemptReport> {
        history.map(|history| history.attempts).unwrap_or_default()
    }
}
