//! The steps that checks are made of: calls that are made again when the queue's error permits it.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep};

use super::Promises;
use crate::queue::{Delivery, LeaseId, Queue, QueueError};

/// How often a call is made again before its queue counts as broken.
const CALLS: usize = 100;

/// Pause before a call is made again.
const PAUSE: Duration = Duration::from_millis(10);

/// A message that is known by its number.
pub(super) fn numbered(number: u32) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}

/// The number of such a message.
pub(super) fn number(body: &[u8]) -> u32 {
    match body.try_into() {
        Ok(bytes) => u32::from_be_bytes(bytes),
        Err(_) => panic!(
            "a message of {} bytes came, which nobody stored",
            body.len()
        ),
    }
}

/// How long a message may take to come again after it was taken.
pub(super) fn return_time(queue: &dyn Queue, promises: Promises) -> Duration {
    queue.limits().lease * 4 + promises.slack
}

/// Stores messages, each until it is stored.
pub(super) async fn store(queue: &dyn Queue, mut messages: Vec<Bytes>) {
    for _ in 0..CALLS {
        let answers = queue.put(messages.clone()).await;
        assert_eq!(
            answers.len(),
            messages.len(),
            "put answers for each message"
        );
        let mut answers = answers.into_iter();
        messages.retain(|_| {
            answers
                .next()
                .is_some_and(|answer| must_retry("put", answer))
        });
        if messages.is_empty() {
            return;
        }
        sleep(PAUSE).await;
    }
    panic!(
        "{} messages were not stored in {CALLS} calls",
        messages.len()
    );
}

/// Takes once; a call that may be made again is made again, within `wait`.
pub(super) async fn take(queue: &dyn Queue, max: usize, wait: Duration) -> Vec<Delivery> {
    let start = Instant::now();
    loop {
        match queue.take(max, wait.saturating_sub(start.elapsed())).await {
            Ok(taken) => {
                assert!(taken.len() <= max, "take({max}) gave {}", taken.len());
                if taken.is_empty() {
                    // A queue that answers early is called with a pause in between.
                    sleep(PAUSE.min(wait.saturating_sub(start.elapsed()))).await;
                }
                return taken;
            }
            Err(error) => assert!(error.is_transient(), "take: {error}"),
        }
        if start.elapsed() >= wait {
            return Vec::new();
        }
        sleep(PAUSE).await;
    }
}

/// Takes until `count` messages have come.
pub(super) async fn take_all(queue: &dyn Queue, count: usize, wait: Duration) -> Vec<Delivery> {
    let start = Instant::now();
    let mut taken = Vec::with_capacity(count);
    while taken.len() < count {
        let left = wait.saturating_sub(start.elapsed());
        taken.extend(take(queue, count - taken.len(), left).await);
        assert!(
            taken.len() == count || start.elapsed() < wait,
            "of {count} messages {} came within {wait:?}",
            taken.len()
        );
    }
    taken
}

/// Takes one message.
pub(super) async fn take_one(queue: &dyn Queue, wait: Duration) -> Delivery {
    take_all(queue, 1, wait).await.remove(0)
}

/// Checks that nothing can be taken for a while.
pub(super) async fn expect_nothing(queue: &dyn Queue, why: &str, time: Duration) {
    let start = Instant::now();
    loop {
        let taken = take(queue, 10, time.saturating_sub(start.elapsed())).await;
        assert!(
            taken.is_empty(),
            "{} messages came although {why}",
            taken.len()
        );
        if start.elapsed() >= time {
            return;
        }
    }
}

/// Acknowledges a live lease until that is done.
pub(super) async fn ack(queue: &dyn Queue, lease: &LeaseId) {
    assert!(
        ack_if_held(queue, lease).await,
        "live lease {lease} was answered as lost"
    );
}

/// Acknowledges a lease that may be lost meanwhile. True when it was not.
pub(super) async fn ack_if_held(queue: &dyn Queue, lease: &LeaseId) -> bool {
    for _ in 0..CALLS {
        match only(queue.ack(std::slice::from_ref(lease)).await) {
            Err(QueueError::LeaseLost(_)) => return false,
            answer => {
                if !must_retry("ack", answer) {
                    return true;
                }
            }
        }
        sleep(PAUSE).await;
    }
    panic!("lease {lease} was not answered in {CALLS} calls");
}

/// The answer for the only lease of a call.
pub(super) fn only(mut answers: Vec<Result<(), QueueError>>) -> Result<(), QueueError> {
    assert_eq!(answers.len(), 1, "one answer for each lease");
    answers.remove(0)
}

/// Checks that a live lease was answered as live.
pub(super) fn expect_done(verb: &str, answers: Vec<Result<(), QueueError>>) {
    if let Err(error) = only(answers) {
        panic!("{verb} of a live lease: {error}");
    }
}

/// Checks that a lost lease was answered as lost; where leases are best effort, `Ok` is an answer too.
pub(super) fn expect_lost(
    verb: &str,
    lease: &LeaseId,
    answers: Vec<Result<(), QueueError>>,
    promises: Promises,
) {
    match only(answers) {
        Err(QueueError::LeaseLost(named)) => assert_eq!(&named, lease, "{verb} names its lease"),
        Ok(()) => assert!(
            !promises.exact_leases,
            "{verb} of a lost lease was answered Ok"
        ),
        Err(error) => panic!("{verb} of a lost lease: {error}"),
    }
}

/// Whether a call is to be made again. Any error that forbids that is a broken promise.
fn must_retry(verb: &str, answer: Result<(), QueueError>) -> bool {
    match answer {
        Ok(()) => false,
        Err(error) if error.is_transient() => true,
        Err(error) => panic!("{verb}: {error}"),
    }
}
