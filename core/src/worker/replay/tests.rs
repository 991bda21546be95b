//! Tests of results that are remembered.

use proptest::prelude::*;

use super::*;

const BATCH: BatchId = BatchId {
    epoch: 1,
    number: 7,
};

fn run(first: u64, count: u32) -> TaskRun {
    TaskRun {
        first: TaskId(first),
        count,
        attempt: Attempt::FIRST,
    }
}

#[test]
fn a_task_is_known_by_batch_number_and_attempt() {
    let mut stored = Stored::default();
    stored.add(BATCH, &[run(3, 2), run(9, 1)]);
    stored.add(BATCH, &[run(6, 1)]);
    let known: Vec<u64> = (0..12)
        .filter(|task| stored.holds(BATCH, TaskId(*task), Attempt::FIRST))
        .collect();
    assert_eq!(known, [3, 4, 6, 9]);
    assert!(!stored.holds(BATCH, TaskId(3), Attempt::FIRST.next()));
    for other in [
        BatchId { number: 8, ..BATCH },
        BatchId { number: 6, ..BATCH },
        BatchId { epoch: 2, ..BATCH },
    ] {
        assert!(!stored.holds(other, TaskId(3), Attempt::FIRST));
        assert!(!stored.knows(other));
    }
}

#[test]
fn the_newest_65_536_tasks_are_known_however_they_are_packed() {
    for packed in [1, 7, 256, 4_096] {
        let mut stored = Stored::default();
        let batches = 3 * TASKS / u64::from(packed);
        for number in 0..batches {
            let first = number * u64::from(packed);
            stored.add(BatchId { epoch: 1, number }, &[run(first, packed)]);
        }
        let holds = |number: u64| {
            let task = TaskId(number * u64::from(packed));
            stored.holds(BatchId { epoch: 1, number }, task, Attempt::FIRST)
        };
        let kept = TASKS.div_ceil(u64::from(packed));
        assert!((batches - kept..batches).all(holds), "{packed}");
        assert!(!(0..batches - kept).any(holds), "{packed}");
        assert_eq!(stored.runs.len(), stored.order.len());
    }
}

#[test]
fn a_batch_larger_than_all_that_is_kept_is_known() {
    let mut stored = Stored::default();
    let runs: Vec<_> = (0..=TASKS).map(|n| run(2 * n, 1)).collect();
    stored.add(BATCH, &runs);
    assert!(stored.holds(BATCH, TaskId(2 * TASKS), Attempt::FIRST));
    assert!(!stored.holds(BATCH, TaskId(0), Attempt::FIRST));
}

#[test]
fn an_old_batch_whose_result_is_new_is_remembered_as_new() {
    let mut stored = Stored::default();
    for number in 100..100 + TASKS {
        stored.add(BatchId { epoch: 1, number }, &[run(number, 1)]);
    }
    // It ran for long, so its number is the lowest of all.
    stored.add(BATCH, &[run(7, 1)]);
    assert!(stored.holds(BATCH, TaskId(7), Attempt::FIRST));
    let oldest = BatchId {
        epoch: 1,
        number: 100,
    };
    assert!(!stored.knows(oldest));
}

proptest! {
    /// Against a map of every task, and whatever is stored again.
    #[test]
    fn the_record_holds_what_was_stored_and_nothing_else(
        adds in prop::collection::vec((0u64..6, 0u64..20, 1u32..5, 1u32..3), 0..40),
    ) {
        let mut stored = Stored::default();
        let mut plain = BTreeMap::new();
        for (number, place, count, attempt) in adds {
            // Runs of one batch do not overlap: a task that is remembered does not run again.
            let (batch, first) = (BatchId { epoch: 1, number }, place * 5);
            let run = TaskRun { first: TaskId(first), count, attempt: Attempt(attempt) };
            plain.retain(|(of, task), _| *of != batch || !(first..first + 5).contains(task));
            plain.extend((0..u64::from(count)).map(|n| ((batch, first + n), attempt)));
            stored.add(batch, &[run]);
            prop_assert_eq!(stored.tasks, plain.len() as u64);
        }
        for (number, task, attempt) in (0..6).flat_map(|n| (0..100).flat_map(move |t| [(n, t, 1), (n, t, 2)])) {
            let batch = BatchId { epoch: 1, number };
            let held = stored.holds(batch, TaskId(task), Attempt(attempt));
            prop_assert_eq!(held, plain.get(&(batch, task)) == Some(&attempt));
        }
    }
}
