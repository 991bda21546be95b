//! Changes of tasks' states as the master records them. A state has no callback of its own: a test checks the state
//! again whenever the master has read messages of its results' queue.

use std::sync::Arc;

use podpool_core::queue::Queue;
use tokio::sync::watch;

use crate::limits::within;
use crate::tap::Tap;

/// Is notified when the master has read messages of its workers.
#[derive(Debug)]
pub struct News(watch::Receiver<()>);

/// The sender of the news: it is notified by acknowledgements on the results' queue.
#[derive(Clone, Debug)]
pub(crate) struct Reporter(Arc<watch::Sender<()>>);

pub(crate) fn channel() -> (Reporter, News) {
    let (sender, receiver) = watch::channel(());
    (Reporter(Arc::new(sender)), News(receiver))
}

impl Reporter {
    /// Watches the queue of this name where it is the results' queue; returns any other queue as it is.
    pub(crate) fn listen(&self, name: &str, queue: Arc<dyn Queue>) -> Arc<dyn Queue> {
        if name != "results" {
            return queue;
        }
        // The master acknowledges messages after their effects, so a state that is read after the notice is current.
        let sender = Arc::clone(&self.0);
        Arc::new(Tap::new(queue).on_ack(move || sender.send_replace(())))
    }
}

impl News {
    /// Waits until `told` returns true. `told` is called at once, and after every notice.
    ///
    /// # Panics
    /// When `told` does not return true in time, or the master ends; `what` names the awaited state.
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
