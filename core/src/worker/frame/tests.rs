//! Tests of how entries are cut into frames.

use super::*;
use crate::envelope::entry::put_task;
use crate::id::{Attempt, TaskId};

fn entries(sizes: &[usize]) -> Bytes {
    let mut body = Vec::new();
    for (number, size) in sizes.iter().enumerate() {
        put_task(
            &mut body,
            TaskId(number as u64),
            Attempt::FIRST,
            0,
            &[],
            &vec![0; *size],
        )
        .unwrap();
    }
    body.into()
}

fn measured(millis: u64) -> Estimates {
    let mut estimates = Estimates::default();
    estimates.record(0, Duration::from_micros(millis));
    estimates
}

const KINDS: [TaskTypeInfo; 1] = [TaskTypeInfo {
    index: 0,
    ..TaskTypeInfo::UNKNOWN
}];

#[test]
fn unknown_task_types_and_long_tasks_go_alone() {
    let body = entries(&[8; 9]);
    let unknown = cut(&body, &KINDS, &Estimates::default(), 100, u32::MAX);
    assert_eq!((unknown.count, unknown.expected), (1, None));
    assert_eq!(
        cut(&body, &KINDS, &measured(1_000_000), 100, u32::MAX).count,
        1
    );
}

#[test]
fn short_tasks_are_packed_up_to_their_worth_share_and_bytes() {
    assert_eq!(
        cut(&entries(&[8; 900]), &KINDS, &measured(1), 1000, u32::MAX).count,
        MAX_TASKS
    );
    assert_eq!(
        cut(&entries(&[8; 900]), &KINDS, &measured(1000), 1000, u32::MAX).count,
        4
    );
    assert_eq!(
        cut(&entries(&[8; 900]), &KINDS, &measured(30), 7, u32::MAX).count,
        7
    );
    let cheap = cut(&entries(&[8; 900]), &KINDS, &measured(1), 7, u32::MAX).count;
    assert!((99..=101).contains(&cheap), "{cheap}");
    assert_eq!(
        cut(&entries(&[40_000; 3]), &KINDS, &measured(1), 9, u32::MAX).count,
        1
    );
    assert_eq!(
        cut(&entries(&[400_000, 1]), &KINDS, &measured(1), 9, u32::MAX).count,
        1
    );
    assert_eq!(
        cut(&entries(&[]), &KINDS, &measured(1), 9, u32::MAX).count,
        0
    );
}

#[test]
fn a_task_with_a_memory_limit_goes_alone() {
    let limited = TaskTypeInfo {
        memory: Some(64 << 20),
        ..KINDS[0]
    };
    let task_types = [KINDS[0], limited];
    let mut body = Vec::new();
    for (number, task_type) in (0..).zip([1, 1, 0, 0, 1]) {
        put_task(
            &mut body,
            TaskId(number),
            Attempt::FIRST,
            task_type,
            &[],
            &[1],
        )
        .unwrap();
    }
    let mut body = Bytes::from(body);
    let mut cuts = Vec::new();
    while !body.is_empty() {
        let cut = cut(&body, &task_types, &measured(1), 100, u32::MAX);
        cuts.push((cut.count, cut.memory));
        drop(body.split_to(cut.length));
    }
    let alone = (1, limited.memory);
    assert_eq!(cuts, [alone, alone, (2, None), alone]);
}

#[test]
fn a_task_with_a_key_goes_alone_where_tasks_print() {
    let key = codec::encode(&EntryOptions {
        key: Some("BTC".into()),
        timeout: None,
        memory: None,
        force: false,
    })
    .unwrap();
    let mut body = Vec::new();
    for (number, options) in (0..).zip([&key[..], &[], &[], &key]) {
        put_task(&mut body, TaskId(number), Attempt::FIRST, 0, options, &[1]).unwrap();
    }
    let mut rest = &body[..];
    let mut found = Vec::new();
    while let Ok(Some(head)) = task_head(rest) {
        found.push(findable(rest));
        rest = &rest[head.length..];
    }
    assert_eq!(found, [1, 2, 1, 1]);
    assert_eq!(findable(&entries(&[8; 900])), MAX_TASKS);
}

#[test]
fn the_shortest_timeout_counts_and_a_call_overrides_its_task_type() {
    let task_types = [TaskTypeInfo {
        timeout: Some(Duration::from_secs(9)),
        ..KINDS[0]
    }];
    let mut body = entries(&[8, 8]).to_vec();
    let own = EntryOptions {
        timeout: Some(Duration::from_secs(2)),
        key: None,
        memory: None,
        force: false,
    };
    let own = codec::encode(&own).unwrap();
    put_task(&mut body, TaskId(9), Attempt::FIRST, 0, &own, &[]).unwrap();
    let body = Bytes::from(body);
    assert_eq!(
        cut(&body, &task_types, &measured(1000), 2, u32::MAX).timeout,
        Some(Duration::from_secs(9))
    );
    assert_eq!(
        cut(&body, &task_types, &measured(1000), 3, u32::MAX).timeout,
        Some(Duration::from_secs(2))
    );
}
