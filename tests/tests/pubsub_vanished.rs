//! Topics and subscriptions of a run that another program deletes: which call finds that, how soon, and that they are
//! made again. On an emulator.

#![cfg(feature = "pubsub")]
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use podpool::pubsub::{PubSubQueue, QueueNames, Signs};
use podpool_core::queue::{Queue, QueueError};
use podpool_tests::pubsub::emulator::{Ground, LEASE, is_there};
use tokio::time::{Instant, timeout};

const LIMIT: Duration = Duration::from_secs(60);
/// Within this time a call finds that its topic or subscription is gone, and that one is made again.
const SOON: Duration = Duration::from_secs(5);

async fn bounded(test: impl Future<Output = ()>) {
    timeout(LIMIT, test).await.expect("the test hangs");
}

/// A queue as master and workers have it, and what its calls report.
fn queue(ground: &Ground, names: &QueueNames) -> (Arc<PubSubQueue>, Signs) {
    let signs = Signs::default();
    let queue = ground.queue(names, Some(LEASE)).repaired(signs.clone());
    (Arc::new(queue), signs)
}

fn message(text: &'static str) -> Vec<Bytes> {
    vec![Bytes::from_static(text.as_bytes())]
}

/// Waits until calls report that the topic or subscription is gone, and makes it again.
async fn is_repaired(ground: &Ground, signs: &Signs, kind: &str, name: &str) {
    let told = timeout(SOON, signs.vanished()).await;
    let path = format!("projects/{}/{kind}/{name}", ground.connection.project());
    let told = Vec::from_iter(told.expect("no call reported it"));
    assert_eq!(told, [path], "each once, however many calls were refused");
    let restored = ground.admin.restore(&ground.names, &ground.labels, LEASE);
    let restored = restored.await.unwrap();
    assert!(
        restored.iter().any(|what| what.contains(name)),
        "{restored:?}"
    );
}

/// Puts until it is stored; how long that took from `began`.
async fn stored(queue: &PubSubQueue, began: Instant) -> Duration {
    while let Err(error) = queue.put(message("again")).await.remove(0) {
        assert!(began.elapsed() < SOON, "{error}");
        tokio::task::yield_now().await;
    }
    began.elapsed()
}

#[tokio::test]
async fn a_deleted_topic_is_found_by_the_first_put_and_carries_messages_again_at_once() {
    if !is_there() {
        return;
    }
    bounded(async {
        let ground = Ground::new().await;
        ground.create(LEASE).await;
        let names = ground.names.tasks();
        let topic = names.topic.clone().unwrap();
        let (tasks, signs) = queue(&ground, &names);
        ground.delete_topic(&topic);
        let began = Instant::now();
        let refused = tasks.put([message("a"), message("b")].concat()).await;
        for answer in refused {
            let error = answer.unwrap_err();
            assert!(matches!(error, QueueError::Vanished { .. }), "{error:?}");
            assert!(!error.to_string().contains("create it"), "{error}");
        }
        is_repaired(&ground, &signs, "topics", &topic).await;
        println!(
            "stored again {:?} after the topic was deleted",
            stored(&tasks, began).await
        );
        let taken = tasks.take(10, LEASE).await.unwrap();
        assert_eq!(taken.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_deleted_subscription_is_found_by_the_next_pull() {
    if !is_there() {
        return;
    }
    bounded(async {
        let ground = Ground::new().await;
        ground.create(LEASE).await;
        let names = ground.names.results();
        let subscription = names.subscription.clone().unwrap();
        let (results, signs) = queue(&ground, &names);
        ground.delete_subscription(&subscription);
        let began = Instant::now();
        let error = results.take(1, LEASE).await.unwrap_err();
        assert!(matches!(error, QueueError::Vanished { .. }), "{error:?}");
        is_repaired(&ground, &signs, "subscriptions", &subscription).await;
        stored(&results, began).await;
        assert_eq!(results.take(1, LEASE).await.unwrap().len(), 1);
        println!(
            "taken again {:?} after the subscription was deleted",
            began.elapsed()
        );
        assert!(began.elapsed() < SOON);
    })
    .await;
}

#[tokio::test]
async fn a_worker_reports_what_is_gone_to_its_master() {
    if !is_there() {
        return;
    }
    bounded(async {
        let ground = Ground::new().await;
        ground.create(LEASE).await;
        let names = ground.names.results();
        let (master, told) = queue(&ground, &names);
        let (worker, own) = queue(&ground, &names);
        let path = "projects/p/subscriptions/tasks";
        worker.report_vanished(path).await.unwrap();
        worker.put(message("a result")).await.remove(0).unwrap();
        let mut results = Vec::new();
        while results.is_empty() {
            results = master.take(10, LEASE).await.unwrap();
        }
        assert_eq!(results.len(), 1, "the report is no result");
        assert_eq!(results[0].body, "a result");
        assert!(told.heard().is_some());
        let mut gone = timeout(Duration::ZERO, told.vanished()).await.ok();
        if gone.is_none() {
            // The report was not among the first messages.
            let taken = master.take(10, LEASE).await.unwrap();
            assert!(taken.is_empty(), "{taken:?}");
            gone = timeout(Duration::ZERO, told.vanished()).await.ok();
        }
        assert_eq!(gone.map(Vec::from_iter), Some(vec![path.to_owned()]));
        let bare = ground.queue(&names, Some(LEASE));
        master.ack(&[results.remove(0).lease]).await;
        assert_eq!(
            bare.take(10, LEASE).await.unwrap(),
            [],
            "the report is removed"
        );
        assert!(timeout(Duration::ZERO, own.vanished()).await.is_err());
    })
    .await;
}
