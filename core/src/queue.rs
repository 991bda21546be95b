//! The queue that carries batches, results and control: the least that a back-end must do.
//!
//! Delivery is at least once. Nothing is fetched behind the caller's back, dropping a delivery does
//! nothing (its lease expires), and attempts are counted by podpool, never by the queue.
//! [`memory`] is the reference; [`faulty`] wraps any queue for tests.

pub mod faulty;
pub mod memory;
pub mod publisher;
pub mod refusals;

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::instant::NEVER;

/// Begins a call to a queue, and is done with it where the queue answers at once, as the one in memory does: then no
/// turn of a loop is spent on the answer. What it gives back goes on when a task polls it.
pub fn begin(call: impl Future<Output = ()> + Send + 'static) -> Option<BoxFuture<'static, ()>> {
    let mut call = Box::pin(call);
    // A waker that does nothing is safe: the call is polled again in any case by the task that gets it, which registers
    // its own.
    let answer = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    answer
        .is_pending()
        .then_some(call as BoxFuture<'static, ()>)
}

/// A queue of opaque messages with leases.
///
/// Every call may be made from any number of tasks at once, and is safe to drop: a dropped `put` may or
/// may not have stored its messages, a dropped `take` may leave messages leased until the lease expires.
#[async_trait]
pub trait Queue: fmt::Debug + Send + Sync + 'static {
    /// Stores messages. One answer for each message, in order; `Ok` means that it is safely stored.
    async fn put(&self, messages: Vec<Bytes>) -> Vec<Result<(), QueueError>>;

    /// Takes up to `max` messages, and waits up to `wait` for the first. An empty answer means only that none came in
    /// time, never that the queue is drained.
    async fn take(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, QueueError>;

    /// Renews leases: each lasts [`QueueLimits::lease`] from now. One answer for each lease, in order.
    async fn extend(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>>;

    /// Removes messages for good. One answer for each lease, in order.
    async fn ack(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>>;

    /// Gives messages back at once, for any taker. One answer for each lease, in order.
    async fn release(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>>;

    /// What the queue can carry, and how long a lease lasts.
    fn limits(&self) -> QueueLimits;
}

#[async_trait]
impl<Q: Queue + ?Sized> Queue for Arc<Q> {
    async fn put(&self, messages: Vec<Bytes>) -> Vec<Result<(), QueueError>> {
        self.as_ref().put(messages).await
    }

    async fn take(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
        self.as_ref().take(max, wait).await
    }

    async fn extend(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        self.as_ref().extend(leases).await
    }

    async fn ack(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        self.as_ref().ack(leases).await
    }

    async fn release(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        self.as_ref().release(leases).await
    }

    fn limits(&self) -> QueueLimits {
        self.as_ref().limits()
    }
}

/// A message with the lease on it. Dropping it does nothing: the lease expires and the message comes again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The lease, for `extend`, `ack` and `release`.
    pub lease: LeaseId,
    /// The message.
    pub body: Bytes,
}

/// The name of one lease, given by the queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LeaseId(Arc<str>);

impl LeaseId {
    /// A lease named by its queue.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a queue can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueLimits {
    /// Largest message, in bytes.
    pub message_bytes: usize,
    /// How long a lease lasts from its taking or its last renewal.
    pub lease: Duration,
    /// Whether a call crosses a network: slots stay busy only if much is stored ahead of them.
    pub remote: bool,
}

impl QueueLimits {
    /// Limits of a queue in this process. A lease longer than [`NEVER`] counts as that.
    #[must_use]
    pub const fn new(message_bytes: usize, lease: Duration) -> Self {
        // Compared in seconds, for `Duration` has no comparison in a `const fn`.
        let endless = lease.as_secs() >= NEVER.as_secs();
        Self {
            message_bytes,
            lease: if endless { NEVER } else { lease },
            remote: false,
        }
    }

    /// Limits of a queue across a network.
    #[must_use]
    pub const fn remote(message_bytes: usize, lease: Duration) -> Self {
        Self {
            remote: true,
            ..Self::new(message_bytes, lease)
        }
    }
}

/// Why a queue did not carry a call out, by what the caller can do about it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// The lease ran out or was answered before: the message may be with another taker.
    #[error("lease {0} is lost; its message may be delivered again")]
    LeaseLost(LeaseId),
    /// The message is larger than the queue carries; it was not stored.
    #[error(
        "a message of {size} bytes is larger than the {limit} bytes that {queue} carries; it was not stored"
    )]
    TooLarge {
        /// Bytes of the message.
        size: usize,
        /// Most that the queue carries.
        limit: usize,
        /// The queue's name.
        queue: String,
    },
    /// The queue did not answer or answered with a passing fault: the call may be made again.
    #[error("{queue} is unavailable: {reason}; the call can be made again")]
    Unavailable {
        /// The queue's name.
        queue: String,
        /// Its answer.
        reason: String,
    },
    /// Rights are missing; the message names them.
    #[error("{queue} refused the call: {reason}")]
    Denied {
        /// The queue's name.
        queue: String,
        /// What is missing.
        reason: String,
    },
    /// The queue was deleted while the run uses it, and the run's master makes it again: the call can be made again then.
    /// What was in it is lost, its leases too; the master publishes what was out again.
    #[error("{queue} was deleted while the run uses it: {reason}; the run's master makes it again")]
    Vanished {
        /// The queue's name.
        queue: String,
        /// Its answer.
        reason: String,
    },
    /// The queue does not exist, or no longer.
    #[error("{queue} does not exist: {reason}")]
    Gone {
        /// The queue's name.
        queue: String,
        /// Its answer.
        reason: String,
    },
}

impl QueueError {
    /// Whether making the same call again may succeed.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_that_is_answered_at_once_leaves_nothing_and_another_goes_on() {
        assert!(begin(async {}).is_none());
        let (tell, told) = tokio::sync::oneshot::channel();
        let rest = begin(async move { told.await.unwrap() }).expect("it was not answered");
        tell.send(()).unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(10), rest);
        ended.await.expect("it goes on where it is polled");
    }
}
