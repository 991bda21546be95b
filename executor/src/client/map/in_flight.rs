//! The calls of a map that were submitted and not yet delivered, in order or not.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use serde::de::DeserializeOwned;

use crate::client::future::TaskFuture;
use crate::client::wait::Set;
use crate::error::TaskError;
use crate::master::cell::Cell;

/// A call that has ended.
#[derive(Debug)]
pub(super) struct Ended<T> {
    pub(super) result: Result<T, TaskError>,
    /// The bytes that the result takes while it is encoded.
    pub(super) bytes: usize,
    /// Its key, where keys are asked for.
    pub(super) key: Option<Arc<str>>,
}

/// Calls under way, with the bytes of their arguments.
#[derive(Debug)]
pub(super) struct InFlight<T> {
    calls: Calls<T>,
    bytes: usize,
    /// Whether the keys of the calls come with their results.
    with_keys: bool,
}

#[derive(Debug)]
enum Calls<T> {
    Ordered(VecDeque<(TaskFuture<T>, usize)>),
    Unordered(Set<T, usize>),
}

impl<T> InFlight<T> {
    pub(super) const fn ordered() -> Self {
        Self {
            calls: Calls::Ordered(VecDeque::new()),
            bytes: 0,
            with_keys: false,
        }
    }

    /// Gives the calls up in the order of their ends. For a map that has made none.
    pub(super) fn unorder(&mut self) {
        self.calls = Calls::Unordered(Set::default());
    }

    /// Gives the key of each call with its result.
    pub(super) const fn give_keys(&mut self) {
        self.with_keys = true;
    }

    pub(super) const fn is_ordered(&self) -> bool {
        matches!(self.calls, Calls::Ordered(_))
    }

    pub(super) fn len(&self) -> usize {
        match &self.calls {
            Calls::Ordered(calls) => calls.len(),
            Calls::Unordered(calls) => calls.len(),
        }
    }

    /// Bytes of arguments under way.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, future: TaskFuture<T>, bytes: usize) {
        self.bytes += bytes;
        match &mut self.calls {
            Calls::Ordered(calls) => calls.push_back((future, bytes)),
            Calls::Unordered(calls) => calls.push(future, bytes),
        }
    }

    /// A call whose result may be the next one: the oldest, where there is an order.
    pub(super) fn front(&self) -> Option<&TaskFuture<T>> {
        match &self.calls {
            Calls::Ordered(calls) => calls.front().map(|(future, _)| future),
            Calls::Unordered(calls) => calls.first(),
        }
    }

    /// Takes all calls out, for their cancellation.
    pub(super) fn take_cells(&mut self) -> Vec<Arc<Cell>> {
        self.bytes = 0;
        let cell = |future: TaskFuture<T>| Arc::clone(future.cell());
        match &mut self.calls {
            Calls::Ordered(calls) => mem::take(calls).into_iter().map(|(f, _)| cell(f)).collect(),
            Calls::Unordered(calls) => calls.take_all().map(cell).collect(),
        }
    }
}

impl<T: DeserializeOwned + 'static> InFlight<T> {
    /// The next call that has ended; none when no call is under way.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Ended<T>>> {
        let with_keys = self.with_keys;
        let (future, bytes) = match &mut self.calls {
            Calls::Ordered(calls) => {
                let Some((future, bytes)) = calls.front_mut() else {
                    return Poll::Ready(None);
                };
                // Only the oldest is polled: results come in order, and one waker is enough.
                let ended = ready!(poll_call(future, with_keys, cx));
                // After `ready!`: a pending call still has its arguments. Each number was added once by `push`, so
                // neither subtraction wraps.
                self.bytes -= *bytes;
                calls.pop_front();
                return Poll::Ready(Some(ended));
            }
            Calls::Unordered(calls) => match ready!(calls.poll_next(cx)) {
                Some(call) => call,
                None => return Poll::Ready(None),
            },
        };
        self.bytes -= bytes;
        // The set yields only ended futures, so this poll is ready; a pending one would lose its call here.
        poll_call(&future, with_keys, cx).map(Some)
    }
}

fn poll_call<T: DeserializeOwned + 'static>(
    future: &TaskFuture<T>,
    with_key: bool,
    cx: &Context<'_>,
) -> Poll<Ended<T>> {
    let poll = future.poll_weighed(cx);
    poll.map(|(result, bytes)| Ended {
        result,
        bytes,
        // Reading a key takes the cell's lock once more, so a map that does not ask for keys reads none.
        key: with_key.then(|| future.key()).flatten(),
    })
}
