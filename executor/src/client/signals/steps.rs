//! Which step each pool takes when a signal arrives, by how many it has received.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::master::command::ShutdownBehavior;
use crate::master::mailbox::Mailbox;

/// The pools that receive a signal.
#[derive(Debug)]
pub(super) struct Pools(Vec<Pool>);

#[derive(Debug)]
struct Pool {
    mailbox: Weak<Mailbox>,
    /// Signals that came since it was built.
    received: usize,
}

/// The consequence of one signal.
#[derive(Debug)]
pub(super) enum Answer {
    /// These pools take this step.
    Steps(Vec<(Arc<Mailbox>, ShutdownBehavior)>),
    /// Pools exist, and each has taken its last step.
    Exhausted,
    /// No pool exists.
    NoPool,
}

impl Pools {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a pool that was just built.
    pub(super) fn add(&mut self, mailbox: &Arc<Mailbox>) {
        // A program that builds pool after pool must not gather the ended ones.
        self.0.retain(|pool| pool.alive().is_some());
        self.0.push(Pool {
            mailbox: Arc::downgrade(mailbox),
            received: 0,
        });
    }

    /// Counts a signal for every pool that exists. `steps` is what a pool does at its first, its second and so on.
    pub(super) fn arrive(&mut self, steps: &[ShutdownBehavior]) -> Answer {
        let mut taken = Vec::new();
        self.0.retain_mut(|pool| {
            let Some(mailbox) = pool.alive() else {
                return false;
            };
            if let Some(step) = steps.get(pool.received) {
                taken.push((mailbox, *step));
            }
            // Counted past the last step too, so that a pool which has taken all its steps never takes one again.
            pool.received += 1;
            true
        });
        match (self.0.is_empty(), taken.is_empty()) {
            (true, _) => Answer::NoPool,
            (false, true) => Answer::Exhausted,
            (false, false) => Answer::Steps(taken),
        }
    }
}

impl Pool {
    /// The mailbox, unless the pool has ended: futures may keep the mailbox of one that has.
    fn alive(&self) -> Option<Arc<Mailbox>> {
        self.mailbox
            .upgrade()
            .filter(|mailbox| !mailbox.has_ended())
    }
}

/// Signals that follow each other further apart do not count as a row.
// A person who wants a program to end presses Ctrl-C again within seconds. At double, two interrupts of an interpreter
// in the same minute would be more likely to count together.
const IN_A_ROW: Duration = Duration::from_secs(10);

/// Signals that no pool answered, one soon after the other.
#[derive(Debug)]
pub(super) struct Unanswered {
    count: usize,
    last: Option<Instant>,
}

impl Unanswered {
    pub(super) const fn new() -> Self {
        Self {
            count: 0,
            last: None,
        }
    }

    /// Counts one more. Returns whether `as_many` came in a row.
    pub(super) fn insists(&mut self, now: Instant, as_many: usize) -> bool {
        let soon = |last| now.saturating_duration_since(last) <= IN_A_ROW;
        self.count = if self.last.is_some_and(soon) {
            self.count + 1
        } else {
            1
        };
        self.last = Some(now);
        self.count >= as_many
    }

    /// A pool answered.
    pub(super) const fn clear(&mut self) {
        *self = Self::new();
    }
}

#[cfg(test)]
mod tests;
