//! Failures, late results and unreadable ones: what they change.

use super::*;

#[tokio::test(start_paused = true)]
async fn done_of_any_attempt_ends_a_task_and_later_results_are_counted() {
    let mut bed = bed();
    bed.submit_many(&STUBBORN, 3);
    bed.batches();
    for n in 0..3 {
        bed.fail(n, 1, Cause::Failed);
    }
    assert_eq!(bed.state.left_out().0, 0);
    bed.done(&[(0, 1)], Duration::ZERO);
    assert_eq!(
        bed.output(0),
        1,
        "while its next attempt waits for its delay"
    );
    bed.pass(Duration::from_secs(5));
    assert_eq!(
        bed.state.waiting(),
        2,
        "the delay of a task that ended is over"
    );
    bed.done(&[(1, 1)], Duration::ZERO);
    assert_eq!(
        (bed.output(1), bed.state.waiting()),
        (1, 1),
        "from the outbox"
    );
    assert_eq!(bed.batches(), [packed(&[(2, 2)])]);
    bed.done(&[(2, 1)], Duration::ZERO);
    assert_eq!(bed.output(2), 1, "while its next attempt is out");
    assert_eq!(
        bed.revoked(),
        [(2, 2, 2)],
        "the later envelope must not run"
    );
    bed.done(&[(2, 2), (1, 2)], Duration::ZERO);
    bed.fail(2, 2, Cause::Failed);
    assert_eq!((bed.output(2), bed.state.left_out().0), (1, 3));
    assert_eq!(bed.revoked(), [], "it ran: no envelope of it is left");
    bed.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn failed_counts_once_and_for_the_newest_attempt_only() {
    let mut bed = bed();
    bed.submit(&STUBBORN);
    bed.batches();
    bed.fail(0, 1, Cause::Failed);
    bed.fail(0, 1, Cause::Failed);
    bed.fail(0, 2, Cause::Failed);
    assert_eq!(bed.state.left_out().0, 2, "attempt 2 is not out yet");
    bed.pass(Duration::from_secs(5));
    assert_eq!(bed.batches(), [packed(&[(0, 2)])]);
    bed.fail(0, 1, Cause::Failed);
    assert_eq!(bed.state.left_out().0, 3);
    assert_eq!(bed.cells[0].attempts().len(), 1);
    bed.fail(0, 2, Cause::Panicked);
    bed.pass(Duration::from_secs(9));
    assert_eq!(bed.batches(), [packed(&[(0, 3)])]);
    bed.fail(0, 3, Cause::TimedOut);
    let error = bed.error(0);
    assert_eq!(error.kind(), TaskErrorKind::TimedOut);
    let causes: Vec<_> = error.attempts().iter().map(|a| a.cause).collect();
    assert_eq!(causes, [Cause::Failed, Cause::Panicked, Cause::TimedOut]);
    bed.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn retries_wait_for_their_backoff_shortened_by_half_at_most() {
    for _ in 0..50 {
        let mut bed = bed();
        bed.submit(&STUBBORN);
        for (attempt, longest) in [(1, 4), (2, 8)] {
            assert_eq!(bed.batches(), [packed(&[(0, attempt)])]);
            bed.fail(0, attempt, Cause::Failed);
            let due = bed.state.delayed.peek().unwrap().0.0 - bed.now;
            let longest = Duration::from_secs(longest);
            assert!(due <= longest && due >= longest / 2, "{due:?}");
            assert!(bed.state.work_deadline().unwrap() <= bed.now + due);
            bed.pass(due - Duration::from_nanos(1));
            assert_eq!(bed.batches(), []);
            assert_eq!(bed.state_of(0), TaskState::Pending);
            bed.pass(Duration::from_nanos(1));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_permanent_failure_is_not_retried_and_a_pool_may_override_retries() {
    let mut bed = bed();
    bed.submit(&STUBBORN);
    bed.batches();
    let permanent = Failure {
        retryable: false,
        ..Failure::new(Cause::Failed, "no such asset")
    };
    bed.fail_with(0, 1, &permanent);
    assert_eq!(bed.error(0).kind(), TaskErrorKind::Failed);

    let mut bed = bed_with(Settings {
        retries: Some(0),
        ..settings()
    });
    bed.submit(&STUBBORN);
    let mut own = CallOptions::default();
    own.retries = Some(1);
    bed.submit_with(&PLAIN, 1, Some(own));
    bed.batches();
    bed.fail(0, 1, Cause::Failed);
    assert_eq!(bed.error(0).attempts().len(), 1);
    bed.fail(1, 1, Cause::Failed);
    assert_eq!(
        bed.state_of(1),
        TaskState::Pending,
        "the call's own retries"
    );
}

#[tokio::test(start_paused = true)]
async fn causes_have_budgets_of_their_own() {
    // (cause, how often it is tried again)
    let budgets = [
        (Cause::Crashed, 2, TaskErrorKind::Crashed),
        (Cause::OutOfMemory, 1, TaskErrorKind::OutOfMemory),
        (Cause::Rejected, 0, TaskErrorKind::Rejected),
        // By a master that is no more: what this one cancels has ended.
        (Cause::Cancelled, 99, TaskErrorKind::Cancelled),
        (Cause::Failed, 0, TaskErrorKind::Failed),
    ];
    for (cause, again, kind) in budgets {
        let mut bed = bed();
        bed.submit(&PLAIN);
        assert_eq!(bed.batches(), [packed(&[(0, 1)])]);
        for attempt in 1..=again {
            bed.fail(0, attempt, cause);
            assert_eq!(bed.batches(), [packed(&[(0, attempt + 1)])], "{cause:?}");
        }
        bed.fail(0, again + 1, cause);
        assert_eq!(bed.error(0).kind(), kind);
        bed.assert_empty();
    }
}

#[tokio::test(start_paused = true)]
async fn a_suspect_runs_alone_ahead_of_others_without_charge() {
    let mut bed = bed();
    let id = bed.submit(&PLAIN);
    bed.batches();
    bed.done(&[(id, 1)], Duration::from_micros(1));
    bed.submit_many(&PLAIN, 2 * 8);
    assert_eq!(bed.batches()[0], packed(&[(1, 1), (2, 1)]));
    bed.submit_many(&PLAIN, 3);
    bed.fail(1, 1, Cause::Suspect);
    bed.fail(2, 1, Cause::Suspect);
    let batches = bed.batches();
    assert_eq!(batches[..2], [alone(1, 2), alone(2, 2)]);
    for attempt in 2..40 {
        bed.fail(1, attempt, Cause::Suspect);
        assert_eq!(bed.batches(), [alone(1, attempt + 1)]);
    }
    // The budget of crashes is whole: a charged task runs among others again, and one that crashes there is a suspect.
    for attempt in [40, 42] {
        bed.fail(1, attempt, Cause::Crashed);
        let charged = bed.batches();
        let published = charged
            .iter()
            .find(|batch| batch.tasks.contains(&(1, attempt + 1)));
        assert!(published.is_some_and(|batch| !batch.alone), "{charged:?}");
        bed.fail(1, attempt + 1, Cause::Suspect);
        assert_eq!(bed.batches(), [alone(1, attempt + 2)]);
    }
    bed.fail(1, 44, Cause::Crashed);
    assert_eq!(bed.error(1).kind(), TaskErrorKind::Crashed);
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_execution_is_not_published_again() {
    let mut bed = bed();
    bed.submit(&PLAIN);
    bed.batches();
    for _ in 0..4 {
        bed.fail(0, 1, Cause::Interrupted);
        assert_eq!(bed.batches(), [], "the released message is the retry");
    }
    bed.done(&[(0, 1)], Duration::ZERO);
    assert_eq!(bed.output(0), 1);
    bed.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn a_report_names_the_worker_that_greeted() {
    let mut bed = bed();
    bed.submit_many(&PLAIN, 2);
    bed.batches();
    bed.alive(1, 0, 0, vec![]);
    bed.fail(0, 1, Cause::Failed);
    assert_eq!(
        bed.error(0).attempts()[0].worker,
        None,
        "its greeting was lost"
    );
    bed.hello();
    bed.fail(1, 1, Cause::Failed);
    let error = bed.error(1);
    let story = &error.attempts()[0];
    assert_eq!(story.worker.as_deref(), Some("pod-1"));
    assert_eq!(story.node.as_deref(), Some("node-1"));
    assert_eq!(story.execution, Some(Bed::execution()));
    assert_eq!(story.elapsed, Some(Duration::from_millis(3)));
}

#[tokio::test(start_paused = true)]
async fn a_broken_pool_settles_every_future_and_every_later_one() {
    let mut bed = bed();
    bed.submit_many(&STUBBORN, 20);
    bed.batches();
    bed.fail(2, 1, Cause::Failed);
    bed.fail(3, 1, Cause::Broken);
    assert!(bed.state.life().broken().is_some());
    bed.submit(&PLAIN);
    bed.break_pool("another reason changes nothing");
    for id in 0..=20 {
        let error = bed.error(id);
        assert_eq!(error.kind(), TaskErrorKind::PoolBroken, "{id}");
        assert_eq!(error.message(), "set by the test");
    }
    bed.pass(LEASE);
    bed.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn results_whose_payloads_are_lost_fail_their_tasks_once() {
    let mut bed = bed();
    bed.submit_many(&STUBBORN, 3);
    bed.batches();
    let mut lost = Reference {
        run: RunId::new("test").unwrap(),
        of: Content::Results(ExecutionId {
            worker: WorkerId(1),
            number: 1,
        }),
        tasks: vec![TaskRun {
            first: TaskId(0),
            count: 2,
            attempt: Attempt::FIRST,
        }],
        parts: Vec::new(),
        problem: Some("object x is missing".to_owned()),
    };
    bed.state.on_lost_results(bed.now, &lost);
    bed.apply();
    for task in [0, 1] {
        let error = bed.error(task);
        assert_eq!(error.kind(), TaskErrorKind::Rejected);
        assert!(error.message().contains("object x is missing"), "{error}");
    }
    assert!(!bed.state_of(2).is_done());
    bed.state.on_lost_results(bed.now, &lost);
    bed.apply();
    assert_eq!(bed.state.left_out().0, 2);
    // A batch on the results' queue changes nothing.
    lost.of = Content::Batch;
    lost.tasks[0].first = TaskId(2);
    bed.state.on_lost_results(bed.now, &lost);
    bed.apply();
    assert!(!bed.state_of(2).is_done());
}

#[tokio::test(start_paused = true)]
async fn results_of_unknown_tasks_and_unreadable_ones_change_nothing() {
    let mut bed = bed();
    bed.submit(&PLAIN);
    bed.batches();
    bed.done(&[(5, 1), (u64::MAX, 1)], Duration::ZERO);
    bed.fail(u64::MAX, 1, Cause::Failed);
    bed.started(u64::MAX - 1, 1, 1);
    assert_eq!(bed.state.left_out().0, 3);
    bed.results(vec![1, 2, 3], 1);
    assert_eq!(bed.state.unfinished(), 1);
    bed.done(&[(0, 1)], Duration::ZERO);
    bed.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn the_readable_part_of_a_message_counts() {
    let mut bed = bed();
    bed.submit_many(&PLAIN, 2);
    bed.batches();
    let mut body = Vec::new();
    put_done(&mut body, TaskId(0), Attempt(1), |body| {
        body.push(1);
        Ok::<_, ()>(Duration::ZERO)
    })
    .unwrap();
    body.extend_from_slice(&[9; 7]);
    bed.results(body, 2);
    assert_eq!((bed.output(0), bed.state.unfinished()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_state_settles_every_future() {
    let mut bed = bed();
    bed.submit_many(&STUBBORN, 20);
    bed.batches();
    bed.fail(2, 1, Cause::Failed);
    bed.done(&[(3, 1)], Duration::ZERO);
    let cells = std::mem::take(&mut bed.cells);
    drop(bed);
    for cell in cells {
        match settled(&cell) {
            Ok(_) => assert_eq!(cell.id(), TaskId(3)),
            Err(error) => assert_eq!(error.kind(), TaskErrorKind::PoolBroken),
        }
    }
}
