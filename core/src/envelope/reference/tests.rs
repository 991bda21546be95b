//! What is taken out is put back byte for byte; a loss is reported for its tasks alone.

use std::time::Duration;

use proptest::prelude::*;

use crate::envelope::entry::{next_result, put_done, put_task};
use crate::envelope::{Batch, Message, TaskType};
use crate::id::{Attempt, TaskId, WorkerId};
use crate::shape::Fingerprint;
use crate::wall::WallTime;

use super::*;

const KEY: MacKey = MacKey::Keyed([7; 32]);

fn run() -> RunId {
    RunId::new("backfill").unwrap()
}

fn hashes(message: &[u8], cut: &Extraction) -> Vec<[u8; 32]> {
    let hash = |region: &Range<usize>| *blake3::hash(&message[region.clone()]).as_bytes();
    cut.regions.iter().map(hash).collect()
}

fn payloads(message: &Bytes, reference: &Reference) -> Vec<Bytes> {
    let region = |part: &Part| part.offset as usize..(part.offset + part.length) as usize;
    let parts = reference.parts.iter();
    parts.map(|part| message.slice(region(part))).collect()
}

fn close(message: &Bytes, cut: Extraction) -> (Reference, Vec<u8>) {
    let hashes = hashes(message, &cut);
    cut.close(message, run(), &hashes).unwrap()
}

fn batch_of(sizes: &[usize], mac_key: &MacKey) -> Bytes {
    let mut body = Vec::new();
    for (task, size) in (7..).zip(sizes) {
        let payload = vec![u8::try_from(task).unwrap(); *size];
        put_task(&mut body, TaskId(task), Attempt(1), 0, b"opt", &payload).unwrap();
    }
    let batch = Batch {
        run: run(),
        epoch: 1,
        number: 0,
        alone: false,
        task_types: vec![TaskType {
            name: "a::b".into(),
            fingerprint: Fingerprint([1; 16]),
        }],
        count: u32::try_from(sizes.len()).unwrap(),
    };
    batch.message(&body, mac_key)
}

fn results_of(sizes: &[usize], mac_key: &MacKey) -> Bytes {
    let mut body = Vec::new();
    for (task, size) in (7..).zip(sizes) {
        put_done(&mut body, TaskId(task), Attempt(1), |body| {
            body.extend(std::iter::repeat_n(u8::try_from(task).unwrap(), *size));
            Ok::<_, ()>(Duration::from_micros(task))
        })
        .unwrap();
    }
    let execution = ExecutionId {
        worker: WorkerId(3),
        number: 4,
    };
    let results = Results {
        run: run(),
        execution,
        epoch: 1,
        count: u32::try_from(sizes.len()).unwrap(),
        lines: 0,
        at: WallTime::default(),
    };
    results.message(&body, mac_key)
}

#[test]
fn each_payload_over_the_limit_is_cut_out_and_no_other() {
    for make in [batch_of, results_of] {
        let message = make(&[50, 101, 100, 5000], &KEY);
        let cut = Extraction::of(&message, &KEY, 100, 1 << 20).unwrap();
        let lengths: Vec<_> = cut.regions.iter().map(ExactSizeIterator::len).collect();
        assert_eq!(lengths, [101, 5000]);
        assert_eq!(cut.tasks.len(), 1, "{:?}", cut.tasks);
        assert_eq!(cut.tasks[0].count, 4);
        assert!(
            message[cut.regions[0].clone()]
                .iter()
                .all(|byte| *byte == 8)
        );
    }
}

#[test]
fn what_has_no_payload_over_the_limit_travels_as_it_is() {
    let message = batch_of(&[100; 50], &KEY);
    assert_eq!(Extraction::of(&message, &KEY, 100, 1 << 20), None);
    assert_eq!(Extraction::of(&[7; 5000], &KEY, 100, 5000), None);
}

#[test]
fn many_payloads_are_cut_out_when_the_queue_carries_less_than_all() {
    let message = results_of(&[3000, 2000, 3000, 2500, 10], &KEY);
    let cut = Extraction::of(&message, &KEY, 10_000, 8_000).unwrap();
    let lengths: Vec<_> = cut.regions.iter().map(ExactSizeIterator::len).collect();
    assert_eq!(
        lengths,
        [3000],
        "the longest first, and no more than needed"
    );
    let (reference, shell) = close(&message, cut);
    assert!(reference.message(&shell, &KEY).len() <= 8_000);
}

#[test]
fn what_cannot_be_cut_is_cut_out_whole() {
    for message in [Bytes::from(vec![9; 5000]), batch_of(&[10; 200], &KEY)] {
        let cut = Extraction::of(&message, &KEY, 100, 2000).unwrap();
        assert_eq!(cut.regions, std::slice::from_ref(&(0..message.len())));
        let (reference, shell) = close(&message, cut);
        assert!(shell.is_empty());
        let whole = reference.assemble(&shell, &payloads(&message, &reference));
        assert_eq!(whole, Ok(message));
    }
}

