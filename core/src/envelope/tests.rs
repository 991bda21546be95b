//! The wire format: what was written once stays readable, and what was tampered with is refused.
//!
//! The files in `golden` are messages of this wire version, byte for byte. A change that alters them needs a new
//! [`VERSION`]; then `PODPOOL_BLESS=1 cargo test -p podpool-core envelope` writes them again.

mod any;
mod forged;
mod fuzz;

use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use super::entry::{
    count, mark_skipped, next_result, next_task, put_done, put_failed, put_task, result_head,
    task_head,
};
use super::*;
use crate::codec;
use crate::outcome::{Cause, Exit, Failure, Ran};

const KEY: MacKey = MacKey::Keyed([7; 32]);
const KEYS: [(&str, MacKey); 2] = [("unsealed", MacKey::Absent), ("keyed", KEY)];

fn run() -> RunId {
    RunId::new("backfill-2026-11").unwrap()
}

fn execution() -> ExecutionId {
    ExecutionId {
        worker: WorkerId(0x0123_4567_89ab_cdef),
        number: 300,
    }
}

fn runs() -> Vec<TaskRun> {
    [(7, 3, 1), (4096, 1, 2)]
        .map(|(first, count, attempt)| TaskRun {
            first: TaskId(first),
            count,
            attempt: Attempt(attempt),
        })
        .to_vec()
}

fn options() -> EntryOptions {
    EntryOptions {
        key: Some("BTC".into()),
        timeout: Some(Duration::from_millis(1500)),
        memory: Some(1 << 30),
        force: true,
    }
}

fn failure() -> Failure {
    Failure {
        chain: vec!["no such file".into()],
        retryable: false,
        exit: Some(Exit::Signal(9)),
        peak_rss: Some(123_456_789),
        ran: Some(Box::new(Ran {
            started: Some(SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123)),
            pid: Some(77),
            cpu: Some(Duration::from_micros(2_500)),
        })),
        output: vec!["reading btc.csv".into()],
        ..Failure::new(Cause::Failed, "cannot read btc.csv")
    }
}

fn batch() -> (Batch, Vec<u8>) {
    let task_type = |name: &str, byte| TaskType {
        name: name.into(),
        fingerprint: Fingerprint([byte; 16]),
    };
    let batch = Batch {
        run: run(),
        epoch: 3,
        number: 11,
        alone: true,
        task_types: vec![task_type("prices::clean", 1), task_type("prices::merge", 2)],
        count: 2,
    };
    let mut body = Vec::new();
    put_task(&mut body, TaskId(7), Attempt(1), 0, &[], b"arguments").unwrap();
    let options = codec::encode(&options()).unwrap();
    put_task(&mut body, TaskId(1 << 40), Attempt(2), 1, &options, &[]).unwrap();
    (batch, body)
}

fn results() -> (Results, Vec<u8>) {
    let results = Results {
        run: run(),
        execution: execution(),
        epoch: 3,
        count: 2,
        lines: 300,
        at: WallTime(1_796_000_000_123_456),
    };
    let mut body = Vec::new();
    let output = |body: &mut Vec<u8>| {
        body.extend_from_slice(b"output");
        Ok::<_, ()>(Duration::from_micros(1234))
    };
    put_done(&mut body, TaskId(7), Attempt(1), output).unwrap();
    let elapsed = Duration::from_secs(2);
    put_failed(&mut body, TaskId(1 << 40), Attempt(2), elapsed, &failure());
    (results, body)
}

fn started() -> Started {
    Started {
        run: run(),
        execution: execution(),
        epoch: 3,
        tasks: runs(),
    }
}

fn hello() -> Hello {
    Hello {
        run: run(),
        worker: execution().worker,
        name: "pp-backfill-0".into(),
        node: "node-a".into(),
        class: ClassId(2),
        slots: 4,
        build: "0.1.0 (abc)".into(),
        epoch: 3,
        sequence: 1,
    }
}

fn alive() -> Alive {
    Alive {
        run: run(),
        worker: execution().worker,
        held: runs(),
        running: 2,
        free: 1,
        empty_pulls: 5,
        revoked: runs(),
        replays: 6,
        epoch: 3,
        sequence: 300,
        at: WallTime(1_796_000_000_123_456),
    }
}

