//! The queue from the user's threads to the executor's: submissions and commands, in order.
//!
//! Submitting is the hot path: one short lock, and a wake-up only when the executor sleeps. Submissions wait in
//! chunks, so that no push moves a million entries, and a drained chunk is filled again.

mod inbox;

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Mutex};
use std::task::Waker;

use podpool_core::envelope::Arguments;
use podpool_core::id::TaskId;
use podpool_core::task::{CallOptions, TaskSpec};

use crate::error::{ShutdownError, TaskError, TaskErrorKind};
use crate::lock::lock;
use crate::master::callbacks::Callbacks;
use crate::master::cell::{CellGuard, Wakers};
use crate::master::command::{Command, ShutdownBehavior};

pub(crate) use self::inbox::Inbox;

/// Submissions in one chunk: 40 KiB, below the size at which allocators map and unmap pages.
// The executor moves one under the lock by a swap, whatever its size; at half it takes the lock twice as often.
// glibc maps blocks of 128 KiB and more (`M_MMAP_THRESHOLD`), and a mapped block costs page faults each time it is
// filled. <https://man7.org/linux/man-pages/man3/mallopt.3.html>
const CHUNK: usize = 1024;

/// A task on its way to the executor.
#[derive(Debug)]
pub(crate) struct Submission {
    /// Its future's other half, with its number. It may be settled: then there is nothing to run.
    pub(crate) cell: CellGuard,
    pub(crate) spec: &'static TaskSpec,
    pub(crate) arguments: Arguments,
    pub(crate) options: Option<Box<CallOptions>>,
}

impl Submission {
    fn settle(&self, kind: TaskErrorKind, message: impl Into<Arc<str>>) {
        let error = TaskError::new(kind, self.cell.subject(), message);
        self.cell.settle(Err(error), &mut Wakers::default());
    }
}

/// Why no more tasks are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// The executor was shut down.
    ShutDown,
    /// The pool is broken, for this reason.
    Broken(Arc<str>),
    /// The run reached a limit, by the error of a shutdown.
    Limit(Arc<ShutdownError>),
}

impl Closed {
    fn refuse(&self, submission: &Submission) {
        match self {
            Self::ShutDown => submission.settle(TaskErrorKind::ShutDown, "it was not run"),
            Self::Broken(reason) => {
                submission.settle(TaskErrorKind::PoolBroken, reason.clone());
            }
            Self::Limit(error) => submission.settle(TaskErrorKind::RunLimit, error.to_string()),
        }
    }
}

/// The users' end. Futures and handles hold it; it does not keep the executor alive.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    state: Mutex<Contents>,
    callbacks: Callbacks,
}

#[derive(Debug, Default)]
struct Contents {
    /// Full chunks, oldest first; `tail` comes after them.
    full: VecDeque<Vec<Submission>>,
    tail: Vec<Submission>,
    /// An emptied chunk, to be filled again.
    spare: Vec<Submission>,
    // Apart from the submissions: a saturated executor waits for commands alone, and a chunk moves by one swap.
    /// Commands, each with the number of submissions before it.
    commands: VecDeque<(u64, Command)>,
    /// The number of the next task. Submissions are taken until the mailbox closes, so theirs are dense.
    next: u64,
    /// Submissions taken, and those of them passed to the executor.
    taken: u64,
    drained: u64,
    /// Those that could not run, and ended here.
    rejected: u64,
    closed: Option<Closed>,
    /// The executor's end was dropped.
    gone: bool,
    /// How the executor has ended. It still answers shutdowns.
    ended: Option<Result<(), ShutdownError>>,
    /// The first signal that ended it.
    signal: Option<i32>,
    sleeper: Option<Sleeper>,
}

/// The executor, asleep.
#[derive(Debug)]
struct Sleeper {
    waker: Waker,
    wakes_for: WakesFor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WakesFor {
    Anything,
    Commands,
}

/// Tasks that were submitted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Submitted {
    /// All of them.
    pub(crate) all: u64,
    /// Those that could not run, and had ended when they were submitted.
    pub(crate) rejected: u64,
    /// The executor has ended: so have all of them.
    pub(crate) gone: bool,
}

impl Mailbox {
    /// A mailbox of a fresh run, and the executor's end of it.
    #[cfg(test)]
    pub(crate) fn new() -> (Arc<Self>, Inbox) {
        Self::starting_at(TaskId(0))
    }

    /// A mailbox and the executor's end of it. The first task has this number.
    pub(crate) fn starting_at(next: TaskId) -> (Arc<Self>, Inbox) {
        let mailbox = Arc::new(Self {
            state: Mutex::new(Contents {
                next: next.0,
                ..Contents::default()
            }),
            callbacks: Callbacks::default(),
        });
        (Arc::clone(&mailbox), Inbox(mailbox))
    }

    /// Takes a task and gives it the next number. After the mailbox was closed its future is settled instead.
    pub(crate) fn submit(&self, submission: Submission) -> TaskId {
        self.push(submission, None)
    }

    /// The same for a task that cannot run. The executor sees it with its cell settled.
    pub(crate) fn submit_rejected(&self, submission: Submission, reason: String) -> TaskId {
        self.push(submission, Some(reason))
    }

