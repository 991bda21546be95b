//! What comes on the results queue: pulled, read, handed to the state, acknowledged.

use std::sync::Arc;
use std::time::Duration;

use podpool_core::envelope::Message;
use podpool_core::queue::{Delivery, LeaseId, Queue, QueueError, begin};
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, warn};

use super::{Pull, RunningDispatch};

/// How long one pull of results waits.
const PULL_WAIT: Duration = Duration::from_secs(30);
/// The same on names that outlive the run: its last pull is waited for.
const SHORT_WAIT: Duration = Duration::from_secs(5);
/// How long an answer may take beyond that, and that to an acknowledgement.
const ANSWER: Duration = Duration::from_secs(60);
/// Most messages of results taken at once.
pub(super) const PULL_MOST: usize = 64;

impl RunningDispatch {
    pub(super) fn on_pulled(&mut self, now: Instant, answer: Result<Vec<Delivery>, QueueError>) {
        let queue = self.queues.results.clone();
        let deliveries = match answer {
            Ok(deliveries) => deliveries,
            Err(error) => return self.on_refused_pull(now, &error),
        };
        // The end of an outage is a notice, see `say_what_changed`.
        self.refused_pulls.served(now);
        self.pull_refusal = None;
        self.pull = pull(queue, self.results_outlive);
        self.state.set_caught_up(deliveries.len() < PULL_MOST);
        let mut leases = Vec::with_capacity(deliveries.len());
        for Delivery { lease, body } in deliveries {
            leases.push(lease);
            self.on_message(now, body);
        }
        self.state.tell_measured(&self.measured);
        if leases.is_empty() {
            return;
        }
        let queue = self.queues.results.clone();
        let answer = if self.superseded.is_some() {
            // They may be words to the other master, which would miss them.
            begin(give_back(queue, leases))
        } else {
            begin(acknowledge(queue, leases))
        };
        self.acks.extend(answer);
    }

    /// The results are asked for again later. A queue that gives none for so long is gone.
    fn on_refused_pull(&mut self, now: Instant, error: &QueueError) {
        let timeout = self.broker_timeout;
        let pause = self.refused_pulls.refused(now, timeout, fastrand::f32());
        self.pull_refusal = Some(error.to_string());
        if let Some(pause) = pause {
            debug!(%error, ?pause, "no results were pulled");
        } else {
            let reason = format!("the results' queue gives nothing any more: {error}");
            self.break_pool(&reason);
        }
        let next = pull(self.queues.results.clone(), self.results_outlive);
        self.pull = Box::pin(async move {
            sleep(pause.unwrap_or(PULL_WAIT)).await;
            next.await
        });
    }

    pub(super) fn on_message(&mut self, now: Instant, body: bytes::Bytes) {
        let message = Message::read(body, &self.seal);
        let known = message.as_ref().ok().and_then(Message::origin);
        if let Some((run, epoch)) = known {
            if run != self.state.run() {
                self.dropped += 1;
                warn!(%run, dropped = self.dropped, "a message of another run was dropped");
                return;
            }
            if epoch > self.epoch {
                self.supersede(epoch);
                return;
            }
        }
        match message {
            Ok(Message::Results(results, entries)) => {
                self.state.on_results(now, &results, &entries)
            }
            Ok(Message::Started(started)) => self.state.on_started(now, &started),
            Ok(Message::Alive(alive)) => self.state.on_alive(now, alive),
            Ok(Message::Hello(hello)) => {
                self.state.on_hello(now, hello);
                if let Some(reason) = self.state.take_refusal() {
                    self.break_pool(&reason);
                }
            }
            Ok(Message::Printed(printed)) => self.show(&printed),
            Ok(Message::Reference(lost, _)) => self.state.on_lost_results(now, &lost),
            Ok(_) => self.drop_message("it is no worker's"),
            Err(error) => self.drop_message(&error.to_string()),
        }
    }

    /// Whoever put it there proved nothing: it names no task.
    pub(super) fn drop_message(&mut self, problem: &str) {
        self.dropped += 1;
        warn!(
            problem,
            dropped = self.dropped,
            "a message on the results' queue was dropped"
        );
    }
}

pub(super) fn pull(queue: Arc<dyn Queue>, outlives: bool) -> Pull {
    let wait = if outlives { SHORT_WAIT } else { PULL_WAIT };
    Box::pin(async move {
        let answer = timeout(wait + ANSWER, queue.take(PULL_MOST, wait)).await;
        answer.unwrap_or_else(|_| {
            Err(QueueError::Unavailable {
                queue: format!("{queue:?}"),
                reason: format!("no answer to a pull within {:?}", wait + ANSWER),
            })
        })
    })
}

/// Results that cannot be acknowledged come again and change nothing.
pub(super) async fn acknowledge(queue: Arc<dyn Queue>, leases: Vec<LeaseId>) {
    timeout(ANSWER, queue.ack(&leases)).await.ok();
}

/// Results that cannot be given back come again when their leases end.
pub(super) async fn give_back(queue: Arc<dyn Queue>, leases: Vec<LeaseId>) {
    timeout(ANSWER, queue.release(&leases)).await.ok();
}
