//! From the user's threads to the executor's: submissions and commands, in order.
//!
//! Submitting is the hot path: one short lock, and a wake-up only when the executor sleeps. What waits lies in
//! chunks, so that no push moves a million entries, and a drained chunk is filled again.

use std::collections::VecDeque;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use podpool_core::envelope::Arguments;
use podpool_core::id::TaskId;
use podpool_core::task::{CallOptions, TaskSpec};

use crate::error::{ShutdownError, TaskError, TaskErrorKind};
use crate::lock::lock;
use crate::master::callbacks::Callbacks;
use crate::master::cell::{CellGuard, Wakers};
use crate::master::command::{Command, ShutdownBehavior};

/// Submissions in one chunk: 40 KiB, below the size at which allocators map and unmap pages.
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

/// Why no task is taken any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// The executor was shut down.
    ShutDown,
    /// The pool is broken, for this reason.
    Broken(Arc<str>),
}

impl Closed {
    fn refuse(&self, submission: &Submission) {
        match self {
            Self::ShutDown => submission.settle(TaskErrorKind::ShutDown, "it was not run"),
            Self::Broken(reason) => {
                submission.settle(TaskErrorKind::PoolBroken, reason.clone());
            }
        }
    }
}

/// The users' end. Futures and handles hold it; it does not keep the executor alive.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    state: Mutex<Contents>,
    callbacks: Callbacks,
}

/// The executor's end. Dropping it closes the mailbox and resolves what nobody took.
#[derive(Debug)]
pub(crate) struct Inbox(Arc<Mailbox>);

#[derive(Debug, Default)]
struct Contents {
    /// Full chunks, oldest first; `tail` comes after them.
    full: VecDeque<Vec<Submission>>,
    tail: Vec<Submission>,
    /// An emptied chunk, to be filled again.
    spare: Vec<Submission>,
    /// Commands, each with the number of submissions before it.
    commands: VecDeque<(u64, Command)>,
    /// The number of the next task. Submissions are taken until the mailbox closes, so theirs are dense.
    next: u64,
    /// Submissions taken, and those of them handed to the executor.
    taken: u64,
    drained: u64,
    closed: Option<Closed>,
    /// The executor's end was dropped.
    gone: bool,
    /// The executor has ended, and answers shutdowns.
    ended: bool,
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

impl Mailbox {
    /// A mailbox and the executor's end of it.
    pub(crate) fn new() -> (Arc<Self>, Inbox) {
        let mailbox = Arc::new(Self::default());
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
        state.next += 1;
        submission.cell.set_id(id);
        if let Some(reason) = rejected {
            // Nobody waits for a future that was not handed out yet, so this wakes nobody under the lock.
            submission.settle(TaskErrorKind::Rejected, reason);
        }
        if let Some(closed) = &state.closed {
            let closed = closed.clone();
            drop(state);
            closed.refuse(&submission);
            return id;
        }
        if state.tail.len() == CHUNK {
            let next = mem::take(&mut state.spare);
            let full = mem::replace(&mut state.tail, next);
            state.tail.reserve_exact(CHUNK);
            state.full.push_back(full);
        }
        state.tail.push(submission);
        state.taken += 1;
        let sleeper = state
            .sleeper
            .take_if(|sleeper| sleeper.wakes_for == WakesFor::Anything);
        drop(state);
        if let Some(sleeper) = sleeper {
            sleeper.waker.wake();
        }
        id
    }

    /// Sends a command. It overtakes no submission made before it. When the executor is gone it is dropped.
    pub(crate) fn command(&self, command: Command) {
        let mut state = lock(&self.state);
        if state.gone {
            // The command goes last, without the lock: it may own a cell.
            drop(state);
            return;
        }
        let before = state.taken;
        state.commands.push_back((before, command));
        let sleeper = state.sleeper.take();
        drop(state);
        if let Some(sleeper) = sleeper {
            sleeper.waker.wake();
        }
    }

    /// A signal came, and the executor shuts down so.
    #[cfg_attr(not(unix), expect(dead_code, reason = "no signals are heard there"))]
    pub(crate) fn interrupt(&self, signal: i32, behavior: ShutdownBehavior) {
        lock(&self.state).signal.get_or_insert(signal);
        self.command(Command::Interrupt(behavior));
    }

    /// The first signal that ended the executor.
    pub(crate) fn signal(&self) -> Option<i32> {
        lock(&self.state).signal
    }

