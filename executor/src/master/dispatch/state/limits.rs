//! The limits of a run: what is measured for them, and the end of the run when one is reached.

use podpool_core::id::WorkerId;
use podpool_core::instant::after;
use tokio::time::Instant;

use crate::error::{ShutdownError, Subject, TaskError, TaskErrorKind};
use crate::master::limits::Limits;

use super::super::notices::brief;
use super::MasterState;
use super::life::Breach;
use super::workers::Worker;

/// What is measured of a run for its limits.
#[derive(Debug)]
pub(super) struct Measures {
    /// When the run ends, whatever its tasks do.
    deadline: Option<Instant>,
    /// Tasks that gave a result or failed for good, those of them that failed, and the error of the last of these.
    ended: u64,
    failed: u64,
    last: Option<TaskError>,
    /// When the run last made progress.
    progress: Instant,
    /// Progress was made since that time was written.
    // A flag and not the time: what makes progress is called without the time, and each turn looks at it.
    moved: bool,
    /// Since then the time without progress is over, and the next report of each worker is waited for.
    asked: Option<Instant>,
}

impl Measures {
    pub(super) fn new(limits: &Limits, now: Instant) -> Self {
        Self {
            deadline: limits.deadline.map(|deadline| after(now, deadline)),
            ended: 0,
            failed: 0,
            last: None,
            progress: now,
            moved: false,
            asked: None,
        }
    }

    /// The run made progress, or had no task until now.
    pub(super) const fn moved(&mut self) {
        self.moved = true;
    }

    /// A task ended.
    pub(super) fn task_ended(&mut self, error: Option<&TaskError>) {
        self.moved = true;
        let Some(error) = error else {
            self.ended += 1;
            return;
        };
        match error.kind() {
            // The task itself has not failed.
            TaskErrorKind::Cancelled
            | TaskErrorKind::ShutDown
            | TaskErrorKind::PoolBroken
            | TaskErrorKind::RunLimit => {}
            _ => {
                self.ended += 1;
                self.failed += 1;
                self.last = Some(error.clone());
            }
        }
    }
}

impl MasterState {
    /// Ends the run if a limit is reached.
    pub(super) fn check_limits(&mut self, now: Instant) {
        if self.life.broken().is_some() || self.life.is_ending() {
            return;
        }
        if self.has_too_many_failures() {
            // Before the numbers are read: these failures came before the end.
            self.judge_all_failures(now);
            let error = self.too_many_failures();
            self.end_by_limit(error);
        } else if self.is_past_deadline(now) {
            self.judge_all_failures(now);
            let error = ShutdownError::DeadlinePassed {
                deadline: self.settings.limits.deadline.unwrap_or_default(),
                unended: self.unfinished(),
            };
            self.end_by_limit(error);
        } else if let Some(error) = self.no_progress(now) {
            self.end_by_limit(error);
        }
    }

    /// When [`check_limits`](Self::check_limits) must be called, whatever happens.
    pub(super) fn limits_deadline(&self) -> Option<Instant> {
        // Under the conditions of the check: else a time that has passed would wake the loop without a pause.
        if self.life.broken().is_some() || self.life.is_ending() || self.is_closed_and_empty() {
            return None;
        }
        let timeout = self.settings.limits.no_progress;
        // Not while reports are waited for: each of them, and each loss of a worker, is a turn of the loop.
        let counts = self.unfinished() > 0 && self.measures.asked.is_none();
        let timeout = timeout.filter(|_| counts);
        let stalled = timeout.map(|timeout| after(self.measures.progress, timeout));
        [self.measures.deadline, stalled]
            .into_iter()
            .flatten()
            .min()
    }

    fn end_by_limit(&mut self, error: ShutdownError) {
        let reason = error.to_string();
        self.breach_now(Breach::Limit(error.into()), &reason);
    }

    /// The run was shut down, and every task has ended: it ends by itself.
    fn is_closed_and_empty(&self) -> bool {
        self.life.is_closing() && self.unfinished() == 0
    }

    // Also where every task has ended: whether a shutdown came before the last failure must not decide what it returns.
    fn has_too_many_failures(&self) -> bool {
        let Measures { ended, failed, .. } = self.measures;
        let limit = self.settings.limits.failures;
        limit.is_some_and(|limit| limit.is_reached(failed, ended))
    }

    fn too_many_failures(&self) -> ShutdownError {
        let last = self.measures.last.as_ref();
        ShutdownError::TooManyFailures {
            failed: self.measures.failed,
            ended: self.measures.ended,
            last: last.map(first_line).unwrap_or_default(),
        }
    }

    fn is_past_deadline(&self, now: Instant) -> bool {
        let passed = self.measures.deadline.is_some_and(|at| now >= at);
        passed && !self.is_closed_and_empty()
    }

    /// The error of a run that has made no progress for its timeout.
    fn no_progress(&mut self, now: Instant) -> Option<ShutdownError> {
        let timeout = self.settings.limits.no_progress?;
        if std::mem::take(&mut self.measures.moved) || self.unfinished() == 0 {
            self.progress_until(now);
            return None;
        }
        if now < after(self.measures.progress, timeout) {
            return None;
        }
        // A failure that waits for the lines before it will end its task, or be followed by another attempt.
        if !self.after_lines.is_empty() || self.runs_where(|_, _| true) {
            // The whole time counts again from here on, or from when the task's worker is lost.
            self.progress_until(now);
            return None;
        }
        let asked = *self.measures.asked.get_or_insert(now);
        if self.may_run_unknown(asked) {
            return None;
        }
        Some(ShutdownError::NoProgress {
            timeout,
            unended: self.unfinished(),
            diagnosis: self.diagnosis(),
        })
    }

    /// The time without progress counts from now.
    const fn progress_until(&mut self, now: Instant) {
        self.measures.progress = now;
        self.measures.asked = None;
    }

    /// Whether a worker may run a task of which nothing is known: it has not reported since.
    // A short batch begins without a message, so that its worker's next heartbeat is the first to name what runs. A
    // worker without heartbeats is lost after a lease, which bounds this wait.
    fn may_run_unknown(&self, since: Instant) -> bool {
        let mut classes = self.classes.iter();
        let out = classes.any(|(class, _)| self.load(class).batches > 0);
        let silent = |worker: &Worker| worker.liveness.is_here() && worker.reported <= since;
        out && self.workers.values().any(silent)
    }

    /// Whether one of these workers is known to run a task that has not ended.
    fn runs_where(&mut self, which: impl Fn(WorkerId, &Worker) -> bool) -> bool {
        let Self { workers, table, .. } = self;
        let mut running = workers.iter().filter(|(id, worker)| {
            worker.liveness.is_here() && worker.runs > 0 && which(**id, worker)
        });
        running.any(|(_, worker)| {
            let mut runs = worker.holds.iter();
            runs.any(|run| run.tasks().any(|task| table.is_out(task, run.attempt)))
        })
    }

    /// These workers report anew, or are lost: what they ran was progress until now.
    // Called before that is written. Only where it counts: it reads what the workers hold.
    pub(super) fn note_ran(&mut self, which: impl Fn(WorkerId, &Worker) -> bool) {
        if self.settings.limits.no_progress.is_some() && self.runs_where(which) {
            self.measures.moved();
        }
    }
}

/// A failure in one short line: which task, how it failed, and the first line of its message.
fn first_line(error: &TaskError) -> String {
    let subject = Subject {
        task: error.task(),
        id: error.id(),
        key: error.key().map(Into::into),
    };
    let (kind, message) = (error.kind(), brief(error.message()));
    format!("{subject} {kind}: {message}")
}
