//! The executor for programs without `async`: each call blocks its thread until there is an answer.
//!
//! ```no_run
//! use podpool::PodPoolExecutor;
//!
//! #[podpool::task]
//! fn square(n: u64) -> u64 {
//!     n * n
//! }
//!
//! #[podpool::main]
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let pool = PodPoolExecutor::builder().max_workers(4).build_blocking()?;
//!     let mut future = pool.submit(square(7));
//!     assert_eq!(future.result()?, 49);
//!     for square in pool.map(0..1_000, square) {
//!         println!("{}", square?);
//!     }
//!     Ok(pool.shutdown()?)
//! }
//! ```
//!
//! No runtime is needed: the executor works on threads of its own. Names, options, errors and cancellation are those of
//! the types of the same names at the crate's root.
//!
//! A call blocks whatever thread it is made on. On a thread of an async runtime it holds up the other tasks of that
//! thread; there use the types at the crate's root. In a callback of [`on_done`](TaskFuture::on_done) a call may wait for
//! other futures, as there.

mod future;
mod iter;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use podpool_core::id::RunId;
use podpool_core::json::Json;
use podpool_core::task::Call;

use crate::client::builder::Builder;
use crate::client::map::Inputs;
use crate::client::{executor, future as future_of, gather, wait as waits};
use crate::error::{BuildError, DetachError, LedgerError, ShutdownError, TaskError};
use crate::master::again::Reprocess;
use crate::master::command::ShutdownBehavior;
use crate::master::stats::Stats;

pub use self::future::TaskFuture;
pub use self::iter::{AsCompleted, AsCompletedWithin, Events, KeyedMap, Map};
pub use crate::client::wait::ReturnWhen;

/// Runs tasks on workers, for programs without `async`: [`PodPoolExecutor`](crate::PodPoolExecutor), made by
/// [`Builder::build_blocking`].
///
/// A clone is another handle to the same executor.
#[derive(Clone, Debug)]
pub struct PodPoolExecutor(executor::PodPoolExecutor);

impl Builder {
    /// Starts the executor, and blocks until it has started: [`build`](Self::build) for programs without `async`.
    ///
    /// # Errors
    /// [`BuildError`]; nothing was started then.
    pub fn build_blocking(self) -> Result<PodPoolExecutor, BuildError> {
        pollster::block_on(self.build()).map(PodPoolExecutor)
    }
}

impl PodPoolExecutor {
    /// Submits a call; the future has its result. Does not block. See
    /// [`PodPoolExecutor::submit`](crate::PodPoolExecutor::submit).
    pub fn submit<T>(&self, call: Call<T>) -> TaskFuture<T> {
        TaskFuture::new(self.0.submit(call))
    }

    /// Calls `call` for each input; the iterator yields the results in the order of the inputs. See
    /// [`PodPoolExecutor::map`](crate::PodPoolExecutor::map).
    ///
    /// Options, as methods of [`Map`]: [`unordered`](Map::unordered), [`window`](Map::window),
    /// [`timeout`](Map::timeout), [`return_exceptions`](Map::return_exceptions), [`max_failures`](Map::max_failures),
    /// [`max_failures_percent`](Map::max_failures_percent), [`keyed`](Map::keyed).
    pub fn map<I, T, F>(&self, inputs: I, call: F) -> Map<Inputs<I::IntoIter>, F, T>
    where
        I: IntoIterator,
        F: FnMut(I::Item) -> Call<T>,
    {
        Map::new(self.0.map(inputs, call))
    }

