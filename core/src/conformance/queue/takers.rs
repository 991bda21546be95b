//! Checks of takers: how they wait, and that many at once neither share nor miss a message.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::join;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::Promises;
use super::steps::{
    ack, ack_if_held, expect_done, expect_nothing, number, numbered, return_time, store, take,
    take_one,
};
use crate::lock::lock;
use crate::queue::{Delivery, Queue};

/// Longer than any check waits for a message that is there.
const LONG: Duration = Duration::from_secs(60);

/// Takers at once in the checks that count messages.
const TAKERS: u32 = 4;

/// Messages of one `put` in those checks.
const BATCH: u32 = 500;

/// A `take` of an empty queue ends when its time is over; a patient queue's no sooner.
///
/// # Panics
/// When the promise is broken.
pub async fn an_empty_take_waits_its_time(queue: &dyn Queue, promises: Promises) {
    for wait in [Duration::ZERO, Duration::from_millis(250)] {
        let start = Instant::now();
        match queue.take(1, wait).await {
            Ok(taken) => assert!(taken.is_empty(), "an empty queue gave a message"),
            Err(error) => panic!("take: {error}"),
        }
        let waited = start.elapsed();
        assert!(
            waited <= wait + promises.slack,
            "take({wait:?}) took {waited:?}"
        );
        assert!(
            waited >= wait || !promises.patient,
            "take({wait:?}) took only {waited:?}"
        );
    }
}

/// A message that is stored while a taker waits comes to it long before its time is over.
///
/// # Panics
/// When the promise is broken.
pub async fn a_put_wakes_a_waiting_take(queue: &dyn Queue, promises: Promises) {
    let pause = Duration::from_millis(100);
    let start = Instant::now();
    let put = async {
        sleep(pause).await;
        store(queue, vec![numbered(1)]).await;
    };
    let (delivery, ()) = join!(take_one(queue, LONG), put);
    assert_eq!(delivery.body, numbered(1));
    let waited = start.elapsed();
    assert!(
        waited <= pause + promises.slack,
        "the waiting taker got it after {waited:?}"
    );
}

/// A message that is released, or whose lease expires, while a taker waits comes to that taker in time.
///
/// # Panics
/// When the promise is broken.
pub async fn a_return_wakes_a_waiting_take(queue: &dyn Queue, promises: Promises) {
    let lease = queue.limits().lease;
    store(queue, vec![numbered(1)]).await;
    let first = [take_one(queue, return_time(queue, promises)).await.lease];
    let pause = lease / 4;
    let release = async {
        sleep(pause).await;
        expect_done("release", queue.release(&first).await);
        Instant::now()
    };
    let (_, released) = join!(take_one(queue, LONG), release);
    let waited = released.elapsed();
    assert!(
        waited <= promises.slack,
        "the waiting taker got a released message after {waited:?}"
    );
    let taken = Instant::now();
    sleep(lease / 2).await;
    take_one(queue, return_time(queue, promises)).await;
    let away = taken.elapsed();
    assert!(
        away <= lease + promises.slack || !promises.exact_leases,
        "the waiting taker got a message of an expired lease after {away:?}"
    );
}

/// A `take` that is dropped while it waits loses no message and no other taker's waking.
///
/// # Panics
/// When the promise is broken.
pub async fn a_dropped_take_loses_nothing(queue: &dyn Queue, promises: Promises) {
    let wait = return_time(queue, promises);
    assert!(
        timeout(Duration::from_millis(50), queue.take(1, LONG))
            .await
            .is_err(),
        "it waits"
    );
    store(queue, vec![numbered(1)]).await;
    ack(queue, &take_one(queue, wait).await.lease).await;

    let mut first = queue.take(1, LONG);
    let early = timeout(Duration::from_millis(50), &mut first).await;
    assert!(early.is_err(), "the queue is empty");
    let put_and_drop = async {
        sleep(Duration::from_millis(50)).await;
        store(queue, vec![numbered(2)]).await;
        drop(first);
    };
    let (delivery, ()) = join!(take_one(queue, wait), put_and_drop);
    assert_eq!(delivery.body, numbered(2));
    ack(queue, &delivery.lease).await;
}

/// Takers at once never hold the same message or lease.
///
/// # Panics
/// When the promise is broken.
pub async fn takers_share_no_lease(queue: &dyn Queue, promises: Promises) {
    const MESSAGES: u32 = 200;
    store(queue, (0..MESSAGES).map(numbered).collect()).await;
    let start = Instant::now();
    // Half a lease: nothing that was taken here can have come again.
    let share = queue.limits().lease / 2;
    let taker = async || {
        let mut held: Vec<Delivery> = Vec::new();
        while start.elapsed() < share {
            let taken = take(queue, 7, Duration::ZERO).await;
            if taken.is_empty() && promises.patient {
                break;
            }
            // Time must pass here, or a clock that stands still while there is work would never end this.
            sleep(Duration::from_millis(1)).await;
            held.extend(taken);
        }
        held
    };
    let held = join_all((0..TAKERS * 2).map(|_| taker())).await.concat();
    let leases: HashSet<_> = held.iter().map(|delivery| &delivery.lease).collect();
    assert_eq!(leases.len(), held.len(), "two takers hold the same lease");
    let bodies: HashSet<_> = held.iter().map(|delivery| &delivery.body).collect();
    if promises.exactly_once {
        assert_eq!(bodies.len(), held.len(), "two takers hold the same message");
        assert_eq!(
            bodies.len(),
            MESSAGES as usize,
            "the messages that were taken"
        );
    }
}

