//! The life of a run: open, closing, broken, over. Pure.

use podpool_core::envelope::RunState;
use podpool_core::id::RunId;

use crate::error::ShutdownError;
use crate::master::command::ShutdownBehavior;

/// Why nothing runs any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Breach {
    /// No worker can start, a queue is gone, or a part of the executor ended.
    Broken,
    /// An older run has the names that an administrator gave.
    NamesInUse(RunId),
    /// The master of this epoch has taken the run over.
    Superseded(u64),
}

impl Breach {
    /// A run that is taken over leaves everything to the other master, whatever broke it before.
    const fn rank(&self) -> u8 {
        match self {
            Self::Broken => 0,
            Self::NamesInUse(_) => 1,
            Self::Superseded(_) => 2,
        }
    }
}

/// Which orders the fleet has received, and what it has reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum FleetLife {
    #[default]
    Working,
    /// It has the order to end.
    Ending,
    /// Nothing is left of it.
    Ended,
}

/// The life of a run.
#[derive(Debug, Default)]
pub(crate) struct Life {
    /// How it was shut down first.
    // Only whether there is one counts: the harshest behaviour is in `aborted`, and cancels are made at once.
    shutdown: Option<ShutdownBehavior>,
    /// Whether what runs is of no use any more.
    aborted: bool,
    /// Why nothing runs any more, and the reason that tasks' errors have.
    broken: Option<(Breach, String)>,
    fleet: FleetLife,
    leftovers: Vec<String>,
}

impl Life {
    /// A later, harsher behaviour overrides an earlier one; a milder one changes nothing.
    pub(super) fn shut_down(&mut self, behavior: ShutdownBehavior) {
        self.shutdown.get_or_insert(behavior);
        self.aborted |= behavior == ShutdownBehavior::Abort;
    }

    /// Nothing runs any more. The reason of the first breach stays; false where the run had one of this rank.
    pub(super) fn breach(&mut self, breach: Breach, reason: &str) -> bool {
        // A higher rank changes what becomes of queues and fleet. The reason stays, because futures have it already.
        match &mut self.broken {
            None => self.broken = Some((breach, reason.to_owned())),
            Some((known, _)) if known.rank() < breach.rank() => *known = breach,
            Some(_) => return false,
        }
        true
    }

    /// Why nothing runs any more, if so: the reason that tasks' errors have.
    pub(crate) fn broken(&self) -> Option<&str> {
        self.broken.as_ref().map(|(_, reason)| reason.as_str())
    }

    /// Whether the run was shut down.
    pub(super) const fn is_closing(&self) -> bool {
        self.shutdown.is_some()
    }

    /// Whether another master has the run.
    pub(crate) const fn is_superseded(&self) -> bool {
        matches!(self.broken, Some((Breach::Superseded(_), _)))
    }

    /// Whether another run may read the queues of this run's names.
    pub(super) const fn is_shared(&self) -> bool {
        matches!(
            self.broken,
            Some((Breach::NamesInUse(_) | Breach::Superseded(_), _))
        )
    }

    /// The fleet receives the order to end.
    pub(super) fn end_fleet(&mut self) {
        // Never back from `Ended`: no event would follow, and the run would not be over.
        if self.fleet == FleetLife::Working {
            self.fleet = FleetLife::Ending;
        }
    }

    /// Whether the fleet has the order to end, or has ended.
    pub(crate) fn is_ending(&self) -> bool {
        self.fleet != FleetLife::Working
    }

    /// Nothing is left of the fleet. False where it had no order to end.
    pub(super) fn fleet_ended(&mut self, leftovers: Vec<String>) -> bool {
        // An aborted run still takes results after it has sent the fleet the order to stop.
        let expected = self.is_ending() || self.aborted;
        self.fleet = FleetLife::Ended;
        self.leftovers = leftovers;
        expected
    }

    /// Whether nothing is left of the fleet.
    pub(crate) fn has_no_fleet(&self) -> bool {
        self.fleet == FleetLife::Ended
    }

    /// Shut down, every future settled, and the fleet gone.
    pub(super) fn is_over(&self, unfinished: usize) -> bool {
        self.is_closing() && unfinished == 0 && self.has_no_fleet()
    }

