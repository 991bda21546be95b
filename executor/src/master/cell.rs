//! The meeting place of one future and the executor: one allocation for each task.

mod finished;
mod output;
mod task_state;

use std::fmt;
use std::mem;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use podpool_core::id::{Attempt, TaskId};
use podpool_core::panics::contained;
use podpool_core::task::TaskSpec;

use crate::error::{AttemptReport, Subject, TaskError, TaskErrorKind};
use crate::lock::lock;
use crate::master::callbacks::{Callback, Callbacks};

pub(crate) use self::finished::Finished;
pub(crate) use self::output::{INLINE, Output};
pub use self::task_state::TaskState;

/// How a task ended.
pub(crate) type Settled = Result<Output, TaskError>;

/// What future and executor share. The first to settle it wins; every later settlement changes nothing.
pub(crate) struct Cell {
    /// Set under the mailbox's lock before another thread has the cell. With a ledger set again where the call turns out
    /// to be a remembered task.
    id: AtomicU64,
    spec: &'static TaskSpec,
    state: Mutex<State>,
}

struct State {
    stage: Stage,
    /// The future is gone: no caller will read the result.
    abandoned: bool,
    /// Dropping the future cancels the task.
    abort: bool,
    /// The result was stored before the call, in a ledger.
    stored: bool,
    /// The result is that of a task which was skipped.
    skipped: bool,
    /// What few tasks have.
    // Behind a pointer, because a run may hold millions of cells at a time.
    rare: Option<Box<Rare>>,
}

enum Stage {
    Waiting {
        /// 0 while no attempt runs.
        attempt: u32,
        waiter: Waiter,
    },
    Settled(Settled),
}

/// The one to wake when the task ends. One suffices: the future has one owner.
#[derive(Default)]
enum Waiter {
    #[default]
    Nobody,
    Waker(Waker),
    /// A set that waits for many futures, and the future's place in it.
    Set(Arc<Finished>, u32),
}

#[derive(Default)]
struct Rare {
    /// The call's key.
    key: Option<Arc<str>>,
    callbacks: Vec<Callback>,
    runner: Callbacks,
    history: Vec<AttemptReport>,
}

impl Cell {
    pub(crate) const fn new(spec: &'static TaskSpec) -> Self {
        Self {
            id: AtomicU64::new(u64::MAX),
            spec,
            state: Mutex::new(State {
                stage: Stage::Waiting {
                    attempt: 0,
                    waiter: Waiter::Nobody,
                },
                abandoned: false,
                abort: false,
                stored: false,
                skipped: false,
                rare: None,
            }),
        }
    }

    /// The same for a call that may have a key.
    pub(crate) fn with_key(spec: &'static TaskSpec, key: Option<Arc<str>>) -> Self {
        let cell = Self::new(spec);
        lock(&cell.state).rare = key.map(|key| {
            Box::new(Rare {
                key: Some(key),
                ..Rare::default()
            })
        });
        cell
    }

    /// The result is the stored one of this task.
    pub(crate) fn set_stored(&self, task: TaskId) {
        lock(&self.state).stored = true;
        self.set_id(task);
    }

    /// Whether the result was stored before the call.
    pub(crate) fn was_stored(&self) -> bool {
        lock(&self.state).stored
    }

    /// Gives the task its number: the mailbox does, and with a ledger dispatch where the call is a remembered task.
    pub(crate) fn set_id(&self, id: TaskId) {
        // The mailbox's lock orders it before every reader of another thread.
        self.id.store(id.0, Ordering::Relaxed);
    }

    pub(crate) fn id(&self) -> TaskId {
        TaskId(self.id.load(Ordering::Relaxed))
    }

