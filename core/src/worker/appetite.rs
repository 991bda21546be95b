//! How many parcels one pull may bring: where parcels are short, a pull of one would cost more than its work.

/// Work that may wait here for each slot, in seconds: it can start soon, so nobody hoards.
const AHEAD: f64 = 0.02;
/// Most parcels of one pull.
const MOST: usize = 64;
/// Parcels by whose worth the next ones are judged.
const LAST: usize = 4;

/// What the last parcels were worth.
#[derive(Debug)]
pub(super) struct Appetite {
    seconds: [f64; LAST],
    next: usize,
}

impl Default for Appetite {
    fn default() -> Self {
        Self {
            seconds: [f64::INFINITY; LAST],
            next: 0,
        }
    }
}

impl Appetite {
    /// A parcel came with so much work; infinitely much when nobody has measured it.
    pub(super) fn note(&mut self, seconds: f64) {
        self.seconds[self.next] = seconds;
        self.next = (self.next + 1) % LAST;
    }

    /// How many parcels like the longest of the last ones so many slots can begin soon.
    pub(super) fn room(&self, slots: u32) -> usize {
        let longest = self.seconds.iter().copied().fold(0.0, f64::max);
        let room = AHEAD * f64::from(slots) / longest.max(AHEAD / MOST as f64);
        // Finite and at most MOST for each slot: the longest is bounded from below.
        (room as usize).min(MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_parcels_come_many_at_once() {
        let mut appetite = Appetite::default();
        assert_eq!(appetite.room(2), 0, "nothing is known");
        (0..LAST - 1).for_each(|_| appetite.note(1e-6));
        assert_eq!(appetite.room(2), 0, "not enough is known");
        appetite.note(1e-6);
        assert_eq!(appetite.room(2), MOST);
        appetite.note(0.004);
        assert_eq!(appetite.room(2), 10, "the longest counts");
        appetite.note(5.0);
        assert_eq!(appetite.room(2), 0);
        (0..LAST).for_each(|_| appetite.note(0.0));
        assert_eq!(appetite.room(1), MOST);
    }
}
