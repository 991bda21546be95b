//! The thread that runs the callbacks of futures, in the order in which they were added.
//!
//! It is neither the user's nor the executor's, so that a slow callback delays no task and no poll.
//! It starts with the first callback and ends when executor, futures and handles are gone.

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
const LONGEST: Duration = Duration::from_secs(60);
/// How long after a refused thread another one is tried.
const ANOTHER_THREAD: Duration = Duration::from_secs(1);

thread_local! {
    /// The executor whose callbacks this thread runs; 0 on every other thread.
    static HERE: Cell<u64> = const { Cell::new(0) };
}

/// The door to the callbacks' thread of one executor.
#[derive(Clone, Default)]
pub(crate) struct Callbacks(Arc<Shared>);

struct Shared {
    /// Tells executors apart, from 1.
    number: u64,
    pending: Mutex<Pending>,
    /// How many callbacks have run.
    ran: Arc<AtomicU64>,
}

impl Default for Shared {
    fn default() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            pending: Mutex::default(),
            ran: Arc::default(),
        }
    }
}

#[derive(Default)]
struct Pending {
    /// To the thread, once it runs.
    thread: Option<Sender<Callback>>,
    /// Callbacks for which no thread could be had yet.
    kept: Vec<Callback>,
    /// Whether another thread is to be tried.
    trying: bool,
}

impl Callbacks {
    /// Queues a callback. It never runs here: this may be the executor's thread, which waits for nothing of the user's.
    pub(crate) fn queue(&self, job: Callback) {
        let refused = {
            let mut pending = lock(&self.0.pending);
            pending.kept.push(job);
            self.hand_over(&mut pending).err()
        };
        if let Some(error) = refused {
            self.try_again(&error);
        }
    }

    /// Callbacks wait until the system gives a thread, or until the shutdown runs them.
    fn try_again(&self, error: &io::Error) {
        let trying = std::mem::replace(&mut lock(&self.0.pending).trying, true);
        if trying {
            return;
        }
        tracing::error!(%error, "cannot start the thread of the callbacks; they wait, and a thread is tried again every second");
        self.again();
    }

    fn again(&self) {
        let callbacks = self.clone();
        later(ANOTHER_THREAD, move || {
            let mut pending = lock(&callbacks.0.pending);
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
                // It ends only when this sender goes, so it takes everything.
                thread.send(job).ok();
            }
        }
        Ok(())
    }

    /// Resolves when every callback queued so far has run. In a callback it resolves at once: the thread would wait for
    /// itself. One that runs for a minute is not waited for any longer: it may wait for what waits here.
    pub(crate) async fn idle(&self) {
        if HERE.get() == self.0.number {
            return;
        }
        let Some(mut ran) = self.mark() else {
            return;
        };
        let mut before = self.0.ran.load(Ordering::Relaxed);
        let mut deadline = Deadline::after(LONGEST);
        let over = poll_fn(|cx| {
            // An error means that the mark was dropped with its thread: nothing is left to run.
            if Pin::new(&mut ran).poll(cx).is_ready() {
                return Poll::Ready(false);
            }
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
                "a callback of a future has run for {LONGEST:?}; the shutdown does not wait for it and those behind it"
            );
        }
    }

    /// Queues a mark behind all callbacks; none where there is nothing to wait for.
    fn mark(&self) -> Option<oneshot::Receiver<()>> {
        let mut pending = lock(&self.0.pending);
        if pending.thread.is_none() && pending.kept.is_empty() {
            return None;
        }
        let (done, ran) = oneshot::channel();
        pending.kept.push(Box::new(move || {
            // Whoever waited may have gone.
            let _ = done.send(());
        }));
        if self.hand_over(&mut pending).is_err() {
            // This thread is the program's own, and the last that can run them.
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
        // A child that a callback forked would run the next ones again.
        origin.end_copy();
        ran.fetch_add(1, Ordering::Relaxed);
    }
}

/// Runs a callback; a panic is logged.
fn run_here(job: Callback) {
    contained("a callback of a future panicked; the next ones run", job);
}

#[cfg(test)]
mod tests {
    use super::*;

    thread_local! {
        /// Whether the system refuses threads that are started from this one.
        pub(super) static REFUSES: Cell<bool> = const { Cell::new(false) };
    }

