//! Waiting for many futures, of one executor or of several: CPython's `wait` and `as_completed`
//! (<https://docs.python.org/3/library/concurrent.futures.html#module-functions>).
//!
//! Each future notifies its set when it ends, so that a completion costs the same for ten futures and for a million.

mod set;

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;

use crate::client::future::TaskFuture;
use crate::deadline::Deadline;
use crate::error::Unfinished;
use crate::master::cell::Finished;
use crate::master::cell::TaskState;

pub(crate) use self::set::Set;

/// When [`wait`] returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReturnWhen {
    /// As soon as one future has ended, in whatever way.
    FirstCompleted,
    /// As soon as one future has failed, else when all have ended. A cancelled one has not failed.
    FirstException,
    /// When all have ended. The default.
    #[default]
    All,
}

/// The futures of a [`wait`], each list in the order in which they were given.
#[derive(Debug)]
#[non_exhaustive]
pub struct Wait<T> {
    /// Futures that have ended: awaiting them returns at once.
    pub done: Vec<TaskFuture<T>>,
    /// The others. Their tasks continue.
    pub not_done: Vec<TaskFuture<T>>,
}

/// Waits for futures until `when`, or until `timeout` is over; the timeout is no error and cancels nothing. The futures may
/// be of several executors. Without a timeout it waits as long as the tasks take.
///
/// ```no_run
/// # use std::time::Duration;
/// # use podpool::prelude::*;
/// # async fn first(futures: Vec<TaskFuture<u64>>) -> Result<(), TaskError> {
/// let minute = Some(Duration::from_secs(60));
/// let waited = wait(futures, ReturnWhen::FirstCompleted, minute).await;
/// for future in waited.done {
///     println!("{}", future.await?); // returns at once
/// }
/// for future in waited.not_done {
///     future.cancel().await;
/// }
/// # Ok(())
/// # }
/// ```
pub async fn wait<T>(
    futures: impl IntoIterator<Item = TaskFuture<T>>,
    when: ReturnWhen,
    timeout: Option<Duration>,
) -> Wait<T> {
    let futures: Vec<_> = futures.into_iter().collect();
    // No future at all is over at once, as in CPython, whatever `when` is.
    let mut tally = Tally::new(when, futures.len());
    let finished = Arc::new(Finished::default());
    for (place, future) in futures.iter().enumerate() {
        // A future that has ended already does not notify; it is counted here. The cell decides under its lock which of
        // the two it is, so each future is counted once.
        if !future.cell().watch(&finished, set::place(place)) {
            tally.count(future.state());
        }
    }
    let mut ended = Vec::new();
    let mut deadline = Deadline::maybe(timeout);
    poll_fn(|cx| {
        // The waker is registered only once no further end is there. A tally that is over stops at once: the ends that
        // were not counted are found by the partition below.
        while !tally.is_over() {
            // Takes what ended and registers the waker under one lock, so that no end is missed in between.
            finished.take(&mut ended, cx.waker());
            if ended.is_empty() {
                return Pin::new(&mut deadline).poll(cx);
            }
            for place in ended.drain(..) {
                tally.count(futures[place as usize].state());
            }
        }
        Poll::Ready(())
    })
    .await;
    // Partitioned by the present state: a future that ended during the last wake-up belongs to `done` too. The cells
    // still refer to `finished`, until another wait or a poll replaces it; until then an end adds one number to a list.
    let (done, not_done) = futures.into_iter().partition(TaskFuture::is_done);
    Wait { done, not_done }
}

/// Decides when a wait is over.
#[derive(Debug)]
struct Tally {
    when: ReturnWhen,
    left: usize,
    over: bool,
}

impl Tally {
    const fn new(when: ReturnWhen, futures: usize) -> Self {
        Self {
            when,
            left: futures,
            over: false,
        }
    }

    /// A future ended in this state.
    fn count(&mut self, state: TaskState) {
        self.left -= 1;
        // `|=`: with `FirstException` a success after a failure must not make the wait go on. A cancelled future is no
        // exception, as in CPython.
        self.over |= match self.when {
            ReturnWhen::FirstCompleted => true,
            ReturnWhen::FirstException => state == TaskState::Failed,
            ReturnWhen::All => false,
        };
    }

    const fn is_over(&self) -> bool {
        self.over || self.left == 0
    }
}

