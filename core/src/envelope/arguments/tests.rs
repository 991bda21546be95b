//! Tests of arguments that are lent to a batch and taken back.

use super::super::entry::{next_task, put_task};
use super::super::{Batch, Message};
use super::*;
use crate::id::RunId;

const TASK: (TaskId, Attempt) = (TaskId(7), Attempt(2));

fn head() -> Batch {
    Batch {
        run: RunId::new("run").unwrap(),
        epoch: 1,
        number: 0,
        alone: false,
        task_types: Vec::new(),
        count: 1,
    }
}

fn long() -> (Vec<u8>, Arguments) {
    let value = (3_u8, vec![9_u64; LONG], "behind");
    let arguments = Arguments::encode(&value).unwrap();
    (codec::encode(&value).unwrap(), arguments)
}

#[test]
fn short_arguments_take_a_box_alone() {
    assert_eq!(size_of::<Arguments>(), size_of::<Box<[u8]>>());
}

#[test]
fn arguments_are_encoded_like_any_value_whatever_their_length() {
    for length in [0, 1, LONG - 4, LONG - 3, LONG - 2, LONG + 1, 3 * LONG] {
        let value = (
            "before",
            vec![b'x'; length],
            String::from_utf8(vec![b'y'; length]),
        );
        let value = (value.0, value.1, value.2.unwrap());
        let encoded = codec::encode(&value).unwrap();
        let arguments = Arguments::encode(&value).unwrap();
        assert_eq!(*arguments, *encoded, "{length}");
        assert_eq!(Bytes::from(arguments), encoded, "{length}");
    }
}

#[test]
fn a_batch_is_made_where_long_ones_lie_and_equals_one_of_copies() {
    for mac_key in [MacKey::Absent, MacKey::Keyed([5; 32])] {
        for options in [&b""[..], b"options"] {
            let (encoded, mut arguments) = long();
            let place = arguments.as_ptr();
            let body = arguments.lend(TASK.0, TASK.1, 0, options).unwrap();
            let message = head().close(body, &mac_key);
            arguments.take_back(&message, encoded.len(), &mac_key);
            assert_eq!((arguments.as_ptr(), &*arguments), (place, &*encoded));

            let mut body = Body::default();
            put_task(body.entries_mut(), TASK.0, TASK.1, 0, options, &encoded).unwrap();
            assert_eq!(message, head().close(body, &mac_key));
            let Ok(Message::Batch(_, mut entries)) = Message::read(message, &mac_key) else {
                panic!("no batch");
            };
            let entry = next_task(&mut entries).unwrap().unwrap();
            assert_eq!((&*entry.options, &*entry.payload), (options, &*encoded));
        }
    }
}

#[test]
fn what_cannot_be_lent_stays_as_it_is() {
    let (encoded, mut arguments) = long();
    let options = [0; ROOM - GAP - TASK_HEAD + 1];
    assert!(arguments.lend(TASK.0, TASK.1, 0, &options).is_none());
    assert_eq!(*arguments, *encoded);
    assert!(arguments.lend(TASK.0, TASK.1, 0, &options[1..]).is_some());

    let mut short = Arguments::encode(&(1, 2)).unwrap();
    assert!(short.lend(TASK.0, TASK.1, 0, &[]).is_none());
    let (encoded, mut arguments) = long();
    let body = arguments.lend(TASK.0, TASK.1, 0, &[]).unwrap();
    let message = head().close(body, &MacKey::Absent);
    arguments.take_back(&message, encoded.len(), &MacKey::Absent);
    assert!(
        arguments.lend(TASK.0, TASK.1, 0, &[]).is_none(),
        "sent before"
    );
    assert_eq!(*arguments, *encoded);
}
