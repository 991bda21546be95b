//! Timeouts for waiting on futures, on any runtime or none.
//!
//! A timer of the user's runtime may be missing or switched off, and one of the executor's ends with it. So one
//! thread, there since the first executor was built, keeps them for the whole process. It wakes only for a timeout that
//! is due, or for a new one that is earlier than all others.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use podpool_core::panics::contained;

use crate::lock::lock;

/// When to wake, and a number that distinguishes wakers that are due at the same time.
type Key = (Instant, u64);

/// Resolves at a moment, or never.
#[derive(Debug)]
pub(crate) struct Deadline {
    at: Option<Instant>,
    key: Option<Key>,
}

impl Deadline {
    /// So long from now; never when that is further than the clock reaches.
    pub(crate) fn after(timeout: Duration) -> Self {
        Self::at(Instant::now().checked_add(timeout))
    }

    /// At a moment, or never.
    pub(crate) const fn at(at: Option<Instant>) -> Self {
        Self { at, key: None }
    }

    /// So long from now, or never.
    pub(crate) fn maybe(timeout: Option<Duration>) -> Self {
        timeout.map_or(Self::NEVER, Self::after)
    }

    /// Whether the deadline has passed; reads the clock if there is a deadline.
    pub(crate) fn is_over(&self) -> bool {
        self.at.is_some_and(|at| Instant::now() >= at)
    }

    /// Does not resolve.
    pub(crate) const NEVER: Self = Self {
        at: None,
        key: None,
    };
}

impl Future for Deadline {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else {
            return Poll::Pending;
        };
        if self.is_over() {
            return Poll::Ready(());
        }
        let key = self.key;
        self.key = Some(timer().register(at, key, cx.waker()));
        Poll::Pending
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        // Most timeouts end here, because the task ended first: the waker must not stay until the time is over. The
        // thread is not woken; it finds nothing due at that time, and sleeps on.
        if let Some(key) = self.key {
            lock(&timer().state).wakers.remove(&key);
        }
    }
}

/// Starts the thread if it does not run. A future exists only where an executor does, so `build()` calls this: every
/// timeout has its thread, and a refusal of the system is an error there.
pub(crate) fn start_thread() -> io::Result<()> {
    lock(&timer().state).start_thread()
}

/// Runs a job after a delay, on the thread of the timeouts: it must not block.
// As a waker: the thread has one kind of entry, and catches panics of all of them.
pub(crate) fn later<F: FnOnce() + Send + 'static>(delay: Duration, job: F) {
    let waker = Waker::from(Arc::new(Later(Mutex::new(Some(job)))));
    // A delay past the end of the clock never comes.
    if let Some(at) = Instant::now().checked_add(delay) {
        timer().register(at, None, &waker);
    }
}

struct Later<F>(Mutex<Option<F>>);

impl<F: FnOnce() + Send> Wake for Later<F> {
    fn wake(self: Arc<Self>) {
        // Taken out first: the lock is released before the job runs, and a second wake finds none.
        let job = lock(&self.0).take();
        if let Some(job) = job {
            job();
        }
    }
}

#[derive(Debug, Default)]
struct Timer {
    state: Mutex<Waiting>,
    earlier: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    /// In the order of time. An entry costs O(log n), also where a dropped deadline is removed from the middle.
    wakers: BTreeMap<Key, Waker>,
    next: u64,
    running: bool,
}

impl Waiting {
    fn start_thread(&mut self) -> io::Result<()> {
        // Checked and set under the lock, so that two callers start one thread. It never ends, so it is never set back.
        if !self.running {
            let thread = thread::Builder::new().name("podpool-timeouts".to_owned());
            thread.spawn(|| timer().run())?;
            self.running = true;
        }
        Ok(())
    }
}

impl Timer {
    /// Keeps a waker under its old key, or under a new one when it has none.
    fn register(&self, at: Instant, key: Option<Key>, waker: &Waker) -> Key {
        let mut state = lock(&self.state);
        // The thread has run since the first executor was built. Tests of single parts have no executor; a thread that
        // is refused there is tried again by the next timeout.
        state.start_thread().ok();
        let key = key.unwrap_or_else(|| {
            state.next += 1;
            (at, state.next)
        });
        match state.wakers.get_mut(&key) {
            // A future that is polled again replaces its waker and keeps its key, so the map does not grow with polls.
            Some(kept) => kept.clone_from(waker),
            None => {
                // The thread sleeps until the earliest key; only an earlier one has to wake it.
                let first = state.wakers.first_key_value().is_none_or(|(k, _)| key < *k);
                state.wakers.insert(key, waker.clone());
                if first {
                    self.earlier.notify_one();
                }
            }
        }
        key
    }

    fn run(&self) {
        let mut state = lock(&self.state);
        loop {
            let now = Instant::now();
            // One at a time, for the lock is released in between: a waker may drop another deadline, whose waker is
            // removed then.
            if let Some(due) = state.wakers.first_entry().filter(|e| e.key().0 <= now) {
                let waker = due.remove();
                // The waker is the user's code, which may register another timeout: not under the lock.
                drop(state);
                // A waker that panics must not end the thread, or every later timeout of the process is lost.
                contained("a waker of a wait with a timeout panicked", || waker.wake());
                state = lock(&self.state);
                continue;
            }
            let next = state.wakers.first_key_value().map(|((at, _), _)| *at);
            state = match next {
                // `at` is later than `now`, or it would have been due above. A wake-up without cause only starts the
                // loop again.
                Some(at) => {
                    let waited = self.earlier.wait_timeout(state, at - now);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self
                    .earlier
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

fn timer() -> &'static Timer {
    static TIMER: OnceLock<Timer> = OnceLock::new();
    TIMER.get_or_init(Timer::default)
}

#[cfg(test)]
mod tests;
