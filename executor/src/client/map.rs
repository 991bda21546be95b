//! `map`: many calls of one task, in order, with no more of them under way than it takes to keep the slots busy.

mod in_flight;
mod inputs;
mod keyed;
mod tolerance;
mod window;

use std::any::Any;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_core::Stream;
use podpool_core::task::{Call, TaskSpec};
use serde::de::DeserializeOwned;

use crate::client::future::TaskFuture;
use crate::deadline::Deadline;
use crate::error::{Subject, TaskError, TaskErrorKind};
use crate::master::command::Command;
use crate::master::mailbox::Mailbox;
use crate::master::measured::Pace;

use self::in_flight::{Ended, InFlight};
use self::tolerance::Tolerance;
use self::window::{Seen, Window};

pub use self::inputs::Inputs;
pub use self::keyed::KeyedMap;

/// A result with its key, where keys are asked for and the call has one.
type Keyed<T> = Result<(Option<Arc<str>>, T), TaskError>;

/// The part of a pool that a map uses.
pub(crate) trait Submit: Send + Sync {
    /// The mailbox that calls are submitted to.
    fn mailbox(&self) -> &Arc<Mailbox>;

    /// How many tasks run at once, as far as is known.
    fn slots(&self) -> usize;

    /// The measured time of one such task; none before one has ended.
    fn typical(&self, task: &'static TaskSpec) -> Option<Duration>;

    /// How fast the pool works.
    fn pace(&self) -> Pace;
}

/// The results of many calls of one task, made by `map` and `map_stream`. It is a `Stream` too.
///
/// It takes the next input only while it is polled and only when there is room for it, so inputs may be endless.
/// Results come in the order of the inputs. An error is yielded at its position, ends the iteration, and cancels the
/// rest; dropping the map cancels the rest as well. After a shutdown or in a broken pool it ends, however endless its
/// inputs. A panic of the inputs goes to the caller of [`next`](Self::next).
#[must_use = "it submits and yields only while it is polled"]
pub struct Map<S, F, T> {
    pool: Box<dyn Submit>,
    /// None when there is no more input.
    inputs: Option<S>,
    call: F,
    in_flight: InFlight<T>,
    window: Window,
    /// The task, once the first call was made.
    task: Option<&'static TaskSpec>,
    tolerance: Tolerance,
    delivered: usize,
    failures: usize,
    started: Instant,
    timeout: Option<Duration>,
    deadline: Deadline,
    /// The error of a pool that accepts no more tasks: it is yielded last, if results are unordered.
    last: Option<TaskError>,
}

impl<S, F, T> Map<S, F, T> {
    /// Maps a stream over a pool. Nothing is taken from it yet.
    pub(crate) fn new(pool: Box<dyn Submit>, inputs: S, call: F) -> Self {
        Self {
            window: Window::growing(pool.slots()),
            pool,
            inputs: Some(inputs),
            call,
            in_flight: InFlight::ordered(),
            task: None,
            tolerance: Tolerance::Count(0),
            delivered: 0,
            failures: 0,
            started: Instant::now(),
            timeout: None,
            deadline: Deadline::NEVER,
            last: None,
        }
    }

    /// Lets exactly so many calls be submitted and not yet delivered; 0 is taken for 1. How many of them run at once is
    /// another number: [`slots`](crate::PodPoolExecutor::slots), which [`max_workers`](crate::Builder::max_workers)
    /// sets. A window below it leaves slots without work.
    ///
    /// By default a window starts at 4 calls a slot. It doubles while it holds less than 50 ms of measured work, up to
    /// 4,096 calls. Where slots wait for calls that are on the way, on a cluster for instance, it grows to four times
    /// what they need: 64-fold at most with its first result, later eightfold at most with each round trip. That is
    /// about four round trips of work, which a cancel or a first error leaves behind. Past its start it holds 32 MiB at
    /// most: arguments, results that wait, and 256 bytes for each call.
    pub fn window(mut self, calls: usize) -> Self {
        self.window = Window::exact(calls);
        self
    }

    /// Yields results as they come, in any order. Set it before the first result is requested.
    pub fn unordered(mut self) -> Self {
        // Calls under way stay in their order: a replacement here would lose their futures.
        if self.in_flight.len() == 0 {
            self.in_flight.unorder();
        }
        self
    }

    /// Bounds the whole, counted from the call of `map`. When the time is over, the next result is one `TimedOut`, the
    /// other calls are cancelled, and no further result is yielded, not even of calls that have ended. Without it a map
    /// has no bound. [`Call::timeout`](crate::Call::timeout) bounds one attempt of one call instead: such a call is
    /// tried again as often as its `retries` allow, and the map goes on where it endures errors.
    // CPython's `Executor.map` counts from its call too. <https://docs.python.org/3/library/concurrent.futures.html>
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self.deadline = Deadline::at(self.started.checked_add(timeout));
        self
    }

