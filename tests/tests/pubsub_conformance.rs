//! The queues' suite over Pub/Sub, bare and with faults. The checks run at once, each on a topic of its own: they
//! wait, mostly, for leases to expire.

#![cfg(feature = "pubsub")]

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{LocalBoxFuture, join_all};
use podpool_core::conformance::queue::{self as checks, Promises};
use podpool_core::queue::Queue;
use podpool_core::queue::faulty::{Faults, Faulty};
use podpool_tests::pubsub::emulator::{self, Ground};
use tokio::time::timeout;

/// Longest time of a check, on a busy machine.
const LIMIT: Duration = Duration::from_secs(240);
/// Messages in the checks that count them.
const MANY: u32 = 2_000;

type Checks = Vec<LocalBoxFuture<'static, ()>>;

/// Adds a check, with a name for its failure.
fn add(checks: &mut Checks, name: &'static str, check: impl Future<Output = ()> + 'static) {
    checks.push(Box::pin(async move {
        assert!(timeout(LIMIT, check).await.is_ok(), "{name} hangs");
    }));
}

macro_rules! add_all {
    ($checks:expr; $($check:ident),* $(,)?) => { $(
        add($checks, stringify!($check), async {
            let queue = Ground::tasks().await;
            checks::$check(queue.as_ref(), Promises::LEAST).await;
        });
    )* };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pubsub_keeps_the_least_promises() {
    if !emulator::is_there() {
        return;
    }
    let mut running = Checks::new();
    add_all!(&mut running;
        put_answers_for_each_message,
        oversized_messages_are_refused,
        take_keeps_to_its_max,
        big_and_empty_messages_arrive_whole,
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
    add(&mut running, "exactly_once", async {
        checks::exactly_once(&Ground::tasks().await, MANY, Promises::LEAST).await;
    });
    add(&mut running, "at_least_once", async {
        checks::at_least_once(&Ground::tasks().await, MANY).await;
    });
    join_all(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pubsub_with_faults_still_delivers() {
    if !emulator::is_there() {
        return;
    }
    let mut running = Checks::new();
    for seed in 1..=2 {
        add(&mut running, "under_faults", async move {
            let fresh = async || {
                let queue = Ground::tasks().await;
                Arc::new(Faulty::new(queue, Faults::chaos(seed))) as Arc<dyn Queue>
            };
            checks::under_faults(fresh, 300).await;
        });
    }
    join_all(running).await;
}
