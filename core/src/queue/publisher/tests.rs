//! Tests of a publisher over a queue that refuses.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::set_default;
use tracing::{Event, Level, Metadata, Subscriber};

use super::*;
use crate::queue::{Delivery, LeaseId, QueueLimits};

/// Takes nothing before so many calls.
#[derive(Debug)]
struct Closed {
    calls: AtomicU32,
    opens_after: u32,
    vanished: bool,
}

#[async_trait]
impl Queue for Closed {
    async fn put(&self, messages: Vec<Bytes>) -> Vec<Result<(), QueueError>> {
        if self.calls.fetch_add(1, Ordering::Relaxed) >= self.opens_after {
            return vec![Ok(()); messages.len()];
        }
        let (queue, reason) = ("topic t".to_owned(), "no".to_owned());
        let error = if self.vanished {
            QueueError::Vanished { queue, reason }
        } else {
            QueueError::Unavailable { queue, reason }
        };
        vec![Err(error); messages.len()]
    }

    async fn take(&self, _: usize, _: Duration) -> Result<Vec<Delivery>, QueueError> {
        std::future::pending().await
    }

    async fn extend(&self, _: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        Vec::new()
    }

    async fn ack(&self, _: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        Vec::new()
    }

    async fn release(&self, _: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        Vec::new()
    }

    fn limits(&self) -> QueueLimits {
        QueueLimits::new(1 << 20, Duration::from_secs(60))
    }
}

/// The levels of what is logged above debugging.
struct Said(Arc<Mutex<Vec<Level>>>);

impl Subscriber for Said {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        self.0.lock().unwrap().push(*event.metadata().level());
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// What is logged while a hundred messages wait for a queue that refuses so many calls.
async fn said(refusals: u32, vanished: bool) -> Vec<Level> {
    let said = Arc::default();
    let _heard = set_default(Said(Arc::clone(&said)));
    let mut publisher = Publisher::new(Arc::new(Closed {
        calls: AtomicU32::new(0),
        opens_after: refusals,
        vanished,
    }));
    for n in 0..100 {
        publisher.push(Bytes::from_static(b"message"), Some(n));
    }
    let mut stored = 0;
    while stored < 100 {
        stored += publisher.next().await.len();
    }
    assert!(publisher.is_empty());
    said.lock().unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_two_lines_however_many_messages_wait() {
    assert!(said(0, false).await.is_empty());
    assert!(said(1, false).await.is_empty(), "once is ordinary");
    assert_eq!(said(8, false).await, [Level::WARN, Level::INFO]);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_the_master_makes_again_is_not_logged_here() {
    assert!(said(8, true).await.is_empty());
}
