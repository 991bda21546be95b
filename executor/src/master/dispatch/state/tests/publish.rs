//! How tasks leave: gates, packing, bounds, what a batch carries.

use super::*;

#[tokio::test(start_paused = true)]
async fn the_gate_lets_four_tasks_for_each_slot_out_until_one_was_measured() {
    let mut bed = bed();
    bed.submit_many(&PLAIN, 100);
    let first = bed.batches();
    let singles: Vec<_> = (0..8).map(|n| packed(&[(n, 1)])).collect();
    assert_eq!(first, singles);
    bed.fail(0, 1, Cause::Failed);
    assert_eq!(
        bed.batches(),
        [packed(&[(8, 1)])],
        "a failure frees a place"
    );
    bed.cancel(TaskId(1));
    assert_eq!(bed.batches(), [packed(&[(9, 1)])], "so does a cancel");
    bed.done(&[(2, 1)], Duration::from_micros(10));
    let rest = bed.batches();
    assert_eq!(rest[0].tasks.len(), 90 / 8, "an even share of what waits");
    let mut all = numbers(&rest);
    assert!(
        rest.len() <= super::super::publish::CROWD * SLOTS,
        "small ones wait for more tasks"
    );
    assert!(bed.state.waiting() > 0);
    let ended: Vec<_> = all.iter().map(|task| (*task, 1)).collect();
    bed.done(&ended, Duration::from_micros(10));
    all.extend(numbers(&bed.batches()));
    assert_eq!(all, (10..100).collect::<Vec<_>>());
}

fn numbers(batches: &[Published]) -> Vec<u64> {
    let tasks = batches.iter().flat_map(|batch| &batch.tasks);
    tasks.map(|task| task.0).collect()
}

#[tokio::test(start_paused = true)]
async fn every_attempt_carries_the_arguments_that_the_first_batch_was_made_of() {
    let value = vec!["a large argument"; outbox::ALONE_BYTES];
    let encoded = codec::encode(&value).unwrap();
    let mut options = CallOptions::default();
    options.key = Some("BTC".into());
    for mac_key in [MacKey::Absent, MacKey::Keyed([3; 32])] {
        let mut bed = bed_with(Settings {
            mac_key: mac_key.clone(),
            message_bytes: 1 << 24,
            ..settings()
        });
        let carried = |message: Bytes, attempt: u32| {
            let Ok(Message::Batch(batch, mut entries)) = Message::read(message, &mac_key) else {
                panic!("not a batch");
            };
            let entry = next_task(&mut entries).unwrap().unwrap();
            assert!(entry.payload == encoded, "attempt {attempt}");
            assert_eq!((entry.task, entry.attempt.0), (TaskId(0), attempt));
            let options: EntryOptions = codec::decode(&entry.options).unwrap();
            assert_eq!(options.key.as_deref(), Some("BTC"));
            assert_eq!((batch.count, entries.len()), (1, 0));
        };
        let arguments = Arguments::encode(&value).unwrap();
        bed.submit_arguments(&STUBBORN, arguments, Some(options.clone()));
        let small = bed.submit(&STUBBORN);
        let mut first = bed.messages();
        assert_eq!(first.len(), 2);
        carried(first.remove(0), 1);
        bed.fail(0, 1, Cause::Failed);
        bed.pass(Duration::from_secs(5));
        carried(bed.messages().remove(0), 2);
        bed.done(&[(small, 1)], Duration::from_micros(1));
        bed.done(&[(0, 2)], Duration::from_micros(1));
        bed.assert_empty();
    }
}

#[tokio::test(start_paused = true)]
async fn large_arguments_and_unpacked_types_travel_by_themselves() {
    let mut bed = bed();
    for spec in [&PLAIN, &UNPACKED] {
        let id = bed.submit(spec);
        bed.batches();
        bed.done(&[(id, 1)], Duration::from_micros(1));
    }
    bed.submit_many(&UNPACKED, 40);
    let unpacked = bed.batches();
    assert_eq!(unpacked.len(), 40, "they wait for no others");
    assert!(unpacked.iter().all(|batch| batch.tasks.len() == 1));
    let ended: Vec<_> = numbers(&unpacked)
        .into_iter()
        .map(|task| (task, 1))
        .collect();
    bed.done(&ended, Duration::from_micros(1));
    bed.submit_many(&PLAIN, 39);
    let large = bed.submit_with(&PLAIN, outbox::ALONE_BYTES + 1, None);
    bed.submit_many(&PLAIN, 40);
    let batches = bed.batches();
    assert!(batches.iter().any(|batch| batch.tasks.len() > 1));
    assert!(batches.contains(&packed(&[(large, 1)])), "{batches:?}");
    let most = bed.state.waiting();
    assert_eq!(most, 0);
    let tasks: usize = batches.iter().map(|batch| batch.tasks.len()).sum();
    assert_eq!(tasks, 80);
}

