//! A fuzz target: whatever bytes come from a slot's sockets, in whatever pieces, are messages or garbled.

use super::*;
use crate::envelope::entry::next_result;
use crate::fuzz::{INPUTS, edit, edits};

/// Bytes of a body that the target reads to their end: a head may announce 4 GiB, for which memory is reserved when it
/// has come.
const MOST: usize = 1 << 20;

/// What a slot sends, and what it reads.
fn sample() -> Vec<u8> {
    let mut wire = message(Type::Ready, 0, b"");
    let mut results = vec![0; RESULTS_HEAD];
    let done = |body: &mut Vec<u8>| {
        body.extend_from_slice(b"output");
        Ok::<_, ()>(std::time::Duration::from_millis(1))
    };
    crate::envelope::entry::put_done(&mut results, TaskId(7), Attempt(1), done).unwrap();
    close_results(&mut results, 1, 1);
    wire.extend(results);
    wire.extend(message(Type::Reclaimed, 1, &3_u32.to_le_bytes()));
    wire.extend(cancel(7, TaskId(8), Attempt(3)));
    wire.extend(message(Type::Ends, 1, b""));
    wire
}

/// Reads a message as its receiver does.
fn receive(head: Head, body: Body) {
    let body = body.into_entries();
    match head.kind {
        Type::Setup => drop(SetupBody::decode(&body)),
        Type::Tasks | Type::NotedTasks => {
            if let Ok(tasks) = Tasks::parse(&body) {
                let types = (0..=u16::MAX).map_while(|index| tasks.task_type(index));
                assert!(types.count() * 4 + tasks.entries.len() <= body.len());
            }
        }
        Type::Cancel => drop(cancelled(&body)),
        Type::Results if first_u32(&body).is_ok() => {
            let mut entries = body.slice(RESULTS_HEAD - HEAD..);
            while let Ok(Some(_)) = next_result(&mut entries) {}
        }
        Type::SetupFailed => drop(codec::decode::<crate::outcome::Failure>(&body)),
        _ => drop(first_u32(&body)),
    }
}

#[test]
fn sockets() {
    let sample = sample();
    let target = bolero::check!().with_iterations(INPUTS);
    let inputs = target.with_generator((edits(), bolero::produce::<Vec<u8>>()));
    inputs.for_each(|(edits, pieces)| {
        let mut wire = sample.clone();
        edit(&mut wire, edits);
        let mut rest = &wire[..];
        let mut inbox = Inbox::default();
        // Pieces of one byte after those that are given.
        let mut pieces = pieces.iter().chain(std::iter::repeat(&0));
        while !rest.is_empty() {
            let piece = usize::from(*pieces.next().unwrap()) + 1;
            let mut room = inbox.room();
            let (read, later) = rest.split_at(piece.min(rest.len()).min(room.remaining_mut()));
            room.put_slice(read);
            rest = later;
            if head(&inbox.bytes[inbox.next..])
                .is_ok_and(|it| it.is_some_and(|it| it.length > MOST))
            {
                return;
            }
            loop {
                match inbox.next() {
                    Err(Garbled) => return,
                    Ok(None) => break,
                    Ok(Some((head, body))) => {
                        assert_eq!(head.length, body.len());
                        receive(head, body);
                    }
                }
            }
        }
    });
}
