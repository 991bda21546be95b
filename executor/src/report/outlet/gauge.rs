//! A view of an outlet: how much is in it, and waiting until it is empty.

use std::fmt;
use std::sync::{Arc, PoisonError, Weak};
use std::thread;
use std::time::Instant;

use tokio::sync::oneshot;

use super::{Backlog, Position, Shared};
use crate::lock::lock;

/// A view of an outlet. It can also wait until the outlet is empty, and does not keep it open.
pub(crate) struct Gauge<T>(pub(super) Arc<Shared<T>>);

/// A gauge that does not keep the buffer.
pub(crate) struct WeakGauge<T>(Weak<Shared<T>>);

impl<T: Send + 'static> Gauge<T> {
    /// Resolves when everything that was put in by now has been handed over; at once on the outlet's own thread, which
    /// would wait for itself.
    pub(crate) fn emptied(&self) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let mut state = lock(&self.0.state);
        let own = state.thread == Some(thread::current().id());
        // On its own thread a wait would never end.
        if own || state.done >= state.pushed {
            // The receiver is right here.
            sender.send(()).ok();
            return receiver;
        }
        // Registered under the lock of the comparison above: the thread cannot hand over the last item in between.
        let at = state.pushed;
        state.waiters.push((at, sender));
        drop(state);
        // The thread may have been refused so far; without it the wait would not end.
        self.0.start_or_try_again();
        receiver
    }

    /// The same for a thread that may block, until `end` at the longest. Returns whether everything was handed over by
    /// then, or this is the thread that does it.
    pub(crate) fn wait_until(&self, end: Instant) -> bool {
        // A refusal is dropped: then the wait ends at `end`.
        self.0.start().ok();
        let mut state = lock(&self.0.state);
        let at = state.pushed;
        if state.thread == Some(thread::current().id()) {
            return true;
        }
        while state.done < at {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.0.less.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    pub(crate) fn downgrade(&self) -> WeakGauge<T> {
        WeakGauge(Arc::downgrade(&self.0))
    }

    /// How many items were ever put in, and how many of them were handed over.
    pub(crate) fn position(&self) -> Position {
        let state = lock(&self.0.state);
        Position {
            put: state.pushed,
            taken: state.done,
        }
    }

    /// The items that were not handed over.
    pub(crate) fn backlog(&self) -> Backlog {
        lock(&self.0.state).backlog()
    }
}

impl<T> WeakGauge<T> {
    pub(crate) fn is_alive(&self) -> bool {
        self.0.strong_count() > 0
    }

    pub(crate) fn upgrade(&self) -> Option<Gauge<T>> {
        self.0.upgrade().map(Gauge)
    }
}

impl<T> Clone for Gauge<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> fmt::Debug for Gauge<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gauge").field(&self.0.name).finish()
    }
}
