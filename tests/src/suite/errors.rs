//! Errors: what happened, to which task, without effect on other tasks.

use std::error::Error;

use futures_util::future::join_all;
use podpool::error::{Cause, Exit};
use podpool::{TaskErrorKind, TaskState};

use crate::bed::{Bed, Need, built, goes_on};
use crate::run::within;
use crate::story::failed;
use crate::tasks;

/// An error has the text of the task's own error, and the texts of its causes.
pub async fn a_failure_keeps_its_chain(bed: Bed) {
    let pool = bed.pool(1).await;
    let future = pool.submit(tasks::chained().key("2013-05-01"));
    let id = future.id();
    let error = within("the failure", future).await.unwrap_err();
    assert_eq!(error.kind(), TaskErrorKind::Failed);
    assert_eq!(error.message(), "the day failed");
    assert_eq!((error.id(), error.key()), (Some(id), Some("2013-05-01")));
    assert!(
        error.task().ends_with("::tasks::chained"),
        "{}",
        error.task()
    );
    let chain: Vec<_> = std::iter::successors(error.source(), |link| (*link).source())
        .map(ToString::to_string)
        .collect();
    assert_eq!(chain, ["the file cannot be read", "no such day"]);
    let attempt = failed(error.attempts())[0];
    assert_eq!(attempt.cause, Cause::Failed);
    match attempt.worker.as_deref() {
        Some(worker) => assert!(bed.is_worker(worker), "{worker}"),
        // Where the queue does not keep the order, a failure may arrive before its worker's greeting, which has the
        // worker's name.
        None => assert!(!bed.has(Need::Order)),
    }
}

/// A panic carries its message.
pub async fn a_panic_carries_its_message(bed: Bed) {
    let pool = bed.pool(1).await;
    let error = within("the panic", pool.submit(tasks::panicking(9)))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), TaskErrorKind::Panicked);
    assert!(
        error.message().contains("attempt 1 was told to panic"),
        "{error}"
    );
    let error = within("the async panic", pool.submit(tasks::panicking_async()))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), TaskErrorKind::Panicked);
    assert!(
        error.message().contains("an async body was told to panic"),
        "{error}"
    );
    goes_on(&pool).await;
}

/// Arguments that cannot be encoded are never sent.
pub async fn bad_arguments_are_rejected(bed: Bed) {
    let pool = bed.pool(1).await;
    let future = pool.submit(tasks::take_stubborn(tasks::Stubborn(-1)));
    let error = within("the refusal", future).await.unwrap_err();
    assert_eq!(error.kind(), TaskErrorKind::Rejected);
    assert!(error.message().contains("it is negative"), "{error}");
    assert!(error.attempts().is_empty());
    let good = pool.submit(tasks::take_stubborn(tasks::Stubborn(5)));
    assert_eq!(within("a good one", good).await.unwrap(), 5);
}

/// A result that cannot be encoded is an error of its own task only.
pub async fn a_bad_result_is_rejected(bed: Bed) {
    let pool = bed.pool(1).await;
    let futures: Vec<_> = [1, -1, 2]
        .map(|n| pool.submit(tasks::give_stubborn(n)))
        .into();
    let results = within("all", join_all(futures)).await;
    let error = results[1].as_ref().unwrap_err();
    assert_eq!(error.kind(), TaskErrorKind::Rejected);
    assert!(error.message().contains("it is negative"), "{error}");
    assert_eq!(results[0].as_ref().unwrap().0, 1);
    assert_eq!(results[2].as_ref().unwrap().0, 2);
}

/// One failure among many is one failure.
pub async fn one_failure_is_one_failure(bed: Bed) {
    let pool = bed.pool(2).await;
    let call = |n: u32| tasks::flaky(if n == 123 { 9 } else { 0 });
    let futures: Vec<_> = (0..400).map(|n| pool.submit(call(n))).collect();
    let results = within("all", join_all(futures)).await;
    let failed: Vec<_> = (0..400)
        .zip(&results)
        .filter(|(_, result)| result.is_err())
        .collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].0, 123);
}

/// An error is cheap to clone, and a clone prints the same.
pub async fn an_error_can_be_cloned(bed: Bed) {
    let pool = bed.pool(1).await;
    let error = within("the failure", pool.submit(tasks::chained()))
        .await
        .unwrap_err();
    assert_eq!(error.clone().to_string(), error.to_string());
}

/// The last lines that a task printed travel with its error.
pub async fn printed_lines_come_with_the_error(bed: Bed) {
    let pool = bed.pool(1).await;
    let error = within("the failure", pool.submit(tasks::print_and_fail(3)))
        .await
        .unwrap_err();
    let output = &error.attempts()[0].output;
    assert!(
        output.iter().any(|line| line.contains("line 2")),
        "{output:?}"
    );
    assert!(
        error.report().contains("the last lines it printed"),
        "{error:#}"
    );
}

