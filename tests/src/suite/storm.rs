//! The storm: many tasks of every kind over any queue, and each future ends once, with the expected end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use podpool::{PodPoolExecutor, ReturnWhen, TaskError, TaskErrorKind, TaskFuture, wait};

use crate::bed::Bed;
use crate::run::row_limit;
use crate::story::failures;
use crate::tasks;

/// The longest time of a storm, less than a row's limit, so that the storm reports the tasks that have not ended.
fn storm_limit() -> Duration {
    row_limit() * 5 / 6
}

/// What a task of the storm must end with.
#[derive(Clone, Copy, Debug)]
enum End {
    Value(u64),
    Error(TaskErrorKind, usize),
}

/// The call of the n-th task, and its end.
fn submit(pool: &PodPoolExecutor, n: u64) -> (TaskFuture<u64>, End) {
    let ms = Duration::from_millis;
    let (call, end) = match n % 10 {
        0 => (tasks::storm_flaky(n, 2).retries(3), End::Value(n + 3)),
        1 => (
            tasks::storm_flaky(n, 9).retries(1),
            End::Error(TaskErrorKind::Failed, 2),
        ),
        2 => (tasks::slow(n, ms(5)), End::Value(n)),
        3 => (
            tasks::storm_panic(n),
            End::Error(TaskErrorKind::Panicked, 1),
        ),
        4 => (tasks::slow(n, ms(20)).timeout(ms(20_000)), End::Value(n)),
        5 => (tasks::echo_async(n).priority(2), End::Value(n)),
        _ => (tasks::echo(n), End::Value(n)),
    };
    (pool.submit(call), end)
}

fn judge(n: usize, ended: &Result<u64, TaskError>, end: End) -> Option<String> {
    let right = match (ended, end) {
        (Ok(value), End::Value(expected)) => *value == expected,
        (Err(error), End::Error(kind, attempts)) => {
            error.kind() == kind && failures(error) == attempts
        }
        _ => false,
    };
    (!right).then(|| format!("task {n} ended with {ended:?}, not with {end:?}"))
}

async fn storm(bed: &Bed, count: u64) {
    let pool = bed.pool(4).await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let (futures, ends): (Vec<_>, Vec<_>) = (0..count).map(|n| submit(&pool, n)).unzip();
    for future in &futures {
        let told = told.clone();
        future.on_done(move |handle| told.lock().unwrap().push(handle.id()));
    }
    let waited = wait(futures, ReturnWhen::All, Some(storm_limit())).await;
    let lost: Vec<_> = waited.not_done.iter().take(5).collect();
    assert!(
        lost.is_empty(),
        "{} tasks of {count} never ended: {lost:?}…",
        waited.not_done.len()
    );
    let mut wrong = Vec::new();
    for (n, (future, end)) in waited.done.into_iter().zip(ends).enumerate() {
        wrong.extend(judge(n, &future.await, end));
    }
    assert!(
        wrong.is_empty(),
        "{} ended wrong, the first: {}",
        wrong.len(),
        wrong[0]
    );
    pool.shutdown().await.unwrap();
    let told = told.lock().unwrap();
    let distinct: BTreeSet<_> = told.iter().collect();
    assert_eq!(
        (told.len(), distinct.len()),
        (count as usize, count as usize),
        "callbacks and distinct tasks"
    );
}

/// A thousand tasks.
pub async fn every_future_ends_once_and_right(bed: Bed) {
    storm(&bed, 1_000).await;
}

/// Two hundred tasks, for queues that lose messages: each loss costs three leases.
pub async fn lost_messages_are_published_again(bed: Bed) {
    storm(&bed, 200).await;
}

/// A map over the same queue keeps its order.
pub async fn a_map_keeps_its_order(bed: Bed) {
    let pool = bed.pool(4).await;
    let mut results = pool.map(0..500, tasks::echo);
    let all = async {
        for n in 0..500 {
            assert_eq!(results.next().await.unwrap().unwrap(), n);
        }
        assert!(results.next().await.is_none());
    };
    let over = tokio::time::timeout(storm_limit(), all).await;
    assert!(over.is_ok(), "the map was not done in time");
}

/// Slots that are killed meanwhile: no task is lost, and no other task is charged.
pub async fn slots_die_in_the_storm(bed: Bed) {
    let pool = bed.pool(3).await;
    let call = |n: u32| match n % 25 {
        7 => tasks::killed(1),
        _ => tasks::killed(0),
    };
    let futures: Vec<_> = (0..200).map(|n| pool.submit(call(n))).collect();
    let waited = wait(futures, ReturnWhen::All, Some(storm_limit())).await;
    assert!(
        waited.not_done.is_empty(),
        "{} never ended",
        waited.not_done.len()
    );
    for (n, future) in waited.done.into_iter().enumerate() {
        let ended = future.await;
        assert!(ended.is_ok(), "task {n} ended with {ended:?}");
    }
}
