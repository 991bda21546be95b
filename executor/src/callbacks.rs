//! The thread that runs the callbacks of futures, in the order in which they were added.
//!
//! It is neither the user's nor the executor's, so that a slow callback delays no task and no poll.
//! It starts with the first callback and ends when executor, futures and handles are gone.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, OnceLock};
use std::thread;

use tokio::sync::oneshot;

/// A callback with its handle bound in.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// The door to the callbacks' thread of one executor.
#[derive(Clone, Default)]
pub(crate) struct Callbacks(Arc<OnceLock<Option<Sender<Job>>>>);

impl Callbacks {
    /// Queues a callback. It comes back only if the system refused the thread: then [`run_here`] without any lock.
    #[must_use]
    pub(crate) fn queue(&self, job: Job) -> Option<Job> {
        match self.0.get_or_init(start) {
            Some(sender) => sender.send(job).err().map(|refused| refused.0),
            None => Some(job),
        }
    }

    /// Resolves when every callback queued so far has run. A callback must not wait for it.
    pub(crate) async fn idle(&self) {
        if self.0.get().is_none() {
            return;
        }
        let (done, ran) = oneshot::channel();
        let job = Box::new(move || {
            let _ = done.send(());
        });
        // Refused and dropped, it answers at once: without a thread nothing is queued.
        drop(self.queue(job));
        // An error means that the job was dropped with its thread: nothing is left to run.
        let _ = ran.await;
    }
}

impl fmt::Debug for Callbacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callbacks")
            .field("started", &self.0.get().is_some())
            .finish()
    }
}

fn start() -> Option<Sender<Job>> {
    let (sender, jobs) = mpsc::channel();
    let thread = thread::Builder::new().name("podpool-callbacks".to_owned());
    match thread.spawn(move || run_all(&jobs)) {
        Ok(_) => Some(sender),
        Err(error) => {
            tracing::error!(%error, "cannot start the thread of the callbacks; they run where their task ends");
            None
        }
    }
}

fn run_all(jobs: &Receiver<Job>) {
    while let Ok(job) = jobs.recv() {
        run_here(job);
    }
}

/// Runs a callback; a panic is logged.
pub(crate) fn run_here(job: Job) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(job)) {
        let message = panic
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no message");
        tracing::error!(
            message,
            "a callback of a future panicked; the next ones run"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn callbacks_run_in_order_elsewhere_and_survive_a_panic() {
        let callbacks = Callbacks::default();
        let (sender, seen) = mpsc::channel();
        for n in 0..100 {
            let sender = sender.clone();
            let refused = callbacks.queue(Box::new(move || {
                sender.send((n, thread::current().id())).unwrap();
                assert_ne!(n, 50, "callbacks may panic");
            }));
            assert!(refused.is_none());
        }
        tokio::time::timeout(Duration::from_secs(10), callbacks.idle())
            .await
            .expect("every callback runs");
        let seen: Vec<_> = seen.try_iter().collect();
        assert!(seen.iter().map(|(n, _)| *n).eq(0..100));
        assert!(seen.iter().all(|(_, id)| *id != thread::current().id()));
    }

    #[test]
    fn the_thread_ends_with_its_last_door() {
        let callbacks = Callbacks::default();
        let (alive, ended) = mpsc::channel::<()>();
        let refused = callbacks.queue(Box::new(move || {
            thread_local!(static ALIVE: std::cell::OnceCell<Sender<()>> = const { std::cell::OnceCell::new() });
            ALIVE.with(|cell| cell.set(alive).expect("it runs once"));
        }));
        assert!(refused.is_none());
        drop(callbacks);
        let end = ended.recv_timeout(Duration::from_secs(10));
        assert_eq!(end, Err(mpsc::RecvTimeoutError::Disconnected));
    }
}
