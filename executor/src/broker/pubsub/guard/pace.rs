//! When a run's topics and subscriptions are checked: by schedule, and soon after a call found one gone or workers sent
//! no message. Pure: the caller passes the time.

use std::time::Duration;

use podpool_core::instant::after;
use tokio::time::Instant;

/// Shortest time from a check that found nothing gone to the next one that a call requests; doubled each time, up to
/// the ordinary pause. A service may refuse calls for a while after a name was made.
// A check takes five calls or six, so one a second is the most that a run may cost its project's quota.
const FIRST: Duration = Duration::from_secs(1);
/// Workers send a message at least every ten seconds. A longer silence may mean that results do not reach the master.
// Ten seconds, and two for the way of the message. At half, every idle pool would be checked all the time; at double it
// is hardly sooner than the check by schedule, after 30 s.
const SILENCE: Duration = Duration::from_secs(12);

/// Times of checks.
#[derive(Debug)]
pub(super) struct Pace {
    every: Duration,
    /// From the last check to the soonest next one.
    pause: Duration,
    last: Instant,
    next: Instant,
    /// The next check was requested, and is not by schedule.
    asked: bool,
}

impl Pace {
    /// A check each `every`, the first after that.
    pub(super) fn new(now: Instant, every: Duration) -> Self {
        Self {
            every,
            pause: Duration::ZERO,
            last: now,
            next: after(now, every),
            asked: false,
        }
    }

    /// Requests a check as soon as the pace allows: something may be gone.
    pub(super) fn ask(&mut self, now: Instant) {
        self.asked = true;
        // Never later than planned, for a request must not delay a check; and never in the past, or callers would
        // compute with a moment before `now`.
        self.next = self.next.min(after(self.last, self.pause)).max(now);
    }

    /// When the next check is due. `heard` is the time of the last message from workers; `None` where there are no
    /// workers.
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

    /// A check has ended. After one that restored everything, or that was made by schedule, the shortest pause holds
    /// again; after one that failed, another follows soon.
    pub(super) fn looked(&mut self, now: Instant, made: bool, failed: bool) {
        let asked = std::mem::take(&mut self.asked);
        // Only requests that found nothing gone double the pause: they are repeated refusals of a service that does not
        // show a new name everywhere yet.
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
    fn a_name_that_a_call_finds_gone_is_checked_at_once() {
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
    fn refusals_though_nothing_is_gone_lead_to_fewer_and_fewer_checks() {
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
        // A check by schedule resets the pause.
        now = pace.due(now, None);
        pace.looked(now, false, false);
        pace.ask(now);
        assert_eq!(pace.due(now, None), now + FIRST);
    }

    #[test]
    fn a_failed_check_is_repeated_soon() {
        let (mut pace, now) = pace();
        pace.looked(now, true, true);
        assert_eq!(pace.due(now, None), now + FIRST);
        pace.looked(now + FIRST, true, true);
        assert_eq!(pace.due(now + FIRST, None), now + 3 * FIRST);
    }

    #[test]
    fn silence_of_workers_leads_to_a_check() {
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
