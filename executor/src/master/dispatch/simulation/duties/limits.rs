//! The limits of the run: which of them ends it, and with which numbers.

use tokio::time::Instant;

use crate::error::{ShutdownError, TaskErrorKind};

use super::Duties;

/// What counts for the limits.
#[derive(Debug)]
pub(super) struct Limits {
    start: Instant,
    returned: u64,
    failed: u64,
    /// The limit that ended the run, with the numbers of its error.
    reached: Option<Reached>,
}

#[derive(Clone, Copy, Debug)]
enum Reached {
    Deadline { unended: usize },
    Failures { failed: u64, ended: u64 },
}

impl Limits {
    pub(super) const fn new(start: Instant) -> Self {
        Self {
            start,
            returned: 0,
            failed: 0,
            reached: None,
        }
    }

    /// A task ends.
    pub(super) const fn ended(&mut self, kind: Option<TaskErrorKind>) {
        match kind {
            None => self.returned += 1,
            Some(
                TaskErrorKind::Failed
                | TaskErrorKind::Panicked
                | TaskErrorKind::TimedOut
                | TaskErrorKind::Crashed
                | TaskErrorKind::OutOfMemory
                | TaskErrorKind::WorkerLost
                | TaskErrorKind::Rejected,
            ) => self.failed += 1,
            Some(_) => {}
        }
    }
}

impl Duties {
    /// The run ends now if it must by a limit.
    pub(super) fn end_by_limit(&mut self) {
        if self.life.broken.is_some() || self.life.ending {
            return;
        }
        let set = self.settings.limits;
        let Limits {
            start,
            returned,
            failed,
            ..
        } = self.limits;
        let late = set.deadline.is_some_and(|limit| self.now >= start + limit);
        let has_ended = self.life.closing && self.unended.is_empty();
        if set
            .failures
            .is_some_and(|limit| limit.is_reached(failed, returned + failed))
        {
            self.judge_all();
            let failed = self.limits.failed;
            let ended = failed + self.limits.returned;
            self.limits.reached = Some(Reached::Failures { failed, ended });
        } else if late && !has_ended {
            self.judge_all();
            let unended = self.unended.len();
            self.limits.reached = Some(Reached::Deadline { unended });
        } else {
            return;
        }
        self.break_run(TaskErrorKind::RunLimit);
    }

    /// Whether a limit ended the run.
    pub(in super::super) const fn ended_by_limit(&self) -> bool {
        self.limits.reached.is_some()
    }

    /// Whether this is what a shutdown must return, of which a part is for people.
    pub(in super::super) fn is_outcome(&self, error: &ShutdownError) -> bool {
        match (self.limits.reached, error) {
            (
                Some(Reached::Deadline { unended: owed }),
                ShutdownError::DeadlinePassed { deadline, unended },
            ) => *unended == owed && Some(*deadline) == self.settings.limits.deadline,
            (
                Some(Reached::Failures {
                    failed: owed,
                    ended: of,
                }),
                ShutdownError::TooManyFailures {
                    failed,
                    ended,
                    last,
                },
            ) => (*failed, *ended) == (owed, of) && last.starts_with("task simulation::task #"),
            _ => false,
        }
    }
}
