//! Tests of the messages between a worker and its slot.

mod fuzz;

use bytes::Bytes;

use super::*;

#[test]
fn messages_come_out_whole_however_they_arrive() {
    let long = vec![7; SHORT + 1];
    let mut wire = message(Type::Ready, 3, b"");
    wire.extend(message(Type::Results, 4, b"abcd"));
    wire.extend(message(Type::Results, 5, &long));
    for step in [1, 7, 4096, wire.len()] {
        let mut inbox = Inbox::default();
        let mut seen = Vec::new();
        for chunk in wire.chunks(step) {
            let mut chunk = chunk;
            while !chunk.is_empty() {
                let mut room = inbox.room();
                let (read, rest) = chunk.split_at(chunk.len().min(room.remaining_mut()));
                room.put_slice(read);
                chunk = rest;
                while let Some((head, body)) = inbox.next().unwrap() {
                    seen.push((head.kind, head.number, body.entries().to_vec()));
                }
            }
        }
        let expected = [
            (Type::Ready, 3, Vec::new()),
            (Type::Results, 4, b"abcd".to_vec()),
            (Type::Results, 5, long.clone()),
        ];
        assert_eq!(seen, expected, "in steps of {step}");
    }
}

#[test]
fn a_frame_is_read_in_place() {
    let execution = ExecutionId {
        worker: WorkerId(9),
        number: 8,
    };
    let frame = Frame {
        number: 11,
        execution,
        task_types: [5, 70_000].into(),
        entries: Bytes::from_static(b"xyz"),
        count: 2,
        noted: false,
        memory: None,
    };
    let mut wire = tasks_head(&frame);
    wire.extend_from_slice(&frame.entries);
    let head = head(&wire).unwrap().unwrap();
    assert_eq!((head.kind, head.number), (Type::Tasks, 11));
    assert_eq!(head.length, wire.len() - HEAD);
    let tasks = Tasks::parse(&wire[HEAD..]).unwrap();
    assert_eq!((tasks.execution, tasks.count), (execution, 2));
    assert_eq!(tasks.entries, b"xyz");
    assert_eq!(
        [0, 1, 2].map(|index| tasks.task_type(index)),
        [Some(5), Some(70_000), None]
    );
}

#[test]
fn a_cancellation_names_frame_task_and_attempt() {
    let wire = cancel(7, TaskId(u64::MAX - 1), Attempt(3));
    let head = head(&wire).unwrap().unwrap();
    assert_eq!((head.kind, head.number), (Type::Cancel, 7));
    let named = (TaskId(u64::MAX - 1), Attempt(3));
    assert_eq!(cancelled(&wire[HEAD..]), Ok(named));
    assert_eq!(cancelled(&wire[HEAD..wire.len() - 1]), Err(Garbled));
}

#[test]
fn what_is_no_message_is_refused() {
    assert_eq!(head(&[0xff; HEAD]), Err(Garbled));
    assert_eq!(head(&[1; HEAD - 1]), Ok(None));
    assert!(Tasks::parse(b"short").is_err());
    let lying = tasks_head(&Frame {
        number: 0,
        execution: ExecutionId {
            worker: WorkerId(0),
            number: 0,
        },
        task_types: [1].into(),
        entries: Bytes::new(),
        count: 1,
        noted: false,
        memory: None,
    });
    assert!(Tasks::parse(&lying[HEAD..HEAD + TASKS_FIXED]).is_err());
}
