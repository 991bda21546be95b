//! Making, checking and deleting topics and subscriptions, on an emulator.

#![cfg(feature = "pubsub")]
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use podpool::RunId;
use podpool::pubsub::{AdminError, GivenNames, RunLabels, RunNames, Which};
use podpool_core::queue::Queue;
use podpool_tests::pubsub::emulator::{Ground, LEASE, is_there};
use tokio::time::{Instant, timeout};

const LIMIT: Duration = Duration::from_secs(60);

async fn bounded(test: impl Future<Output = ()>) {
    timeout(LIMIT, test).await.expect("the test hangs");
}

fn message(text: &'static str) -> Vec<Bytes> {
    vec![Bytes::from_static(text.as_bytes())]
}

/// The only message that comes within a minute.
async fn only(queue: &impl Queue) -> Bytes {
    let taken = queue.take(10, LIMIT).await.unwrap();
    assert_eq!(taken.len(), 1);
    taken[0].body.clone()
}

#[tokio::test]
async fn a_run_is_made_twice_and_deleted_whole() {
    if !is_there() {
        return;
    }
    bounded(async {
        let ground = Ground::new().await;
        ground.create(LEASE).await;
        ground.create(LEASE).await;
        let fitness = ground.admin.check(&ground.names).await.unwrap();
        assert_eq!(fitness.tasks_ack_deadline, LEASE);
        assert_eq!(fitness.results_ack_deadline, LEASE);
        let Ground {
            admin,
            names,
            labels,
            ..
        } = &ground;
        for cohort in 0..2 {
            admin
                .create_control(names, labels, LEASE, cohort, 20)
                .await
                .unwrap();
        }
        let left = admin.delete_control(names, &labels.run, 1, 20).await;
        assert_eq!((left.deleted.len(), left.failed), (20, Vec::new()));
        let left = admin.delete_run(names, &labels.run).await;
        assert_eq!((left.deleted.len(), left.failed), (22 + 3, Vec::new()));
        let left = admin
            .collect(SystemTime::UNIX_EPOCH, &Which::Run(labels.run.clone()))
            .await;
        assert_eq!(left.unwrap(), Default::default(), "nothing of it is left");
    })
    .await;
}

