//! The queue in memory: the reference for every other, and the one that the local default runs on.
//!
//! First in, first out; a message that comes again (lease expired, or released) goes to the front. Nothing
//! outlives the process. Every verb locks briefly and none but [`take`](Queue::take) ever waits, so one queue
//! serves any number of threads and runtimes.

mod name;
mod state;

use std::fmt;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use self::name::LeaseKey;
use self::state::QueueState;
use crate::instant::after;
use crate::lock::lock;

use super::{Delivery, LeaseId, Queue, QueueError, QueueLimits};

/// Largest message of [`MemoryQueue::local`]: 1 GiB, as much as one value may decode to.
const LOCAL_MESSAGE_BYTES: usize = 1 << 30;

/// Lease of [`MemoryQueue::local`].
// The keeper renews after 10 to 20 s. In one process a lease ends early only if the keeper's thread has ended, so its
// length matters for a process that was stopped alone.
const LOCAL_LEASE: Duration = Duration::from_secs(60);

/// Shortest lease. A message leased for no time at all would come back before it was handed over.
const SHORTEST_LEASE: Duration = Duration::from_millis(1);

/// A queue in the memory of this process.
///
/// A `take` that has to wait needs a tokio runtime with its timer on; nothing else does.
/// While messages are there, `take` answers without yielding to the runtime.
pub struct MemoryQueue {
    name: String,
    limits: QueueLimits,
    state: Mutex<QueueState>,
    /// Whether a gap in the calls lets leases be renewed before they end.
    spares: bool,
    /// Notified once when messages became ready; a taker that leaves some behind notifies the next. An expired lease
    /// wakes no taker: see [`MemoryQueue::look`].
    arrived: Notify,
}

impl MemoryQueue {
    /// An empty queue. `name` appears in its errors; a lease shorter than 1 ms is taken as 1 ms.
    #[must_use]
    pub fn new(name: impl Into<String>, limits: QueueLimits) -> Self {
        let name = name.into();
        let lease = limits.lease.max(SHORTEST_LEASE);
        let limits = QueueLimits { lease, ..limits };
        let state = Mutex::new(QueueState::new(lease, name::first_serial(&name)));
        Self {
            name,
            limits,
            state,
            spares: false,
            arrived: Notify::new(),
        }
    }

    /// For a queue whose takers renew their leases, and are in this process. Where no call came for more than half a
    /// lease, the whole process was stopped (Ctrl-Z, a debugger): for a third of a lease from then on none ends, so
    /// that they can be renewed.
    #[must_use]
    pub fn with_renewing_takers(mut self) -> Self {
        self.spares = true;
        self
    }

    /// An empty queue as the local default has it: messages up to 1 GiB, leases of 60 s.
    #[must_use]
    pub fn local(name: impl Into<String>) -> Self {
        Self::new(name, QueueLimits::new(LOCAL_MESSAGE_BYTES, LOCAL_LEASE))
    }

    /// Messages that wait to be taken; leased ones do not count.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_of_now().ready()
    }

    /// Whether no message waits to be taken. Leased ones may still come back.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Messages that are with a taker, under a live lease.
    #[must_use]
    pub fn leased(&self) -> usize {
        self.as_of_now().leased()
    }

    /// The state, without the leases that have run out.
    fn as_of_now(&self) -> MutexGuard<'_, QueueState> {
        // Lock first, clock second: two calls that read the clock before they lock could apply their times in reverse order.
        let mut state = lock(&self.state);
        let now = self.now(&mut state);
        state.expire(now);
        state
    }

    /// The time, read under the lock, so that it never runs backwards from one call to the next.
    fn now(&self, state: &mut QueueState) -> Instant {
        let now = Instant::now();
        if self.spares {
            state.note_call(now);
        }
        now
    }

    fn check(&self, body: &Bytes) -> Result<(), QueueError> {
        let limit = self.limits.message_bytes;
        if body.len() <= limit {
            return Ok(());
        }
        Err(QueueError::TooLarge {
            size: body.len(),
            limit,
            queue: self.name.clone(),
        })
    }

    /// Takes what is there, or returns until when there is nothing to look for.
    ///
    /// That is the next expiry, and one lease from now at the latest: a lease that begins after this look
    /// cannot end sooner. So a sleeping taker misses no expiry, and taking need not wake those who wait.
    fn look(&self, max: usize) -> Result<Vec<(LeaseKey, Bytes)>, Instant> {
        let mut state = lock(&self.state);
        let now = self.now(&mut state);
        let taken = state.take(now, max);
        if taken.is_empty() {
            let fresh = after(now, self.limits.lease);
            return Err(state.next_expiry().map_or(fresh, |first| first.min(fresh)));
        }
        let more = state.ready() > 0;
        // Before the notification: the taker that wakes needs the lock at once.
        drop(state);
        if more {
            self.arrived.notify_one();
        }
        Ok(taken)
    }

    /// Applies a verb to each lease, from the last to the first (released messages then keep their order
    /// at the front), and answers in order.
    fn answer(
        &self,
        leases: &[LeaseId],
        verb: impl Fn(&mut QueueState, Instant, LeaseKey) -> bool,
    ) -> Vec<Result<(), QueueError>> {
        let mut state = lock(&self.state);
        let now = self.now(&mut state);
        let mut done = |lease| LeaseKey::parse(lease).is_some_and(|key| verb(&mut state, now, key));
        let mut answers: Vec<_> = leases
            .iter()
            .rev()
            .map(|lease| match done(lease) {
                true => Ok(()),
                false => Err(QueueError::LeaseLost(lease.clone())),
            })
            .collect();
        answers.reverse();
        answers
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn put(&self, messages: Vec<Bytes>) -> Vec<Result<(), QueueError>> {
        // Before the lock: errors allocate their text.
        let answers: Vec<_> = messages.iter().map(|body| self.check(body)).collect();
        let mut state = lock(&self.state);
        for (body, answer) in messages.into_iter().zip(&answers) {
            if answer.is_ok() {
                state.put(body);
            }
        }
        drop(state);
        // One taker for a call of any size: it passes the notification on if it leaves some (`look`). `notify_waiters`
        // would wake all of them for one message.
        if answers.iter().any(Result::is_ok) {
            self.arrived.notify_one();
        }
        answers
    }

    async fn take(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
        if max == 0 {
            return Ok(Vec::new());
        }
        let mut until = None;
        loop {
            let wake = match self.look(max) {
                Ok(taken) => return Ok(taken.into_iter().map(deliver).collect()),
                Err(wake) => wake,
            };
            let now = Instant::now();
            // After the first look: a message that is there is taken without a timer, and so without a runtime.
            let until = *until.get_or_insert_with(|| after(now, wait));
            if until <= now {
                return Ok(Vec::new());
            }
            // A taker that is dropped after its notification passes it on: `Notified` does that. Nothing
            // is taken between the waking and the next look, so no message goes with it either.
            let _ = timeout_at(wake.min(until), self.arrived.notified()).await;
        }
    }

    async fn extend(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        self.answer(leases, QueueState::extend)
    }

    async fn ack(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        self.answer(leases, QueueState::ack)
    }

    async fn release(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        let answers = self.answer(leases, QueueState::release);
        if answers.iter().any(Result::is_ok) {
            self.arrived.notify_one();
        }
        answers
    }

    fn limits(&self) -> QueueLimits {
        self.limits
    }
}

impl fmt::Debug for MemoryQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryQueue")
            .field("name", &self.name)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

fn deliver((key, body): (LeaseKey, Bytes)) -> Delivery {
    let lease = key.name();
    Delivery { lease, body }
}

#[cfg(test)]
mod tests;
