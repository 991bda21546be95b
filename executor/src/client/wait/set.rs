//! A set of futures that yields those that have ended.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::client::future::TaskFuture;
use crate::master::cell::Finished;

/// The index of a future, as a cell keeps it.
// A list of a million ends takes 4 MB with 32 bits. A future and its cell take more than 100 bytes, so 2^32 of them are
// 400 GiB.
pub(super) fn place(index: usize) -> u32 {
    u32::try_from(index).expect("four billion futures do not fit memory")
}

/// Futures, each with a value of the caller's, to be taken in the order in which they end.
#[derive(Debug)]
pub(crate) struct Set<T, X> {
    /// A future stays at its place until it is yielded; then the place is free.
    entries: Vec<Option<(TaskFuture<T>, X)>>,
    free: Vec<u32>,
    /// Places whose futures have ended, to be yielded next.
    ready: VecDeque<u32>,
    finished: Arc<Finished>,
    /// The places that were taken from `finished` last; kept for its allocation, which is swapped with the other one.
    taken: Vec<u32>,
}

impl<T, X> Default for Set<T, X> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            ready: VecDeque::new(),
            finished: Arc::default(),
            taken: Vec::new(),
        }
    }
}

impl<T, X> Set<T, X> {
    pub(crate) fn push(&mut self, future: TaskFuture<T>, extra: X) {
        // Places are reused, so that a set which a `map` feeds without end does not grow. A place is free only after
        // its future was yielded, and a cell notifies once, so no late notification can meet another future there.
        let place = match self.free.pop() {
            Some(place) => place,
            None => {
                self.entries.push(None);
                place(self.entries.len() - 1)
            }
        };
        // The future may end between the next two statements. Its place is read by a poll alone, which needs `&mut
        // self`, and the entry is there by then.
        if !future.cell().watch(&self.finished, place) {
            self.ready.push_back(place);
        }
        self.entries[place as usize] = Some((future, extra));
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// How many have ended and are yielded next.
    pub(super) fn ready(&mut self) -> usize {
        // Registers no waker: the caller does not wait here.
        self.finished.take_ended(&mut self.taken);
        self.ready.extend(self.taken.drain(..));
        self.ready.len()
    }

    /// The next future that ended; none when the set is empty.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<(TaskFuture<T>, X)>> {
        if self.len() == 0 {
            return Poll::Ready(None);
        }
        // One lock for all that ended since the last time, and none while some of them are left to yield.
        if self.ready.is_empty() {
            self.finished.take(&mut self.taken, cx.waker());
            self.ready.extend(self.taken.drain(..));
        }
        let Some(place) = self.ready.pop_front() else {
            return Poll::Pending;
        };
        self.free.push(place);
        Poll::Ready(self.entries[place as usize].take())
    }

    /// Any of the futures.
    pub(crate) fn first(&self) -> Option<&TaskFuture<T>> {
        self.entries.iter().flatten().map(|(f, _)| f).next()
    }

    /// Takes all futures out, whether they ended or not.
    pub(crate) fn take_all(&mut self) -> impl Iterator<Item = TaskFuture<T>> {
        // The new set has a `finished` of its own: later ends of these futures do not reach it.
        mem::take(self)
            .entries
            .into_iter()
            .flatten()
            .map(|(f, _)| f)
    }
}
