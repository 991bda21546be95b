//! Handles that watch and cancel a task without owning its result.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use podpool_core::id::TaskId;
use tokio::sync::oneshot;

use crate::error::AttemptReport;
use crate::master::command::Command;
use crate::master::mailbox::Mailbox;

use crate::master::cell::{Cell, TaskState};
use crate::master::command::CancelOutcome;

/// A cheap, clonable handle of a submitted task. It holds neither the result nor the executor.
#[derive(Clone)]
pub struct TaskHandle {
    cell: Arc<Cell>,
    mailbox: Arc<Mailbox>,
}

impl TaskHandle {
    pub(crate) const fn new(cell: Arc<Cell>, mailbox: Arc<Mailbox>) -> Self {
        Self { cell, mailbox }
    }

    /// The task's number in its run.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.cell.id()
    }

    /// The task's name: `crate::module::function`.
    #[must_use]
    pub fn task(&self) -> &'static str {
        self.cell.task()
    }

    /// The key that the call was given.
    #[must_use]
    pub fn key(&self) -> Option<Arc<str>> {
        self.cell.key()
    }

    /// The state of the task.
    #[must_use]
    pub fn state(&self) -> TaskState {
        self.cell.state()
    }

    /// Whether the task has ended.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state().is_done()
    }

    /// Whether the task was skipped: it has ended with a result, its `skip_if` gave that result or its `output` was
    /// there, and its body did not run.
    #[must_use]
    pub fn was_skipped(&self) -> bool {
        self.cell.was_skipped()
    }

    /// The attempts so far that gave no result, oldest first.
    #[must_use]
    pub fn attempts(&self) -> Vec<AttemptReport> {
        self.cell.attempts()
    }

    /// Runs `callback` when the task has ended, or at once if it has: on a thread of its own, in the order in which
    /// callbacks were added. A panic is logged and the next one runs. A callback may wait for other futures and for a
    /// shutdown; see [`TaskFuture::on_done`](crate::TaskFuture::on_done).
    pub fn on_done(&self, callback: impl FnOnce(Self) + Send + 'static) {
        let handle = self.clone();
        let job = Box::new(move || callback(handle));
        self.cell.on_done(job, self.mailbox.callbacks());
    }

    /// Cancels the task. The request is sent now; awaiting the returned future yields its outcome.
    pub fn cancel(&self) -> Cancel {
        Self::request_cancel(&self.cell, &self.mailbox)
    }

    pub(super) fn request_cancel(cell: &Arc<Cell>, mailbox: &Mailbox) -> Cancel {
        // Only saves a command. A task that ends after this look is answered by the executor, with `AlreadyDone`.
        if cell.is_settled() {
            return Cancel(None);
        }
        // The command is sent here, not at the first poll, so that a dropped `Cancel` still cancels.
        let (reply, answer) = oneshot::channel();
        mailbox.command(Command::Cancel {
            cell: Arc::clone(cell),
            reply: Some(reply),
        });
        Cancel(Some(answer))
    }
}

impl fmt::Debug for TaskHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskHandle")
            .field("task", &self.task())
            .field("id", &self.id())
            .field("state", &self.state())
            .finish()
    }
}

/// The answer to a cancel that is under way: a [`CancelOutcome`] when awaited. Dropping it changes nothing.
#[derive(Debug)]
pub struct Cancel(Option<oneshot::Receiver<CancelOutcome>>);

impl Future for Cancel {
    type Output = CancelOutcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CancelOutcome> {
        let Some(answer) = &mut self.0 else {
            return Poll::Ready(CancelOutcome::AlreadyDone);
        };
        // An executor that has ended drops the sender, which is no answer; it has ended every task before.
        Pin::new(answer)
            .poll(cx)
            .map(|outcome| outcome.unwrap_or(CancelOutcome::AlreadyDone))
    }
}
