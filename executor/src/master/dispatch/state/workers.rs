//! What is known of each worker, and whether tasks can be expected to run there.
//!
//! A worker's liveness is decided in this module alone: fleets report what they observe, and workers send heartbeats.

use std::sync::Arc;

use podpool_core::broker::ClassId;
use podpool_core::envelope::TaskRun;
use podpool_core::id::WorkerId;
use tokio::time::Instant;

use super::MasterState;
use super::timing::ClockDifference;

/// Whether a worker's slots start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Slots {
    /// No slot has started or failed so far.
    #[default]
    Unknown,
    /// A heartbeat reported tasks that run.
    Start,
    /// The worker reported that they do not start. Final: no later heartbeat changes it.
    Fail,
}

/// Whether a worker is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Liveness {
    /// It sends messages.
    Here {
        slots: Slots,
        /// When a heartbeat last reported empty pulls, if all since then reported free slots. A pull may wait longer
        /// than the time between two heartbeats, so not every heartbeat of a worker without work reports one.
        idle: Option<Instant>,
    },
    /// It was lost or has left. A heartbeat of it brings it back.
    Gone { slots: Slots },
}

impl Liveness {
    pub(super) const fn slots(self) -> Slots {
        match self {
            Self::Here { slots, .. } | Self::Gone { slots } => slots,
        }
    }

    pub(super) const fn is_here(self) -> bool {
        matches!(self, Self::Here { .. })
    }

    /// Whether tasks can be expected to run there.
    pub(super) fn is_fit(self) -> bool {
        self.is_here() && self.slots() != Slots::Fail
    }

    /// When it last reported an empty pull, if it is there and has free slots.
    pub(super) const fn idle(self) -> Option<Instant> {
        match self {
            Self::Here { idle, .. } => idle,
            Self::Gone { .. } => None,
        }
    }

    /// A heartbeat came.
    pub(super) fn beat(&mut self, now: Instant, running: u32, free: u32, empty_pulls: u32) {
        let slots = match self.slots() {
            Slots::Unknown if running > 0 => Slots::Start,
            // A worker whose slots failed stays unfit: it has the order to leave.
            slots => slots,
        };
        let idle = match (free, empty_pulls) {
            // No free slot: the worker does not pull, and an earlier empty pull proves nothing of the queue now.
            (0, _) => None,
            (_, 0) => self.idle(),
            _ => Some(now),
        };
        *self = Self::Here { slots, idle };
    }

    /// It was lost or has left.
    pub(super) fn leave(&mut self) {
        let slots = self.slots();
        *self = Self::Gone { slots };
    }

    /// Its slots do not start. False where that was known, so that each worker is counted once.
    pub(super) fn fail(&mut self) -> bool {
        if self.slots() == Slots::Fail {
            return false;
        }
        let slots = Slots::Fail;
        *self = match self {
            Self::Here { .. } => Self::Here { slots, idle: None },
            Self::Gone { .. } => Self::Gone { slots },
        };
        true
    }
}

/// The content of a worker's greeting.
#[derive(Clone, Debug)]
pub(super) struct Greeting {
    pub(super) at: Instant,
    pub(super) name: Arc<str>,
    pub(super) node: Arc<str>,
    pub(super) class: ClassId,
    pub(super) slots: u32,
}

/// What is known of a worker.
#[derive(Debug)]
pub(super) struct Worker {
    /// Unknown until it comes: it may be lost.
    pub(super) greeting: Option<Greeting>,
    pub(super) liveness: Liveness,
    /// When its last greeting, heartbeat or `Started` came.
    // By the master's clock at the arrival: no clocks of two machines are compared.
    pub(super) heard: Instant,
    /// When its last heartbeat came, which names all that it runs; its first message before that.
    pub(super) reported: Instant,
    pub(super) holds: Vec<TaskRun>,
    /// How many of them run there, by its newest heartbeat; 1 at least once it has begun a batch since.
    pub(super) runs: u32,
    /// The newest of its greeting and heartbeats.
    sequence: u64,
    /// By how much its clock differs.
    pub(super) clock: ClockDifference,
    /// Envelopes that it acknowledged and did not run again: the sum since its start, which each heartbeat repeats.
    pub(super) replays: u64,
}

