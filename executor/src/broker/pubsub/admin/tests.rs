//! Which subscriptions podpool can work with.

use googleapis_tonic_google_pubsub_v1::google::pubsub::v1::{BigQueryConfig, PushConfig};

use super::*;

const LEASE: Duration = Duration::from_secs(60);
const TOPIC: &str = "projects/p/topics/t";

fn sound() -> Subscription {
    Subscription {
        name: "projects/p/subscriptions/s".to_owned(),
        topic: TOPIC.to_owned(),
        ..Subscription::default()
    }
}

/// Never called. It compiles only if these futures are `Send`: a fleet awaits them in tasks that move between threads.
#[expect(dead_code, reason = "it is checked by the compiler alone")]
fn calls_may_move(admin: &Admin, names: &RunNames, labels: &crate::broker::pubsub::RunLabels) {
    fn moves<T: Send>(_: T) {}
    moves(admin.create(names, labels, LEASE));
    moves(admin.create_control(names, labels, LEASE, 0, 1));
    moves(admin.check(names));
    moves(admin.delete_control(names, &labels.run, 0, 1));
    moves(admin.restore(names, labels, LEASE));
    moves(admin.purge(names, labels.created));
    moves(admin.delete_run(names, &labels.run));
    moves(admin.collect(labels.created, &Which::PastDeadline));
}

fn pushes(endpoint: &str) -> Subscription {
    Subscription {
        push_config: Some(PushConfig {
            push_endpoint: endpoint.to_owned(),
            ..PushConfig::default()
        }),
        ..sound()
    }
}

fn of_topic(topic: &str) -> Subscription {
    Subscription {
        topic: topic.to_owned(),
        ..sound()
    }
}

#[test]
fn a_pull_subscription_of_the_topic_fits() {
    assert_eq!(fit(&sound(), TOPIC), Ok(()));
    // A listing gives an empty push configuration where there is none.
    assert_eq!(fit(&pushes(""), TOPIC), Ok(()));
}

#[test]
fn a_subscription_that_pushes_exports_filters_or_lost_its_topic_does_not_fit() {
    let detached = Subscription {
        detached: true,
        ..sound()
    };
    let exports = Subscription {
        bigquery_config: Some(BigQueryConfig::default()),
        ..sound()
    };
    let filters = Subscription {
        filter: "attributes:x".to_owned(),
        ..sound()
    };
    for (unfit, words) in [
        (of_topic("projects/p/topics/other"), "topic other"),
        (of_topic("_deleted-topic_"), "_deleted-topic_"),
        (detached, "detached"),
        (pushes("https://example.com"), "pull subscription"),
        (exports, "pull subscription"),
        (filters, "filter"),
    ] {
        let text = fit(&unfit, TOPIC).unwrap_err().to_string();
        assert!(text.contains(words), "{text}");
        assert!(text.contains("subscription s of project p"), "{text}");
    }
}
