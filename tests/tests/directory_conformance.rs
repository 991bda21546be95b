//! The suites of queues and brokers over the broker made of files.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use podpool_core::conformance::broker::{self, Subject};
use podpool_core::conformance::queue::{self, Promises};
use podpool_core::id::RunId;
use podpool_core::queue::Queue;
use podpool_core::queue::faulty::{Faults, Faulty};
use podpool_tests::directory::{DirectoryBroker, DirectoryOpener, DirectoryQueue};
use podpool_tests::scratch::Scratch;
use tokio::time::timeout;

/// Long enough that a busy machine renews in time, short enough that a check can wait for its end.
const LEASE: Duration = Duration::from_secs(2);
/// Messages in the checks that count them.
const MANY: u32 = 2_000;
/// Longest time of all checks.
const LIMIT: Duration = Duration::from_secs(120);

/// A new queue in this directory.
fn fresh(scratch: &Path) -> Arc<dyn Queue> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = COUNT.fetch_add(1, Ordering::Relaxed).to_string();
    let queue = DirectoryQueue::new(scratch.join(name), LEASE);
    queue.make().unwrap();
    Arc::new(queue)
}

fn promises() -> Promises {
    let mut promises = Promises::LEAST;
    promises.patient = true;
    promises
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_queue_of_files_keeps_its_promises() {
    let scratch = Scratch::new();
    let checks = queue::all_at_once(async || fresh(scratch.path()), promises(), MANY);
    assert!(timeout(LIMIT, checks).await.is_ok(), "the checks hang");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_of_files_with_faults_still_delivers() {
    let scratch = Scratch::new();
    let faulty = async || {
        let faults = Faults::chaos(1);
        Arc::new(Faulty::new(fresh(scratch.path()), faults)) as Arc<dyn Queue>
    };
    queue::under_faults(faulty, 300).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_broker_of_files_keeps_every_promise() {
    let scratch = Scratch::new();
    let kept = DirectoryBroker::new(scratch.path());
    let mut subject = Subject::new(Arc::new(kept.clone()), Arc::new(DirectoryOpener));
    subject.vanish = Some(Arc::new(move |run: RunId| {
        kept.vanish(&run);
        Box::pin(async {})
    }));
    broker::all(&subject).await;
}
