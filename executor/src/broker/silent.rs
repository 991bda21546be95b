//! A queue that never delivers a message: the control queue of a run without a control topic.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use podpool_core::queue::{Delivery, LeaseId, Queue, QueueError, QueueLimits};

/// Accepts every message, and delivers none.
#[derive(Debug)]
pub(crate) struct SilentQueue {
    lease: Duration,
}

impl SilentQueue {
    pub(crate) const fn new(lease: Duration) -> Self {
        Self { lease }
    }
}

#[async_trait]
impl Queue for SilentQueue {
    async fn put(&self, messages: Vec<Bytes>) -> Vec<Result<(), QueueError>> {
        messages.iter().map(|_| Ok(())).collect()
    }

    async fn take(&self, _: usize, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
        // The whole wait: a loop that pulls without a pause between empty answers would spin otherwise.
        tokio::time::sleep(wait).await;
        Ok(Vec::new())
    }

    async fn extend(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        leases.iter().map(|_| Ok(())).collect()
    }

    async fn ack(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        leases.iter().map(|_| Ok(())).collect()
    }

    async fn release(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        leases.iter().map(|_| Ok(())).collect()
    }

    fn limits(&self) -> QueueLimits {
        // No message is stored, so none is too large; `u32::MAX` is the most that an entry's length can state.
        QueueLimits::new(u32::MAX as usize, self.lease)
    }
}
