//! The time of a typical execution of each task, for those who size windows by it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Durations by registry index, which the executor's thread writes and any thread reads.
#[derive(Debug)]
pub(crate) struct Measured(Box<[AtomicU64]>);

/// No execution was measured yet.
const NONE: u64 = u64::MAX;

impl Measured {
    /// Nothing is measured yet, for so many tasks.
    pub(crate) fn new(tasks: usize) -> Self {
        Self((0..tasks).map(|_| AtomicU64::new(NONE)).collect())
    }

    /// Takes the newest mean of a task, in seconds.
    pub(crate) fn set(&self, task: u32, seconds: f64) {
        if let Some(cell) = self.0.get(task as usize)
            && let Ok(mean) = Duration::try_from_secs_f64(seconds)
        {
            let nanos = u64::try_from(mean.as_nanos()).unwrap_or(NONE - 1);
            cell.store(nanos, Ordering::Relaxed);
        }
    }

    /// The mean time of one execution; `None` before one was measured.
    pub(crate) fn get(&self, task: u32) -> Option<Duration> {
        let nanos = self.0.get(task as usize)?.load(Ordering::Relaxed);
        (nanos != NONE).then(|| Duration::from_nanos(nanos))
    }
}
