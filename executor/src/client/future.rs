//! The future of one task, which the executor settles.

#[cfg(test)]
pub(crate) mod fake;
mod handle;

use std::fmt;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use podpool_core::envelope::Arguments;
use podpool_core::id::TaskId;
use podpool_core::json;
use podpool_core::task::{Call, CallOptions, CallParts};
use serde::de::DeserializeOwned;

use crate::deadline::Deadline;
use crate::error::{AttemptReport, NotDone, Subject, TaskError, TaskErrorKind};
use crate::master::cell::{Cell, CellGuard, Settled, TaskState};
use crate::master::command::Command;
use crate::master::mailbox::{Mailbox, Submission};

pub use self::handle::{Cancel, TaskHandle};

/// The future result of a submitted task: `Result<T, TaskError>` when awaited, on any runtime or none.
///
/// It is the one owner of the result; [`handle`](Self::handle) gives clonable handles to watch and cancel the task.
/// Dropping it does not cancel the task, and it does not keep the executor running.
///
/// ```no_run
/// # use std::time::Duration;
/// # use podpool::prelude::*;
/// # #[podpool::task] fn clean(asset: String) -> usize { asset.len() }
/// # async fn one(pool: PodPoolExecutor) -> Result<(), TaskError> {
/// let mut future = pool.submit(clean("BTC".into()));
/// future.on_done(|task| println!("{} is {:?}", task.id(), task.state()));
/// match future.result(Duration::from_secs(60)).await {
///     Ok(size) => println!("{}", size?),
///     Err(not_done) => {
///         eprintln!("{not_done}"); // the task goes on, unless it is cancelled
///         future.cancel().await;
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// Its waker is called on the executor's thread: a waker of the program's own must not block, as no waker may.
pub struct TaskFuture<T> {
    cell: Arc<Cell>,
    mailbox: Arc<Mailbox>,
    // `fn() -> T` and not `T`: the future holds bytes, so it is `Send` and `Sync` whatever `T` is. See the test of its
    // size.
    output: PhantomData<fn() -> T>,
}

impl<T> TaskFuture<T> {
    /// Submits a call. It never blocks; the future of a call that cannot be submitted resolves to the reason.
    // As `concurrent.futures` returns a future for each call; an error here would be a second place to look for
    // failures.
    pub(crate) fn submit(mailbox: &Arc<Mailbox>, call: Call<T>) -> Self {
        Self::submit_parts(mailbox, call.into_parts())
    }

    /// The same for a call that was taken apart; it returns `T`.
    pub(crate) fn submit_parts(mailbox: &Arc<Mailbox>, call: CallParts) -> Self {
        let CallParts {
            spec,
            arguments,
            options,
        } = call;
        // The cell needs the key for errors; the options travel to the executor.
        let key = options.as_ref().and_then(|options| options.key.clone());
        let cell = Arc::new(Cell::with_key(spec, key));
        let (arguments, refusal) = match arguments {
            Ok(arguments) => (arguments, refused(options.as_deref())),
            Err(error) => (Arguments::default(), Some(error.to_string())),
        };
        let submission = Submission {
            cell: CellGuard::new(Arc::clone(&cell)),
            spec,
            arguments,
            options,
        };
        // The cell is complete before the mailbox gets it: under its lock it assigns the number, and the executor may
        // settle the cell on another thread right after.
        match refusal {
            // A rejected call takes its number too: the executor counts it, and its future has an id.
            None => mailbox.submit(submission),
            Some(reason) => mailbox.submit_rejected(submission, reason),
        };
        Self {
            cell,
            mailbox: Arc::clone(mailbox),
            output: PhantomData,
        }
    }

    /// A clonable handle to watch and cancel the task, also after this future is dropped.
    #[must_use]
    pub fn handle(&self) -> TaskHandle {
        TaskHandle::new(Arc::clone(&self.cell), Arc::clone(&self.mailbox))
    }

    /// The task's number in its run. With a [ledger](crate::Builder::ledger) it may change once, when the executor finds that
    /// the call is a task that the run has.
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

