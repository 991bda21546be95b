//! Slots that die before they are ready: when to try again, and when nothing will ever start here.

use std::time::Duration;

use tokio::time::Instant;

use crate::instant::after;

/// Slots that may die in a row before any was ready; then the pool is broken, unless others live.
const STILLBORN: u32 = 3;
/// Delay before a slot is tried beside living ones, once so many died.
const FIRST_DELAY: Duration = Duration::from_secs(1);
/// Longest such delay; each is twice the one before.
const LAST_DELAY: Duration = Duration::from_secs(30);

/// Why a slot was never ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stillbirth {
    /// Its process did not start or died: that may pass.
    Died,
    /// The initializer failed: it will fail in the next slot too.
    Refused,
}

/// What follows from a slot that was never ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Another may start at once.
    AtOnce,
    /// The living slots go on; another is tried after this.
    After(Duration),
    /// Nothing will start.
    Never,
}

/// The slots that died in a row before any was ready.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Births {
    stillborn: u32,
    refused: u32,
    /// Delays since a slot was ready last.
    delays: u32,
    /// When the next slot may start.
    due: Option<Instant>,
}

impl Births {
    /// A slot is ready: starting works.
    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// A slot was never ready. `alive` says whether another is.
    pub(super) fn failed(&mut self, now: Instant, why: Stillbirth, alive: bool) -> Next {
        self.stillborn += 1;
        self.refused += u32::from(why == Stillbirth::Refused);
        if self.refused >= STILLBORN || (self.stillborn >= STILLBORN && !alive) {
            return Next::Never;
        }
        if self.stillborn < STILLBORN {
            return Next::AtOnce;
        }
        // Slots that were started together and died together are one try.
        let due = self.due.filter(|due| *due > now).unwrap_or_else(|| {
            let delay = FIRST_DELAY.saturating_mul(2_u32.saturating_pow(self.delays));
            self.delays += 1;
            after(now, delay.min(LAST_DELAY))
        });
        self.due = Some(due);
        Next::After(due - now)
    }

    /// How many slots may start now, beside `starting` ones. Without a living slot nothing is gained by waiting.
    pub(super) fn room(&self, now: Instant, starting: usize, alive: bool) -> usize {
        if self.stillborn < STILLBORN {
            return usize::MAX;
        }
        let waits = alive && self.due.is_some_and(|due| due > now);
        usize::from(starting == 0 && !waits)
    }

    /// When the next slot may start, while it may not.
    pub(super) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// The delay is over. True once.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        self.due.take_if(|due| *due <= now).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn three_deaths_in_a_row_end_it_only_where_nobody_lives() {
        let now = Instant::now();
        for (alive, end) in [(false, Next::Never), (true, Next::After(SECOND))] {
            let mut births = Births::default();
            assert_eq!(births.failed(now, Stillbirth::Died, alive), Next::AtOnce);
            assert_eq!(births.failed(now, Stillbirth::Died, alive), Next::AtOnce);
            assert_eq!(births.room(now, 1, alive), usize::MAX);
            assert_eq!(births.failed(now, Stillbirth::Died, alive), end);
        }
    }

    #[test]
    fn an_initializer_that_fails_three_times_ends_it_whoever_lives() {
        let now = Instant::now();
        let mut births = Births::default();
        births.failed(now, Stillbirth::Refused, true);
        births.failed(now, Stillbirth::Refused, true);
        births.succeeded();
        births.failed(now, Stillbirth::Refused, true);
        births.failed(now, Stillbirth::Died, true);
        let third = births.failed(now, Stillbirth::Refused, true);
        assert_eq!(third, Next::After(SECOND), "two of three refused");
        assert_eq!(births.failed(now, Stillbirth::Refused, true), Next::Never);
    }

    #[test]
    fn delays_double_up_to_half_a_minute_and_one_slot_is_tried_at_a_time() {
        let mut now = Instant::now();
        let mut births = Births::default();
        births.failed(now, Stillbirth::Died, true);
        births.failed(now, Stillbirth::Died, true);
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            let delay = Next::After(seconds * SECOND);
            assert_eq!(births.failed(now, Stillbirth::Died, true), delay);
            let together = births.failed(now, Stillbirth::Died, true);
            assert_eq!(together, delay, "those that die together are one try");
            assert_eq!(births.room(now, 0, true), 0);
            assert_eq!(births.room(now, 0, false), 1, "nobody else would work");
            now = births.due().unwrap();
            assert!(births.is_due(now) && !births.is_due(now));
            assert_eq!(
                [0, 1].map(|starting| births.room(now, starting, true)),
                [1, 0]
            );
        }
        births.succeeded();
        assert_eq!(births.due(), None);
        assert_eq!(births.failed(now, Stillbirth::Died, true), Next::AtOnce);
    }
}
