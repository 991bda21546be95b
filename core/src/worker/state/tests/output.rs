//! Lines that tasks print.

use std::time::SystemTime;

use super::*;

#[test]
fn a_line_has_the_name_and_the_key_of_its_task_and_goes_before_its_failure() {
    let mut bed = bed(1);
    let options = codec::encode(&EntryOptions {
        key: Some("BTC".into()),
        timeout: None,
        memory: None,
        force: false,
    })
    .unwrap();
    let mut body = Vec::new();
    put_task(&mut body, TaskId(7), Attempt::FIRST, 0, &options, &[]).unwrap();
    bed.take_in("a", "fast", 1, body.into(), false);
    bed.settle();
    let line = SlotEvent::Output {
        stream: Stream::Stderr,
        line: "thread panicked".to_owned(),
    };
    bed.state.on_slot(bed.now, S0, line, &bed.script);
    let frame = bed.frames[&S0][0].number;
    let wall = SystemTime::UNIX_EPOCH + SECOND * 1_796_000_000;
    bed.state.set_wall(wall);
    let mut entries = Vec::new();
    let failure = Failure::new(Cause::Panicked, "oh");
    put_failed(&mut entries, TaskId(7), Attempt::FIRST, SECOND, &failure);
    let results = SlotEvent::Results {
        frame,
        entries: entries.into(),
        count: 1,
    };
    bed.state.on_slot(bed.now, S0, results, &bed.script);
    let mut effects = Vec::new();
    bed.state.take_effects(&mut effects);
    let [
        Effect::Output(S0, Some(task), Stream::Stderr, _),
        Effect::SendLines,
        Effect::Publish(out),
    ] = &effects[..]
    else {
        panic!("{effects:?}");
    };
    assert_eq!((&*task.name, task.key.as_deref()), ("fast", Some("BTC")));
    assert_eq!((task.task, task.attempt), (TaskId(7), Attempt::FIRST));
    let Ok(Message::Results(results, _)) = Message::read(out.message.clone(), &MacKey::Absent)
    else {
        panic!("{out:?}");
    };
    assert_eq!(results.lines, 1, "the master waits for that many");
    assert_eq!(results.at, wall.into(), "when the message was made");
    assert_eq!(bed.state.alive().at, wall.into());
}

#[test]
fn short_tasks_with_a_key_go_one_by_one_to_a_slot_that_prints() {
    let mut bed = warm(1);
    let options = codec::encode(&EntryOptions {
        key: Some("BTC".into()),
        timeout: None,
        memory: None,
        force: false,
    })
    .unwrap();
    let keyed = |first: u64| {
        let mut body = Vec::new();
        for n in first..first + 20 {
            put_task(&mut body, TaskId(n), Attempt::FIRST, 0, &options, &[]).unwrap();
        }
        Bytes::from(body)
    };
    bed.take_in("a", "fast", 20, keyed(0), false);
    bed.settle();
    assert_eq!(bed.busy(), [(0, 20)], "it printed nothing");
    bed.done(S0, 20, Duration::from_micros(1));
    let line = SlotEvent::Output {
        stream: Stream::Stdout,
        line: "a line".to_owned(),
    };
    bed.state.on_slot(bed.now, S0, line, &bed.script);
    bed.take_in("b", "fast", 20, keyed(20), false);
    bed.settle();
    assert_eq!(bed.busy(), [(0, 1)]);
    bed.done(S0, 1, Duration::from_micros(1));
    assert_eq!(bed.busy(), [(0, 1)]);
}
