//! Pulls of the tasks queue, and what is done with what they bring.

use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use crate::envelope::Message;
use crate::envelope::reference::Content;
use crate::queue::{Delivery, QueueError};

use super::super::conduct::Left;
use super::super::foreign::Fate;
use super::super::pull::{pull, pull_later};
use super::RunningWorker;

impl RunningWorker {
    pub(super) fn start_pull(&mut self) {
        let wanted = self.state.wants();
        let ready = self.left.is_none() && self.patience.may_pull(Instant::now());
        if self.pull.is_none() && wanted > 0 && ready {
            self.pull = Some(pull(self.worker.queues.tasks.clone(), wanted));
        }
    }

    pub(super) fn on_pulled(
        &mut self,
        now: Instant,
        sent: Instant,
        answer: Result<Vec<Delivery>, QueueError>,
    ) {
        self.pull = None;
        if answer.is_ok() {
            self.patience.served();
            self.refused_pulls.served();
            if self.foreign.is_trusted() {
                self.given_back.served();
            }
        }
        match answer {
            Ok(parcels) if parcels.is_empty() => self.state.on_empty_pull(),
            Ok(parcels) if self.left.is_some() => {
                let leases = parcels.into_iter().map(|parcel| parcel.lease).collect();
                self.release(leases);
            }
            Ok(parcels) => {
                parcels
                    .into_iter()
                    .for_each(|parcel| self.on_delivery(now, sent, parcel));
            }
            Err(error) => {
                let denied = matches!(error, QueueError::Denied { .. });
                if denied && self.patience.refused(now) {
                    self.leave(Left::Refused(error.to_string()));
                    return;
                }
                self.on_refused_pull(now, &error);
            }
        }
    }

    /// A message from the tasks' queue. What is not a parcel of this run names no task: it is removed, counted and
    /// logged. A worker that has read nothing under its seal yet may have the wrong key itself: it gives it back.
    pub(super) fn on_delivery(&mut self, now: Instant, sent: Instant, delivery: Delivery) {
        let Delivery { lease, body } = delivery;
        let settings = &self.worker.settings;
        let message = Message::read(body, &settings.seal);
        if message.is_ok() {
            self.foreign.trust();
        }
        let (problem, fate) = match message {
            Ok(Message::Parcel(parcel, entries)) if parcel.run == settings.run => {
                self.keeper.hold(lease.clone(), sent);

                let lookup = self.worker.lookup.as_ref();
                match self
                    .state
                    .on_parcel(now, lease.clone(), &parcel, entries, lookup)
                {
                    Ok(()) => return,
                    Err(error) => (error.to_string(), Fate::Drop(self.foreign.count())),
                }
            }
            Ok(Message::Reference(lost, _))
                if lost.run == settings.run && lost.of == Content::Parcel =>
            {
                self.keeper.hold(lease.clone(), sent);
                self.state.on_lost_parcel(lease, &lost);
                return;
            }
            Ok(_) => {
                let problem = "it is no parcel of this run".to_owned();
                (problem, Fate::Drop(self.foreign.count()))
            }
            Err(error) => (error.to_string(), self.foreign.unread(&error)),
        };
        match fate {
            Fate::Drop(dropped) => {
                warn!(%lease, problem, dropped, "a message on the tasks' queue was dropped");
                self.acknowledge(vec![lease]);
            }
            Fate::GiveBack => {
                warn!(%lease, "a message was given back: this worker's key has opened none yet, and may be the wrong one");
                self.release(vec![lease]);
                // Another worker may have the right key: this is no reason to leave.
                let pause = self.given_back.refused(now, Duration::MAX, fastrand::f32());
                self.pull_after(pause.unwrap_or_default());
            }
        }
    }

    /// The queue is asked again later, or given up: what runs ends, then the worker leaves.
    fn on_refused_pull(&mut self, now: Instant, error: &QueueError) {
        if self.left.is_some() {
            return;
        }
        let timeout = self.broker_timeout;
        match self.refused_pulls.refused(now, timeout, fastrand::f32()) {
            Some(pause) => {
                warn!(%error, ?pause, "no tasks could be pulled; trying again");
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
        self.pull = Some(pull_later(queue, self.state.wants(), pause));
    }
}
