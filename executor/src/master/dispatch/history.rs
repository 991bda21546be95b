//! What went wrong with a task so far.

use podpool_core::retry::Spent;

use crate::error::AttemptReport;

/// Kept only for tasks that had a failure.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) spent: Spent,
    pub(super) attempts: Vec<AttemptReport>,
    /// Executions that were lost with their worker.
    pub(super) losses: u32,
    /// The same since the last that was reported.
    pub(super) losses_in_row: u32,
    /// Workers that died while it alone ran in them.
    pub(super) poison: u32,
}

impl History {
    /// Adds an attempt.
    pub(super) fn push(&mut self, story: AttemptReport) {
        AttemptReport::keep(&mut self.attempts, story);
    }
}
