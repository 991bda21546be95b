//! Time limits of a worker beside its state's: when it leaves by itself, and when no reader waits for its last
//! messages.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use crate::instant::after;
use crate::queue::QueueError;

use super::super::conduct::Left;
use super::super::effect::Receipt;
use super::{FINAL_MESSAGES, RunningWorker};

/// Whether the queue answered that it may not be used.
pub(super) const fn is_denied(error: &QueueError) -> bool {
    matches!(error, QueueError::Denied { .. })
}

// Looked at after every step and not by timers of their own: each condition reads what a step may have changed.
impl RunningWorker {
    /// A call that stores messages was answered, or is to be made again.
    pub(super) fn on_stored(&mut self, now: Instant, receipts: Vec<Receipt>) {
        // The greeting is the first message of all. Missing rights are an answer too, with an exit code of its own.
        if self.results.refusal().is_none_or(is_denied) {
            self.limits.reached();
        }
        for receipt in receipts {
            self.state.on_published(now, receipt);
        }
    }

    /// Leaves when it is not needed or reaches no queue, and kills what must end.
    pub(super) fn check_time(&mut self, now: Instant) {
        self.end_search(now);
        if self.kill_at.is_some_and(|at| now >= at) {
            self.kill_at = None;
            self.state.stop(now);
        }
        self.leave_if_unreached(now);
        // With work the idle time never begins: a task may run for hours without a message from the master.
        if !self.state.is_empty() {
            self.limits.heard(now);
        } else if self.limits.idle_until().is_some_and(|at| now >= at) && self.left.is_none() {
            let left = self.idle();
            info!(
                ?left,
                "idle and no heartbeat from the master: the worker exits"
            );
            self.leave(left);
        }
        self.end_silence(now);
    }

    fn leave_if_unreached(&mut self, now: Instant) {
        let over = self.limits.reach_until().is_some_and(|at| now >= at);
        let Some(reach) = self.worker.conduct.reach.filter(|_| over) else {
            return;
        };
        if self.left.is_some() {
            return;
        }
        let stored = self.results.refusal().map(ToString::to_string);
        let seen = stored.or_else(|| self.last_refusal.clone());
        let seen = seen.unwrap_or_else(|| "no call was answered".to_owned());
        let reason = format!("no queue was reached within {reach:?} of the worker's start: {seen}");
        warn!(reason, "the worker leaves");
        self.leave(Left::Unreached(reason));
    }

    /// Why a worker leaves that has no work and no message from its master: master or queues may be gone.
    fn idle(&self) -> Left {
        match self.results.refusal() {
            None => Left::Idle,
            Some(error) => Left::Unreachable(format!(
                "without work and without a message from the master, and the results' queue accepts nothing any more: {error}"
            )),
        }
    }

    /// A worker that leaves because of its queues waits for no answer: once nothing runs any more, its last messages
    /// have some seconds, and none where no message was ever stored.
    fn end_silence(&mut self, now: Instant) {
        let Some(left) = self.left.as_ref().filter(|left| left.lacks_queues()) else {
            return;
        };
        let limits = if matches!(left, Left::Unreached(_)) {
            Duration::ZERO
        } else {
            FINAL_MESSAGES
        };
        let refused = self.results.refusal().or_else(|| self.tasks.refusal());
        if self.state.is_empty() && (limits.is_zero() || refused.is_some()) {
            // Once, at the first step at which nothing is held: each later step would otherwise move the end away.
            self.silent_at.get_or_insert(after(now, limits));
        }
    }
}
