//! The future of one task, for programs without `async`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use podpool_core::id::TaskId;
use serde::de::DeserializeOwned;

use crate::client::future::{self, TaskHandle};
use crate::error::{AttemptReport, NotDone, TaskError};
use crate::master::cell::TaskState;
use crate::master::command::CancelOutcome;

/// The future result of a submitted task: [`TaskFuture`](crate::TaskFuture) for programs without `async`.
///
/// Dropping it does not cancel the task.
pub struct TaskFuture<T>(future::TaskFuture<T>);

impl<T: DeserializeOwned + 'static> TaskFuture<T> {
    /// Blocks until the task has ended. It may be called again: each call decodes the result anew. One thread waits at a
    /// time; others watch a [`handle`](Self::handle).
    ///
    /// # Errors
    /// [`TaskError`]: why there is no result.
    pub fn result(&mut self) -> Result<T, TaskError> {
        pollster::block_on(&mut self.0)
    }

    /// Blocks at most so long. It never cancels the task, and may be called again.
    ///
    /// # Errors
    /// [`NotDone`] when the task has not ended by then. The inner result is the task's.
    pub fn result_within(&mut self, timeout: Duration) -> Result<Result<T, TaskError>, NotDone> {
        pollster::block_on(self.0.result(timeout))
    }
}

impl<T> TaskFuture<T> {
    pub(super) const fn new(future: future::TaskFuture<T>) -> Self {
        Self(future)
    }

    /// The same future for `async` code.
    #[must_use]
    pub fn into_async(self) -> future::TaskFuture<T> {
        self.0
    }

    /// A clonable handle to watch and cancel the task.
    #[must_use]
    pub fn handle(&self) -> TaskHandle {
        self.0.handle()
    }

    /// The task's number in its run.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.0.id()
    }

    /// The task's name: `crate::module::function`.
    #[must_use]
    pub fn task(&self) -> &'static str {
        self.0.task()
    }

    /// The key that the call was given.
    #[must_use]
    pub fn key(&self) -> Option<Arc<str>> {
        self.0.key()
    }

    /// The state of the task.
    #[must_use]
    pub fn state(&self) -> TaskState {
        self.0.state()
    }

    /// Whether the task has ended: its result is there.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.0.is_done()
    }

    /// Whether the result was stored before the call, as [`TaskFuture::was_stored`](future::TaskFuture::was_stored).
    #[must_use]
    pub fn was_stored(&self) -> bool {
        self.0.was_stored()
    }

    /// Whether the task was skipped: it has ended with a result, its `skip_if` gave that result or its `output` was
    /// there, and its body did not run.
    #[must_use]
    pub fn was_skipped(&self) -> bool {
        self.0.was_skipped()
    }

    /// The attempts so far that gave no result, oldest first.
    #[must_use]
    pub fn attempts(&self) -> Vec<AttemptReport> {
        self.0.attempts()
    }

    /// Runs `callback` when the task has ended, or at once if it has. See
    /// [`on_done`](crate::TaskFuture::on_done).
    pub fn on_done(&self, callback: impl FnOnce(TaskHandle) + Send + 'static) {
        self.0.on_done(callback);
    }

    /// Cancels the task, and blocks until the executor has done so.
    pub fn cancel(&self) -> CancelOutcome {
        pollster::block_on(self.0.cancel())
    }

    /// Makes dropping this future cancel the task, if it has not ended.
    #[must_use]
    pub fn abort_on_drop(self) -> Self {
        Self(self.0.abort_on_drop())
    }
}

impl<T> fmt::Debug for TaskFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
