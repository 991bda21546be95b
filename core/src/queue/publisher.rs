//! Messages on their way to one queue: one batch at a time, again until each is stored.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use super::refusals::pause;
use super::{Queue, QueueError};

/// Delay before a refused message is sent again; doubled each time up to [`LONGEST`].
const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(5);

/// How long one call may take; a batch may have large payloads to upload first.
const CALL: Duration = Duration::from_secs(300);

/// A message on its way.
struct Letter<R> {
    message: Bytes,
    /// What its arrival settles.
    receipt: Option<R>,
    /// How often it was refused, and since when.
    refused: u32,
    since: Option<Instant>,
}

/// Receipts of what is stored, what must be sent again, and the last refusal.
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

    /// Since when the queue refuses a message, and what it said last.
    #[must_use]
    pub const fn failing(&self) -> Option<&(Instant, QueueError)> {
        self.failing.as_ref()
    }

    /// Why the queue, by this name, is given up, if it has refused a message for `timeout`. One message that is never taken
    /// holds its task up as much as a queue that takes nothing.
    #[must_use]
    pub fn given_up(&self, now: Instant, timeout: Duration, queue: &str) -> Option<String> {
        let (since, error) = self.failing.as_ref()?;
        let over = now.saturating_duration_since(*since) >= timeout;
        over.then(|| format!("{queue} takes nothing any more: {error}"))
    }

    /// What the queue answered last, while it refuses a message.
    #[must_use]
    pub fn refusal(&self) -> Option<&QueueError> {
        self.failing.as_ref().map(|(_, error)| error)
    }

    /// Adds a message to those that are sent.
    pub fn push(&mut self, message: Bytes, receipt: Option<R>) {
        self.waiting.push(Letter {
            message,
            receipt,
            refused: 0,
            since: None,
        });
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
        let since = again.iter().filter_map(|letter| letter.since).min();
        self.failing = since.zip(refusal);
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
    let refused = batch.iter().map(|letter| letter.refused).max().unwrap_or(0);
    if let Some(times) = refused.checked_sub(1) {
        sleep(pause(FIRST, LONGEST, times, fastrand::f32())).await;
    }
    let began = Instant::now();
    let messages = batch.iter().map(|letter| letter.message.clone()).collect();
    let answers = match timeout(CALL, queue.put(messages)).await {
        Ok(answers) => answers,
        Err(_) => vec![Err(unanswered(&*queue)); batch.len()],
    };
    let (mut receipts, mut again, mut refusal) = (Vec::new(), Vec::new(), None);
    for (letter, answer) in batch.into_iter().zip(answers) {
        match answer {
            Ok(()) => receipts.extend(letter.receipt),
            Err(error) => {
                say(&error, letter.refused);
                refusal = Some(error);
                again.push(Letter {
                    refused: letter.refused.saturating_add(1),
                    since: letter.since.or(Some(began)),
                    ..letter
                });
            }
        }
    }
    (receipts, again, refusal)
}

fn unanswered(queue: &dyn Queue) -> QueueError {
    QueueError::Unavailable {
        queue: format!("{queue:?}"),
        reason: format!("no answer within {CALL:?}"),
    }
}

/// The first refusal is ordinary weather; more of them are worth a person's attention.
fn say(error: &QueueError, refused: u32) {
    if refused > 0 {
        warn!(%error, refused, "a message could not be stored and is sent again");
    }
}
