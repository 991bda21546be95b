//! The results of many futures, in their order: asyncio's `gather`
//! (<https://docs.python.org/3/library/asyncio-task.html#asyncio.gather>).

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use serde::de::DeserializeOwned;

use crate::client::future::TaskFuture;
use crate::client::wait::Set;
use crate::error::TaskError;

/// Waits for all futures and gives their results in the order of the futures. The futures may be of several executors.
///
/// The first failure is returned as soon as it is there; the other tasks continue, and their futures are dropped.
/// [`return_exceptions`](Gather::return_exceptions) waits for all and gives each result. Dropping it drops the
/// futures, which cancels no task but those of [`abort_on_drop`](TaskFuture::abort_on_drop).
///
/// ```no_run
/// use podpool::prelude::*;
///
/// #[podpool::task]
/// fn square(n: u64) -> u64 {
///     n * n
/// }
///
/// # async fn squares(pool: PodPoolExecutor) -> Result<(), TaskError> {
/// let squares = gather((0..10).map(|n| pool.submit(square(n)))).await?;
/// assert_eq!(squares[3], 9);
/// # Ok(())
/// # }
/// ```
pub fn gather<T>(futures: impl IntoIterator<Item = TaskFuture<T>>) -> Gather<T> {
    let mut set = Set::default();
    let mut results = Vec::new();
    for (place, future) in futures.into_iter().enumerate() {
        set.push(future, place);
        results.push(None);
    }
    Gather(Gathering { set, results })
}

/// The results of many futures, or the first failure: `Result<Vec<T>, TaskError>`. Made by [`gather`].
#[must_use = "it waits only when it is awaited"]
pub struct Gather<T>(Gathering<T>);

/// Each result of many futures: `Vec<Result<T, TaskError>>`. Made by [`Gather::return_exceptions`].
#[must_use = "it waits only when it is awaited"]
pub struct GatherAll<T>(Gathering<T>);

/// Futures that have not ended, and the results of the others.
struct Gathering<T> {
    /// Each future with the place of its result.
    set: Set<T, usize>,
    results: Vec<Option<Result<T, TaskError>>>,
}

impl<T> Gather<T> {
    /// Gives failures like results, once all tasks have ended. The list is as long as that of the futures, also where
    /// the pool ends before the tasks: those are `Cancelled`, `ShutDown` or `PoolBroken`, each in its place.
    pub fn return_exceptions(self) -> GatherAll<T> {
        GatherAll(self.0)
    }
}

impl<T: DeserializeOwned + 'static> Gathering<T> {
    /// The next result, with its place; none when all are there.
    fn poll_one(&mut self, cx: &mut Context<'_>) -> Poll<Option<(usize, Result<T, TaskError>)>> {
        let Some((mut future, place)) = ready!(self.set.poll_next(cx)) else {
            return Poll::Ready(None);
        };
        // The set yields only ended futures, so this poll is ready; a pending one would lose its result here.
        let result = ready!(Pin::new(&mut future).poll(cx));
        Poll::Ready(Some((place, result)))
    }

    fn take(&mut self) -> impl Iterator<Item = Result<T, TaskError>> {
        mem::take(&mut self.results).into_iter().flatten()
    }
}

impl<T: DeserializeOwned + 'static> Future for Gather<T> {
    type Output = Result<Vec<T>, TaskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        while let Some((place, result)) = ready!(self.0.poll_one(cx)) {
            let output = result?;
            self.0.results[place] = Some(Ok(output));
        }
        Poll::Ready(self.0.take().collect())
    }
}

impl<T: DeserializeOwned + 'static> Future for GatherAll<T> {
    type Output = Vec<Result<T, TaskError>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        while let Some((place, result)) = ready!(self.0.poll_one(cx)) {
            self.0.results[place] = Some(result);
        }
        Poll::Ready(self.0.take().collect())
    }
}

// Nothing in them is pinned: results are plain values, and futures of tasks may be moved.
impl<T> Unpin for Gather<T> {}
impl<T> Unpin for GatherAll<T> {}

impl<T> fmt::Debug for Gather<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write("Gather", f)
    }
}

impl<T> fmt::Debug for GatherAll<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write("GatherAll", f)
    }
}

impl<T> Gathering<T> {
    fn write(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("remaining", &self.set.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::client::future::fake::{Fake, block_on};
    use crate::error::TaskErrorKind;

    #[test]
    fn results_come_in_the_order_of_the_futures() {
        let mut fake = Fake::new();
        let mut all = gather(fake.submit_many(4));
        for id in [2, 0, 3] {
            fake.finish(id);
            assert!((&mut all).now_or_never().is_none());
        }
        fake.finish(1);
        assert_eq!(block_on(all).unwrap(), [0, 1, 2, 3]);
        assert_eq!(
            block_on(gather(Vec::<TaskFuture<u64>>::new())).unwrap(),
            [0; 0]
        );
    }

    #[test]
    fn the_first_failure_ends_it_and_cancels_nothing() {
        let mut fake = Fake::new();
        let mut all = gather(fake.submit_many(3));
        fake.finish(0);
        assert!((&mut all).now_or_never().is_none());
        fake.fail(2, TaskErrorKind::Failed);
        let error = block_on(all).unwrap_err();
        assert_eq!(error.kind(), TaskErrorKind::Failed);
        fake.pump();
        assert!(fake.commands.is_empty(), "nothing is cancelled");
    }

    #[test]
    fn failures_can_be_returned_like_results() {
        let mut fake = Fake::new();
        let mut all = gather(fake.submit_many(3)).return_exceptions();
        fake.fail(1, TaskErrorKind::Failed);
        fake.finish(2);
        assert!((&mut all).now_or_never().is_none());
        fake.finish(0);
        let results = block_on(all);
        let kinds: Vec<_> = results
            .iter()
            .map(|it| it.as_ref().map_err(TaskError::kind))
            .collect();
        assert_eq!(kinds, [Ok(&0), Err(TaskErrorKind::Failed), Ok(&2)]);
    }
}