    /// Runs a future to its end; a hang fails.
    async fn bounded<T>(future: impl Future<Output = T>) -> T {
        let ended = tokio::time::timeout(Duration::from_secs(10), future).await;
        ended.expect("it does not hang")
    }

    /// Panics when it is dropped.
    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("a bomb");
        }
    }

    #[tokio::test]
    async fn callbacks_run_in_order_elsewhere_and_survive_a_panic() {
        let callbacks = Callbacks::default();
        let (sender, seen) = mpsc::channel();
        for n in 0..100 {
            let sender = sender.clone();
            callbacks.queue(Box::new(move || {
                sender.send((n, thread::current().id())).unwrap();
                assert_ne!(n, 50, "callbacks may panic");
                if n == 70 {
                    std::panic::panic_any(Bomb);
                }
            }));
        }
        bounded(callbacks.idle()).await;
        let seen: Vec<_> = seen.try_iter().collect();
        assert!(seen.iter().map(|(n, _)| *n).eq(0..100));
        assert!(seen.iter().all(|(_, id)| *id != thread::current().id()));
    }

    #[test]
    fn the_thread_ends_with_its_last_door() {
        let callbacks = Callbacks::default();
        let (alive, ended) = mpsc::channel::<()>();
        callbacks.queue(Box::new(move || {
            thread_local!(static ALIVE: std::cell::OnceCell<Sender<()>> = const { std::cell::OnceCell::new() });
            ALIVE.with(|cell| cell.set(alive).expect("it runs once"));
        }));
        drop(callbacks);
        let end = ended.recv_timeout(Duration::from_secs(10));
        assert_eq!(end, Err(mpsc::RecvTimeoutError::Disconnected));
    }

    #[tokio::test]
    async fn a_callback_that_waits_for_all_of_them_does_not_wait_for_itself() {
        let callbacks = Callbacks::default();
        let (sender, seen) = mpsc::channel();
        for n in 0..3 {
            let (sender, inner) = (sender.clone(), callbacks.clone());
            callbacks.queue(Box::new(move || {
                crate::client::future::fake::block_on(inner.idle());
                sender.send(n).unwrap();
            }));
        }
        bounded(callbacks.idle()).await;
        assert_eq!(seen.try_iter().collect::<Vec<_>>(), [0, 1, 2]);
    }

    /// Not even a payload that panics while it is dropped ends the thread.
    #[tokio::test]
    async fn no_panic_ends_the_thread() {
        struct Malicious;
        impl Drop for Malicious {
            fn drop(&mut self) {
                std::panic::panic_any(Self);
            }
        }
        let callbacks = Callbacks::default();
        let (sender, seen) = mpsc::channel();
        callbacks.queue(Box::new(|| std::panic::panic_any(Malicious)));
        callbacks.queue(Box::new(move || sender.send(()).unwrap()));
        bounded(callbacks.idle()).await;
        seen.try_recv().expect("the next one runs");
    }

    #[tokio::test]
    async fn without_a_thread_callbacks_wait_for_one_and_keep_their_order() {
        let callbacks = Callbacks::default();
        let (sender, seen) = mpsc::channel();
        let here = thread::current().id();
        let queue = |n: u32| {
            let sender = sender.clone();
            callbacks.queue(Box::new(move || {
                sender.send((n, thread::current().id() == here)).unwrap();
            }));
        };
        REFUSES.set(true);
        queue(0);
        queue(1);
        assert!(
            seen.try_recv().is_err(),
            "never on the thread that ends a task"
        );
        REFUSES.set(false);
        queue(2);
        bounded(callbacks.idle()).await;
        let ran: Vec<_> = seen.try_iter().collect();
        assert_eq!(ran, [(0, false), (1, false), (2, false)]);

        let callbacks = Callbacks::default();
        REFUSES.set(true);
        let sender = sender.clone();
        callbacks.queue(Box::new(move || {
            sender.send((3, thread::current().id() == here)).unwrap();
        }));
        bounded(callbacks.idle()).await;
        assert_eq!(
            seen.try_recv(),
            Ok((3, true)),
            "whoever shuts down runs them"
        );
    }
}