/// Many messages, stored and taken by several at once, come exactly once if each is acknowledged in time.
/// Where the queue may repeat messages, each comes at least once.
///
/// # Panics
/// When the promise is broken.
pub async fn exactly_once(queue: &Arc<dyn Queue>, messages: u32, promises: Promises) {
    all_come(queue, messages, promises).await;
    if promises.exactly_once {
        let time = queue.limits().lease * 2;
        expect_nothing(queue.as_ref(), "all were acknowledged", time).await;
    }
}

/// Stores, takes and acknowledges until every message has come.
pub(super) async fn all_come(queue: &Arc<dyn Queue>, messages: u32, promises: Promises) {
    let seen = Arc::new(Seen::new(messages));
    let mut tasks = JoinSet::new();
    for _ in 0..TAKERS {
        let (queue, seen) = (Arc::clone(queue), Arc::clone(&seen));
        tasks.spawn(async move {
            while !seen.complete() {
                for delivery in take(queue.as_ref(), 16, Duration::from_millis(100)).await {
                    let times = seen.record(&delivery);
                    assert!(
                        times == 1 || !promises.exactly_once,
                        "a message came {times} times"
                    );
                    ack_if_held(queue.as_ref(), &delivery.lease).await;
                }
            }
        });
    }
    spawn_putters(&mut tasks, queue, messages);
    finish(tasks).await;
}

/// Many messages, and takers that release some, forget some and renew some: each comes at least once, and when
/// all are acknowledged the queue falls silent. This holds for a queue with faults too.
///
/// # Panics
/// When the promise is broken.
pub async fn at_least_once(queue: &Arc<dyn Queue>, messages: u32) {
    let seen = Arc::new(Seen::new(messages));
    let mut tasks = JoinSet::new();
    spawn_putters(&mut tasks, queue, messages);
    for _ in 0..TAKERS {
        let (queue, seen) = (Arc::clone(queue), Arc::clone(&seen));
        tasks.spawn(async move { drain(queue.as_ref(), &seen).await });
    }
    finish(tasks).await;
    assert!(
        seen.complete(),
        "{} of {messages} messages never came",
        seen.missing()
    );
}

/// Takes until nothing came for so long that whatever was leased would have come again.
async fn drain(queue: &dyn Queue, seen: &Seen) {
    let lease = queue.limits().lease;
    let quiet = lease * 4 + Duration::from_secs(1);
    let mut last = Instant::now();
    let mut turn = 0_u32;
    while last.elapsed() < quiet {
        for delivery in take(queue, 16, lease / 2).await {
            last = Instant::now();
            turn += 1;
            seen.record(&delivery);
            let lease = [delivery.lease];
            match turn % 16 {
                3 => drop(queue.release(&lease).await),
                7 => {}
                other => {
                    if other == 11 {
                        queue.extend(&lease).await;
                    }
                    ack_if_held(queue, &lease[0]).await;
                }
            }
        }
    }
}

fn spawn_putters(tasks: &mut JoinSet<()>, queue: &Arc<dyn Queue>, messages: u32) {
    for first in (0..messages).step_by(BATCH as usize) {
        let queue = Arc::clone(queue);
        let last = messages.min(first + BATCH);
        let batch = (first..last).map(numbered).collect();
        tasks.spawn(async move { store(queue.as_ref(), batch).await });
    }
}

/// Waits for all; a check that failed in one of them fails here.
async fn finish(mut tasks: JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            match error.try_into_panic() {
                Ok(reason) => std::panic::resume_unwind(reason),
                Err(error) => panic!("a taker was stopped: {error}"),
            }
        }
    }
}

/// How often each message came.
struct Seen(Mutex<Counts>);

struct Counts {
    times: Vec<u32>,
    missing: usize,
}

impl Seen {
    fn new(messages: u32) -> Self {
        Self(Mutex::new(Counts {
            times: vec![0; messages as usize],
            missing: messages as usize,
        }))
    }

    /// Counts a delivery, and returns which time it is for its message.
    fn record(&self, delivery: &Delivery) -> u32 {
        let number = number(&delivery.body);
        let mut counts = lock(&self.0);
        let Some(times) = counts.times.get_mut(number as usize) else {
            panic!("message {number} came, which nobody stored");
        };
        *times += 1;
        let times = *times;
        counts.missing -= usize::from(times == 1);
        times
    }

    fn missing(&self) -> usize {
        lock(&self.0).missing
    }

    fn complete(&self) -> bool {
        self.missing() == 0
    }
}
