//! The life of a run: open, closing, broken, over. Pure.

use std::sync::Arc;

use podpool_core::envelope::RunState;
use podpool_core::id::RunId;

use crate::error::{ShutdownError, TaskErrorKind};
use crate::master::command::ShutdownBehavior;
use crate::master::mailbox::Closed;

/// Why nothing runs any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Breach {
    /// No worker can start, a queue is gone, or a part of the executor ended.
    Broken,
    /// A limit that the program had set, by the error of a shutdown.
    Limit(Arc<ShutdownError>),
    /// An older run has the names that an administrator gave.
    NamesInUse(RunId),
    /// The run goes on without this master.
    Detached,
    /// The master of this epoch has taken the run over.
    Superseded(u64),
}

impl Breach {
    /// A run that is taken over leaves everything to the other master, whatever broke it before.
    const fn rank(&self) -> u8 {
        match self {
            Self::Broken | Self::Limit(_) => 0,
            Self::NamesInUse(_) => 1,
            Self::Detached => 2,
            Self::Superseded(_) => 3,
        }
    }

    /// The kind of the errors that tasks end with.
    pub(super) const fn kind(&self) -> TaskErrorKind {
        match self {
            Self::Limit(_) => TaskErrorKind::RunLimit,
            Self::Detached => TaskErrorKind::ShutDown,
            _ => TaskErrorKind::PoolBroken,
        }
    }

    /// Why no task is taken any more.
    pub(super) fn closed(&self, reason: &str) -> Closed {
        match self {
            Self::Limit(error) => Closed::Limit(error.clone()),
            Self::Detached => Closed::ShutDown,
            _ => Closed::Broken(reason.into()),
        }
    }
}

/// The first breach, and the highest since.
#[derive(Debug)]
struct Broken {
    breach: Breach,
    /// The kind and the reason of tasks' errors, by the first.
    kind: TaskErrorKind,
    reason: String,
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
    /// Whether the master leaves as soon as everything is published.
    detaching: bool,
    /// Whether a command of another process ended it before its tasks had.
    stopped: bool,
    /// Why nothing runs any more.
    broken: Option<Broken>,
    fleet: FleetLife,
    leftovers: Vec<String>,
}

impl Life {
    /// A later, harsher behaviour overrides an earlier one; a milder one changes nothing.
    pub(super) fn shut_down(&mut self, behavior: ShutdownBehavior) {
        // Whoever interrupts a detachment wants the run to end.
        self.detaching &= behavior == ShutdownBehavior::WaitForTasks;
        self.shutdown.get_or_insert(behavior);
        self.aborted |= behavior == ShutdownBehavior::Abort;
    }

    /// A command of another process ends the run before its tasks have ended.
    pub(crate) const fn stop(&mut self) {
        self.stopped = true;
    }

    /// The master leaves as soon as everything is published.
    pub(super) const fn detach(&mut self) {
        self.detaching = true;
    }

    /// Whether the master leaves as soon as everything is published.
    pub(super) fn is_detaching(&self) -> bool {
        self.detaching && self.broken.is_none()
    }

    /// Whether the run goes on without this master.
    pub(crate) fn is_detached(&self) -> bool {
        matches!(self.breached(), Some(Breach::Detached))
    }

    /// Whether queues, workers and payloads are left to another master.
    pub(crate) fn is_left(&self) -> bool {
        self.is_superseded() || self.is_detached()
    }

    /// Nothing runs any more. The reason of the first breach stays; false where the run had one of this rank.
    pub(super) fn breach(&mut self, breach: Breach, reason: &str) -> bool {
        // A higher rank changes what becomes of queues and fleet. The reason stays, because futures have it already.
        match &mut self.broken {
            None => {
                self.broken = Some(Broken {
                    kind: breach.kind(),
                    breach,
                    reason: reason.to_owned(),
                });
            }
            Some(known) if known.breach.rank() < breach.rank() => known.breach = breach,
            Some(_) => return false,
        }
        true
    }

    /// Why nothing runs any more, if so: the reason that tasks' errors have.
    pub(crate) fn broken(&self) -> Option<&str> {
        self.broken.as_ref().map(|broken| broken.reason.as_str())
    }

    /// The kind and the reason of the errors that tasks end with from now on, if nothing runs any more.
    pub(super) fn error_of_tasks(&self) -> Option<(TaskErrorKind, &str)> {
        let broken = self.broken.as_ref()?;
        Some((broken.kind, &broken.reason))
    }

    fn breached(&self) -> Option<&Breach> {
        self.broken.as_ref().map(|broken| &broken.breach)
    }

    /// Whether the run was shut down.
    pub(super) const fn is_closing(&self) -> bool {
        self.shutdown.is_some()
    }

    /// Whether nothing that runs is of use any more: the run was aborted, or broke.
    pub(crate) fn is_given_up(&self) -> bool {
        self.aborted || (self.broken.is_some() && !self.is_detached())
    }

    /// Whether another master has the run.
    pub(crate) fn is_superseded(&self) -> bool {
        matches!(self.breached(), Some(Breach::Superseded(_)))
    }

    /// Whether another run may read the queues of this run's names.
    pub(super) fn is_shared(&self) -> bool {
        matches!(
            self.breached(),
            Some(Breach::NamesInUse(_) | Breach::Detached | Breach::Superseded(_))
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
        let broken = self.broken.is_some() && !self.is_left();
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
            Some(broken) => Err(match &broken.breach {
                Breach::Superseded(epoch) => ShutdownError::Superseded { epoch: *epoch },
                Breach::Detached if self.leftovers.is_empty() => return Ok(()),
                Breach::Detached => ShutdownError::Broken {
                    reason: self.leftovers.join("; "),
                },
                Breach::NamesInUse(by) => ShutdownError::NamesInUse { by: by.clone() },
                Breach::Limit(error) => ShutdownError::clone(error),
                Breach::Broken => ShutdownError::Broken {
                    reason: broken.reason.clone(),
                },
            }),
            None if self.leftovers.is_empty() && self.stopped => Err(ShutdownError::Stopped),
            None if self.leftovers.is_empty() => Ok(()),
            None => Err(ShutdownError::Leftover {
                what: self.leftovers.join("; "),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
