//! Checks of messages: which are stored, and how they come out.

use std::time::Duration;

use bytes::Bytes;

use super::Promises;
use super::steps::{ack, numbered, only, return_time, store, take_all, take_one};
use crate::queue::{LeaseId, Queue, QueueError};

/// Largest message that a check stores.
const BIG: usize = 16 << 20;

/// Above this limit no message is made that exceeds it.
const LARGEST_LIMIT: usize = 2 << 30;

/// `put` answers once for each message, and what it answered `Ok` comes out.
///
/// # Panics
/// When the promise is broken.
pub async fn put_answers_for_each_message(queue: &dyn Queue, promises: Promises) {
    assert!(
        queue.put(Vec::new()).await.is_empty(),
        "no message, no answer"
    );
    store(queue, (0..5).map(numbered).collect()).await;
    let taken = take_all(queue, 5, return_time(queue, promises)).await;
    let mut bodies: Vec<_> = taken.into_iter().map(|delivery| delivery.body).collect();
    bodies.sort();
    assert_eq!(bodies, (0..5).map(numbered).collect::<Vec<_>>());
}

/// A message over the limit is refused with both sizes; the others of the call are stored. Queues that carry more than
/// 2 GiB are not checked.
///
/// # Panics
/// When the promise is broken.
pub async fn oversized_messages_are_refused(queue: &dyn Queue, promises: Promises) {
    let limit = queue.limits().message_bytes;
    if limit > LARGEST_LIMIT {
        return;
    }
    // Zeroes that are never read cost no memory, even at the largest limit.
    let oversized = Bytes::from(vec![0; limit + 1]);
    let answers = queue.put(vec![numbered(1), oversized, numbered(2)]).await;
    let [first, refused, last] = &answers[..] else {
        panic!("{} answers for 3 messages", answers.len());
    };
    assert!(
        first.is_ok() && last.is_ok(),
        "{first:?}, {last:?} for small messages"
    );
    match refused {
        Err(QueueError::TooLarge {
            size,
            limit: said,
            queue,
        }) => {
            assert_eq!((*size, *said), (limit + 1, limit), "the sizes in the error");
            assert!(!queue.is_empty(), "the error names the queue");
        }
        other => panic!("{other:?} for a message of one byte too many"),
    }
    let taken = take_all(queue, 2, return_time(queue, promises)).await;
    assert!(
        taken.iter().all(|delivery| delivery.body.len() == 4),
        "only the small ones come"
    );
}

/// `take` gives at most `max` messages, and none for 0.
///
/// # Panics
/// When the promise is broken.
pub async fn take_keeps_to_its_max(queue: &dyn Queue, promises: Promises) {
    store(queue, (0..10).map(numbered).collect()).await;
    match queue.take(0, Duration::ZERO).await {
        Ok(none) => assert!(none.is_empty(), "take(0) gave {}", none.len()),
        Err(error) => panic!("take(0): {error}"),
    }
    // `take_all` lowers `max` with each call and checks each answer against it.
    take_all(queue, 3, return_time(queue, promises)).await;
    take_all(queue, 7, return_time(queue, promises)).await;
}

/// A message of no bytes and one as large as allowed (16 MiB at most) arrive unaltered.
///
/// # Panics
/// When the promise is broken.
pub async fn big_and_empty_messages_arrive_whole(queue: &dyn Queue, promises: Promises) {
    let size = queue.limits().message_bytes.min(BIG);
    let pattern = |at: usize| (at.wrapping_mul(0x9e37_79b1) >> 13) as u8;
    let mut missing = vec![Bytes::new(), Bytes::from_iter((0..size).map(pattern))];
    let stored = missing.clone();
    store(queue, missing.clone()).await;
    while !missing.is_empty() {
        let body = take_one(queue, return_time(queue, promises) * 4).await.body;
        let length = body.len();
        assert!(
            stored.contains(&body),
            "{length} bytes came that nobody stored"
        );
        missing.retain(|other| *other != body);
    }
}

/// In an ordered queue messages come in the order of their storing, and one that was released comes first.
///
/// # Panics
/// When the promise is broken.
pub async fn first_in_first_out(queue: &dyn Queue, promises: Promises) {
    if !promises.ordered {
        return;
    }
    for batch in 0..10 {
        store(queue, (batch * 5..batch * 5 + 5).map(numbered).collect()).await;
    }
    for expected in 0..50 {
        let delivery = take_one(queue, promises.slack).await;
        assert_eq!(delivery.body, numbered(expected), "the order of storing");
        if let Err(error) = only(queue.release(&[delivery.lease]).await) {
            panic!("release: {error}");
        }
        let again = take_one(queue, promises.slack).await;
        assert_eq!(
            again.body,
            numbered(expected),
            "a released message comes first"
        );
        ack(queue, &again.lease).await;
    }
}

/// Whatever fails, there is one answer for each message and each lease, and it is one that the verb may give.
pub(super) async fn answers_have_their_form(queue: &dyn Queue) {
    for _ in 0..50 {
        let answers = queue.put((0..5).map(numbered).collect()).await;
        assert_eq!(answers.len(), 5, "put answers for each message");
        for error in answers.into_iter().filter_map(Result::err) {
            assert!(error.is_transient(), "put: {error}");
        }
        let taken = match queue.take(3, queue.limits().lease / 4).await {
            Ok(taken) => taken,
            Err(error) if error.is_transient() => continue,
            Err(error) => panic!("take: {error}"),
        };
        assert!(taken.len() <= 3, "take(3) gave {}", taken.len());
        let leases: Vec<_> = taken.into_iter().map(|delivery| delivery.lease).collect();
        expect_form("extend", &leases, queue.extend(&leases).await);
        expect_form("release", &leases, queue.release(&leases).await);
        expect_form("ack", &leases, queue.ack(&leases).await);
    }
}

fn expect_form(verb: &str, leases: &[LeaseId], answers: Vec<Result<(), QueueError>>) {
    assert_eq!(answers.len(), leases.len(), "{verb} answers for each lease");
    for (lease, answer) in leases.iter().zip(answers) {
        match answer {
            Err(QueueError::LeaseLost(named)) => {
                assert_eq!(&named, lease, "{verb} names its lease")
            }
            Err(error) => assert!(error.is_transient(), "{verb}: {error}"),
            Ok(()) => {}
        }
    }
}
