//! Where a bed's tasks run and what carries them.

use podpool::{Builder, Isolation, PodPoolExecutor, RunId};

#[cfg(feature = "kubernetes")]
use crate::pods::Pods;
#[cfg(feature = "pubsub")]
use crate::pubsub::emulator;

/// Where tasks run, and over what.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// Child processes, over memory.
    Process,
    /// Threads, over memory.
    InProcess,
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

    /// This machine's address as tasks see it, where they are elsewhere.
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
            builder.isolation(isolation).signals(false)
        };
        match self {
            Self::Process => here(Isolation::Process),
            Self::InProcess => here(Isolation::InProcess),
            #[cfg(feature = "pubsub")]
            Self::PubSub => here(Isolation::Process).lease(emulator::LEASE),
            #[cfg(feature = "kubernetes")]
            Self::Pods(pods) => pods.builder(slots),
        }
    }

    /// Removes what the suite made for a run, and sees that nothing is left of it.
    #[cfg_attr(
        not(feature = "pubsub"),
        expect(unused_variables, reason = "a local pool leaves nothing")
    )]
    pub(super) async fn clear(&self, run: &RunId) -> Result<(), String> {
        match self {
            Self::Process | Self::InProcess => Ok(()),
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