#[tokio::test]
async fn topics_of_another_run_are_not_taken_over() {
    if !is_there() {
        return;
    }
    bounded(async {
        let ground = Ground::new().await;
        ground.create(LEASE).await;
        let labels = RunLabels {
            run: RunId::new("younger").unwrap(),
            ..ground.labels.clone()
        };
        let error = ground
            .admin
            .create(&ground.names, &labels, LEASE)
            .await
            .unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, AdminError::Taken { .. }), "{text}");
        for words in [
            ground.labels.run.as_str(),
            ground.connection.project(),
            "belongs to run",
        ] {
            assert!(text.contains(words), "{text}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_topic_that_vanished_is_made_again_with_its_subscription() {
    if !is_there() {
        return;
    }
    bounded(async {
        let ground = Ground::new().await;
        ground.create(LEASE).await;
        let names = ground.names.tasks();
        ground.delete_topic(names.topic.as_deref().unwrap());
        assert!(ground.admin.check(&ground.names).await.is_err());
        ground.create(LEASE).await;
        let queue = ground.queue(&names, Some(LEASE));
        queue.put(message("again")).await.remove(0).unwrap();
        assert_eq!(only(&queue).await, "again");
    })
    .await;
}

#[tokio::test]
async fn vanished_queues_are_made_again_and_existing_ones_are_kept() {
    if !is_there() {
        return;
    }
    bounded(async {
        let ground = Ground::new().await;
        let Ground {
            admin,
            names,
            labels,
            ..
        } = &ground;
        let restore = async || admin.restore(names, labels, LEASE).await.unwrap();
        assert_eq!(restore().await.len(), 5, "nothing was there");
        let queue = ground.queue(&names.tasks(), Some(LEASE));
        queue.put(message("kept")).await.remove(0).unwrap();
        assert!(restore().await.is_empty());
        assert_eq!(only(&queue).await, "kept");
        for pair in [names.tasks(), names.results()] {
            let topic = pair.topic.as_deref().unwrap();
            ground.delete_topic(topic);
            let project = ground.connection.project();
            let subscription = pair.subscription.as_deref().unwrap();
            let vanished = [
                format!("topic {topic} of project {project}"),
                format!("subscription {subscription} of project {project}"),
            ];
            assert_eq!(restore().await, vanished, "a line for each");
            assert!(restore().await.is_empty());
            let queue = ground.queue(&pair, Some(LEASE));
            queue.put(message("again")).await.remove(0).unwrap();
            assert_eq!(only(&queue).await, "again");
        }
    })
    .await;
}

#[tokio::test]
async fn queues_with_another_runs_label_are_not_deleted() {
    if !is_there() {
        return;
    }
    bounded(async {
        let ground = Ground::new().await;
        ground.create(LEASE).await;
        let Ground { admin, names, .. } = &ground;
        // Another prefix and another run, whose joined names are the same text: only the labels tell the runs apart.
        let other = RunId::random();
        let left = admin.delete_run(names, &other).await;
        assert_eq!(left.deleted, Vec::<String>::new());
        assert_eq!(left.failed, []);
        admin.check(names).await.unwrap();
    })
    .await;
}

fn given(ground: &Ground) -> GivenNames {
    let (tasks, results) = (ground.names.tasks(), ground.names.results());
    GivenNames::new(
        (tasks.topic.unwrap(), tasks.subscription.unwrap()),
        (results.topic.unwrap(), results.subscription.unwrap()),
    )
}

#[tokio::test]
async fn given_names_are_checked_and_never_deleted() {
    if !is_there() {
        return;
    }
    bounded(async {
        let ground = Ground::new().await;
        let names = RunNames::given(given(&ground)).unwrap();
        let error = ground.admin.check(&names).await.unwrap_err();
        assert!(matches!(&error, AdminError::Missing { what } if what.contains("-tasks of project test-")), "{error}");
        ground.create(Duration::from_secs(60)).await;
        let fitness = ground.admin.check(&names).await.unwrap();
        assert_eq!(fitness.tasks_ack_deadline, Duration::from_secs(60));
        let mut crossed = given(&ground);
        crossed.tasks_subscription.clone_from(&crossed.results_subscription);
        let error = ground.admin.check(&RunNames::given(crossed).unwrap()).await.unwrap_err();
        assert!(matches!(error, AdminError::Unfit { .. }), "{error}");
        let left = ground.admin.delete_run(&names, &ground.labels.run).await;
        assert_eq!(left, Default::default());
        ground.admin.check(&names).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn every_worker_receives_control() {
    if !is_there() {
        return;
    }
    bounded(async {
        let ground = Ground::new().await;
        ground.create(LEASE).await;
        let Ground {
            admin,
            names,
            labels,
            ..
        } = &ground;
        admin
            .create_control(names, labels, LEASE, 0, 3)
            .await
            .unwrap();
        let master = ground.queue(&names.control().unwrap(), None);
        master.put(message("drain")).await.remove(0).unwrap();
        for index in 0..3 {
            let worker = ground.queue(&names.control_of(0, index).unwrap(), Some(LEASE));
            assert_eq!(only(&worker).await, "drain");
        }
        let deaf = master.take(1, Duration::ZERO).await.unwrap_err();
        assert!(deaf.to_string().contains("only put to"), "{deaf}");
    })
    .await;
}

#[tokio::test]
async fn only_queues_past_their_deadline_are_collected() {
    if !is_there() {
        return;
    }
    bounded(async {
        let ground = Ground::new().await;
        let now = ground.labels.created;
        ground.create(LEASE).await;
        let run = RunId::new("stale").unwrap();
        let stale = RunNames::own("podpool", &run).unwrap();
        let labels = RunLabels {
            run,
            name: None,
            created: now,
            deadline: now + Duration::from_secs(60),
        };
        ground.admin.create(&stale, &labels, LEASE).await.unwrap();
        let young = ground
            .admin
            .collect(now, &Which::PastDeadline)
            .await
            .unwrap();
        assert_eq!(young, Default::default());
        let later = now + Duration::from_secs(120);
        let old = ground
            .admin
            .collect(later, &Which::PastDeadline)
            .await
            .unwrap();
        assert_eq!(old.failed, []);
        let project = ground.connection.project();
        let expected = [
            format!("projects/{project}/subscriptions/podpool-stale-results"),
            format!("projects/{project}/subscriptions/podpool-stale-tasks"),
            format!("projects/{project}/topics/podpool-stale-control"),
            format!("projects/{project}/topics/podpool-stale-results"),
            format!("projects/{project}/topics/podpool-stale-tasks"),
        ];
        let mut deleted = old.deleted;
        deleted.sort();
        assert_eq!(deleted, expected);
        ground.admin.check(&ground.names).await.unwrap();
    })
    .await;
}

/// The subscription's own deadline is ten minutes; the queue's lease is ten seconds.
#[tokio::test]
async fn a_lease_is_as_long_as_the_queue_states() {
    if !is_there() {
        return;
    }
    bounded(async {
        let ground = Ground::new().await;
        ground.create(Duration::from_secs(600)).await;
        let queue = ground.queue(&ground.names.tasks(), None);
        queue.put(message("left alone")).await.remove(0).unwrap();
        assert_eq!(only(&queue).await, "left alone");
        let taken = Instant::now();
        assert_eq!(only(&queue).await, "left alone");
        let away = taken.elapsed();
        assert!(away > LEASE / 2 && away < LEASE * 3, "{away:?}");
    })
    .await;
}
