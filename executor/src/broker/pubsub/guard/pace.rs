//! When a run's topics and subscriptions are looked at: now and then, and soon where a call found something gone or
//! workers fell silent. Pure: the time is told.

use std::time::Duration;

use podpool_core::instant::after;
use tokio::time::Instant;

/// Shortest time from a look that found nothing gone to the next one that a call asks for; doubled each time, up to the
/// ordinary pause. A service may refuse calls for a while after something was made.
const FIRST: Duration = Duration::from_secs(1);
/// Workers report at least every ten seconds. Longer silence may mean that results do not reach the master.
const SILENCE: Duration = Duration::from_secs(12);

/// Times of looks.
#[derive(Debug)]
pub(super) struct Pace {
    every: Duration,
    /// From the last look to the soonest next one.
    pause: Duration,
    last: Instant,
    next: Instant,
    /// The next look is there for a reason.
    asked: bool,
}

impl Pace {
    /// A look each `every`, the first after that.
    pub(super) fn new(now: Instant, every: Duration) -> Self {
        Self {
            every,
            pause: Duration::ZERO,
            last: now,
            next: after(now, every),
            asked: false,
        }
    }

    /// Something may be gone: a look as soon as the pace allows.
    pub(super) fn ask(&mut self, now: Instant) {
        self.asked = true;
        self.next = self.next.min(after(self.last, self.pause)).max(now);
    }

    /// When the next look is due. `heard` is when something came from workers that should say something.
    pub(super) fn due(&mut self, now: Instant, heard: Option<Instant>) -> Instant {
        let silent = heard.map(|at| after(at, SILENCE));
        match silent {
            Some(at) if at > now => self.next.min(at),
            Some(_) => {
                self.ask(now);
                self.next
            }
            None => self.next,
        }
    }

    /// A look has ended. One that made everything whole, or that was made by schedule, begins anew; where it failed, another
    /// follows soon.
    pub(super) fn looked(&mut self, now: Instant, made: bool, failed: bool) {
        let asked = std::mem::take(&mut self.asked);
        self.pause = if (made || !asked) && !failed {
            FIRST
        } else {
            (self.pause * 2).clamp(FIRST, self.every.max(FIRST))
        };
        self.last = now;
        self.next = after(now, if failed { self.pause } else { self.every });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(30);
    const SECOND: Duration = Duration::from_secs(1);

    fn pace() -> (Pace, Instant) {
        let now = Instant::now();
        (Pace::new(now, EVERY), now)
    }

    #[test]
    fn what_a_call_finds_gone_is_looked_at_at_once() {
        let (mut pace, start) = pace();
        assert_eq!(pace.due(start, None), start + EVERY);
        let now = start + 7 * SECOND;
        pace.ask(now);
        assert_eq!(pace.due(now, None), now);
        pace.looked(now, true, false);
        assert_eq!(pace.due(now, None), now + EVERY);
        pace.ask(now);
        assert_eq!(pace.due(now, None), now + FIRST, "not twice in a second");
    }

    #[test]
    fn calls_that_are_refused_though_all_is_there_ask_less_and_less() {
        let (mut pace, mut now) = pace();
        let mut pauses = Vec::new();
        for _ in 0..8 {
            pace.ask(now);
            let at = pace.due(now, None);
            pauses.push((at - now).as_secs());
            now = at;
            pace.looked(now, false, false);
        }
        assert_eq!(pauses, [0, 1, 2, 4, 8, 16, 30, 30]);
        // A look by schedule forgets it.
        now = pace.due(now, None);
        pace.looked(now, false, false);
        pace.ask(now);
        assert_eq!(pace.due(now, None), now + FIRST);
    }

    #[test]
    fn a_look_that_fails_is_followed_soon() {
        let (mut pace, now) = pace();
        pace.looked(now, true, true);
        assert_eq!(pace.due(now, None), now + FIRST);
        pace.looked(now + FIRST, true, true);
        assert_eq!(pace.due(now + FIRST, None), now + 3 * FIRST);
    }

    #[test]
    fn workers_that_fall_silent_are_a_reason_to_look() {
        let (mut pace, start) = pace();
        let heard = Some(start);
        assert_eq!(pace.due(start, heard), start + SILENCE);
        let now = start + SILENCE;
        assert_eq!(pace.due(now, heard), now);
        pace.looked(now, false, false);
        assert_eq!(pace.due(now, heard), now + FIRST);
        pace.looked(now + FIRST, false, false);
        assert_eq!(pace.due(now + FIRST, heard), now + 3 * FIRST);
    }
}
