//! An execution failed: retry, wait, or give up.

use std::cmp::Reverse;
use std::time::Duration;

use podpool_core::id::{Attempt, TaskId};
use podpool_core::instant;
use podpool_core::outcome::{Cause, Failure};
use podpool_core::retry::{Blame, Decision, Ended, Policy, decide};
use tokio::time::Instant;
use tracing::debug;

use crate::error::{AttemptReport, Subject, TaskError};

use super::super::failed::Failed;
use super::super::history::History;
use super::super::notices::brief;
use super::super::table::{Entry, Phase};
use super::MasterState;
use super::remember::attempt_record;

/// Which attempt failed, and why.
fn failed_attempt(subject: &Subject, attempt: Attempt, failure: &Failure) -> String {
    let (phrase, message) = (failure.cause.phrase(), brief(&failure.message));
    format!("{subject}: attempt {attempt} {phrase}: {message}")
}

/// When the task of an attempt is tried again.
fn again(after: Duration) -> String {
    match after {
        Duration::ZERO => "; it is tried again at once".to_owned(),
        after => format!("; it is tried again in {after:.1?}"),
    }
}

impl MasterState {
    /// `Failed` counts for the newest attempt only, once: after it the attempt is no longer out.
    // Results of all attempts count and failures of one: a late failure must not spend a budget twice, or end a task
    // whose next attempt may succeed.
    pub(crate) fn on_failed(&mut self, now: Instant, failed: &Failed) {
        // Whichever attempt it was: the report is about the worker. It may break the pool, after which no task is out.
        if failed.failure.cause == Cause::Broken {
            self.note_unfit(now, failed);
        }
        if !self.table.is_out(failed.task, failed.attempt) {
            self.on_late_failure(failed);
            return;
        }
        let report = self.attempt_report(failed);
        match failed.failure.cause {
            // Its worker gave it back: that is a loss like any other. The message comes again, so that a new attempt
            // would run beside it.
            Cause::Interrupted => self.lose(now, failed.task, failed.attempt, Blame::None, report),
            _ => self.judge(now, failed, report),
        }
    }

    /// A failure of an attempt that is not out any more.
    fn on_late_failure(&mut self, failed: &Failed) {
        match failed.failure.cause {
            // The worker has left, or leaves.
            Cause::Broken => {}
            // The message comes back: if the attempt is revoked, control must go on naming it.
            Cause::Interrupted => self.late_results += 1,
            _ => self.on_late(failed.task, failed.attempt),
        }
    }

    /// The newest attempt failed: decides what follows.
    fn judge(&mut self, now: Instant, failed: &Failed, report: AttemptReport) {
        // Drawn for each failure, used or not: the sequence of random numbers depends on the inputs alone.
        let (jitter, retries) = (self.jitter(), self.settings.retries);
        let remembered = self.remembered.as_deref();
        let Some(entry) = self.table.get_mut(failed.task) else {
            return;
        };
        let policy = policy(entry, retries);
        let history = entry.history.get_or_insert_default();
        // Owners receive the attempt before the end, whose error then carries all attempts.
        entry.owners.attempted(&report);
        self.effects
            .extend(attempt_record(remembered, failed.task, &report));
        history.push(report);
        let ended = Ended::Reported(&failed.failure);
        let decision = decide(&policy, &mut history.spent, ended, jitter);
        let unfit = failed.failure.cause == Cause::Broken;
        let cancelled = failed.failure.cause == Cause::Cancelled;
        // Every other failure comes from a slot, or from a worker that rejects the task: no slot has failed to start.
        if !unfit {
            self.unfit.clear();
        }
        match decision {
            Decision::Wait => entry.repeated = true,
            Decision::GiveUp => self.give_up(failed.task),
            // Nothing is wrong with the task: it goes to another worker as it is, alone if it was to run alone, without
            // a notice.
            Decision::Retry { after, .. } if unfit || cancelled => {
                self.retry(now, failed.task, after);
            }
            Decision::Retry { after, alone } => {
                entry.alone = alone;
                self.report_retry(now, failed, after);
                self.retry(now, failed.task, after);
            }
        }
    }

    fn report_retry(&mut self, now: Instant, failed: &Failed, after: Duration) {
        let Failed {
            task,
            attempt,
            failure,
            ..
        } = failed;
        debug!(%task, %attempt, %failure, ?after, "a task is tried again");
        let Some(entry) = self.table.get_mut(*task) else {
            return;
        };
        let subject = entry.subject(*task);
        let what = || failed_attempt(&subject, *attempt, failure);
        self.retries
            .failed(now, failure.cause, what, || again(after));
    }

    /// The next attempt waits for its delay.
    pub(super) fn retry(&mut self, now: Instant, id: TaskId, after: Duration) {
        self.note_retry(id, after);
        let Some(entry) = self.table.get_mut(id) else {
            return;
        };
        let (class, task_type, batch) = (entry.class, entry.task_type(), entry.batch);
        // From here on the old attempt is not out: a second report of its failure is late, and one of its result still
        // ends the task. The new number is set even before the delay, so that a result in between is known as an older
        // one's.
        entry.attempt = entry.attempt.next();
        entry.phase = Phase::Delayed;
        let ran = entry.set_pending();
        if let Some(outbox) = self.classes.outbox(class) {
            outbox.returned(task_type);
        }
        self.tally.stopped(ran);
        // After the phase has changed, and once: the task's batch may end here, and its number go to another batch.
        self.batches.task_left(batch);
        // At once and not by the heap, which is read at the next tick only.
        if after.is_zero() {
            self.publish_again(id);
        } else {
            self.delayed
                .push(Reverse((instant::after(now, after), id.0)));
        }
    }

    /// The delay is over: the task waits in the outbox.
    pub(super) fn publish_again(&mut self, id: TaskId) {
        // The task may have ended meanwhile. If it has not, it is still delayed: nothing else ends a delay.
        let delayed = |entry: &&mut Entry| entry.phase == Phase::Delayed;
        let Some(entry) = self.table.get_mut(id).filter(delayed) else {
            return;
        };
        entry.phase = Phase::Waiting;
        let Some(outbox) = self.classes.outbox(entry.class) else {
            return;
        };
        if entry.alone {
            outbox.push_alone(id);
        } else {
            outbox.push_again(id, entry.priority(), entry.task_type());
        }
    }

    pub(super) fn give_up(&mut self, id: TaskId) {
        let Some(mut entry) = self.end(id) else {
            return;
        };
        let mut attempts = History::into_attempts(entry.history.take());
        self.add_places(&mut attempts);
        let error = TaskError::of_attempts(entry.subject(id), attempts);
        self.settle(id, entry, Err(error), None);
    }

    fn attempt_report(&self, failed: &Failed) -> AttemptReport {
        let mut report = AttemptReport::new(failed.attempt, failed.failure.clone());
        if let Some(worker) = self.workers.get(&failed.execution.worker) {
            report.worker = worker.name().cloned();
            report.node = worker.node().cloned();
        }
        let name = report.worker.as_ref();
        report.place = name.and_then(|name| self.places.get(name).cloned());
        (report.started, report.queued) = (failed.times.started, failed.times.queued);
        report.execution = Some(failed.execution);
        report.elapsed = Some(failed.elapsed);
        report
    }
}

/// The budgets of a task: the call's, else the pool's, else its own.
pub(super) fn policy(entry: &Entry, retries: Option<u32>) -> Policy {
    let own = entry.options.as_ref().and_then(|options| options.retries);
    let retries = own.or(retries).unwrap_or(entry.spec.options.retries);
    Policy::new(retries, entry.spec.options.backoff)
}
