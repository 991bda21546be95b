//! Dropping: futures, maps and pools may be dropped at any time, and no wait hangs because of that.

use std::time::Instant;

use futures_util::future::join_all;
use podpool::TaskErrorKind;

use crate::bed::Bed;
use crate::run::within;
use crate::tasks;

/// The task runs although its future is not awaited.
pub async fn dropping_a_future_does_not_cancel(bed: Bed) {
    let gate = bed.gate();
    let journal = bed.journal();
    let pool = bed.pool(1).await;
    let held = pool.submit(tasks::hold(gate.address(), 0));
    let guest = gate.arrival().await;
    for n in 0..20 {
        drop(pool.submit(tasks::write_line(journal.address(), format!("{n:02}"))));
    }
    drop(held);
    guest.let_go();
    within("the shutdown", pool.shutdown()).await.unwrap();
    let expected: Vec<_> = (0..20).map(|n| format!("{n:02}")).collect();
    assert_eq!(journal.distinct(), expected);
}

/// With `abort_on_drop` the drop of a future cancels its task.
pub async fn a_future_can_abort_on_drop(bed: Bed) {
    let gate = bed.gate();
    let pool = bed.pool(1).await;
    let held = pool.submit(tasks::hold(gate.address(), 0)).abort_on_drop();
    let handle = held.handle();
    let guest = gate.arrival().await;
    drop(held);
    guest.vanished().await;
    assert!(handle.is_done());
    within("the shutdown", pool.shutdown()).await.unwrap();
}

/// The drop of a future whose task has ended changes nothing, with `abort_on_drop` too.
pub async fn abort_on_drop_keeps_a_done_task(bed: Bed) {
    let pool = bed.pool(1).await;
    let mut future = pool.submit(tasks::echo(1)).abort_on_drop();
    let handle = future.handle();
    future
        .result(crate::run::step_limit())
        .await
        .unwrap()
        .unwrap();
    drop(future);
    assert_eq!(handle.state(), podpool::TaskState::Done);
}

/// A pool that is dropped without a shutdown does not block, ends its tasks, and resolves their futures.
pub async fn dropping_a_pool_ends_its_tasks(bed: Bed) {
    let gate = bed.gate();
    let pool = bed.pool(bed.room_for(2)).await;
    let futures: Vec<_> = (0..20)
        .map(|n| pool.submit(tasks::hold(gate.address(), n)))
        .collect();
    let guests = [gate.arrival().await, gate.arrival().await];
    let before = Instant::now();
    drop(pool);
    // A drop sends one message to the executor's thread. A drop that waited for the held tasks would never return.
    assert!(
        before.elapsed().as_millis() < 1_000,
        "dropping took {:?}",
        before.elapsed()
    );
    for result in within("all", join_all(futures)).await {
        assert_eq!(result.unwrap_err().kind(), TaskErrorKind::ShutDown);
    }
    for guest in guests {
        guest.vanished().await;
    }
}

/// A pool that was never used.
pub async fn dropping_an_unused_pool_is_quiet(bed: Bed) {
    for _ in 0..10 {
        drop(bed.pool(2).await);
    }
}

/// A future outlives its pool.
pub async fn a_result_outlives_its_pool(bed: Bed) {
    let pool = bed.pool(1).await;
    let mut future = pool.submit(tasks::echo(9));
    future
        .result(crate::run::step_limit())
        .await
        .unwrap()
        .unwrap();
    drop(pool);
    assert_eq!(within("the result", future).await.unwrap(), 9);
}

/// A future that was polled in vain several times still resolves.
pub async fn an_await_may_be_dropped(bed: Bed) {
    let gate = bed.gate();
    let pool = bed.pool(1).await;
    let mut held = pool.submit(tasks::hold(gate.address(), 3));
    let guest = gate.arrival().await;
    for _ in 0..10 {
        assert!(futures_util::poll!(&mut held).is_pending());
    }
    guest.let_go();
    assert_eq!(within("the result", held).await.unwrap(), 3);
}
