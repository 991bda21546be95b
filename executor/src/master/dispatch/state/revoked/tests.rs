//! Tests of the list of revoked attempts.

use super::*;

fn list(list: &RevokedList) -> Vec<(u64, u64, u32)> {
    list.to_vec()
        .iter()
        .map(|r| (r.first.0, r.last.0, r.attempt.0))
        .collect()
}

#[test]
fn a_backlog_is_one_range_and_an_acknowledged_task_leaves_a_hole() {
    let mut revoked = RevokedList::new(MAX_RANGES);
    (3..10).for_each(|n| revoked.add(TaskId(n), Attempt(1), false));
    assert_eq!(list(&revoked), [(3, 9, 1)]);
    let gone = TaskRun {
        first: TaskId(5),
        count: 2,
        attempt: Attempt(1),
    };
    revoked.acknowledged(&[gone]);
    assert_eq!(list(&revoked), [(3, 4, 1), (7, 9, 1)]);
    revoked.add(TaskId(8), Attempt(2), false);
    assert_eq!(list(&revoked), [(3, 4, 1), (7, 7, 1), (8, 8, 2), (9, 9, 1)]);
}

#[test]
fn an_acknowledged_envelope_proves_nothing_about_other_envelopes_of_its_task() {
    let mut revoked = RevokedList::new(MAX_RANGES);
    revoked.add(TaskId(0), Attempt(2), false);
    revoked.add(TaskId(5), Attempt(1), true);
    let run = |task, attempt| TaskRun {
        first: TaskId(task),
        count: 1,
        attempt: Attempt(attempt),
    };
    revoked.acknowledged(&[run(0, 1), run(5, 1)]);
    assert_eq!(list(&revoked), [(0, 0, 2), (5, 5, 1)]);
    revoked.acknowledged(&[run(0, 2)]);
    assert_eq!(list(&revoked), [(5, 5, 1)]);
}

#[test]
fn the_oldest_tasks_leave_when_the_list_is_full() {
    let mut revoked = RevokedList::new(MAX_RANGES);
    (0..=MAX_RANGES as u64).for_each(|n| revoked.add(TaskId(2 * n), Attempt(1), false));
    assert_eq!(revoked.to_vec().len(), MAX_RANGES);
    let one = Overflow {
        tasks: 1,
        below: TaskId(1),
    };
    assert_eq!(revoked.overflow(), one);
    assert_eq!(list(&revoked)[0], (2, 2, 1));
}

#[test]
fn ranges_below_the_oldest_unfinished_task_leave() {
    let mut revoked = RevokedList::new(MAX_RANGES);
    for task in (0..6).chain(8..12) {
        revoked.add(TaskId(task), Attempt(1), false);
    }
    revoked.forget_below(TaskId(0));
    assert_eq!(list(&revoked), [(0, 5, 1), (8, 11, 1)]);
    revoked.forget_below(TaskId(9));
    assert_eq!(list(&revoked), [(9, 11, 1)]);
    revoked.forget_below(TaskId(12));
    assert!(revoked.is_empty());
}

#[test]
fn a_backlog_is_one_range_in_whatever_order_it_is_cancelled() {
    let orders: [Vec<u64>; 3] = [
        (0..100).collect(),
        (0..100).rev().collect(),
        (0..100).map(|n| n * 37 % 100).collect(),
    ];
    for order in orders {
        let mut revoked = RevokedList::new(MAX_RANGES);
        order
            .iter()
            .for_each(|n| revoked.add(TaskId(*n), Attempt(1), false));
        assert_eq!(list(&revoked), [(0, 99, 1)], "{order:?}");
    }
    let mut revoked = RevokedList::new(MAX_RANGES);
    for (n, copies) in [(0, false), (2, false), (1, true), (4, true), (3, true)] {
        revoked.add(TaskId(n), Attempt(1), copies);
    }
    assert_eq!(list(&revoked), [(0, 0, 1), (1, 1, 1), (2, 2, 1), (3, 4, 1)]);
}

#[test]
fn an_attempt_that_ran_leaves_with_its_result_unless_there_are_copies() {
    let mut revoked = RevokedList::new(MAX_RANGES);
    revoked.add(TaskId(1), Attempt(2), false);
    revoked.add(TaskId(2), Attempt(1), true);
    for (task, attempt) in [(1, 1), (1, 3), (2, 1), (9, 1)] {
        assert!(!revoked.ended(TaskId(task), Attempt(attempt)));
    }
    assert!(revoked.ended(TaskId(1), Attempt(2)));
    assert_eq!(list(&revoked), [(2, 2, 1)]);
}

#[test]
fn a_range_that_no_worker_can_have_leaves_after_three_looks_at_an_empty_queue() {
    let mut revoked = RevokedList::new(MAX_RANGES);
    revoked.add(TaskId(1), Attempt(1), true);
    assert!(!revoked.look(true, |_| false));
    revoked.add(TaskId(5), Attempt(1), true);
    revoked.add(TaskId(7), Attempt(1), true);
    assert!(!revoked.look(true, |_| false) && !revoked.look(true, |_| false));
    assert!(!revoked.look(false, |_| false), "the queue was not empty");
    assert!(revoked.look(true, |task| task.0 == 7));
    assert_eq!(list(&revoked), [(7, 7, 1)], "a worker holds it");
    assert!(revoked.look(true, |_| false) && revoked.is_empty());
}