    fn push(&self, submission: Submission, rejected: Option<String>) -> TaskId {
        let mut state = lock(&self.state);
        let id = TaskId(state.next);
        // The number is drawn under the same lock as the push, so that the order of numbers is the order of
        // submissions.
        state.next += 1;
        submission.cell.set_id(id);
        let was_rejected = rejected.is_some();
        if let Some(reason) = rejected {
            // The future has not been returned to the caller yet, so it has no waker that could run under the lock.
            submission.settle(TaskErrorKind::Rejected, reason);
        }
        if let Some(closed) = &state.closed {
            // Settling wakes the waiter of the future, whose code may submit again: not under the lock.
            let closed = closed.clone();
            drop(state);
            closed.refuse(&submission);
            return id;
        }
        // A full chunk is moved as a whole. One growing vector would move a million entries each time it doubles.
        if state.tail.len() == CHUNK {
            let next = mem::take(&mut state.spare);
            let full = mem::replace(&mut state.tail, next);
            state.tail.reserve_exact(CHUNK);
            state.full.push_back(full);
        }
        state.rejected += u64::from(was_rejected);
        state.tail.push(submission);
        state.taken += 1;
        // Taken, so that one submission wakes and a thousand after it do not, until the executor sleeps again. One that
        // waits for commands alone is left: it has enough tasks.
        let sleeper = state
            .sleeper
            .take_if(|sleeper| sleeper.wakes_for == WakesFor::Anything);
        // Woken without the lock, which the executor takes first.
        drop(state);
        if let Some(sleeper) = sleeper {
            sleeper.waker.wake();
        }
        id
    }

    /// Sends a command. It overtakes no submission made before it. When the executor is gone it is dropped.
    pub(crate) fn command(&self, command: Command) {
        // Not where the mailbox is closed: a cancel and a second, harsher shutdown must reach an executor that still
        // runs.
        let mut state = lock(&self.state);
        if state.gone {
            // The command is dropped after the lock is released: it may own a cell, whose drop may lock the mailbox
            // again.
            drop(state);
            return;
        }
        // A command overtakes no earlier submission: a cancel must find its task in the executor's table.
        let before = state.taken;
        state.commands.push_back((before, command));
        let sleeper = state.sleeper.take();
        drop(state);
        if let Some(sleeper) = sleeper {
            sleeper.waker.wake();
        }
    }

    /// A signal arrived, and the executor shuts down with this behaviour.
    #[cfg_attr(not(unix), expect(dead_code, reason = "no signals are heard there"))]
    pub(crate) fn interrupt(&self, signal: i32, behavior: ShutdownBehavior) {
        // Recorded before the command, so that a shutdown which the command ends finds it.
        lock(&self.state).signal.get_or_insert(signal);
        self.command(Command::Interrupt(behavior));
    }

    /// The first signal that ended the executor.
    pub(crate) fn signal(&self) -> Option<i32> {
        lock(&self.state).signal
    }

    /// Refuses tasks from now on. Commands are still taken. A broken pool stays broken, and a run that ended by a limit
    /// stays ended by it.
    pub(crate) fn close(&self, reason: Closed) {
        let mut state = lock(&self.state);
        // The first reason but a shutdown must reach every later caller, even if a shutdown follows.
        if matches!(state.closed, None | Some(Closed::ShutDown)) {
            state.closed = Some(reason);
        }
    }

    /// The result of a shutdown whose executor is already gone.
    pub(crate) fn how_it_ended(&self) -> Result<(), ShutdownError> {
        let state = lock(&self.state);
        if let Some(outcome) = &state.ended {
            return outcome.clone();
        }
        // By a panic of its thread.
        match &state.closed {
            Some(Closed::Broken(reason)) => Err(ShutdownError::Broken {
                reason: reason.as_ref().into(),
            }),
            Some(Closed::Limit(error)) => Err(ShutdownError::clone(error)),
            Some(Closed::ShutDown) | None => Ok(()),
        }
    }

    /// Whether its executor has ended. When a shutdown returns, it has.
    #[cfg_attr(not(unix), expect(dead_code, reason = "no signals are heard there"))]
    pub(crate) fn has_ended(&self) -> bool {
        let state = lock(&self.state);
        state.ended.is_some() || state.gone
    }

    /// How many tasks were submitted so far.
    pub(crate) fn submitted(&self) -> Submitted {
        let state = lock(&self.state);
        Submitted {
            all: state.taken,
            rejected: state.rejected,
            gone: state.ended.is_some() || state.gone,
        }
    }

    /// The thread for the callbacks of this executor's futures.
    pub(crate) const fn callbacks(&self) -> &Callbacks {
        &self.callbacks
    }
}

impl Contents {
    fn is_empty(&self) -> bool {
        self.tail.is_empty() && self.full.is_empty() && self.commands.is_empty()
    }

    /// Moves the oldest chunk. An empty vector of the caller is taken for it and filled again.
    fn move_chunk(&mut self, submissions: &mut Vec<Submission>) {
        let mut chunk = match self.full.pop_front() {
            Some(chunk) => chunk,
            None if self.tail.is_empty() => return,
            None => mem::replace(&mut self.tail, mem::take(&mut self.spare)),
        };
        self.drained += chunk.len() as u64;
        // The caller's empty vector becomes the next spare chunk: in a steady state nothing is allocated.
        if submissions.is_empty() {
            mem::swap(submissions, &mut chunk);
        } else {
            submissions.append(&mut chunk);
        }
        // One spare chunk suffices: the executor empties one before it takes the next. What is dropped here is an empty
        // vector, or one of a backlog that has gone.
        if chunk.capacity() > self.spare.capacity() {
            self.spare = chunk;
        }
    }

    fn move_commands(&mut self, commands: &mut Vec<Command>) {
        while let Some((before, command)) = self.commands.pop_front() {
            // Submissions before the command are still in a later chunk. The commands behind it wait too: all stay in
            // order.
            if before > self.drained {
                self.commands.push_front((before, command));
                return;
            }
            commands.push(command);
        }
    }
}

#[cfg(test)]
mod tests;
