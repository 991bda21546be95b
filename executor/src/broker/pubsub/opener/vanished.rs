//! Topics and subscriptions that a worker finds gone: the worker reports them to its master, which makes them again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use podpool_core::instant::after;
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::broker::pubsub::{PubSubQueue, Signs};

/// Pause between two reports of the same name: when the first one arrives, the service may still show the master the
/// deleted resource.
const PAUSE: Duration = Duration::from_secs(5);

/// Reports to the master, by the queue of results, the names that calls find gone. Where the results' own topic is gone
/// no report arrives: the master checks its names when it receives no message from its workers for 12 s.
pub(super) async fn report(signs: Signs, results: Arc<PubSubQueue>) {
    let mut told = HashMap::new();
    loop {
        let due = signs.vanished().await;
        let now = Instant::now();
        told.retain(|_, at| now < after(*at, PAUSE));
        for path in due {
            if told.contains_key(&path) {
                continue;
            }
            match results.report_vanished(&path).await {
                Ok(()) => warn!("{path} was deleted; the master is notified, and makes it again"),
                Err(error) => debug!(%error, path, "the master was not notified of what is gone"),
            }
            // After a failure too. Where the topic of results is gone, the failed report is itself a sign of that
            // topic: without this entry the loop would report it again at once, and never sleep.
            told.insert(path, now);
        }
    }
}
