//! Maps and ends of futures as iterators, for programs without `async`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_core::Stream;
use podpool_core::task::Call;
use serde::de::DeserializeOwned;

use super::TaskFuture;
use crate::client::{events, map, wait};
use crate::error::{TaskError, Unfinished};
use crate::master::events::Event;

/// The results of many calls of one task, in the order of the inputs: [`Map`](crate::future::Map) as an iterator.
#[must_use = "it submits and yields only while it is iterated"]
pub struct Map<S, F, T>(map::Map<S, F, T>);

/// Results with the keys of their calls: [`KeyedMap`](crate::future::KeyedMap) as an iterator.
#[must_use = "it submits and yields only while it is iterated"]
pub struct KeyedMap<S, F, T>(map::KeyedMap<S, F, T>);

/// The options of a map, which return the iterator.
macro_rules! options {
    ($name:ident) => {
        impl<S, F, T> $name<S, F, T> {
            pub(super) const fn new(map: map::$name<S, F, T>) -> Self {
                Self(map)
            }

            /// As [`Map::window`](crate::future::Map::window).
            pub fn window(self, calls: usize) -> Self {
                Self(self.0.window(calls))
            }

            /// As [`Map::unordered`](crate::future::Map::unordered).
            pub fn unordered(self) -> Self {
                Self(self.0.unordered())
            }

            /// As [`Map::timeout`](crate::future::Map::timeout).
            pub fn timeout(self, timeout: Duration) -> Self {
                Self(self.0.timeout(timeout))
            }

            /// As [`Map::return_exceptions`](crate::future::Map::return_exceptions).
            pub fn return_exceptions(self) -> Self {
                Self(self.0.return_exceptions())
            }

            /// As [`Map::max_failures`](crate::future::Map::max_failures).
            pub fn max_failures(self, failures: usize) -> Self {
                Self(self.0.max_failures(failures))
            }

            /// As [`Map::max_failures_percent`](crate::future::Map::max_failures_percent).
            pub fn max_failures_percent(self, percent: f64) -> Self {
                Self(self.0.max_failures_percent(percent))
            }

            /// How many errors were yielded so far.
            #[must_use]
            pub const fn failures(&self) -> usize {
                self.0.failures()
            }
        }

        impl<S, F, T> fmt::Debug for $name<S, F, T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

options!(Map);
options!(KeyedMap);

impl<S, F, T> Map<S, F, T> {
    /// Yields each result with the key of its call.
    pub fn keyed(self) -> KeyedMap<S, F, T> {
        KeyedMap(self.0.keyed())
    }
}

impl<S, F, T> Iterator for Map<S, F, T>
where
    S: Stream + Unpin,
    F: FnMut(S::Item) -> Call<T>,
    T: DeserializeOwned + 'static,
{
    type Item = Result<T, TaskError>;

    fn next(&mut self) -> Option<Self::Item> {
        pollster::block_on(self.0.next())
    }
}

impl<S, F, T> Iterator for KeyedMap<S, F, T>
where
    S: Stream + Unpin,
    F: FnMut(S::Item) -> Call<T>,
    T: DeserializeOwned + 'static,
{
    type Item = Result<(Arc<str>, T), TaskError>;

    fn next(&mut self) -> Option<Self::Item> {
        pollster::block_on(self.0.next())
    }
}

/// Futures in the order in which they end: [`AsCompleted`](crate::future::AsCompleted) as an iterator.
#[must_use = "it yields futures only while it is iterated"]
#[derive(Debug)]
pub struct AsCompleted<T>(wait::AsCompleted<T>);

impl<T> AsCompleted<T> {
    pub(super) const fn new(futures: wait::AsCompleted<T>) -> Self {
        Self(futures)
    }

    /// Waits for one more future, also after all others were yielded.
    pub fn add(&mut self, future: TaskFuture<T>) {
        self.0.add(future.into_async());
    }

    /// How many futures have not been yielded.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.0.remaining()
    }

    /// Ends so long from now; the tasks continue.
    pub fn timeout(self, timeout: Duration) -> AsCompletedWithin<T> {
        AsCompletedWithin(self.0.timeout(timeout))
    }
}

impl<T> Iterator for AsCompleted<T> {
    type Item = TaskFuture<T>;

    fn next(&mut self) -> Option<Self::Item> {
        pollster::block_on(self.0.next()).map(TaskFuture::new)
    }
}

/// [`AsCompleted`] with a bound on the whole: futures, then [`Unfinished`] once, if not all ended in time.
#[must_use = "it yields futures only while it is iterated"]
#[derive(Debug)]
pub struct AsCompletedWithin<T>(wait::AsCompletedWithin<T>);

impl<T> AsCompletedWithin<T> {
    /// The futures that were not yielded, to wait for them without a bound.
    pub fn into_rest(self) -> AsCompleted<T> {
        AsCompleted(self.0.into_rest())
    }
}

impl<T> Iterator for AsCompletedWithin<T> {
    type Item = Result<TaskFuture<T>, Unfinished>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = pollster::block_on(self.0.next())?;
        Some(next.map(TaskFuture::new))
    }
}

/// The events of a run: [`Events`](crate::events::Events) as an iterator, which ends when the executor has ended.
#[must_use = "events are recorded while it is kept, and it gives them when it is iterated"]
#[derive(Debug)]
pub struct Events(events::Events);

impl Events {
    pub(super) const fn new(events: events::Events) -> Self {
        Self(events)
    }
}

impl Iterator for Events {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        pollster::block_on(self.0.next())
    }
}
