//! Tasks that must not run any more, and what the workers are told of the run.

use podpool_core::envelope::{Control, RunState};
use podpool_core::id::{Attempt, TaskId, WorkerId};
use podpool_core::instant::after;
use std::time::Duration;
use tokio::time::Instant;

use crate::error::{TaskError, TaskErrorKind};
use crate::master::cell::TaskState;
use crate::master::command::CancelOutcome;

use super::super::table::{Entry, Phase};
use super::State;

/// How long a worker's greeting is answered: the next answer replaces a lost one.
const GREETED: Duration = Duration::from_secs(60);

impl State {
    /// Cancels a task: its future is settled at once.
    pub(crate) fn cancel(&mut self, id: TaskId) -> CancelOutcome {
        let Some(mut entry) = self.end(id) else {
            return CancelOutcome::AlreadyDone;
        };
        let attempts = entry
            .history
            .take()
            .map(|history| history.attempts)
            .unwrap_or_default();
        let kind = TaskErrorKind::Cancelled;
        let error = TaskError::with_attempts(kind, entry.subject(), "", attempts);
        entry.cell.settle(Err(error), &mut self.wakers);
        if entry.phase == Phase::Published {
            self.revoke(id, &entry);
            CancelOutcome::Signalled
        } else {
            CancelOutcome::Dequeued
        }
    }

    /// Ends every task: the executor goes without waiting.
    pub(crate) fn abort(&mut self) {
        for id in self.table.ids() {
            if let Some(mut entry) = self.end(id) {
                let attempts = entry.history.take().map(|history| history.attempts);
                let error = TaskError::with_attempts(
                    TaskErrorKind::ShutDown,
                    entry.subject(),
                    "",
                    attempts.unwrap_or_default(),
                );
                entry.cell.settle(Err(error), &mut self.wakers);
            }
        }
    }

    /// Cancels every task that no worker has begun.
    pub(crate) fn cancel_pending(&mut self) {
        for id in self.table.ids() {
            let begun = |entry: &mut Entry| {
                entry.phase == Phase::Published
                    && matches!(entry.cell.state(), TaskState::Running { .. })
            };
            if !self.table.get_mut(id).is_some_and(begun) {
                self.cancel(id);
            }
        }
    }

    /// Workers acknowledge envelopes of these attempts without running them.
    pub(super) fn revoke(&mut self, task: TaskId, entry: &Entry) {
        self.revoke_attempts(task, entry.attempt, entry.repeated);
    }

    /// The same, up to an attempt of which more than one envelope may be in the queue (`copies`).
    pub(super) fn revoke_attempts(&mut self, task: TaskId, attempt: Attempt, copies: bool) {
        self.revoked.add(task, attempt, copies);
        self.control_changed = true;
    }

    /// Changes what the workers are told of the run. Returns whether it is another state.
    pub(crate) fn set_run_state(&mut self, state: RunState) -> bool {
        let changed = self.run_state != state;
        self.run_state = state;
        self.control_changed |= changed;
        changed
    }

    /// Whether the workers were not told the newest state yet.
    pub(crate) const fn control_changed(&self) -> bool {
        self.control_changed
    }

    /// Workers that greeted lately: each waits for this before it pulls.
    fn greeted(&self, now: Instant) -> Vec<WorkerId> {
        let lately = |at: Option<Instant>| at.is_some_and(|at| now < after(at, GREETED));
        let workers = self
            .workers
            .iter()
            .filter(|(_, worker)| lately(worker.greeted));
        workers.map(|(id, _)| *id).collect()
    }

    /// The word to the workers, when it has changed or `anyway`.
    pub(crate) fn control(&mut self, now: Instant, anyway: bool) -> Option<Control> {
        if !std::mem::take(&mut self.control_changed) && !anyway {
            return None;
        }
        self.control_sequence += 1;
        Some(Control {
            run: self.settings.run.clone(),
            epoch: self.settings.epoch,
            sequence: self.control_sequence,
            state: self.run_state,
            revoked: self.revoked.to_vec(),
            drain: self.drain.clone(),
            greeted: self.greeted(now),
        })
    }
}
