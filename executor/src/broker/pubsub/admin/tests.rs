//! Which subscriptions podpool can work with.

use google_cloud_pubsub::model::{BigQueryConfig, PushConfig};

use super::*;

const TOPIC: &str = "projects/p/topics/t";

fn sound() -> Subscription {
    Subscription::new()
        .set_name("projects/p/subscriptions/s")
        .set_topic(TOPIC)
}

/// Never called. It compiles only if these futures are `Send`: a fleet awaits them in tasks that move between threads.
#[expect(dead_code, reason = "it is checked by the compiler alone")]
fn calls_may_move(admin: &Admin, names: &RunNames, labels: &crate::broker::pubsub::RunLabels) {
    fn moves<T: Send>(_: T) {}
    moves(admin.create(names, labels, TRY));
    moves(admin.create_control(names, labels, TRY, 0, 1));
    moves(admin.check(names));
    moves(admin.delete_control(names, &labels.run, 0, 1));
    moves(admin.restore(names, labels, TRY));
    moves(admin.purge(names, labels.created));
    moves(admin.delete_run(names, &labels.run));
    moves(admin.collect(labels.created, &Which::PastDeadline));
}

#[test]
fn a_pull_subscription_of_the_topic_fits() {
    assert_eq!(fit(&sound(), TOPIC), Ok(()));
    // A listing gives an empty push configuration where there is none.
    assert_eq!(
        fit(&sound().set_push_config(PushConfig::new()), TOPIC),
        Ok(())
    );
}

#[test]
fn a_subscription_that_pushes_exports_filters_or_lost_its_topic_does_not_fit() {
    let push = PushConfig::new().set_push_endpoint("https://example.com");
    for (unfit, words) in [
        (sound().set_topic("projects/p/topics/other"), "topic other"),
        (sound().set_topic("_deleted-topic_"), "_deleted-topic_"),
        (sound().set_detached(true), "detached"),
        (sound().set_push_config(push), "pull subscription"),
        (
            sound().set_bigquery_config(BigQueryConfig::new()),
            "pull subscription",
        ),
        (sound().set_filter("attributes:x"), "filter"),
    ] {
        let text = fit(&unfit, TOPIC).unwrap_err().to_string();
        assert!(text.contains(words), "{text}");
        assert!(text.contains("subscription s of project p"), "{text}");
    }
}
