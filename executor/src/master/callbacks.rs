//! The thread that runs the callbacks of futures, in the order in which they were added.
//!
//! The thread is neither one of the user's nor the executor's, so that a slow callback delays no task and no poll. It
//! starts with the first callback and ends when executor, futures and handles are gone.

use std::cell::Cell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use podpool_core::forked::Origin;
use podpool_core::panics::contained;
use tokio::sync::oneshot;

use crate::deadline::{Deadline, later};
use crate::lock::lock;

/// A callback with its handle bound in.
pub(crate) type Callback = Box<dyn FnOnce() + Send>;

/// How long a shutdown waits for one callback.
// A callback may wait for the very shutdown that waits for it; without a bound both would hang. At half, callbacks that
// upload a result are more often cut off by the end of the program; at double such a circle stands still twice as long.
const LONGEST: Duration = Duration::from_secs(60);
/// How long after a refused thread another one is tried.
// The system is short of threads or memory: a try a second costs nothing, and callbacks of ended tasks are never
// urgent.
const ANOTHER_THREAD: Duration = Duration::from_secs(1);

thread_local! {
    /// The executor whose callbacks this thread runs; 0 on every other thread.
    // Compared with the number of an executor: a callback may wait for the callbacks of another one.
    static HERE: Cell<u64> = const { Cell::new(0) };
}

/// The sending end to the callbacks' thread of one executor.
#[derive(Clone, Default)]
pub(crate) struct Callbacks(Arc<Shared>);

struct Shared {
    /// The executor's number in this process, from 1.
    number: u64,
    pending: Mutex<Pending>,
    /// How many callbacks have run.
    ran: Arc<AtomicU64>,
}

impl Default for Shared {
    fn default() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            // Relaxed: the numbers must differ, and order nothing.
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            pending: Mutex::default(),
            ran: Arc::default(),
        }
    }
}

#[derive(Default)]
struct Pending {
    /// The channel to the thread, once it runs.
    thread: Option<Sender<Callback>>,
    /// Callbacks that wait because no thread could be started yet.
    kept: Vec<Callback>,
    /// Whether another thread is to be tried.
    trying: bool,
}

impl Callbacks {
    /// Queues a callback. It never runs on the calling thread: that may be the executor's, which must not wait for the
    /// user's code.
    pub(crate) fn queue(&self, job: Callback) {
        // The lock ends before the error is logged: a subscriber is the program's, and may add a callback itself.
        let refused = {
            let mut pending = lock(&self.0.pending);
            // Through the same list in any case, so that callbacks which waited for a thread keep their order.
            pending.kept.push(job);
            self.hand_over(&mut pending).err()
        };
        if let Some(error) = refused {
            self.try_again(&error);
        }
    }

    /// Callbacks wait until a thread can be started, or until the shutdown runs them.
    fn try_again(&self, error: &io::Error) {
        // One timer, however many callbacks are refused meanwhile.
        let trying = std::mem::replace(&mut lock(&self.0.pending).trying, true);
        if trying {
            return;
        }
        tracing::error!(%error, "cannot start the thread for callbacks; the callbacks wait, and the start is repeated every second");
        self.again();
    }

    fn again(&self) {
        let callbacks = self.clone();
        later(ANOTHER_THREAD, move || {
            let mut pending = lock(&callbacks.0.pending);
            // A shutdown may have run what was kept: then no thread is needed.
            let refused = !pending.kept.is_empty() && callbacks.hand_over(&mut pending).is_err();
            pending.trying = refused;
            drop(pending);
            if refused {
                callbacks.again();
            }
        });
    }

    /// Gives the thread what was kept for it, and starts it if it does not run.
    fn hand_over(&self, pending: &mut Pending) -> io::Result<()> {
        if pending.thread.is_none() {
            pending.thread = Some(start(self.0.number, Arc::clone(&self.0.ran))?);
        }
        if let Some(thread) = &pending.thread {
            for job in pending.kept.drain(..) {
                // The thread ends only when this sender is dropped, so it receives everything.
                thread.send(job).ok();
            }
        }
        Ok(())
    }

    /// Resolves when every callback queued so far has run. In a callback it resolves at once, because the thread would
    /// wait for itself. A callback that runs for a minute is not waited for any longer: it may itself wait for the
    /// caller.
    pub(crate) async fn idle(&self) {
        if HERE.get() == self.0.number {
            return;
        }
        let Some(mut ran) = self.mark() else {
            return;
        };
        // Relaxed: the number only shows progress, nothing else is read by it.
        let mut before = self.0.ran.load(Ordering::Relaxed);
        let mut deadline = Deadline::after(LONGEST);
        let over = poll_fn(|cx| {
            // An error means that the mark was dropped with its thread: nothing is left to run.
            if Pin::new(&mut ran).poll(cx).is_ready() {
                return Poll::Ready(false);
            }
            // The time counts for each callback, so many short ones may take longer in all.
            // In a loop, because the new deadline must be polled before this returns: else it would wake nothing.
            while Pin::new(&mut deadline).poll(cx).is_ready() {
                let now = self.0.ran.load(Ordering::Relaxed);
                if now == before {
                    return Poll::Ready(true);
                }
                before = now;
                deadline = Deadline::after(LONGEST);
            }
            Poll::Pending
        });
        if over.await {
            tracing::warn!(
                "a callback of a future has run for {LONGEST:?}; the shutdown does not wait for it or for the callbacks after it"
            );
        }
    }

    /// Queues a mark after all callbacks; none if there is nothing to wait for.
    fn mark(&self) -> Option<oneshot::Receiver<()>> {
        let mut pending = lock(&self.0.pending);
        if pending.thread.is_none() && pending.kept.is_empty() {
            return None;
        }
        let (done, ran) = oneshot::channel();
        // By the list too: callbacks that were queued before run before the mark, with a thread or without.
        pending.kept.push(Box::new(move || {
            // The receiver may have been dropped.
            let _ = done.send(());
        }));
        if self.hand_over(&mut pending).is_err() {
            // The caller is shutting down, on a thread of the program's: the last one that can run them.
            // Without the lock: a callback may queue another one.
            let kept = std::mem::take(&mut pending.kept);
            drop(pending);
            kept.into_iter().for_each(run_here);
        }
        Some(ran)
    }
}

impl fmt::Debug for Callbacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callbacks")
            .field("started", &lock(&self.0.pending).thread.is_some())
            .finish()
    }
}

fn start(number: u64, ran: Arc<AtomicU64>) -> io::Result<Sender<Callback>> {
    #[cfg(test)]
    if tests::REFUSES.get() {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    let (sender, jobs) = mpsc::channel();
    thread::Builder::new()
        .name("podpool-callbacks".to_owned())
        .spawn(move || {
            HERE.set(number);
            run_all(&jobs, &ran);
        })?;
    Ok(sender)
}

fn run_all(jobs: &Receiver<Callback>, ran: &AtomicU64) {
    let origin = Origin::here();
    while let Ok(job) = jobs.recv() {
        run_here(job);
        // A child that a callback forked would run the next ones again. Before the count, and after each callback: the
        // child comes back from the callback like its parent.
        origin.end_copy();
        // Relaxed: see `idle`, the only reader.
        ran.fetch_add(1, Ordering::Relaxed);
    }
}

/// Runs a callback; a panic is logged.
fn run_here(job: Callback) {
    contained(
        "a callback of a future panicked; the callbacks after it still run",
        job,
    );
}

#[cfg(test)]
mod tests;
