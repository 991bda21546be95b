//! An execution failed: retry, wait, or give up.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use podpool_core::id::{Attempt, ExecutionId, TaskId};
use podpool_core::instant;
use podpool_core::outcome::{Cause, Failure};
use podpool_core::retry::{Decision, Policy, decide};
use tokio::time::Instant;
use tracing::debug;

use crate::error::{AttemptReport, Subject, TaskError, TaskErrorKind};

use super::super::notices::brief;
use super::super::table::{Entry, Phase};
use super::State;

/// A failure as a worker reported it.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) task: TaskId,
    pub(crate) attempt: Attempt,
    pub(crate) execution: ExecutionId,
    pub(crate) elapsed: Duration,
    pub(crate) failure: Failure,
}

/// Which attempt failed, and why.
fn failed_attempt(subject: &Subject, attempt: Attempt, failure: &Failure) -> String {
    let (phrase, message) = (failure.cause.phrase(), brief(&failure.message));
    format!("{subject}: attempt {attempt} {phrase}: {message}")
}

/// When its task is tried again.
fn again(after: Duration) -> String {
    match after {
        Duration::ZERO => "; it is tried again at once".to_owned(),
        after => format!("; it is tried again in {after:.1?}"),
    }
}

impl State {
    /// `Failed` counts for the newest attempt only, once: after it the attempt is no longer out.
    pub(crate) fn on_failed(&mut self, now: Instant, failed: &Failed) {
        let (id, attempt, failure) = (failed.task, failed.attempt, &failed.failure);
        if failure.cause == Cause::Broken {
            self.on_unfit(now, failed);
            return;
        }
        let story = self.attempt_report(failed);
        let retries = self.settings.retries;
        let Some(entry) = self
            .table
            .get_mut(id)
            .filter(|entry| is_out(entry, attempt))
        else {
            if failure.cause == Cause::Interrupted {
                // The message comes back.
                self.late_results += 1;
            } else {
                self.on_late(id, attempt);
            }
            return;
        };
        if failure.cause == Cause::Interrupted {
            self.on_interrupted(now, id, attempt, &story);
            return;
        }
        self.unfit.clear();
        let policy = policy(entry, retries);
        let history = entry.history.get_or_insert_default();
        history.losses_in_row = 0;
        entry.cell.remember(story.clone());
        history.push(story);
        match decide(&policy, &mut history.spent, failure, fastrand::f32()) {
            Decision::Wait => entry.repeated = true,
            Decision::GiveUp => self.give_up(id),
            Decision::Retry { after, alone } => {
                debug!(task = %id, %attempt, %failure, ?after, "a task is tried again");
                let subject = entry.subject();
                let what = || failed_attempt(&subject, attempt, failure);
                self.retries.failed(now, what, || again(after));
                entry.alone = alone;
                self.retry(now, id, after);
            }
        }
    }

    /// The next attempt waits for its delay.
    pub(super) fn retry(&mut self, now: Instant, id: TaskId, after: Duration) {
        let Some(entry) = self.table.get_mut(id) else {
            return;
        };
        let (kind, batch) = (entry.task_type(), entry.batch);
        entry.attempt = entry.attempt.next();
        entry.phase = Phase::Delayed;
        entry.cell.set_pending();
        self.outbox.returned(kind);
        self.batches.task_left(batch);
        if after.is_zero() {
            self.publish_again(id);
        } else {
            self.delayed
                .push(Reverse((instant::after(now, after), id.0)));
        }
    }

    /// The delay is over: the task waits in the outbox.
    pub(super) fn publish_again(&mut self, id: TaskId) {
        let delayed = |entry: &&mut Entry| entry.phase == Phase::Delayed;
        let Some(entry) = self.table.get_mut(id).filter(delayed) else {
            return;
        };
        entry.phase = Phase::Waiting;
        if entry.alone {
            self.outbox.push_alone(id);
        } else {
            let (priority, kind) = (entry.priority(), entry.task_type());
            self.outbox.push_again(id, priority, kind);
        }
    }

    pub(super) fn give_up(&mut self, id: TaskId) {
        let Some(mut entry) = self.end(id) else {
            return;
        };
        let attempts = entry
            .history
            .take()
            .map(|history| history.attempts)
            .unwrap_or_default();
        let error = TaskError::of_attempts(entry.subject(), attempts);
        entry.cell.settle(Err(error), &mut self.wakers);
    }

    pub(super) fn attempt_report(&self, failed: &Failed) -> AttemptReport {
        let mut story = AttemptReport::new(failed.attempt, failed.failure.clone());
        if let Some(worker) = self.workers.get(&failed.execution.worker) {
            story.worker.clone_from(&worker.name);
            story.node.clone_from(&worker.node);
        }
        story.execution = Some(failed.execution);
        story.elapsed = Some(failed.elapsed);
        story
    }

    /// No worker can start, or the queue is gone: every future says why.
    pub(crate) fn break_pool(&mut self, reason: &str) {
        if self.broken.is_some() {
            return;
        }
        self.broken = Some(reason.to_owned());
        // One copy for all: the reason may be long, and the tasks many.
        let reason: Arc<str> = reason.into();
        for id in self.table.ids() {
            if let Some(entry) = self.end(id) {
                let kind = TaskErrorKind::PoolBroken;
                let error = TaskError::new(kind, entry.subject(), reason.clone());
                entry.cell.settle(Err(error), &mut self.wakers);
            }
        }
    }
}

/// Whether this attempt of a task is the one that is out.
pub(super) fn is_out(entry: &Entry, attempt: Attempt) -> bool {
    entry.attempt == attempt && entry.phase == Phase::Published
}

fn policy(entry: &Entry, retries: Option<u32>) -> Policy {
    let own = entry.options.as_ref().and_then(|options| options.retries);
    let retries = own.or(retries).unwrap_or(entry.spec.options.retries);
    Policy::new(retries, entry.spec.options.backoff)
}
