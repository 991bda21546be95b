//! A map whose results come with the keys of their calls.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use podpool_core::task::Call;
use serde::de::DeserializeOwned;

use super::Map;
use crate::error::TaskError;

/// A result with its key.
type Named<T> = Result<(Arc<str>, T), TaskError>;

/// A [`Map`] that yields each result with the key of its call; made by [`Map::keyed`] and
/// [`map_keyed`](crate::PodPoolExecutor::map_keyed). It is a `Stream` too.
///
/// Order, errors, cancellation and options are those of the map. The key of a result is an `Arc<str>`; a call that was
/// given none has an empty one. The key of a failure is [`TaskError::key`].
#[must_use = "it submits and yields only while it is polled"]
pub struct KeyedMap<S, F, T> {
    pub(super) map: Map<S, F, T>,
}

impl<S, F, T> KeyedMap<S, F, T> {
    /// As [`Map::window`].
    pub fn window(self, calls: usize) -> Self {
        self.with(|map| map.window(calls))
    }

    /// As [`Map::unordered`].
    pub fn unordered(self) -> Self {
        self.with(Map::unordered)
    }

    /// As [`Map::timeout`].
    pub fn timeout(self, timeout: Duration) -> Self {
        self.with(|map| map.timeout(timeout))
    }

    /// As [`Map::return_exceptions`].
    pub fn return_exceptions(self) -> Self {
        self.with(Map::return_exceptions)
    }

    /// As [`Map::max_failures`].
    pub fn max_failures(self, failures: usize) -> Self {
        self.with(|map| map.max_failures(failures))
    }

    /// As [`Map::max_failures_percent`].
    pub fn max_failures_percent(self, percent: f64) -> Self {
        self.with(|map| map.max_failures_percent(percent))
    }

    fn with(self, option: impl FnOnce(Map<S, F, T>) -> Map<S, F, T>) -> Self {
        Self {
            map: option(self.map),
        }
    }

    /// How many errors were yielded so far.
    #[must_use]
    pub const fn failures(&self) -> usize {
        self.map.failures()
    }
}

impl<S, F, T> KeyedMap<S, F, T>
where
    S: Stream + Unpin,
    F: FnMut(S::Item) -> Call<T>,
    T: DeserializeOwned + 'static,
{
    /// The next result with its key; none when all were yielded, or after the error that ended the map. Dropping this
    /// future loses nothing, as with [`Map::next`].
    ///
    /// # Errors
    /// The task's [`TaskError`].
    ///
    /// # Panics
    /// As [`Map::next`].
    pub async fn next(&mut self) -> Option<Result<(Arc<str>, T), TaskError>> {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Named<T>>> {
        let next = ready!(self.map.poll_keyed(cx));
        let named = |(key, output): (Option<Arc<str>>, T)| (key.unwrap_or_default(), output);
        Poll::Ready(next.map(|result| result.map(named)))
    }
}

impl<S, F, T> Stream for KeyedMap<S, F, T>
where
    S: Stream + Unpin,
    F: FnMut(S::Item) -> Call<T>,
    T: DeserializeOwned + 'static,
{
    type Item = Result<(Arc<str>, T), TaskError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx)
    }
}

impl<S, F, T> fmt::Debug for KeyedMap<S, F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyedMap").field(&self.map).finish()
    }
}
