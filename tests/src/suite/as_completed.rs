//! `as_completed`: each future once, those that have ended first, then in the order of their ends.

use std::collections::BTreeSet;
use std::time::Duration;

use podpool::{ReturnWhen, TaskState, as_completed, wait};

use crate::bed::Bed;
use crate::run::within;
use crate::tasks;

/// No future is left out, none comes twice, and each is done when it comes.
pub async fn each_future_comes_once(bed: Bed) {
    let pool = bed.pool(3).await;
    let futures: Vec<_> = (0..300).map(|n| pool.submit(tasks::echo(n))).collect();
    let mut completed = as_completed(futures);
    assert_eq!(completed.remaining(), 300);
    let mut seen = BTreeSet::new();
    while let Some(future) = within("the next", completed.next()).await {
        assert!(future.is_done());
        assert!(seen.insert(future.await.unwrap()), "one came twice");
    }
    assert_eq!(seen, (0..300).collect());
    assert_eq!(completed.remaining(), 0);
}

/// Futures that have ended come before those that end later.
pub async fn done_futures_come_first(bed: Bed) {
    let gate = bed.gate();
    let pool = bed.pool(bed.room_for(2)).await;
    let held = pool.submit(tasks::echo_behind(gate.address(), 1));
    let guest = gate.arrival().await;
    let done = pool.submit(tasks::echo(2));
    let done = within("the quick one", wait([done], ReturnWhen::All, None))
        .await
        .done;
    let mut completed = as_completed([held].into_iter().chain(done));
    let first = within("the first", completed.next()).await.unwrap();
    assert_eq!(first.await.unwrap(), 2);
    guest.let_go();
    let second = within("the second", completed.next()).await.unwrap();
    assert_eq!(second.await.unwrap(), 1);
    assert!(completed.next().await.is_none());
}

/// Futures that end later come in the order of their ends, not in the order of the input.
pub async fn futures_come_in_the_order_of_their_ends(bed: Bed) {
    let gate = bed.gate();
    let pool = bed.pool(bed.room_for(3)).await;
    let futures: Vec<_> = (0..3)
        .map(|n| pool.submit(tasks::hold(gate.address(), n)))
        .collect();
    let mut guests = [
        gate.arrival().await,
        gate.arrival().await,
        gate.arrival().await,
    ];
    // Three slots start in any order, so the tasks arrive in any order.
    guests.sort_by_key(|guest| guest.name);
    let mut completed = as_completed(futures);
    let [zero, one, two] = guests;
    for (guest, name) in [(one, 1), (two, 2), (zero, 0)] {
        guest.let_go();
        let future = within("the next", completed.next()).await.unwrap();
        assert_eq!(future.await.unwrap(), name);
    }
}

/// Failed and cancelled futures come like any other.
pub async fn failed_and_cancelled_futures_come_too(bed: Bed) {
    let gate = bed.gate();
    let pool = bed.pool(1).await;
    let held = pool.submit(tasks::hold(gate.address(), 0));
    let guest = gate.arrival().await;
    let failing = pool.submit(tasks::flaky(9));
    let cancelled = pool.submit(tasks::flaky(0));
    // The only slot is held, so the cancel comes before the task could run.
    within("the cancel", cancelled.cancel()).await;
    guest.let_go();
    let mut completed = as_completed([held, failing, cancelled]);
    let mut states = Vec::new();
    while let Some(future) = within("the next", completed.next()).await {
        states.push(future.state());
    }
    assert_eq!(states.len(), 3);
    for state in [TaskState::Done, TaskState::Failed, TaskState::Cancelled] {
        assert!(
            states.contains(&state),
            "{state:?} is missing from {states:?}"
        );
    }
}

/// The timeout reports how many are left, once; the rest can be waited for.
pub async fn a_timeout_counts_the_rest_and_cancels_nothing(bed: Bed) {
    let gate = bed.gate();
    let pool = bed.pool(1).await;
    let done = pool.submit(tasks::echo(7));
    let done = within("the quick one", wait([done], ReturnWhen::All, None))
        .await
        .done;
    let held = pool.submit(tasks::echo_behind(gate.address(), 8));
    let guest = gate.arrival().await;
    let completed = as_completed(done.into_iter().chain([held]));
    let mut completed = completed.timeout(Duration::from_millis(100));
    let first = within("the first", completed.next())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(first.await.unwrap(), 7);
    let late = within("the timeout", completed.next())
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!((late.unfinished(), late.total()), (1, 2));
    assert!(completed.next().await.is_none());
    guest.let_go();
    let mut rest = completed.into_rest();
    let second = within("the rest", rest.next()).await.unwrap();
    assert_eq!(second.await.unwrap(), 8);
}

/// A future can be added after the last one has come; the iteration then continues.
pub async fn a_future_can_be_added(bed: Bed) {
    let pool = bed.pool(1).await;
    let mut completed = as_completed([pool.submit(tasks::echo(1))]);
    let first = within("the first", completed.next()).await.unwrap();
    assert_eq!(first.await.unwrap(), 1);
    assert!(completed.next().await.is_none());
    completed.add(pool.submit(tasks::echo(2)));
    let second = within("the second", completed.next()).await.unwrap();
    assert_eq!(second.await.unwrap(), 2);
    assert!(completed.next().await.is_none());
}

/// Without futures the end comes at once.
pub async fn an_empty_input_ends_at_once(bed: Bed) {
    let _pool = bed.pool(1).await;
    assert!(
        within("the end", as_completed::<u64>([]).next())
            .await
            .is_none()
    );
}

/// Futures of two pools can be waited for together.
pub async fn futures_of_two_pools_mix(bed: Bed) {
    let (one, two) = (bed.pool(1).await, bed.pool(1).await);
    let futures = (0..50).map(|n| match n % 2 {
        0 => one.submit(tasks::echo(n)),
        _ => two.submit(tasks::echo(n)),
    });
    let mut completed = as_completed(futures);
    let mut seen = BTreeSet::new();
    while let Some(future) = within("the next", completed.next()).await {
        seen.insert(future.await.unwrap());
    }
    assert_eq!(seen, (0..50).collect());
}

/// Dropping the value of `as_completed` cancels no task.
pub async fn dropping_as_completed_cancels_nothing(bed: Bed) {
    let gate = bed.gate();
    let journal = bed.journal();
    let pool = bed.pool(1).await;
    let held = pool.submit(tasks::hold_and_write(gate.address(), journal.address()));
    let guest = gate.arrival().await;
    drop(as_completed([held]));
    guest.let_go();
    within("the shutdown", pool.shutdown()).await.unwrap();
    assert_eq!(journal.distinct(), ["went"]);
}
