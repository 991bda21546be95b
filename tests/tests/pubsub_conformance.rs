//! The queues' suite over Pub/Sub, bare and with faults. The checks run at once, each on a topic of its own: they
//! wait, mostly, for leases to expire.

#![cfg(feature = "pubsub")]

use std::sync::Arc;
use std::time::Duration;

use podpool_core::conformance::queue::{self as checks, Promises};
use podpool_core::queue::Queue;
use podpool_core::queue::faulty::{Faults, Faulty};
use podpool_tests::pubsub::emulator::{self, Ground};
use tokio::time::timeout;

/// Longest time of all checks, on a busy machine.
const LIMIT: Duration = Duration::from_secs(240);
/// Messages in the checks that count them.
const MANY: u32 = 2_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pubsub_keeps_the_least_promises() {
    if !emulator::is_there() {
        return;
    }
    let fresh = async || Ground::tasks().await as Arc<dyn Queue>;
    let checks = checks::all_at_once(fresh, Promises::LEAST, MANY);
    assert!(timeout(LIMIT, checks).await.is_ok(), "the checks hang");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pubsub_with_faults_still_delivers() {
    if !emulator::is_there() {
        return;
    }
    let under_faults = |seed| {
        let fresh = async move || {
            let queue = Ground::tasks().await;
            Arc::new(Faulty::new(queue, Faults::chaos(seed))) as Arc<dyn Queue>
        };
        timeout(LIMIT, checks::under_faults(fresh, 300))
    };
    let (one, two) = tokio::join!(under_faults(1), under_faults(2));
    assert!(one.is_ok() && two.is_ok(), "the checks hang");
}
