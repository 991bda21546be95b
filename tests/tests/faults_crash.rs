//! Slots that end unexpectedly: by a signal from outside, by an abort, by a stack overflow.

use std::time::Duration;

use podpool::TaskErrorKind;
use podpool::error::{Cause, Exit};
use podpool_tests::faults::meeting::Meeting;
use podpool_tests::faults::tasks::{
    abort_if, abort_once, become_another_program, echo, meet, overflow,
};
use podpool_tests::faults::{LIMIT, built, describe, end, within};

podpool::test_slots!();

#[tokio::test]
async fn a_killed_slot_costs_its_own_task_an_attempt_and_no_other() {
    let pool = built(describe(2)).await;
    let meeting = Meeting::new();
    let mut futures = [1, 2].map(|name| pool.submit(meet(meeting.path(), name)));
    let [first, second] = meeting.guests(2).await.try_into().expect("two guests");
    assert_ne!(first.pid, second.pid);
    let killed = first.pid;
    first.kill().await;
    let again = meeting.guest().await;
    assert_eq!(again.name, 1);
    assert_ne!(again.pid, killed);
    again.let_go().await;
    second.let_go().await;
    for (name, future) in (1..).zip(&mut futures) {
        let result = future.result(LIMIT).await.expect("an end");
        assert_eq!(result.expect("a result"), name);
    }
    let attempts = futures[0].attempts();
    assert_eq!(attempts.len(), 1, "{attempts:?}");
    assert_eq!(attempts[0].exit, Some(Exit::Signal(9)));
    assert_eq!(attempts[0].pid, Some(killed));
    assert!(attempts[0].started.is_some(), "{attempts:?}");
    assert!(
        futures[1].attempts().is_empty(),
        "{:?}",
        futures[1].attempts()
    );
    end(pool).await;
}

#[tokio::test]
async fn an_abort_is_retried_and_the_attempt_reports_it() {
    let pool = built(describe(2)).await;
    let mut future = pool.submit(abort_once());
    let attempt = future.result(LIMIT).await.expect("an end");
    assert_eq!(attempt.expect("a result"), 2);
    let attempts = future.attempts();
    assert_eq!(attempts.len(), 1, "{attempts:?}");
    assert_eq!(attempts[0].cause, Cause::Crashed);
    assert_eq!(attempts[0].exit, Some(Exit::Signal(6)));
    end(pool).await;
}

#[tokio::test]
async fn a_task_that_always_aborts_crashed() {
    let pool = built(describe(2)).await;
    let error = within("the abort", pool.submit(abort_if(3, 3)))
        .await
        .expect_err("a crash");
    assert_eq!(error.kind(), TaskErrorKind::Crashed, "{error}");
    // The first attempt and the crash budget of two. The slot is fresh, so the first abort is charged at once.
    assert_eq!(error.attempts().len(), 3, "{error}");
    assert!(
        error
            .attempts()
            .iter()
            .all(|attempt| attempt.exit == Some(Exit::Signal(6))),
        "{error}"
    );
    assert!(error.to_string().contains("SIGABRT"), "{error}");
    assert_eq!(
        within("another task", pool.submit(echo(5)))
            .await
            .expect("a result"),
        5
    );
    end(pool).await;
}

#[tokio::test]
async fn a_task_that_overflows_its_stack_crashed_with_the_reason() {
    let pool = built(describe(2)).await;
    let error = within("the overflow", pool.submit(overflow(1)))
        .await
        .expect_err("a crash");
    assert_eq!(error.kind(), TaskErrorKind::Crashed, "{error}");
    let last = error.attempts().last().expect("an attempt");
    assert!(
        last.output
            .iter()
            .any(|line| line.contains("overflowed its stack")),
        "{error}"
    );
    assert_eq!(
        within("another task", pool.submit(echo(5)))
            .await
            .expect("a result"),
        5
    );
    end(pool).await;
}

#[tokio::test]
async fn one_abort_among_400_packed_tasks_fails_one_task() {
    let pool = built(describe(2)).await;
    // Only a task type that was measured is packed. One at a time: a first batch of many would be unmeasured.
    for n in 0..64 {
        assert_eq!(
            within("a first task", pool.submit(abort_if(n, 1000)))
                .await
                .expect("a result"),
            n
        );
    }
    let futures: Vec<_> = (0..400).map(|n| pool.submit(abort_if(n, 217))).collect();
    for (n, future) in (0..).zip(futures) {
        match within("a packed task", future).await {
            Ok(result) => assert_eq!((result, n == 217), (n, false)),
            Err(error) => {
                assert_eq!(n, 217, "{error}");
                assert_eq!(error.kind(), TaskErrorKind::Crashed, "{error}");
            }
        }
    }
    end(pool).await;
}

/// The slot's sockets close on `exec`, so the slot counts as ended, although its process still runs.
#[tokio::test]
async fn a_task_that_becomes_another_program_crashed() {
    let pool = built(describe(1)).await;
    let future = pool.submit(become_another_program());
    let error = within("the end of the lost slot", future)
        .await
        .expect_err("a crash");
    assert_eq!(error.kind(), TaskErrorKind::Crashed, "{error}");
    assert_eq!(
        within("another task", pool.submit(echo(5)))
            .await
            .expect("a result"),
        5
    );
    end(pool).await;
}

#[tokio::test]
async fn crashes_do_not_keep_a_pool_from_ending() {
    let pool = built(describe(2)).await;
    let futures: Vec<_> = (0..6).map(|n| pool.submit(abort_if(n, n))).collect();
    let ended = within("the end of the pool", pool.shutdown()).await;
    assert_eq!(ended, Ok(()));
    for future in futures {
        // A zero timeout polls once: after a shutdown every future must have ended already.
        let error = tokio::time::timeout(Duration::ZERO, future)
            .await
            .expect("it has ended");
        assert_eq!(error.expect_err("a crash").kind(), TaskErrorKind::Crashed);
    }
}
