//! Shutting down: every way, any number of times, and no wait is left.

use futures_util::future::{join_all, try_join_all};
use podpool::{ShutdownBehavior, TaskErrorKind};

use crate::bed::Bed;
use crate::run::within;
use crate::tasks;

/// Submitted tasks run to their ends, and the results stay in the futures.
pub async fn a_shutdown_waits_for_all_tasks(bed: Bed) {
    let pool = bed.pool(2).await;
    let futures: Vec<_> = (0..300).map(|n| pool.submit(tasks::echo(n))).collect();
    within("the shutdown", pool.shutdown()).await.unwrap();
    assert!(futures.iter().all(|future| future.is_done()));
    drop(pool);
    let results = within("the results", try_join_all(futures)).await.unwrap();
    assert_eq!(results, (0..300).collect::<Vec<_>>());
}

/// A shutdown waits for retries too.
pub async fn a_shutdown_waits_for_retries(bed: Bed) {
    let pool = bed.pool(1).await;
    let future = pool.submit(tasks::flaky(2).retries(2));
    within("the shutdown", pool.shutdown()).await.unwrap();
    assert_eq!(within("the result", future).await.unwrap(), 3);
}

/// A pool that never had a task.
pub async fn an_idle_pool_ends_at_once(bed: Bed) {
    let pool = bed.pool(4).await;
    within("the shutdown", pool.shutdown()).await.unwrap();
}

/// A shutdown may be repeated, and called by several clones at the same time.
pub async fn a_shutdown_may_be_repeated(bed: Bed) {
    let pool = bed.pool(1).await;
    let future = pool.submit(tasks::echo(1));
    let clones: Vec<_> = (0..3).map(|_| pool.clone()).collect();
    let all = join_all(clones.iter().map(|clone| clone.shutdown()));
    for ended in within("three at once", all).await {
        ended.unwrap();
    }
    within("one more", pool.shutdown()).await.unwrap();
    within(
        "and a harsher one",
        pool.shutdown_with(ShutdownBehavior::Abort),
    )
    .await
    .unwrap();
    assert_eq!(within("the result", future).await.unwrap(), 1);
}

/// Later submissions resolve to `ShutDown`.
pub async fn later_submissions_resolve_to_shut_down(bed: Bed) {
    let pool = bed.pool(1).await;
    let clone = pool.clone();
    within("the shutdown", pool.shutdown()).await.unwrap();
    let error = within("a late one", clone.submit(tasks::echo(1)))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), TaskErrorKind::ShutDown);
    assert!(error.attempts().is_empty());
}

/// Submissions are refused from the first call on, though the pool still works.
pub async fn submissions_are_refused_during_a_shutdown(bed: Bed) {
    let gate = bed.gate();
    let pool = bed.pool(1).await;
    let held = pool.submit(tasks::hold(gate.address(), 0));
    let guest = gate.arrival().await;
    let shutdown = pool.shutdown();
    let rest = async {
        // `join!` has polled the shutdown first, so the pool is closing when this submit is called.
        let late = pool.submit(tasks::echo(1)).await;
        assert_eq!(late.unwrap_err().kind(), TaskErrorKind::ShutDown);
        assert!(!held.is_done());
        guest.let_go();
    };
    let (ended, ()) = within("the shutdown", async { tokio::join!(shutdown, rest) }).await;
    ended.unwrap();
    assert_eq!(within("the result", held).await.unwrap(), 0);
}

