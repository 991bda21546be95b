//! Pulls of the tasks queue, and what is done with what they bring.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::envelope::Message;
use crate::envelope::reference::Content;
use crate::instant::after;
use crate::queue::{Delivery, QueueError};

use super::super::conduct::Left;
use super::super::pull::{later, pull};
use super::super::unauthenticated::Disposition;
use super::RunningWorker;
use super::departure::is_denied;

impl RunningWorker {
    pub(super) fn start_pull(&mut self) {
        let wanted = self.state.wants();
        let now = Instant::now();
        let ready = self.limits.may_pull(now) && self.unauthenticated.may_pull(now);
        // One pull at a time: two would bring batches for the same room.
        if self.pull.is_none() && wanted > 0 && self.left.is_none() && ready {
            self.room = wanted;
            let most = self.unauthenticated.most(wanted);
            self.pull_sent = now;
            self.pull = Some(pull(self.worker.queues.tasks.clone(), most));
        }
    }

    pub(super) fn on_pulled(
        &mut self,
        now: Instant,
        sent: Instant,
        answer: Result<Vec<Delivery>, QueueError>,
    ) {
        self.pull = None;
        if let Ok(batches) = &answer {
            // Any answer proves the right to pull, an empty one too.
            self.limits.served();
            if let Some(time) = self.refused_pulls.served(now) {
                info!("tasks can be pulled again, after {time:.1?}");
            }
            if !batches.is_empty() {
                self.limits.reached();
            }
        }
        match answer {
            Ok(batches) if batches.is_empty() => self.state.on_empty_pull(),
            Ok(batches) if self.left.is_some() => {
                let leases = batches.into_iter().map(|batch| batch.lease).collect();
                self.release(leases);
            }
            Ok(batches) => {
                let mut surplus = Vec::new();
                let mut taken = 0;
                for batch in batches {
                    // More comes than there is room for while the first message that can be read is looked for, and where
                    // batches became longer since the pull was sent: others may begin them sooner.
                    let full = taken > 0 && self.state.wants() == 0;
                    if self.room == 0 || full {
                        surplus.push(batch.lease);
                    } else if self.on_delivery(now, sent, batch) {
                        self.room -= 1;
                        taken += 1;
                    }
                }
                self.release(surplus);
            }
            Err(error) => {
                if is_denied(&error) {
                    self.limits.reached();
                    if self.limits.refused(now) {
                        self.leave(Left::Refused(error.to_string()));
                        return;
                    }
                }
                self.on_refused_pull(now, &error);
            }
        }
    }

    /// A message from the tasks' queue. What is not a batch of this run names no task: it is removed, counted and
    /// logged. A worker that has read nothing with its key yet may have the wrong key itself: it removes none. Tells
    /// whether it is a batch that was taken in.
    pub(super) fn on_delivery(&mut self, now: Instant, sent: Instant, delivery: Delivery) -> bool {
        let Delivery { lease, body } = delivery;
        let message = Message::read(body, &self.worker.settings.mac_key);
        if message.is_ok() {
            self.trust();
        }
        let settings = &self.worker.settings;
        let (problem, disposition) = match message {
            Ok(Message::Batch(batch, entries)) if batch.run == settings.run => {
                // Held before the batch is judged: each way out of here (`acknowledge`, `release`) forgets the lease.
                self.keeper.hold(lease.clone(), sent);

                let lookup = self.worker.lookup.as_ref();
                match self
                    .state
                    .on_batch(now, lease.clone(), &batch, entries, lookup)
                {
                    Ok(()) => return true,
                    Err(error) => (
                        error.to_string(),
                        Disposition::Drop(self.unauthenticated.count()),
                    ),
                }
            }
            Ok(Message::Reference(lost, _))
                if lost.run == settings.run && lost.of == Content::Batch =>
            {
                self.keeper.hold(lease.clone(), sent);
                self.state.on_lost_batch(lease, &lost);
                return true;
            }
            Ok(_) => {
                let problem = "it is no batch of this run".to_owned();
                (problem, Disposition::Drop(self.unauthenticated.count()))
            }
            Err(error) => (
                error.to_string(),
                self.unauthenticated.unread(now, &lease, &error),
            ),
        };
        match disposition {
            Disposition::Drop(dropped) => {
                warn!(%lease, problem, dropped, "a message on the tasks' queue was dropped");
                self.acknowledge(vec![lease]);
            }
            Disposition::Hold => {
                debug!(%lease, "a message that cannot be opened is held for a moment")
            }
            Disposition::GiveBack => self.release(vec![lease]),
        }
        false
    }

    /// This worker's key is the run's. What was held has another MAC, and is removed.
    pub(super) fn trust(&mut self) {
        let held = self.unauthenticated.trust();
        if !held.is_empty() {
            let dropped = self.unauthenticated.dropped();
            warn!(
                messages = held.len(),
                dropped, "messages with another MAC on the tasks' queue were dropped"
            );
        }
        self.acknowledge(held);
    }

    /// Gives back what was held for too long.
    pub(super) fn end_search(&mut self, now: Instant) {
        let Some((held, pause)) = self.unauthenticated.search_ended(now) else {
            return;
        };
        warn!(
            messages = held.len(),
            "messages were given back: this worker's key has opened none yet. Either others publish to the tasks' topic, \
             or the key is not the run's; nothing is pulled for {pause:?}"
        );
        self.release(held);
    }

    /// The queue is pulled again later, or given up: what runs ends, then the worker leaves.
    fn on_refused_pull(&mut self, now: Instant, error: &QueueError) {
        // A worker that leaves pulls no more: nothing is to be tried again.
        if self.left.is_some() {
            return;
        }
        self.last_refusal = Some(error.to_string());
        let timeout = self.broker_timeout;
        match self.refused_pulls.refused(now, timeout, fastrand::f32()) {
            Some(pause) => {
                if self.refused_pulls.is_worth_a_line(now, error) {
                    warn!(%error, "no tasks can be pulled; the worker tries again");
                }
                debug!(%error, ?pause, "no tasks were pulled");
                self.pull_after(pause);
            }
            None => {
                let reason = format!("the tasks' queue gives nothing any more: {error}");
                warn!(reason, "the worker leaves");
                self.leave(Left::Unreachable(reason));
            }
        }
    }

    fn pull_after(&mut self, pause: Duration) {
        let queue = self.worker.queues.tasks.clone();
        // One at least: the pull is also the test whether the queue serves again, and what is too much is given back.
        self.room = self.state.wants().max(1);
        self.pull_sent = after(Instant::now(), pause);
        self.pull = Some(later(pull(queue, self.room), pause));
    }
}
