//! Names of an administrator on which two runs meet, on an emulator.

#![cfg(feature = "pubsub")]
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use podpool::RunId;
use podpool::pubsub::{Owner, Ownership, PubSubQueue};
use podpool_core::queue::Queue;
use podpool_tests::pubsub::emulator::{Ground, LEASE, is_there};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, timeout};

const LIMIT: Duration = Duration::from_secs(60);

async fn bounded(test: impl Future<Output = ()>) {
    timeout(LIMIT, test).await.expect("the test hangs");
}

fn owner(run: &str, seconds: u64) -> Owner {
    let created = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    Owner::new(RunId::new(run).unwrap(), created)
}

/// A run's side of the tasks' queue, and the messages of other runs that it receives there.
fn end_of(ground: &Ground, own: Owner) -> (PubSubQueue, UnboundedReceiver<Owner>) {
    let (met, told) = unbounded_channel();
    let queue = ground.queue(&ground.names.tasks(), Some(LEASE));
    (queue.owned(Ownership::new(own, met)), told)
}

async fn put(queue: &PubSubQueue, text: &'static str) {
    let body = Bytes::from_static(text.as_bytes());
    queue.put(vec![body]).await.remove(0).unwrap();
}

/// Takes until a message is the taker's own.
async fn take(queue: &PubSubQueue) -> Bytes {
    loop {
        let taken = queue.take(10, LEASE).await.unwrap();
        let leases: Vec<_> = taken.iter().map(|one| one.lease.clone()).collect();
        queue.ack(&leases).await;
        match taken.as_slice() {
            [] => {}
            [one] => return one.body.clone(),
            more => panic!("{more:?}"),
        }
    }
}

#[tokio::test]
async fn a_message_of_another_run_is_reported_and_left_for_its_own() {
    if !is_there() {
        return;
    }
    bounded(async {
        let ground = Ground::new().await;
        ground.create(LEASE).await;
        let (older, mut met_by_older) = end_of(&ground, owner("older", 1));
        let (younger, mut met_by_younger) = end_of(&ground, owner("younger", 2));
        put(&older, "of the older").await;
        let taken = younger.take(10, Duration::ZERO).await.unwrap();
        assert_eq!(taken, [], "it is not the younger's to read");
        assert_eq!(met_by_younger.recv().await, Some(owner("older", 1)));
        let began = Instant::now();
        assert_eq!(take(&older).await, "of the older");
        let took = began.elapsed();
        assert!(took < LEASE / 2, "it was leased for {took:?}");
        assert!(met_by_older.try_recv().is_err());
        put(&older, "another").await;
        let taken = younger.take(10, Duration::ZERO).await.unwrap();
        assert_eq!(taken, [], "it takes nothing more");
        assert!(met_by_younger.try_recv().is_err(), "it did not even look");
    })
    .await;
}

#[tokio::test]
async fn an_older_runs_last_results_come_without_a_leases_stall_beside_a_younger_one() {
    if !is_there() {
        return;
    }
    bounded(async {
        let ground = Ground::new().await;
        ground.create(LEASE).await;
        let (worker, _) = end_of(&ground, owner("older", 1));
        let (older, _met) = end_of(&ground, owner("older", 1));
        let (younger, mut met) = end_of(&ground, owner("younger", 2));
        let pulls =
            tokio::spawn(
                async move { while younger.take(64, Duration::from_secs(5)).await.is_ok() {} },
            );
        let began = Instant::now();
        let mut results = 0;
        for text in ["result"; 30] {
            put(&worker, text).await;
        }
        while results < 30 {
            let taken = older.take(64, LEASE).await.unwrap();
            results += taken.len();
            let leases: Vec<_> = taken.into_iter().map(|one| one.lease).collect();
            older.ack(&leases).await;
        }
        let took = began.elapsed();
        println!("all results came after {took:?}");
        pulls.abort();
        assert_eq!(results, 30, "each once");
        assert!(
            took < LEASE / 2,
            "some were leased to the younger: {took:?}"
        );
        // The younger run pulls in a loop beside the older one, so whether it was given one of the older run's messages
        // is a race. If it was, the message names the older run.
        if let Ok(other) = met.try_recv() {
            assert_eq!(other, owner("older", 1));
        }
    })
    .await;
}

#[tokio::test]
async fn an_older_run_leaves_what_is_a_younger_ones_until_its_lease_ends() {
    if !is_there() {
        return;
    }
    bounded(async {
        let ground = Ground::new().await;
        ground.create(LEASE).await;
        let (older, mut met) = end_of(&ground, owner("older", 1));
        let (younger, _) = end_of(&ground, owner("younger", 2));
        put(&younger, "of the younger").await;
        assert_eq!(older.take(10, Duration::ZERO).await.unwrap(), []);
        assert_eq!(met.recv().await, Some(owner("younger", 2)));
        put(&older, "of the older").await;
        assert_eq!(take(&older).await, "of the older", "it goes on");
    })
    .await;
}

#[tokio::test]
async fn a_workers_report_reaches_its_own_master_and_is_removed() {
    if !is_there() {
        return;
    }
    bounded(async {
        let ground = Ground::new().await;
        ground.create(LEASE).await;
        let (worker, _) = end_of(&ground, owner("ours", 2));
        let (master, mut met) = end_of(&ground, owner("ours", 2));
        worker.report(&owner("theirs", 3)).await.unwrap();
        put(&worker, "a result").await;
        assert_eq!(take(&master).await, "a result");
        if met.is_empty() {
            assert_eq!(master.take(10, LEASE).await.unwrap(), []);
        }
        assert_eq!(met.try_recv(), Ok(owner("theirs", 3)));
        let bare = ground.queue(&ground.names.tasks(), Some(LEASE));
        assert_eq!(bare.take(10, LEASE).await.unwrap(), [], "it is removed");
    })
    .await;
}

#[tokio::test]
async fn a_purge_removes_all_messages() {
    if !is_there() {
        return;
    }
    bounded(async {
        let ground = Ground::new().await;
        ground.create(LEASE).await;
        let tasks = ground.queue(&ground.names.tasks(), Some(LEASE));
        let results = ground.queue(&ground.names.results(), Some(LEASE));
        for queue in [&tasks, &results] {
            put(queue, "left behind").await;
        }
        // A message that is leased is removed too.
        assert_eq!(tasks.take(1, LEASE).await.unwrap().len(), 1);
        #[expect(
            clippy::disallowed_methods,
            reason = "the emulator's clock is this machine's"
        )]
        let now = SystemTime::now() + Duration::from_secs(1);
        ground.admin.purge(&ground.names, now).await.unwrap();
        for queue in [&tasks, &results] {
            assert_eq!(queue.take(10, Duration::ZERO).await.unwrap(), []);
            put(queue, "of the next run").await;
            assert_eq!(take(queue).await, "of the next run");
        }
    })
    .await;
}
