//! Messages on the results' queue: pulled, passed to the state, acknowledged.

use std::sync::Arc;
use std::time::Duration;

use podpool_core::queue::{Delivery, LeaseId, Queue, QueueError, begin};
use tokio::time::{Instant, sleep, timeout};

use super::{Pull, RunningDispatch};

/// How long one pull of results waits.
// An idle run makes two calls a minute. A result ends the wait at once, so that the time costs no latency.
const PULL_WAIT: Duration = Duration::from_secs(30);
/// The same on names that outlive the run: its last pull is waited for.
// The end of a run waits so long where the empty message that ends the pull cannot be put. At double each such run ends
// 5 s later; at half an idle run makes twice as many calls.
const SHORT_WAIT: Duration = Duration::from_secs(5);
/// How long an answer may take beyond that, and that to an acknowledgement.
// Without it a connection that is gone without a reset would hold up all results for ever.
const ANSWER: Duration = Duration::from_secs(60);
/// Most messages of results taken at once.
// A full answer also means that more may be there: workers' silence proves nothing until one comes that is not full.
pub(super) const PULL_MOST: usize = 64;

impl RunningDispatch {
    pub(super) fn on_pulled(&mut self, now: Instant, answer: Result<Vec<Delivery>, QueueError>) {
        let queue = self.queues.results.clone();
        let outlives = self.state.settings().results_outlive;
        let deliveries = match answer {
            Ok(deliveries) => deliveries,
            Err(error) => return self.on_refused_pull(now, &error),
        };
        self.outages.pulled(now);
        // Replaced before anything else: a completed future must not be polled again. The call begins with its first
        // poll.
        self.pull = pull(queue, outlives);
        self.state.set_caught_up(deliveries.len() < PULL_MOST);
        let mut leases = Vec::with_capacity(deliveries.len());
        for Delivery { lease, body } in deliveries {
            leases.push(lease);
            self.state.on_message(now, body);
            // At once: the results of one message fit into the cache, those of a whole pull may not.
            self.carry_out();
        }
        // Once for a pull, after the messages: readers need one pace, and not each step to it.
        self.state.report_measured(&self.observed.measured);
        self.answer(leases);
    }

    /// Answers messages of results once what they brought is stored.
    fn answer(&mut self, leases: Vec<LeaseId>) {
        let held_back = self.state.holds_failures();
        if let Some(held) = self.commits.on_taken_in(leases, held_back) {
            self.do_after_commit(held);
        }
    }

    /// Answers the messages whose failures were judged.
    pub(super) fn answer_judged(&mut self) {
        if self.commits.has_unjudged() && !self.state.holds_failures() {
            // The records of those failures go first.
            self.carry_out();
            let held = self.commits.on_judged();
            self.do_after_commit(held);
        }
    }

    pub(super) fn answer_now(&mut self, leases: Vec<LeaseId>) {
        let queue = self.queues.results.clone();
        // After the messages have been taken in, never before: what is acknowledged and not taken in would be lost with
        // this process. The loop does not wait for the answer.
        let answer = if self.state.life().is_left() {
            // The messages may be for the other master, which would miss them.
            begin(give_back(queue, leases))
        } else {
            begin(acknowledge(queue, leases))
        };
        self.acks.extend(answer);
    }

    /// The results are pulled again later. A queue that refuses for the broker's timeout is gone.
    fn on_refused_pull(&mut self, now: Instant, error: &QueueError) {
        let jitter = self.state.jitter();
        let pause = self.outages.refused(now, error, jitter);
        // Heartbeats wait in the queue: a worker must not count as missed because they cannot be read.
        self.state.set_caught_up(false);
        if let Err(reason) = &pause {
            self.state.break_pool(now, reason);
        }
        let outlives = self.state.settings().results_outlive;
        let next = pull(self.queues.results.clone(), outlives);
        // The pause is a part of the pull, so that the loop waits for one thing whether the queue answers or not.
        self.pull = Box::pin(async move {
            sleep(pause.unwrap_or(PULL_WAIT)).await;
            next.await
        });
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

#[cfg(test)]
mod tests;
