//! The tasks' queue of the simulation: messages with leases, in no order.

use bytes::Bytes;
use fastrand::Rng;
use podpool_core::queue::LeaseId;
use tokio::time::Instant;

#[derive(Debug)]
struct Stored {
    body: Bytes,
    /// When it can be taken.
    visible: Instant,
    lease: Option<LeaseId>,
}

/// The queue.
#[derive(Debug, Default)]
pub(super) struct TaskQueue {
    stored: Vec<Stored>,
    leases: u64,
}

impl TaskQueue {
    pub(super) fn put(&mut self, body: Bytes, visible: Instant) {
        self.stored.push(Stored {
            body,
            visible,
            lease: None,
        });
    }

    pub(super) fn take(
        &mut self,
        most: usize,
        until: Instant,
        now: Instant,
        rng: &mut Rng,
    ) -> Vec<(LeaseId, Bytes)> {
        let mut free: Vec<_> = self
            .stored
            .iter_mut()
            .filter(|message| message.visible <= now)
            .collect();
        rng.shuffle(&mut free);
        let mut taken = Vec::new();
        for message in free.into_iter().take(most) {
            let lease = LeaseId::new(self.leases.to_string());
            self.leases += 1;
            message.visible = until;
            message.lease = Some(lease.clone());
            taken.push((lease, message.body.clone()));
        }
        taken
    }

    /// Renews a lease; false when it is lost.
    pub(super) fn extend(&mut self, lease: &LeaseId, now: Instant, until: Instant) -> bool {
        let message = self.find(lease).filter(|message| message.visible > now);
        message.map(|message| message.visible = until).is_some()
    }

    /// The lease is over: the message can be taken again.
    pub(super) fn expire(&mut self, lease: &LeaseId) {
        if let Some(message) = self.find(lease) {
            message.lease = None;
            message.visible -= std::time::Duration::from_secs(3600);
        }
    }

    pub(super) fn ack(&mut self, lease: &LeaseId, now: Instant) {
        let gone =
            |message: &Stored| message.lease.as_ref() == Some(lease) && message.visible > now;
        self.stored.retain(|message| !gone(message));
    }

    /// Everything in it is lost. Leases are numbered on: an old one is no new one's.
    pub(super) fn clear(&mut self) {
        self.stored.clear();
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.stored.is_empty()
    }

    fn find(&mut self, lease: &LeaseId) -> Option<&mut Stored> {
        self.stored
            .iter_mut()
            .find(|message| message.lease.as_ref() == Some(lease))
    }
}
