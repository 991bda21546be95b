//! What the master learns of its tasks. A state has no callback of its own: a test looks at it again whenever the
//! master has read its results' queue.

use std::sync::Arc;

use podpool_core::queue::Queue;
use tokio::sync::watch;

use crate::limits::within;
use crate::tap::Tap;

/// Tells when the master has read messages of its workers.
#[derive(Debug)]
pub struct News(watch::Receiver<()>);

/// What makes the news: it listens at the results' queue.
#[derive(Clone, Debug)]
pub(crate) struct Reporter(Arc<watch::Sender<()>>);

pub(crate) fn channel() -> (Reporter, News) {
    let (sender, receiver) = watch::channel(());
    (Reporter(Arc::new(sender)), News(receiver))
}

impl Reporter {
    /// Listens at the queue of this name, if it is the one that brings news.
    pub(crate) fn listen(&self, name: &str, queue: Arc<dyn Queue>) -> Arc<dyn Queue> {
        if name != "results" {
            return queue;
        }
        let sender = Arc::clone(&self.0);
        Arc::new(Tap::new(queue).on_ack(move || sender.send_replace(())))
    }
}

impl News {
    /// Waits until `told` says that what the test waits for is known; it is asked at once, and at every news.
    ///
    /// # Panics
    /// When it does not become known in time, or the master ends; `what` names it.
    pub async fn until(&mut self, what: &str, mut told: impl FnMut() -> bool) {
        let wait = async {
            while !told() {
                assert!(
                    self.0.changed().await.is_ok(),
                    "the master ended before {what}"
                );
            }
        };
        within(what, wait).await;
    }
}
