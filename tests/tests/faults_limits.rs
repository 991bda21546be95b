//! Tasks that are stopped by their timeout or by a cancel that the task ignores, and slots whose start fails.

use std::time::Duration;

use podpool::error::{Exit, ShutdownError};
use podpool::{CancelOutcome, TaskErrorKind};
use podpool_tests::faults::meeting::Meeting;
use podpool_tests::faults::processes::Watched;
use podpool_tests::faults::tasks::{
    abort_at_start, echo, meet, meet_at_start, meet_briefly, process, refuse,
};
use podpool_tests::faults::{LIMIT, built, describe, end, within};

podpool::test_slots!();

#[tokio::test]
async fn a_timeout_kills_the_slot_of_its_task_and_no_other() {
    let pool = built(describe(2)).await;
    let meeting = Meeting::new();
    let mut beside = pool.submit(meet(meeting.path(), 1));
    let other = meeting.guest().await;
    let late = pool.submit(meet_briefly(meeting.path(), 2));
    let guest = meeting.guest().await;
    let slot = Watched::new(guest.pid);
    let error = within("the timeout", late).await.expect_err("too late");
    assert_eq!(error.kind(), TaskErrorKind::TimedOut, "{error}");
    assert_eq!(error.attempts().len(), 1, "{error}");
    let attempt = &error.attempts()[0];
    assert_eq!(attempt.pid, Some(guest.pid), "{error}");
    let ran = attempt.started.and_then(|started| started.elapsed().ok());
    assert!(ran.is_some_and(|ran| ran < LIMIT), "{attempt:?}");
    // The peak of memory is read before the kill: afterwards the process has none.
    assert!(
        attempt.peak_rss.is_some_and(|bytes| bytes > 1 << 20),
        "{error}"
    );
    assert!(slot.ends_within(LIMIT).await);
    guest.vanished().await;
    other.let_go().await;
    assert_eq!(
        within("the other task", &mut beside)
            .await
            .expect("a result"),
        1
    );
    assert!(beside.attempts().is_empty());
    assert_eq!(
        within("another task", pool.submit(echo(5)))
            .await
            .expect("a result"),
        5
    );
    end(pool).await;
}

#[tokio::test]
async fn a_cancel_that_the_task_ignores_kills_its_slot_after_the_grace() {
    let pool = built(describe(2)).await;
    let meeting = Meeting::new();
    let mut beside = pool.submit(meet(meeting.path(), 1));
    let other = meeting.guest().await;
    let deaf = pool.submit(meet(meeting.path(), 2));
    let guest = meeting.guest().await;
    let slot = Watched::new(guest.pid);
    assert_eq!(
        within("the cancel", deaf.cancel()).await,
        CancelOutcome::Signalled
    );
    let error = within("the cancelled future", deaf)
        .await
        .expect_err("cancelled");
    assert_eq!(error.kind(), TaskErrorKind::Cancelled, "{error}");
    assert!(
        slot.ends_within(Duration::from_secs(5)).await,
        "the slot still runs after the grace"
    );
    guest.vanished().await;
    other.let_go().await;
    assert_eq!(
        within("the other task", &mut beside)
            .await
            .expect("a result"),
        1
    );
    assert!(beside.attempts().is_empty());
    end(pool).await;
}

#[tokio::test]
async fn a_failing_initializer_breaks_the_pool_and_every_future_has_the_reason() {
    let pool = built(describe(2).initializer(refuse())).await;
    let futures: Vec<_> = (0..50).map(|n| pool.submit(echo(n))).collect();
    for future in futures {
        let error = within("the broken pool", future).await.expect_err("broken");
        assert_eq!(error.kind(), TaskErrorKind::PoolBroken, "{error}");
        assert!(
            error.to_string().contains("the licence has expired"),
            "{error}"
        );
    }
    let late = within("a late task", pool.submit(echo(1)))
        .await
        .expect_err("broken");
    assert_eq!(late.kind(), TaskErrorKind::PoolBroken, "{late}");
    assert!(
        late.to_string().contains("the licence has expired"),
        "{late}"
    );
    let ended = within("the end of the pool", pool.shutdown()).await;
    let Err(ShutdownError::Broken { reason }) = ended else {
        panic!("the shutdown did not report a broken pool: {ended:?}");
    };
    assert!(reason.contains("the licence has expired"), "{reason}");
    let again = within("a second shutdown", pool.shutdown()).await;
    assert_eq!(again, Err(ShutdownError::Broken { reason }));
}

#[tokio::test]
async fn an_initializer_that_ends_its_process_breaks_the_pool() {
    let pool = built(describe(1).initializer(abort_at_start())).await;
    let error = within("the broken pool", pool.submit(echo(1)))
        .await
        .expect_err("broken");
    assert_eq!(error.kind(), TaskErrorKind::PoolBroken, "{error}");
    let told = format!("{}", Exit::Signal(6));
    assert!(error.to_string().contains(&told), "{error}");
}

#[tokio::test]
async fn beside_a_running_slot_others_may_fail_to_start_and_the_pool_continues() {
    let startups = Meeting::new();
    let pool = built(describe(2).initializer(meet_at_start(startups.path()))).await;
    let meeting = Meeting::new();
    let first = pool.submit(meet(meeting.path(), 1));
    let living = startups.guest().await;
    let pid = living.pid;
    living.let_go().await;
    let held = meeting.guest().await;
    let waiting = pool.submit(process());
    // Three failed starts in a row break a pool, unless a slot is alive: the first one is, and holds its task.
    for _ in 0..3 {
        startups.guest().await.kill().await;
    }
    held.let_go().await;
    assert_eq!(within("the first task", first).await.expect("a result"), 1);
    let ran = within("the task that waited", waiting).await;
    assert_eq!(
        ran.expect("a result"),
        pid,
        "the running slot took the task"
    );
    // A second slot is tried again while there is work for it.
    let again = pool.submit(meet(meeting.path(), 2));
    let held = meeting.guest().await;
    let beside = pool.submit(process());
    let started = startups.guest().await;
    let pid = started.pid;
    started.let_go().await;
    assert_eq!(within("a new slot", beside).await.expect("a result"), pid);
    held.let_go().await;
    assert_eq!(within("the last", again).await.expect("a result"), 2);
    end(pool).await;
}
