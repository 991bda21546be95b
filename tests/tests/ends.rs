//! Unexpected ends, and queues that refuse: the pool gives the reason, now and to all later calls, and no wait is
//! without end.

#![expect(
    clippy::unwrap_used,
    reason = "what a test cannot go on without ends it"
)]

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use podpool::error::ShutdownError;
use podpool::options::{Isolation, LocalOptions};
use podpool::testing::Builder as _;
use podpool::{PodPoolExecutor, ShutdownBehavior, TaskErrorKind};
use podpool_core::queue::{Delivery, LeaseId, Queue, QueueError, QueueLimits};
use podpool_tests::bed::SHORT_LEASE;
use podpool_tests::run::within;
use podpool_tests::tasks;
use tokio::sync::watch;

podpool::test_slots!();

/// A call of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Put,
    Take,
    Extend,
}

/// The behaviour of the queue from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Well,
    Refuses,
    Panics,
}

/// A switch for one call of one queue, and a count of what it refused.
#[derive(Clone)]
struct Switch {
    queue: &'static str,
    call: Call,
    mood: watch::Sender<Mood>,
    refused: Arc<AtomicU32>,
}

impl Switch {
    fn new(queue: &'static str, call: Call) -> Self {
        Self {
            queue,
            call,
            mood: watch::Sender::new(Mood::Well),
            refused: Arc::default(),
        }
    }

    /// Waits until the queue is switched from working to a fault, then returns a refusal or panics.
    async fn fault(&self, call: Call) -> QueueError {
        if call != self.call {
            return std::future::pending().await;
        }
        let mut mood = self.mood.subscribe();
        let now = *mood.wait_for(|mood| *mood != Mood::Well).await.unwrap();
        assert_ne!(now, Mood::Panics, "the queue has a fault");
        self.refused.fetch_add(1, Ordering::Relaxed);
        QueueError::Denied {
            queue: self.queue.to_owned(),
            reason: "permission lost".to_owned(),
        }
    }
}

struct Faulty(Arc<dyn Queue>, Switch);

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[async_trait]
impl Queue for Faulty {
    async fn put(&self, messages: Vec<Bytes>) -> Vec<Result<(), QueueError>> {
        let count = messages.len();
        tokio::select! {
            biased;
            // `biased`, here and below: once the switch is set the fault must win over a call that could succeed too.
            error = self.1.fault(Call::Put) => vec![Err(error); count],
            stored = self.0.put(messages) => stored,
        }
    }

    async fn take(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
        tokio::select! {
            biased;
            error = self.1.fault(Call::Take) => Err(error),
            taken = self.0.take(max, wait) => taken,
        }
    }