    /// Like [`map`](Self::map), for pairs of a key and an input; the iterator yields each result with its key, an
    /// `Arc<str>`, and the key of a failure is [`TaskError::key`]. See
    /// [`PodPoolExecutor::map_keyed`](crate::PodPoolExecutor::map_keyed).
    #[expect(
        clippy::type_complexity,
        reason = "a closure has no name, and the type of a map contains it"
    )]
    pub fn map_keyed<I, K, V, T, F>(
        &self,
        pairs: I,
        call: F,
    ) -> KeyedMap<Inputs<I::IntoIter>, impl FnMut((K, V)) -> Call<T> + use<I, K, V, T, F>, T>
    where
        I: IntoIterator<Item = (K, V)>,
        K: Into<Arc<str>>,
        F: FnMut(V) -> Call<T>,
    {
        KeyedMap::new(self.0.map_keyed(pairs, call))
    }

    /// Submits every task of the run again that failed. See
    /// [`PodPoolExecutor::retry_failed`](crate::PodPoolExecutor::retry_failed).
    ///
    /// # Errors
    /// [`LedgerError`]: the run has no ledger, or it cannot be read; here and below.
    pub fn retry_failed(&self) -> Result<Vec<TaskFuture<Json>>, LedgerError> {
        Self::again(self.0.retry_failed())
    }

    /// Computes tasks of the run anew. See [`PodPoolExecutor::reprocess`](crate::PodPoolExecutor::reprocess).
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn reprocess(&self, which: Reprocess) -> Result<Vec<TaskFuture<Json>>, LedgerError> {
        Self::again(self.0.reprocess(which))
    }

    /// Leaves the run, which goes on without this process. See
    /// [`PodPoolExecutor::detach`](crate::PodPoolExecutor::detach).
    ///
    /// # Errors
    /// [`DetachError`].
    pub fn detach(&self) -> Result<RunId, DetachError> {
        pollster::block_on(self.0.detach())
    }

    /// Submits what an earlier master of the run left unended. See
    /// [`PodPoolExecutor::resume`](crate::PodPoolExecutor::resume).
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn resume(&self) -> Result<Vec<TaskFuture<Json>>, LedgerError> {
        Self::again(self.0.resume())
    }

    fn again(
        submitted: impl Future<Output = Result<Vec<future_of::TaskFuture<Json>>, LedgerError>>,
    ) -> Result<Vec<TaskFuture<Json>>, LedgerError> {
        let futures = pollster::block_on(submitted)?;
        Ok(futures.into_iter().map(TaskFuture::new).collect())
    }

    /// Waits for every task, then ends workers and executor. See
    /// [`PodPoolExecutor::shutdown`](crate::PodPoolExecutor::shutdown).
    ///
    /// # Errors
    /// [`ShutdownError`] when the pool broke, the run reached a limit, or something is left behind.
    pub fn shutdown(&self) -> Result<(), ShutdownError> {
        pollster::block_on(self.0.shutdown())
    }

    /// Ends the executor by this `behavior`. A second call may only choose a stricter one.
    ///
    /// # Errors
    /// [`ShutdownError`] when the pool broke, the run reached a limit, or something is left behind.
    pub fn shutdown_with(&self, behavior: ShutdownBehavior) -> Result<(), ShutdownError> {
        pollster::block_on(self.0.shutdown_with(behavior))
    }

    /// How many tasks have ended, run and wait, how fast they end, and what the workers do. See
    /// [`PodPoolExecutor::stats`](crate::PodPoolExecutor::stats).
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.0.stats()
    }

    /// What happens from now on, as an iterator that blocks until there is an event. See
    /// [`PodPoolExecutor::events`](crate::PodPoolExecutor::events).
    pub fn events(&self) -> Events {
        Events::new(self.0.events())
    }

    /// The name that [`Builder::run`](crate::Builder::run) gave.
    #[must_use]
    pub fn run(&self) -> Option<&str> {
        self.0.run()
    }

    /// The run that this executor's tasks belong to.
    #[must_use]
    pub fn run_id(&self) -> &RunId {
        self.0.run_id()
    }

    /// How many tasks can run at once: the slots of all workers.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.0.slots()
    }

    /// The same executor for `async` code.
    #[must_use]
    pub const fn as_async(&self) -> &executor::PodPoolExecutor {
        &self.0
    }
}

/// The futures of a [`wait`], each list in the order in which they were given.
#[derive(Debug)]
#[non_exhaustive]
pub struct Wait<T> {
    /// Futures that have ended: their results are there.
    pub done: Vec<TaskFuture<T>>,
    /// The others. Their tasks continue.
    pub not_done: Vec<TaskFuture<T>>,
}

/// Blocks until `when`, or until `timeout` is over; the timeout is no error and cancels nothing. See
/// [`wait`](crate::wait).
pub fn wait<T>(
    futures: impl IntoIterator<Item = TaskFuture<T>>,
    when: ReturnWhen,
    timeout: Option<Duration>,
) -> Wait<T> {
    let futures = futures.into_iter().map(TaskFuture::into_async);
    let waited = pollster::block_on(waits::wait(futures, when, timeout));
    let blocking = |futures: Vec<_>| futures.into_iter().map(TaskFuture::new).collect();
    Wait {
        done: blocking(waited.done),
        not_done: blocking(waited.not_done),
    }
}

/// Yields futures in the order in which they end. See [`as_completed`](crate::as_completed).
pub fn as_completed<T>(futures: impl IntoIterator<Item = TaskFuture<T>>) -> AsCompleted<T> {
    let futures = futures.into_iter().map(TaskFuture::into_async);
    AsCompleted::new(waits::as_completed(futures))
}

/// Blocks until all tasks have ended, and gives their results in the order of the futures. See
/// [`gather`](crate::gather).
///
/// # Errors
/// The first failure, as soon as it is there; the other tasks continue.
pub fn gather<T>(futures: impl IntoIterator<Item = TaskFuture<T>>) -> Result<Vec<T>, TaskError>
where
    T: serde::de::DeserializeOwned + 'static,
{
    let futures = futures.into_iter().map(TaskFuture::into_async);
    pollster::block_on(gather::gather(futures))
}

/// Blocks until all tasks have ended, and gives each result in the order of the futures. See
/// [`Gather::return_exceptions`](crate::future::Gather::return_exceptions).
pub fn gather_all<T>(futures: impl IntoIterator<Item = TaskFuture<T>>) -> Vec<Result<T, TaskError>>
where
    T: serde::de::DeserializeOwned + 'static,
{
    let futures = futures.into_iter().map(TaskFuture::into_async);
    pollster::block_on(gather::gather(futures).return_exceptions())
}
