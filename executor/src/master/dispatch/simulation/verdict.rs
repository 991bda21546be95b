//! Whether every task of a simulation ended as it must.

use std::task::{Poll, Waker};

use podpool_core::outcome::Cause;

use crate::error::{AttemptReport, TaskErrorKind};
use crate::master::cell::TaskState;

use super::end::End;
use super::script::Script;
use super::world::World;

impl World {
    /// How often a task is charged with a crash before it ends. Others of its frame never are.
    fn charges(&self, number: usize) -> std::ops::RangeInclusive<usize> {
        let blamed = self.blamed.get(&(number as u64)).copied().unwrap_or(0);
        match self.scripts[number] {
            // Crashes of slots and ends of workers are charged apart.
            Script::Crashes => 3..=3 + blamed,
            Script::CrashesOnce => 0..=1 + blamed,
            _ => 0..=blamed,
        }
    }

    /// Every task ended as its script says, or was cancelled, or ended with the run.
    pub(super) fn check(&self, epoch: u64) -> Result<(), String> {
        let outcome = self.master.life().outcome();
        let expected = self.end.outcome(epoch);
        // Another master, and another run on the same names, outrank a limit.
        let outranked = matches!(self.end, End::Superseded | End::NamesInUse);
        if self.duties.ended_by_limit() && !(outranked && outcome == expected) {
            let error = outcome.as_ref().err();
            if !error.is_some_and(|error| self.duties.is_outcome(error)) {
                return Err(format!("the run ended by a limit, and with {outcome:?}"));
            }
        } else if outcome != expected {
            return Err(format!("the run ended with {outcome:?}, not {expected:?}"));
        }
        (0..self.cells.len()).try_for_each(|number| self.check_task(number))
    }

    fn check_task(&self, number: usize) -> Result<(), String> {
        let (cell, script) = (&self.cells[number], self.scripts[number]);
        let Poll::Ready(end) = cell.poll(Waker::noop()) else {
            return Err(format!("task {number}, {script:?}, has not ended"));
        };
        let end = end.err().map(|error| error.kind());
        if let Some(subscriber) = &self.subscriber {
            subscriber.check(number as u64, cell.state())?;
        }
        if self.is_excused(number, end) {
            return Ok(());
        }
        let attempts = cell.attempts();
        if end != script.end() {
            return Err(format!(
                "task {number}, {script:?}, ended with {end:?}: {attempts:?}"
            ));
        }
        let crashed = |attempt: &&AttemptReport| attempt.cause == Cause::Crashed;
        let charged = attempts.iter().filter(crashed).count();
        if !self.charges(number).contains(&charged) {
            return Err(format!(
                "task {number}, {script:?}, is charged {charged} times"
            ));
        }
        let running = matches!(cell.state(), TaskState::Running { .. });
        assert!(!running, "a task that has ended runs");
        Ok(())
    }

    /// Whether something else than its script may have ended a task so.
    fn is_excused(&self, number: usize, end: Option<TaskErrorKind>) -> bool {
        match end {
            Some(TaskErrorKind::Cancelled) => {
                self.cancelled.contains(&(number as u64)) || self.end.cuts_tasks_off()
            }
            Some(TaskErrorKind::PoolBroken | TaskErrorKind::ShutDown) => self.end.cuts_tasks_off(),
            Some(TaskErrorKind::RunLimit) => self.duties.ended_by_limit(),
            Some(TaskErrorKind::OutOfMemory | TaskErrorKind::WorkerLost) => {
                self.framed.contains(&(number as u64))
            }
            // Three workers in a row ended because of it.
            Some(TaskErrorKind::Crashed) => self.blamed.get(&(number as u64)) >= Some(&3),
            _ => false,
        }
    }
}
