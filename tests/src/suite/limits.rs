//! The limits of a run: its deadline, its failures, and its time without progress.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join_all;
use podpool::error::ShutdownError;
use podpool::events::EventKind;
use podpool::options::FailureLimit;
use podpool::testing::Builder as _;
use podpool::{PodPoolExecutor, TaskErrorKind};
use podpool_core::queue::{Delivery, LeaseId, Queue, QueueError, QueueLimits};

use crate::bed::{Bed, Need, built};
use crate::run::within;
use crate::tasks;

/// What is submitted after the end of a run resolves to its limit, with these words.
async fn refuses(pool: &PodPoolExecutor, words: &str) {
    let late = within("a late one", pool.submit(tasks::echo(1))).await;
    let error = late.unwrap_err();
    assert_eq!(error.kind(), TaskErrorKind::RunLimit);
    assert!(error.message().contains(words), "{error}");
}

/// Tasks that have not ended by the deadline end with it, and so does the run.
pub async fn the_deadline_ends_the_run(bed: Bed) {
    let gate = bed.gate();
    // Twenty beds share a thread: the calls must come before it, also on a machine that builds something beside.
    let deadline = match bed.has(Need::Faultless) {
        true => 3 * bed.soon(),
        false => 9 * bed.soon(),
    };
    let pool = built(bed.builder(1).deadline(deadline)).await;
    let mut events = pool.events();
    let futures: Vec<_> = (0..50)
        .map(|n| pool.submit(tasks::hold(gate.address(), n)))
        .collect();
    for result in within("the deadline", join_all(futures)).await {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), TaskErrorKind::RunLimit);
        assert!(error.message().contains("Builder::deadline"), "{error}");
    }
    refuses(&pool, "Builder::deadline").await;
    let ended = within("the shutdown", pool.shutdown()).await.unwrap_err();
    let ShutdownError::DeadlinePassed {
        deadline: named,
        unended,
        ..
    } = ended
    else {
        panic!("{ended:?}");
    };
    assert_eq!((named, unended), (deadline, 50));
    let mut limits = 0;
    while let Some(event) = within("the events", events.next()).await {
        limits += u32::from(matches!(event.kind, EventKind::RunLimit { .. }));
    }
    assert_eq!(limits, 1);
}

/// A run that ends in time is not affected by its limits.
pub async fn limits_that_are_not_reached_change_nothing(bed: Bed) {
    let builder = bed.builder(bed.room_for(2)).deadline(Duration::MAX);
    let builder = builder.no_progress_timeout(Duration::MAX);
    let pool = built(builder.fail_run_after(FailureLimit::count(2))).await;
    let futures: Vec<_> = (0..20).map(|n| pool.submit(tasks::echo(n))).collect();
    let failing = pool.submit(tasks::hopeless());
    let flaky = pool.submit(tasks::flaky_twice(2));
    for result in within("the results", join_all(futures)).await {
        result.unwrap();
    }
    let failure = within("the failure", failing).await.unwrap_err();
    assert_eq!(failure.kind(), TaskErrorKind::Failed);
    within("the third attempt", flaky).await.unwrap();
    within("the shutdown", pool.shutdown()).await.unwrap();
}

/// The last permitted failure ends the run: what runs is stopped, and what waits never begins.
pub async fn failures_end_the_run(bed: Bed) {
    let gate = bed.gate();
    let journal = bed.journal();
    let builder = bed.builder(bed.room_for(2));
    let pool = built(builder.fail_run_after(FailureLimit::count(2))).await;
    let held = pool.submit(tasks::hold(gate.address(), 0));
    let guest = gate.arrival().await;
    let first = within("a failure", pool.submit(tasks::hopeless())).await;
    assert_eq!(first.unwrap_err().kind(), TaskErrorKind::Failed);
    let cancelled = pool.submit(tasks::patient());
    within("the cancel", cancelled.cancel()).await;
    assert!(
        !held.is_done(),
        "neither a failure nor a cancel ends the run"
    );
    let last = pool.submit(tasks::hopeless().key("BTC"));
    let last = within("the last failure", last).await.unwrap_err();
    assert_eq!(last.kind(), TaskErrorKind::Failed);
    let error = within("the held one", held).await.unwrap_err();
    assert_eq!(error.kind(), TaskErrorKind::RunLimit);
    for part in ["2 of the 2 tasks", "hopeless", "key \"BTC\"", "bad input"] {
        assert!(error.message().contains(part), "{part}: {error}");
    }
    let late = pool.submit(tasks::write_line(journal.address(), "ran".into()));
    let late = within("a late one", late).await.unwrap_err();
    assert_eq!(late.kind(), TaskErrorKind::RunLimit);
    guest.vanished().await;
    let ended = within("the shutdown", pool.shutdown()).await.unwrap_err();
    let numbers = match &ended {
        ShutdownError::TooManyFailures { failed, ended, .. } => (*failed, *ended),
        other => panic!("{other:?}"),
    };
    assert_eq!(numbers, (2, 2));
    assert_eq!(journal.distinct(), [""; 0]);
}

