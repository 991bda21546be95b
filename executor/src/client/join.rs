//! Joins a broker and a fleet to a run: their parts are made ready on the executor's thread, and run there beside the
//! dispatcher. Neither depends on the other.
//!
//! A run's queues are made before anything is submitted, so that wrong names, missing rights and a service that is not
//! there are errors of `build()`. Whatever the run made is removed when it ends, also when it could not start.

mod parts;
mod prepare;

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use podpool_core::broker::Broker;
use podpool_core::notice;
use tokio::sync::oneshot;

use crate::client::{at_exit, signals};
use crate::error::BuildError;
use crate::error::start::failed;
use crate::fleet::Fleet;
use crate::master::handle::Handle;
use crate::master::home::Home;
use crate::master::ledger::OpenedRun;
use crate::master::mailbox::{Inbox, Mailbox};
use crate::master::observed::Observed;
use crate::master::settings::RunSettings;

/// A run, described and checked, with the broker that carries its messages and the fleet that starts its workers.
pub(crate) struct Run {
    pub(crate) settings: RunSettings,
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) fleet: Box<dyn Fleet>,
    /// Most workers at a time.
    pub(crate) workers: u32,
    /// The URL of the store of large payloads.
    pub(crate) payload_store: Option<String>,
    /// The run in its ledger; none without one.
    pub(crate) ledger: Option<OpenedRun>,
    /// The settings for workers in other processes; None for a worker in this process.
    pub(crate) elsewhere: Option<Elsewhere>,
}

/// The settings of a run whose workers are other processes.
pub(crate) struct Elsewhere {
    /// The key of the run's MACs.
    pub(crate) key: [u8; 32],
    /// Which master of the run this is.
    pub(crate) epoch: u64,
    /// The time after which everything of the run may be deleted.
    pub(crate) lasts: Duration,
    /// From SIGTERM to SIGKILL of a worker.
    pub(crate) termination: Duration,
    /// How long a worker without work waits for a message of its master.
    pub(crate) idle: Duration,
    /// This program's build; empty where builds are not compared.
    pub(crate) build: String,
    /// Whether workers of another build are refused.
    pub(crate) same_build: bool,
    /// Whether workers go on when their master has ended.
    pub(crate) outlives: bool,
}

impl Run {
    fn slots(&self) -> usize {
        self.workers as usize * self.settings.worker.slots as usize
    }
}

/// Starts the executor's thread, which makes the run's queues before anything is submitted.
///
/// Everything that calls a service runs on that thread's runtime: the caller's may be busy or absent.
pub(crate) async fn start(run: Run) -> Result<Handle, BuildError> {
    let home = Home::prepare(&run.settings, run.slots())?;
    let (mailbox, heard) = (home.mailbox(), run.settings.signals);
    let elsewhere = run.elsewhere.is_some();
    // Before the thread starts: the end of `main` then waits for the removal, however early it comes. The guard is
    // dropped on the executor's thread, after `live` has removed the run.
    let present = elsewhere.then(|| at_exit::begin(&mailbox));
    let (ready, prepared) = oneshot::channel();
    let handle = home.start(move |inbox, observed| async move {
        live(run, ready, inbox, observed).await;
        drop(present);
    })?;
    // The thread may make something already. A signal in between is a command in the mailbox, which `live` or the
    // dispatcher reads first, so the run is removed.
    if heard {
        hear(&mailbox, elsewhere)?;
    }
    let gone = || io::Error::other("the executor's thread ended");
    prepared
        .await
        .map_err(|_| failed("prepare the run")(gone()))??;
    Ok(handle)
}

/// Subscribes the run to signals. On one machine SIGTERM is not needed: slots exit with their master.
fn hear(mailbox: &Arc<Mailbox>, elsewhere: bool) -> Result<(), BuildError> {
    signals::watch(mailbox).map_err(failed("start the thread that handles Ctrl-C"))?;
    if elsewhere {
        signals::watch_termination(mailbox)
            .map_err(failed("start the thread that handles SIGTERM"))?;
    }
    Ok(())
}

/// Prepares the run and runs it, on the executor's thread, until its end.
async fn live(
    run: Run,
    ready: oneshot::Sender<Result<(), BuildError>>,
    inbox: Inbox,
    observed: Arc<Observed>,
) {
    let elsewhere = run.elsewhere.is_some();
    let making = AtomicBool::new(false);
    let mut preparing = pin!(prepare::prepare(run, &making));
    // The future is pinned outside, so that a command cancels nothing that is made: it is awaited to its end then. To
    // drop it would leave queues that were made halfway. Not `biased`: both orders give the same result.
    let prepared = tokio::select! {
        prepared = &mut preparing => prepared,
        () = inbox.commanded() => {
            let interrupted = elsewhere && inbox.signal().is_some();
            // The push of an image may take minutes, and leaves nothing of the run.
            if interrupted && !making.load(Ordering::Relaxed) {
                let reason = "it was interrupted before anything of it was made";
                // The future of `build()` may have been dropped.
                ready.send(Err(failed("prepare the run")(reason))).ok();
                return;
            }
            // The run is made completely, so that it can be removed completely.
            if interrupted {
                notice::trouble("interrupted while the run is made; it is removed as soon as it is");
            }
            preparing.await
        }
    };
    let prepared = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            // The future of `build()` may have been dropped.
            ready.send(Err(error)).ok();
            return;
        }
    };
    if ready.send(Ok(())).is_err() {
        // The caller has dropped the future of `build()`, so there is no handle: the queues are removed. A queue that
        // cannot be removed has a deadline as a label, and `gc::remove` removes it.
        prepared.unmake().await;
        return;
    }
    prepared.run(inbox, observed).await;
}
