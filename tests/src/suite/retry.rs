//! Retries: as often as configured, for retryable failures only.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use podpool::TaskErrorKind;
use podpool::error::Cause;

use crate::bed::{Bed, built};
use crate::run::within;
use crate::story::{failed, failures};
use crate::tasks;

/// The result of a later attempt is the result, and the failures are recorded.
pub async fn a_later_attempt_gives_the_result(bed: Bed) {
    let pool = bed.pool(1).await;
    let mut future = pool.submit(tasks::flaky_twice(2));
    let result = future.result(crate::run::step_limit()).await.unwrap();
    assert_eq!(result.unwrap(), 3);
    let attempts = future.attempts();
    let attempts = failed(&attempts);
    let numbers: Vec<_> = attempts.iter().map(|attempt| attempt.attempt.0).collect();
    assert_eq!(numbers, [1, 2]);
    assert!(
        attempts
            .iter()
            .all(|attempt| attempt.cause == Cause::Failed)
    );
    assert!(
        attempts[1].message.contains("attempt 2"),
        "{:?}",
        attempts[1]
    );
}

/// The budget is the attempts after the first.
pub async fn the_budget_ends(bed: Bed) {
    let pool = bed.pool(1).await;
    let error = within("the failure", pool.submit(tasks::flaky_twice(3)))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), TaskErrorKind::Failed);
    assert_eq!(failures(&error), 3);
    assert!(error.message().contains("attempt 3"), "{error}");
    // A queue with faults may add interrupted attempts, which the text counts and the budget does not.
    if error.attempts().len() == 3 {
        assert!(error.to_string().contains("after 3 attempts"), "{error}");
    }
}

/// By default nothing is tried again.
pub async fn no_retry_is_the_default(bed: Bed) {
    let pool = bed.pool(1).await;
    let error = within("the failure", pool.submit(tasks::flaky(1)))
        .await
        .unwrap_err();
    assert_eq!(failures(&error), 1);
}

/// The setting of the call overrides that of the builder, which overrides that of the attribute.
pub async fn the_call_overrides_the_builder_and_the_builder_the_task(bed: Bed) {
    let pool = built(bed.builder(1).retries(1)).await;
    let by_builder = within("the builder's", pool.submit(tasks::flaky_twice(9))).await;
    assert_eq!(failures(&by_builder.unwrap_err()), 2);
    let by_call = within("the call's", pool.submit(tasks::flaky_twice(9).retries(0))).await;
    assert_eq!(failures(&by_call.unwrap_err()), 1);
    let by_call = within("the call's", pool.submit(tasks::flaky_twice(9).retries(3))).await;
    assert_eq!(failures(&by_call.unwrap_err()), 4);
}

/// A panic is tried again like a failure.
pub async fn panics_are_tried_again(bed: Bed) {
    let pool = bed.pool(1).await;
    let future = pool.submit(tasks::panicking(2).retries(2));
    assert_eq!(within("the result", future).await.unwrap(), 3);
}

/// An error that is marked as permanent is not tried again.
pub async fn a_permanent_error_ends_the_retries(bed: Bed) {
    let pool = bed.pool(1).await;
    let error = within("the failure", pool.submit(tasks::hopeless()))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), TaskErrorKind::Failed);
    assert_eq!(error.message(), "bad input");
    assert_eq!(failures(&error), 1);
}

/// The task's own judgement of its error counts.
pub async fn the_task_may_classify_its_error(bed: Bed) {
    let pool = bed.pool(1).await;
    let lasting = within("the lasting one", pool.submit(tasks::picky(false))).await;
    assert_eq!(failures(&lasting.unwrap_err()), 1);
    let passing = within("the passing one", pool.submit(tasks::picky(true))).await;
    assert_eq!(failures(&passing.unwrap_err()), 3);
}

/// While one task waits for its next attempt, others run; a delay of ten minutes delays no other task.
pub async fn other_tasks_run_meanwhile(bed: Bed) {
    let pool = bed.pool(1).await;
    let patient = pool.submit(tasks::patient());
    let others: Vec<_> = (0..50).map(|n| pool.submit(tasks::echo(n))).collect();
    within("the others", try_join_all(others)).await.unwrap();
    assert!(!patient.is_done());
}

/// The delay is kept: at least half of the configured one.
pub async fn the_delay_is_kept(bed: Bed) {
    let pool = bed.pool(1).await;
    let before = Instant::now();
    let future = pool.submit(tasks::after_a_delay());
    assert_eq!(within("the result", future).await.unwrap(), 2);
    let took = before.elapsed();
    // The backoff is 300 ms, of which jitter takes half at most.
    assert!(
        took >= Duration::from_millis(150),
        "it was tried again after {took:?}"
    );
}

/// Many tasks fail and succeed at once, each by its own count.
pub async fn many_fail_at_once(bed: Bed) {
    let pool = bed.pool(3).await;
    let call = |n: u32| tasks::flaky(n % 4).retries(3);
    let futures: Vec<_> = (0..200).map(|n| pool.submit(call(n))).collect();
    let results = within("all", try_join_all(futures)).await.unwrap();
    let expected: Vec<_> = (0..200).map(|n| n % 4 + 1).collect();
    assert_eq!(results, expected);
}

/// A failure whose text is longer than a queue's message is cut, marked, and retried like any other.
pub async fn messages_of_any_length_are_cut_and_retried(bed: Bed) {
    let pool = bed.pool(1).await;
    for panics in [false, true] {
        let future = pool.submit(tasks::speak_at_length(12 << 20, panics));
        let error = within("the failure", future).await.unwrap_err();
        let kind = match panics {
            true => TaskErrorKind::Panicked,
            false => TaskErrorKind::Failed,
        };
        assert_eq!(error.kind(), kind);
        assert_eq!(failures(&error), 3);
        assert!(error.message().starts_with("xxx"));
        assert!(error.message().contains("… (cut: "));
        let told = |attempt: &podpool::error::AttemptReport| {
            let texts = attempt.chain.iter().chain(&attempt.output);
            attempt.message.len() + texts.map(String::len).sum::<usize>()
        };
        let told: Vec<_> = error.attempts().iter().map(told).collect();
        assert!(told.iter().all(|bytes| *bytes <= 64 << 10), "{told:?}");
        assert!(told[0] <= 12 << 10, "earlier attempts take less: {told:?}");
    }
}
