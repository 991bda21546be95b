//! The receivers of a task's progress and of its end.
//!
//! A task has owners, none or several: a future of this process is one. An owner is notified of progress at once, and
//! of the end by [`Ended::tell`], which the dispatcher's loop calls, so that a ledger can store the end before.

use std::sync::Arc;

use podpool_core::id::{Attempt, TaskId};

use crate::error::{AttemptReport, Subject};
use crate::master::cell::{Cell, CellGuard, Settled, Wakers};

/// One receiver.
#[derive(Debug)]
pub(crate) enum Owner {
    /// A future of this process. Dropped before the end, it resolves to an error.
    Future(CellGuard),
}

/// The owners of one task. Nearly every task has one owner, which takes no memory of its own.
#[derive(Debug, Default)]
pub(crate) enum Owners {
    /// No owner.
    #[default]
    None,
    /// One.
    One(Owner),
    /// Several: each receives the same.
    Several(Box<Several>),
}

/// Behind a pointer, so that a task with one owner does not pay for a list.
#[derive(Debug)]
pub(crate) struct Several(Vec<Owner>);

/// A task's end, for its owners.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) owners: Owners,
    pub(crate) outcome: Settled,
    /// Whether a record of it comes before: then it waits until that is stored.
    pub(crate) recorded: bool,
}

impl Owners {
    /// Adds an owner, which is notified from now on.
    pub(crate) fn add(&mut self, owner: Owner) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(owner),
            Self::One(first) => Self::Several(Box::new(Several(vec![first, owner]))),
            Self::Several(mut all) => {
                all.0.push(owner);
                Self::Several(all)
            }
        };
    }

    fn each(&self) -> &[Owner] {
        match self {
            Self::None => &[],
            Self::One(owner) => std::slice::from_ref(owner),
            Self::Several(owners) => &owners.0,
        }
    }

    fn futures(&self) -> impl Iterator<Item = &CellGuard> {
        self.each().iter().map(|Owner::Future(cell)| cell)
    }

    /// Takes the future with this cell out of several; none where it is the only owner.
    pub(crate) fn leave(&mut self, cell: &Arc<Cell>) -> Option<Owner> {
        let Self::Several(owners) = self else {
            return None;
        };
        let is = |Owner::Future(guard): &Owner| guard.is(cell);
        let at = owners.0.iter().position(is)?;
        let left = owners.0.remove(at);
        if owners.0.len() == 1 {
            *self = owners.0.pop().map_or(Self::None, Self::One);
        }
        Some(left)
    }

    /// These owners belong to another task from now on, by its number: to `others`.
    pub(crate) fn join(self, others: &mut Self, task: TaskId) {
        let joining = match self {
            Self::None => Vec::new(),
            Self::One(owner) => vec![owner],
            Self::Several(owners) => owners.0,
        };
        for owner in joining {
            let Owner::Future(cell) = &owner;
            cell.set_id(task);
            others.add(owner);
        }
    }

    /// The result is that of an earlier master's task, with this number.
    pub(crate) fn stored(&self, task: TaskId) {
        self.futures().for_each(|cell| cell.set_stored(task));
    }

    /// The task, as errors name it; none without an owner.
    pub(crate) fn subject(&self) -> Option<Subject> {
        self.futures().next().map(|cell| cell.subject())
    }

    /// An attempt runs.
    pub(crate) fn running(&self, attempt: Attempt) {
        self.futures().for_each(|cell| cell.set_running(attempt));
    }

    /// No attempt runs.
    pub(crate) fn pending(&self) {
        self.futures().for_each(|cell| cell.set_pending());
    }

    /// The result that follows is that of a task which was skipped.
    pub(crate) fn skipped(&self) {
        self.futures().for_each(|cell| cell.set_skipped());
    }

    /// An attempt ended without a result.
    pub(crate) fn attempted(&self, report: &AttemptReport) {
        self.futures()
            .for_each(|cell| cell.remember(report.clone()));
    }

    /// The cause of the last such attempt is better known now.
    pub(crate) fn amended(&self, report: &AttemptReport) {
        self.futures().for_each(|cell| cell.amend(report.clone()));
    }
}

impl From<CellGuard> for Owners {
    fn from(cell: CellGuard) -> Self {
        let mut owners = Self::default();
        owners.add(Owner::Future(cell));
        owners
    }
}

impl Ended {
    /// Notifies every owner. Their waiters are added to `wakers`.
    // Progress is passed on by a call where it is decided, since nothing has to be stored before; the end is an effect.
    pub(crate) fn notify(self, wakers: &mut Wakers) {
        let Self {
            owners, outcome, ..
        } = self;
        if let Owners::One(Owner::Future(cell)) = &owners {
            // Nearly every task: the result is moved. Several owners get copies, which share long results.
            cell.settle(outcome, wakers);
            return;
        }
        for cell in owners.futures() {
            cell.settle(outcome.clone(), wakers);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::future::fake::TASK;
    use crate::master::cell::{Cell, Output, TaskState};

    fn cells(count: usize) -> Vec<Arc<Cell>> {
        let cell = |_| {
            let cell = Arc::new(Cell::new(&TASK));
            cell.set_id(TaskId(7));
            cell
        };
        (0..count).map(cell).collect()
    }

    #[test]
    fn every_owner_is_notified_and_a_task_without_one_ends_too() {
        for count in 0..4 {
            let cells = cells(count);
            let mut owners = Owners::default();
            for cell in &cells {
                owners.add(Owner::Future(CellGuard::new(cell.clone())));
            }
            let attempt = Attempt(2);
            owners.running(attempt);
            let running = TaskState::Running { attempt };
            assert!(cells.iter().all(|cell| cell.state() == running));
            owners.pending();
            assert!(cells.iter().all(|cell| cell.state() == TaskState::Pending));
            let outcome = Ok(Output::EMPTY);
            Ended {
                owners,
                outcome,
                recorded: false,
            }
            .notify(&mut Wakers::default());
            assert!(cells.iter().all(|cell| cell.state() == TaskState::Done));
        }
    }
}