fn control() -> Control {
    Control {
        run: run(),
        epoch: 3,
        sequence: 41,
        state: RunState::Closing,
        ended_below: TaskId(4),
        revoked: vec![Revoked {
            first: TaskId(5),
            last: TaskId(900),
            attempt: Attempt(2),
        }],
        drain: vec![WorkerId(1), execution().worker],
        greeted: vec![WorkerId(2)],
    }
}

fn printed() -> Printed {
    Printed {
        run: run(),
        worker: execution().worker,
        epoch: 3,
        tasks: vec![PrintedTask {
            task: TaskId(5),
            attempt: Attempt(2),
            name: "prices::clean".into(),
            key: Some("BTC".into()),
        }],
        lines: vec![PrintedLine {
            task: Some(0),
            error: true,
            text: "half of it is done".to_owned(),
        }],
        left_out: 7,
        through: 300,
    }
}

fn reference() -> Reference {
    Reference {
        run: run(),
        of: reference::Content::Results(execution()),
        tasks: runs(),
        parts: vec![reference::Part {
            hash: [9; 32],
            offset: 70,
            length: 3_000_000,
        }],
        problem: Some("an object is missing".into()),
    }
}

/// One message of each type: its name, its bytes, and what reading them must give.
fn every_message(mac_key: &MacKey) -> Vec<(&'static str, Bytes, Message)> {
    let (batch, tasks) = batch();
    let (results, ends) = results();
    vec![
        (
            "batch",
            batch.message(&tasks, mac_key),
            Message::Batch(batch, tasks.into()),
        ),
        (
            "results",
            results.message(&ends, mac_key),
            Message::Results(results, ends.into()),
        ),
        (
            "started",
            started().message(mac_key),
            Message::Started(started()),
        ),
        ("hello", hello().message(mac_key), Message::Hello(hello())),
        ("alive", alive().message(mac_key), Message::Alive(alive())),
        (
            "control",
            control().message(mac_key),
            Message::Control(control()),
        ),
        (
            "printed",
            printed().message(mac_key),
            Message::Printed(printed()),
        ),
        (
            "reference",
            reference().message(b"shell", mac_key),
            Message::Reference(reference(), Bytes::from_static(b"shell")),
        ),
    ]
}

fn golden(name: &str, mac_key: &str) -> PathBuf {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/envelope/golden");
    PathBuf::from(folder).join(format!("{name}.{mac_key}.bin"))
}

/// Reads all entries, as a worker and a master would; the point is that it ends without a panic.
fn walk(message: &Message) {
    match message {
        Message::Batch(_, entries) => {
            assert!(count(entries) as usize <= entries.len());
            let mut rest = entries.clone();
            while let Ok(Some(_)) = next_task(&mut rest) {}
        }
        Message::Results(_, entries) => {
            let mut rest = entries.clone();
            while let Ok(Some(_)) = next_result(&mut rest) {}
        }
        _ => {}
    }
}