    /// What control states of a run that is no longer open. Workers of an aborted run must not wait for what they run:
    /// until they leave, their pods, and so the master, would wait for the grace.
    pub(super) fn run_state(&self, unfinished: usize) -> Option<RunState> {
        // The workers of a superseded run are the other master's: this one must not end them.
        let broken = self.broken.is_some() && !self.is_superseded();
        match (self.aborted || broken, self.is_closing()) {
            (true, _) => Some(RunState::Aborted),
            (false, true) if unfinished == 0 => Some(RunState::Ended),
            (false, true) => Some(RunState::Closing),
            (false, false) => None,
        }
    }

    /// The result of a shutdown.
    pub(crate) fn outcome(&self) -> Result<(), ShutdownError> {
        match &self.broken {
            Some((Breach::Superseded(epoch), _)) => {
                Err(ShutdownError::Superseded { epoch: *epoch })
            }
            Some((Breach::NamesInUse(by), _)) => Err(ShutdownError::NamesInUse { by: by.clone() }),
            Some((Breach::Broken, reason)) => Err(ShutdownError::Broken {
                reason: reason.clone(),
            }),
            None if self.leftovers.is_empty() => Ok(()),
            None => Err(ShutdownError::Leftover {
                what: self.leftovers.join("; "),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: ShutdownBehavior = ShutdownBehavior::WaitForTasks;

    #[test]
    fn an_aborted_run_never_has_the_state_of_one_that_ended() {
        let mut life = Life::default();
        assert_eq!(life.run_state(0), None);
        life.shut_down(WAIT);
        assert_eq!(life.run_state(1), Some(RunState::Closing));
        assert_eq!(life.run_state(0), Some(RunState::Ended));
        life.shut_down(ShutdownBehavior::Abort);
        life.shut_down(WAIT);
        assert_eq!(life.run_state(1), Some(RunState::Aborted));
        assert_eq!(life.run_state(0), Some(RunState::Aborted));
        let mut broken = Life::default();
        assert!(broken.breach(Breach::Broken, "no pod starts"));
        assert_eq!(broken.run_state(0), Some(RunState::Aborted));
    }

    #[test]
    fn the_first_reason_stays_and_another_master_outranks_it() {
        let mut life = Life::default();
        assert!(life.breach(Breach::Broken, "first"));
        assert!(!life.breach(Breach::Broken, "second"));
        let reason = "first".to_owned();
        assert_eq!(life.outcome(), Err(ShutdownError::Broken { reason }));
        assert!(!life.is_shared());
        let by = RunId::new("older").unwrap();
        assert!(life.breach(Breach::NamesInUse(by.clone()), "third"));
        assert_eq!(life.outcome(), Err(ShutdownError::NamesInUse { by }));
        assert!(life.breach(Breach::Superseded(7), "fourth"));
        assert!(!life.breach(Breach::Superseded(8), "fifth"));
        let superseded = ShutdownError::Superseded { epoch: 7 };
        assert_eq!(life.outcome(), Err(superseded));
        assert_eq!(life.broken(), Some("first"));
        assert!(life.is_superseded() && life.is_shared());
        assert_eq!(life.run_state(0), None, "the run goes on elsewhere");
    }

    #[test]
    fn a_run_is_over_when_it_was_shut_down_and_nothing_is_left() {
        let mut life = Life::default();
        assert!(!life.fleet_ended(Vec::new()), "it had no order to end");
        assert!(life.is_ending() && !life.is_over(0));
        let mut life = Life::default();
        life.shut_down(WAIT);
        life.end_fleet();
        assert!(!life.is_over(0));
        assert!(life.fleet_ended(vec!["a Job".to_owned(), "a Secret".to_owned()]));
        assert!(life.is_over(0) && !life.is_over(1));
        let what = "a Job; a Secret".to_owned();
        assert_eq!(life.outcome(), Err(ShutdownError::Leftover { what }));
        let mut aborted = Life::default();
        aborted.shut_down(ShutdownBehavior::Abort);
        assert!(aborted.fleet_ended(Vec::new()));
        assert_eq!(aborted.outcome(), Ok(()));
    }
}
