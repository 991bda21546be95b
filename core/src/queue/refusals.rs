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
mod tests;
