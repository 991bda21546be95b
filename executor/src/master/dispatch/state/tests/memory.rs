//! Tasks of one machine share its memory by what they declare.

use super::*;

const GIB: u64 = 1 << 30;

fn sharing() -> Bed {
    bed_with(Settings {
        memory: Some(5 * GIB),
        slots: 4,
        remote: false,
        ..settings()
    })
}

impl Bed {
    fn declare(&mut self, memory: u64) -> u64 {
        let mut options = CallOptions::default();
        options.memory = Some(memory);
        self.submit_with(&PLAIN, 1, Some(options))
    }

    /// The tasks that go out now.
    fn out(&mut self) -> Vec<u64> {
        let batches = self.batches();
        batches
            .iter()
            .flat_map(|batch| batch.tasks.iter().map(|(task, _)| *task))
            .collect()
    }
}

#[tokio::test(start_paused = true)]
async fn as_many_tasks_go_out_as_fit_and_those_that_declare_nothing_beside_them() {
    let mut bed = sharing();
    for _ in 0..8 {
        bed.declare(2 * GIB);
    }
    assert_eq!(bed.out(), [0, 1]);
    bed.submit_many(&PLAIN, 3);
    assert_eq!(bed.out(), [8, 9, 10]);
    bed.done(&[(0, 1)], Duration::from_secs(1));
    assert_eq!(bed.out(), [2]);
    bed.fail(1, 1, Cause::Failed);
    assert_eq!(bed.out(), [3], "its share is free, whatever the outcome");
    bed.cancel(TaskId(2));
    assert_eq!(bed.out(), [4]);
    bed.done(&[(3, 1), (4, 1)], Duration::from_secs(1));
    assert_eq!(bed.out(), [5, 6], "no more, although their time is known");
    bed.done(&[(5, 1), (6, 1)], Duration::from_secs(1));
    assert_eq!(bed.out(), [7]);
    bed.done(&[(7, 1), (8, 1), (9, 1), (10, 1)], Duration::from_millis(1));
    bed.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn a_task_that_declares_more_than_all_share_is_rejected_with_both_numbers() {
    let mut bed = sharing();
    let task = bed.declare(8 * GIB);
    let error = bed.error(task);
    assert_eq!(error.kind(), TaskErrorKind::Rejected);
    let text = error.to_string();
    assert!(text.contains("8 GiB") && text.contains("5 GiB"), "{text}");
    bed.assert_empty();
    let mut alone = bed_with(Settings {
        memory: None,
        ..settings()
    });
    alone.declare(8 * GIB);
    assert_eq!(alone.out(), [0], "where workers have memory of their own");
}

#[tokio::test(start_paused = true)]
async fn smaller_tasks_pass_a_larger_one_for_ten_seconds_and_then_it_is_next() {
    let mut bed = sharing();
    bed.declare(2 * GIB);
    let large = bed.declare(4 * GIB);
    bed.declare(GIB);
    assert_eq!(bed.out(), [0, 2], "the large one is passed");
    bed.pass(Duration::from_secs(9));
    bed.declare(GIB);
    assert_eq!(bed.out(), [3]);
    bed.pass(Duration::from_secs(1));
    bed.declare(GIB);
    bed.submit(&PLAIN);
    assert_eq!(bed.out(), [5], "one that declares nothing takes nothing");
    bed.done(&[(0, 1), (2, 1)], Duration::from_secs(1));
    assert_eq!(bed.out(), [large], "4 GiB are free now");
    bed.declare(GIB);
    assert!(bed.out().is_empty(), "nothing is left");
    bed.done(&[(3, 1)], Duration::from_secs(1));
    assert_eq!(bed.out(), [4], "others may pass again");
}

#[tokio::test(start_paused = true)]
async fn a_large_task_that_is_cancelled_holds_nothing_back() {
    let mut bed = sharing();
    bed.declare(2 * GIB);
    let large = bed.declare(4 * GIB);
    assert_eq!(bed.out(), [0]);
    bed.pass(Duration::from_secs(10));
    bed.declare(GIB);
    assert!(bed.out().is_empty());
    bed.cancel(TaskId(large));
    assert_eq!(bed.out(), [2]);
}

#[tokio::test(start_paused = true)]
async fn short_tasks_that_fit_in_every_slot_are_packed_as_before() {
    let mut bed = sharing();
    for _ in 0..1_000 {
        bed.declare(GIB);
    }
    let first = bed.out();
    assert_eq!(first.len(), 16, "until one was measured");
    let results: Vec<_> = first.iter().map(|task| (*task, 1)).collect();
    bed.done(&results, Duration::from_micros(10));
    // Where many batches are out, the last ones wait to become larger.
    assert!(bed.out().len() > 900);
}
