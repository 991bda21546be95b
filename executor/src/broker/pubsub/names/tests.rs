//! Names that Pub/Sub accepts, and names that it would refuse.

use podpool_core::id::{MAX_RUN_ID, MAX_RUN_NAME, RunName};

use super::*;

fn own(prefix: &str) -> Result<RunNames, InvalidNames> {
    RunNames::own(prefix, &RunId::new("nightly-7").unwrap())
}

fn given() -> GivenNames {
    GivenNames {
        tasks_topic: "prices".to_owned(),
        tasks_subscription: "prices-workers".to_owned(),
        results_topic: "projects/other/topics/cleaned".to_owned(),
        results_subscription: "cleaned.master".to_owned(),
        control: None,
    }
}

#[test]
fn a_run_has_names_of_its_own() {
    let names = own("podpool").unwrap();
    assert!(names.are_own());
    assert_eq!(
        names.tasks(),
        QueueNames::new("podpool-nightly-7-tasks", "podpool-nightly-7-tasks")
    );
    assert_eq!(
        names.results().topic.as_deref(),
        Some("podpool-nightly-7-results")
    );
    let control = names.control().unwrap();
    assert_eq!(control.topic.as_deref(), Some("podpool-nightly-7-control"));
    assert_eq!(control.subscription, None);
    assert_eq!(
        names.control_of(2, 17).unwrap().subscription.as_deref(),
        Some("podpool-nightly-7-control-2-17")
    );
}

#[test]
fn the_longest_names_are_short_enough() {
    let run = RunId::of(&RunName::new(&"r".repeat(MAX_RUN_NAME)).unwrap());
    assert_eq!(run.as_str().len(), MAX_RUN_ID);
    let names = RunNames::own(&"p".repeat(LONGEST_PREFIX), &run).unwrap();
    let longest = names.control_of(u32::MAX, u32::MAX).unwrap();
    assert!(longest.subscription.unwrap().len() <= LONGEST);
}

#[test]
fn bad_prefixes_are_refused_by_name() {
    let long = "p".repeat(LONGEST_PREFIX + 1);
    for prefix in ["", "7up", "-x", "Pod", "a b", "goog-x", "ümlaut", &long] {
        let error = own(prefix).unwrap_err();
        assert_eq!(error, InvalidNames::Prefix(prefix.to_owned()));
        assert!(error.to_string().contains(&format!("{prefix:?}")));
    }
}

#[test]
fn given_names_are_kept() {
    let names = RunNames::given(given()).unwrap();
    assert!(!names.are_own());
    assert_eq!(names.tasks(), QueueNames::new("prices", "prices-workers"));
    assert_eq!(
        names.results(),
        QueueNames::new("projects/other/topics/cleaned", "cleaned.master")
    );
    assert_eq!(names.control(), None);
    assert_eq!(names.control_of(0, 0), None);
}

#[test]
fn given_names_that_pubsub_would_refuse_are_refused_by_name() {
    let bad = [
        "ab",
        "",
        "1st",
        "a b c",
        "goog-topic",
        "projects/p/subscriptions/x-y-z",
        "projects//topics/abc",
        "projects/p/topics/ab",
        "a/b/c",
    ];
    for name in bad {
        let mut names = given();
        names.tasks_topic = name.to_owned();
        assert_eq!(
            RunNames::given(names),
            Err(InvalidNames::Name(name.to_owned()))
        );
    }
}

#[test]
fn full_names_are_written_in_words() {
    assert_eq!(
        spoken(&topic_path("demo", "prices")),
        "topic prices of project demo"
    );
    assert_eq!(
        spoken(&subscription_path("demo", "projects/p/subscriptions/s")),
        "subscription s of project p"
    );
    assert_eq!(spoken("_deleted-topic_"), "_deleted-topic_");
}

#[test]
fn names_are_decoded_as_they_were_encoded() {
    let names = own("podpool").unwrap();
    let bytes = podpool_core::codec::encode(&names).unwrap();
    let read: RunNames = podpool_core::codec::decode(&bytes).unwrap();
    assert_eq!(read, names);
}
