//! Cancelling: a task that was not published never runs, a running task is stopped, and the future ends at once.

use futures_util::future::join_all;
use podpool::{CancelOutcome, TaskErrorKind, TaskState};

use crate::bed::{Bed, Need, goes_on};
use crate::run::within;
use crate::story::{failed, failures};
use crate::tasks;

/// A task that waits in the executor never runs.
pub async fn a_waiting_task_never_runs(bed: Bed) {
    let gate = bed.gate();
    let journal = bed.journal();
    let pool = bed.pool(1).await;
    let held = pool.submit(tasks::hold(gate.address(), 0));
    let guest = gate.arrival().await;
    // While a task type was never measured, 4 × slots of its tasks are out at most. The 40th cannot be published yet,
    // so its cancel must be `Dequeued`.
    let submit = |n| pool.submit(tasks::write_line(journal.address(), format!("{n:02}")));
    let mut futures: Vec<_> = (0..40).map(submit).collect();
    let last = futures.pop().unwrap();
    assert_eq!(
        within("the cancel", last.cancel()).await,
        CancelOutcome::Dequeued
    );
    assert_eq!(last.state(), TaskState::Cancelled);
    let error = within("the cancelled one", last).await.unwrap_err();
    assert_eq!(error.kind(), TaskErrorKind::Cancelled);
    guest.let_go();
    within("the holder", held).await.unwrap();
    for result in within("the others", join_all(futures)).await {
        result.unwrap();
    }
    let expected: Vec<_> = (0..39).map(|n| format!("{n:02}")).collect();
    assert_eq!(journal.distinct(), expected);
}

/// A running task's future ends at once, and the task is stopped.
pub async fn a_running_task_is_stopped(bed: Bed) {
    let gate = bed.gate();
    let pool = bed.pool(1).await;
    let held = pool.submit(tasks::hold(gate.address(), 0));
    let guest = gate.arrival().await;
    assert_eq!(
        within("the cancel", held.cancel()).await,
        CancelOutcome::Signalled
    );
    assert_eq!(held.state(), TaskState::Cancelled);
    let error = within("the cancelled one", held).await.unwrap_err();
    assert_eq!(error.kind(), TaskErrorKind::Cancelled);
    guest.vanished().await;
    goes_on(&pool).await;
}

/// A task that blocks its thread is stopped too: its process is killed.
pub async fn a_blocking_task_is_killed(bed: Bed) {
    let gate = bed.gate();
    let pool = bed.pool(1).await;
    let blocked = pool.submit(tasks::block(gate.address(), 0));
    let guest = gate.arrival().await;
    assert_eq!(
        within("the cancel", blocked.cancel()).await,
        CancelOutcome::Signalled
    );
    guest.vanished().await;
    goes_on(&pool).await;
}

/// Without processes a blocking task is left behind, and the pool continues.
pub async fn a_blocking_task_holds_nothing_up(bed: Bed) {
    let gate = bed.gate();
    let pool = bed.pool(1).await;
    let blocked = pool.submit(tasks::block(gate.address(), 0));
    let guest = gate.arrival().await;
    assert_eq!(
        within("the cancel", blocked.cancel()).await,
        CancelOutcome::Signalled
    );
    goes_on(&pool).await;
    drop(guest);
}

/// A task that observes its token ends by itself, and its slot keeps running.
pub async fn a_task_can_observe_its_token(bed: Bed) {
    let gate = bed.gate();
    let journal = bed.journal();
    let pool = bed.pool(1).await;
    let before = within("a process id", pool.submit(tasks::pid()))
        .await
        .unwrap();
    let held = pool.submit(tasks::hold_until_cancelled(
        gate.address(),
        journal.address(),
    ));
    let guest = gate.arrival().await;
    assert_eq!(
        within("the cancel", held.cancel()).await,
        CancelOutcome::Signalled
    );
    // The journal is read only after the task has ended: before that the line may not be written yet.
    guest.vanished().await;
    let after = within("a process id", pool.submit(tasks::pid()))
        .await
        .unwrap();
    assert_eq!(journal.lines(), ["cancelled"]);
    assert_eq!(
        before, after,
        "the slot was replaced though its task had gone"
    );
}

/// A task that has ended cannot be cancelled, and keeps its result.
pub async fn a_done_task_keeps_its_result(bed: Bed) {
    let pool = bed.pool(1).await;
    let mut future = pool.submit(tasks::echo(3));
    let first = future.result(crate::run::step_limit()).await.unwrap();
    assert_eq!(first.unwrap(), 3);
    assert_eq!(
        within("the cancel", future.cancel()).await,
        CancelOutcome::AlreadyDone
    );
    assert_eq!(future.state(), TaskState::Done);
    assert_eq!(within("the result", future).await.unwrap(), 3);
}