/// Tasks that have not begun are cancelled, and the running task ends by itself.
pub async fn pending_tasks_can_be_cancelled(bed: Bed) {
    let gate = bed.gate();
    let journal = bed.journal();
    let (pool, mut news) = bed.pool_with_news(1).await;
    let held = pool.submit(tasks::hold(gate.address(), 5));
    let guest = gate.arrival().await;
    let told = || matches!(held.state(), podpool::TaskState::Running { .. });
    news.until("the state to be running", told).await;
    let write = |n: u32| pool.submit(tasks::write_line(journal.address(), n.to_string()));
    let pending: Vec<_> = (0..50).map(write).collect();
    let shutdown = pool.shutdown_with(ShutdownBehavior::CancelPending);
    let rest = async {
        for result in join_all(pending).await {
            assert_eq!(result.unwrap_err().kind(), TaskErrorKind::Cancelled);
        }
        assert!(!held.is_done(), "the running task was not left alone");
        guest.let_go();
    };
    let (ended, ()) = within("the shutdown", async { tokio::join!(shutdown, rest) }).await;
    ended.unwrap();
    assert_eq!(within("the running one", held).await.unwrap(), 5);
    // 4 × slots of an unmeasured task type may be out. The control message with their cancellation races with the slot
    // that gets free: those four may run, and no other.
    let ran = journal.distinct();
    assert!(
        ran.iter()
            .all(|n| ["0", "1", "2", "3"].contains(&n.as_str())),
        "{ran:?} ran"
    );
}

/// Abort: everything ends, running tasks too.
pub async fn an_abort_ends_everything(bed: Bed) {
    let gate = bed.gate();
    let pool = bed.pool(bed.room_for(2)).await;
    let futures: Vec<_> = (0..50)
        .map(|n| pool.submit(tasks::hold(gate.address(), n)))
        .collect();
    let guests = [gate.arrival().await, gate.arrival().await];
    within("the abort", pool.shutdown_with(ShutdownBehavior::Abort))
        .await
        .unwrap();
    for future in futures {
        assert!(future.is_done());
        let error = within("a result", future).await.unwrap_err();
        assert_eq!(error.kind(), TaskErrorKind::ShutDown);
    }
    for guest in guests {
        guest.vanished().await;
    }
}

/// A harsher second call overrides a first that waits.
pub async fn a_harsher_call_overrides(bed: Bed) {
    let gate = bed.gate();
    let pool = bed.pool(1).await;
    let held = pool.submit(tasks::hold(gate.address(), 0));
    let guest = gate.arrival().await;
    let first = pool.shutdown();
    let second = async {
        // `join!` has polled the first shutdown already, and the held task keeps it waiting.
        assert!(!held.is_done());
        pool.shutdown_with(ShutdownBehavior::Abort).await
    };
    let (first, second) = within("both", async { tokio::join!(first, second) }).await;
    first.unwrap();
    second.unwrap();
    let error = within("the result", held).await.unwrap_err();
    assert_eq!(error.kind(), TaskErrorKind::ShutDown);
    guest.vanished().await;
}

/// A milder second call changes nothing.
pub async fn a_milder_call_changes_nothing(bed: Bed) {
    let gate = bed.gate();
    let pool = bed.pool(1).await;
    let futures: Vec<_> = (0..20)
        .map(|n| pool.submit(tasks::hold(gate.address(), n)))
        .collect();
    let guest = gate.arrival().await;
    let harsh = pool.shutdown_with(ShutdownBehavior::Abort);
    let mild = pool.shutdown();
    let (harsh, mild) = within("both", async { tokio::join!(harsh, mild) }).await;
    harsh.unwrap();
    mild.unwrap();
    for result in within("all", join_all(futures)).await {
        assert_eq!(result.unwrap_err().kind(), TaskErrorKind::ShutDown);
    }
    drop(guest);
}

/// A shutdown continues after its future was dropped: the first poll has sent the request.
pub async fn a_dropped_shutdown_goes_on(bed: Bed) {
    let pool = bed.pool(1).await;
    let futures: Vec<_> = (0..20).map(|n| pool.submit(tasks::echo(n))).collect();
    assert!(futures_util::poll!(std::pin::pin!(pool.shutdown())).is_pending());
    let late = within("a late one", pool.submit(tasks::echo(1))).await;
    assert_eq!(late.unwrap_err().kind(), TaskErrorKind::ShutDown);
    within("the results", try_join_all(futures)).await.unwrap();
    within("another call", pool.shutdown()).await.unwrap();
}
