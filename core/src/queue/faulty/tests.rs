//! Each fault alone, at its extreme, over a queue in memory.

use super::*;
use crate::queue::memory::MemoryQueue;

const LEASE: Duration = Duration::from_secs(10);
const NOW: Duration = Duration::ZERO;

fn faulty(set: impl FnOnce(&mut Faults)) -> Faulty<MemoryQueue> {
    let mut faults = Faults::none(7);
    set(&mut faults);
    let inner = MemoryQueue::new("tasks", QueueLimits::new(1 << 10, LEASE));
    Faulty::new(inner, faults)
}

const REFUSED: CallFaults = CallFaults {
    refused: 1.0,
    unanswered: 0.0,
};
const UNANSWERED: CallFaults = CallFaults {
    refused: 0.0,
    unanswered: 1.0,
};

async fn put(queue: &dyn Queue, bodies: &[&'static str]) -> Vec<Result<(), QueueError>> {
    let messages = bodies
        .iter()
        .map(|body| Bytes::from_static(body.as_bytes()));
    queue.put(messages.collect()).await
}

async fn take(queue: &dyn Queue, max: usize, wait: Duration) -> Vec<Delivery> {
    queue.take(max, wait).await.unwrap()
}

fn bodies(taken: &[Delivery]) -> Vec<&[u8]> {
    taken
        .iter()
        .map(|delivery| delivery.body.as_ref())
        .collect()
}

fn transient(answers: &[Result<(), QueueError>]) -> bool {
    let transient =
        |answer: &Result<_, QueueError>| answer.as_ref().is_err_and(QueueError::is_transient);
    !answers.is_empty() && answers.iter().all(transient)
}

#[tokio::test(start_paused = true)]
async fn without_faults_nothing_is_changed() {
    let queue = faulty(|_| {});
    put(&queue, &["a", "b"]).await;
    let taken = take(&queue, 9, NOW).await;
    assert_eq!(bodies(&taken), [b"a", b"b"]);
    assert!(queue.extend(&[taken[0].lease.clone()]).await[0].is_ok());
    assert!(queue.ack(&[taken[0].lease.clone()]).await[0].is_ok());
    assert!(queue.release(&[taken[1].lease.clone()]).await[0].is_ok());
    assert_eq!(queue.inner().len(), 1);
    assert_eq!(queue.counts(), FaultCounts::default());
    assert_eq!(queue.limits(), queue.inner().limits());
}

#[tokio::test(start_paused = true)]
async fn duplicates_are_stored_twice() {
    let queue = faulty(|faults| faults.duplicate = 1.0);
    assert_eq!(put(&queue, &["a"]).await.len(), 1);
    assert_eq!(bodies(&take(&queue, 9, NOW).await), [b"a", b"a"]);
    assert_eq!(queue.counts().duplicated, 1);
}

#[tokio::test(start_paused = true)]
async fn dropped_deliveries_stay_leased() {
    let queue = faulty(|faults| faults.drop = 1.0);
    put(&queue, &["a"]).await;
    assert!(take(&queue, 1, NOW).await.is_empty());
    assert_eq!(queue.inner().leased(), 1);
    tokio::time::advance(LEASE).await;
    assert_eq!(queue.inner().len(), 1);
    assert_eq!(queue.counts().dropped, 1);
}

#[tokio::test(start_paused = true)]
async fn reordered_messages_go_behind_the_others_and_still_come() {
    let queue = faulty(|faults| faults.reorder = 1.0);
    put(&queue, &["a", "b"]).await;
    assert_eq!(bodies(&take(&queue, 1, LEASE).await), [b"b"]);
    assert_eq!(queue.inner().len(), 1);
    assert_eq!(queue.counts().reordered, 1);
}

#[tokio::test(start_paused = true)]
async fn delayed_deliveries_come_when_their_time_is_over() {
    let pause = Duration::from_secs(3);
    let queue = faulty(|faults| {
        faults.delay = 1.0;
        faults.delay_for = pause..=pause;
    });
    put(&queue, &["a", "b"]).await;
    let start = Instant::now();
    assert!(take(&queue, 9, Duration::from_secs(1)).await.is_empty());
    assert_eq!(bodies(&take(&queue, 1, LEASE).await), [b"a"]);
    assert!(
        (pause..pause * 2).contains(&start.elapsed()),
        "{:?}",
        start.elapsed()
    );
    let second = take(&queue, 1, NOW).await;
    assert_eq!(bodies(&second), [b"b"]);
    assert!(queue.ack(&[second[0].lease.clone()]).await[0].is_ok());
    assert_eq!(queue.counts().delayed, 2);
}

#[tokio::test(start_paused = true)]
async fn ignored_acks_are_answered_and_the_message_comes_again() {
    let queue = faulty(|faults| faults.ignored_ack = 1.0);
    put(&queue, &["a"]).await;
    let lease = take(&queue, 1, NOW).await.remove(0).lease;
    assert!(queue.ack(&[lease]).await[0].is_ok());
    assert_eq!(queue.inner().leased(), 1);
    assert_eq!(queue.counts().ignored_acks, 1);
}

#[tokio::test(start_paused = true)]
async fn partial_puts_store_exactly_what_they_answer() {
    let queue = faulty(|faults| faults.partial_put = 0.5);
    let answers = put(&queue, &["a", "b", "c", "d", "e", "f", "g", "h"]).await;
    let stored = answers.iter().zip(b"abcdefgh");
    let stored = stored.filter(|(answer, _)| answer.is_ok());
    let stored: Vec<_> = stored.map(|(_, body)| vec![*body]).collect();
    assert_eq!(bodies(&take(&queue, 9, NOW).await), stored);
    let refused = queue.counts().partial_puts;
    assert!((1..8).contains(&refused), "{refused}");
    assert_eq!(refused as usize + stored.len(), 8);
}

#[tokio::test(start_paused = true)]
async fn a_lost_message_is_gone() {
    let queue = faulty(|faults| faults.lose = 1.0);
    put(&queue, &["a"]).await;
    assert!(take(&queue, 1, LEASE * 3).await.is_empty());
    assert_eq!((queue.inner().len(), queue.inner().leased()), (0, 0));
    assert_eq!(queue.counts().lost, 1);
}

#[tokio::test(start_paused = true)]
async fn refused_calls_do_nothing() {
    let queue = faulty(|faults| {
        faults.extend = REFUSED;
        faults.ack = REFUSED;
        faults.release = REFUSED;
    });
    put(&queue, &["a"]).await;
    let lease = [take(&queue, 1, NOW).await.remove(0).lease];
    assert!(transient(&queue.ack(&lease).await));
    assert!(transient(&queue.release(&lease).await));
    tokio::time::advance(LEASE / 2).await;
    assert!(transient(&queue.extend(&lease).await));
    assert_eq!(queue.inner().leased(), 1);
    tokio::time::advance(LEASE / 2).await;
    assert_eq!(queue.inner().leased(), 0);
    assert_eq!(queue.counts().refused, 3);

    let queue = faulty(|faults| (faults.put, faults.take) = (REFUSED, REFUSED));
    assert!(transient(&put(&queue, &["a", "b"]).await));
    put(queue.inner(), &["c"]).await;
    assert!(
        queue
            .take(1, NOW)
            .await
            .is_err_and(|error| error.is_transient())
    );
    assert_eq!((queue.inner().len(), queue.inner().leased()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn unanswered_calls_are_carried_out() {
    let queue = faulty(|faults| {
        faults.put = UNANSWERED;
        faults.extend = UNANSWERED;
        faults.ack = UNANSWERED;
        faults.release = UNANSWERED;
    });
    assert!(transient(&put(&queue, &["a", "b"]).await));
    let leases = take(&queue, 2, NOW)
        .await
        .into_iter()
        .map(|delivery| [delivery.lease]);
    let leases: Vec<_> = leases.collect();
    tokio::time::advance(LEASE / 2).await;
    assert!(transient(&queue.extend(&leases[0]).await));
    assert!(transient(&queue.release(&leases[1]).await));
    assert_eq!((queue.inner().len(), queue.inner().leased()), (1, 1));
    tokio::time::advance(LEASE / 2).await;
    assert!(transient(&queue.ack(&leases[0]).await));
    assert_eq!((queue.inner().len(), queue.inner().leased()), (1, 0));
    assert_eq!(queue.counts().unanswered, 4);

    let queue = faulty(|faults| faults.take = UNANSWERED);
    put(&queue, &["a"]).await;
    assert!(
        queue
            .take(1, NOW)
            .await
            .is_err_and(|error| error.is_transient())
    );
    assert_eq!(queue.inner().leased(), 1);
}

/// What a seed makes of the same calls.
async fn trace(seed: u64) -> (Vec<Vec<u8>>, FaultCounts) {
    let inner = MemoryQueue::new("tasks", QueueLimits::new(1 << 10, LEASE));
    let queue = Faulty::new(inner, Faults::chaos(seed));
    let mut seen = Vec::new();
    for round in 0..200_u32 {
        queue
            .put(vec![Bytes::from(round.to_le_bytes().to_vec())])
            .await;
        for delivery in queue
            .take(2, Duration::from_millis(50))
            .await
            .unwrap_or_default()
        {
            seen.push(delivery.body.to_vec());
            queue.ack(&[delivery.lease]).await;
        }
    }
    (seen, queue.counts())
}

#[tokio::test(start_paused = true)]
async fn a_seed_repeats_itself_and_differs_from_others() {
    let (seen, counts) = trace(1).await;
    assert_eq!((&seen, counts), (&trace(1).await.0, trace(1).await.1));
    assert_ne!(seen, trace(2).await.0);
    let some = [
        counts.duplicated,
        counts.dropped,
        counts.reordered,
        counts.delayed,
        counts.ignored_acks,
        counts.partial_puts,
        counts.refused,
        counts.unanswered,
    ];
    assert!(some.iter().all(|count| *count > 0), "{counts:?}");
    assert_eq!(counts.lost, 0);
}
