//! What went wrong with a task so far.

use podpool_core::retry::Spent;

use crate::error::AttemptReport;

/// Kept only for tasks that had a failure.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) spent: Spent,
    pub(super) attempts: Vec<AttemptReport>,
}
