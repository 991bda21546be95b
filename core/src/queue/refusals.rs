//! What follows from a queue that refuses one kind of call again and again: longer pauses, some lines for users, and an
//! end. Pure: the time and the jitter are parameters.

use std::time::Duration;

use tokio::time::Instant;

use super::QueueError;
use crate::instant::after;

/// Pause after the first refusal; doubled with each refusal in a row, up to [`LONGEST`].
// The cap is reached with the seventh refusal, after 12.6 s at most. From then on a caller makes 6 to 12 calls a
// minute, for the jitter halves a pause at most.
const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(10);

/// How long a queue may refuse everything before it is given up, where no other time is set.
// Long enough for the usual outage of a service. After that a worker that can store nothing only costs money.
pub const BROKER_TIMEOUT: Duration = Duration::from_secs(600);

/// Time between two lines about the same outage.
const SAID_AGAIN: Duration = Duration::from_secs(60);

/// Calls that are refused in a row, however many messages each carries: when that is worth a line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outage {
    refused: u32,
    since: Option<Instant>,
    said: Option<Instant>,
}

impl Outage {
    /// A call was refused. True where it is worth a log line: from the second refusal in a row on, once a minute. For
    /// queues that the run's master makes again, the master alone logs it.
    pub fn refused(&mut self, now: Instant, error: &QueueError) -> bool {
        self.refused = self.refused.saturating_add(1);
        self.since.get_or_insert(now);
        let due = self.said.is_none_or(|at| now >= after(at, SAID_AGAIN));
        let told = self.refused > 1 && due && !matches!(error, QueueError::Vanished { .. });
        if told {
            self.said = Some(now);
        }
        told
    }

    /// A call was answered. Where refusals were logged, returns for how long there were any: their end is worth a line too.
    pub fn served(&mut self, now: Instant) -> Option<Duration> {
        let Self { since, said, .. } = std::mem::take(self);
        said.and(since)
            .map(|since| now.saturating_duration_since(since))
    }
}

/// The refusals of one kind of call in a row.
#[derive(Clone, Copy, Debug, Default)]
pub struct Refusals {
    since: Option<Instant>,
    times: u32,
    outage: Outage,
}

impl Refusals {
    /// Since when calls were refused, if the last one was.
    #[must_use]
    pub const fn since(&self) -> Option<Instant> {
        self.since
    }

    /// A call was answered: what was before counts no more. Tells what [`Outage::served`] does.
    pub fn served(&mut self, now: Instant) -> Option<Duration> {
        let over = self.outage.served(now);
        *self = Self::default();
        over
    }

    /// Whether the refusal that was just counted is worth a line: see [`Outage::refused`].
    pub fn is_worth_a_line(&mut self, now: Instant, error: &QueueError) -> bool {
        self.outage.refused(now, error)
    }

    /// A call was refused. Gives the pause before the next one, `None` once the refusals last for `timeout`. `jitter` lies
    /// in 0..1 and shortens the pause by up to half, so that many callers do not come back together.
    pub fn refused(&mut self, now: Instant, timeout: Duration, jitter: f32) -> Option<Duration> {
        let since = *self.since.get_or_insert(now);
        let pause = pause(FIRST, LONGEST, self.times, jitter);
        self.times = self.times.saturating_add(1);
        // Saturating: the clock is read by the caller, and an earlier `now` counts as no time at all.
        let left = timeout.saturating_sub(now.saturating_duration_since(since));
        // The last call is made when the time is over.
        (!left.is_zero()).then(|| pause.min(left))
    }
}

/// A pause that doubles with each of `times` refusals, from `first` up to `longest`; `jitter` in 0..1 shortens it by up to
/// half.
#[must_use]
pub fn pause(first: Duration, longest: Duration, times: u32, jitter: f32) -> Duration {
    // 2^30 of the shortest pause is past any cap; a higher exponent would only saturate.
    let doubled = first.saturating_mul(2_u32.saturating_pow(times.min(30)));
    doubled
        .min(longest)
        // Shortened and never lengthened: the cap holds whatever the jitter is. Factors of 0.5 to 1 cannot overflow.
        .mul_f32(1.0 - jitter.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn pauses_double_to_a_cap_and_jitter_halves_them_at_most() {
        let mut refusals = Refusals::default();
        let now = Instant::now();
        let pauses: Vec<_> = (0..8)
            .map(|_| {
                refusals
                    .refused(now, BROKER_TIMEOUT, 0.0)
                    .unwrap()
                    .as_millis()
            })
            .collect();
        assert_eq!(pauses, [200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        assert_eq!(pause(SECOND, 4 * SECOND, 1, 1.0), SECOND);
        assert_eq!(pause(SECOND, 4 * SECOND, u32::MAX, 0.0), 4 * SECOND);
    }

    #[test]
    fn a_queue_is_given_up_when_refusals_last_too_long_and_an_answer_begins_anew() {
        let mut now = Instant::now();
        let mut refusals = Refusals::default();
        assert!(refusals.refused(now, 10 * SECOND, 0.0).is_some());
        now += 9 * SECOND;
        assert_eq!(refusals.served(now), None, "no line was logged");
        assert!(refusals.refused(now, 10 * SECOND, 0.0).is_some());
        now += 9 * SECOND + Duration::from_millis(900);
        let last = refusals.refused(now, 10 * SECOND, 0.0);
        assert_eq!(
            last,
            Some(Duration::from_millis(100)),
            "no longer than what is left"
        );
        now += Duration::from_millis(100);
        assert_eq!(refusals.refused(now, 10 * SECOND, 0.0), None);
        assert!(refusals.refused(now, Duration::MAX, 0.0).is_some(), "never");
        assert_eq!(Refusals::default().refused(now, Duration::ZERO, 0.0), None);
    }

    fn unavailable() -> QueueError {
        QueueError::Unavailable {
            queue: "tasks".to_owned(),
            reason: "busy".to_owned(),
        }
    }

    #[test]
    fn an_outage_is_a_line_when_it_lasts_one_each_minute_and_one_at_its_end() {
        let (start, mut outage) = (Instant::now(), Outage::default());
        assert!(!outage.refused(start, &unavailable()), "once is ordinary");
        assert_eq!(outage.served(start), None);
        let said = (0..1_000).filter(|tenth| {
            let now = start + *tenth * SECOND / 10;
            outage.refused(now, &unavailable())
        });
        assert_eq!(said.collect::<Vec<_>>(), [1, 601]);
        assert_eq!(outage.served(start + 100 * SECOND), Some(100 * SECOND));
        assert_eq!(outage.served(start + 101 * SECOND), None, "once");
    }

    #[test]
    fn what_the_master_makes_again_is_logged_by_no_worker() {
        let (start, mut outage) = (Instant::now(), Outage::default());
        let vanished = QueueError::Vanished {
            queue: "tasks".to_owned(),
            reason: "not found".to_owned(),
        };
        for second in 0..200 {
            assert!(!outage.refused(start + second * SECOND, &vanished));
        }
        assert_eq!(outage.served(start + 200 * SECOND), None);
    }
}
