//! Signs of the state of a run's own topics and subscriptions, from the calls of its queues: that one is gone, and that
//! messages still come.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::lock::lock;

/// A worker's report to its own master: this topic or subscription is not there.
const VANISHED: &str = "podpool-vanished";

/// The signs of one run's queues. Clones share them.
///
/// Only names that podpool makes have them: [`PubSubQueue::repaired`](super::PubSubQueue::repaired).
#[derive(Clone, Debug, Default)]
pub struct Signs(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    seen: Mutex<Seen>,
    /// A path was added to `Seen::vanished`.
    news: Notify,
    /// Workers were requested.
    expecting: Notify,
    /// The paths that were made again last.
    // A `watch` keeps the newest value alone. A pull whose task does not run between two repairs, which are a second or
    // more apart, misses the first: such a pull ends by its own timeout.
    renewed: watch::Sender<Vec<String>>,
}

#[derive(Debug, Default)]
struct Seen {
    vanished: BTreeSet<String>,
    heard: Option<Instant>,
}

impl Signs {
    /// Waits until a call found a topic or subscription gone, or a worker reported one. Full names, each once however
    /// many calls found it gone. May be dropped: nothing is lost by it.
    pub async fn vanished(&self) -> BTreeSet<String> {
        loop {
            // The set first, then the wait: a `Notify` stores one permit, so a path that is added in between ends the
            // wait at once. A dropped wait passes its permit on, and the paths stay in the set until they are returned.
            let vanished = std::mem::take(&mut self.seen().vanished);
            if !vanished.is_empty() {
                return vanished;
            }
            self.0.news.notified().await;
        }
    }

    /// When a message was last taken from one of the queues, or workers were requested; none before the first.
    #[must_use]
    pub fn heard(&self) -> Option<Instant> {
        self.seen().heard
    }

    /// Notes that this topic or subscription is gone, by its full name.
    pub(crate) fn tell(&self, path: &str) {
        // One notification for each new path: a thousand messages that are refused together cost one look.
        if self.seen().vanished.insert(path.to_owned()) {
            self.0.news.notify_one();
        }
    }

    /// Notes that these were made again, by their full names. A pull on a deleted subscription may never be answered.
    pub(crate) fn renew(&self, paths: &[String]) {
        // `send_replace` stores the value without a receiver too; a receiver that subscribes later counts it as seen.
        if !paths.is_empty() {
            self.0.renewed.send_replace(paths.to_vec());
        }
    }

    /// Waits until this path is made again.
    pub(super) async fn renewed(&self, path: &str) {
        // Subscribed when `select!` first polls this branch, which is when the pull begins: a renewal before that
        // moment concerns an older pull.
        let mut renewed = self.0.renewed.subscribe();
        while renewed.changed().await.is_ok() {
            if renewed.borrow_and_update().iter().any(|it| it == path) {
                return;
            }
        }
    }

    /// Notes that a message was taken.
    pub(crate) fn hear(&self) {
        self.seen().heard = Some(Instant::now());
    }

    /// Notes that workers were requested. They need time to start, so the time without a message counts from now.
    pub(crate) fn expect_workers(&self) {
        // The time before the notification: the guard computes the next look from it as soon as it wakes.
        self.hear();
        self.0.expecting.notify_one();
    }

    /// Waits until workers were requested. May be dropped: nothing is lost by it.
    pub(crate) async fn workers_expected(&self) {
        self.0.expecting.notified().await;
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.0.seen)
    }
}

/// The attributes of a worker's report.
pub(super) fn report(path: &str) -> HashMap<String, String> {
    HashMap::from([(VANISHED.to_owned(), path.to_owned())])
}

/// The name that a message reports as gone, if it is a report. A report has no MAC: any publisher to the results can
/// make the master check its names, and no more.
pub(super) fn reported(attributes: &HashMap<String, String>) -> Option<&str> {
    attributes.get(VANISHED).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_vanished_name_is_reported_once_however_many_calls_find_it_gone() {
        let signs = Signs::default();
        assert_eq!(signs.vanished().now_or_never(), None);
        for path in ["b", "a", "b"] {
            signs.clone().tell(path);
        }
        let told = signs.vanished().now_or_never().unwrap();
        assert_eq!(Vec::from_iter(told), ["a", "b"]);
        assert_eq!(signs.vanished().now_or_never(), None);
        signs.tell("a");
        assert!(signs.vanished().now_or_never().is_some(), "gone again");
    }

    #[test]
    fn a_wait_for_a_renewal_ends_with_its_own_path_alone() {
        let signs = Signs::default();
        signs.renew(&["a".to_owned()]);
        let mut waits = pin!(signs.renewed("a"));
        assert_eq!(waits.as_mut().now_or_never(), None, "that was before");
        signs.renew(&["b".to_owned()]);
        assert_eq!(waits.as_mut().now_or_never(), None);
        signs.renew(&["b".to_owned(), "a".to_owned()]);
        assert_eq!(waits.as_mut().now_or_never(), Some(()));
    }

    #[test]
    fn a_report_is_read_and_other_messages_are_none() {
        assert_eq!(
            reported(&report("projects/p/topics/t")),
            Some("projects/p/topics/t")
        );
        assert_eq!(reported(&HashMap::new()), None);
    }
}