    /// Refuses tasks from now on. Commands are still taken. A broken pool stays broken.
    pub(crate) fn close(&self, reason: Closed) {
        let mut state = lock(&self.state);
        if !matches!(state.closed, Some(Closed::Broken(_))) {
            state.closed = Some(reason);
        }
    }

    /// What a shutdown says of an executor that has gone.
    pub(crate) fn how_it_ended(&self) -> Result<(), ShutdownError> {
        match &lock(&self.state).closed {
            Some(Closed::Broken(reason)) => Err(ShutdownError::Broken {
                reason: reason.as_ref().into(),
            }),
            Some(Closed::ShutDown) | None => Ok(()),
        }
    }

    /// Whether its executor has ended. When a shutdown returns, it has.
    #[cfg_attr(not(unix), expect(dead_code, reason = "no signals are heard there"))]
    pub(crate) fn has_ended(&self) -> bool {
        let state = lock(&self.state);
        state.ended || state.gone
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
        if submissions.is_empty() {
            mem::swap(submissions, &mut chunk);
        } else {
            submissions.append(&mut chunk);
        }
        if chunk.capacity() > self.spare.capacity() {
            self.spare = chunk;
        }
    }

    fn move_commands(&mut self, commands: &mut Vec<Command>) {
        while let Some((before, command)) = self.commands.pop_front() {
            if before > self.drained {
                self.commands.push_front((before, command));
                return;
            }
            commands.push(command);
        }
    }
}

impl Inbox {
    /// Hands out the oldest chunk of submissions, at most 1,024, and the commands that no waiting submission
    /// precedes. They come in order, numbered from 0 without a gap. True when more is there.
    pub(crate) fn drain(
        &self,
        submissions: &mut Vec<Submission>,
        commands: &mut Vec<Command>,
    ) -> bool {
        let mut state = lock(&self.0.state);
        state.move_chunk(submissions);
        state.move_commands(commands);
        !state.is_empty()
    }

    /// Resolves when a submission or a command is there. Dropping it loses nothing.
    pub(crate) fn changed(&self) -> Changed<'_> {
        self.sleep(WakesFor::Anything)
    }

    /// The first signal that ended the executor.
    pub(crate) fn signal(&self) -> Option<i32> {
        self.0.signal()
    }

    /// Resolves when a command is there, behind submissions perhaps; for an executor that has work enough.
    pub(crate) fn commanded(&self) -> Changed<'_> {
        self.sleep(WakesFor::Commands)
    }

    fn sleep(&self, wakes_for: WakesFor) -> Changed<'_> {
        Changed {
            mailbox: &self.0,
            wakes_for,
            asleep: false,
        }
    }

    /// Refuses tasks from now on.
    pub(crate) fn close(&self, reason: Closed) {
        self.0.close(reason);
    }

    /// Says that the executor has ended, before it tells those who wait for it.
    pub(crate) fn end(&self) {
        lock(&self.0.state).ended = true;
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        let (left, closed) = {
            let mut state = lock(&self.0.state);
            state.gone = true;
            let broken = || Closed::Broken("the executor's thread ended".into());
            let closed = state.closed.get_or_insert_with(broken).clone();
            let left = Contents {
                full: mem::take(&mut state.full),
                tail: mem::take(&mut state.tail),
                commands: mem::take(&mut state.commands),
                ..Contents::default()
            };
            (left, closed)
        };
        let submissions = left.full.iter().flatten().chain(&left.tail);
        submissions.for_each(|submission| closed.refuse(submission));
    }
}

/// Waits for the mailbox to have something.
#[derive(Debug)]
pub(crate) struct Changed<'a> {
    mailbox: &'a Mailbox,
    wakes_for: WakesFor,
    asleep: bool,
}

impl Future for Changed<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.mailbox.state);
        let there = match self.wakes_for {
            WakesFor::Anything => !state.is_empty(),
            WakesFor::Commands => !state.commands.is_empty(),
        };
        self.asleep = !there;
        state.sleeper = (!there).then(|| Sleeper {
            waker: cx.waker().clone(),
            wakes_for: self.wakes_for,
        });
        if there {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl Drop for Changed<'_> {
    fn drop(&mut self) {
        if self.asleep {
            // The executor is awake and busy: submitting must not pay for waking it.
            let sleeper = lock(&self.mailbox.state).sleeper.take();
            drop(sleeper);
        }
    }
}

#[cfg(test)]
mod tests;
