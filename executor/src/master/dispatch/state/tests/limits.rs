//! The limits of a run: its deadline, its failures, and its time without progress.

use crate::error::ShutdownError;
use crate::master::limits::FailureLimit;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn limited(limits: Limits) -> Bed {
    bed_with(Settings {
        limits,
        ..settings()
    })
}

fn until(deadline: Duration) -> Bed {
    limited(Limits {
        deadline: Some(deadline),
        ..Limits::default()
    })
}

fn failing(limit: FailureLimit) -> Bed {
    limited(Limits {
        failures: Some(limit),
        ..Limits::default()
    })
}

/// A run with workers elsewhere that may make no progress for 30 s.
fn moving() -> Bed {
    bed_with(Settings {
        limits: Limits {
            no_progress: Some(30 * SECOND),
            ..Limits::default()
        },
        elsewhere: true,
        ..settings()
    })
}

impl Bed {
    fn conclude(&mut self) {
        self.state.conclude(self.now);
        self.apply();
    }

    /// Whether the run has ended by a limit, or otherwise.
    fn has_ended(&self) -> bool {
        self.state.life().broken().is_some()
    }

    /// Ends the fleet. Returns the result of the shutdown.
    fn outcome(&mut self) -> Result<(), ShutdownError> {
        self.conclude();
        assert!(self.orders.contains(&FleetOrder::Stop), "{:?}", self.orders);
        self.shut_down(ShutdownBehavior::WaitForTasks);
        self.fleet(FleetEvent::Ended {
            leftovers: Vec::new(),
        });
        assert!(self.state.is_over());
        self.state.life().outcome()
    }

