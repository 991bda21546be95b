//! What a handle shows of a task.

use podpool_core::id::Attempt;

/// The state of a task, as of the last message that the executor has received about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskState {
    /// Not started, or waiting for its next attempt.
    Pending,
    /// A worker took it; it may wait there for a free slot.
    Running {
        /// Which attempt, from 1.
        attempt: Attempt,
    },
    /// It gave a result.
    Done,
    /// It ended without a result; the future's error has the reason.
    Failed,
    /// It was cancelled.
    Cancelled,
}

impl TaskState {
    /// Whether the task has ended: it has a result, or never will.
    #[must_use]
    pub const fn is_done(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }
}