/// A second cancel finds the task done.
pub async fn a_second_cancel_changes_nothing(bed: Bed) {
    let gate = bed.gate();
    let pool = bed.pool(1).await;
    let held = pool.submit(tasks::hold(gate.address(), 0));
    let _guest = gate.arrival().await;
    let handle = held.handle();
    assert_eq!(
        within("the cancel", handle.cancel()).await,
        CancelOutcome::Signalled
    );
    assert_eq!(
        within("the second", held.cancel()).await,
        CancelOutcome::AlreadyDone
    );
    assert_eq!(handle.state(), TaskState::Cancelled);
}

/// Cancelling needs no await.
pub async fn a_cancel_needs_no_await(bed: Bed) {
    let gate = bed.gate();
    let pool = bed.pool(1).await;
    let held = pool.submit(tasks::hold(gate.address(), 0));
    let guest = gate.arrival().await;
    drop(held.cancel());
    let error = within("the cancelled one", held).await.unwrap_err();
    assert_eq!(error.kind(), TaskErrorKind::Cancelled);
    guest.vanished().await;
}

/// A backlog is cancelled at once, and the pool continues.
pub async fn a_backlog_can_be_cancelled(bed: Bed) {
    let gate = bed.gate();
    let pool = bed.pool(2).await;
    let futures: Vec<_> = (0..3_000)
        .map(|n| pool.submit(tasks::hold(gate.address(), n)))
        .collect();
    let guest = gate.arrival().await;
    let cancels: Vec<_> = futures.iter().map(|future| future.cancel()).collect();
    let outcomes = within("all cancels", join_all(cancels)).await;
    let dequeued = |outcome: &&CancelOutcome| **outcome == CancelOutcome::Dequeued;
    let never_left = outcomes.iter().filter(dequeued).count();
    // At most 4 × 2 unmeasured tasks are out. The bound is far below 2,992, so that no number of batches is asserted.
    assert!(never_left >= 2_900, "only {never_left} had not left");
    for result in within("all", join_all(futures)).await {
        assert_eq!(result.unwrap_err().kind(), TaskErrorKind::Cancelled);
    }
    guest.vanished().await;
    goes_on(&pool).await;
    within("the shutdown", pool.shutdown()).await.unwrap();
}

/// A task that waits for its next attempt has no message out, so its cancel is `Dequeued`.
pub async fn a_task_between_attempts_is_dequeued(bed: Bed) {
    let (pool, mut news) = bed.pool_with_news(1).await;
    let future = pool.submit(tasks::patient());
    let failed_once = || !failed(&future.attempts()).is_empty();
    news.until("the first failure", failed_once).await;
    assert_eq!(future.state(), TaskState::Pending);
    assert_eq!(
        within("the cancel", future.cancel()).await,
        CancelOutcome::Dequeued
    );
    let error = within("the cancelled one", future).await.unwrap_err();
    assert_eq!(error.kind(), TaskErrorKind::Cancelled);
    assert_eq!(failures(&error), 1);
    within("the shutdown", pool.shutdown()).await.unwrap();
}

/// Of tasks in one batch the cancelled ones end as cancelled, and the others return their results.
pub async fn cancelling_one_leaves_the_others(bed: Bed) {
    let gate = bed.gate();
    let pool = bed.pool(2).await;
    // The executor packs only task types whose time was measured: after the warm-up the 400 tasks share batches.
    let warm: Vec<_> = (0..50).map(|n| pool.submit(tasks::echo(n))).collect();
    within("the warm-up", join_all(warm)).await;
    // Both slots are held, so that no task ends before it is cancelled. The second hold is submitted once the first
    // runs: a worker that has run only short tasks pulls one batch more than it has slots, and could keep both.
    let (mut held, mut guests) = (Vec::new(), Vec::new());
    for name in [0, 1] {
        held.push(pool.submit(tasks::hold(gate.address(), name)));
        guests.push(gate.arrival().await);
    }
    let futures: Vec<_> = (0..400).map(|n| pool.submit(tasks::echo(n))).collect();
    let cancels: Vec<_> = futures
        .iter()
        .step_by(3)
        .map(|future| future.cancel())
        .collect();
    let outcomes = within("all cancels", join_all(cancels)).await;
    for guest in guests {
        guest.let_go();
    }
    for hold in held {
        within("a holder", hold).await.unwrap();
    }
    let mut cancelled = 0;
    for (n, future) in (0..).zip(futures) {
        let outcome = (n % 3 == 0).then(|| outcomes[n as usize / 3]);
        match within("a result", future).await {
            // A queue with faults may end the lease of a held slot's batch. That slot is then free, and may run some
            // tasks before they are cancelled.
            Ok(result) => {
                assert_eq!(result, n);
                assert!(matches!(outcome, None | Some(CancelOutcome::AlreadyDone)));
            }
            Err(error) => {
                assert_eq!(error.kind(), TaskErrorKind::Cancelled);
                assert!(outcome.is_some(), "no call cancelled {n}");
                assert_ne!(outcome, Some(CancelOutcome::AlreadyDone), "{n}");
                cancelled += 1;
            }
        }
    }
    // Every third of 400 tasks, the first included: 134.
    let expected = if bed.has(Need::Faultless) { 134 } else { 1 };
    assert!(cancelled >= expected, "only {cancelled} were cancelled");
}