/// A queue that stores nothing, and reports that it did.
#[derive(Debug)]
struct Losing(Arc<dyn Queue>);

#[async_trait]
impl Queue for Losing {
    async fn put(&self, messages: Vec<Bytes>) -> Vec<Result<(), QueueError>> {
        messages.iter().map(|_| Ok(())).collect()
    }

    async fn take(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
        self.0.take(max, wait).await
    }

    async fn extend(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        self.0.extend(leases).await
    }

    async fn ack(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        self.0.ack(leases).await
    }

    async fn release(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        self.0.release(leases).await
    }

    fn limits(&self) -> QueueLimits {
        self.0.limits()
    }
}

/// A run whose tasks reach no worker ends, and its error states what they wait for.
pub async fn a_run_without_progress_ends(bed: Bed) {
    // The shortest lease of every back-end: workers send heartbeats as often as they can.
    let builder = bed.builder(1).lease(Duration::from_secs(10));
    let builder = builder.decorate_queues(Arc::new(|name, queue| match name {
        "tasks" => Arc::new(Losing(queue)),
        _ => queue,
    }));
    let timeout = Duration::from_secs(1);
    let pool = built(builder.no_progress_timeout(timeout)).await;
    let futures: Vec<_> = (0..3).map(|n| pool.submit(tasks::echo(n))).collect();
    for result in within("the end", join_all(futures)).await {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), TaskErrorKind::RunLimit);
        for part in ["no_progress_timeout", "tasks::echo #0, waits for", "worker"] {
            assert!(error.message().contains(part), "{part}: {error}");
        }
    }
    refuses(&pool, "no_progress_timeout").await;
    let ended = within("the shutdown", pool.shutdown()).await.unwrap_err();
    let unended = match &ended {
        ShutdownError::NoProgress { unended, .. } => *unended,
        other => panic!("{other:?}"),
    };
    assert_eq!(unended, 3);
}

/// A long task is progress, though nothing else happens.
pub async fn a_task_that_runs_is_progress(bed: Bed) {
    let gate = bed.gate();
    let builder = bed.builder(1).lease(Duration::from_secs(10));
    let pool = built(builder.no_progress_timeout(bed.soon())).await;
    let mut held = pool.submit(tasks::hold(gate.address(), 1));
    let guest = gate.arrival().await;
    let waited = held.result(3 * bed.soon()).await;
    assert!(waited.is_err(), "the run has ended: {waited:?}");
    guest.let_go();
    assert_eq!(within("the result", held).await.unwrap(), 1);
    within("the shutdown", pool.shutdown()).await.unwrap();
}

/// Limits that cannot be kept are refused, by their names.
pub async fn bad_limits_are_refused(bed: Bed) {
    let failures = |limit| bed.builder(1).fail_run_after(limit);
    for (builder, name) in [
        (bed.builder(1).deadline(Duration::ZERO), "deadline"),
        (
            bed.builder(1).no_progress_timeout(Duration::ZERO),
            "no_progress_timeout",
        ),
        (failures(FailureLimit::count(0)), "fail_run_after"),
        (failures(FailureLimit::share(f64::NAN, 1)), "fail_run_after"),
        (failures(FailureLimit::share(1.5, 1)), "fail_run_after"),
    ] {
        let error = builder.build().await.expect_err(name).to_string();
        assert!(error.starts_with(name), "{error}");
    }
}
