//! The end of `main`: what runs on a cluster is removed before the process goes.
//!
//! A `main` that returns early, by `?` or a panic, drops its executors without waiting for them. Child processes end
//! with this one; Jobs, topics and subscriptions do not.

use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::{info, warn};

use crate::lock::lock;
use crate::master::command::{Command, ShutdownBehavior};
use crate::master::mailbox::Mailbox;

/// The longest that `main` is held up: a removal waits for pods, and those for their grace.
const LONGEST: Duration = Duration::from_secs(60);

/// The executors of the program whose workers are on a cluster.
static RUNS: Runs = Runs::new();

/// Waits until no executor of the program has anything on a cluster.
pub(crate) fn end() {
    RUNS.end(LONGEST);
}

/// Counts an executor for as long as the guard lives. Its thread keeps the guard.
pub(crate) fn begin(mailbox: &Arc<Mailbox>) -> Present {
    RUNS.begin(mailbox)
}

struct Runs {
    present: Mutex<Vec<Weak<Mailbox>>>,
    left: Condvar,
}

/// An executor that may have something on a cluster.
pub(crate) struct Present {
    runs: &'static Runs,
    mailbox: Weak<Mailbox>,
}

impl Runs {
    const fn new() -> Self {
        Self {
            present: Mutex::new(Vec::new()),
            left: Condvar::new(),
        }
    }

    fn begin(&'static self, mailbox: &Arc<Mailbox>) -> Present {
        let mailbox = Arc::downgrade(mailbox);
        let mut present = lock(&self.present);
        present.push(mailbox.clone());
        Present {
            runs: self,
            mailbox,
        }
    }

    fn end(&self, longest: Duration) {
        let present = lock(&self.present);
        if present.is_empty() {
            return;
        }
        info!(
            executors = present.len(),
            "main has ended; removing what is on the cluster"
        );
        // A handle in a static is never dropped.
        for mailbox in present.iter().filter_map(Weak::upgrade) {
            let (done, _) = oneshot::channel();
            mailbox.command(Command::Shutdown {
                behavior: ShutdownBehavior::Abort,
                done,
            });
        }
        let some = |present: &mut Vec<Weak<Mailbox>>| !present.is_empty();
        let waited = self.left.wait_timeout_while(present, longest, some);
        let (_present, outcome) = waited.unwrap_or_else(PoisonError::into_inner);
        if outcome.timed_out() {
            warn!(
                "a run was not removed within {longest:?}; what is left bears its deadline as a label"
            );
        }
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        let mut present = lock(&self.runs.present);
        let ours = |other: &Weak<Mailbox>| Weak::ptr_eq(other, &self.mailbox);
        if let Some(at) = present.iter().position(ours) {
            present.swap_remove(at);
        }
        self.runs.left.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(20);

    fn runs() -> &'static Runs {
        Box::leak(Box::new(Runs::new()))
    }

    #[test]
    fn without_executors_nobody_waits() {
        let runs = runs();
        let (mailbox, _inbox) = Mailbox::new();
        drop(runs.begin(&mailbox));
        let began = Instant::now();
        runs.end(LONG);
        assert!(began.elapsed() < LONG);
    }

    #[test]
    fn an_executor_is_told_and_waited_for() {
        let runs = runs();
        let (mailbox, inbox) = Mailbox::new();
        let present = runs.begin(&mailbox);
        let other = runs.begin(&Mailbox::new().0);
        let executor = std::thread::spawn(move || {
            let (mut submissions, mut commands) = (Vec::new(), Vec::new());
            while commands.is_empty() {
                inbox.drain(&mut submissions, &mut commands);
                std::thread::yield_now();
            }
            drop((present, other));
            commands
        });
        let began = Instant::now();
        runs.end(LONG);
        assert!(began.elapsed() < LONG);
        let commands = executor.join().unwrap();
        assert!(matches!(
            commands[..],
            [Command::Shutdown {
                behavior: ShutdownBehavior::Abort,
                ..
            }]
        ));
    }

    #[test]
    fn an_executor_that_hangs_is_not_waited_for_forever() {
        let runs = runs();
        let (mailbox, _inbox) = Mailbox::new();
        let _present = runs.begin(&mailbox);
        let began = Instant::now();
        runs.end(SHORT);
        assert!(began.elapsed() >= SHORT);
    }
}
