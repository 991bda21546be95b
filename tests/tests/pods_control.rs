//! Control messages to pods: cancellations reach pods that start later, lost messages are replaced, and pods follow the
//! master with the higher epoch.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::future::Future;
use std::time::Instant;

use kube::runtime::wait::await_condition;
use podpool::error::ShutdownError;
use podpool::kubernetes::client::Cluster;
use podpool::kubernetes::job::job_name;
use podpool::{CancelOutcome, RunId, TaskErrorKind};
use podpool_tests::pods::Pods;
use podpool_tests::pods::desk::{BOUND, Desk};
use podpool_tests::pods::known::{KnownRun, Overheard};
use podpool_tests::pods::left::nothing_is_left;
use podpool_tests::pods::tasks::call_at;
use podpool_tests::tasks::echo;
use tokio::time::timeout;

podpool::test_slots!();

fn pods() -> Option<Pods> {
    Pods::find(env!("CARGO_BIN_EXE_pod-worker"))
}

async fn within<F: Future>(what: &str, step: F) -> F::Output {
    match timeout(BOUND, step).await {
        Ok(output) => output,
        Err(_) => panic!("waited {BOUND:?} in vain for {what}"),
    }
}

/// Waits for the first Job of a run: earlier submits are published by then, and no pod runs yet.
async fn first_job(run: &RunId) {
    let jobs = Cluster::connect(None).await.unwrap().jobs();
    let name = job_name(run, 0);
    let there = await_condition(jobs, &name, |job: Option<&_>| job.is_some());
    within("a Job", there).await.unwrap();
}

#[tokio::test]
async fn a_pod_that_starts_after_a_cancel_does_not_run_the_task() {
    let Some(pods) = pods() else { return };
    let desk = Desk::open(&pods).await;
    let known = KnownRun::default();
    let overheard = Overheard::new(&known);
    let builder = overheard.beside(known.builder(&pods, 1, 1));
    let pool = builder.build().await.unwrap();
    let unwanted = [1, 2, 3].map(|name| pool.submit(call_at(desk.address(), name)));
    first_job(&known.run).await;
    for future in unwanted {
        assert_eq!(future.cancel().await, CancelOutcome::Signalled);
        let error = within("a cancelled task", future).await.unwrap_err();
        assert_eq!(error.kind(), TaskErrorKind::Cancelled, "{error}");
    }
    // The first pod starts only now. A pod that had missed the cancels would run task 1 first, in its only slot.
    let wanted = pool.submit(call_at(desk.address(), 9));
    let caller = desk.caller().await;
    assert_eq!(caller.name, 9, "a cancelled task ran");
    caller.let_go().await;
    assert_eq!(within("the last task", wanted).await.unwrap(), 9);
    // All tasks before the last one have ended: control names them by the number below which all have ended, so its
    // list of revoked attempts is empty.
    let acknowledged = |told: &[podpool_core::envelope::Control]| {
        let last = told.last();
        last.is_some_and(|told| told.ended_below.0 >= 3 && told.revoked.is_empty())
    };
    overheard.until("an empty list", acknowledged).await;
    assert!(desk.has_caller().await.is_none(), "a cancelled task ran");
    within("the shutdown", pool.shutdown()).await.unwrap();
    nothing_is_left(&known.run).await;
}

#[tokio::test]
async fn a_lost_control_message_is_replaced_by_the_next() {
    let Some(pods) = pods() else { return };
    let desk = Desk::open(&pods).await;
    let known = KnownRun::default();
    let overheard = Overheard::losing(&known, 1, |told| told.ended_below.0 > 0);
    let builder = overheard.beside(known.builder(&pods, 1, 1));
    let pool = builder.build().await.unwrap();
    let future = pool.submit(call_at(desk.address(), 1));
    let caller = desk.caller().await;
    let began = Instant::now();
    assert_eq!(future.cancel().await, CancelOutcome::Signalled);
    caller.is_cancelled().await;
    println!("cancelled after {:?}", began.elapsed());
    assert!(overheard.meant() >= 2, "the first was lost");
    let next = within("another task", pool.submit(echo(4))).await;
    assert_eq!(next.unwrap(), 4);
    within("the shutdown", pool.shutdown()).await.unwrap();
    nothing_is_left(&known.run).await;
}

#[tokio::test]
async fn a_second_master_ends_the_first_with_superseded_and_goes_on() {
    let Some(pods) = pods() else { return };
    let desk = Desk::open(&pods).await;
    let known = KnownRun::default();
    let first = known.builder(&pods, 2, 1).build().await.unwrap();
    let submit = |pool: &podpool::PodPoolExecutor| {
        [1, 2].map(|name| pool.submit(call_at(desk.address(), name)))
    };
    let lost = submit(&first);
    let callers = (desk.caller().await, desk.caller().await);
    let began = Instant::now();
    let second = known.builder(&pods, 2, 2).build().await.unwrap();
    // Both masters number their tasks from 0, so the second master's tasks have the numbers of the first one's: the end
    // of either execution ends them.
    let taken_over = submit(&second);
    for future in lost {
        let error = within("a superseded task", future).await.unwrap_err();
        assert_eq!(error.kind(), TaskErrorKind::PoolBroken, "{error}");
        assert!(error.message().contains("superseded"), "{error}");
    }
    println!("superseded after {:?}", began.elapsed());
    let shutdown = within("the first shutdown", first.shutdown()).await;
    assert_eq!(shutdown, Err(ShutdownError::Superseded { epoch: 2 }));
    callers.0.let_go().await;
    callers.1.let_go().await;
    // Tasks that connect a second time are released too.
    drop(desk);
    for (name, future) in [1, 2].into_iter().zip(taken_over) {
        assert_eq!(within("a task taken over", future).await.unwrap(), name);
    }
    let last = within("a last task", second.submit(echo(4))).await;
    assert_eq!(last.unwrap(), 4);
    within("the second shutdown", second.shutdown())
        .await
        .unwrap();
    nothing_is_left(&known.run).await;
}
