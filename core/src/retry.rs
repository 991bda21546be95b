//! Whether a task whose execution failed runs again: a pure decision.

use std::time::Duration;

use crate::outcome::{Cause, Failure};
use crate::task::Backoff;

/// How often a task may fail, by cause.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Policy {
    /// Attempts after the first when the task itself fails. Default: 0.
    pub retries: u32,
    /// Crashes after which it still runs again. Default: 2.
    pub crashes: u32,
    /// Times it may run out of memory and run again at the same size. Default: 1.
    pub out_of_memory: u32,
    /// Delays between attempts.
    pub backoff: Backoff,
}

impl Policy {
    /// The default budgets with so many retries.
    #[must_use]
    pub const fn new(retries: u32, backoff: Backoff) -> Self {
        Self {
            retries,
            crashes: 2,
            out_of_memory: 1,
            backoff,
        }
    }
}

/// What a task has spent, before the failure that is judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Failures, panics and timeouts.
    pub failures: u32,
    /// Crashes that were its own.
    pub crashes: u32,
    /// Times out of memory.
    pub out_of_memory: u32,
    /// Deaths of a process for which it was only suspected.
    pub suspicions: u32,
}

/// What becomes of the task.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decision {
    /// The next attempt is published after a delay.
    Retry {
        /// How long to wait.
        after: Duration,
        /// Whether it runs alone, in a fresh slot: it is a suspect, and only a death there is proof.
        alone: bool,
    },
    /// The same attempt comes back by itself.
    Wait,
    /// The future resolves to the failure.
    GiveUp,
}

/// Judges a failure. `spent` is brought up to date; `jitter` lies in 0..1 and shortens the delay by up to half.
///
/// A suspicion costs nothing: the task runs alone, and only what happens there counts.
pub fn decide(policy: &Policy, spent: &mut Spent, failure: &Failure, jitter: f32) -> Decision {
    let at_once = Decision::Retry {
        after: Duration::ZERO,
        alone: false,
    };
    match failure.cause {
        Cause::Failed | Cause::Panicked | Cause::TimedOut => {
            let delay = delay(&policy.backoff, spent.failures, jitter);
            spent.failures += 1;
            if failure.retryable && spent.failures <= policy.retries {
                Decision::Retry {
                    after: delay,
                    alone: false,
                }
            } else {
                Decision::GiveUp
            }
        }
        Cause::Crashed => {
            spent.crashes += 1;
            // The charge is the price: should it die again among others, it is a suspect first, so that none of them pays.
            if spent.crashes <= policy.crashes {
                at_once
            } else {
                Decision::GiveUp
            }
        }
        Cause::OutOfMemory => {
            spent.out_of_memory += 1;
            if spent.out_of_memory <= policy.out_of_memory {
                at_once
            } else {
                Decision::GiveUp
            }
        }
        Cause::Suspect => {
            spent.suspicions += 1;
            Decision::Retry {
                after: Duration::ZERO,
                alone: true,
            }
        }
        Cause::Interrupted => Decision::Wait,
        Cause::Rejected | Cause::Cancelled | Cause::Broken => Decision::GiveUp,
    }
}

