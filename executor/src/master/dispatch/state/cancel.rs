//! Tasks that must not run any more, and the end of all of them.

use std::sync::Arc;

use podpool_core::fleet::FleetOrder;
use podpool_core::id::{Attempt, TaskId};
use tokio::time::Instant;

use crate::error::{TaskError, TaskErrorKind};
use crate::master::cell::Cell;
use crate::master::command::{CancelOutcome, ShutdownBehavior};
use crate::master::events::EventKind;
use crate::master::mailbox::Closed;
use crate::master::owners::{Ended, Owners};

use super::super::effect::Effect;
use super::super::history::History;
use super::super::table::{Entry, Phase};
use super::MasterState;
use super::life::Breach;

impl MasterState {
    /// Cancels a task: its future is settled at once.
    // A result that is already in the queue loses: it finds no task, and counts as late. The worker is not waited for,
    // since it may be gone.
    pub(crate) fn cancel(&mut self, id: TaskId) -> CancelOutcome {
        let Some(mut entry) = self.end(id) else {
            return CancelOutcome::AlreadyDone;
        };
        // In the other phases no worker has the newest attempt, and control need not name it; `end` has revoked older
        // copies.
        let published = entry.phase == Phase::Published;
        if published {
            self.revoke(id, &entry);
        }
        let attempts = History::into_attempts(entry.history.take());
        let kind = TaskErrorKind::Cancelled;
        let error = TaskError::with_attempts(kind, entry.subject(id), "", attempts);
        self.settle(id, entry, Err(error), None);
        if published {
            CancelOutcome::Signalled
        } else {
            CancelOutcome::Dequeued
        }
    }

    /// A call is cancelled: its future is settled at once. A task that other calls have joined goes on for them.
    pub(crate) fn cancel_call(&mut self, cell: &Arc<Cell>) -> CancelOutcome {
        let id = cell.id();
        let Some(entry) = self.table.get_mut(id) else {
            return CancelOutcome::AlreadyDone;
        };
        let Some(owner) = entry.owners.leave(cell) else {
            return self.cancel(id);
        };
        let kind = TaskErrorKind::Cancelled;
        let error = TaskError::new(kind, entry.subject(id), "");
        self.tally.left();
        let mut owners = Owners::default();
        owners.add(owner);
        self.effects.push(Effect::Settle(Ended {
            owners,
            outcome: Err(error),
            recorded: false,
        }));
        CancelOutcome::Signalled
    }

    /// The run was shut down. A later, harsher behaviour overrides an earlier one.
    pub(crate) fn shut_down(&mut self, behavior: ShutdownBehavior) {
        self.life.shut_down(behavior);
        match behavior {
            ShutdownBehavior::CancelPending => self.cancel_pending(),
            ShutdownBehavior::Abort => {
                // Without revoking each task: the state `Aborted` stops workers as a whole, in a short message.
                self.end_all(TaskErrorKind::ShutDown, "");
                // What another master has is left alone.
                if !self.life.is_left() {
                    self.order(FleetOrder::Stop);
                }
            }
            ShutdownBehavior::WaitForTasks => {}
        }
    }

    /// Cancels every task that no worker has begun.
    fn cancel_pending(&mut self) {
        // Over a copy of the numbers, here and below: each end changes the table.
        for id in self.table.ids() {
            // As far as messages have come: a task whose `Started` is on its way, or that belongs to a batch too short
            // for one, counts as not begun. It is revoked, and its worker cancels it.
            let begun = |entry: &mut Entry| entry.phase == Phase::Published && entry.running;
            if !self.table.get_mut(id).is_some_and(begun) {
                // The program did not ask for it: a later master of the run finds the task unended.
                self.leave_unended(id);
                self.cancel(id);
            }
        }
    }

    /// No worker can start, or a queue is gone: every future gets the reason.
    pub(crate) fn break_pool(&mut self, now: Instant, reason: &str) {
        self.breach(now, Breach::Broken, reason);
    }

    /// Nothing runs any more. Tasks that failed before keep their own reason.
    pub(super) fn breach(&mut self, now: Instant, breach: Breach, reason: &str) {
        self.judge_all_failures(now);
        self.breach_now(breach, reason);
    }

    /// The same, for one that is found while failures are judged.
    pub(super) fn breach_now(&mut self, breach: Breach, reason: &str) {
        let fresh = self.life.broken().is_none();
        let (kind, closed) = (breach.kind(), breach.closed(reason));
        // A later breach may have a higher rank, which changes the outcome; every task has ended by the first.
        self.life.breach(breach, reason);
        if !fresh {
            return;
        }
        // Where workers are elsewhere their removal takes its time, and a program may show the reason only after it.
        if self.settings.elsewhere {
            let what = match kind {
                TaskErrorKind::RunLimit => "the run ends",
                _ => "the pool is broken",
            };
            let line = broken(what, reason, self.unfinished());
            self.effects.push(Effect::Notice(line));
        }
        // Closed before the tasks end: a waiter of one of them may submit at once, and must be refused with this
        // reason.
        self.close(closed);
        self.end_all(kind, reason);
    }

    /// Every task ends with this reason. One copy serves all: it may be long, and the tasks many.
    pub(super) fn end_all(&mut self, kind: TaskErrorKind, reason: &str) {
        let reason: Arc<str> = reason.into();
        for id in self.table.ids() {
            if let Some(mut entry) = self.end(id) {
                let attempts = match kind {
                    // Its message is the whole reason.
                    TaskErrorKind::PoolBroken => Vec::new(),
                    _ => History::into_attempts(entry.history.take()),
                };
                let subject = entry.subject(id);
                let error = TaskError::with_attempts(kind, subject, reason.clone(), attempts);
                self.settle(id, entry, Err(error), None);
            }
        }
    }

    /// No task is taken any more.
    pub(super) fn close(&mut self, closed: Closed) {
        match &closed {
            Closed::Broken(reason) => {
                let reason = reason.clone();
                self.event(|| EventKind::Broken { reason });
            }
            Closed::Limit(error) => self.event(|| EventKind::RunLimit {
                reason: error.to_string().into(),
            }),
            Closed::ShutDown => {}
        }
        self.effects.push(Effect::Close(closed));
    }

    /// Workers acknowledge envelopes of these attempts without running them.
    // Up to the newest: an envelope of an older attempt may be in the queue too, after a worker was lost.
    pub(super) fn revoke(&mut self, task: TaskId, entry: &Entry) {
        self.revoke_attempts(task, entry.attempt, entry.repeated);
    }

    /// The same, up to an attempt of which more than one envelope may be in the queue (`copies`).
    pub(super) fn revoke_attempts(&mut self, task: TaskId, attempt: Attempt, copies: bool) {
        self.revoked.add(task, attempt, copies);
        self.announced.changed();
    }
}

/// The notice for the user when the pool breaks, or the run ends by a limit.
fn broken(what: &str, reason: &str, unfinished: usize) -> String {
    match unfinished {
        0 => format!("{what}: {reason}"),
        1 => format!("{what}, and 1 task ends with it: {reason}"),
        tasks => format!("{what}, and {tasks} tasks end with it: {reason}"),
    }
}
