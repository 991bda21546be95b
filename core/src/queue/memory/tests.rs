//! What a paused clock, dropped futures and several threads show of the memory queue.

use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::FutureExt;
use futures_util::poll;

use super::*;

const LEASE: Duration = Duration::from_secs(10);
const LONG: Duration = Duration::from_secs(3_600);

fn queue() -> MemoryQueue {
    MemoryQueue::new("tasks", QueueLimits::new(1 << 10, LEASE))
}

async fn put(queue: &MemoryQueue, bodies: &[&'static str]) {
    let messages = bodies
        .iter()
        .map(|body| Bytes::from_static(body.as_bytes()));
    for answer in queue.put(messages.collect()).await {
        answer.unwrap();
    }
}

fn bodies(taken: &[Delivery]) -> Vec<&[u8]> {
    taken
        .iter()
        .map(|delivery| delivery.body.as_ref())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn counts_follow_the_clock() {
    let queue = queue();
    put(&queue, &["a", "b", "c"]).await;
    queue.take(2, Duration::ZERO).await.unwrap();
    assert_eq!((queue.len(), queue.leased()), (1, 2));
    tokio::time::advance(LEASE).await;
    assert_eq!((queue.len(), queue.leased()), (3, 0));
    assert!(!queue.is_empty());
}

#[tokio::test(start_paused = true)]
async fn released_and_expired_messages_go_to_the_front_in_their_order() {
    let queue = queue();
    put(&queue, &["a", "b", "c", "d", "e"]).await;
    let first = queue.take(2, Duration::ZERO).await.unwrap();
    let leases: Vec<_> = first.into_iter().map(|delivery| delivery.lease).collect();
    for answer in queue.release(&leases).await {
        answer.unwrap();
    }
    let taken = queue.take(3, Duration::ZERO).await.unwrap();
    assert_eq!(bodies(&taken), [b"a", b"b", b"c"]);
    tokio::time::advance(LEASE).await;
    let again = queue.take(9, Duration::ZERO).await.unwrap();
    assert_eq!(bodies(&again), [b"a", b"b", b"c", b"d", b"e"]);
}

#[tokio::test(start_paused = true)]
async fn an_expiry_that_began_after_a_taker_slept_wakes_every_waiting_taker() {
    let queue = queue();
    let mut one = queue.take(1, LONG);
    let mut two = queue.take(1, LONG);
    assert!(poll!(&mut one).is_pending());
    assert!(poll!(&mut two).is_pending());
    put(&queue, &["a"]).await;
    // The first was notified and takes; the second was not, and only its own timer can wake it.
    let start = Instant::now();
    assert_eq!(bodies(&one.await.unwrap()), [b"a"]);
    assert_eq!(bodies(&two.await.unwrap()), [b"a"]);
    let waited = start.elapsed();
    assert!(
        (LEASE..LEASE + Duration::from_millis(5)).contains(&waited),
        "{waited:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_taker_dropped_after_its_notification_notifies_the_next() {
    let queue = queue();
    let mut one = queue.take(1, LONG);
    let mut two = queue.take(1, LONG);
    assert!(poll!(&mut one).is_pending());
    assert!(poll!(&mut two).is_pending());
    put(&queue, &["a"]).await;
    drop(one);
    let start = Instant::now();
    assert_eq!(bodies(&two.await.unwrap()), [b"a"]);
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn one_put_of_many_wakes_as_many_takers_as_it_can_serve() {
    let queue = queue();
    let takers = futures_util::future::join_all((0..3).map(|_| queue.take(1, LONG)));
    let start = Instant::now();
    let (taken, ()) = futures_util::join!(takers, put(&queue, &["a", "b", "c"]));
    assert!(taken.iter().all(|taken| taken.as_ref().unwrap().len() == 1));
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_release_wakes_a_waiting_taker() {
    let queue = queue();
    put(&queue, &["a"]).await;
    let lease = [queue.take(1, Duration::ZERO).await.unwrap().remove(0).lease];
    let start = Instant::now();
    let (taken, released) = futures_util::join!(queue.take(1, LONG), queue.release(&lease));
    assert_eq!(bodies(&taken.unwrap()), [b"a"]);
    assert!(released[0].is_ok());
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn the_longest_durations_are_taken_as_never() {
    let queue = MemoryQueue::new("tasks", QueueLimits::new(1, Duration::MAX));
    assert!(queue.take(1, Duration::MAX).now_or_never().is_none());
    put(&queue, &["a"]).await;
    assert_eq!(queue.take(1, Duration::MAX).await.unwrap().len(), 1);
    assert_eq!(queue.leased(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lease_of_no_time_lasts_a_millisecond() {
    let queue = MemoryQueue::new("tasks", QueueLimits::new(1, Duration::ZERO));
    assert_eq!(queue.limits().lease, Duration::from_millis(1));
    put(&queue, &["a"]).await;
    let lease = queue.take(1, Duration::ZERO).await.unwrap().remove(0).lease;
    assert!(queue.ack(&[lease]).await[0].is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_lease_of_another_queue_is_lost_here() {
    let (tasks, results) = (queue(), MemoryQueue::local("results"));
    put(&tasks, &["a"]).await;
    put(&results, &["b"]).await;
    let foreign = results
        .take(1, Duration::ZERO)
        .await
        .unwrap()
        .remove(0)
        .lease;
    tasks.take(1, Duration::ZERO).await.unwrap();
    let answer = tasks.ack(std::slice::from_ref(&foreign)).await.remove(0);
    assert!(matches!(answer, Err(QueueError::LeaseLost(lease)) if lease == foreign));
    assert_eq!(tasks.leased(), 1);
}

#[test]
fn what_does_not_wait_needs_no_runtime() {
    let queue = queue();
    let taken = queue.take(1, Duration::ZERO).now_or_never().unwrap();
    assert!(taken.unwrap().is_empty());
    queue
        .put(vec![Bytes::from_static(b"a")])
        .now_or_never()
        .unwrap()
        .remove(0)
        .unwrap();
    let taken = queue.take(1, LONG).now_or_never().unwrap().unwrap();
    assert!(queue.ack(&[taken[0].lease.clone()]).now_or_never().unwrap()[0].is_ok());
}

/// Messages that each of two putters stores.
const EACH: u32 = 5_000;

/// Takers on runtimes of their own, with real time, against putters without any: nothing is lost or doubled.
#[test]
fn several_runtimes_share_a_queue() {
    let queue = MemoryQueue::local("tasks");
    let answered = AtomicU32::new(0);
    let mut seen: Vec<u32> = std::thread::scope(|scope| {
        let takers: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| run_taker(&queue, &answered)))
            .collect();
        for putter in 0..2 {
            let queue = &queue;
            scope.spawn(move || run_putter(queue, putter));
        }
        let seen = takers.into_iter().map(|taker| taker.join().unwrap());
        seen.flatten().collect()
    });
    seen.sort_unstable();
    assert_eq!(seen, (0..2 * EACH).collect::<Vec<_>>());
    assert_eq!((queue.len(), queue.leased()), (0, 0));
}

fn run_putter(queue: &MemoryQueue, putter: u32) {
    for number in putter * EACH..(putter + 1) * EACH {
        let body = Bytes::from(number.to_le_bytes().to_vec());
        let answers = queue.put(vec![body]).now_or_never().unwrap();
        assert!(answers[0].is_ok());
    }
}

/// Takes and acknowledges until all takers together have answered everything, or 30 s have passed.
fn run_taker(queue: &MemoryQueue, answered: &AtomicU32) -> Vec<u32> {
    let work = async {
        let mut seen = Vec::new();
        let end = Instant::now() + Duration::from_secs(30);
        while answered.load(Ordering::Relaxed) < 2 * EACH && Instant::now() < end {
            for delivery in queue.take(7, Duration::from_millis(20)).await.unwrap() {
                let body = delivery.body.as_ref().try_into().unwrap();
                seen.push(u32::from_le_bytes(body));
                queue.ack(&[delivery.lease]).await.remove(0).unwrap();
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }
        seen
    };
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().build().unwrap().block_on(work)
}
