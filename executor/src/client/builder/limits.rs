//! The settings of an executor that end its run before its tasks do.

use std::time::Duration;

use super::Builder;
use crate::master::limits::FailureLimit;

impl Builder {
    /// The longest time of the whole run, from the end of `build()` on. Default: none. `build()` refuses zero.
    ///
    /// When it has passed, the run ends: every task that has not ended resolves to
    /// [`RunLimit`](crate::TaskErrorKind::RunLimit), what runs is stopped as by
    /// [`Abort`](crate::ShutdownBehavior::Abort), later submissions resolve to the same error, and a shutdown returns
    /// [`DeadlinePassed`](crate::error::ShutdownError::DeadlinePassed). A run that was shut down and whose tasks have
    /// ended by then is not affected.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use podpool::PodPoolExecutor;
    /// // A nightly run must not reach into the day.
    /// let pool = PodPoolExecutor::builder().deadline(Duration::from_secs(6 * 3_600));
    /// # drop(pool);
    /// ```
    ///
    /// `KubernetesOptions::run_deadline` is another time: after it the workers of a run are stopped, and everything of
    /// the run may be removed, whether its master lives or not.
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.limits.deadline = Some(deadline);
        self
    }

    /// Ends the run when too many tasks have failed for good, after their retries. Default: never. `build()` refuses a
    /// count of 0, and a share outside of 0 to 1.
    ///
    /// No further task is begun then: every task that has not ended resolves to
    /// [`RunLimit`](crate::TaskErrorKind::RunLimit), whose message has the number of failures and the last of them,
    /// what runs is stopped, later submissions resolve to the same error, and a shutdown returns
    /// [`TooManyFailures`](crate::error::ShutdownError::TooManyFailures). Cancelled tasks do not count.
    ///
    /// ```
    /// # use podpool::PodPoolExecutor;
    /// use podpool::options::FailureLimit;
    ///
    /// let pool = PodPoolExecutor::builder().retries(2).fail_run_after(FailureLimit::count(10));
    /// # drop(pool);
    /// ```
    pub const fn fail_run_after(mut self, limit: FailureLimit) -> Self {
        self.limits.failures = Some(limit);
        self
    }

    /// Ends the run when for so long no task started, ended, or failed and was tried again, though some have not ended.
    /// Default: never. `build()` refuses zero.
    ///
    /// A task that runs is progress, for as long as its worker reports it. Workers report every 10 s, or every third of
    /// a lease where that is shorter; when the time is over, the next report of each worker is waited for. The start of
    /// workers and the pauses between attempts are no progress: choose a time that is longer than both.
    ///
    /// Every task that has not ended resolves to [`RunLimit`](crate::TaskErrorKind::RunLimit), what runs is stopped,
    /// later submissions resolve to the same error, and a shutdown returns
    /// [`NoProgress`](crate::error::ShutdownError::NoProgress). The message states why the oldest task waits, and why
    /// workers do not run, in the words of [`stats`](crate::PodPoolExecutor::stats).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use podpool::PodPoolExecutor;
    /// // On a cluster a new node takes some minutes.
    /// let pool = PodPoolExecutor::builder().no_progress_timeout(Duration::from_secs(30 * 60));
    /// # drop(pool);
    /// ```
    pub const fn no_progress_timeout(mut self, timeout: Duration) -> Self {
        self.limits.no_progress = Some(timeout);
        self
    }
}
