//! Topics and subscriptions that a worker finds gone: its master is told, and makes them again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use podpool_core::instant::after;
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::broker::pubsub::{PubSubQueue, Signs};

/// How often the master is told of the same: the first report may have come before a service knew of it.
const PAUSE: Duration = Duration::from_secs(5);

/// Reports to the master, by its results, what calls find gone. Where the results' own topic is gone there is no report: the
/// master looks when its workers fall silent.
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
                Ok(()) => warn!("{path} was deleted; the master is told, and makes it again"),
                Err(error) => debug!(%error, path, "the master was not told of what is gone"),
            }
            told.insert(path, now);
        }
    }
}