    /// Yields errors like results, and continues.
    ///
    /// Errors that every further call would have end the iteration all the same: after a shutdown, when the pool is
    /// broken, or when the run has reached a limit, one [`ShutDown`](TaskErrorKind::ShutDown),
    /// [`PoolBroken`](TaskErrorKind::PoolBroken) or [`RunLimit`](TaskErrorKind::RunLimit) is yielded, and then nothing
    /// more. With [`unordered`](Self::unordered) it comes after the results of the calls that still end by
    /// themselves.
    pub fn return_exceptions(mut self) -> Self {
        self.tolerance = Tolerance::All;
        self
    }

    /// Yields so many errors like results and continues; the next one is yielded too and ends the map. So does a
    /// shut-down or broken pool, as with [`return_exceptions`](Self::return_exceptions).
    pub fn max_failures(mut self, failures: usize) -> Self {
        self.tolerance = Tolerance::Count(failures);
        self
    }

    /// Yields errors like results while at most this percentage of the results so far are errors; the share is
    /// judged from the 20th result on. The error that exceeds it is yielded too and ends the iteration.
    pub fn max_failures_percent(mut self, percent: f64) -> Self {
        self.tolerance = Tolerance::Percent(percent);
        self
    }

    /// Yields each result with the key of its call.
    pub fn keyed(mut self) -> KeyedMap<S, F, T> {
        self.in_flight.give_keys();
        KeyedMap { map: self }
    }

    /// How many errors were yielded so far.
    #[must_use]
    pub const fn failures(&self) -> usize {
        self.failures
    }

    /// Takes no more input and cancels the calls that were not delivered.
    fn stop(&mut self) {
        self.inputs = None;
        self.last = None;
        // One command for all: a cancel of each would be a million messages for a wide window.
        let cells = self.in_flight.take_cells();
        if !cells.is_empty() {
            self.pool.mailbox().command(Command::CancelMany(cells));
        }
    }

    /// The one error of a pool that accepts no more tasks, after all results.
    fn take_last(&mut self) -> Option<TaskError> {
        let last = self.last.take()?;
        self.failures += 1;
        Some(last)
    }

    /// Counts a result of so many bytes that is about to be yielded; an error may be the last.
    fn deliver<R>(&mut self, result: &Result<R, TaskError>, bytes: usize) {
        self.delivered += 1;
        self.window.deliver(bytes);
        if let Err(error) = result {
            self.failures += 1;
            let ends = error.kind().is_permanent()
                || !self.tolerance.endures(self.failures, self.delivered);
            // Before the error is yielded: a caller that returns it at once by `?` may keep the map for a while.
            if ends {
                self.stop();
            }
        }
    }

    fn timed_out(&self) -> TaskError {
        let message = format!(
            "the map did not finish within {:?}; {} results were delivered, and the remaining calls were cancelled",
            self.timeout.unwrap_or_default(),
            self.delivered
        );
        let subject = match self.in_flight.front() {
            Some(future) => future.cell().subject(),
            None => Subject {
                task: self.task.map_or("of a map", |task| task.name),
                id: None,
                key: None,
            },
        };
        TaskError::new(TaskErrorKind::TimedOut, subject, message)
    }
}

