//! Other runs that a worker meets on an administrator's names: the worker reports them to its master, which decides.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use podpool_core::id::RunId;
use podpool_core::instant::after;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::warn;

use crate::broker::pubsub::{Owner, PubSubQueue};

/// Pause between two reports of one run: a report may be lost, and messages of that run are delivered again with each
/// lease.
// The default lease. At half, each worker would report every delivery; at double, a lost report would leave two runs on
// the same names for two minutes.
const PAUSE: Duration = Duration::from_secs(60);

/// Reports the runs that are met to the master, by the queue of results.
pub(super) async fn report(mut met: mpsc::UnboundedReceiver<Owner>, results: Arc<PubSubQueue>) {
    let mut told = Reported::default();
    while let Some(other) = met.recv().await {
        let now = Instant::now();
        // The channel has one entry for each message of another run; most of them are dropped here.
        if !told.is_due(other.run(), now) {
            continue;
        }
        match results.report(&other).await {
            Ok(()) => {
                warn!(run = %other.run(), "messages of another run are left in place; the master is notified");
                told.note(other.run().clone(), now);
            }
            // Not noted: the next message of that run is the next try. A queue of results that refuses calls is
            // reported by the worker itself.
            Err(error) => {
                warn!(%error, run = %other.run(), "the master could not be notified of another run")
            }
        }
    }
}

/// When each run was reported to the master.
#[derive(Debug, Default)]
struct Reported(HashMap<RunId, Instant>);

impl Reported {
    fn is_due(&self, run: &RunId, now: Instant) -> bool {
        self.0.get(run).is_none_or(|at| now >= after(*at, PAUSE))
    }

    fn note(&mut self, run: RunId, now: Instant) {
        self.0.insert(run, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_run_is_reported_once_in_each_pause() {
        let (a, b) = (RunId::new("a").unwrap(), RunId::new("b").unwrap());
        let (start, mut told) = (Instant::now(), Reported::default());
        assert!(told.is_due(&a, start));
        told.note(a.clone(), start);
        assert!(!told.is_due(&a, start + PAUSE / 2));
        assert!(told.is_due(&b, start + PAUSE / 2));
        assert!(told.is_due(&a, start + PAUSE));
    }
}
