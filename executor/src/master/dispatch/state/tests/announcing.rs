//! Cancels, and control messages to the workers.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_cancel_reports_the_state_it_found_and_revokes_the_attempt() {
    let mut bed = bed();
    bed.submit_many(&STUBBORN, 12);
    bed.batches();
    bed.told();
    assert_eq!(bed.cancel(TaskId(11)), CancelOutcome::Dequeued);
    assert_eq!(bed.told(), None, "no worker has it");
    assert_eq!(bed.cancel(TaskId(3)), CancelOutcome::Signalled);
    let told = bed.told().unwrap();
    assert_eq!(told.revoked.len(), 1);
    assert_eq!(bed.cancel(TaskId(3)), CancelOutcome::AlreadyDone);
    assert_eq!(bed.cancel(TaskId(99)), CancelOutcome::AlreadyDone);
    bed.fail(4, 1, Cause::Failed);
    assert_eq!(
        bed.cancel(TaskId(4)),
        CancelOutcome::Dequeued,
        "between attempts"
    );
    for id in [11, 3, 4] {
        assert_eq!(bed.state_of(id), TaskState::Cancelled);
    }
    assert_eq!(
        bed.error(4).attempts().len(),
        1,
        "the error has the attempt"
    );
    bed.done(&[(3, 1)], Duration::ZERO);
    assert_eq!(bed.state.left_out().0, 1);
    assert_eq!(bed.state_of(3), TaskState::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_backlog_is_one_range_and_acknowledged_envelopes_leave_it() {
    let mut bed = bed();
    let id = bed.submit(&PLAIN);
    bed.batches();
    bed.done(&[(id, 1)], Duration::from_micros(1));
    bed.submit_many(&PLAIN, 100);
    bed.batches();
    for id in 1..=100 {
        assert_eq!(bed.cancel(TaskId(id)), CancelOutcome::Signalled);
    }
    assert_eq!(bed.revoked(), [(1, 100, 1)]);
    bed.alive_and_revoked(1, (0, 0), vec![], vec![run(1, 49, 1), run(60, 41, 1)]);
    assert_eq!(bed.revoked(), [(50, 59, 1)]);
    bed.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn control_has_growing_numbers_and_is_sent_on_change() {
    let mut bed = bed();
    let Control {
        sequence, state, ..
    } = bed.told().unwrap();
    assert_eq!(state, RunState::Open);
    assert_eq!(bed.told(), None);
    bed.hello();
    let answer = bed.told().unwrap();
    assert!(answer.sequence > sequence, "the answer to a greeting");
    bed.shut_down(ShutdownBehavior::WaitForTasks);
    assert_eq!(bed.told().unwrap().state, RunState::Ended);
    assert_eq!(bed.told(), None);
    bed.now += HEARTBEAT;
    let again = bed.told().unwrap();
    assert!(again.sequence > answer.sequence, "the heartbeat");
}

#[tokio::test(start_paused = true)]
async fn started_counts_for_the_newest_attempt_only() {
    let mut bed = bed();
    bed.submit_many(&STUBBORN, 2);
    bed.batches();
    bed.started(0, 2, 1);
    let running = |n| TaskState::Running {
        attempt: Attempt(n),
    };
    assert_eq!(bed.state_of(1), running(1));
    bed.fail(1, 1, Cause::Failed);
    assert_eq!(bed.state_of(1), TaskState::Pending);
    bed.started(0, 2, 1);
    assert_eq!(
        (bed.state_of(0), bed.state_of(1)),
        (running(1), TaskState::Pending)
    );
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_starts_shows_its_tasks_though_the_first_has_ended() {
    let mut bed = bed();
    bed.submit_many(&STUBBORN, 3);
    bed.batches();
    bed.done(&[(0, 1)], Duration::ZERO);
    bed.started(0, 3, 1);
    let attempt = Attempt(1);
    assert_eq!(bed.state_of(1), TaskState::Running { attempt });
    bed.shut_down(ShutdownBehavior::CancelPending);
    assert_eq!(bed.state.unfinished(), 2, "what has begun goes on");
}

#[tokio::test(start_paused = true)]
async fn abort_ends_every_task() {
    let mut bed = bed();
    bed.submit_many(&STUBBORN, 20);
    bed.batches();
    bed.fail(2, 1, Cause::Failed);
    bed.shut_down(ShutdownBehavior::Abort);
    for id in 0..20 {
        assert_eq!(bed.error(id).kind(), TaskErrorKind::ShutDown);
    }
    assert_eq!(bed.error(2).attempts().len(), 1);
    bed.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn cancel_pending_leaves_tasks_that_have_begun() {
    let mut bed = bed();
    bed.submit_many(&STUBBORN, 20);
    bed.batches();
    bed.started(0, 2, 1);
    bed.fail(1, 1, Cause::Failed);
    bed.shut_down(ShutdownBehavior::CancelPending);
    assert_eq!(bed.state.unfinished(), 1);
    assert!((1..20).all(|id| bed.state_of(id) == TaskState::Cancelled));
    assert!(!bed.state_of(0).is_done());
    assert_eq!(bed.revoked(), [(2, 7, 1)], "8 to 19 never left");
    bed.done(&[(0, 1)], Duration::ZERO);
    bed.assert_empty();
}