    pub(crate) const fn spec(&self) -> &'static TaskSpec {
        self.spec
    }

    pub(crate) fn task(&self) -> &'static str {
        self.spec.name
    }

    pub(crate) fn key(&self) -> Option<Arc<str>> {
        let rare = &lock(&self.state).rare;
        rare.as_ref().and_then(|rare| rare.key.clone())
    }

    /// The task, for an error.
    pub(crate) fn subject(&self) -> Subject {
        Subject {
            task: self.task(),
            id: Some(self.id()),
            key: self.key(),
        }
    }

    /// Ends the task, unless it has ended. The waiter is added to `wakers`; callbacks are queued.
    // The executor, a closed mailbox and the drop of a guard may all call it: the check and the change are one lock, so
    // that exactly one of them ends the task.
    pub(crate) fn settle(&self, settled: Settled, wakers: &mut Wakers) -> bool {
        // The lock ends before the waiter is passed on: a set has a lock of its own, and neither is taken under the
        // other.
        let waiter = {
            let mut state = lock(&self.state);
            let State {
                stage,
                abandoned,
                rare,
                ..
            } = &mut *state;
            let Stage::Waiting { waiter, .. } = stage else {
                return false;
            };
            let waiter = mem::take(waiter);
            // A result that no caller reads is not kept: a handle may hold the cell long after its future has gone. An
            // error is kept, because handles show it as the state.
            *stage = Stage::Settled(if *abandoned {
                settled.map(|_| Output::EMPTY)
            } else {
                settled
            });
            if let Some(rare) = rare {
                if let Stage::Settled(Err(error)) = stage
                    && !error.attempts().is_empty()
                {
                    // From now on the error carries them.
                    rare.history = Vec::new();
                }
                // Under the lock, so that a callback added from now on cannot overtake them.
                let jobs = mem::take(&mut rare.callbacks).into_iter();
                jobs.for_each(|job| rare.runner.queue(job));
            }
            waiter
        };
        match waiter {
            Waiter::Nobody => {}
            Waiter::Waker(waker) => wakers.push(waker),
            Waiter::Set(set, place) => set.push(place, wakers),
        }
        true
    }

    /// An attempt runs.
    pub(crate) fn set_running(&self, attempt: Attempt) {
        self.set_attempt(attempt.0);
    }

    /// No attempt runs: the next one waits for its turn.
    pub(crate) fn set_pending(&self) {
        self.set_attempt(0);
    }

    fn set_attempt(&self, number: u32) {
        if let Stage::Waiting { attempt, .. } = &mut lock(&self.state).stage {
            *attempt = number;
        }
    }

    /// Keeps an attempt that gave no result, for `attempts()`. An error carries its own attempts. The attempt has
    /// ended: a caller that finds it there finds no attempt that runs.
    // Both under one lock, for that reason.
    pub(crate) fn remember(&self, report: AttemptReport) {
        let mut state = lock(&self.state);
        if let Stage::Waiting { attempt, .. } = &mut state.stage {
            *attempt = 0;
        }
        AttemptReport::keep(&mut state.rare.get_or_insert_default().history, report);
    }

    /// Replaces the last attempt that was kept: its cause is better known now.
    pub(crate) fn amend(&self, report: AttemptReport) {
        let mut state = lock(&self.state);
        let last = state.rare.as_mut().and_then(|rare| rare.history.last_mut());
        if let Some(last) = last {
            *last = report;
        }
    }

    pub(crate) fn attempts(&self) -> Vec<AttemptReport> {
        let state = lock(&self.state);
        match (&state.stage, &state.rare) {
            (Stage::Settled(Err(error)), _) if !error.attempts().is_empty() => {
                error.attempts().to_vec()
            }
            (_, Some(rare)) => rare.history.clone(),
            (_, None) => Vec::new(),
        }
    }

    pub(crate) fn state(&self) -> TaskState {
        match &lock(&self.state).stage {
            Stage::Waiting { attempt: 0, .. } => TaskState::Pending,
            Stage::Waiting { attempt, .. } => TaskState::Running {
                attempt: Attempt(*attempt),
            },
            Stage::Settled(Ok(_)) => TaskState::Done,
            Stage::Settled(Err(error)) if error.kind() == TaskErrorKind::Cancelled => {
                TaskState::Cancelled
            }
            Stage::Settled(Err(_)) => TaskState::Failed,
        }
    }

    /// Why the task has no result, if it ended so.
    pub(crate) fn failure(&self) -> Option<TaskError> {
        match &lock(&self.state).stage {
            Stage::Settled(Err(error)) => Some(error.clone()),
            _ => None,
        }
    }

    pub(crate) fn is_settled(&self) -> bool {
        matches!(lock(&self.state).stage, Stage::Settled(_))
    }

    /// How the task ended; `waker` is woken at the end if it has not.
    pub(crate) fn poll(&self, waker: &Waker) -> Poll<Settled> {
        // The check and the registration are one lock: an end in between would find no waker.
        let replaced = match &mut lock(&self.state).stage {
            Stage::Settled(settled) => return Poll::Ready(settled.clone()),
            Stage::Waiting { waiter, .. } => match waiter {
                Waiter::Waker(kept) if kept.will_wake(waker) => return Poll::Pending,
                other => mem::replace(other, Waiter::Waker(waker.clone())),
            },
        };
        // Dropped here, without the lock: a waker's drop may run code of a runtime.
        drop(replaced);
        Poll::Pending
    }

    /// Notifies a set when the task ends; false when it has ended and the set will not be notified.
    pub(crate) fn watch(&self, set: &Arc<Finished>, place: u32) -> bool {
        let replaced = match &mut lock(&self.state).stage {
            Stage::Settled(_) => return false,
            Stage::Waiting { waiter, .. } => {
                mem::replace(waiter, Waiter::Set(Arc::clone(set), place))
            }
        };
        // Without the lock, as in `poll`.
        drop(replaced);
        true
    }

    /// Queues a callback: now if the task has ended, else when it ends.
    pub(crate) fn on_done(&self, callback: Callback, runner: &Callbacks) {
        // Queued under the lock, here and in `settle`: the order of callbacks is the order in which they were added,
        // even if the task ends at this moment. The runner's lock comes after the cell's, and a callback runs on
        // another thread.
        let mut state = lock(&self.state);
        if matches!(state.stage, Stage::Settled(_)) {
            runner.queue(callback);
            return;
        }
        let rare = state.rare.get_or_insert_default();
        rare.runner = runner.clone();
        rare.callbacks.push(callback);
    }

    /// The task was skipped; its result follows.
    pub(crate) fn set_skipped(&self) {
        let mut state = lock(&self.state);
        // A cell that is settled by then has another end.
        state.skipped |= matches!(state.stage, Stage::Waiting { .. });
    }

    /// Whether the task has ended with a result, and was skipped.
    pub(crate) fn was_skipped(&self) -> bool {
        let state = lock(&self.state);
        state.skipped && matches!(state.stage, Stage::Settled(Ok(_)))
    }

    pub(crate) fn set_abort(&self) {
        lock(&self.state).abort = true;
    }

    /// The future is dropped: its result is not kept. True when the task must be cancelled now.
    pub(crate) fn abandon(&self) -> bool {
        let mut state = lock(&self.state);
        // Before the stage is examined, under one lock with it: the result is dropped here or in `settle`, whichever
        // comes last.
        state.abandoned = true;
        match &mut state.stage {
            Stage::Waiting { waiter, .. } => {
                let waiter = mem::take(waiter);
                let abort = state.abort;
                // A waker's drop may run code of a runtime, and so may that of a set, which holds a waker.
                drop(state);
                drop(waiter);
                abort
            }
            Stage::Settled(settled) => {
                if let Ok(output) = settled {
                    *output = Output::EMPTY;
                }
                false
            }
        }
    }
}

impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cell")
            .field("task", &self.task())
            .field("id", &self.id())
            .field("state", &self.state())
            .finish()
    }
}

/// The executor's hold on a cell. Dropped before the task has ended, it settles the future with `PoolBroken`, so
/// that no way out of the executor leaves a future unresolved.
#[derive(Debug)]
pub(crate) struct CellGuard(Arc<Cell>);

impl CellGuard {
    pub(crate) const fn new(cell: Arc<Cell>) -> Self {
        Self(cell)
    }
}

impl CellGuard {
    /// Whether it holds this cell.
    pub(crate) fn is(&self, cell: &Arc<Cell>) -> bool {
        Arc::ptr_eq(&self.0, cell)
    }
}

impl Deref for CellGuard {
    type Target = Cell;

    fn deref(&self) -> &Cell {
        &self.0
    }
}

impl Drop for CellGuard {
    fn drop(&mut self) {
        // Nearly always: the error below is made only where the executor ended early. `settle` decides again under its
        // lock.
        if self.0.is_settled() {
            return;
        }
        let error = TaskError::new(
            TaskErrorKind::PoolBroken,
            self.0.subject(),
            "the executor's thread ended before the task",
        );
        self.0.settle(Err(error), &mut Wakers::default());
    }
}

/// The waiters of settled tasks. They are woken together, after a batch, and when the list is dropped.
#[derive(Debug, Default)]
pub(crate) struct Wakers(Vec<Waker>);

impl Wakers {
    /// Adds a waker, unless the last one wakes the same task.
    pub(crate) fn push(&mut self, waker: Waker) {
        // The last alone: a task that awaits its futures one after the other is found there, and a search would be
        // quadratic.
        if !self.0.last().is_some_and(|last| last.will_wake(&waker)) {
            self.0.push(waker);
        }
    }

    /// Wakes all of them. A waker is the user's: one that panics does not keep the others asleep, and its panic ends
    /// here.
    pub(crate) fn wake(&mut self) {
        for waker in self.0.drain(..) {
            contained("a waker of a future panicked", || waker.wake());
        }
    }
}

impl Drop for Wakers {
    fn drop(&mut self) {
        self.wake();
    }
}