#[test]
fn parts_that_do_not_fit_are_refused() {
    let message = batch_of(&[500, 600], &KEY);
    let (reference, shell) = close(
        &message,
        Extraction::of(&message, &KEY, 100, 1 << 20).unwrap(),
    );
    let parts = payloads(&message, &reference);
    assert!(reference.assemble(&shell, &parts[..1]).is_err());
    assert!(
        reference
            .assemble(&shell, &[parts[1].clone(), parts[0].clone()])
            .is_err()
    );
    let mut lying = reference.clone();
    lying.parts[1].offset = 3;
    assert!(lying.assemble(&shell, &parts).is_err());
    lying.parts[1].offset = u32::MAX;
    assert!(lying.assemble(&shell, &parts).is_err());
    assert_eq!(reference.assemble(&shell, &parts), Ok(message));
}

#[test]
fn a_lost_result_is_reported_for_its_task_and_the_others_stay() {
    for mac_key in [KEY, MacKey::Absent] {
        let message = results_of(&[40, 500, 60, 700, 50], &mac_key);
        let (reference, shell) = close(
            &message,
            Extraction::of(&message, &mac_key, 100, 1 << 20).unwrap(),
        );
        let kept = payloads(&message, &reference)[1].clone();
        let found = [Err("object x is missing".to_owned()), Ok(kept)];
        let repaired = reference.without_lost(&shell, &found, &mac_key).unwrap();
        let Ok(Message::Results(head, mut entries)) = Message::read(repaired, &mac_key) else {
            panic!("no results");
        };
        assert_eq!(head.count, 5);
        for (task, size) in (7..).zip([40, 500, 60, 700, 50]) {
            let entry = next_result(&mut entries).unwrap().unwrap();
            assert_eq!(entry.task, TaskId(task));
            assert_eq!(entry.elapsed, Duration::from_micros(task));
            match entry.outcome {
                Ok(output) => assert_eq!(output, vec![u8::try_from(task).unwrap(); size]),
                Err(failure) => {
                    assert_eq!((task, failure.cause), (8, Cause::Rejected));
                    assert!(!failure.retryable);
                    assert!(failure.message.contains("object x is missing"));
                }
            }
        }
        assert_eq!(next_result(&mut entries), Ok(None));
    }
}

#[test]
fn a_batch_and_a_false_shell_are_not_repaired() {
    let lost = [Err("gone".to_owned())];
    let message = batch_of(&[500], &KEY);
    let (reference, shell) = close(
        &message,
        Extraction::of(&message, &KEY, 100, 1 << 20).unwrap(),
    );
    assert_eq!(reference.without_lost(&shell, &lost, &KEY), None);
    let message = results_of(&[500], &KEY);
    let (reference, shell) = close(
        &message,
        Extraction::of(&message, &KEY, 100, 1 << 20).unwrap(),
    );
    for length in 0..shell.len() {
        // A shell that is cut short may read as one that holds less, never as more, and never panics.
        let repaired = reference.without_lost(&shell[..length], &lost, &KEY);
        assert!(repaired.is_none() || length >= shell.len() - 32, "{length}");
    }
    assert!(reference.without_lost(&shell, &lost, &KEY).is_some());
}

proptest! {
    #[test]
    fn any_message_comes_together_byte_for_byte(
        sizes in prop::collection::vec(0_usize..3000, 0..12),
        over in 0_usize..3500,
        carried in 600_usize..40_000,
        keyed in any::<bool>(),
        results in any::<bool>(),
    ) {
        let mac_key = if keyed { KEY } else { MacKey::Absent };
        let message = if results { results_of(&sizes, &mac_key) } else { batch_of(&sizes, &mac_key) };
        match Extraction::of(&message, &mac_key, over, carried) {
            None => prop_assert!(message.len() <= carried),
            Some(cut) => {
                let (reference, shell) = close(&message, cut);
                let travels = reference.message(&shell, &mac_key);
                prop_assert!(travels.len() <= carried, "{} of {carried}", travels.len());
                prop_assert!(Reference::is(&travels) && !Reference::is(&message));
                let read = Message::read(travels, &mac_key).unwrap();
                let Message::Reference(read, shell) = read else { panic!("{read:?}") };
                prop_assert_eq!(&read, &reference);
                let parts = payloads(&message, &read);
                prop_assert_eq!(read.payload_bytes(), parts.iter().map(|part| part.len() as u64).sum::<u64>());
                prop_assert_eq!(read.assemble(&shell, &parts), Ok(message));
            }
        }
    }

    #[test]
    fn any_bytes_are_cut_or_left(bytes in prop::collection::vec(any::<u8>(), 0..300), task_type in 0_u8..4) {
        let mut bytes = bytes;
        if let Some(prefix) = bytes.first_chunk_mut::<8>() {
            *prefix = [VERSION, task_type, 0, 0, prefix[4] % 64, 0, 0, 0];
        }
        if let Some(cut) = Extraction::of(&bytes, &MacKey::Absent, 10, 200) {
            let message = Bytes::from(bytes);
            let (reference, shell) = close(&message, cut);
            prop_assert_eq!(reference.assemble(&shell, &payloads(&message, &reference)), Ok(message));
        }
    }
}
