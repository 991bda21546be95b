//! Orders to the worker: from its master over the control queue, and from the code that started it.

use tokio::time::Instant;
use tracing::{debug, warn};

use crate::envelope::{Control, Message, RunState};
use crate::instant::after;
use crate::queue::{Delivery, QueueError};

use super::super::conduct::Left;
use super::super::pull::{acknowledge_once, later, listen};
use super::{FINAL_MESSAGES, Order, RunningWorker};

impl RunningWorker {
    pub(super) fn on_told(&mut self, now: Instant, answer: Result<Vec<Delivery>, QueueError>) {
        let queue = self.worker.queues.control.clone();
        let deliveries = match answer {
            Ok(deliveries) => deliveries,
            Err(error) => return self.on_refused_control(now, &error),
        };
        self.refused_control.served(now);
        if !deliveries.is_empty() {
            self.limits.reached();
        }
        self.control = listen(queue.clone(), 64);
        let mut leases = Vec::with_capacity(deliveries.len());
        for Delivery { lease, body } in deliveries {
            leases.push(lease);
            let Ok(Message::Control(control)) = Message::read(body, &self.worker.settings.mac_key)
            else {
                warn!(
                    dropped = self.unauthenticated.count(),
                    "a message on the control queue was dropped: it is not the master's"
                );
                continue;
            };
            // The master's MAC fits, so this worker's key is the run's: what could not be opened before was forged.
            self.trust();
            self.on_control(now, &control);
        }
        // Not awaited: control is a state, and a message that comes again is passed over by its sequence.
        self.answers.push(Box::pin(acknowledge_once(queue, leases)));
    }

    /// The control queue is pulled again later. A worker that cannot read control for so long leaves: it would receive
    /// neither cancellations nor the run's end.
    fn on_refused_control(&mut self, now: Instant, error: &QueueError) {
        self.last_refusal = Some(error.to_string());
        let timeout = self.broker_timeout;
        let pause = self.refused_control.refused(now, timeout, fastrand::f32());
        if pause.is_none() && self.left.is_none() {
            let reason = format!("the control queue gives nothing any more: {error}");
            warn!(reason, "the worker leaves");
            self.leave(Left::Unreachable(reason));
        }
        let queue = self.worker.queues.control.clone();
        // A worker that has given up still pulls control, slowly: an order to abort may come while what runs ends.
        self.control = later(listen(queue, 64), pause.unwrap_or(FINAL_MESSAGES));
    }

    /// A control message. One of another run, or an older one, changes nothing.
    pub(super) fn on_control(&mut self, now: Instant, control: &Control) {
        let me = self.worker.settings.worker;
        let known = self.state.told_epoch();
        if control.run != self.worker.settings.run || !self.state.on_control(control, now) {
            return;
        }
        if known > 0 && control.epoch > known {
            // A later master has not read the greeting: it would not know whose end the fleet reports.
            self.send_hello();
        }
        self.limits.heard(now);
        let detached = control.state == RunState::Detached;
        if std::mem::replace(&mut self.detached, detached) && !detached {
            // The master that came learns at once what this worker holds.
            self.heartbeat = now;
        }
        if control.greeted.contains(&me) {
            self.limits.greeted();
        }
        match control.state {
            RunState::Ended => self.leave(Left::Ended),
            RunState::Aborted => self.on_order(now, Order::Stop),
            RunState::Open | RunState::Closing | RunState::Detached => {
                if control.drain.contains(&me) {
                    self.on_order(now, Order::Drain);
                }
            }
        }
    }

    pub(super) fn on_order(&mut self, now: Instant, order: Order) {
        debug!(?order, "the worker leaves");
        match order {
            Order::Drain => {
                let left = self.unfit().unwrap_or(Left::Drained);
                self.leave(left);
            }
            Order::Stop => {
                self.leave(Left::Stopped);
                self.state.stop(now);
                // A stopped run has no reader for long: interruptions are worth sending, and not worth waiting for.
                self.silent_at.get_or_insert(now + FINAL_MESSAGES);
            }
            Order::Terminate(grace) => {
                // First: `leave` drains and sets `pull_until`, which the grace then bounds.
                self.leave(Left::Terminated);
                // Half of the grace at most: what the pull brings must still be released within it.
                self.pull_until = self.pull_until.map(|at| at.min(after(now, grace / 2)));
                self.state.terminate();
                // A short grace is halved between the tasks and the last messages.
                self.kill_at = Some(after(now, grace - FINAL_MESSAGES.min(grace / 2)));
            }
        }
    }
}
