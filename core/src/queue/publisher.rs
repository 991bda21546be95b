//! Messages on their way to one queue: one batch at a time, again until each is stored.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::{Queue, QueueError};

/// Delay before a refused message is sent again; doubled each time up to [`LONGEST`].
const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(5);

/// A message, what its arrival settles, and how often it was refused.
type Letter<R> = (Bytes, Option<R>, u32);
/// Receipts of what is stored, and what must be sent again.
type Sent<R> = (Vec<R>, Vec<Letter<R>>, Option<QueueError>);

/// Sends to one queue. A receipt `R` comes back for each message once it is stored.
pub struct Publisher<R> {
    queue: Arc<dyn Queue>,
    waiting: Vec<Letter<R>>,
    sending: Option<BoxFuture<'static, Sent<R>>>,
    failing: Option<(Instant, QueueError)>,
}

impl<R: Send + 'static> Publisher<R> {
    /// Nothing is sent yet.
    #[must_use]
    pub fn new(queue: Arc<dyn Queue>) -> Self {
        Self {
            queue,
            waiting: Vec::new(),
            sending: None,
            failing: None,
        }
    }

    /// Since when the queue has taken nothing, and what it said last.
    #[must_use]
    pub fn failing(&self) -> Option<&(Instant, QueueError)> {
        self.failing.as_ref()
    }

    /// Adds a message to those that are sent.
    pub fn push(&mut self, message: Bytes, receipt: Option<R>) {
        self.waiting.push((message, receipt, 0));
    }

    /// Whether everything is stored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.sending.is_none()
    }

    /// Sends what waits and returns the receipts of what is stored. Never resolves when there is nothing to send.
    /// Dropping the future loses nothing: the batch under way goes on with the next call.
    pub async fn next(&mut self) -> Vec<R> {
        if self.sending.is_none() && !self.waiting.is_empty() {
            let batch = std::mem::take(&mut self.waiting);
            self.sending = Some(Box::pin(send(self.queue.clone(), batch)));
        }
        let Some(sending) = &mut self.sending else {
            return std::future::pending().await;
        };
        let (receipts, mut again, refusal) = sending.await;
        self.sending = None;
        self.failing = refusal.map(|error| match self.failing.take() {
            Some((since, _)) => (since, error),
            None => (Instant::now(), error),
        });
        if !again.is_empty() {
            // What was refused is older than what came since.
            again.append(&mut self.waiting);
            self.waiting = again;
        }
        receipts
    }
}

impl<R> fmt::Debug for Publisher<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher")
            .field("queue", &self.queue)
            .field("waiting", &self.waiting.len())
            .finish_non_exhaustive()
    }
}

async fn send<R>(queue: Arc<dyn Queue>, batch: Vec<Letter<R>>) -> Sent<R> {
    let refused = batch
        .iter()
        .map(|(.., refused)| *refused)
        .max()
        .unwrap_or(0);
    if refused > 0 {
        sleep(LONGEST.min(FIRST * 2u32.saturating_pow(refused - 1))).await;
    }
    let answers = queue
        .put(batch.iter().map(|(message, ..)| message.clone()).collect())
        .await;
    let (mut receipts, mut again, mut refusal) = (Vec::new(), Vec::new(), None);
    let mut stored = false;
    for ((message, receipt, refused), answer) in batch.into_iter().zip(answers) {
        match answer {
            Ok(()) => {
                stored = true;
                receipts.extend(receipt);
            }
            Err(error) => {
                say(&error, refused);
                refusal = Some(error);
                again.push((message, receipt, refused + 1));
            }
        }
    }
    (receipts, again, refusal.filter(|_| !stored))
}

/// The first refusal is ordinary weather; more of them are worth a person's attention.
fn say(error: &QueueError, refused: u32) {
    if refused > 0 {
        warn!(%error, refused, "a message could not be stored and is sent again");
    }
}
