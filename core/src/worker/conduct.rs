//! What a worker in a process of its own does beside the loop, and how it leaves.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use crate::id::{Attempt, ExecutionId, TaskId};
use crate::instant::after;

/// Takes the list of what runs, each time it has changed and before the next slot is fed.
pub type RunningSink = Box<dyn FnMut(&[(ExecutionId, TaskId, Attempt)]) + Send>;

/// What only a worker in a process of its own does. The default is a worker inside its master: none of it.
#[derive(Default)]
pub struct Conduct {
    /// How long the first pull waits until the master has read the greeting.
    pub greeting: Option<Duration>,
    /// Without work and without a message from the master for so long, it leaves.
    pub idle: Option<Duration>,
    /// Refused for so long, and never served, it leaves.
    pub refusal: Option<Duration>,
    /// Where none of its messages is stored within this of its start, and no message comes, it leaves: it does not
    /// reach its queues at all.
    pub reach: Option<Duration>,
    /// For how long a queue may refuse everything before the worker ends. Default: 10 minutes.
    pub broker_timeout: Option<Duration>,
    /// Where the list of what runs goes.
    pub running: Option<RunningSink>,
    /// Whether the lines that tasks print go to the master too.
    pub forward_output: bool,
    /// Whether the tasks' queue is there for other runs too.
    pub queue_outlives: bool,
}

impl fmt::Debug for Conduct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conduct")
            .field("greeting", &self.greeting)
            .field("idle", &self.idle)
            .field("refusal", &self.refusal)
            .field("reach", &self.reach)
            .field("broker_timeout", &self.broker_timeout)
            .field("forward_output", &self.forward_output)
            .field("queue_outlives", &self.queue_outlives)
            .finish_non_exhaustive()
    }
}

/// Why a worker left.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Left {
    /// It was drained: by an order, or by name in the master's state.
    Drained,
    /// Every future of the run is resolved.
    Ended,
    /// The run was aborted, or the sender of its orders was dropped.
    Stopped,
    /// It had no work and no message from the master.
    Idle,
    /// No queue was reached within [`Conduct::reach`] of its start. The last refusal.
    Unreached(String),
    /// It was ordered to end within a grace; its batches were given back.
    Terminated,
    /// The queue refused it from the beginning: rights are missing. The queue's text.
    Refused(String),
    /// A queue refused everything for [`Conduct::broker_timeout`]; what ran has ended. Which queue, and its text.
    Unreachable(String),
    /// Its slots do not start; its tasks were given back. Why.
    Unfit(String),
}

impl Left {
    /// Whether the queues are the reason, so that they may not store its last messages either.
    pub(super) const fn lacks_queues(&self) -> bool {
        matches!(
            self,
            Self::Idle | Self::Unreached(_) | Self::Refused(_) | Self::Unreachable(_)
        )
    }
}

/// Until when a worker waits: for its first pull, for its queues, for work. Pure, fed by the loop.
#[derive(Debug)]
pub(super) struct WaitLimits {
    pull_from: Option<Instant>,
    heard: Instant,
    refused_since: Option<Instant>,
    served: bool,
    /// Until when a queue must have been reached; `None` once one was.
    reach_until: Option<Instant>,
    idle: Option<Duration>,
    refusal: Option<Duration>,
}

impl WaitLimits {
    pub(super) fn new(conduct: &Conduct, now: Instant) -> Self {
        Self {
            pull_from: conduct.greeting.map(|greeting| after(now, greeting)),
            heard: now,
            refused_since: None,
            served: false,
            reach_until: conduct.reach.map(|reach| after(now, reach)),
            idle: conduct.idle,
            refusal: conduct.refusal,
        }
    }

    /// When the first pull may be sent without an answer of the master; `None` once it may.
    pub(super) const fn pull_from(&self) -> Option<Instant> {
        self.pull_from
    }

    pub(super) fn may_pull(&mut self, now: Instant) -> bool {
        // Forgotten once it is over, so that the loop has no deadline in the past that would wake it at once for ever.
        if self.pull_from.is_some_and(|from| now >= from) {
            self.pull_from = None;
        }
        self.pull_from.is_none()
    }

    /// The master has read the greeting.
    pub(super) fn greeted(&mut self) {
        self.pull_from = None;
    }

    /// The worker received a message from the master, or work: the run goes on.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    pub(super) fn served(&mut self) {
        // Once served, refusals are an outage and not missing rights: the worker waits for the end of it.
        self.served = true;
        self.refused_since = None;
    }

    /// The queue refused a pull; returns whether that lasts too long.
    pub(super) fn refused(&mut self, now: Instant) -> bool {
        let since = *self.refused_since.get_or_insert(now);
        // Before the first answer missing rights and an outage look alike, so the time decides.
        !self.served && self.refusal.is_some_and(|most| now >= after(since, most))
    }

    /// Something was stored, or something came: the queues are there. An empty pull proves nothing, for one that is never
    /// answered looks the same.
    pub(super) fn reached(&mut self) {
        self.reach_until = None;
    }

    /// When the worker leaves if no queue was reached by then; `None` once one was.
    pub(super) const fn reach_until(&self) -> Option<Instant> {
        self.reach_until
    }

    /// When the worker leaves if no message and no work comes.
    pub(super) fn idle_until(&self) -> Option<Instant> {
        self.idle.map(|idle| after(self.heard, idle))
    }
}

#[cfg(test)]
mod tests;
