//! Tests of batches that are out.

use std::time::Duration;

use podpool_core::id::{Attempt, TaskId};

use super::*;

fn out(batches: &Batches) -> (usize, usize) {
    let load = batches.load(ClassId::DEFAULT);
    (load.batches, load.bytes)
}

fn batch(left: u32, bytes: usize, news: Instant) -> Batch {
    let mut tasks = Vec::new();
    (0..u64::from(left)).for_each(|n| TaskRun::push(&mut tasks, TaskId(n), Attempt::FIRST));
    Batch {
        published: None,
        begun: None,
        tasks,
        class: ClassId::DEFAULT,
        task_type: 0,
        alone: false,
        left,
        bytes,
        news,
        packed: Some(news),
        sending: false,
        doubtful: false,
        guessed: false,
    }
}

#[test]
fn a_batch_leaves_with_its_last_task_and_its_number_is_used_again() {
    let now = Instant::now();
    let mut batches = Batches::default();
    for (number, left) in [2, 1, 3].into_iter().enumerate() {
        assert_eq!(batches.next_number() as usize, number);
        assert_eq!(batches.add(batch(left, 100, now)) as usize, number);
    }
    batches.task_left(0);
    assert_eq!(out(&batches), (3, 300));
    batches.task_left(1);
    assert_eq!(out(&batches), (2, 200));
    assert!(batches.get_mut(1).is_none());
    batches.task_left(1);
    batches.task_left(77);
    assert_eq!(out(&batches), (2, 200), "no batch has these numbers");
    assert_eq!(batches.next_number(), 1);
    assert_eq!(batches.add(batch(1, 1, now)), 1);
    assert_eq!(batches.next_number(), 3);
}

#[test]
fn stored_batches_without_news_are_silent() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut batches = Batches::default();
    for seconds in [0, 10, 20] {
        batches.add(batch(1, 1, at(seconds)));
    }
    assert_eq!(batches.silent(at(10)), [0, 1]);
    batches.get_mut(0).unwrap().news = at(30);
    batches.task_left(1);
    assert_eq!(batches.silent(at(10)), [0_u32; 0]);
    assert_eq!(batches.silent(at(20)), [2]);
}