#[test]
fn messages_are_written_as_ever_and_what_was_written_is_read() {
    let bless = std::env::var_os("PODPOOL_BLESS").is_some();
    for (key_name, mac_key) in &KEYS {
        for (name, bytes, message) in every_message(mac_key) {
            let path = golden(name, key_name);
            if bless {
                fs::write(&path, &bytes).unwrap();
            }
            let kept = fs::read(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(bytes, kept, "{name} {key_name}: the wire format changed");
            assert_eq!(Message::read(kept.into(), mac_key), Ok(message), "{name}");
        }
    }
}

#[test]
fn the_golden_entries_are_read_field_by_field() {
    let read = |name| {
        let bytes = fs::read(golden(name, "keyed")).unwrap();
        match Message::read(bytes.into(), &KEY) {
            Ok(Message::Batch(_, entries) | Message::Results(_, entries)) => entries,
            other => panic!("{other:?}"),
        }
    };
    let mut tasks = read("batch");
    assert_eq!(count(&tasks), 2);
    let first = next_task(&mut tasks).unwrap().unwrap();
    assert_eq!((first.task, first.attempt), (TaskId(7), Attempt(1)));
    assert_eq!((first.task_type, &*first.payload), (0, &b"arguments"[..]));
    let second = next_task(&mut tasks).unwrap().unwrap();
    assert_eq!((second.task, second.task_type), (TaskId(1 << 40), 1));
    assert_eq!(codec::decode(&second.options), Ok(options()));
    assert_eq!(next_task(&mut tasks), Ok(None));

    let mut ends = read("results");
    let first = next_result(&mut ends).unwrap().unwrap();
    assert_eq!(first.elapsed, Duration::from_micros(1234));
    assert_eq!(first.outcome, Ok(Bytes::from_static(b"output")));
    let second = next_result(&mut ends).unwrap().unwrap();
    assert_eq!(second.outcome, Err(failure()));
    assert_eq!(next_result(&mut ends), Ok(None));
}

#[test]
fn another_version_is_refused_by_name() {
    for (_, mac_key) in &KEYS {
        for (name, bytes, _) in every_message(mac_key) {
            for version in [0, 1, VERSION + 1, u8::MAX] {
                let mut other = bytes.to_vec();
                other[0] = version;
                let refused = Message::read(other.into(), mac_key).unwrap_err();
                assert_eq!(refused, WireError::Version(version), "{name}");
                let text = refused.to_string();
                assert!(text.contains(&format!("version {version}")), "{text}");
            }
        }
    }
}

#[test]
fn an_output_that_fails_leaves_nothing_behind() {
    let mut body = b"before".to_vec();
    let refused = put_done(&mut body, TaskId(1), Attempt(1), |body| {
        body.extend_from_slice(b"half an output");
        Err("no")
    });
    assert_eq!((refused, &body[..]), (Err("no"), &b"before"[..]));
}

#[test]
fn a_skipped_task_has_a_result_and_its_mark_takes_no_byte() {
    let output = |body: &mut Vec<u8>| {
        body.extend_from_slice(b"output");
        Ok::<_, ()>(Duration::ZERO)
    };
    let mut body = Vec::new();
    put_done(&mut body, TaskId(7), Attempt(1), output).unwrap();
    let plain = body.len();
    mark_skipped(&mut body);
    assert_eq!(body.len(), plain);
    let head = result_head(&body).unwrap().unwrap();
    assert!(head.done && head.skipped);
    let entry = next_result(&mut body.into()).unwrap().unwrap();
    assert_eq!(entry.outcome, Ok(Bytes::from_static(b"output")));
    assert!(entry.skipped);
    let mut failed = Vec::new();
    put_failed(
        &mut failed,
        TaskId(7),
        Attempt(1),
        Duration::ZERO,
        &failure(),
    );
    let before = failed.clone();
    mark_skipped(&mut failed);
    assert_eq!(failed, before, "a failure is not skipped");
}

#[test]
fn options_that_do_not_fit_their_length_are_refused() {
    let options = vec![0; usize::from(u16::MAX) + 1];
    let mut body = Vec::new();
    let refused = put_task(&mut body, TaskId(1), Attempt(1), 0, &options, &[]);
    assert_eq!(refused, Err(WireError::TooLong(options.len())));
    assert!(body.is_empty());
}

#[test]
fn long_executions_are_distinguished_up_to_the_field_s_width() {
    let mut body = Vec::new();
    let output = |_: &mut Vec<u8>| Ok::<_, ()>(Duration::from_secs(1 << 40));
    put_done(&mut body, TaskId(1), Attempt(1), output).unwrap();
    let head = result_head(&body).unwrap().unwrap();
    assert_eq!(head.elapsed, Duration::from_micros(u64::from(u32::MAX)));
}

#[test]
fn a_body_with_room_for_its_header_makes_the_same_message() {
    let task_type = |n: usize| TaskType {
        name: format!("a::task::number_{n}").into(),
        fingerprint: Fingerprint([7; 16]),
    };
    // The last one's header is larger than the room.
    for task_types in [0, 1, 5, 40] {
        let batch = Batch {
            run: RunId::new("run").unwrap(),
            epoch: 1,
            number: 0,
            alone: false,
            task_types: (0..task_types).map(task_type).collect(),
            count: 1,
        };
        for mac_key in [MacKey::Absent, KEY] {
            let mut body = Body::default();
            assert!(body.is_empty());
            body.entries_mut().extend_from_slice(b"entries");
            assert_eq!(body.len(), 7);
            assert_eq!(
                batch.close(body, &mac_key),
                batch.message(b"entries", &mac_key)
            );
        }
    }
}
