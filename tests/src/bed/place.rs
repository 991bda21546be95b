//! Where a bed's tasks run and what carries them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use podpool::options::{Isolation, LocalOptions};
use podpool::testing::Builder as _;
use podpool::{Builder, PodPoolExecutor, RunId};
use tokio::time::{Instant, sleep};

use crate::directory::{self, DirectoryBroker};
#[cfg(feature = "kubernetes")]
use crate::pods::Pods;
#[cfg(feature = "pubsub")]
use crate::pubsub::emulator;

/// How long the directory of a run may stay after the end of its pool, and the interval between two checks.
const REMOVED: Duration = Duration::from_secs(40);
const LOOK: Duration = Duration::from_millis(20);

/// Where tasks run, and over what.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// Child processes, over memory.
    Process,
    /// Threads, over memory.
    InProcess,
    /// Worker processes, over a directory.
    Directory,
    /// Child processes, over Pub/Sub.
    #[cfg(feature = "pubsub")]
    PubSub,
    /// Pods, over Pub/Sub.
    #[cfg(feature = "kubernetes")]
    Pods(Pods),
}

impl Place {
    /// The name, for people.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::InProcess => "in-process",
            Self::Directory => "directory",
            #[cfg(feature = "pubsub")]
            Self::PubSub => "pub/sub",
            #[cfg(feature = "kubernetes")]
            Self::Pods(_) => "pods",
        }
    }

    /// How much more time than in memory everything may take.
    pub(super) const fn patience(&self) -> u32 {
        match self {
            Self::Process | Self::InProcess => 1,
            Self::Directory => 2,
            #[cfg(feature = "pubsub")]
            Self::PubSub => 2,
            #[cfg(feature = "kubernetes")]
            Self::Pods(_) => 3,
        }
    }

    /// Whether the queue is this process's memory.
    pub(super) const fn is_in_memory(&self) -> bool {
        matches!(self, Self::Process | Self::InProcess)
    }

    /// This machine's address as pods reach it; `None` where tasks run on this machine.
    pub(super) fn host(&self) -> Option<&str> {
        match self {
            #[cfg(feature = "kubernetes")]
            Self::Pods(pods) => Some(pods.host()),
            _ => None,
        }
    }

    /// A pool with so many slots of one worker, or so many workers.
    pub(super) fn builder(&self, slots: usize) -> Builder {
        let here = |isolation| {
            let builder = PodPoolExecutor::builder().max_workers(slots);
            builder
                .local(LocalOptions::default().isolation(isolation))
                .signals(false)
        };
        match self {
            Self::Process => here(Isolation::Process),
            Self::InProcess => here(Isolation::InProcess),
            Self::Directory => over_a_directory(slots),
            #[cfg(feature = "pubsub")]
            Self::PubSub => here(Isolation::Process).lease(emulator::LEASE),
            #[cfg(feature = "kubernetes")]
            Self::Pods(pods) => pods.builder(slots),
        }
    }

    /// Removes what the suite made for a run, and checks that nothing is left of the run.
    pub(super) async fn clear(&self, run: &RunId) -> Result<(), String> {
        match self {
            Self::Process | Self::InProcess => Ok(()),
            Self::Directory => until_removed(&directory::root().join(run.as_str())).await,
            #[cfg(feature = "pubsub")]
            Self::PubSub => {
                crate::pubsub::run::delete(run).await;
                match crate::pubsub::left::left(run).await {
                    left if left.is_empty() => Ok(()),
                    left => Err(format!("left of run {run}: {left:?}")),
                }
            }
            #[cfg(feature = "kubernetes")]
            Self::Pods(_) => {
                let cleared = crate::pods::left::until_nothing_is_left(run).await;
                cleared.map_err(|left| format!("left of run {run}: {left:?}"))
            }
        }
    }
}

/// Two workers where the number of slots is even, else one: rows then also run over several workers.
fn over_a_directory(slots: usize) -> Builder {
    let workers = if slots > 0 && slots.is_multiple_of(2) {
        2
    } else {
        slots.min(1)
    };
    let each = u32::try_from(slots.checked_div(workers).unwrap_or(1));
    PodPoolExecutor::builder()
        .max_workers(workers)
        .signals(false)
        .broker(Arc::new(DirectoryBroker::new(directory::root())))
        .worker_slots(each.unwrap_or(u32::MAX))
        .worker_arguments(directory::WORKER_ARGUMENTS)
}

/// Waits for the removal of a run's directory: a pool that was dropped removes its run in the background.
async fn until_removed(run: &Path) -> Result<(), String> {
    let end = Instant::now() + REMOVED;
    while run.exists() {
        if Instant::now() > end {
            return Err(format!("{} is left", run.display()));
        }
        sleep(LOOK).await;
    }
    Ok(())
}
