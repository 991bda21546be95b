//! A queue whose messages a test observes, changes or drops.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use podpool_core::queue::{Delivery, LeaseId, Queue, QueueError, QueueLimits};

/// Whether a message is lost.
type Loses = Box<dyn Fn(&Bytes) -> bool + Send + Sync>;

/// Passes all calls on to a queue, with the changes that were configured.
pub struct Tap {
    queue: Arc<dyn Queue>,
    change: Option<Box<dyn Fn(Bytes) -> Bytes + Send + Sync>>,
    lose: Option<Loses>,
    acknowledged: Option<Box<dyn Fn() + Send + Sync>>,
}

impl Tap {
    /// Over a queue, without any change yet.
    #[must_use]
    pub fn new(queue: Arc<dyn Queue>) -> Self {
        Self {
            queue,
            change: None,
            lose: None,
            acknowledged: None,
        }
    }

    /// Stores what `change` makes of each message.
    #[must_use]
    pub fn changing(mut self, change: impl Fn(Bytes) -> Bytes + Send + Sync + 'static) -> Self {
        self.change = Some(Box::new(change));
        self
    }

    /// Loses the messages that `lose` names: the call that put them succeeds. `lose` is called only for messages that
    /// are put.
    #[must_use]
    pub fn losing(mut self, lose: impl Fn(&Bytes) -> bool + Send + Sync + 'static) -> Self {
        self.lose = Some(Box::new(lose));
        self
    }

    /// Calls `heard` before messages are acknowledged: the receiver has finished with them.
    #[must_use]
    pub fn on_ack(mut self, heard: impl Fn() + Send + Sync + 'static) -> Self {
        self.acknowledged = Some(Box::new(heard));
        self
    }
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.queue.fmt(f)
    }
}

#[async_trait]
impl Queue for Tap {
    async fn put(&self, messages: Vec<Bytes>) -> Vec<Result<(), QueueError>> {
        let messages = match &self.change {
            None => messages,
            Some(change) => messages.into_iter().map(change).collect(),
        };
        let Some(lose) = &self.lose else {
            return self.queue.put(messages).await;
        };
        let lost: Vec<_> = messages.iter().map(lose).collect();
        let kept = messages.into_iter().zip(&lost);
        let kept = kept.filter_map(|(message, lost)| (!lost).then_some(message));
        let mut answers = self.queue.put(kept.collect()).await.into_iter();
        // One answer for each message, in their order: the inner queue has answered for the kept ones alone.
        let answer = |lost| {
            if lost {
                Ok(())
            } else {
                answers.next().unwrap()
            }
        };
        lost.into_iter().map(answer).collect()
    }

    async fn take(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
        self.queue.take(max, wait).await
    }

    async fn extend(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        self.queue.extend(leases).await
    }

    async fn ack(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        if let Some(heard) = &self.acknowledged {
            heard();
        }
        self.queue.ack(leases).await
    }

    async fn release(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        self.queue.release(leases).await
    }

    fn limits(&self) -> QueueLimits {
        self.queue.limits()
    }
}
