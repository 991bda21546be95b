//! The attempts that count as failures: an execution that was interrupted is reported, and is no failure.

use podpool::TaskError;
use podpool::error::{AttemptReport, Cause};

/// The reports of attempts that failed by themselves, oldest first.
#[must_use]
pub fn failed(attempts: &[AttemptReport]) -> Vec<&AttemptReport> {
    let counts = |attempt: &&AttemptReport| attempt.cause != Cause::Interrupted;
    attempts.iter().filter(counts).collect()
}

/// How many attempts failed by themselves before the task was given up.
#[must_use]
pub fn failures(error: &TaskError) -> usize {
    failed(error.attempts()).len()
}
