//! The control queue of a worker that has no place: it is always empty.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use podpool_core::queue::{Delivery, LeaseId, Queue, QueueError, QueueLimits};

use super::queue::MESSAGE_BYTES;

/// A queue that accepts every message and delivers none. The duration is its lease.
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
