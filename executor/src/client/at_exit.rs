//! The end of `main`: the objects of a run on a cluster are removed before the process exits.
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

/// Longest delay of the end of `main`: a removal waits for pods, and those use up to their grace.
// Twice the default grace of a worker, 30 s, which leaves as much for the deletions. At half, pods that use up their
// grace would leave their run behind; a longer grace does so in any case, and then the labels have the deadline.
const LONGEST: Duration = Duration::from_secs(60);

/// The executors of the program whose workers are on a cluster.
static RUNS: Runs = Runs::new();

/// Waits until no executor of the program has objects on a cluster.
pub(crate) fn end() {
    RUNS.end(LONGEST);
}

/// Counts an executor while the guard exists. The executor's thread owns the guard.
pub(crate) fn begin(mailbox: &Arc<Mailbox>) -> Present {
    RUNS.begin(mailbox)
}

struct Runs {
    present: Mutex<Vec<Weak<Mailbox>>>,
    left: Condvar,
}

/// An executor that may have objects on a cluster.
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
            "main has returned; removing the run's objects from the cluster"
        );
        // An explicit shutdown, because a handle in a static is never dropped. The receiver of the answer is dropped at
        // once: the guard of the executor's thread, and not its answer, shows that the thread has ended.
        for mailbox in present.iter().filter_map(Weak::upgrade) {
            let (done, _) = oneshot::channel();
            mailbox.command(Command::Shutdown {
                behavior: ShutdownBehavior::Abort,
                done,
            });
        }
        // Woken by each executor that is done; the time counts for all together. The lock is held from the look at the
        // list until the wait releases it, so that no end is missed in between.
        let some = |present: &mut Vec<Weak<Mailbox>>| !present.is_empty();
        let waited = self.left.wait_timeout_while(present, longest, some);
        let (_present, outcome) = waited.unwrap_or_else(PoisonError::into_inner);
        if outcome.timed_out() {
            warn!(
                "a run was not removed within {longest:?}; its remaining objects are labelled with its deadline"
            );
        }
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        let mut present = lock(&self.runs.present);
        let ours = |other: &Weak<Mailbox>| Weak::ptr_eq(other, &self.mailbox);
        if let Some(at) = present.iter().position(ours) {
            // The order of executors is of no use.
            present.swap_remove(at);
        }
        self.runs.left.notify_all();
    }
}

#[cfg(test)]
mod tests;
