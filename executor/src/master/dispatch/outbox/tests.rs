//! Tests of what is published next.

use std::time::Duration;

use super::*;

fn lane(outbox: &Outbox) -> (u32, usize) {
    match outbox.choose(false) {
        Some(Choice::Lane {
            task_type, most, ..
        }) => (task_type, most),
        other => panic!("{other:?}"),
    }
}

#[test]
fn of_an_unmeasured_type_few_tasks_go_and_the_first_measurement_opens_the_gate() {
    let mut outbox = Outbox::new(2);
    (0..100).for_each(|n| outbox.push(TaskId(n), 0, 0));
    for n in 0..8 {
        assert_eq!(lane(&outbox), (0, 1));
        assert_eq!(outbox.pop(0), Some(TaskId(n)));
    }
    assert_eq!(outbox.choose(false), None);
    outbox.returned(0);
    assert_eq!(lane(&outbox), (0, 1), "any end frees a place");
    outbox.measured(0, Duration::from_micros(1));
    assert_eq!(lane(&outbox), (0, 92 / 8));
}

#[test]
fn batches_follow_the_measured_time() {
    let mut outbox = Outbox::new(1);
    (0..1_000_000).for_each(|n| outbox.push(TaskId(n), 0, 0));
    outbox.measured(0, Duration::from_secs(5));
    assert_eq!(lane(&outbox), (0, 1));
    let mut outbox = Outbox {
        estimates: Estimates::default(),
        ..outbox
    };
    outbox.measured(0, Duration::from_millis(10));
    assert_eq!(lane(&outbox), (0, 50));
    let mut outbox = Outbox {
        estimates: Estimates::default(),
        ..outbox
    };
    outbox.measured(0, Duration::ZERO);
    assert_eq!(lane(&outbox), (0, MAX_TASKS));
}

#[test]
fn priority_goes_before_age_and_age_before_task_type() {
    let mut outbox = Outbox::new(8);
    outbox.push(TaskId(0), 0, 1);
    outbox.push(TaskId(1), 0, 0);
    outbox.push(TaskId(2), 5, 2);
    outbox.push_alone(TaskId(3));
    assert_eq!(outbox.choose(false), Some(Choice::Alone(TaskId(3))));
    outbox.pop_alone(0);
    assert_eq!(lane(&outbox).0, 2);
    outbox.pop(2);
    assert_eq!(lane(&outbox).0, 1);
    outbox.pop(1);
    assert_eq!(lane(&outbox).0, 0);
}

#[test]
fn a_closed_gate_does_not_hold_other_types_back() {
    let mut outbox = Outbox::new(1);
    (0..9).for_each(|n| outbox.push(TaskId(n), 0, 0));
    outbox.push(TaskId(9), 0, 1);
    (0..4).for_each(|n| assert_eq!(outbox.pop(0), Some(TaskId(n))));
    assert_eq!(lane(&outbox).0, 1);
}

#[test]
fn a_cancelled_task_leaves_a_hole() {
    let mut outbox = Outbox::new(1);
    (0..5).for_each(|n| outbox.push(TaskId(n), 0, 0));
    outbox.measured(0, Duration::ZERO);
    for gone in [2, 0, 4] {
        outbox.remove(TaskId(gone), 0, 0);
    }
    assert_eq!(outbox.waiting(), 2);
    assert_eq!(
        (outbox.pop(0), outbox.pop(0)),
        (Some(TaskId(1)), Some(TaskId(3)))
    );
    assert_eq!((outbox.pop(0), outbox.choose(false)), (None, None));
}

