//! The control of a worker that has no place: nothing comes.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use podpool_core::queue::{Delivery, LeaseId, Queue, QueueError, QueueLimits};

use super::queue::MESSAGE_BYTES;

/// Takes everything, and gives nothing. Leases last so long.
#[derive(Debug)]
pub(super) struct Silence(pub(super) Duration);

#[async_trait]
impl Queue for Silence {
    async fn put(&self, messages: Vec<Bytes>) -> Vec<Result<(), QueueError>> {
        vec![Ok(()); messages.len()]
    }

    async fn take(&self, _: usize, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
        tokio::time::sleep(wait).await;
        Ok(Vec::new())
    }

    async fn extend(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        vec![Ok(()); leases.len()]
    }

    async fn ack(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        vec![Ok(()); leases.len()]
    }

    async fn release(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        vec![Ok(()); leases.len()]
    }

    fn limits(&self) -> QueueLimits {
        QueueLimits::remote(MESSAGE_BYTES, self.0)
    }
}
