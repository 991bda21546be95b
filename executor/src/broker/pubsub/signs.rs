//! What the calls of a run's queues tell of its own topics and subscriptions: that they are gone, and that something
//! still comes.

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
    news: Notify,
    /// Workers were asked for.
    expecting: Notify,
    /// What was made again last.
    renewed: watch::Sender<Vec<String>>,
}

#[derive(Debug, Default)]
struct Seen {
    vanished: BTreeSet<String>,
    heard: Option<Instant>,
}

impl Signs {
    /// Waits until a call found something gone, or a worker reported it. Full names, each once however many calls said
    /// so. May be dropped: nothing is lost by it.
    pub async fn vanished(&self) -> BTreeSet<String> {
        loop {
            let vanished = std::mem::take(&mut self.seen().vanished);
            if !vanished.is_empty() {
                return vanished;
            }
            self.0.news.notified().await;
        }
    }

    /// When a message was last taken from one of the queues; none before the first.
    #[must_use]
    pub fn heard(&self) -> Option<Instant> {
        self.seen().heard
    }

    /// This is gone, by its full name.
    pub(crate) fn tell(&self, path: &str) {
        if self.seen().vanished.insert(path.to_owned()) {
            self.0.news.notify_one();
        }
    }

    /// These were made again, by their full names. A pull on what was there before may never be answered.
    pub(crate) fn renew(&self, paths: &[String]) {
        if !paths.is_empty() {
            self.0.renewed.send_replace(paths.to_vec());
        }
    }

    /// Waits until this is made again.
    pub(super) async fn renewed(&self, path: &str) {
        let mut renewed = self.0.renewed.subscribe();
        while renewed.changed().await.is_ok() {
            if renewed.borrow_and_update().iter().any(|it| it == path) {
                return;
            }
        }
    }

    /// A message was taken.
    pub(crate) fn hear(&self) {
        self.seen().heard = Some(Instant::now());
    }

    /// Workers were asked for. They need time to start: until then they count as heard.
    pub(crate) fn expect_workers(&self) {
        self.hear();
        self.0.expecting.notify_one();
    }

    /// Waits until workers were asked for. May be dropped: nothing is lost by it.
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

/// What a message reports as gone, if it is a report. It has no MAC: any publisher to the results can make the
/// master look whether everything is there, and no more.
pub(super) fn reported(attributes: &HashMap<String, String>) -> Option<&str> {
    attributes.get(VANISHED).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn what_is_gone_is_told_once_however_many_calls_say_so() {
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
    fn whoever_waits_for_something_to_be_made_again_is_told_of_that_alone() {
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
