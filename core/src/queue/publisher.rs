//! Messages on their way to one queue: one call at a time, again until each is stored.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

use super::refusals::{Outage, pause};
use super::{Queue, QueueError};

/// Delay before a refused message is sent again; doubled each time up to [`LONGEST`].
// The cap is reached with the eighth repetition, after 6.4 s at most. A cap of 1 s would load a service in trouble with
// a call a second of each of hundreds of workers; a longer one delays results past the end of the outage.
const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(5);

/// How long one call may take; its messages may have large payloads to upload first.
const CALL: Duration = Duration::from_secs(300);

/// A message on its way.
struct Unsent<R> {
    message: Bytes,
    /// What its arrival settles.
    receipt: Option<R>,
    /// How often it was refused, and since when.
    refused: u32,
    since: Option<Instant>,
}

/// Receipts of what is stored, what must be sent again, and the last refusal.
type Sent<R> = (Vec<R>, Vec<Unsent<R>>, Option<QueueError>);

/// Sends to one queue. A receipt `R` comes back for each message once it is stored.
pub struct Publisher<R> {
    queue: Arc<dyn Queue>,
    waiting: Vec<Unsent<R>>,
    sending: Option<BoxFuture<'static, Sent<R>>>,
    /// When the call under way was made; a pause after a refusal included.
    sent: Instant,
    failing: Option<(Instant, QueueError)>,
    outage: Outage,
}

impl<R: Send + 'static> Publisher<R> {
    /// Nothing is sent yet.
    #[must_use]
    pub fn new(queue: Arc<dyn Queue>) -> Self {
        Self {
            queue,
            waiting: Vec::new(),
            sending: None,
            sent: Instant::now(),
            failing: None,
            outage: Outage::default(),
        }
    }

    /// Since when the queue refuses a message, and its last answer.
    #[must_use]
    pub const fn failing(&self) -> Option<&(Instant, QueueError)> {
        self.failing.as_ref()
    }

    /// Since when an answer is waited for; none where no message is under way.
    #[must_use]
    pub fn unanswered(&self) -> Option<Instant> {
        self.sending.is_some().then_some(self.sent)
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
        self.waiting.push(Unsent {
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
    /// Dropping the future loses nothing: the call under way goes on with the next call.
    pub async fn next(&mut self) -> Vec<R> {
        if self.sending.is_none() && !self.waiting.is_empty() {
            let items = std::mem::take(&mut self.waiting);
            self.sending = Some(Box::pin(send(self.queue.clone(), items)));
            // Also where a pause comes before the call: `unanswered` measures how long a message waits, not how long
            // the service takes.
            self.sent = Instant::now();
        }
        // The call is held by the publisher and not by this future: a `select!` that drops this future must not drop a
        // call whose messages the queue may have stored.
        let Some(sending) = &mut self.sending else {
            return std::future::pending().await;
        };
        let (receipts, mut again, refusal) = sending.await;
        self.sending = None;
        self.log_outcome(refusal.as_ref(), again.len());
        let since = again.iter().filter_map(|item| item.since).min();
        // The oldest message that is refused decides since when: others may pass beside it (`given_up`).
        self.failing = since.zip(refusal);
        if !again.is_empty() {
            // What was refused is older than what came since.
            again.append(&mut self.waiting);
            self.waiting = again;
        }
        receipts
    }

    /// Logs what became of a call, in one line however many messages it has.
    fn log_outcome(&mut self, refusal: Option<&QueueError>, messages: usize) {
        let now = Instant::now();
        match refusal {
            Some(error) if self.outage.refused(now, error) => {
                warn!(%error, messages, "messages could not be stored and are sent again");
            }
            Some(error) => debug!(%error, messages, "messages are sent again"),
            None => {
                if let Some(time) = self.outage.served(now) {
                    info!(queue = ?self.queue, "messages are stored again, after {time:.1?}");
                }
            }
        }
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

async fn send<R>(queue: Arc<dyn Queue>, items: Vec<Unsent<R>>) -> Sent<R> {
    // One pause for the whole call, by the message that was refused most often: a single call is under way at any time.
    let refused = items.iter().map(|item| item.refused).max().unwrap_or(0);
    if let Some(times) = refused.checked_sub(1) {
        // Inside the call, so that what is pushed meanwhile waits for the same pause, and a queue in trouble is not
        // called more often the more there is to send.
        sleep(pause(FIRST, LONGEST, times, fastrand::f32())).await;
    }
    let began = Instant::now();
    let messages = items.iter().map(|item| item.message.clone()).collect();
    let answers = match timeout(CALL, queue.put(messages)).await {
        Ok(answers) => answers,
        // The messages may be stored all the same: they are sent again, and readers pass doubles over.
        Err(_) => vec![Err(unanswered(&*queue)); items.len()],
    };
    let (mut receipts, mut again, mut refusal) = (Vec::new(), Vec::new(), None);
    for (item, answer) in items.into_iter().zip(answers) {
        match answer {
            // A queue that gives fewer answers than messages would lose the rest here; the conformance suite refuses
            // such a queue.
            Ok(()) => receipts.extend(item.receipt),
            Err(error) => {
                refusal = Some(error);
                again.push(Unsent {
                    // For each message, not for the queue: one that is refused for ever must be found beside others
                    // that pass.
                    refused: item.refused.saturating_add(1),
                    since: item.since.or(Some(began)),
                    ..item
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

#[cfg(test)]
mod tests;
