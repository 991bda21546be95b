//! Fuzz targets: whatever bytes stand under a valid MAC are a message or an error.

use super::*;
use crate::fuzz::{Edit, INPUTS, edit, edits};

/// Reads a message of this type whose header and body were changed, under a MAC that is valid all the same.
fn read(sample: &Bytes, kind: u8, edits: &[Edit]) -> Option<Message> {
    let mut bytes = sample.to_vec();
    edit(&mut bytes, edits);
    let prefix = [VERSION, kind, KEY.tag(), 0];
    if let Some(first) = bytes.first_chunk_mut() {
        *first = prefix;
    }
    let mac = KEY.hash(&bytes);
    bytes.extend(mac);
    Message::read(bytes.into(), &KEY).ok()
}

/// The messages, without their MACs.
fn samples() -> Vec<Bytes> {
    let messages = every_message(&MacKey::Absent);
    messages.into_iter().map(|(_, bytes, _)| bytes).collect()
}

/// A message that was read, written once more.
fn written(message: &Message) -> Bytes {
    match message {
        Message::Batch(head, entries) => head.message(entries, &KEY),
        Message::Results(head, entries) => head.message(entries, &KEY),
        Message::Started(it) => it.message(&KEY),
        Message::Hello(it) => it.message(&KEY),
        Message::Alive(it) => it.message(&KEY),
        Message::Control(it) => it.message(&KEY),
        Message::Printed(it) => it.message(&KEY),
        Message::Reference(it, shell) => it.message(shell, &KEY),
    }
}

fn comes_back(message: Message) {
    walk(&message);
    let again = Message::read(written(&message), &KEY);
    assert_eq!(again, Ok(message));
}

#[test]
fn batches() {
    let sample = samples().swap_remove(0);
    let target = bolero::check!().with_iterations(INPUTS);
    target.with_generator(edits()).for_each(|edits| {
        let Some(Message::Batch(head, entries)) = read(&sample, 1, edits) else {
            return;
        };
        let mut rest = entries.clone();
        let mut seen = 0;
        while let Ok(Some(task)) = next_task(&mut rest) {
            // Options that a worker cannot read are a refusal of their task alone.
            drop(codec::decode::<EntryOptions>(&task.options));
            seen += 1;
        }
        assert!(count(&entries) >= seen, "{seen}");
        let message = head.message(&entries, &KEY);
        if let Some(cut) = reference::Extraction::of(&message, &KEY, 8, 64) {
            let hashes = vec![[0; 32]; cut.regions.len()];
            let payloads = cut.regions.iter().map(|it| message.slice(it.clone()));
            let payloads: Vec<_> = payloads.collect();
            let (reference, shell) = cut.close(&message, run(), &hashes).unwrap();
            assert_eq!(reference.assemble(&shell, &payloads), Ok(message));
        }
        comes_back(Message::Batch(head, entries));
    });
}

#[test]
fn answers() {
    let sample = samples().swap_remove(1);
    let target = bolero::check!().with_iterations(INPUTS);
    target.with_generator(edits()).for_each(|edits| {
        let Some(Message::Results(head, entries)) = read(&sample, 2, edits) else {
            return;
        };
        let mut rest = entries.clone();
        while let Ok(Some(head)) = result_head(&rest) {
            let before = rest.len();
            match next_result(&mut rest) {
                // A failure whose bytes are no failure.
                Err(_) => break,
                Ok(entry) => {
                    let entry = entry.unwrap();
                    assert_eq!((head.task, head.done), (entry.task, entry.outcome.is_ok()));
                    assert_eq!(before - rest.len(), head.length);
                }
            }
        }
        comes_back(Message::Results(head, entries));
    });
}

#[test]
fn control() {
    let samples = samples();
    let target = bolero::check!().with_iterations(INPUTS);
    let inputs = target.with_generator((bolero::produce::<u8>(), bolero::produce::<u8>(), edits()));
    inputs.for_each(|(sample, kind, edits)| {
        let sample = &samples[usize::from(*sample) % samples.len()];
        // Mostly of its own type, which is Control for one of them.
        let kind = match kind {
            0..=9 => *kind,
            _ => sample[1],
        };
        let Some(message) = read(sample, kind, edits) else {
            return;
        };
        if let Message::Reference(reference, shell) = &message {
            let payloads = reference.parts.iter();
            let payloads = payloads.map(|part| Bytes::from(vec![0; part.length.min(99) as usize]));
            let payloads: Vec<_> = payloads.collect();
            drop(reference.assemble(shell, &payloads));
            let lost: Vec<_> = payloads.iter().map(|_| Err("gone".to_owned())).collect();
            drop(reference.without_lost(shell, &lost, &KEY));
        }
        comes_back(message);
    });
}