impl<S, F, T> Map<S, F, T>
where
    S: Stream + Unpin,
    F: FnMut(S::Item) -> Call<T>,
    T: DeserializeOwned + 'static,
{
    /// The next result; none when all were yielded, or after the error that ended it. Dropping this future loses
    /// neither an input nor a result, so it may stand in a `select!`.
    ///
    /// # Panics
    /// When the inputs or the function that makes calls of them panic, with their panic; the rest is cancelled.
    pub async fn next(&mut self) -> Option<Result<T, TaskError>> {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, TaskError>>> {
        let next = ready!(self.poll_keyed(cx));
        Poll::Ready(next.map(|result| result.map(|(_, output)| output)))
    }

    /// The next result, with its key where [`keyed`](Self::keyed) asked for it.
    fn poll_keyed(&mut self, cx: &mut Context<'_>) -> Poll<Option<Keyed<T>>> {
        // Before anything else: a map that always has a result ready would never look at its deadline.
        // `next` after the deadline of a finished map is the end, and not a timeout.
        if self.deadline.is_over() {
            return match self.in_flight.len() == 0 && self.has_no_more_inputs(cx) {
                true => Poll::Ready(self.take_last().map(Err)),
                false => self.poll_deadline(cx),
            };
        }
        // Calls before results: a result that was delivered at the last poll has made room, and slots get work before
        // the caller is busy with the next result.
        self.refill(cx);
        match self.poll_result(cx) {
            Poll::Ready(Some(Ended { result, bytes, key })) => {
                self.deliver(&result, bytes);
                Poll::Ready(Some(result.map(|output| (key, output))))
            }
            Poll::Ready(None) if self.inputs.is_none() => Poll::Ready(self.take_last().map(Err)),
            // Neither an input nor a result is ready.
            _ => self.poll_deadline(cx),
        }
    }

    /// The next result to yield, with its bytes; none when no call is under way. Where there is no order, the errors of
    /// a pool that takes nothing any more are gathered into one, for calls made before still have their results.
    fn poll_result(&mut self, cx: &mut Context<'_>) -> Poll<Option<Ended<T>>> {
        loop {
            match ready!(self.in_flight.poll_next(cx)) {
                Some(Ended {
                    result: Err(error), ..
                }) if self.may_wait_with(&error) => {
                    self.inputs = None;
                    self.last.get_or_insert(error);
                }
                ended => return Poll::Ready(ended),
            }
        }
    }

    /// Whether an error of the pool may come after the results that are still under way.
    fn may_wait_with(&self, error: &TaskError) -> bool {
        let (failures, results) = (self.failures + 1, self.delivered + 1);
        let endured = self.tolerance.endures(failures, results);
        endured && error.kind().is_permanent() && !self.in_flight.is_ordered()
    }

    /// Whether all inputs were taken. Polls them one last time.
    // An input that it yields is dropped, and so are the others: the deadline is over, and no call may follow it.
    fn has_no_more_inputs(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(mut inputs) = self.inputs.take() else {
            return true;
        };
        matches!(Pin::new(&mut inputs).poll_next(cx), Poll::Ready(None))
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<Option<Keyed<T>>> {
        ready!(Pin::new(&mut self.deadline).poll(cx));
        let error = self.timed_out();
        self.failures += 1;
        self.stop();
        Poll::Ready(Some(Err(error)))
    }

    /// Submits calls while there are inputs and room for them.
    fn refill(&mut self, cx: &mut Context<'_>) {
        if self.inputs.is_none() {
            return;
        }
        if self.window.is_due() {
            self.window.judge(&Seen {
                now: Instant::now(),
                work: self.task.and_then(|task| self.pool.typical(task)),
                pace: self.pool.pace(),
            });
        }
        if !self.window.wants_refill(self.in_flight.len()) {
            return;
        }
        self.submit_calls(cx);
        // Noted after the submits: a window counts as full only if inputs were there to fill it.
        self.window.refilled(self.in_flight.len());
    }

    /// Submits calls until there is no room, or no input for now.
    fn submit_calls(&mut self, cx: &mut Context<'_>) {
        // Inputs may take their time, and there may be thousands before the next result.
        while self
            .window
            .has_room(self.in_flight.len(), self.in_flight.bytes())
            && !self.deadline.is_over()
        {
            // The other calls have to be cancelled before the panic of the program's code continues. Unwind safety
            // holds, because nothing of the inputs is used after a panic.
            match catch_unwind(AssertUnwindSafe(|| self.poll_call(cx))) {
                Ok(Poll::Ready(Some(call))) => self.submit(call),
                Ok(Poll::Ready(None)) => {
                    self.inputs = None;
                    return;
                }
                Ok(Poll::Pending) => return,
                Err(panic) => self.surface(panic),
            }
        }
    }

    /// The call of the next input.
    fn poll_call(&mut self, cx: &mut Context<'_>) -> Poll<Option<Call<T>>> {
        let Some(inputs) = &mut self.inputs else {
            return Poll::Ready(None);
        };
        let input = Pin::new(inputs).poll_next(cx);
        input.map(|input| input.map(&mut self.call))
    }

    fn submit(&mut self, call: Call<T>) {
        let call = call.into_parts();
        let bytes = call.arguments.as_ref().map_or(0, |bytes| bytes.len());
        // The newest task type: a map of several types is sized by the one that comes next.
        self.task = Some(call.spec);
        let future = TaskFuture::submit_parts(self.pool.mailbox(), call);
        self.in_flight.push(future, bytes);
    }

    /// Passes the panic of an input to the caller; the inputs are not polled again.
    fn surface(&mut self, panic: Box<dyn Any + Send>) -> ! {
        self.stop();
        resume_unwind(panic)
    }
}

// Nothing in it is pinned: `S` is polled only where it is `Unpin`.
impl<S, F, T> Unpin for Map<S, F, T> {}

impl<S, F, T> Stream for Map<S, F, T>
where
    S: Stream + Unpin,
    F: FnMut(S::Item) -> Call<T>,
    T: DeserializeOwned + 'static,
{
    type Item = Result<T, TaskError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx)
    }
}

// As the iterator of CPython's `Executor.map` does, which cancels its futures when it is closed or raises.
impl<S, F, T> Drop for Map<S, F, T> {
    fn drop(&mut self) {
        self.stop();
    }
}

impl<S, F, T> fmt::Debug for Map<S, F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map")
            .field("window", &self.window)
            .field("in_flight", &self.in_flight.len())
            .field("delivered", &self.delivered)
            .field("failures", &self.failures)
            .finish()
    }
}

#[cfg(test)]
pub(crate) mod tests;
