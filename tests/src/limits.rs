//! How long a row, and one step of it, may take.

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Longest time of a row, where everything is in memory.
pub const ROW_LIMIT: Duration = Duration::from_secs(30);

/// Longest time that a row waits for one thing, where everything is in memory.
pub const STEP_LIMIT: Duration = Duration::from_secs(20);

/// The factor by which the beds of this program may take longer. One value suffices: all tests of a program run on the
/// same beds.
static PATIENCE: AtomicU32 = AtomicU32::new(1);

/// Longest time of a row.
#[must_use]
pub fn row_limit() -> Duration {
    ROW_LIMIT * PATIENCE.load(Ordering::Relaxed)
}

/// Longest time that a row waits for one thing.
#[must_use]
pub fn step_limit() -> Duration {
    STEP_LIMIT * PATIENCE.load(Ordering::Relaxed)
}

/// Waits for a step of a row.
///
/// # Panics
/// When the step takes too long; `what` names the step.
pub async fn within<F: Future>(what: &str, step: F) -> F::Output {
    let limit = step_limit();
    match tokio::time::timeout(limit, step).await {
        Ok(output) => output,
        Err(_) => panic!("waited {limit:?} in vain for {what}"),
    }
}

/// Multiplies the limits of steps and rows by `patience`. The largest factor counts.
pub(crate) fn allow(patience: u32) {
    PATIENCE.fetch_max(patience, Ordering::Relaxed);
}
