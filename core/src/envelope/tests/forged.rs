//! What was changed, cut or signed by another is refused.

use super::*;

#[test]
fn a_message_that_is_cut_anywhere_is_refused_with_a_key_and_never_panics() {
    for (name, bytes, _) in every_message(&KEY) {
        for length in 0..bytes.len() {
            let cut = Message::read(bytes.slice(..length), &KEY);
            assert!(cut.is_err(), "{name} cut to {length}: {cut:?}");
        }
    }
    for (name, bytes, whole) in every_message(&MacKey::Absent) {
        for length in 0..bytes.len() {
            let Ok(message) = Message::read(bytes.slice(..length), &MacKey::Absent) else {
                continue;
            };
            assert_ne!(message, whole, "{name} cut to {length}");
            walk(&message);
        }
    }
}

#[test]
fn any_flipped_bit_is_refused_with_a_key_and_never_panics() {
    for (name, bytes, _) in every_message(&KEY) {
        for (at, bit) in (0..bytes.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut flipped = bytes.to_vec();
            flipped[at] ^= 1 << bit;
            let read = Message::read(flipped.into(), &KEY);
            let expected = if at == 0 {
                WireError::Version(VERSION ^ (1 << bit))
            } else {
                WireError::Mac
            };
            assert_eq!(read, Err(expected), "{name} byte {at} bit {bit}");
        }
    }
    for (_, bytes, _) in every_message(&MacKey::Absent) {
        for (at, bit) in (0..bytes.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut flipped = bytes.to_vec();
            flipped[at] ^= 1 << bit;
            if let Ok(message) = Message::read(flipped.into(), &MacKey::Absent) {
                walk(&message);
            }
        }
    }
}

#[test]
fn bytes_after_an_authenticated_message_are_refused() {
    for (name, bytes, _) in every_message(&KEY) {
        let mut longer = bytes.to_vec();
        longer.push(0);
        let read = Message::read(longer.into(), &KEY);
        assert_eq!(read, Err(WireError::Mac), "{name}");
    }
}

#[test]
fn a_reader_with_a_key_takes_neither_messages_without_a_mac_nor_another_key() {
    for (name, bytes, _) in every_message(&MacKey::Absent) {
        assert!(Message::read(bytes, &KEY).is_err(), "{name}");
    }
    for (name, bytes, _) in every_message(&MacKey::Keyed([8; 32])) {
        assert_eq!(Message::read(bytes, &KEY), Err(WireError::Mac), "{name}");
    }
    for (name, bytes, _) in every_message(&KEY) {
        let read = Message::read(bytes, &MacKey::Absent);
        assert_eq!(read, Err(WireError::Mac), "{name}");
    }
    assert!(!format!("{KEY:?}").contains('7'), "a key is never printed");
}

/// The MAC of `from` under the text of `onto`: what a forger who saw one message could try.
fn forge(from: &Bytes, onto: &Bytes) -> Bytes {
    let mut forged = onto[..onto.len() - 32].to_vec();
    forged.extend_from_slice(&from[from.len() - 32..]);
    forged.into()
}

#[test]
fn a_mac_cannot_stand_for_another_run_direction_task_attempt_or_body() {
    let (head, body) = batch();
    let original = head.message(&body, &KEY);
    let entry = |task, attempt, payload: &[u8]| {
        let mut body = Vec::new();
        put_task(&mut body, TaskId(task), Attempt(attempt), 0, &[], payload).unwrap();
        head.message(&body, &KEY)
    };
    let other_run = Batch {
        run: RunId::new("backfill-2026-12").unwrap(),
        ..head.clone()
    };
    let mut other_direction = original.to_vec();
    other_direction[1] = 2;
    let others = [
        other_run.message(&body, &KEY),
        other_direction.into(),
        entry(7, 1, b"a"),
        entry(8, 1, b"a"),
        entry(7, 2, b"a"),
        entry(7, 1, b"b"),
    ];
    for (one, from) in others.iter().enumerate() {
        for (two, onto) in others.iter().enumerate() {
            let read = Message::read(forge(from, onto), &KEY);
            // The second was never authenticated as what it is marked as; the others' own MACs are valid.
            let good = one == two && one != 1;
            assert_eq!(read.is_ok(), good, "the MAC of {one} on {two}: {read:?}");
        }
        assert!(Message::read(forge(&original, from), &KEY).is_err());
    }
}

#[test]
fn an_unknown_type_and_a_false_header_are_unreadable_with_a_valid_mac() {
    let bytes = hello().message(&MacKey::Absent);
    let with = |at: usize, byte: u8| {
        let mut bytes = bytes.to_vec();
        bytes[at] = byte;
        Message::read(bytes.into(), &MacKey::Absent)
    };
    for kind in [0, 99, 255] {
        let unknown = WireError::Unreadable(format!("type {kind}"));
        assert_eq!(with(1, kind), Err(unknown));
    }
    assert!(matches!(with(4, 1), Err(WireError::Unreadable(_))));
    assert!(matches!(with(4, 0), Err(WireError::Unreadable(_))));
}

#[test]
fn an_entry_with_a_status_or_a_failure_that_cannot_be_read_is_refused() {
    let mut body = Vec::new();
    put_failed(&mut body, TaskId(1), Attempt(1), Duration::ZERO, &failure());
    let mut status = body.clone();
    status[20] = 9;
    let unreadable = WireError::Unreadable("status 9".to_owned());
    assert_eq!(next_result(&mut status.into()), Err(unreadable));
    let last = body.len() - 1;
    body.truncate(last);
    let shorter = u32::try_from(last - entry::RESULT_HEAD).unwrap();
    body[..4].copy_from_slice(&shorter.to_le_bytes());
    let read = next_result(&mut body.into());
    assert!(matches!(read, Err(WireError::Unreadable(_))), "{read:?}");
}
