//! How many batches one pull may bring: where batches are short, a pull of one would cost more than its work.

/// Work that may wait here for each slot, in seconds: it starts soon, so no other worker would run it earlier.
// Of the order of one round trip to a queue elsewhere: with much less, slots fall idle between pulls; with much more, a
// worker holds work that a free slot of another worker could run.
const AHEAD: f64 = 0.02;
/// Bytes that may wait here: a worker has little memory beside its slots'.
// Eight of the largest packed batches (1 MiB).
const BYTES: usize = 8 << 20;
/// Most batches of one pull.
const MOST: usize = 256;
/// Batches by whose worth and size the next ones are judged.
// Four measurements must agree before more than one batch is pulled, and one long batch among them ends that at once.
const LAST: usize = 4;

/// What the last batches were.
#[derive(Debug)]
pub(super) struct Prefetch {
    /// Seconds of work, and bytes.
    last: [(f64, usize); LAST],
    next: usize,
}

impl Default for Prefetch {
    fn default() -> Self {
        Self {
            last: [(f64::INFINITY, 0); LAST],
            next: 0,
        }
    }
}

impl Prefetch {
    /// A batch of so many bytes came with so much work; infinitely much when it was never measured.
    pub(super) fn note(&mut self, seconds: f64, bytes: usize) {
        self.last[self.next] = (seconds, bytes);
        self.next = (self.next + 1) % LAST;
    }

    /// How many batches like the longest and the largest of the last ones so many slots can begin soon.
    pub(super) fn room(&self, slots: u32) -> usize {
        let longest = self
            .last
            .iter()
            .fold(0.0, |most, (s, _)| f64::max(most, *s));
        let largest = self.last.iter().map(|(_, bytes)| *bytes).max();
        // Finite and at most MOST for each slot: the longest is bounded from below.
        let in_time = AHEAD * f64::from(slots) / longest.max(AHEAD / MOST as f64);
        // The largest of the last ones stands for the next: one large batch among small ones may not be followed by eight.
        let in_memory = BYTES / largest.unwrap_or(0).max(1);
        // A cast of a finite number that is not negative; what is beyond `usize` saturates, and `MOST` bounds all of
        // it.
        (in_time as usize).min(in_memory).min(MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_batches_come_many_at_once() {
        let mut prefetch = Prefetch::default();
        assert_eq!(prefetch.room(2), 0, "nothing is known");
        (0..LAST - 1).for_each(|_| prefetch.note(1e-6, 50));
        assert_eq!(prefetch.room(2), 0, "not enough is known");
        prefetch.note(1e-6, 50);
        assert_eq!(prefetch.room(2), MOST);
        prefetch.note(0.004, 50);
        assert_eq!(prefetch.room(2), 10, "the longest counts");
        prefetch.note(5.0, 50);
        assert_eq!(prefetch.room(2), 0);
        (0..LAST).for_each(|_| prefetch.note(0.0, 0));
        assert_eq!(prefetch.room(1), MOST);
    }

    #[test]
    fn large_batches_come_few_at_once_however_short() {
        let mut prefetch = Prefetch::default();
        (0..LAST).for_each(|_| prefetch.note(0.0, 50));
        prefetch.note(0.0, 1 << 20);
        assert_eq!(prefetch.room(2), 8, "the largest counts");
        prefetch.note(0.0, 10_000_000);
        assert_eq!(prefetch.room(2), 0);
    }
}
