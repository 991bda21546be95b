//! Timeouts: the time of one attempt, without its time in a queue; and the independent limit of a wait.

use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use podpool::error::Cause;
use podpool::{TaskErrorKind, TaskState};

use crate::bed::{Bed, goes_on};
use crate::run::within;
use crate::story::{failed, failures};
use crate::tasks;

/// An async task is stopped.
pub async fn an_async_task_is_stopped(bed: Bed) {
    let gate = bed.gate();
    let pool = bed.pool(1).await;
    let held = pool.submit(tasks::hold(gate.address(), 0).timeout(bed.short()));
    let guest = gate.arrival().await;
    let error = within("the timeout", held).await.unwrap_err();
    assert_eq!(error.kind(), TaskErrorKind::TimedOut);
    assert_eq!(failures(&error), 1);
    guest.vanished().await;
    goes_on(&pool).await;
}

/// A blocking task's process is killed.
pub async fn a_blocking_task_is_killed(bed: Bed) {
    let gate = bed.gate();
    let pool = bed.pool(1).await;
    let blocked = pool.submit(tasks::block(gate.address(), 0).timeout(bed.short()));
    let guest = gate.arrival().await;
    let error = within("the timeout", blocked).await.unwrap_err();
    assert_eq!(error.kind(), TaskErrorKind::TimedOut);
    guest.vanished().await;
    goes_on(&pool).await;
}

/// Without processes a blocking task is left behind, and the pool continues.
pub async fn a_blocking_task_holds_nothing_up(bed: Bed) {
    let gate = bed.gate();
    let pool = bed.pool(1).await;
    let blocked = pool.submit(tasks::block(gate.address(), 0).timeout(bed.short()));
    let guest = gate.arrival().await;
    let error = within("the timeout", blocked).await.unwrap_err();
    assert_eq!(error.kind(), TaskErrorKind::TimedOut);
    goes_on(&pool).await;
    drop(guest);
}

/// Waiting in the queue does not count.
pub async fn queueing_does_not_count(bed: Bed) {
    let gate = bed.gate();
    let pool = bed.pool(1).await;
    let mut held = pool.submit(tasks::hold(gate.address(), 0));
    let guest = gate.arrival().await;
    let queued: Vec<_> = (0..5)
        .map(|n| pool.submit(tasks::echo_async(n).timeout(4 * bed.short())))
        .collect();
    // Longer than the timeout of the queued tasks: if their time in the queue counted, all of them would be timed out.
    let waited = held.result(5 * bed.short()).await;
    assert!(waited.is_err(), "it went through the gate: {waited:?}");
    guest.let_go();
    within("the holder", held).await.unwrap();
    within("the queued ones", try_join_all(queued))
        .await
        .unwrap();
}

/// Each attempt has its own time.
pub async fn each_attempt_has_its_own_time(bed: Bed) {
    let pool = bed.pool(1).await;
    // The third attempt returns at once, but a busy machine may delay even that: hence four times the short time.
    let call = tasks::slow_at_first(Duration::from_secs(60))
        .timeout(4 * bed.short())
        .retries(2);
    let mut future = pool.submit(call);
    let result = future.result(crate::run::step_limit()).await.unwrap();
    assert_eq!(result.unwrap(), 3);
    let attempts = future.attempts();
    let causes: Vec<_> = failed(&attempts)
        .iter()
        .map(|attempt| attempt.cause)
        .collect();
    assert_eq!(causes, [Cause::TimedOut; 2]);
}

/// Tasks of the same batch, and tasks in other slots, return their results.
pub async fn other_tasks_are_not_affected(bed: Bed) {
    let gate = bed.gate();
    let pool = bed.pool(2).await;
    let warm: Vec<_> = (0..20)
        .map(|n| pool.submit(tasks::hold("nowhere".into(), n)))
        .collect();
    within("the warm-up", try_join_all(warm)).await.unwrap();
    let call = |n: u32| match n {
        77 => tasks::hold(gate.address(), n).timeout(bed.short()),
        _ => tasks::hold("nowhere".into(), n).timeout(Duration::from_secs(20)),
    };
    let futures: Vec<_> = (0..200).map(|n| pool.submit(call(n))).collect();
    let results = within("all", join_all(futures)).await;
    for (n, result) in (0..).zip(results) {
        match result {
            Ok(name) => assert_eq!(name, n),
            Err(error) => assert_eq!((n, error.kind()), (77, TaskErrorKind::TimedOut)),
        }
    }
}

/// A timeout of `result` ends the wait, and cancels no task.
pub async fn giving_up_a_wait_never_cancels(bed: Bed) {
    let gate = bed.gate();
    let pool = bed.pool(1).await;
    let mut held = pool.submit(tasks::hold(gate.address(), 4));
    let guest = gate.arrival().await;
    for _ in 0..3 {
        let waited = held.result(Duration::from_millis(20)).await;
        assert!(waited.is_err(), "{waited:?}");
    }
    assert_ne!(held.state(), TaskState::Cancelled);
    guest.let_go();
    let first = held.result(crate::run::step_limit()).await.unwrap();
    assert_eq!(first.unwrap(), 4);
    let again = held.result(Duration::ZERO).await.unwrap();
    assert_eq!(again.unwrap(), 4, "a result can be asked for again");
}

/// A task that is quick enough is never stopped, many times over.
pub async fn a_quick_task_is_never_stopped(bed: Bed) {
    let pool = bed.pool(2).await;
    let call = |n| tasks::echo(n).timeout(Duration::from_secs(10));
    let futures: Vec<_> = (0..500).map(|n| pool.submit(call(n))).collect();
    let results = within("all", try_join_all(futures)).await.unwrap();
    assert_eq!(results, (0..500).collect::<Vec<_>>());
}

/// `Duration::MAX` is no timeout, neither for the task nor for the wait. A sum of moments would overflow here.
pub async fn a_timeout_without_end_is_none(bed: Bed) {
    let pool = bed.pool(2).await;
    let beside = pool.submit(tasks::echo(1));
    let mut endless = pool.submit(tasks::echo(2).timeout(Duration::MAX));
    let result = within("the endless", endless.result(Duration::MAX)).await;
    assert_eq!(result.unwrap().unwrap(), 2);
    let long = tasks::echo(3).timeout(Duration::from_secs(i64::MAX as u64));
    assert_eq!(within("the long", pool.submit(long)).await.unwrap(), 3);
    assert_eq!(within("the other", beside).await.unwrap(), 1);
    goes_on(&pool).await;
}

/// A task with a timeout of zero is rejected before it is published, and the message names the timeout.
pub async fn a_timeout_of_zero_is_rejected(bed: Bed) {
    let pool = bed.pool(1).await;
    let none = pool.submit(tasks::echo(1).timeout(Duration::ZERO));
    let error = within("the refusal", none).await.unwrap_err();
    assert_eq!(error.kind(), TaskErrorKind::Rejected);
    assert!(error.message().contains("timeout is zero"), "{error}");
    assert!(error.attempts().is_empty(), "{error}");
    goes_on(&pool).await;
}
