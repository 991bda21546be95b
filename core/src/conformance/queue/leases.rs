//! Checks of leases: how they end, and that an ended one changes nothing for other takers.

use std::slice::from_ref;

use tokio::time::{Instant, sleep};

use super::Promises;
use super::steps::{
    ack, expect_done, expect_lost, expect_nothing, numbered, return_time, store, take_all, take_one,
};
use crate::queue::Queue;

/// Dropping a delivery does nothing: its message comes again when the lease expires, and no sooner.
///
/// # Panics
/// When the promise is broken.
pub async fn dropped_deliveries_come_again(queue: &dyn Queue, promises: Promises) {
    let lease = queue.limits().lease;
    store(queue, vec![numbered(1)]).await;
    let wait = return_time(queue, promises);
    take_one(queue, wait).await;
    // The lease began at this moment at the latest, and may have begun a round trip earlier.
    let taken = Instant::now();
    expect_nothing(queue, "its lease was dropped, not ended", lease / 2).await;
    let again = take_one(queue, wait).await;
    let away = taken.elapsed() + promises.slack;
    assert!(
        away >= lease,
        "a message came again {away:?} into a lease of {lease:?}"
    );
    assert_eq!(again.body, numbered(1));
    ack(queue, &again.lease).await;
}

/// A lease that is renewed in time holds for any time.
///
/// # Panics
/// When the promise is broken.
pub async fn extended_leases_live_on(queue: &dyn Queue, promises: Promises) {
    let lease = queue.limits().lease;
    store(queue, vec![numbered(1)]).await;
    let delivery = take_one(queue, return_time(queue, promises)).await;
    for _ in 0..6 {
        sleep(lease / 2).await;
        expect_done("extend", queue.extend(from_ref(&delivery.lease)).await);
    }
    expect_nothing(queue, "its lease was renewed", lease / 2).await;
    ack(queue, &delivery.lease).await;
    expect_nothing(queue, "it was acknowledged", lease * 2).await;
}

/// An acknowledged message is gone; one that was not acknowledged with it is not.
///
/// # Panics
/// When the promise is broken.
pub async fn acknowledged_messages_never_come_again(queue: &dyn Queue, promises: Promises) {
    store(queue, (0..3).map(numbered).collect()).await;
    let wait = return_time(queue, promises);
    let taken = take_all(queue, 3, wait).await;
    ack(queue, &taken[0].lease).await;
    ack(queue, &taken[2].lease).await;
    let again = take_one(queue, wait).await;
    assert_eq!(
        again.body, taken[1].body,
        "the message that was not acknowledged"
    );
    ack(queue, &again.lease).await;
    expect_nothing(queue, "all were acknowledged", queue.limits().lease * 2).await;
}

/// A lease that was answered is lost to every verb, and answering it again touches no other message.
///
/// # Panics
/// When the promise is broken.
pub async fn second_answers_harm_no_one(queue: &dyn Queue, promises: Promises) {
    store(queue, vec![numbered(1)]).await;
    let wait = return_time(queue, promises);
    let first = take_one(queue, wait).await.lease;
    ack(queue, &first).await;
    // Whatever the queue kept for the first lease may now serve the second.
    store(queue, vec![numbered(2)]).await;
    let second = take_one(queue, wait).await;
    assert_eq!(second.body, numbered(2));
    for _ in 0..2 {
        expect_lost("ack", &first, queue.ack(from_ref(&first)).await, promises);
        expect_lost(
            "extend",
            &first,
            queue.extend(from_ref(&first)).await,
            promises,
        );
        expect_lost(
            "release",
            &first,
            queue.release(from_ref(&first)).await,
            promises,
        );
    }
    expect_nothing(
        queue,
        "its lease was not answered",
        queue.limits().lease / 4,
    )
    .await;
    expect_done("release", queue.release(from_ref(&second.lease)).await);
    let again = take_one(queue, wait).await;
    assert_eq!(
        again.body,
        numbered(2),
        "the message that nobody acknowledged"
    );
    ack(queue, &again.lease).await;
}

/// A lease that expired is lost to every verb; its message's next taker and other messages are not touched.
/// Where leases are best effort, an acknowledgement that comes late may still count.
///
/// # Panics
/// When the promise is broken.
pub async fn expired_leases_harm_no_one(queue: &dyn Queue, promises: Promises) {
    store(queue, vec![numbered(1)]).await;
    let wait = return_time(queue, promises);
    let expired = take_one(queue, wait).await.lease;
    let live = take_one(queue, wait).await.lease;
    assert_ne!(expired, live, "each lease has a name of its own");
    expect_lost(
        "extend",
        &expired,
        queue.extend(from_ref(&expired)).await,
        promises,
    );
    if promises.exact_leases {
        expect_lost(
            "ack",
            &expired,
            queue.ack(from_ref(&expired)).await,
            promises,
        );
        expect_lost(
            "release",
            &expired,
            queue.release(from_ref(&expired)).await,
            promises,
        );
        expect_nothing(queue, "another holds it", queue.limits().lease / 4).await;
        expect_done("extend", queue.extend(from_ref(&live)).await);
        let again = take_one(queue, wait).await;
        assert_eq!(again.body, numbered(1), "a late ack must not remove it");
        ack(queue, &again.lease).await;
    } else {
        store(queue, vec![numbered(2)]).await;
        expect_lost(
            "ack",
            &expired,
            queue.ack(from_ref(&expired)).await,
            promises,
        );
        let other = take_all_but(queue, 1, promises).await;
        assert_eq!(other, 2, "a late ack must not remove another message");
    }
}

/// The first message to come that is not the one numbered `known`.
async fn take_all_but(queue: &dyn Queue, known: u32, promises: Promises) -> u32 {
    loop {
        let delivery = take_one(queue, return_time(queue, promises)).await;
        let number = super::steps::number(&delivery.body);
        if number != known {
            return number;
        }
    }
}

/// A released message can be taken at once, under a new lease; the old one is lost.
///
/// # Panics
/// When the promise is broken.
pub async fn released_messages_come_at_once(queue: &dyn Queue, promises: Promises) {
    store(queue, vec![numbered(1)]).await;
    let first = take_one(queue, return_time(queue, promises)).await.lease;
    expect_done("release", queue.release(from_ref(&first)).await);
    let again = take_one(queue, promises.slack).await;
    assert_eq!(again.body, numbered(1));
    assert_ne!(first, again.lease, "each lease has a name of its own");
    if promises.exact_leases {
        expect_lost("ack", &first, queue.ack(from_ref(&first)).await, promises);
        expect_done("extend", queue.extend(from_ref(&again.lease)).await);
    }
    ack(queue, &again.lease).await;
}
