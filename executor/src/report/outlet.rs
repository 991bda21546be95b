//! A bounded buffer in front of a thread that may block.
//!
//! Streams, sinks and subscribers belong to the program: each may block without end, or wait for a lock that the
//! program holds while it waits for a task. So the executor's threads only put items into this buffer, and its thread
//! passes them on, in order. When the buffer is full, further items are dropped and counted, and the gap is marked at
//! its place.

mod drain;
mod gauge;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::ThreadId;

use tokio::sync::oneshot;

use crate::lock::lock;

pub(crate) use self::gauge::{Gauge, WeakGauge};

/// The receiver of the items, on the thread that may block.
pub(crate) trait Consumer<T>: Send + 'static {
    /// Takes all items, in order.
    fn take(&mut self, items: &mut VecDeque<T>);
}

/// Makes the item that marks a gap of so many items.
pub(crate) type Gap<T> = fn(u64) -> T;

/// The outcome of putting an item in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It is in the buffer.
    Kept,
    /// It was dropped, as the first one: the caller should warn.
    FirstDropped,
    /// It was dropped.
    Dropped,
}

/// The items of an outlet that were not handed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Backlog {
    /// Items that wait. The thread may be in the midst of up to 64 of them.
    pub(crate) waiting: u64,
    /// Items that were dropped since the outlet was made.
    pub(crate) dropped: u64,
}

/// How far an outlet is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// Items that were ever put in.
    pub(crate) put: u64,
    /// Items that were ever handed over.
    pub(crate) taken: u64,
}

/// The end into which items are put. A clone is another such end; the thread ends when the last one is dropped and
/// all items were handed over.
pub(crate) struct Outlet<T: Send + 'static>(Arc<Inlet<T>>);

/// Closes the buffer when it is dropped.
struct Inlet<T: Send + 'static>(Arc<Shared<T>>);

struct Shared<T> {
    name: &'static str,
    limit: usize,
    gap: Gap<T>,
    state: Mutex<Buffer<T>>,
    /// Signals the thread that there are items, or that no more will come.
    more: Condvar,
    /// Signals waiting threads that items were passed on.
    less: Condvar,
}

struct Buffer<T> {
    /// The waiting items, each with its cost.
    queue: VecDeque<(usize, T)>,
    /// Costs of the items in the buffer and of those that the thread is passing on.
    held: usize,
    // Counted and never reset: a wait remembers the number of pushed items, and ends when so many are done, whatever is
    // put in meanwhile.
    pushed: u64,
    done: u64,
    dropped: u64,
    /// Of those, the ones whose gap is not marked yet. While there are any the buffer takes nothing until a quarter of
    /// it is free again, so that connected passages get through, and not single items.
    unmarked: u64,
    closed: bool,
    /// The thread waits on `more`, and was not woken since.
    asleep: bool,
    /// Here until the thread has begun.
    consumer: Option<Box<dyn Consumer<T>>>,
    starting: bool,
    /// A thread was refused, and another one is to be tried.
    trying: bool,
    thread: Option<ThreadId>,
    waiters: Vec<(u64, oneshot::Sender<()>)>,
}

impl<T: Send + 'static> Outlet<T> {
    /// An outlet that holds `limit` of cost, and at least one item. Its thread starts with the first item.
    pub(crate) fn new(
        name: &'static str,
        limit: usize,
        gap: Gap<T>,
        consumer: impl Consumer<T>,
    ) -> Self {
        Self(Arc::new(Inlet(Arc::new(Shared {
            name,
            limit,
            gap,
            state: Mutex::new(Buffer {
                queue: VecDeque::new(),
                held: 0,
                pushed: 0,
                done: 0,
                dropped: 0,
                unmarked: 0,
                closed: false,
                asleep: false,
                consumer: Some(Box::new(consumer)),
                starting: false,
                trying: false,
                thread: None,
                waiters: Vec::new(),
            }),
            more: Condvar::new(),
            less: Condvar::new(),
        }))))
    }

    /// Starts the thread now: then the consumer is dropped on it, and never here.
    pub(crate) fn start(&self) -> io::Result<()> {
        self.shared().start()
    }

    /// Puts an item in, or drops it when the buffer is full. Never waits.
    pub(crate) fn push(&self, cost: usize, item: T) -> Pushed {
        self.put(cost, item, false)
    }

    /// Puts an item in, however full the buffer is: for items that are small, and bounded by other means.
    pub(crate) fn push_always(&self, cost: usize, item: T) {
        self.put(cost, item, true);
    }

    fn put(&self, cost: usize, item: T, always: bool) -> Pushed {
        let shared = self.shared();
        let mut state = lock(&shared.state);
        if !always && !state.admits(cost, shared.limit) {
            state.dropped += 1;
            state.unmarked += 1;
            let first = state.dropped == 1;
            // The item is dropped after the lock is released: its drop may run code of the program's.
            drop(state);
            return if first {
                Pushed::FirstDropped
            } else {
                Pushed::Dropped
            };
        }
        // The mark takes the place of the gap, before the first item after it. It costs nothing, so that it always
        // fits.
        state.mark(shared.gap);
        state.queue.push_back((cost, item));
        state.held = state.held.saturating_add(cost);
        state.pushed += 1;
        let start = state.needs_thread();
        // Waking costs a system call, so only a thread that sleeps is woken, and once.
        let wake = std::mem::take(&mut state.asleep);
        drop(state);
        if start {
            shared.start_or_try_again();
        } else if wake {
            shared.more.notify_one();
        }
        Pushed::Kept
    }

    /// A view of the fill level.
    pub(crate) fn gauge(&self) -> Gauge<T> {
        Gauge(self.shared().clone())
    }
    fn shared(&self) -> &Arc<Shared<T>> {
        &self.0.0
    }
}

impl<T> Buffer<T> {
    fn admits(&self, cost: usize, limit: usize) -> bool {
        let limit = match self.unmarked {
            0 => limit,
            // After a gap the buffer accepts items only when a quarter is free again.
            _ => limit / 4 * 3,
        };
        // An item larger than the whole buffer is accepted alone, or it could never be written.
        self.held == 0 || self.held.saturating_add(cost) <= limit
    }

    /// Marks the place where items are missing.
    fn mark(&mut self, gap: Gap<T>) {
        if self.unmarked > 0 {
            let lost = std::mem::take(&mut self.unmarked);
            self.queue.push_back((0, gap(lost)));
            self.pushed += 1;
        }
    }

    const fn needs_thread(&self) -> bool {
        self.consumer.is_some() && !self.starting && !self.trying
    }

    fn backlog(&self) -> Backlog {
        Backlog {
            waiting: self.pushed - self.done,
            dropped: self.dropped,
        }
    }
}

impl<T: Send + 'static> Drop for Inlet<T> {
    fn drop(&mut self) {
        let shared = &self.0;
        let mut state = lock(&shared.state);
        state.closed = true;
        // A thread was refused until now, or there was no item ever.
        let waits = !state.queue.is_empty();
        // A thread that is starting will take the consumer; it must find it.
        let idle = !waits && !state.starting;
        let unused = state.consumer.take_if(|_| idle);
        drop(state);
        // After the lock: the consumer may be the program's sink, whose drop is the program's code.
        drop(unused);
        if waits {
            shared.start_or_try_again();
        }
        shared.more.notify_one();
    }
}

impl<T: Send + 'static> Clone for Outlet<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Send + 'static> fmt::Debug for Outlet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Outlet").field(&self.shared().name).finish()
    }
}

#[cfg(test)]
mod tests;
