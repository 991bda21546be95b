//! Moments to come, for durations of any length.
//!
//! `Instant + Duration` panics where the sum is past the range of the clock, and many durations are chosen by users or
//! come from a queue. So moments are added up here alone; a test of the house rules refuses a bare `+`.

use std::time::Duration;

use tokio::time::Instant;

/// Stands for "never": 30 years. Every longer duration is cut to it. A clock reaches 292 years at least, so several of
/// them can be added up.
pub const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// The moment so long after `at`. Whatever is longer than [`NEVER`] counts as that.
#[must_use]
pub fn after(at: Instant, duration: Duration) -> Instant {
    // Instants come from the clock or from here, so even a sum of several stays in its range.
    at.checked_add(duration.min(NEVER)).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_duration_is_too_long() {
        let now = Instant::now();
        assert_eq!(after(now, Duration::ZERO), now);
        let second = Duration::from_secs(1);
        assert_eq!(after(now, second).duration_since(now), second);
        let end = after(now, Duration::MAX);
        assert_eq!(end.duration_since(now), NEVER);
        assert_eq!(after(end, Duration::MAX).duration_since(now), NEVER * 2);
        let almost = Duration::from_secs(i64::MAX as u64);
        assert_eq!(
            after(now, almost),
            end,
            "what the clock can hardly say is cut too"
        );
    }
}
