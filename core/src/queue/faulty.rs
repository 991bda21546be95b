//! A queue with the faults of real ones, from a seed: for tests of whatever uses a queue.
//!
//! [`Faulty`] wraps any queue. What it does to messages keeps the promise of at-least-once delivery, except
//! [`Faults::lose`], which breaks it on purpose.

mod faults;

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::{Instant, sleep_until};

pub use self::faults::{CallFaults, FaultCounts, Faults};
use super::{Delivery, LeaseId, Queue, QueueError, QueueLimits};

use crate::instant::after;
use crate::lock::lock;

/// A queue that wraps another and adds [`Faults`].
///
/// The same seed and the same order of calls and answers give the same faults. A delivery that one taker's call
/// holds back goes to the next take once its delay is over, but wakes no take that waits already.
#[derive(Debug)]
pub struct Faulty<Q> {
    inner: Q,
    faults: Faults,
    state: Mutex<FaultState>,
}

#[derive(Debug)]
struct FaultState {
    random: fastrand::Rng,
    counts: FaultCounts,
    /// Deliveries that are held back, and until when. Their leases run meanwhile.
    late: Vec<(Instant, Delivery)>,
}

/// What becomes of a call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CallFault {
    Sound,
    /// Not carried out, and answered so.
    Refused,
    /// Carried out, but the answer is lost on the way back.
    Unanswered,
}

/// What becomes of a message on its way to the taker.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MessageFault {
    Deliver,
    /// Removed from the queue before a taker receives it.
    Lose,
    /// Leased, but never given to the taker.
    Drop,
    /// Put behind all others.
    Reorder,
    /// Held back.
    Delay(Duration),
}

impl<Q: Queue> Faulty<Q> {
    /// Wraps a queue.
    #[must_use]
    pub fn new(inner: Q, faults: Faults) -> Self {
        let state = FaultState {
            random: fastrand::Rng::with_seed(faults.seed),
            counts: FaultCounts::default(),
            late: Vec::new(),
        };
        Self {
            inner,
            faults,
            state: Mutex::new(state),
        }
    }

    /// The queue inside.
    #[must_use]
    pub const fn inner(&self) -> &Q {
        &self.inner
    }

    /// What was done so far.
    #[must_use]
    pub fn counts(&self) -> FaultCounts {
        lock(&self.state).counts
    }

    fn call_fault(&self, faults: CallFaults) -> CallFault {
        let mut state = lock(&self.state);
        if state.roll(faults.refused) {
            state.counts.refused += 1;
            CallFault::Refused
        } else if state.roll(faults.unanswered) {
            state.counts.unanswered += 1;
            CallFault::Unanswered
        } else {
            CallFault::Sound
        }
    }

    /// Makes a call on leases unless its fault is a refusal, and answers as its fault demands.
    async fn answer<F>(
        &self,
        leases: &[LeaseId],
        faults: CallFaults,
        call: F,
    ) -> Vec<Result<(), QueueError>>
    where
        F: AsyncFnOnce() -> Vec<Result<(), QueueError>>,
    {
        match self.call_fault(faults) {
            CallFault::Sound => call().await,
            CallFault::Refused => fail_all(leases.len(), "the call was refused"),
            CallFault::Unanswered => {
                // Carried out before the error is given: for the caller both look alike, as with a connection that
                // breaks after the request.
                call().await;
                fail_all(leases.len(), "the answer was lost")
            }
        }
    }

    /// Stores the messages that are not refused one by one, and some of them twice.
    async fn put_some(&self, messages: Vec<Bytes>) -> Vec<Result<(), QueueError>> {
        // All dice of a call are rolled under one lock, so that other calls do not come between them.
        let (refused, copies) = lock(&self.state).judge_put(&self.faults, &messages);
        let stored = messages
            .into_iter()
            .zip(&refused)
            .filter(|(_, refused)| !**refused);
        let mut stored = self
            .inner
            .put(stored.map(|(body, _)| body).collect())
            .await
            .into_iter();
        if !copies.is_empty() {
            // A copy that is not stored breaks no promise.
            self.inner.put(copies).await;
        }
        let answer = |refused| match refused {
            true => Err(fault("the message was refused")),
            false => stored
                .next()
                .unwrap_or_else(|| Err(fault("no answer came"))),
        };
        refused.into_iter().map(answer).collect()
    }

    /// Takes until something may be delivered or the time is over.
    async fn take_some(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
        if max == 0 {
            return Ok(Vec::new());
        }
        let start = Instant::now();
        let mut reorder = self.faults.reorder;
        loop {
            let now = Instant::now();
            let left = wait.saturating_sub(now - start);
            let next = match lock(&self.state).due(max, now) {
                Ok(due) => return Ok(due),
                // `due` gives no moment that is past, so the difference is not negative.
                Err(next) => next.map(|at| left.min(at - now)),
            };
            let taken = self.inner.take(max, next.unwrap_or(left)).await?;
            if taken.is_empty() {
                // The queue inside may answer early; what is held back is waited for all the same.
                match next {
                    Some(pause) => sleep_until(after(now, pause)).await,
                    None => return Ok(taken),
                }
            }
            let delivered = self.pass_on(taken, reorder).await;
            if !delivered.is_empty() || start.elapsed() >= wait {
                return Ok(delivered);
            }
            // Once a call: a message alone in the queue would be sent round and round.
            reorder = 0.0;
        }
    }