    async fn extend(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        tokio::select! {
            biased;
            error = self.1.fault(Call::Extend) => vec![Err(error); leases.len()],
            extended = self.0.extend(leases) => extended,
        }
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

/// A pool of threads with a switch in its queues, that has run a task.
async fn pool(switch: &Switch, broker_timeout: Duration) -> PodPoolExecutor {
    let switched = switch.clone();
    let pool = PodPoolExecutor::builder()
        .max_workers(1)
        .local(LocalOptions::default().isolation(Isolation::InProcess))
        .lease(SHORT_LEASE)
        .broker_timeout(broker_timeout)
        .decorate_queues(Arc::new(move |name, queue| {
            if name == switched.queue {
                Arc::new(Faulty(queue, switched.clone()))
            } else {
                queue
            }
        }))
        .build()
        .await
        .unwrap();
    let warm = within("the first task", pool.submit(tasks::echo(1))).await;
    assert_eq!(warm.unwrap(), 1);
    pool
}

/// Submits until the pool reports that it is broken: tasks that end before that have their results.
async fn broken(pool: &PodPoolExecutor) -> String {
    let submit = async {
        loop {
            match pool.submit(tasks::echo(1)).await {
                Ok(value) => assert_eq!(value, 1),
                Err(error) => break error,
            }
        }
    };
    let error = within("the end of the pool", submit).await;
    assert_eq!(error.kind(), TaskErrorKind::PoolBroken, "{error}");
    error.message().to_owned()
}

/// The pool is broken for this reason: for every later task, and for every shutdown, at once.
async fn says(pool: &PodPoolExecutor, reasons: &[&str]) {
    let first = broken(pool).await;
    let again = broken(pool).await;
    assert_eq!(again, first);
    for reason in reasons {
        assert!(first.contains(reason), "{first}");
    }
    for behavior in [ShutdownBehavior::WaitForTasks, ShutdownBehavior::Abort] {
        let ended = within("the shutdown", pool.shutdown_with(behavior)).await;
        let Err(ShutdownError::Broken { reason }) = ended else {
            panic!("{behavior:?}: {ended:?}");
        };
        assert_eq!(reason, first);
    }
}

const LONG: Duration = Duration::from_secs(600);

#[tokio::test]
async fn a_worker_that_panics_while_idle_breaks_the_pool_with_its_message() {
    let switch = Switch::new("tasks", Call::Take);
    let pool = pool(&switch, LONG).await;
    switch.mood.send_replace(Mood::Panics);
    says(
        &pool,
        &["the local worker panicked", "the queue has a fault"],
    )
    .await;
}

#[tokio::test]
async fn a_worker_that_panics_at_work_breaks_the_pool_with_its_message() {
    let switch = Switch::new("results", Call::Put);
    let pool = pool(&switch, LONG).await;
    switch.mood.send_replace(Mood::Panics);
    says(
        &pool,
        &["the local worker panicked", "the queue has a fault"],
    )
    .await;
}

/// The worker holds a lease and has nothing else to do: the next call that finds the fault is the keeper's renewal.
#[tokio::test]
async fn a_lease_keeper_that_panics_breaks_the_pool_with_its_message() {
    let switch = Switch::new("tasks", Call::Extend);
    let pool = pool(&switch, LONG).await;
    switch.mood.send_replace(Mood::Panics);
    let long = pool.submit(tasks::slow(1, LONG));
    let error = within("the task", long).await.unwrap_err();
    assert_eq!(error.kind(), TaskErrorKind::PoolBroken, "{error}");
    says(
        &pool,
        &[
            "the thread that renews leases panicked",
            "the queue has a fault",
        ],
    )
    .await;
}

#[tokio::test]
async fn an_executors_thread_that_panics_breaks_the_pool_with_its_message() {
    let switch = Switch::new("results", Call::Take);
    let pool = pool(&switch, LONG).await;
    switch.mood.send_replace(Mood::Panics);
    says(
        &pool,
        &["the executor's thread panicked", "the queue has a fault"],
    )
    .await;
}

/// Each of the queues, refusing each of the calls that are made again and again.
#[tokio::test]
async fn a_queue_that_refuses_everything_breaks_the_pool_within_its_time() {
    let cases = [
        ("tasks", Call::Put, "the tasks' queue takes nothing"),
        ("tasks", Call::Take, "the tasks' queue gives nothing"),
        ("results", Call::Put, "the results' queue takes nothing"),
        ("results", Call::Take, "the results' queue gives nothing"),
        ("control", Call::Take, "the control queue gives nothing"),
    ];
    for (queue, call, reason) in cases {
        let switch = Switch::new(queue, call);
        let pool = pool(&switch, Duration::from_millis(700)).await;
        switch.mood.send_replace(Mood::Refuses);
        says(&pool, &[reason, "permission lost"]).await;
        // The pauses between refused calls grow, so few calls fit into 700 ms; a loop without pauses makes thousands.
        let refused = switch.refused.load(Ordering::Relaxed);
        assert!(refused < 30, "{queue} {call:?}: called {refused} times");
    }
}

/// The master sends control only when there is a change: here that a task is cancelled.
#[tokio::test]
async fn a_control_queue_that_takes_nothing_breaks_the_pool_within_its_time() {
    let switch = Switch::new("control", Call::Put);
    let pool = pool(&switch, Duration::from_millis(700)).await;
    switch.mood.send_replace(Mood::Refuses);
    let cancelled = pool.submit(tasks::slow(1, LONG));
    within("the cancel", cancelled.cancel()).await;
    says(
        &pool,
        &["the control queue takes nothing", "permission lost"],
    )
    .await;
}

/// A worker that cannot receive the run's end by the queue receives it from its fleet.
#[tokio::test]
async fn a_shutdown_needs_no_control_queue() {
    let switch = Switch::new("control", Call::Put);
    let pool = pool(&switch, LONG).await;
    switch.mood.send_replace(Mood::Refuses);
    within("the shutdown", pool.shutdown()).await.unwrap();
}

/// The worker's last message cannot be stored, and an abort does not wait for it. Without the wait for the first
/// refusal the abort could come before the worker has a result to store.
#[tokio::test]
async fn an_abort_does_not_wait_for_results_that_cannot_be_stored() {
    let switch = Switch::new("results", Call::Put);
    let pool = pool(&switch, LONG).await;
    switch.mood.send_replace(Mood::Refuses);
    let lost = pool.submit(tasks::echo(1));
    let refused = async {
        while switch.refused.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
    };
    within("the result's refusal", refused).await;
    let aborted = pool.shutdown_with(ShutdownBehavior::Abort);
    within("the abort", aborted).await.unwrap();
    let error = within("the result", lost).await.unwrap_err();
    assert_eq!(error.kind(), TaskErrorKind::ShutDown);
}
