//! What the workers must receive, and when: the run's state, and what is named in it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use podpool_core::envelope::{Alive, Control, MacKey, Message, RunState};
use tokio::time::Instant;

use super::Duties;

/// Longest time between two control messages.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// How long a greeting is answered.
const GREETED: Duration = Duration::from_secs(60);
/// Leases for which a revoked attempt is named, unless a worker reports what became of it.
pub(in super::super) const NAMED: u32 = 3;

/// A revoked attempt.
#[derive(Debug)]
pub(super) struct Named {
    attempt: u32,
    /// More than one envelope of it may be in the queue.
    copies: bool,
    since: Instant,
}

impl Named {
    /// Whether no other envelope than one of this attempt can be in the queue.
    const fn is_only(&self, attempt: u32) -> bool {
        self.attempt == attempt && !self.copies
    }
}

/// The newest control message.
#[derive(Debug)]
pub(super) struct Last {
    sequence: u64,
    at: Option<Instant>,
    /// When the state is sent again, although nothing has changed.
    heartbeat: Instant,
    state: RunState,
    ended_below: u64,
}

impl Last {
    pub(super) fn new(start: Instant) -> Self {
        Self {
            sequence: 0,
            at: None,
            heartbeat: start + HEARTBEAT,
            state: RunState::Open,
            ended_below: 0,
        }
    }
}

impl Duties {
    pub(super) fn revoke(&mut self, task: u64, attempt: u32, copies: bool) {
        let since = self.now;
        let named = Named {
            attempt,
            copies,
            since,
        };
        self.revoked.insert(task, named);
        self.changed();
    }

    /// The workers must receive the newest state.
    pub(super) fn changed(&mut self) {
        self.owed.get_or_insert(self.now);
    }

    /// A worker acknowledged envelopes without running them. Where an envelope was the only one of its attempt, it needs no
    /// naming.
    pub(super) fn acknowledged(&mut self, alive: &Alive) {
        for run in &alive.revoked {
            for task in run.tasks() {
                let known = self.revoked.get(&task.0);
                if known.is_some_and(|named| named.is_only(run.attempt.0)) {
                    self.revoked.remove(&task.0);
                }
            }
        }
    }

    /// A revoked attempt ran all the same. Where its envelope was the only one, it needs no naming.
    pub(super) fn ran_though_revoked(&mut self, task: u64, attempt: u32) {
        let known = self.revoked.get(&task);
        if known.is_some_and(|named| named.is_only(attempt)) {
            self.revoked.remove(&task);
            self.changed();
        }
    }

    /// After the end of the fleet no worker listens: nothing is sent again.
    pub(super) fn end_heartbeat(&mut self) {
        if self.life.ending {
            self.control.heartbeat = self.now + HEARTBEAT;
        }
    }

    /// A control message is sent.
    pub(super) fn controlled(&mut self, message: &Bytes) {
        assert!(!self.life.superseded, "the workers are another master's");
        let Ok(Message::Control(control)) = Message::read(message.clone(), &MacKey::Absent) else {
            panic!("not a control message");
        };
        self.check_head(&control);
        self.check_named(&control);
        self.check_workers(&control);
        self.owed = None;
        if self.now >= self.control.heartbeat {
            self.control.heartbeat = self.now + HEARTBEAT;
        }
        self.control.sequence = control.sequence;
        self.control.at = Some(self.now);
        self.control.state = control.state;
        self.control.ended_below = control.ended_below.0;
    }

    fn check_head(&self, control: &Control) {
        let last = &self.control;
        assert_eq!(control.epoch, self.settings.epoch);
        assert_eq!(control.sequence, last.sequence + 1, "control's number");
        assert_eq!(control.state, self.run_state(), "the run's state");
        let pause = last
            .at
            .is_none_or(|at| self.now >= at + self.settings.control_pause);
        let due = pause || control.state != last.state || self.now >= last.heartbeat;
        assert!(due, "control is sent too often");
        let lowest = self.unended.first().copied();
        let lowest = lowest.unwrap_or(self.taken);
        assert_eq!(control.ended_below.0, lowest, "the oldest unended task");
        assert!(lowest >= last.ended_below);
    }

    /// What is revoked is named until it needs no naming, and nothing else is.
    fn check_named(&mut self, control: &Control) {
        let (mut left, overflow) = (0, self.overflow);
        let ranges = control.revoked.iter();
        let named: BTreeMap<u64, u32> = ranges
            .flat_map(|range| (range.first.0..=range.last.0).map(|task| (task, range.attempt.0)))
            .collect();
        self.revoked
            .retain(|task, _| *task >= control.ended_below.0);
        for (task, attempt) in &named {
            let known = self.revoked.get(task).map(|named| named.attempt);
            assert_eq!(known, Some(*attempt), "task {task} is named as revoked");
        }
        let ranges = control.revoked.len();
        assert!(ranges <= self.settings.revoked_ranges, "{ranges} ranges");
        let (now, long) = (self.now, self.settings.lease * NAMED);
        self.revoked.retain(|task, known| {
            let here = named.contains_key(task);
            let free = now >= known.since + long;
            let passed = !here && !free && *task < overflow.below.0;
            left += u64::from(passed);
            assert!(
                here || free || passed,
                "the revoked task {task} is not named after {:?}",
                now - known.since
            );
            here
        });
        // What has left may have been acknowledged since, or passed by `ended_below`.
        assert!(
            left + self.overflowed <= overflow.tasks,
            "more has left than was counted"
        );
        self.overflowed += left;
    }

    fn check_workers(&self, control: &Control) {
        let drain: BTreeSet<_> = control.drain.iter().copied().collect();
        assert_eq!(drain, self.drain, "workers that must leave");
        let lately = self
            .workers
            .iter()
            .filter(|(_, worker)| worker.greeted.is_some_and(|at| self.now < at + GREETED));
        let lately: Vec<_> = lately.map(|(id, _)| *id).collect();
        assert_eq!(control.greeted, lately, "workers that greeted lately");
    }

    /// A change reaches the workers within the pause, and the state every ten seconds.
    pub(super) fn check_owed(&self) {
        if self.life.superseded {
            return;
        }
        let pause = self.settings.control_pause;
        let late = self.owed.is_some_and(|since| self.now >= since + pause);
        assert!(!late, "a change is not sent");
        let last = &self.control;
        assert!(self.now < last.heartbeat, "the state is not sent again");
        let state = self.life.ending || last.state == self.run_state();
        assert!(state, "the run's state is not sent at once");
    }

    fn run_state(&self) -> RunState {
        let life = &self.life;
        match (life.aborted || life.broken.is_some(), life.closing) {
            (true, _) => RunState::Aborted,
            (false, true) if self.unended.is_empty() => RunState::Ended,
            (false, true) => RunState::Closing,
            (false, false) => self.control.state,
        }
    }
}
