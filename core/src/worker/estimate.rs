//! How long the tasks of each task type take, as measured here.

use std::time::Duration;

/// Weight of the newest measurement. A task type's tasks differ, so one of them moves the estimate by an eighth.
const WEIGHT: f64 = 0.125;

/// A running mean for each task type, by registry index.
#[derive(Debug, Default, Clone)]
pub struct Estimates {
    seconds: Vec<Option<f64>>,
}

// By registry index, which is the same for all batches of a program, and not by name: this is read for every batch.
impl Estimates {
    /// Takes a measurement in.
    pub fn record(&mut self, task_type: u32, elapsed: Duration) {
        let index = task_type as usize;
        if self.seconds.len() <= index {
            // Bounded by the registry: only tasks that ran are recorded, and tasks of unknown types (index `u32::MAX`)
            // never run.
            self.seconds.resize(index + 1, None);
        }
        let measured = elapsed.as_secs_f64();
        let mean = &mut self.seconds[index];
        *mean = Some(mean.map_or(measured, |mean| mean + (measured - mean) * WEIGHT));
    }

    /// The estimate in seconds; `None` until an execution was measured.
    #[must_use]
    pub fn seconds(&self, task_type: u32) -> Option<f64> {
        self.seconds.get(task_type as usize).copied().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_measurement_stands_and_later_ones_move_it() {
        let mut estimates = Estimates::default();
        assert_eq!(estimates.seconds(3), None);
        estimates.record(3, Duration::from_secs(8));
        assert_eq!(estimates.seconds(3), Some(8.0));
        estimates.record(3, Duration::from_secs(16));
        assert_eq!(estimates.seconds(3), Some(9.0));
        assert_eq!(estimates.seconds(0), None);
    }
}
