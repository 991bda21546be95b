//! Runs whose name and key a test chooses: the test can read, drop and forge the run's messages, and take the run over.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use podpool::pubsub::{Connection, PubSubQueue, QueueNames, RunNames};
use podpool::testing::Builder as _;
use podpool::{Builder, RunId};
use podpool_core::envelope::{Control, MacKey, Message};
use tokio::sync::watch;
use tokio::time::timeout;

use super::desk::BOUND;
use super::{LEASE, Pods};
use crate::tap::Tap;

/// A run.
#[derive(Clone, Debug)]
pub struct KnownRun {
    /// The run's id.
    pub run: RunId,
    key: [u8; 32],
}

impl Default for KnownRun {
    fn default() -> Self {
        Self {
            run: RunId::random(),
            key: [7; 32],
        }
    }
}

impl KnownRun {
    /// The key that authenticates the run's messages.
    #[must_use]
    pub const fn authenticate(&self) -> MacKey {
        MacKey::Keyed(self.key)
    }

    /// A pool of this run: the master of this epoch.
    pub fn builder(&self, pods: &Pods, workers: usize, epoch: u64) -> Builder {
        let builder = pods.builder(workers);
        builder.succeed(self.run.clone(), self.key, epoch)
    }

    /// The names of the run's topics and subscriptions.
    ///
    /// # Panics
    /// Never: the prefix is the default one.
    #[must_use]
    pub fn names(&self) -> RunNames {
        RunNames::own("podpool", &self.run).unwrap()
    }

    /// One of the run's queues, opened beside master and workers.
    ///
    /// # Panics
    /// Without an emulator.
    #[must_use]
    pub fn queue(&self, names: &QueueNames) -> PubSubQueue {
        let connection = Connection::builder().open().unwrap();
        PubSubQueue::new(&connection, names, LEASE, None).unwrap()
    }
}

/// Records the control messages that a master sends to its workers, and drops the first ones that a test chooses.
#[derive(Clone, Debug)]
pub struct Overheard {
    mac_key: MacKey,
    is_meant: fn(&Control) -> bool,
    to_lose: Arc<AtomicUsize>,
    told: Arc<watch::Sender<Vec<Control>>>,
}

impl Overheard {
    /// Drops no message.
    #[must_use]
    pub fn new(run: &KnownRun) -> Self {
        Self::losing(run, 0, |_| false)
    }

    /// Drops the first so many of the messages for which `is_meant` holds.
    #[must_use]
    pub fn losing(run: &KnownRun, messages: usize, is_meant: fn(&Control) -> bool) -> Self {
        Self {
            mac_key: run.authenticate(),
            is_meant,
            to_lose: Arc::new(messages.into()),
            told: Arc::new(watch::Sender::new(Vec::new())),
        }
    }

    /// The pool of `builder`, with its control messages recorded.
    pub fn beside(&self, builder: Builder) -> Builder {
        let overheard = self.clone();
        builder.decorate_queues(Arc::new(move |name, queue| {
            let overheard = overheard.clone();
            match name {
                "control" => {
                    Arc::new(Tap::new(queue).losing(move |message| overheard.hear(message)))
                }
                _ => queue,
            }
        }))
    }

    /// Waits until `wanted` holds for all control messages so far.
    ///
    /// # Panics
    /// If `wanted` does not hold within [`BOUND`]; `what` names the awaited message.
    pub async fn until(&self, what: &str, mut wanted: impl FnMut(&[Control]) -> bool) {
        let mut told = self.told.subscribe();
        let heard = told.wait_for(|told| wanted(told));
        assert!(
            timeout(BOUND, heard).await.is_ok(),
            "{what} was not sent within {BOUND:?}"
        );
    }

    /// How many of the chosen messages were sent, including the lost ones.
    #[must_use]
    pub fn meant(&self) -> usize {
        let told = self.told.borrow();
        told.iter().filter(|told| (self.is_meant)(told)).count()
    }

    /// Records a message, and returns whether it is lost.
    fn hear(&self, message: &Bytes) -> bool {
        let Ok(Message::Control(control)) = Message::read(message.clone(), &self.mac_key) else {
            return false;
        };
        // At zero `checked_sub` gives `None`, `fetch_update` fails, and the message is passed on.
        let left = |left: usize| left.checked_sub(1);
        let lost = (self.is_meant)(&control)
            && self
                .to_lose
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, left)
                .is_ok();
        self.told.send_modify(|told| told.push(control));
        lost
    }
}