    /// A heartbeat of a worker that runs so many of the tasks that it holds.
    fn beat_of(&mut self, running: u32, held: Vec<TaskRun>) {
        let alive = Alive {
            run: RunId::new("test").unwrap(),
            worker: WorkerId(1),
            held,
            running,
            free: 1,
            empty_pulls: 0,
            revoked: Vec::new(),
            replays: 0,
            epoch: 1,
            sequence: self.next_sequence(),
            at: self.worker_wall,
        };
        self.state.on_alive(self.now, alive);
        self.apply();
    }
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_what_has_not_ended() {
    let mut bed = until(10 * SECOND);
    bed.state.set_subscribed(true);
    bed.submit_many(&PLAIN, 3);
    bed.batches();
    bed.started(0, 1, 1);
    bed.done(&[(0, 1)], SECOND);
    bed.pass(5 * SECOND);
    bed.conclude();
    assert_eq!(bed.state.deadline(), Some(bed.now + 5 * SECOND));
    bed.pass(5 * SECOND - Duration::from_millis(1));
    assert!(!bed.has_ended());
    bed.events();
    bed.pass(Duration::from_millis(1));
    let late = bed.submit(&PLAIN);
    let message = bed.error(1).message().to_owned();
    for part in ["10s", "Builder::deadline", "2 tasks that had not ended"] {
        assert!(message.contains(part), "{message}");
    }
    for task in [1, 2, late] {
        let error = bed.error(task);
        assert_eq!(error.kind(), TaskErrorKind::RunLimit);
        assert_eq!(error.message(), message);
    }
    assert_eq!(bed.output(0), 1);
    let limit = format!("limit: {message}");
    let expected = [
        limit.as_str(),
        "ended 1 Failed",
        "ended 2 Failed",
        "submitted 3",
        "ended 3 Failed",
    ];
    assert_eq!(bed.events(), expected);
    bed.conclude();
    let control = bed.controls.pop().expect("workers must stop");
    assert_eq!(control.state, RunState::Aborted);
    // The passed deadline does not wake the loop again.
    assert!(bed.state.deadline().is_some_and(|at| at > bed.now));
    let (deadline, unended) = (10 * SECOND, 2);
    let passed = ShutdownError::DeadlinePassed { deadline, unended };
    assert_eq!(passed.to_string(), message);
    assert_eq!(bed.outcome(), Err(passed));
    bed.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_an_idle_run_and_not_one_that_has_ended() {
    let mut idle = until(SECOND);
    idle.pass(SECOND);
    assert!(idle.has_ended());
    let outcome = idle.outcome().unwrap_err().to_string();
    assert!(outcome.contains("every task had ended"), "{outcome}");
    let mut ended = until(SECOND);
    ended.submit(&PLAIN);
    ended.batches();
    ended.done(&[(0, 1)], Duration::ZERO);
    ended.shut_down(ShutdownBehavior::WaitForTasks);
    ended.pass(SECOND);
    assert!(!ended.has_ended());
    let mut aborted = until(SECOND);
    aborted.submit(&PLAIN);
    aborted.shut_down(ShutdownBehavior::Abort);
    aborted.pass(SECOND);
    assert_eq!(aborted.error(0).kind(), TaskErrorKind::ShutDown);
    assert_eq!(aborted.state.life().outcome(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_closes_ends_at_its_deadline_too() {
    let mut bed = until(SECOND);
    bed.submit(&PLAIN);
    bed.batches();
    bed.shut_down(ShutdownBehavior::WaitForTasks);
    bed.pass(SECOND);
    assert_eq!(bed.error(0).kind(), TaskErrorKind::RunLimit);
    assert!(bed.outcome().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_broken_pool_keeps_its_reason_past_the_deadline() {
    let mut bed = until(SECOND);
    bed.submit(&PLAIN);
    bed.break_pool("no image");
    bed.pass(SECOND);
    assert_eq!(bed.error(0).kind(), TaskErrorKind::PoolBroken);
    let reason = "no image".to_owned();
    assert_eq!(bed.outcome(), Err(ShutdownError::Broken { reason }));
}

#[tokio::test(start_paused = true)]
async fn the_count_of_failures_ends_the_run() {
    let mut bed = failing(FailureLimit::count(2));
    bed.submit_many(&PLAIN, 3);
    bed.submit(&STUBBORN);
    let mut options = CallOptions::default();
    options.key = Some("BTC".into());
    bed.submit_with(&PLAIN, 1, Some(options));
    bed.submit_many(&PLAIN, 20);
    bed.batches();
    bed.done(&[(0, 1)], SECOND);
    bed.fail(1, 1, Cause::Failed);
    // An attempt that is followed by another one is no failure of its task, and neither is a cancelled task.
    bed.fail(3, 1, Cause::Failed);
    bed.cancel(TaskId(2));
    bed.pass(Duration::ZERO);
    assert!(!bed.has_ended());
    bed.fail_with(4, 1, &Failure::new(Cause::Panicked, "no price\nat line 7"));
    bed.pass(Duration::ZERO);
    assert_eq!(bed.batches(), [], "no task is begun any more");
    assert_eq!(bed.error(1).kind(), TaskErrorKind::Failed);
    assert_eq!(bed.error(2).kind(), TaskErrorKind::Cancelled);
    assert_eq!(bed.error(4).kind(), TaskErrorKind::Panicked);
    let ended = bed.error(3);
    assert_eq!(ended.kind(), TaskErrorKind::RunLimit);
    assert_eq!(ended.attempts().len(), 1, "what happened before is kept");
    let last = "task tests::task #4 (key \"BTC\") panicked: no price";
    assert!(ended.message().ends_with(last), "{}", ended.message());
    assert!(ended.message().starts_with("2 of the 3 tasks"));
    assert_eq!(
        bed.outcome(),
        Err(ShutdownError::TooManyFailures {
            failed: 2,
            ended: 3,
            last: last.to_owned()
        })
    );
    bed.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn a_share_of_failures_ends_the_run_once_enough_have_ended() {
    let mut bed = failing(FailureLimit::share(0.5, 4));
    bed.submit_many(&PLAIN, 8);
    bed.batches();
    for task in 0..2 {
        bed.fail(task, 1, Cause::Failed);
    }
    bed.done(&[(2, 1), (3, 1)], SECOND);
    bed.pass(Duration::ZERO);
    assert!(!bed.has_ended(), "half of four is not more than half");
    bed.fail(4, 1, Cause::Failed);
    bed.pass(Duration::ZERO);
    assert!(bed.error(5).message().starts_with("3 of the 5 tasks"));
}

#[tokio::test(start_paused = true)]
async fn a_rejected_task_is_a_failure_and_ends_the_run_before_the_next_is_published() {
    let mut bed = failing(FailureLimit::count(1));
    bed.submit(&PLAIN);
    let rejected = bed.submit_with(&PLAIN, 2 * MESSAGE_BYTES, None);
    bed.conclude();
    assert_eq!(bed.error(rejected).kind(), TaskErrorKind::Rejected);
    assert_eq!(bed.error(0).kind(), TaskErrorKind::RunLimit);
    assert!(bed.published.is_empty());
}

/// Whether the shutdown or the last failure came first does not decide what the shutdown returns.
#[tokio::test(start_paused = true)]
async fn the_last_failure_of_a_run_that_closes_counts() {
    let mut bed = failing(FailureLimit::count(1));
    bed.submit(&PLAIN);
    bed.batches();
    bed.shut_down(ShutdownBehavior::WaitForTasks);
    bed.fail(0, 1, Cause::Failed);
    bed.pass(Duration::ZERO);
    assert!(bed.outcome().is_err());
}

#[tokio::test(start_paused = true)]
async fn without_progress_the_run_ends_with_what_statistics_show() {
    let mut bed = moving();
    // A run without a task waits for one, however long.
    bed.pass(100 * SECOND);
    bed.conclude();
    bed.submit_many(&PLAIN, 2);
    let reason = Some("no node has enough memory".into());
    bed.fleet(FleetEvent::Supply { workers: 2, reason });
    bed.conclude();
    assert!(
        bed.state
            .deadline()
            .is_some_and(|at| at <= bed.now + 30 * SECOND)
    );
    bed.pass(29 * SECOND);
    bed.conclude();
    assert!(!bed.has_ended());
    let stats = bed.stats();
    bed.pass(SECOND);
    let error = bed.error(0);
    assert_eq!(error.kind(), TaskErrorKind::RunLimit);
    let waits = stats.oldest.unwrap().waits.unwrap().to_string();
    for part in [
        "30s",
        "Builder::no_progress_timeout",
        "task tests::task #0, waits for a worker",
        &waits,
        &stats.workers.to_string(),
        "no node has enough memory",
    ] {
        assert!(error.message().contains(part), "{part}: {error}");
    }
    let outcome = bed.outcome().unwrap_err();
    assert_eq!(outcome.to_string(), error.message());
    assert!(matches!(
        outcome,
        ShutdownError::NoProgress { unended: 2, .. }
    ));
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_refuses_is_named() {
    let mut bed = moving();
    bed.submit(&PLAIN);
    bed.conclude();
    bed.stats_while(Some("the tasks' queue takes nothing: quota"));
    bed.pass(30 * SECOND);
    let error = bed.error(0).to_string();
    assert!(
        error.contains("waits for the queue: the tasks' queue takes nothing: quota"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_starts_ends_or_is_tried_again_is_progress() {
    let mut bed = moving();
    bed.submit_many(&STUBBORN, 3);
    bed.batches();
    bed.conclude();
    let steps: [fn(&mut Bed); 3] = [
        |bed| bed.started(0, 1, 1),
        |bed| bed.done(&[(0, 1)], SECOND),
        |bed| bed.fail(1, 1, Cause::Failed),
    ];
    for step in steps {
        bed.pass(29 * SECOND);
        step(&mut bed);
        // No worker is there that could run something.
        bed.state.workers.clear();
        bed.conclude();
    }
    bed.pass(29 * SECOND);
    assert!(!bed.has_ended());
    bed.pass(SECOND);
    assert!(bed.has_ended());
}

#[tokio::test(start_paused = true)]
async fn a_task_that_runs_is_progress_until_its_worker_is_lost() {
    let mut bed = moving();
    bed.submit(&PLAIN);
    bed.hello();
    bed.batches();
    bed.started(0, 1, 1);
    bed.conclude();
    for _ in 0..20 {
        bed.pass(10 * SECOND);
        bed.beat_of(1, vec![run(0, 1, 1)]);
        bed.conclude();
    }
    // Without further heartbeats it still runs, for all that is known.
    bed.pass(45 * SECOND);
    bed.conclude();
    assert!(!bed.has_ended());
    bed.depart("pod-1");
    bed.conclude();
    bed.pass(29 * SECOND);
    assert!(!bed.has_ended(), "the time counts from the loss");
    bed.pass(SECOND);
    assert_eq!(bed.error(0).kind(), TaskErrorKind::RunLimit);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_its_worker_holds_and_does_not_run_is_no_progress() {
    let mut bed = moving();
    bed.submit(&PLAIN);
    bed.hello();
    bed.batches();
    bed.conclude();
    bed.pass(25 * SECOND);
    bed.beat_of(0, vec![]);
    bed.conclude();
    bed.pass(5 * SECOND);
    bed.conclude();
    // A short batch begins without a message, so the next heartbeat is waited for, and no time.
    assert!(!bed.has_ended());
    let heartbeat = bed.state.announce_deadline();
    assert_eq!(bed.state.deadline(), heartbeat);
    bed.hello();
    bed.pass(5 * SECOND);
    bed.conclude();
    assert!(!bed.has_ended(), "a greeting does not name what runs");
    bed.beat_of(0, vec![run(0, 1, 1)]);
    bed.conclude();
    let error = bed.error(0).to_string();
    assert!(error.contains("waits for a free slot"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_task_that_began_without_a_message_is_found_by_the_next_heartbeat() {
    let mut bed = moving();
    bed.submit(&PLAIN);
    bed.hello();
    bed.batches();
    bed.conclude();
    bed.pass(31 * SECOND);
    bed.beat_of(1, vec![run(0, 1, 1)]);
    bed.conclude();
    bed.pass(29 * SECOND);
    bed.conclude();
    assert!(!bed.has_ended());
    // Its worker has ended it meanwhile, or has put it back.
    bed.beat_of(0, vec![]);
    bed.conclude();
    bed.pass(30 * SECOND);
    bed.pass(SECOND);
    bed.beat_of(0, vec![]);
    bed.conclude();
    assert_eq!(bed.error(0).kind(), TaskErrorKind::RunLimit);
}
