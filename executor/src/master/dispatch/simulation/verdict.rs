//! Whether every task of a simulation ended as it must.

use podpool_core::outcome::Cause;

use crate::error::AttemptReport;
use crate::master::cell::TaskState;

use super::World;
use super::script::Script;

impl World {
    /// How often a task is charged with a crash before it ends. Others of its frame never are.
    fn charges(script: Script) -> std::ops::RangeInclusive<usize> {
        match script {
            Script::Crashes => 3..=3,
            Script::CrashesOnce => 0..=1,
            _ => 0..=0,
        }
    }

    /// Every task ended as its script says, or was cancelled.
    pub(super) fn check(&self) -> Result<(), String> {
        for (number, (cell, script)) in self.cells.iter().zip(&self.scripts).enumerate() {
            let end = cell.state();
            let expected = match script.end() {
                None => TaskState::Done,
                Some(_) => TaskState::Failed,
            };
            let cancelled =
                end == TaskState::Cancelled && self.cancelled.contains(&(number as u64));
            if end != expected && !cancelled {
                let story = cell.attempts();
                return Err(format!(
                    "task {number}, {script:?}, ended {end:?}: {story:?}"
                ));
            }
            let crashed = |attempt: &&AttemptReport| attempt.cause == Cause::Crashed;
            let charged = cell.attempts().iter().filter(crashed).count();
            if !cancelled && !Self::charges(*script).contains(&charged) {
                return Err(format!(
                    "task {number}, {script:?}, is charged {charged} times"
                ));
            }
            if let Some(kind) = script.end()
                && let std::task::Poll::Ready(Err(error)) = cell.poll(std::task::Waker::noop())
                && error.kind() != kind
                && !cancelled
            {
                return Err(format!("task {number}, {script:?}: {error}"));
            }
        }
        Ok(())
    }
}