/// An abort hits its own task only, and is reported with its signal.
pub async fn an_abort_is_contained(bed: Bed) {
    let gate = bed.gate();
    let pool = bed.pool(2).await;
    let other = pool.submit(tasks::hold(gate.address(), 1));
    let guest = gate.arrival().await;
    let error = within("the crash", pool.submit(tasks::aborting(99)))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), TaskErrorKind::Crashed);
    // The first attempt and the crash budget of two. Where another task had run in the slot before, the first abort
    // made the task a suspect, which is reported and not charged; so the charged attempts are counted alone.
    let story = failed(error.attempts());
    let charged = story
        .iter()
        .filter(|attempt| attempt.cause == Cause::Crashed);
    assert_eq!(charged.count(), 3, "{error:?}");
    assert!(
        story
            .iter()
            .all(|attempt| attempt.exit == Some(Exit::Signal(6))),
        "{error:?}"
    );
    assert!(failed(&other.attempts()).is_empty());
    guest.let_go();
    assert_eq!(within("the other task", other).await.unwrap(), 1);
}

/// A crash has a budget of its own: a task is tried again twice.
pub async fn a_crash_is_tried_again(bed: Bed) {
    let pool = bed.pool(1).await;
    assert_eq!(
        within("the second attempt", pool.submit(tasks::aborting(1)))
            .await
            .unwrap(),
        2
    );
    let error = within("the crash", pool.submit(tasks::aborting(99)))
        .await
        .unwrap_err();
    let crashes = error
        .attempts()
        .iter()
        .filter(|attempt| attempt.cause == Cause::Crashed);
    assert_eq!(crashes.count(), 3, "{error:?}");
}

/// The exit of a process is a crash with its exit code.
pub async fn an_exit_is_a_crash(bed: Bed) {
    let pool = bed.pool(1).await;
    let error = within("the exit", pool.submit(tasks::exiting(7)))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), TaskErrorKind::Crashed);
    assert_eq!(error.attempts().last().unwrap().exit, Some(Exit::Code(7)));
    let error = within("the exit", pool.submit(tasks::exiting(0)))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), TaskErrorKind::Crashed, "no code is a result");
}

/// A stack that overflows is a crash.
pub async fn a_stack_overflow_is_a_crash(bed: Bed) {
    let pool = bed.pool(1).await;
    let error = within("the overflow", pool.submit(tasks::overflowing(1 << 40)))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), TaskErrorKind::Crashed);
    assert_eq!(
        within("another", pool.submit(tasks::overflowing(3)))
            .await
            .unwrap(),
        6
    );
}

/// A slot that is killed: its task runs again, and other tasks are not affected.
pub async fn a_killed_slot_is_replaced(bed: Bed) {
    let gate = bed.gate();
    let pool = bed.pool(2).await;
    let other = pool.submit(tasks::hold(gate.address(), 1));
    let guest = gate.arrival().await;
    let mut killed = pool.submit(tasks::killed(1));
    // The gate is still closed here: the other task must run on while the killed one runs again.
    let result = killed.result(crate::run::step_limit()).await.unwrap();
    assert_eq!(result.unwrap(), 2);
    let attempts = killed.attempts();
    let story = failed(&attempts);
    assert_eq!(story.len(), 1, "{attempts:?}");
    assert_eq!(story[0].exit, Some(Exit::Signal(9)));
    assert!(failed(&other.attempts()).is_empty());
    guest.let_go();
    assert_eq!(within("the other task", other).await.unwrap(), 1);
}

/// One abort among packed tasks: exactly that one fails.
pub async fn one_abort_among_many_is_one_failure(bed: Bed) {
    let pool = bed.pool(2).await;
    // Only measured task types are packed, and only in a frame of several tasks is it unknown which one aborted.
    let warm: Vec<_> = (0..50).map(|_| pool.submit(tasks::aborting(0))).collect();
    within("the warm-up", join_all(warm)).await;
    let call = |n: u32| tasks::aborting(if n == 200 { 99 } else { 0 });
    let futures: Vec<_> = (0..400).map(|n| pool.submit(call(n))).collect();
    let results = within("all", join_all(futures)).await;
    for (n, result) in (0..).zip(results) {
        match result {
            Ok(_) => assert_ne!(n, 200),
            Err(error) => assert_eq!((n, error.kind()), (200, TaskErrorKind::Crashed), "{error}"),
        }
    }
}

/// A task that takes memory without end is stopped at the limit, and no other task is affected.
pub async fn memory_without_end_is_stopped(bed: Bed) {
    let gate = bed.gate();
    let pool = built(bed.builder(2).slot_memory(128 << 20)).await;
    let other = pool.submit(tasks::hold(gate.address(), 1));
    let guest = gate.arrival().await;
    let error = within("the limit", pool.submit(tasks::greedy()))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), TaskErrorKind::OutOfMemory, "{error}");
    guest.let_go();
    assert_eq!(within("the other task", other).await.unwrap(), 1);
}

/// A task cannot build a pool inside its slot.
pub async fn a_pool_inside_a_task_is_refused(bed: Bed) {
    let pool = bed.pool(1).await;
    let answer = within("the answer", pool.submit(tasks::nest()))
        .await
        .unwrap();
    assert_eq!(answer, "NestedPool");
}

/// A failed task's state is `Failed`, and its error can be read again.
pub async fn a_failed_state_is_reported(bed: Bed) {
    let pool = bed.pool(1).await;
    let mut future = pool.submit(tasks::flaky(9));
    let first = future
        .result(crate::run::step_limit())
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(future.state(), TaskState::Failed);
    let again = future
        .result(crate::run::step_limit())
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(first.to_string(), again.to_string());
}
