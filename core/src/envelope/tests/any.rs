//! Any message comes back as it was written, and any bytes are a message or an error.

use std::time::SystemTime;

use proptest::prelude::*;

use super::super::entry::{ResultEntry, TaskEntry};
use super::*;
use crate::outcome::{Exit, Ran};

fn task_entry() -> impl Strategy<Value = TaskEntry> {
    let bytes = |most| prop::collection::vec(any::<u8>(), 0..most).prop_map(Bytes::from);
    let numbers = (any::<u64>(), any::<u32>(), any::<u16>());
    (numbers, bytes(40), bytes(300)).prop_map(|((task, attempt, kind), options, payload)| {
        TaskEntry {
            task: TaskId(task),
            attempt: Attempt(attempt),
            task_type: kind,
            options,
            payload,
        }
    })
}

fn any_failure() -> impl Strategy<Value = Failure> {
    let cause = prop::sample::select(vec![
        Cause::Failed,
        Cause::Panicked,
        Cause::TimedOut,
        Cause::Crashed,
        Cause::OutOfMemory,
        Cause::Suspect,
        Cause::Interrupted,
        Cause::Rejected,
        Cause::Cancelled,
        Cause::Broken,
    ]);
    let exit = prop::option::of(prop_oneof![
        any::<i32>().prop_map(Exit::Code),
        any::<i32>().prop_map(Exit::Signal),
    ]);
    let words = || prop::collection::vec(any::<String>(), 0..4);
    let rest = (any::<bool>(), any::<Option<u64>>(), any::<Option<u32>>());
    (cause, any::<String>(), words(), words(), exit, rest).prop_map(
        |(cause, message, chain, output, exit, (retryable, peak_rss, cpu))| Failure {
            chain,
            retryable,
            exit,
            peak_rss,
            ran: cpu.map(|micros| {
                let cpu = Duration::from_micros(micros.into());
                Box::new(Ran {
                    started: Some(SystemTime::UNIX_EPOCH + cpu),
                    pid: Some(micros),
                    cpu: Some(cpu),
                })
            }),
            output,
            ..Failure::new(cause, message)
        },
    )
}

fn result_entry() -> impl Strategy<Value = ResultEntry> {
    let output = prop::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from);
    let outcome = prop_oneof![output.prop_map(Ok), any_failure().prop_map(Err)];
    (
        any::<u64>(),
        any::<u32>(),
        any::<u32>(),
        outcome,
        any::<bool>(),
    )
        .prop_map(|(task, attempt, micros, outcome, skipped)| ResultEntry {
            task: TaskId(task),
            attempt: Attempt(attempt),
            elapsed: Duration::from_micros(micros.into()),
            skipped: skipped && outcome.is_ok(),
            outcome,
        })
}

fn put_result(body: &mut Vec<u8>, entry: &ResultEntry) {
    let start = body.len();
    match &entry.outcome {
        Ok(output) => put_done(body, entry.task, entry.attempt, |body| {
            body.extend_from_slice(output);
            Ok::<_, ()>(entry.elapsed)
        })
        .unwrap(),
        Err(failure) => put_failed(body, entry.task, entry.attempt, entry.elapsed, failure),
    }
    if entry.skipped {
        mark_skipped(&mut body[start..]);
    }
}

fn mac_key() -> impl Strategy<Value = MacKey> {
    prop_oneof![
        Just(MacKey::Absent),
        any::<[u8; 32]>().prop_map(MacKey::Keyed)
    ]
}

proptest! {
    #[test]
    fn batches_come_back(entries in prop::collection::vec(task_entry(), 0..12), mac_key in mac_key()) {
        let mut body = Vec::new();
        for e in &entries {
            put_task(&mut body, e.task, e.attempt, e.task_type, &e.options, &e.payload).unwrap();
        }
        prop_assert_eq!(count(&body) as usize, entries.len());
        let (head, _) = batch();
        let read = Message::read(head.message(&body, &mac_key), &mac_key).unwrap();
        let Message::Batch(read, mut rest) = read else { panic!("{read:?}") };
        prop_assert_eq!(read, head);
        for entry in entries {
            let head = task_head(&rest).unwrap().unwrap();
            let before = rest.len();
            prop_assert_eq!((head.task, head.attempt, head.task_type), (entry.task, entry.attempt, entry.task_type));
            prop_assert_eq!(next_task(&mut rest).unwrap(), Some(entry));
            prop_assert_eq!(before - rest.len(), head.length);
        }
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn results_come_back(entries in prop::collection::vec(result_entry(), 0..12), mac_key in mac_key()) {
        let mut body = Vec::new();
        entries.iter().for_each(|entry| put_result(&mut body, entry));
        let (head, _) = results();
        let read = Message::read(head.message(&body, &mac_key), &mac_key).unwrap();
        let Message::Results(read, mut rest) = read else { panic!("{read:?}") };
        prop_assert_eq!(read, head);
        for entry in entries {
            let head = result_head(&rest).unwrap().unwrap();
            let before = rest.len();
            prop_assert_eq!((head.task, head.done), (entry.task, entry.outcome.is_ok()));
            prop_assert_eq!(head.skipped, entry.skipped);
            prop_assert_eq!(next_result(&mut rest).unwrap(), Some(entry));
            prop_assert_eq!(before - rest.len(), head.length);
        }
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn any_bytes_are_a_message_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0_u8..10) {
        let mut bytes = bytes;
        if let Some(prefix) = bytes.first_chunk_mut::<8>() {
            // Past the first checks, so that headers and entries are met.
            *prefix = [VERSION, kind, 0, 0, prefix[4] % 64, 0, 0, 0];
        }
        if let Ok(message) = Message::read(bytes.into(), &MacKey::Absent) {
            walk(&message);
        }
    }

    #[test]
    fn runs_hold_what_was_pushed(tasks in prop::collection::vec((0_u64..40, 1_u32..3), 0..60)) {
        let mut runs = Vec::new();
        tasks.iter().for_each(|(task, attempt)| TaskRun::push(&mut runs, TaskId(*task), Attempt(*attempt)));
        let listed: Vec<_> = runs.iter().flat_map(|run| run.tasks().map(|task| (task.0, run.attempt.0))).collect();
        prop_assert_eq!(listed, tasks);
    }
}
