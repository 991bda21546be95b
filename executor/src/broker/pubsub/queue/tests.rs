//! Decisions of the queue that need no network.

use std::sync::Mutex;

use super::*;

fn refusal(code: Code) -> Refusal {
    Refusal {
        code,
        message: "no".to_owned(),
    }
}

#[test]
fn leases_are_whole_seconds_that_pubsub_can_give() {
    assert_eq!(lease_seconds(Duration::from_secs(10)), Ok(10));
    assert_eq!(lease_seconds(Duration::from_secs(600)), Ok(600));
    for bad in [0, 300, 9_999, 10_500, 601_000] {
        let bad = Duration::from_millis(bad);
        assert_eq!(lease_seconds(bad), Err(InvalidLease(bad)));
    }
}

#[tokio::test]
async fn one_refused_message_leaves_the_others_stored() {
    let sent = Mutex::new(Vec::new());
    let refused = halving(0..100, |range| {
        let answer = if range.contains(&37) {
            Err(refusal(Code::InvalidArgument))
        } else {
            sent.lock().unwrap().extend(range);
            Ok(())
        };
        async { answer }.boxed()
    })
    .await;
    assert_eq!(refused, [(37..38, refusal(Code::InvalidArgument))]);
    let expected: Vec<_> = (0..100).filter(|at| *at != 37).collect();
    assert_eq!(*sent.lock().unwrap(), expected, "each once, in order");
}

#[tokio::test]
async fn a_refusal_of_the_whole_request_is_not_repeated_for_its_parts() {
    let calls = Mutex::new(0);
    let refused = halving(0..100, |_| {
        *calls.lock().unwrap() += 1;
        async { Err(refusal(Code::Unavailable)) }.boxed()
    })
    .await;
    assert_eq!(refused, [(0..100, refusal(Code::Unavailable))]);
    assert_eq!(*calls.lock().unwrap(), 1);
}

#[test]
fn an_empty_message_carries_an_attribute() {
    assert_eq!(message(&Bytes::new(), None).attributes.len(), 1);
    assert!(
        message(&Bytes::from_static(b"x"), None)
            .attributes
            .is_empty()
    );
}

#[test]
fn a_refused_lease_is_lost_and_named() {
    let subscription = Resource::subscription("projects/p/subscriptions/s".to_owned());
    let lease = LeaseId::new("a");
    let error = lease_error(
        &refusal(Code::FailedPrecondition),
        &subscription,
        &lease,
        None,
    );
    assert!(matches!(error, QueueError::LeaseLost(named) if named == lease));
    let error = lease_error(&refusal(Code::Unavailable), &subscription, &lease, None);
    assert!(error.is_transient());
}

#[test]
fn a_message_that_pubsub_refuses_for_its_size_is_too_large() {
    let topic = Resource::topic("projects/p/topics/t".to_owned());
    let mut said = refusal(Code::InvalidArgument);
    said.message = "The value for message size is too large".to_owned();
    let error = publish_error(&said, &topic, 5_000, None).to_string();
    assert!(error.contains("5000 bytes is larger than"), "{error}");
    assert!(error.contains("topic t of project p"), "{error}");
}

#[test]
fn a_vanished_name_of_podpools_own_is_noted_without_advice() {
    let topic = Resource::topic("projects/p/topics/t".to_owned());
    let signs = Signs::default();
    let missing = refusal(Code::NotFound);
    let error = publish_error(&missing, &topic, 1, Some(&signs));
    let text = error.to_string();
    assert!(matches!(error, QueueError::Vanished { .. }), "{error:?}");
    assert!(
        text.starts_with("topic t of project p was deleted while the run uses it"),
        "{text}"
    );
    assert!(!text.contains("create it"), "{text}");
    let told = signs.vanished().now_or_never().unwrap();
    assert_eq!(Vec::from_iter(told), ["projects/p/topics/t"]);
    let subscription = Resource::subscription("projects/p/subscriptions/s".to_owned());
    lease_error(&missing, &subscription, &LeaseId::new("a"), Some(&signs));
    assert!(signs.vanished().now_or_never().is_some());
    // A vanished name of an administrator is not made again.
    let error = publish_error(&missing, &topic, 1, None);
    assert!(matches!(error, QueueError::Gone { .. }), "{error:?}");
}
