//! What may befall a run's queues while it lives: they vanish, or another run uses them.

use std::sync::Arc;
use std::time::Duration;

use podpool_core::fleet::FleetEvent;
use podpool_core::id::RunId;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::pubsub::Owner;

use super::cohorts::ControlQueues;

/// How often the run's own topics and subscriptions are looked at; five calls.
const LOOK: Duration = Duration::from_secs(30);

/// Looks after the queues of one run.
pub(super) struct Guard {
    queues: Arc<ControlQueues>,
    every: Duration,
    own: Owner,
    /// Other runs that were met on an administrator's names.
    met: mpsc::UnboundedReceiver<Owner>,
    /// Younger runs that a warning named.
    named: Vec<RunId>,
    events: mpsc::UnboundedSender<FleetEvent>,
}

impl Guard {
    pub(super) fn new(
        queues: Arc<ControlQueues>,
        lease: Duration,
        (own, met): (Owner, mpsc::UnboundedReceiver<Owner>),
        events: mpsc::UnboundedSender<FleetEvent>,
    ) -> Self {
        Self {
            queues,
            every: LOOK.min(lease),
            own,
            met,
            named: Vec::new(),
            events,
        }
    }

    /// Watches until it is stopped. What it has begun to make is made whole before, so that it can be deleted whole.
    /// Returns whether other runs were met.
    pub(super) async fn watch(mut self, stopped: CancellationToken) -> bool {
        let mut met = false;
        loop {
            tokio::select! {
                biased;
                () = stopped.cancelled() => return met,
                Some(other) = self.met.recv() => {
                    met = true;
                    self.meet(&other);
                }
                () = sleep(self.every), if self.queues.are_own() => {}
            }
            if self.queues.are_own() {
                self.restore().await;
            }
        }
    }

    async fn restore(&self) {
        match self.queues.restore().await {
            Ok(false) => {}
            Ok(true) => self.tell(FleetEvent::QueuesRestored),
            // Whoever calls the queues hears of it too, and is patient.
            Err(error) => {
                debug!(%error, "the run's topics and subscriptions could not be looked at")
            }
        }
    }

    /// The younger of two runs ends.
    fn meet(&mut self, other: &Owner) {
        let by = other.run().clone();
        if *other < self.own {
            self.tell(FleetEvent::NamesInUse { by });
        } else if !self.named.contains(&by) {
            warn!(run = %by, "a younger run uses the same topics and subscriptions; it will end, and this one goes on");
            self.named.push(by);
        }
    }

    fn tell(&self, event: FleetEvent) {
        // The dispatcher may have ended before.
        self.events.send(event).ok();
    }
}