    /// Applies each message's fault, and returns the messages to deliver now.
    async fn pass_on(&self, taken: Vec<Delivery>, reorder: f64) -> Vec<Delivery> {
        let faults: Vec<_> = {
            let mut state = lock(&self.state);
            taken
                .iter()
                .map(|_| state.judge_delivery(&self.faults, reorder))
                .collect()
        };
        let mut delivered = Vec::with_capacity(taken.len());
        for (delivery, fault) in taken.into_iter().zip(faults) {
            match fault {
                MessageFault::Deliver => delivered.push(delivery),
                MessageFault::Drop => {}
                MessageFault::Lose => drop(self.inner.ack(&[delivery.lease]).await),
                MessageFault::Reorder => delivered.extend(self.send_back(delivery).await),
                MessageFault::Delay(time) => {
                    let due = after(Instant::now(), time);
                    lock(&self.state).late.push((due, delivery));
                }
            }
        }
        delivered
    }

    /// Puts a message behind all others. It is stored again before it is removed, and delivered if that fails.
    async fn send_back(&self, delivery: Delivery) -> Option<Delivery> {
        let stored = self.inner.put(vec![delivery.body.clone()]).await;
        if !stored.iter().all(Result::is_ok) {
            return Some(delivery);
        }
        self.inner.ack(&[delivery.lease]).await;
        None
    }
}

#[async_trait]
impl<Q: Queue> Queue for Faulty<Q> {
    async fn put(&self, messages: Vec<Bytes>) -> Vec<Result<(), QueueError>> {
        let count = messages.len();
        match self.call_fault(self.faults.put) {
            CallFault::Sound => self.put_some(messages).await,
            CallFault::Refused => fail_all(count, "the call was refused"),
            CallFault::Unanswered => {
                self.put_some(messages).await;
                fail_all(count, "the answer was lost")
            }
        }
    }

    async fn take(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
        match self.call_fault(self.faults.take) {
            CallFault::Sound => self.take_some(max, wait).await,
            CallFault::Refused => Err(fault("the call was refused")),
            CallFault::Unanswered => {
                self.take_some(max, wait).await?;
                Err(fault("the answer was lost"))
            }
        }
    }

    async fn extend(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        let call = async || self.inner.extend(leases).await;
        self.answer(leases, self.faults.extend, call).await
    }

    async fn ack(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        let call = async || {
            let ignored = lock(&self.state).judge_ack(&self.faults);
            if ignored {
                return leases.iter().map(|_| Ok(())).collect();
            }
            self.inner.ack(leases).await
        };
        self.answer(leases, self.faults.ack, call).await
    }

    async fn release(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        let call = async || self.inner.release(leases).await;
        self.answer(leases, self.faults.release, call).await
    }

    fn limits(&self) -> QueueLimits {
        self.inner.limits()
    }
}

impl FaultState {
    fn roll(&mut self, probability: f64) -> bool {
        self.random.f64() < probability
    }

    /// Which messages of a call are refused, and which are stored once more.
    fn judge_put(&mut self, faults: &Faults, messages: &[Bytes]) -> (Vec<bool>, Vec<Bytes>) {
        let mut copies = Vec::new();
        let refused = messages.iter().map(|body| {
            let refused = self.roll(faults.partial_put);
            if !refused && self.roll(faults.duplicate) {
                copies.push(body.clone());
            }
            self.counts.partial_puts += u64::from(refused);
            refused
        });
        let refused = refused.collect();
        self.counts.duplicated += copies.len() as u64;
        (refused, copies)
    }

    fn judge_ack(&mut self, faults: &Faults) -> bool {
        let ignored = self.roll(faults.ignored_ack);
        self.counts.ignored_acks += u64::from(ignored);
        ignored
    }

    fn judge_delivery(&mut self, faults: &Faults, reorder: f64) -> MessageFault {
        let counts = &mut self.counts;
        let random = &mut self.random;
        let mut roll = |probability| random.f64() < probability;
        if roll(faults.lose) {
            counts.lost += 1;
            MessageFault::Lose
        } else if roll(faults.drop) {
            counts.dropped += 1;
            MessageFault::Drop
        } else if roll(reorder) {
            counts.reordered += 1;
            MessageFault::Reorder
        } else if roll(faults.delay) {
            counts.delayed += 1;
            let (shortest, longest) = faults.delay_for.clone().into_inner();
            let share = self.random.f64();
            MessageFault::Delay(shortest + longest.saturating_sub(shortest).mul_f64(share))
        } else {
            MessageFault::Deliver
        }
    }

    /// Up to `max` deliveries whose delay is over; if there are none, when the next one's is.
    fn due(&mut self, max: usize, now: Instant) -> Result<Vec<Delivery>, Option<Instant>> {
        let mut room = max;
        let due = self.late.extract_if(.., |(at, _)| {
            let out = room > 0 && *at <= now;
            room -= usize::from(out);
            out
        });
        let due: Vec<_> = due.map(|(_, delivery)| delivery).collect();
        if due.is_empty() {
            return Err(self.late.iter().map(|(at, _)| *at).min());
        }
        Ok(due)
    }
}

fn fail_all(count: usize, reason: &str) -> Vec<Result<(), QueueError>> {
    (0..count).map(|_| Err(fault(reason))).collect()
}

fn fault(reason: &str) -> QueueError {
    QueueError::Unavailable {
        queue: "the faulty queue".to_owned(),
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests;
