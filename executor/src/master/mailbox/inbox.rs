//! The executor's end of the mailbox: how it takes submissions and commands, and sleeps until one is there.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use podpool_core::id::TaskId;
use podpool_core::task::CallParts;

use super::{Closed, Contents, Mailbox, Sleeper, Submission, WakesFor};
use crate::error::ShutdownError;
use crate::lock::lock;
use crate::master::cell::{Cell, CellGuard};
use crate::master::command::Command;

/// The executor's end. Dropping it closes the mailbox and resolves the tasks that were not taken.
#[derive(Debug)]
pub(crate) struct Inbox(pub(super) Arc<Mailbox>);

impl Inbox {
    /// Takes out the oldest chunk of submissions, at most 1,024, and the commands that no waiting submission
    /// precedes. Submissions come in order, numbered from 0 without a gap. True when more is there.
    // A chunk at a time: the executor publishes in between, and the lock is short.
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

    /// The number that the next task gets.
    pub(crate) fn next(&self) -> TaskId {
        TaskId(lock(&self.0.state).next)
    }

    /// Submits calls whose results nobody waits for. False where the mailbox is closed, and takes none.
    pub(crate) fn submit_again(&self, calls: Vec<CallParts>) -> bool {
        if lock(&self.0.state).closed.is_some() {
            return false;
        }
        for call in calls {
            let key = call.options.as_ref();
            let key = key.and_then(|options| options.key.clone());
            let cell = Arc::new(Cell::with_key(call.spec, key));
            // What a run remembers was encoded once.
            if let Ok(arguments) = call.arguments {
                self.0.submit(Submission {
                    cell: CellGuard::new(cell),
                    spec: call.spec,
                    arguments,
                    options: call.options,
                });
            }
        }
        true
    }

    /// Refuses tasks from now on.
    pub(crate) fn close(&self, reason: Closed) {
        self.0.close(reason);
    }

    /// Marks the executor as ended, before those who wait for it are notified. Later shutdowns have this outcome too.
    pub(crate) fn end(&self, outcome: Result<(), ShutdownError>) {
        lock(&self.0.state).ended = Some(outcome);
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        let (left, closed) = {
            let mut state = lock(&self.0.state);
            state.gone = true;
            // The inbox is dropped without a shutdown only by a panic of the executor's thread.
            let broken = || Closed::Broken("the executor's thread ended".into());
            let closed = state.closed.get_or_insert_with(broken).clone();
            // Moved out and settled after the lock is released: settling wakes waiters.
            let left = Contents {
                full: mem::take(&mut state.full),
                tail: mem::take(&mut state.tail),
                commands: mem::take(&mut state.commands),
                ..Contents::default()
            };
            (left, closed)
        };
        // Commands are dropped with `left`, here and not under the lock: a reply's drop wakes the caller that awaits
        // it.
        let submissions = left.full.iter().flatten().chain(&left.tail);
        submissions.for_each(|submission| closed.refuse(submission));
    }
}

/// Resolves when a submission or a command is in the mailbox.
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
        // The check and the registration happen under one lock, so no submission can slip between them without waking.
        self.asleep = !there;
        // Written in each poll: the waker of the last poll is the one that counts, and a mailbox with content has no
        // sleeper.
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
        // Only if it was polled and left its sleeper: a branch that `select!` disabled must not take the lock.
        if self.asleep {
            // The executor is awake and busy: submitting must not pay for waking it.
            let sleeper = lock(&self.mailbox.state).sleeper.take();
            drop(sleeper);
        }
    }
}