/// The delay before attempt `failures + 2`: exponential up to its bound, shortened by up to half. It is total: whatever
/// a backoff holds, the delay is no longer than its `max`.
fn delay(backoff: &Backoff, failures: u32, jitter: f32) -> Duration {
    let exponent = i32::try_from(failures).unwrap_or(i32::MAX);
    // Below 1 and no number: delays that do not grow.
    let factor = f64::from(backoff.factor).max(1.0);
    let longest = backoff.max.as_secs_f64();
    // Zero times infinity is no number either.
    let grown = match backoff.initial.as_secs_f64() {
        0.0 => 0.0,
        initial => (initial * factor.powi(exponent)).min(longest),
    };
    let jitter = if jitter.is_nan() { 0.0 } else { jitter };
    let shortened = grown * (1.0 - f64::from(jitter.clamp(0.0, 1.0)) / 2.0);
    Duration::try_from_secs_f64(shortened).map_or(backoff.max, |delay| delay.min(backoff.max))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(policy: &Policy, causes: &[Cause]) -> Decision {
        let mut spent = Spent::default();
        causes
            .iter()
            .map(|cause| decide(policy, &mut spent, &Failure::new(*cause, "x"), 0.0))
            .last()
            .unwrap()
    }

    #[test]
    fn failures_spend_the_retries_and_back_off() {
        let policy = Policy::new(2, Backoff::DEFAULT);
        let retry = |seconds| Decision::Retry {
            after: Duration::from_secs(seconds),
            alone: false,
        };
        assert_eq!(judge(&policy, &[Cause::Failed]), retry(1));
        assert_eq!(judge(&policy, &[Cause::Failed, Cause::Panicked]), retry(2));
        assert_eq!(
            judge(&policy, &[Cause::Failed, Cause::Panicked, Cause::TimedOut]),
            Decision::GiveUp
        );
    }

    #[test]
    fn a_permanent_failure_is_not_retried() {
        let failure = Failure {
            retryable: false,
            ..Failure::new(Cause::Failed, "x")
        };
        let policy = Policy::new(9, Backoff::DEFAULT);
        assert_eq!(
            decide(&policy, &mut Spent::default(), &failure, 0.0),
            Decision::GiveUp
        );
    }

    #[test]
    fn causes_have_budgets_of_their_own() {
        let policy = Policy::new(0, Backoff::DEFAULT);
        let retry = |alone| Decision::Retry {
            after: Duration::ZERO,
            alone,
        };
        let mixed = [Cause::Crashed, Cause::OutOfMemory, Cause::Crashed];
        assert_eq!(judge(&policy, &mixed), retry(false));
        assert_eq!(judge(&policy, &[Cause::Crashed; 3]), Decision::GiveUp);
        assert_eq!(judge(&policy, &[Cause::OutOfMemory; 2]), Decision::GiveUp);
        assert_eq!(judge(&policy, &[Cause::Suspect; 50]), retry(true));
        let proven = [Cause::Suspect, Cause::Crashed].repeat(3);
        assert_eq!(judge(&policy, &proven[..4]), retry(false));
        assert_eq!(judge(&policy, &proven[..5]), retry(true));
        assert_eq!(judge(&policy, &proven), Decision::GiveUp);
        assert_eq!(judge(&policy, &[Cause::Interrupted; 50]), Decision::Wait);
    }

    #[test]
    fn every_backoff_gives_a_delay_within_its_bound() {
        let ends = [Duration::ZERO, Duration::from_secs(3), Duration::MAX];
        let factors = [f32::NAN, -2.0, 0.0, 1.0, 2.0, f32::MAX, f32::INFINITY];
        for (initial, max) in ends.into_iter().flat_map(|i| ends.map(|max| (i, max))) {
            for factor in factors {
                let backoff = Backoff {
                    initial,
                    max,
                    factor,
                };
                for (failures, jitter) in [(0, 0.0), (1, 0.5), (9_999, 1.0), (u32::MAX, f32::NAN)] {
                    let delay = delay(&backoff, failures, jitter);
                    assert!(delay <= max, "{backoff:?}, {failures}: {delay:?}");
                    let none = initial.is_zero() || max.is_zero();
                    assert_eq!(delay.is_zero(), none, "{backoff:?}, {failures}: {delay:?}");
                }
            }
        }
        let shrinking = Backoff {
            factor: 0.5,
            ..Backoff::DEFAULT
        };
        assert_eq!(delay(&shrinking, 9, 0.0), shrinking.initial);
    }

    #[test]
    fn delays_are_bounded_whatever_the_count() {
        for failures in [0, 1, 10, 1000, u32::MAX] {
            let longest = delay(&Backoff::DEFAULT, failures, 0.0);
            assert!(longest <= Duration::from_secs(60));
            assert!(
                delay(&Backoff::DEFAULT, failures, 1.0) >= longest / 2 - Duration::from_millis(1)
            );
        }
    }
}