#[test]
fn while_much_is_out_only_full_batches_and_unpacked_tasks_go() {
    let mut outbox = Outbox::new(1);
    outbox.measured(0, Duration::from_millis(10));
    outbox.measured(1, Duration::from_millis(10));
    outbox.set_unpacked(1);
    (0..199).for_each(|n| outbox.push(TaskId(n), 0, 0));
    assert_eq!(lane(&outbox), (0, 49));
    assert_eq!(outbox.choose(true), None, "it waits for more tasks");
    outbox.push(TaskId(199), 0, 0);
    let full = Choice::Lane {
        task_type: 0,
        most: 50,
    };
    assert_eq!(outbox.choose(true), Some(full), "it is worth half a second");
    assert_eq!(outbox.pop(0), Some(TaskId(0)));
    outbox.remove(TaskId(1), 0, 0);
    outbox.push(TaskId(200), 1, 1);
    let unpacked = Choice::Lane {
        task_type: 1,
        most: 1,
    };
    assert_eq!(outbox.choose(true), Some(unpacked), "it never grows");
    outbox.pop(1);
    outbox.push(TaskId(201), -1, 1);
    (2..50).for_each(|n| outbox.remove(TaskId(n), 0, 0));
    assert_eq!(outbox.choose(true), None, "the first is not passed");
    assert_eq!(lane(&outbox).0, 0, "it goes when less is out");
}

#[test]
fn a_task_that_fills_a_batch_waits_for_no_other() {
    let mut outbox = Outbox::new(1);
    outbox.measured(0, Duration::from_secs(1));
    outbox.push(TaskId(0), 0, 0);
    let whole = Choice::Lane {
        task_type: 0,
        most: 1,
    };
    assert_eq!(outbox.choose(true), Some(whole), "one is a full batch");
}

#[test]
fn a_retry_goes_before_fresh_tasks_and_the_oldest_retry_first() {
    let mut outbox = Outbox::new(1);
    [2, 7]
        .into_iter()
        .for_each(|n| outbox.push(TaskId(n), 0, 0));
    [8, 3, 6]
        .into_iter()
        .for_each(|n| outbox.push_again(TaskId(n), 0, 0));
    let order = std::iter::from_fn(|| outbox.pop(0)).map(|id| id.0);
    assert_eq!(order.collect::<Vec<_>>(), [3, 6, 8, 2, 7]);
}

#[test]
fn suspects_go_first_one_by_one_and_can_be_cancelled() {
    let mut outbox = Outbox::new(1);
    outbox.push(TaskId(0), 9, 0);
    [5, 3, 4]
        .into_iter()
        .for_each(|n| outbox.push_alone(TaskId(n)));
    outbox.remove(TaskId(3), 0, 0);
    assert_eq!(outbox.waiting(), 3);
    for suspect in [4, 5] {
        assert_eq!(outbox.choose(true), Some(Choice::Alone(TaskId(suspect))));
        outbox.pop_alone(0);
    }
    assert_eq!(lane(&outbox), (0, 1));
    assert_eq!(outbox.waiting(), 1);
}

#[test]
fn a_type_goes_on_at_a_lower_priority_until_another_type_is_before_it() {
    let mut outbox = Outbox::new(1);
    for (id, priority, task_type) in [(0, 3, 0), (1, 2, 0), (2, 2, 1), (3, 1, 0), (4, 0, 0)] {
        outbox.push(TaskId(id), priority, task_type);
    }
    let mut order = Vec::new();
    for task_type in [0, 0, 1, 0, 0] {
        assert!(outbox.goes_on(task_type) && !outbox.goes_on(1 - task_type));
        order.extend(
            outbox
                .peek(task_type)
                .map(|(priority, id)| (id.0, priority)),
        );
        outbox.pop(task_type);
    }
    assert_eq!(order, [(0, 3), (1, 2), (2, 2), (3, 1), (4, 0)]);
    assert!(!outbox.goes_on(0));
}

#[test]
fn a_lane_that_cancels_have_emptied_is_removed() {
    let mut outbox = Outbox::new(1);
    (0..100).for_each(|n| outbox.push(TaskId(n), n as i32, 0));
    (0..100).for_each(|n| outbox.remove(TaskId(n), n as i32, 0));
    assert!(outbox.task_types[0].lanes.is_empty());
    assert_eq!((outbox.waiting(), outbox.choose(false)), (0, None));
}
