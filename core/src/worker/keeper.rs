//! The keeper renews leases on a thread of its own, so that nothing a worker or a task does can starve it.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, interval, sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{debug, warn};

use crate::inherited::Inherited;
use crate::lock::lock;
use crate::panics::panic_text;
use crate::queue::{LeaseId, Queue, QueueError};
use crate::slot::is_shortage;
use crate::unstarted::Unstarted;

use super::lease::Leases;

/// How long a start is tried again while the system is short of something, and how often.
// The same minute, and the same pauses, as for a shortage of slots (`state/shortage.rs`): what passes for one passes
// for the other.
const START_WITHIN: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(5);
/// What the keeper reports to its worker.
#[derive(Debug)]
pub(super) enum News {
    /// These leases are lost.
    Lost(Vec<LeaseId>),
    /// The thread has ended by itself, for this reason: nothing is renewed any more.
    Ended(String),
}

impl News {
    /// The thread ended without a reason.
    pub(super) fn gone() -> Self {
        Self::Ended("the thread that renews leases has ended".to_owned())
    }
}

/// The handle of the keeper's thread; dropping it ends the thread.
///
/// Holding and forgetting a lease wakes no thread: the keeper looks at its leases a few times in each lease.
pub(super) struct Keeper {
    leases: Arc<Mutex<Leases>>,
    _stop: DropGuard,
}

impl Keeper {
    /// Starts the thread. Lost leases are named on `news`, and so is the thread's end, unless the worker requested it.
    pub(super) fn start(
        queue: Arc<dyn Queue>,
        news: mpsc::UnboundedSender<News>,
    ) -> io::Result<Self> {
        let leases = Arc::new(Mutex::new(Leases::new(queue.limits().lease)));
        let stop = CancellationToken::new();
        // Made by the caller and not on the new thread: a refusal of the system, such as for want of descriptors, is
        // then an error of `start`, and `start_patiently` repeats the start.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map(Unstarted::new)?;
        let (shared, stopped) = (leases.clone(), stop.clone());
        let events = Inherited::from_here();
        #[cfg(test)]
        tests::refuse()?;
        thread::Builder::new()
            .name("podpool-lease".into())
            .spawn(move || {
                let kept = stopped.run_until_cancelled(keep(queue, shared, news.clone()));
                let kept = || events.within(|| runtime.block_on(kept));
                if let Err(panic) = catch_unwind(AssertUnwindSafe(kept)) {
                    let reason = panic_text(panic);
                    let reason = format!("the thread that renews leases panicked: {reason}");
                    // A send fails only where the worker has ended, which needs no report.
                    news.send(News::Ended(reason)).ok();
                }
            })?;
        Ok(Self {
            leases,
            _stop: stop.drop_guard(),
        })
    }

    /// Starts the thread; while the system is short of descriptors or threads it tries again, for a minute at most.
    pub(super) async fn start_patiently(
        queue: &Arc<dyn Queue>,
        news: &mpsc::UnboundedSender<News>,
    ) -> io::Result<Self> {
        let began = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            match Self::start(queue.clone(), news.clone()) {
                Err(error) if is_shortage(&error) && began.elapsed() < START_WITHIN => {
                    warn!(%error, "the thread that renews leases cannot be started; it is tried again in {pause:?}");
                    sleep(pause).await;
                    pause = (pause * 2).min(LAST_PAUSE);
                }
                started => return started,
            }
        }
    }

    /// Renews this lease from now on; the call that took it was sent at `since`.
    pub(super) fn hold(&self, lease: LeaseId, since: Instant) {
        lock(&self.leases).hold(lease, since);
    }

    /// Lets it go.
    pub(super) fn forget(&self, lease: &LeaseId) {
        lock(&self.leases).forget(lease);
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").finish_non_exhaustive()
    }
}

async fn keep(
    queue: Arc<dyn Queue>,
    leases: Arc<Mutex<Leases>>,
    news: mpsc::UnboundedSender<News>,
) {
    let tick = lock(&leases).tick();
    let mut ticks = interval(tick);
    loop {
        ticks.tick().await;
        // Leases are renewed in one call for all that are due, so that a thousand batches cost as few calls as one.
        let mut lost = Vec::new();
        // Before the call: the service may count the lease from any moment between sending and answer, and the earliest is the
        // safe one.
        let sent = Instant::now();
        // The guard ends with the statement: the worker locks the same leases for each batch, and must not wait for a
        // call to the queue.
        let due = lock(&leases).due(sent);
        if !due.is_empty() {
            // A queue that does not answer must not hold up the report of lost leases. One tick at most: the next round
            // is due then. A call that is dropped may still have renewed its leases, which is safe: `since` stays at
            // the older time.
            let answers = timeout(tick, queue.extend(&due)).await.unwrap_or_else(|_| {
                let reason = "no answer to a renewal".to_owned();
                vec![
                    Err(QueueError::Unavailable {
                        queue: "the queue".to_owned(),
                        reason
                    });
                    due.len()
                ]
            });
            // Locked once for all answers. A lease that the worker forgot since the call was sent is passed over by
            // `renewed`.
            let mut leases = lock(&leases);
            for (lease, answer) in due.iter().zip(&answers) {
                if answer.is_ok() {
                    debug!(%lease, "lease extended");
                }
                if leases.renewed(lease, sent, answer) {
                    lost.push(lease.clone());
                }
            }
        }
        // After the answers, and by a fresh look at the clock: a renewal that succeeded at the last moment counts, and
        // one that took long does not hide the end of another lease.
        lost.extend(lock(&leases).expired(Instant::now()));
        if !lost.is_empty() {
            // A send fails only where the worker has ended.
            news.send(News::Lost(lost)).ok();
        }
    }
}

#[cfg(test)]
mod tests;
