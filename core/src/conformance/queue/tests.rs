//! The suite on the queues of this crate, and on broken ones that it must refuse.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

use super::*;
use crate::queue::QueueLimits;
use crate::queue::faulty::{Faults, Faulty};
use crate::queue::memory::MemoryQueue;

fn memory(lease: Duration) -> MemoryQueue {
    MemoryQueue::new("tasks", QueueLimits::new(1 << 20, lease))
}

const LEASE: Duration = Duration::from_millis(300);

fn faulty(faults: Faults) -> Arc<dyn Queue> {
    Arc::new(Faulty::new(memory(LEASE), faults))
}

#[tokio::test(start_paused = true)]
async fn the_memory_queue_keeps_every_promise() {
    all(async || Arc::new(memory(LEASE)) as _, Promises::REFERENCE).await;
}

#[tokio::test(start_paused = true)]
async fn the_local_default_keeps_every_promise() {
    all(
        async || Arc::new(MemoryQueue::local("tasks")) as _,
        Promises::REFERENCE,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_faulty_queue_without_faults_keeps_every_promise() {
    all(async || faulty(Faults::none(1)), Promises::REFERENCE).await;
}

#[tokio::test(start_paused = true)]
async fn chaos_keeps_at_least_once() {
    for seed in 0..20 {
        under_faults(async || faulty(Faults::chaos(seed)), 1_000).await;
    }
}

/// Real time and real threads; the lease is longer than any pause of the machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn threads_share_the_memory_queue() {
    let mut promises = Promises::REFERENCE;
    promises.slack = Duration::from_secs(10);
    let queue: Arc<dyn Queue> = Arc::new(memory(Duration::from_secs(60)));
    let check = async {
        a_put_wakes_a_waiting_take(queue.as_ref(), promises).await;
        let queue: Arc<dyn Queue> = Arc::new(memory(Duration::from_secs(60)));
        takers::all_come(&queue, MANY, promises).await;
        assert!(queue.take(1, Duration::ZERO).await.unwrap().is_empty());
    };
    timeout(CHECK_TIME, check).await.unwrap();
}

/// A check must refuse a queue with this fault, with this text.
async fn refuses(
    check: impl AsyncFnOnce(Arc<dyn Queue>),
    words: &str,
    set: impl FnOnce(&mut Faults),
) {
    let mut faults = Faults::none(1);
    set(&mut faults);
    let check = AssertUnwindSafe(check(faulty(faults))).catch_unwind();
    let reason = check.await.expect_err("the check passed a broken queue");
    let reason = reason.downcast::<String>().expect("a sentence with values");
    assert!(reason.contains(words), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn broken_queues_are_refused() {
    const REFERENCE: Promises = Promises::REFERENCE;
    let check = async |queue: Arc<dyn Queue>| exactly_once(&queue, 100, REFERENCE).await;
    refuses(check, "came 2 times", |faults| faults.duplicate = 0.1).await;
    let check = async |queue: Arc<dyn Queue>| exactly_once(&queue, 100, REFERENCE).await;
    refuses(check, "although all were", |faults| {
        faults.ignored_ack = 0.1
    })
    .await;
    let check = async |queue: Arc<dyn Queue>| at_least_once(&queue, 1_000).await;
    refuses(check, "messages never came", |faults| faults.lose = 0.01).await;
    let check = async |queue: Arc<dyn Queue>| first_in_first_out(&*queue, REFERENCE).await;
    refuses(check, "comes first", |faults| faults.reorder = 0.1).await;
    let check = async |queue: Arc<dyn Queue>| extended_leases_live_on(&*queue, REFERENCE).await;
    refuses(check, "extend of a live lease", |faults| {
        faults.extend.refused = 1.0;
    })
    .await;
    let check = async |queue: Arc<dyn Queue>| {
        acknowledged_messages_never_come_again(&*queue, REFERENCE).await;
    };
    refuses(check, "was not acknowledged", |faults| {
        faults.ignored_ack = 1.0;
    })
    .await;
    let check = async |queue: Arc<dyn Queue>| {
        released_messages_come_at_once(&*queue, REFERENCE).await;
    };
    refuses(check, "release of a live lease", |faults| {
        faults.release.refused = 1.0;
    })
    .await;
}
