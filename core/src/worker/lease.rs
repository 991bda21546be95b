//! Which leases must be renewed, and which are lost: pure state.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::instant::after;
use crate::queue::{LeaseId, QueueError};

/// The leases that a worker holds.
#[derive(Debug)]
pub struct Leases {
    lease: Duration,
    held: HashMap<LeaseId, Held>,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    /// When the lease certainly still held: before the call that took or renewed it was sent.
    since: Instant,
    renewing: bool,
}

// Time is the monotonic clock's, and of this machine alone: no decision here reads a time that the service sent.
impl Leases {
    /// No leases; each will last `lease`.
    #[must_use]
    pub fn new(lease: Duration) -> Self {
        Self {
            lease,
            held: HashMap::new(),
        }
    }

    /// How often [`due`](Self::due) must be called: with this tick, each lease is renewed when at least a sixth and at
    /// most a third of it has gone by.
    #[must_use]
    pub fn tick(&self) -> Duration {
        // A first renewal that fails, at a third of the lease at the latest, leaves four more tries before the end.
        // With a third as tick there would be one; with a twelfth every lease costs twice as many calls.
        self.lease / 6
    }

    /// Holds a lease; the call that took it was sent at `since`.
    pub fn hold(&mut self, lease: LeaseId, since: Instant) {
        self.held.insert(
            lease,
            Held {
                since,
                renewing: false,
            },
        );
    }

    /// Holds it no longer: it was acknowledged, released or given up.
    pub fn forget(&mut self, lease: &LeaseId) {
        self.held.remove(lease);
    }

    /// The leases to renew now.
    pub fn due(&mut self, now: Instant) -> Vec<LeaseId> {
        let tick = self.tick();
        let old = self
            .held
            .iter_mut()
            // A tick after `since` at the earliest: a fresh batch that ends within a sixth of its lease is never
            // renewed.
            .filter(|(_, held)| !held.renewing && now >= after(held.since, tick));
        old.map(|(lease, held)| {
            held.renewing = true;
            lease.clone()
        })
        .collect()
    }

    /// Takes in the answer to a renewal that was sent at `sent`; true when the lease is lost.
    pub fn renewed(
        &mut self,
        lease: &LeaseId,
        sent: Instant,
        answer: &Result<(), QueueError>,
    ) -> bool {
        // A lease that was acknowledged or released while the renewal was under way: the answer is no loss.
        let Some(held) = self.held.get_mut(lease) else {
            return false;
        };
        held.renewing = false;
        match answer {
            Ok(()) => {
                held.since = sent;
                false
            }
            Err(
                QueueError::LeaseLost(_) | QueueError::Vanished { .. } | QueueError::Gone { .. },
            ) => {
                self.held.remove(lease);
                true
            }
            // The queue may answer next time; until the lease is over this worker holds it.
            Err(_) => false,
        }
    }

    /// The leases that ran out because no renewal came through.
    pub fn expired(&mut self, now: Instant) -> Vec<LeaseId> {
        let lease = self.lease;
        let over = self
            .held
            // `since` lies before the call that took or renewed the lease, so this end is never later than the queue's
            // own.
            .extract_if(|_, held| now >= after(held.since, lease));
        over.map(|(lease, _)| lease).collect()
    }
}

#[cfg(test)]
mod tests;