    /// Whether the task has ended: awaiting it now returns at once.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state().is_done()
    }

    /// Whether the result was stored before the call, by an earlier start of the run or an equal call with the same key:
    /// nothing was computed for this future. False until it is done, and without a [ledger](crate::Builder::ledger).
    #[must_use]
    pub fn was_stored(&self) -> bool {
        self.cell.was_stored()
    }

    /// Whether the task was skipped: it has ended with a result, its `skip_if` gave that result or its `output` was
    /// there, and its body did not run.
    #[must_use]
    pub fn was_skipped(&self) -> bool {
        self.cell.was_skipped()
    }

    /// The attempts so far that gave no result, oldest first. A task that succeeded at once has none.
    #[must_use]
    pub fn attempts(&self) -> Vec<AttemptReport> {
        self.cell.attempts()
    }

    /// Runs `callback` when the task has ended, or at once if it has.
    ///
    /// Callbacks run on a thread of their own, in the order in which they were added; a panic is logged and the next
    /// one runs. A callback may submit, wait for other futures, add callbacks, and drop or shut down the pool; the next
    /// callback runs when it returns, so it must not wait for an effect of a later callback.
    pub fn on_done(&self, callback: impl FnOnce(TaskHandle) + Send + 'static) {
        self.handle().on_done(callback);
    }

    /// Cancels the task. The request is sent now; awaiting the returned future yields its outcome.
    pub fn cancel(&self) -> Cancel {
        TaskHandle::request_cancel(&self.cell, &self.mailbox)
    }

    /// Makes dropping this future cancel the task, if it has not ended.
    #[must_use]
    pub fn abort_on_drop(self) -> Self {
        self.cell.set_abort();
        self
    }

    pub(crate) fn cell(&self) -> &Arc<Cell> {
        &self.cell
    }

    fn subject(&self) -> Subject {
        self.cell.subject()
    }
}

/// Why a call cannot run, by its options.
fn refused(options: Option<&CallOptions>) -> Option<String> {
    let options = options?;
    let refusal = if options.timeout.is_some_and(|timeout| timeout.is_zero()) {
        "its timeout is zero, so no attempt can run; set a longer one, or Duration::MAX for none"
    } else if options.memory == Some(0) {
        "its memory is zero, so no attempt can run; declare what it needs, or leave it out"
    } else {
        return None;
    };
    Some(refusal.to_owned())
}

impl<T: DeserializeOwned + 'static> TaskFuture<T> {
    /// Waits at most so long. It borrows the future, never cancels the task, and may be called again: after a
    /// timeout, and after a result too.
    ///
    /// # Errors
    /// [`NotDone`] when the task has not ended by then. The inner result is the task's.
    pub async fn result(&mut self, timeout: Duration) -> Result<Result<T, TaskError>, NotDone> {
        let mut deadline = Deadline::after(timeout);
        poll_fn(|cx| {
            // The result first: a task that has ended in time must not be reported as late because both are ready.
            if let Poll::Ready(result) = Pin::new(&mut *self).poll(cx) {
                return Poll::Ready(Ok(result));
            }
            Pin::new(&mut deadline).poll(cx).map(|()| {
                Err(NotDone {
                    subject: self.subject(),
                    waited: timeout,
                })
            })
        })
        .await
    }

    /// The result, with its encoded size in bytes.
    // Shared by `&self`: a result stays in the cell until the future is dropped, so it may be read more than once. Each
    // read decodes again, on the thread that polls and not on the executor's.
    pub(crate) fn poll_weighed(&self, cx: &Context<'_>) -> Poll<(Result<T, TaskError>, usize)> {
        self.cell.poll(cx.waker()).map(|settled| {
            let output = settled.as_ref().ok();
            let bytes = output.map_or(0, |output| output.as_slice().len());
            (self.decode(settled), bytes)
        })
    }

    fn decode(&self, settled: Settled) -> Result<T, TaskError> {
        let output = settled?;
        let json = &self.cell.spec().signature.json;
        let decoded = json::decode_output(json, output.as_slice(), || output.decode());
        decoded.map_err(|error| {
            let message = format!("the task ran, but its result cannot be decoded: {error}");
            TaskError::new(TaskErrorKind::Rejected, self.subject(), message)
        })
    }
}

impl<T: DeserializeOwned + 'static> Future for TaskFuture<T> {
    type Output = Result<T, TaskError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_weighed(cx).map(|(result, _)| result)
    }
}

impl<T> Drop for TaskFuture<T> {
    fn drop(&mut self) {
        // If this is the only reference to the cell, no executor is left that could settle it and no handle that could
        // read it. A count that is stale because another owner leaves at this moment costs one lock, and no more: only
        // an owner can make another one, so a count of one never grows.
        if Arc::strong_count(&self.cell) > 1 && self.cell.abandon() {
            self.mailbox.command(Command::Cancel {
                cell: Arc::clone(&self.cell),
                reply: None,
            });
        }
    }
}

impl<T> fmt::Debug for TaskFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskFuture")
            .field("task", &self.task())
            .field("id", &self.id())
            .field("state", &self.state())
            .finish()
    }
}

#[cfg(test)]
mod tests;
