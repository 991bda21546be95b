//! `wait`: CPython's three conditions, its timeout, and its two sets.

use std::time::Duration;

use podpool::{ReturnWhen, TaskErrorKind, TaskState, wait};

use crate::bed::Bed;
use crate::run::within;
use crate::tasks;

/// All: returns when the last has ended, with everything in `done`, in the order given.
pub async fn all_waits_for_the_last(bed: Bed) {
    let pool = bed.pool(2).await;
    let futures: Vec<_> = (0..20).map(|n| pool.submit(tasks::echo(n))).collect();
    let ids: Vec<_> = futures.iter().map(|future| future.id()).collect();
    let waited = within("all", wait(futures, ReturnWhen::All, None)).await;
    assert!(waited.not_done.is_empty());
    let done: Vec<_> = waited.done.iter().map(|future| future.id()).collect();
    assert_eq!(done, ids);
    for (n, future) in waited.done.into_iter().enumerate() {
        assert_eq!(future.await.unwrap(), n as u64);
    }
}

/// `FirstCompleted`: the first end is enough, whether it is a result or an error.
pub async fn first_completed_returns_at_the_first(bed: Bed) {
    let gate = bed.gate();
    let pool = bed.pool(bed.room_for(2)).await;
    let futures: Vec<_> = (0..2)
        .map(|n| pool.submit(tasks::hold(gate.address(), n)))
        .collect();
    let (first, second) = (gate.arrival().await, gate.arrival().await);
    let name = first.name;
    first.let_go();
    let waited = within("the first", wait(futures, ReturnWhen::FirstCompleted, None)).await;
    assert_eq!((waited.done.len(), waited.not_done.len()), (1, 1));
    for future in waited.done {
        assert_eq!(future.await.unwrap(), name);
    }
    second.let_go();
    for future in waited.not_done {
        within("the second", future).await.unwrap();
    }
}

/// `FirstException`: returns at a failure, though others have not ended.
pub async fn first_exception_returns_at_a_failure(bed: Bed) {
    let gate = bed.gate();
    let pool = bed.pool(bed.room_for(2)).await;
    let held = pool.submit(tasks::hold(gate.address(), 1));
    let guest = gate.arrival().await;
    let failing = pool.submit(tasks::flaky(9));
    let good = pool.submit(tasks::flaky(0));
    let waited = wait([held, failing, good], ReturnWhen::FirstException, None);
    let waited = within("the failure", waited).await;
    assert!(
        waited
            .done
            .iter()
            .any(|future| future.state() == TaskState::Failed)
    );
    assert!(waited.not_done.iter().any(|future| !future.is_done()));
    guest.let_go();
    for future in waited.not_done {
        within("the others", future).await.unwrap();
    }
}

/// `FirstException`: a cancelled future has not failed.
pub async fn first_exception_ignores_a_cancelled_future(bed: Bed) {
    let gate = bed.gate();
    let pool = bed.pool(bed.room_for(2)).await;
    let held = pool.submit(tasks::hold(gate.address(), 1));
    let cancelled = pool.submit(tasks::hold(gate.address(), 2));
    let guests = [gate.arrival().await, gate.arrival().await];
    within("the cancel", cancelled.cancel()).await;
    let waited = wait(
        [held, cancelled],
        ReturnWhen::FirstException,
        Some(Duration::from_millis(200)),
    );
    let waited = within("the timeout", waited).await;
    assert_eq!((waited.done.len(), waited.not_done.len()), (1, 1));
    drop(guests);
    let waited = wait(waited.not_done, ReturnWhen::FirstException, None);
    let waited = within("the other", waited).await;
    assert_eq!(waited.done.len(), 1);
}

/// `FirstException`: without a failure it is `All`.
pub async fn first_exception_without_a_failure_is_all(bed: Bed) {
    let pool = bed.pool(2).await;
    let futures: Vec<_> = (0..20).map(|n| pool.submit(tasks::echo(n))).collect();
    let waited = within("all", wait(futures, ReturnWhen::FirstException, None)).await;
    assert_eq!((waited.done.len(), waited.not_done.len()), (20, 0));
}

/// A timeout is no error, and cancels nothing.
pub async fn a_timeout_returns_and_cancels_nothing(bed: Bed) {
    let gate = bed.gate();
    let pool = bed.pool(1).await;
    let quick = pool.submit(tasks::echo(1));
    let quick = within("the quick one", wait([quick], ReturnWhen::All, None)).await;
    let held = pool.submit(tasks::echo_behind(gate.address(), 2));
    let guest = gate.arrival().await;
    let futures = quick.done.into_iter().chain([held]);
    let limit = Some(Duration::from_millis(100));
    let waited = within("the timeout", wait(futures, ReturnWhen::All, limit)).await;
    assert_eq!((waited.done.len(), waited.not_done.len()), (1, 1));
    guest.let_go();
    for future in waited.not_done {
        assert_eq!(within("the held one", future).await.unwrap(), 2);
    }
}

/// A timeout of zero checks the futures once.
pub async fn a_timeout_of_zero_checks_once(bed: Bed) {
    let gate = bed.gate();
    let pool = bed.pool(1).await;
    let held = pool.submit(tasks::hold(gate.address(), 1));
    let guest = gate.arrival().await;
    let waited = within(
        "a look",
        wait([held], ReturnWhen::All, Some(Duration::ZERO)),
    )
    .await;
    assert_eq!((waited.done.len(), waited.not_done.len()), (0, 1));
    drop(guest);
}

/// No futures: nothing to wait for, under every condition.
pub async fn an_empty_wait_returns_at_once(bed: Bed) {
    let _pool = bed.pool(1).await;
    for when in [
        ReturnWhen::All,
        ReturnWhen::FirstCompleted,
        ReturnWhen::FirstException,
    ] {
        let waited = within("nothing", wait::<u64>([], when, None)).await;
        assert!(waited.done.is_empty() && waited.not_done.is_empty());
    }
}

/// A future that has ended before the wait counts at once.
pub async fn a_done_future_counts_at_once(bed: Bed) {
    let gate = bed.gate();
    let pool = bed.pool(bed.room_for(2)).await;
    let quick = pool.submit(tasks::echo(1));
    let quick = within("the quick one", wait([quick], ReturnWhen::All, None))
        .await
        .done;
    let held = pool.submit(tasks::echo_behind(gate.address(), 2));
    let guest = gate.arrival().await;
    let futures = [held].into_iter().chain(quick);
    let waited = within("a look", wait(futures, ReturnWhen::FirstCompleted, None)).await;
    assert_eq!((waited.done.len(), waited.not_done.len()), (1, 1));
    drop(guest);
}

/// An abort ends every wait for a task of the pool.
pub async fn an_abort_ends_every_wait(bed: Bed) {
    let gate = bed.gate();
    let pool = bed.pool(1).await;
    let futures: Vec<_> = (0..10)
        .map(|n| pool.submit(tasks::hold(gate.address(), n)))
        .collect();
    let guest = gate.arrival().await;
    let abort = pool.shutdown_with(podpool::ShutdownBehavior::Abort);
    let waiting = wait(futures, ReturnWhen::All, None);
    let (waited, ended) = within("the abort", async { tokio::join!(waiting, abort) }).await;
    ended.unwrap();
    assert_eq!(waited.done.len(), 10);
    for future in waited.done {
        assert_eq!(future.await.unwrap_err().kind(), TaskErrorKind::ShutDown);
    }
    drop(guest);
}
