//! The suites of queues and brokers over the broker made of files.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::future::{LocalBoxFuture, join_all};
use podpool_core::conformance::broker::{self, Subject};
use podpool_core::conformance::queue::{self, Promises};
use podpool_core::id::RunId;
use podpool_core::queue::Queue;
use podpool_core::queue::faulty::{Faults, Faulty};
use podpool_tests::directory::{DirectoryBroker, DirectoryOpener, DirectoryQueue};
use podpool_tests::scratch::Scratch;
use tokio::time::timeout;

/// Long enough for a busy machine, short enough to wait for.
const LEASE: Duration = Duration::from_secs(2);
/// Messages in the checks that count them.
const MANY: u32 = 2_000;
/// Longest time of a check.
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

type Checks = Vec<LocalBoxFuture<'static, ()>>;

/// Adds a check on a queue of its own, with a name for its failure.
macro_rules! add {
    ($checks:expr, $root:expr; $($check:ident),* $(,)?) => { $({
        let queue = fresh($root);
        $checks.push(Box::pin(async move {
            let check = queue::$check(queue.as_ref(), promises());
            assert!(timeout(LIMIT, check).await.is_ok(), "{} hangs", stringify!($check));
        }));
    })* };
}

/// All checks at once: they wait, mostly, for leases to expire.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_queue_of_files_keeps_its_promises() {
    let scratch = Scratch::new();
    let mut running = Checks::new();
    add!(running, scratch.path();
        put_answers_for_each_message,
        oversized_messages_are_refused,
        take_keeps_to_its_max,
        big_and_empty_messages_arrive_whole,
        first_in_first_out,
        an_empty_take_waits_its_time,
        a_put_wakes_a_waiting_take,
        a_return_wakes_a_waiting_take,
        a_dropped_take_loses_nothing,
        takers_share_no_lease,
        dropped_deliveries_come_again,
        extended_leases_live_on,
        acknowledged_messages_never_come_again,
        second_answers_harm_no_one,
        expired_leases_harm_no_one,
        released_messages_come_at_once,
    );
    let (counted, repeated) = (fresh(scratch.path()), fresh(scratch.path()));
    running.push(Box::pin(async move {
        let check = queue::exactly_once(&counted, MANY, promises());
        assert!(timeout(LIMIT, check).await.is_ok(), "exactly_once hangs");
        let check = queue::at_least_once(&repeated, MANY);
        assert!(timeout(LIMIT, check).await.is_ok(), "at_least_once hangs");
    }));
    join_all(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_faults_it_still_delivers() {
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
