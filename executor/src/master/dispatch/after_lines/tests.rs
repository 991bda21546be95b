//! Tests of failures that wait for lines.

use podpool_core::id::{Attempt, ExecutionId};
use podpool_core::outcome::{Cause, Failure};

use super::super::state::Times;
use super::*;

const WORKER: WorkerId = WorkerId(7);
const NONE: [u64; 0] = [];

fn failed(task: u64) -> Failed {
    Failed {
        times: Times::default(),
        task: TaskId(task),
        attempt: Attempt::FIRST,
        execution: ExecutionId {
            worker: WORKER,
            number: 0,
        },
        elapsed: Duration::ZERO,
        failure: Failure::new(Cause::Failed, "set by the test"),
    }
}

fn ready(after: &mut AfterLines, now: Instant, put: u64, taken: u64) -> Vec<u64> {
    let ready = after.ready(now, Position { put, taken });
    ready.into_iter().map(|failed| failed.task.0).collect()
}

#[test]
fn a_failure_waits_until_the_lines_before_it_have_come_and_are_taken() {
    let now = Instant::now();
    let mut after = AfterLines::default();
    after.add(now, failed(0), 0);
    assert_eq!(ready(&mut after, now, 5, 5), [0], "nothing is to be shown");
    assert!(after.is_empty());
    after.add(now, failed(1), 3);
    after.came(WORKER, 2);
    assert_eq!(ready(&mut after, now, 7, 7), NONE, "a line has not come");
    assert!(!after.waits_for_taking());
    after.came(WORKER, 3);
    after.came(WORKER, 1);
    assert_eq!(ready(&mut after, now, 8, 7), NONE, "it is not taken");
    assert!(after.waits_for_taking());
    after.add(now, failed(2), 0);
    assert_eq!(ready(&mut after, now, 9, 8), [1]);
    assert_eq!(ready(&mut after, now, 9, 9), [2]);
    assert_eq!(after.deadline(), None);
}

#[test]
fn a_failure_of_a_task_that_ends_waits_no_longer() {
    let now = Instant::now();
    let mut after = AfterLines::default();
    for task in [1, 2, 1] {
        after.add(now, failed(task), 3);
    }
    let of = after.of(|task| task == TaskId(1));
    assert_eq!(of.len(), 2);
    assert!(after.of(|task| task == TaskId(1)).is_empty());
    assert_eq!(after.give_up().len(), 1);
}

#[test]
fn the_run_ends_when_the_last_lines_have_come_or_a_second_later() {
    let now = Instant::now();
    let mut after = AfterLines::default();
    assert!(after.may_end(now), "nothing is printed elsewhere");
    after.expect_lines(WORKER, 3);
    after.came(WORKER, 2);
    assert!(!after.may_end(now));
    assert_eq!(after.deadline(), Some(now + COME));
    after.came(WORKER, 3);
    assert!(after.may_end(now));
    after.expect_lines(WORKER, 4);
    assert!(!after.may_end(now));
    assert!(after.may_end(now + COME));
    assert_eq!(after.deadline(), None);
}

#[test]
fn lines_that_do_not_come_are_waited_for_a_second() {
    let now = Instant::now();
    let mut after = AfterLines::default();
    after.add(now, failed(1), 3);
    assert_eq!(ready(&mut after, now, 0, 0), NONE);
    assert_eq!(after.deadline(), Some(now + COME));
    assert_eq!(ready(&mut after, now + COME, 0, 0), [1]);
}

#[test]
fn a_stream_that_takes_no_lines_is_waited_for_once_until_it_has_taken_all() {
    let now = Instant::now();
    let mut after = AfterLines::default();
    after.add(now, failed(1), 0);
    assert_eq!(ready(&mut after, now, 5, 4), NONE);
    assert_eq!(after.deadline(), Some(now + TAKEN));
    assert_eq!(ready(&mut after, now + TAKEN, 6, 4), [1]);
    let mut now = now + TAKEN;
    for task in 2..1_000 {
        after.add(now, failed(task), 0);
        assert_eq!(ready(&mut after, now, 5 + task, 4), [task], "at once");
    }
    assert_eq!(ready(&mut after, now, 2_000, 2_000), NONE);
    now += COME;
    after.add(now, failed(1), 0);
    assert_eq!(ready(&mut after, now, 2_001, 2_000), NONE, "it takes lines");
    let left = after.give_up();
    assert_eq!(left.len(), 1);
}
