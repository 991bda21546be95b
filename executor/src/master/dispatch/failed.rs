//! A failure that waits to be judged.

use std::time::Duration;

use podpool_core::id::{Attempt, ExecutionId, TaskId};
use podpool_core::outcome::Failure;

use super::state::Times;

/// A failure as a worker reported it.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) task: TaskId,
    pub(crate) attempt: Attempt,
    pub(crate) execution: ExecutionId,
    pub(crate) elapsed: Duration,
    pub(crate) times: Times,
    pub(crate) failure: Failure,
}
