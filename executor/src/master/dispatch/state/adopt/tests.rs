//! What follows from the attempts of a task, when another master reads them.

use podpool_core::id::ExecutionId;
use podpool_core::id::WorkerId;
use podpool_core::task::Backoff;

use super::*;

fn report(attempt: u32, cause: Cause, by_worker: bool) -> AttemptReport {
    let mut report = AttemptReport::new(Attempt(attempt), Failure::new(cause, "set by the test"));
    report.execution = by_worker.then_some(ExecutionId {
        worker: WorkerId(1),
        number: 0,
    });
    report
}

fn resumed(retries: u32, attempts: &[(u32, Cause, bool)]) -> (u32, bool, bool) {
    let policy = Policy::new(retries, Backoff::DEFAULT);
    let attempts = attempts
        .iter()
        .map(|(n, cause, by)| report(*n, *cause, *by));
    let resumed = resume(&policy, attempts.collect());
    (resumed.attempt.0, resumed.alone, resumed.given_up)
}

#[test]
fn attempts_are_judged_as_their_master_judged_them() {
    let (own, fleet) = (true, false);
    for (retries, attempts, expected) in [
        (0, &[][..], (1, false, false)),
        (2, &[(1, Cause::Failed, own)], (2, false, false)),
        (
            2,
            &[(1, Cause::Failed, own), (2, Cause::TimedOut, own)],
            (3, false, false),
        ),
        // A loss leaves its attempt in the queue.
        (0, &[(1, Cause::Interrupted, fleet)], (1, false, false)),
        (
            1,
            &[(1, Cause::Failed, own), (2, Cause::Interrupted, own)],
            (2, false, false),
        ),
        // A worker that ended with the task alone in it: the message comes back by its lease.
        (0, &[(1, Cause::Crashed, fleet)], (1, false, false)),
        // The task's own process: the batch was acknowledged.
        (0, &[(1, Cause::Crashed, own)], (2, false, false)),
        (0, &[(1, Cause::Suspect, fleet)], (2, true, false)),
        (0, &[(1, Cause::Suspect, own)], (2, true, false)),
        // The master ended before it recorded the end.
        (0, &[(1, Cause::Failed, own)], (1, false, true)),
    ] {
        assert_eq!(
            resumed(retries, attempts),
            expected,
            "{retries} {attempts:?}"
        );
    }
}

#[test]
fn five_losses_in_a_row_make_a_task_run_alone() {
    let losses = [(1, Cause::Interrupted, false); 5];
    assert_eq!(resumed(0, &losses), (2, true, false));
}

#[test]
fn groups_hold_tasks_of_one_kind_up_to_a_bound() {
    let kind = (ClassId::DEFAULT, 1, false);
    let mut group = Group::default();
    for task in 0..TOGETHER as u64 {
        assert!(group.takes(kind, 9, false), "{task}");
        group.add(kind, TaskId(task), Attempt::FIRST, 9, false);
    }
    assert!(!group.takes(kind, 9, false), "full");
    let mut group = Group::default();
    group.add(kind, TaskId(0), Attempt::FIRST, 9, false);
    assert!(
        !group.takes((ClassId::DEFAULT, 2, false), 9, false),
        "another type"
    );
    assert!(!group.takes(kind, MAX_BYTES, false), "too many bytes");
    assert!(!group.takes(kind, 9, true), "a large one");
    let mut large = Group::default();
    large.add(kind, TaskId(0), Attempt::FIRST, ALONE_BYTES + 1, true);
    assert!(!large.takes(kind, 9, false), "beside a large one");
}
