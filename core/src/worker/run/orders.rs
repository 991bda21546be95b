//! What the worker is told: by its master over the control queue, and by those who started it.

use tokio::time::Instant;
use tracing::{debug, warn};

use crate::envelope::{Control, Message, RunState};
use crate::instant::after;
use crate::queue::{Delivery, QueueError};

use super::super::conduct::Left;
use super::super::pull::{self, pull, pull_later};
use super::{LAST_WORDS, Order, RunningWorker};

impl RunningWorker {
    pub(super) fn on_told(&mut self, now: Instant, answer: Result<Vec<Delivery>, QueueError>) {
        let queue = self.worker.queues.control.clone();
        let Ok(deliveries) = answer else {
            self.control = pull_later(queue, 64, pull::AGAIN * 25);
            return;
        };
        self.control = pull(queue.clone(), 64);
        let mut leases = Vec::with_capacity(deliveries.len());
        for Delivery { lease, body } in deliveries {
            leases.push(lease);
            let Ok(Message::Control(control)) = Message::read(body, &self.worker.settings.seal)
            else {
                warn!(
                    dropped = self.foreign.count(),
                    "a message on the control queue was dropped: it is not the master's"
                );
                continue;
            };
            self.foreign.trust();
            self.on_control(now, &control);
        }
        self.answers.push(Box::pin(async move {
            // A control message that is delivered again changes nothing.
            queue.ack(&leases).await;
        }));
    }

    /// The master's word. One of another run, or an older one, says nothing.
    pub(super) fn on_control(&mut self, now: Instant, control: &Control) {
        let me = self.worker.settings.worker;
        if control.run != self.worker.settings.run || !self.state.on_control(control, now) {
            return;
        }
        self.patience.heard(now);
        if control.greeted.contains(&me) {
            self.patience.greeted();
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
            Order::Drain => self.leave(Left::Drained),
            Order::Stop => {
                self.leave(Left::Stopped);
                self.state.stop(now);
            }
            Order::Terminate(grace) => {
                self.leave(Left::Terminated);
                self.state.terminate();
                // A short grace is halved between the tasks and the last words.
                self.kill_at = Some(after(now, grace - LAST_WORDS.min(grace / 2)));
            }
        }
    }
}