/// Yields each future once it has ended: those that have ended already first, then in the order of their ends.
///
/// A yielded future is done, so awaiting it returns at once. Dropping the iterator cancels nothing.
///
/// ```no_run
/// # use podpool::prelude::*;
/// # async fn each(futures: Vec<TaskFuture<u64>>) {
/// let mut ended = as_completed(futures);
/// while let Some(future) = ended.next().await {
///     let (id, key) = (future.id(), future.key());
///     match future.await {
///         Ok(n) => println!("{id} {key:?}: {n}"),
///         Err(error) => eprintln!("{error}"),
///     }
/// }
/// # }
/// ```
pub fn as_completed<T>(futures: impl IntoIterator<Item = TaskFuture<T>>) -> AsCompleted<T> {
    let mut set = Set::default();
    futures.into_iter().for_each(|future| set.push(future, ()));
    AsCompleted { set }
}

/// Futures in the order in which they end; see [`as_completed`]. It is a `Stream` too.
#[must_use = "it yields futures only while it is polled"]
pub struct AsCompleted<T> {
    set: Set<T, ()>,
}

impl<T> AsCompleted<T> {
    /// The next future that has ended; none when all were yielded. Dropping this future loses none of them.
    pub async fn next(&mut self) -> Option<TaskFuture<T>> {
        poll_fn(|cx| self.poll(cx)).await
    }

    /// Waits for one more future, also after all others were yielded.
    pub fn add(&mut self, future: TaskFuture<T>) {
        self.set.push(future, ());
    }

    /// How many futures have not been yielded.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.set.len()
    }

    /// Ends so long from now; the tasks continue. Futures that have ended already are yielded in any case, those that
    /// end later only if the iterator is polled in time.
    // CPython documents the same: the time counts from the call, and its iterator raises where the next future is
    // requested after the end, whether one is ready or not.
    pub fn timeout(mut self, timeout: Duration) -> AsCompletedWithin<T> {
        AsCompletedWithin {
            total: self.set.len(),
            // Counted before the time begins: CPython yields these too, even with a timeout of 0.
            done_before: self.set.ready(),
            inner: self,
            deadline: Deadline::after(timeout),
            timeout,
            over: false,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<TaskFuture<T>>> {
        let next = ready!(self.set.poll_next(cx));
        Poll::Ready(next.map(|(future, ())| future))
    }
}

impl<T> Stream for AsCompleted<T> {
    type Item = TaskFuture<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.set.len(), Some(self.set.len()))
    }
}

impl<T> fmt::Debug for AsCompleted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompleted")
            .field("remaining", &self.set.len())
            .finish()
    }
}

/// [`AsCompleted`] with a bound on the whole: futures, then [`Unfinished`] once, if not all ended in time.
#[must_use = "it yields futures only while it is polled"]
#[derive(Debug)]
pub struct AsCompletedWithin<T> {
    inner: AsCompleted<T>,
    deadline: Deadline,
    timeout: Duration,
    total: usize,
    /// Futures that had ended before the time began, and have not been yielded.
    done_before: usize,
    over: bool,
}

impl<T> AsCompletedWithin<T> {
    /// The next future that has ended; none when all were yielded or the time is over. Dropping this future loses none
    /// of them.
    ///
    /// # Errors
    /// [`Unfinished`], once, when the time is over. [`into_rest`](Self::into_rest) gives the others back.
    pub async fn next(&mut self) -> Option<Result<TaskFuture<T>, Unfinished>> {
        poll_fn(|cx| self.poll(cx)).await
    }

    /// The futures that were not yielded, to wait for them without a bound.
    pub fn into_rest(self) -> AsCompleted<T> {
        self.inner
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<TaskFuture<T>, Unfinished>>> {
        if self.over {
            return Poll::Ready(None);
        }
        // Before the set, which may always have a future ready: the deadline would never be read then. An empty set is
        // polled in any case, so that it ends with `None` and not with an error about no future.
        let in_time = self.done_before > 0 || !self.deadline.is_over();
        if (in_time || self.inner.remaining() == 0)
            && let Poll::Ready(next) = self.inner.poll(cx)
        {
            // The set yields in the order of ends, so the futures that had ended before are the first ones. The
            // subtraction saturates for those that come after them.
            self.done_before = self.done_before.saturating_sub(1);
            return Poll::Ready(next.map(Ok));
        }
        ready!(Pin::new(&mut self.deadline).poll(cx));
        self.over = true;
        Poll::Ready(Some(Err(Unfinished {
            unfinished: self.inner.remaining(),
            total: self.total,
            waited: self.timeout,
        })))
    }
}

impl<T> Stream for AsCompletedWithin<T> {
    type Item = Result<TaskFuture<T>, Unfinished>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx)
    }
}

#[cfg(test)]
mod tests;
