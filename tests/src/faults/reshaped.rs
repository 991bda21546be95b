//! A queue whose parcels come from a master with other types: every task's fingerprint is another one.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use podpool_core::envelope::{Message, Seal};
use podpool_core::queue::{Delivery, LeaseId, Queue, QueueError, QueueLimits};

/// Passes everything on, and changes the fingerprints of parcels of one task.
pub struct Reshaped {
    queue: Arc<dyn Queue>,
    task: &'static str,
}

impl Reshaped {
    /// Over a queue of parcels, for the task of this name.
    #[must_use]
    pub fn new(queue: Arc<dyn Queue>, task: &'static str) -> Self {
        Self { queue, task }
    }

    fn reshape(&self, message: Bytes) -> Bytes {
        match Message::read(message.clone(), &Seal::Unsealed) {
            Ok(Message::Parcel(mut parcel, entries)) => {
                for kind in &mut parcel.kinds {
                    if &*kind.name == self.task {
                        kind.fingerprint.0[0] ^= 1;
                    }
                }
                parcel.message(&entries, &Seal::Unsealed)
            }
            _ => message,
        }
    }
}

impl fmt::Debug for Reshaped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reshaped")
            .field("task", &self.task)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Queue for Reshaped {
    async fn put(&self, batch: Vec<Bytes>) -> Vec<Result<(), QueueError>> {
        let batch = batch.into_iter().map(|message| self.reshape(message));
        self.queue.put(batch.collect()).await
    }

    async fn take(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
        self.queue.take(max, wait).await
    }

    async fn extend(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        self.queue.extend(leases).await
    }

    async fn ack(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        self.queue.ack(leases).await
    }

    async fn release(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        self.queue.release(leases).await
    }

    fn limits(&self) -> QueueLimits {
        self.queue.limits()
    }
}