#[tokio::test(start_paused = true)]
async fn batches_and_bytes_that_are_out_are_bounded() {
    let mut bed = bed_with(Settings {
        batches_out: 3,
        bytes_out: 1000,
        ..settings()
    });
    bed.submit_many(&PLAIN, 8);
    assert_eq!(bed.batches().len(), 3);
    assert!(bed.state.is_full());
    bed.fail(1, 1, Cause::Failed);
    assert_eq!(bed.batches(), [packed(&[(3, 1)])]);
    for n in [0, 2, 3] {
        bed.fail(n, 1, Cause::Failed);
    }
    let large = bed.submit_with(&STUBBORN, 2000, Some(priority(1)));
    assert_eq!(bed.batches(), [packed(&[(large, 1)])], "full of bytes now");
    bed.done(&[(large, 1)], Duration::ZERO);
    assert_eq!(bed.batches().len(), 3);
}

fn priority(priority: i32) -> CallOptions {
    let mut options = CallOptions::default();
    options.priority = priority;
    options
}

#[tokio::test(start_paused = true)]
async fn higher_priorities_are_published_first() {
    let mut bed = bed();
    bed.submit(&PLAIN);
    bed.submit_with(&PLAIN, 1, Some(priority(-1)));
    bed.submit_with(&PLAIN, 1, Some(priority(9)));
    let order: Vec<_> = bed.batches().iter().map(|p| p.tasks[0].0).collect();
    assert_eq!(order, [2, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn what_a_call_overrides_is_in_its_envelope() {
    let mut bed = bed();
    let mut options = CallOptions::default();
    options.key = Some("BTC".into());
    options.timeout = Some(Duration::from_secs(3));
    options.force = true;
    bed.submit_with(&PLAIN, 1, Some(options));
    let message = bed.messages().remove(0);
    let Ok(Message::Batch(_, mut entries)) = Message::read(message, &MacKey::Absent) else {
        panic!("not a batch");
    };
    let entry = next_task(&mut entries).unwrap().unwrap();
    assert_eq!(&*entry.payload, &[7]);
    let expected = EntryOptions {
        key: Some("BTC".into()),
        timeout: Some(Duration::from_secs(3)),
        memory: None,
        force: true,
    };
    assert_eq!(codec::decode(&entry.options), Ok(expected));
}

#[tokio::test(start_paused = true)]
async fn arguments_that_no_message_carries_are_rejected_with_the_name_of_the_setting() {
    let mut bed = bed();
    let fits = bed.submit_with(&PLAIN, MESSAGE_BYTES - 4096, None);
    let large = bed.submit_with(&PLAIN, MESSAGE_BYTES - 4095, None);
    let error = bed.error(large);
    assert_eq!(error.kind(), TaskErrorKind::Rejected);
    assert!(error.message().contains("by reference"), "{error}");
    assert!(error.message().contains("PODPOOL_PAYLOAD_STORE"), "{error}");
    assert_eq!(bed.batches(), [packed(&[(fits, 1)])]);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_too_long_is_rejected_and_other_tasks_are_published() {
    let mut bed = bed();
    let keyed = |bytes: usize| {
        let mut options = CallOptions::default();
        options.key = Some("k".repeat(bytes).into());
        options
    };
    let fits = bed.submit_with(&PLAIN, 1, Some(keyed(1024)));
    for bytes in [1025, 70_000] {
        let long = bed.submit_with(&PLAIN, 1, Some(keyed(bytes)));
        let error = bed.error(long);
        assert_eq!(error.kind(), TaskErrorKind::Rejected);
        assert!(
            error.message().contains(&format!("key of {bytes} bytes")),
            "{error}"
        );
    }
    assert_eq!(bed.batches(), [packed(&[(fits, 1)])]);
    bed.done(&[(fits, 1)], Duration::ZERO);
    bed.assert_empty();
}
