//! Runs whose name and key a test knows: it can read, lose and forge their messages, and take them over.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use podpool::core::envelope::{Control, MacKey, Message};
use podpool::pubsub::{Connection, PubSubQueue, QueueNames, RunNames};
use podpool::{Builder, RunId};
use tokio::sync::watch;
use tokio::time::timeout;

use super::desk::BOUND;
use super::{LEASE, Pods};
use crate::tap::Tap;

/// A run.
#[derive(Clone, Debug)]
pub struct KnownRun {
    /// Its name.
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
    /// The key that authenticates its messages.
    #[must_use]
    pub const fn authenticate(&self) -> MacKey {
        MacKey::Keyed(self.key)
    }

    /// A pool of this run: the master of this epoch.
    pub fn builder(&self, pods: &Pods, workers: usize, epoch: u64) -> Builder {
        let builder = pods.builder(workers);
        builder.succeed(self.run.clone(), self.key, epoch)
    }

    /// Its topics and subscriptions.
    ///
    /// # Panics
    /// Never: the prefix is the default one.
    #[must_use]
    pub fn names(&self) -> RunNames {
        RunNames::own("podpool", &self.run).unwrap()
    }

    /// One of its queues, from outside.
    ///
    /// # Panics
    /// Without an emulator.
    #[must_use]
    pub fn queue(&self, names: &QueueNames) -> PubSubQueue {
        let connection = Connection::builder().open().unwrap();
        PubSubQueue::new(&connection, names, LEASE, None).unwrap()
    }
}

/// Reads what a master sends to its workers, and loses the first messages that a test names.
#[derive(Clone, Debug)]
pub struct Overheard {
    mac_key: MacKey,
    is_meant: fn(&Control) -> bool,
    to_lose: Arc<AtomicUsize>,
    told: Arc<watch::Sender<Vec<Control>>>,
}

impl Overheard {
    /// Loses nothing.
    #[must_use]
    pub fn new(run: &KnownRun) -> Self {
        Self::losing(run, 0, |_| false)
    }

    /// Loses the first so many of the messages that are meant.
    #[must_use]
    pub fn losing(run: &KnownRun, messages: usize, is_meant: fn(&Control) -> bool) -> Self {
        Self {
            mac_key: run.authenticate(),
            is_meant,
            to_lose: Arc::new(messages.into()),
            told: Arc::new(watch::Sender::new(Vec::new())),
        }
    }

    /// A pool that is overheard.
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

    /// Waits until all that was sent is as wanted.
    ///
    /// # Panics
    /// If it never is; `what` names it.
    pub async fn until(&self, what: &str, mut wanted: impl FnMut(&[Control]) -> bool) {
        let mut told = self.told.subscribe();
        let heard = told.wait_for(|told| wanted(told));
        assert!(
            timeout(BOUND, heard).await.is_ok(),
            "{what} was not told within {BOUND:?}"
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
