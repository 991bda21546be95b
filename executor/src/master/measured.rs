//! What the executor's thread measures, as the basis of window sizes.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// Means and sums which the executor's thread writes and any thread reads.
#[derive(Debug)]
pub(crate) struct Measured {
    /// Mean nanoseconds of one execution, by registry index.
    means: Box<[AtomicU64]>,
    slots: AtomicUsize,
    /// Nanoseconds.
    worked: AtomicU64,
    /// Nanoseconds.
    trip: AtomicU64,
    /// Results that came from the ledger.
    stored: AtomicU64,
}

/// How fast the pool works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pace {
    /// Slots of the workers that are there; 0 before the first.
    pub(crate) slots: usize,
    /// Time of all executions so far.
    pub(crate) worked: Duration,
    /// Mean time from packing a batch to its first results, less their work; `None` before one was measured, and where
    /// the queues are in memory.
    pub(crate) trip: Option<Duration>,
    /// Results so far that the ledger had: nothing ran for them.
    pub(crate) stored: u64,
}

/// Weight of the newest round trip in the mean.
// The weight that TCP gives to a new round trip. <https://www.rfc-editor.org/rfc/rfc6298#section-2>
const WEIGHT: f64 = 0.125;

/// No round trip takes longer: such a batch waited behind a backlog, or for the lease of a worker that is gone.
// A time past it counts as it. At half slow networks would be cut off; at double one backlog moves the mean twice as
// far.
pub(crate) const LONGEST: Duration = Duration::from_secs(1);

/// Mean time from packing a batch to its first results, less their work.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Trip(Option<f64>);

impl Trip {
    /// One more was measured.
    pub(crate) fn note(&mut self, trip: Duration) {
        let seconds = trip.min(LONGEST).as_secs_f64();
        // The first one stands as it is: a mean that began at zero would be too low for dozens of batches.
        let mean = *self.0.get_or_insert(seconds);
        self.0 = Some(mean + (seconds - mean) * WEIGHT);
    }

    /// The mean; `None` before one was measured.
    pub(crate) fn mean(self) -> Option<Duration> {
        self.0
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
    }
}

/// Nothing was measured yet.
// `u64::MAX` nanoseconds are 584 years, which nothing that is measured takes.
const NONE: u64 = u64::MAX;

impl Measured {
    /// Nothing is measured yet, for so many tasks.
    pub(crate) fn new(tasks: usize) -> Self {
        Self {
            means: (0..tasks).map(|_| AtomicU64::new(NONE)).collect(),
            slots: AtomicUsize::new(0),
            worked: AtomicU64::new(0),
            trip: AtomicU64::new(NONE),
            stored: AtomicU64::new(0),
        }
    }

    /// So many more results came from the ledger.
    pub(crate) fn add_stored(&self, results: usize) {
        self.stored.fetch_add(results as u64, Ordering::Relaxed);
    }

    /// Takes the newest mean of a task, in seconds.
    pub(crate) fn set(&self, task: u32, seconds: f64) {
        if let Some(cell) = self.means.get(task as usize)
            && let Ok(mean) = Duration::try_from_secs_f64(seconds)
        {
            // Relaxed: each number is used alone, as an estimate, and no other memory is read because of it.
            cell.store(nanos(mean), Ordering::Relaxed);
        }
    }

    /// The mean time of one execution; `None` before one was measured.
    pub(crate) fn get(&self, task: u32) -> Option<Duration> {
        measured(self.means.get(task as usize)?)
    }

    /// Takes the newest pace.
    pub(crate) fn set_pace(&self, pace: &Pace) {
        self.slots.store(pace.slots, Ordering::Relaxed);
        self.worked.store(nanos(pace.worked), Ordering::Relaxed);
        self.trip
            .store(pace.trip.map_or(NONE, nanos), Ordering::Relaxed);
    }

    /// The newest pace. Its parts may be of two moments that follow each other.
    // Without a lock: the executor's thread must never wait for a reader, and a window that is sized by parts of two
    // moments is corrected by the next pace.
    pub(crate) fn pace(&self) -> Pace {
        Pace {
            slots: self.slots.load(Ordering::Relaxed),
            worked: Duration::from_nanos(self.worked.load(Ordering::Relaxed)),
            trip: measured(&self.trip),
            stored: self.stored.load(Ordering::Relaxed),
        }
    }
}

/// Nanoseconds that are never taken for none.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).map_or(NONE - 1, |nanos| nanos.min(NONE - 1))
}

fn measured(cell: &AtomicU64) -> Option<Duration> {
    let nanos = cell.load(Ordering::Relaxed);
    (nanos != NONE).then(|| Duration::from_nanos(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_numbers_are_read_and_missing_ones_are_none() {
        let measured = Measured::new(2);
        assert_eq!((measured.get(0), measured.get(7)), (None, None));
        assert_eq!(measured.pace(), Pace::default());
        measured.set(1, 0.25);
        measured.set(7, 1.0);
        assert_eq!(measured.get(1), Some(Duration::from_millis(250)));
        let pace = Pace {
            slots: 4,
            worked: Duration::from_secs(9),
            trip: Some(Duration::MAX),
            stored: 0,
        };
        measured.set_pace(&pace);
        let read = measured.pace();
        assert_eq!((read.slots, read.worked), (pace.slots, pace.worked));
        assert!(read.trip.is_some(), "a long time is no missing one");
        measured.add_stored(3);
        measured.set_pace(&pace);
        assert_eq!(measured.pace().stored, 3, "counted apart");
    }

    #[test]
    fn the_first_round_trip_stands_and_later_ones_move_it() {
        let millis = Duration::from_millis;
        let mut trip = Trip::default();
        assert_eq!(trip.mean(), None);
        trip.note(millis(160));
        assert_eq!(trip.mean(), Some(millis(160)));
        trip.note(millis(80));
        assert_eq!(trip.mean(), Some(millis(150)));
        trip.note(millis(60_000));
        assert_eq!(trip.mean(), Some(millis(150) + millis(850) / 8));
    }
}
