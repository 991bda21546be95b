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
mod tests {
    use ShutdownBehavior::{Abort, CancelPending};

    use super::*;

    #[test]
    fn signals_form_a_row_only_soon_after_each_other_and_without_an_answer() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut unanswered = Unanswered::new();
        assert!(!unanswered.insists(at(0), 2));
        assert!(!unanswered.insists(at(11), 2), "too late to insist");
        assert!(unanswered.insists(at(21), 2));
        unanswered.clear();
        assert!(
            !unanswered.insists(at(22), 2),
            "a pool answered between them"
        );
        let in_a_row: Vec<_> = (23..27).map(|s| unanswered.insists(at(s), 5)).collect();
        assert_eq!(in_a_row, [false, false, false, true]);
    }

    const STEPS: &[ShutdownBehavior] = &[CancelPending, Abort];

    fn steps(answer: &Answer) -> Vec<ShutdownBehavior> {
        match answer {
            Answer::Steps(taken) => taken.iter().map(|(_, step)| *step).collect(),
            Answer::Exhausted | Answer::NoPool => Vec::new(),
        }
    }

    #[test]
    fn a_pool_that_comes_later_takes_its_own_first_step() {
        let mut pools = Pools::new();
        let (first, _first_inbox) = Mailbox::new();
        pools.add(&first);
        assert_eq!(steps(&pools.arrive(STEPS)), [CancelPending]);
        let (second, _second_inbox) = Mailbox::new();
        pools.add(&second);
        assert_eq!(steps(&pools.arrive(STEPS)), [Abort, CancelPending]);
        assert_eq!(steps(&pools.arrive(STEPS)), [Abort]);
        assert!(matches!(pools.arrive(STEPS), Answer::Exhausted));
    }

    #[test]
    fn two_pools_at_once_both_take_their_steps() {
        let mut pools = Pools::new();
        let (first, _first_inbox) = Mailbox::new();
        let (second, _second_inbox) = Mailbox::new();
        pools.add(&first);
        pools.add(&second);
        assert_eq!(steps(&pools.arrive(STEPS)), [CancelPending, CancelPending]);
        assert_eq!(steps(&pools.arrive(STEPS)), [Abort, Abort]);
    }

    #[test]
    fn pools_that_have_ended_do_not_count() {
        let mut pools = Pools::new();
        assert!(matches!(pools.arrive(STEPS), Answer::NoPool));
        let (first, inbox) = Mailbox::new();
        pools.add(&first);
        // Its executor has ended; a future still holds the mailbox.
        inbox.end();
        assert!(matches!(pools.arrive(STEPS), Answer::NoPool));
        let (second, inbox) = Mailbox::new();
        pools.add(&second);
        drop(inbox);
        assert!(matches!(pools.arrive(STEPS), Answer::NoPool));
        let (third, inbox) = Mailbox::new();
        pools.add(&third);
        drop((third, inbox));
        assert!(matches!(pools.arrive(STEPS), Answer::NoPool));
        assert!(pools.0.is_empty());
    }
}
