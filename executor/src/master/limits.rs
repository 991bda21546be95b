//! The limits of a run, as the program sets them.

use std::fmt;
use std::time::Duration;

use crate::error::BuildError;

/// How many tasks may fail before the run ends, for [`Builder::fail_run_after`](crate::Builder::fail_run_after).
///
/// A task counts when it has failed for good, after its retries. A task that was cancelled, or that the end of the run
/// or of the pool ended, counts neither as failed nor as ended.
///
/// ```
/// use podpool::PodPoolExecutor;
/// use podpool::options::FailureLimit;
///
/// // The 10th failure ends the run.
/// let pool = PodPoolExecutor::builder().fail_run_after(FailureLimit::count(10));
/// // From the 100th task that ended on, more than 5 % of failures end the run.
/// let pool = pool.fail_run_after(FailureLimit::share(0.05, 100));
/// # drop(pool);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FailureLimit(Measure);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Measure {
    Count(u64),
    Share { most: f64, min_sample: u64 },
}

impl FailureLimit {
    /// So many failures end the run. `build()` refuses 0.
    #[must_use]
    pub const fn count(failures: u64) -> Self {
        Self(Measure::Count(failures))
    }

    /// More than this share of the tasks that have ended, from 0 to 1, ends the run, once at least `min_sample` tasks
    /// have ended. `build()` refuses every other share, and a sample of 0.
    #[must_use]
    pub const fn share(share: f64, min_sample: u64) -> Self {
        Self(Measure::Share {
            most: share,
            min_sample,
        })
    }

    /// Whether so many failures among so many tasks that have ended end the run.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a share needs no more than 52 bits"
    )]
    pub(crate) fn is_reached(self, failed: u64, ended: u64) -> bool {
        match self.0 {
            Measure::Count(failures) => failed >= failures,
            Measure::Share { most, min_sample } => {
                ended >= min_sample && failed as f64 > most * ended as f64
            }
        }
    }

    /// What is wrong with it.
    fn problem(self) -> Option<&'static str> {
        match self.0 {
            Measure::Count(0) => {
                Some("the run would end before its first task; give 1 or more, or leave it out")
            }
            // A number that is none is in no range.
            Measure::Share { most, .. } if !(0.0..=1.0).contains(&most) => {
                Some("a share is a number from 0 to 1, as 0.05 for 5 %")
            }
            Measure::Share { min_sample: 0, .. } => {
                Some("no task has a share of failures; give a sample of 1 or more")
            }
            _ => None,
        }
    }
}

/// As an error of `build()` shows it: `count(0)`, `share(1.5, 20)`.
impl fmt::Display for FailureLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Measure::Count(failures) => write!(f, "count({failures})"),
            Measure::Share { most, min_sample } => write!(f, "share({most}, {min_sample})"),
        }
    }
}

/// The limits of a run; none is set by default.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    /// Longest time of the whole run.
    pub(crate) deadline: Option<Duration>,
    pub(crate) failures: Option<FailureLimit>,
    /// Longest time without progress.
    pub(crate) no_progress: Option<Duration>,
}

impl Limits {
    /// Refuses limits that cannot be kept.
    ///
    /// # Errors
    /// [`BuildError::Setting`] with the name of the builder's method.
    pub(crate) fn check(&self) -> Result<(), BuildError> {
        let refused = |name: &str, value: String, reason: &str| {
            Err(BuildError::Setting {
                name: name.to_owned(),
                value,
                reason: reason.to_owned(),
            })
        };
        let zero = |time: Option<Duration>| time.is_some_and(|time| time.is_zero());
        if zero(self.deadline) {
            let reason = "no task could end by then; give a longer time, or leave it out";
            return refused("deadline", "0 s".to_owned(), reason);
        }
        if zero(self.no_progress) {
            let reason =
                "every run would end at its first task; give a longer time, or leave it out";
            return refused("no_progress_timeout", "0 s".to_owned(), reason);
        }
        match self.failures.map(|limit| (limit, limit.problem())) {
            Some((limit, Some(problem))) => refused("fail_run_after", limit.to_string(), problem),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_exact_and_a_share_waits_for_its_sample() {
        let three = FailureLimit::count(3);
        assert!(!three.is_reached(2, 1_000) && three.is_reached(3, 3));
        let tenth = FailureLimit::share(0.1, 20);
        assert!(!tenth.is_reached(19, 19), "the sample is too small");
        assert!(!tenth.is_reached(2, 20) && tenth.is_reached(3, 20));
        let none = FailureLimit::share(0.0, 1);
        assert!(!none.is_reached(0, 5) && none.is_reached(1, 5));
        assert!(!FailureLimit::share(1.0, 1).is_reached(7, 7));
    }

    fn refusal(limits: Limits) -> Option<String> {
        limits.check().err().map(|error| error.to_string())
    }

    #[test]
    fn a_limit_that_cannot_be_kept_is_refused_by_its_name() {
        let failures = |limit| Limits {
            failures: Some(limit),
            ..Limits::default()
        };
        for (limits, start) in [
            (
                Limits {
                    deadline: Some(Duration::ZERO),
                    ..Limits::default()
                },
                "deadline cannot be \"0 s\"",
            ),
            (
                Limits {
                    no_progress: Some(Duration::ZERO),
                    ..Limits::default()
                },
                "no_progress_timeout cannot be \"0 s\"",
            ),
            (
                failures(FailureLimit::count(0)),
                "fail_run_after cannot be \"count(0)\"",
            ),
            (
                failures(FailureLimit::share(f64::NAN, 1)),
                "fail_run_after cannot be \"share(NaN, 1)\"",
            ),
            (
                failures(FailureLimit::share(-0.1, 1)),
                "fail_run_after cannot be \"share(-0.1, 1)\"",
            ),
            (
                failures(FailureLimit::share(1.01, 1)),
                "fail_run_after cannot be \"share(1.01, 1)\"",
            ),
            (
                failures(FailureLimit::share(0.5, 0)),
                "fail_run_after cannot be \"share(0.5, 0)\"",
            ),
        ] {
            let refusal = refusal(limits).expect(start);
            assert!(refusal.starts_with(start), "{refusal}");
        }
        let most = Limits {
            deadline: Some(Duration::MAX),
            failures: Some(FailureLimit::share(1.0, 1)),
            no_progress: Some(Duration::from_nanos(1)),
        };
        assert_eq!(refusal(most), None);
        assert_eq!(refusal(Limits::default()), None);
    }
}