impl Worker {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            greeting: None,
            liveness: Liveness::Here {
                slots: Slots::Unknown,
                idle: None,
            },
            heard: now,
            reported: now,
            holds: Vec::new(),
            runs: 0,
            sequence: 0,
            clock: ClockDifference::new(),
            replays: 0,
        }
    }

    /// Whether a greeting or heartbeat is newer than all before it, and records its number then. The queue may deliver
    /// one twice, and an older one after a newer.
    pub(super) const fn is_news(&mut self, sequence: u64) -> bool {
        let newer = sequence > self.sequence;
        if newer {
            self.sequence = sequence;
        }
        newer
    }

    pub(super) fn name(&self) -> Option<&Arc<str>> {
        self.greeting.as_ref().map(|greeting| &greeting.name)
    }

    pub(super) fn node(&self) -> Option<&Arc<str>> {
        self.greeting.as_ref().map(|greeting| &greeting.node)
    }

    /// Whether it may run tasks of a class. One whose greeting was lost may be of any.
    pub(super) fn serves(&self, class: ClassId) -> bool {
        self.greeting
            .as_ref()
            .is_none_or(|greeting| greeting.class == class)
    }

    pub(super) fn greeted(&self) -> Option<Instant> {
        self.greeting.as_ref().map(|greeting| greeting.at)
    }

    /// It is lost or has left. Returns what it held, once: a second report of its end judges no task again.
    pub(super) fn leave(&mut self) -> Vec<TaskRun> {
        self.liveness.leave();
        self.runs = 0;
        std::mem::take(&mut self.holds)
    }
}

impl MasterState {
    /// A worker by its number, added when its first message comes.
    pub(super) fn worker(&mut self, now: Instant, id: WorkerId) -> &mut Worker {
        self.workers.entry(id).or_insert_with(|| {
            self.pace.recount_slots();
            self.tally.recount_workers();
            Worker::new(now)
        })
    }

    /// A worker came or went, or its slots do not start.
    pub(super) fn recount_workers(&mut self) {
        self.pace.recount_slots();
        self.tally.recount_workers();
    }

    /// A worker's name, or else its number, for notices.
    pub(super) fn worker_name(&self, id: WorkerId) -> Arc<str> {
        let name = self.workers.get(&id).and_then(Worker::name);
        name.cloned().unwrap_or_else(|| id.to_string().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_brings_a_worker_back_and_failed_slots_stay_failed() {
        let now = Instant::now();
        let mut liveness = Worker::new(now).liveness;
        assert!(liveness.is_fit());
        liveness.beat(now, 1, 0, 0);
        assert_eq!(liveness.slots(), Slots::Start);
        liveness.leave();
        assert!(!liveness.is_here() && !liveness.is_fit());
        liveness.beat(now, 0, 1, 0);
        assert_eq!(liveness.slots(), Slots::Start, "as before it left");
        assert!(liveness.fail());
        assert!(!liveness.fail(), "it counts once");
        liveness.leave();
        liveness.beat(now, 1, 0, 0);
        assert!(liveness.is_here() && !liveness.is_fit());
    }

    #[test]
    fn a_worker_is_idle_from_an_empty_pull_until_its_slots_are_full_or_it_is_gone() {
        let now = Instant::now();
        let mut liveness = Worker::new(now).liveness;
        liveness.beat(now, 0, 2, 0);
        assert_eq!(liveness.idle(), None, "its pull has not come back");
        liveness.beat(now, 0, 2, 1);
        assert_eq!(liveness.idle(), Some(now));
        let later = now + std::time::Duration::from_secs(1);
        liveness.beat(later, 1, 1, 0);
        assert_eq!(liveness.idle(), Some(now), "the next pull still waits");
        liveness.beat(later, 1, 1, 1);
        assert_eq!(liveness.idle(), Some(later));
        liveness.beat(later, 2, 0, 1);
        assert_eq!(liveness.idle(), None);
        liveness.beat(later, 0, 2, 1);
        liveness.leave();
        assert_eq!(liveness.idle(), None);
    }
}
