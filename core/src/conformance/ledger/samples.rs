//! Records with every field set, and random sequences of valid records.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use fastrand::Rng;

use crate::broker::ClassId;
use crate::error::{AttemptReport, TaskErrorKind};
use crate::id::{Attempt, ExecutionId, TaskId, WorkerId};
use crate::ledger::{
    AttemptRecord, Content, End, EndRecord, EventRecord, Identity, PlaceRecord, PublishedRecord,
    Record, TaskRecord, TypeId, TypeRecord, Why, Word,
};
use crate::outcome::{Cause, Exit, Failure};
use crate::place::WorkerPlace;
use crate::shape::Fingerprint;
use crate::task::CallOptions;

/// Texts that formats treat in a special way.
pub(super) const TEXTS: [&str; 10] = [
    "",
    " ",
    "2013-01-01",
    "it's; DROP TABLE tasks; --",
    "\"quoted\", \\ and %",
    "a\nb\r\n\tc",
    "\0 between \0",
    "Grüße, 漢字, 🦀, \u{202e}, e\u{301}",
    "\u{fffd}\u{ffff}\u{10ffff}",
    "NULL",
];

/// A time of the wall clock, so many seconds after the others.
pub(super) fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::new(1_796_000_000 + seconds, 123_456_000)
}

/// A type that has nothing but its name.
pub(super) fn a_type(number: u32) -> TypeRecord {
    TypeRecord {
        number: TypeId(number),
        name: format!("it{number}"),
        version: None,
        fingerprint: Fingerprint([number as u8; 16]),
        shape: String::new(),
        parameters: Vec::new(),
    }
}

/// A task of the first type, called with its own number.
pub(super) fn a_task(number: u64) -> TaskRecord {
    let arguments = Bytes::copy_from_slice(&number.to_le_bytes());
    let content = Content::of(&arguments);
    TaskRecord {
        task: TaskId(number),
        task_type: TypeId(0),
        identity: Identity::counted("it0", content, 0),
        content,
        class: ClassId::DEFAULT,
        arguments,
        options: None,
        why: Why::First,
    }
}

/// The end of a task by its first attempt, of which nothing more is known.
pub(super) fn an_end(number: u64, end: End) -> EndRecord {
    EndRecord {
        task: TaskId(number),
        attempt: Attempt::FIRST,
        started: None,
        queued: None,
        elapsed: None,
        worker: None,
        node: None,
        execution: None,
        skipped: false,
        end,
    }
}

pub(super) fn done(number: u64) -> Record {
    let output = Bytes::copy_from_slice(&number.to_be_bytes());
    Record::End(an_end(number, End::Done(output)))
}

pub(super) fn an_attempt(number: u64, attempt: u32) -> AttemptRecord {
    let failure = Failure::new(Cause::Failed, "no");
    AttemptRecord {
        task: TaskId(number),
        report: AttemptReport::new(Attempt(attempt), failure),
    }
}

pub(super) fn an_event(number: u64) -> EventRecord {
    EventRecord {
        at: at(number),
        kind: "worker came".to_owned(),
        text: format!("worker pool-{number} came"),
    }
}

fn full_event(rng: &mut Rng) -> EventRecord {
    EventRecord {
        at: at(rng.u64(..1_000_000)),
        kind: text(rng),
        text: text(rng),
    }
}

pub(super) fn a_publish(number: u64, attempt: u32) -> Record {
    Record::Published(PublishedRecord {
        task: TaskId(number),
        attempt: Attempt(attempt),
    })
}

/// A text for each place, each another one.
pub(super) fn text(rng: &mut Rng) -> String {
    let text = TEXTS[rng.usize(..TEXTS.len())];
    match rng.u8(..4) {
        0 => text.repeat(rng.usize(..200)),
        _ => text.to_owned(),
    }
}

fn perhaps<T>(rng: &mut Rng, some: impl FnOnce(&mut Rng) -> T) -> Option<T> {
    rng.bool().then(|| some(rng))
}

fn bytes(rng: &mut Rng) -> Bytes {
    let length = [0, 1, 8, 40, 5_000][rng.usize(..5)];
    std::iter::repeat_with(|| rng.u8(..)).take(length).collect()
}

/// Also the longest, which stands for none.
fn duration(rng: &mut Rng) -> Duration {
    match rng.u8(..8) {
        0 => Duration::ZERO,
        1 => Duration::MAX,
        2 => Duration::from_nanos(1),
        _ => Duration::new(rng.u64(..1_000_000), rng.u32(..1_000_000_000)),
    }
}

fn pick<T: Copy>(rng: &mut Rng, all: &[T]) -> T {
    all[rng.usize(..all.len())]
}

fn texts(rng: &mut Rng) -> Vec<String> {
    let count = rng.usize(..4);
    std::iter::repeat_with(|| text(rng)).take(count).collect()
}

pub(super) fn full_type(rng: &mut Rng, number: u32) -> TypeRecord {
    TypeRecord {
        number: TypeId(number),
        name: text(rng),
        version: perhaps(rng, text),
        fingerprint: Fingerprint(rng.u128(..).to_le_bytes()),
        shape: text(rng),
        parameters: texts(rng),
    }
}

fn options(rng: &mut Rng) -> Box<CallOptions> {
    Box::new(CallOptions {
        key: perhaps(rng, |rng| Arc::from(text(rng))),
        retries: perhaps(rng, |rng| pick(rng, &[0, 1, u32::MAX])),
        timeout: perhaps(rng, duration),
        memory: perhaps(rng, |rng| pick(rng, &[1, 1 << 40, u64::MAX])),
        priority: pick(rng, &[0, 1, i32::MIN, i32::MAX]),
        // Of one call, and not of the task: it is not stored.
        force: false,
        identity: None,
    })
}

pub(super) fn full_task(rng: &mut Rng, number: u64, types: u32) -> TaskRecord {
    TaskRecord {
        task: TaskId(number),
        task_type: TypeId(rng.u32(..types)),
        identity: Identity(rng.u128(..).to_le_bytes()),
        content: Content(rng.u128(..).to_le_bytes()),
        class: pick(rng, &[ClassId::DEFAULT, ClassId(1), ClassId(u32::MAX)]),
        arguments: bytes(rng),
        options: perhaps(rng, options),
        why: pick(rng, &Why::ALL),
    }
}

fn execution(rng: &mut Rng) -> ExecutionId {
    ExecutionId {
        worker: WorkerId(rng.u64(..)),
        number: pick(rng, &[0, 1, u64::MAX]),
    }
}

pub(super) fn full_attempt(rng: &mut Rng, number: u64, cause: Cause) -> AttemptRecord {
    let failure = Failure::new(cause, text(rng));
    let mut report = AttemptReport::new(Attempt(pick(rng, &[1, 2, u32::MAX])), failure);
    report.execution = perhaps(rng, execution);
    report.worker = perhaps(rng, |rng| Arc::from(text(rng)));
    report.node = perhaps(rng, |rng| Arc::from(text(rng)));
    report.pid = perhaps(rng, |rng| pick(rng, &[1, u32::MAX]));
    report.started = perhaps(rng, |rng| at(rng.u64(..1_000_000)));
    report.queued = perhaps(rng, duration);
    report.elapsed = perhaps(rng, duration);
    report.retryable = rng.bool();
    report.chain = texts(rng);
    report.exit = perhaps(rng, |rng| match rng.bool() {
        true => Exit::Code(pick(rng, &[0, Exit::UNKNOWN, i32::MAX])),
        false => Exit::Signal(pick(rng, &[9, 64])),
    });
    report.peak_rss = perhaps(rng, |rng| pick(rng, &[0, 1 << 40, u64::MAX]));
    report.cpu = perhaps(rng, duration);
    report.output = texts(rng);
    AttemptRecord {
        task: TaskId(number),
        report,
    }
}

pub(super) fn full_end(rng: &mut Rng, number: u64) -> EndRecord {
    let end = match rng.u8(..8) {
        0 => End::Failed {
            kind: pick(rng, TaskErrorKind::ALL),
            message: text(rng),
        },
        1 => End::Cancelled,
        2 => End::Interrupted,
        _ => End::Done(bytes(rng)),
    };
    EndRecord {
        attempt: Attempt(pick(rng, &[1, 2, u32::MAX])),
        started: perhaps(rng, |rng| at(rng.u64(..1_000_000))),
        queued: perhaps(rng, duration),
        elapsed: perhaps(rng, duration),
        worker: perhaps(rng, |rng| Arc::from(text(rng))),
        node: perhaps(rng, |rng| Arc::from(text(rng))),
        execution: perhaps(rng, execution),
        skipped: rng.bool(),
        ..an_end(number, end)
    }
}

/// Of a worker that other records may name.
pub(super) fn full_place(rng: &mut Rng) -> PlaceRecord {
    let word = |rng: &mut Rng| Arc::from(text(rng));
    PlaceRecord {
        worker: Arc::from(text(rng)),
        place: Arc::new(WorkerPlace {
            pod: perhaps(rng, word),
            zone: perhaps(rng, word),
            spot: perhaps(rng, Rng::bool),
            image: perhaps(rng, word),
        }),
    }
}

/// More of an attempt that is among these records, where one is.
fn amended(rng: &mut Rng, records: &[Record], mut attempt: AttemptRecord) -> Record {
    let earlier = records.iter().rev().find_map(|record| match record {
        Record::Attempt(it) if it.task == attempt.task => Some(&it.report),
        _ => None,
    });
    if let Some(earlier) = earlier.filter(|_| rng.u8(..4) > 0) {
        attempt.report.attempt = earlier.attempt;
        attempt.report.worker.clone_from(&earlier.worker);
    }
    Record::Amended(attempt)
}

/// A random sequence of so many records, each of which the [`Fold`](crate::ledger::Fold) takes. The same seed gives the
/// same sequence.
#[must_use]
pub fn valid_records(seed: u64, count: usize) -> Vec<Record> {
    let mut rng = Rng::with_seed(seed);
    let mut records = vec![Record::Type(full_type(&mut rng, 0))];
    let (mut types, mut next) = (1, 0);
    let (mut tasks, mut unended): (Vec<u64>, Vec<u64>) = Default::default();
    let mut left: Vec<Identity> = Vec::new();
    let mut skipped: Vec<u64> = Vec::new();
    while records.len() < count {
        let known = !unended.is_empty();
        let record = match rng.u8(..16) {
            0 if types < 20 => {
                types += 1;
                Record::Type(full_type(&mut rng, types - 1))
            }
            1 | 12 if known => {
                let cause = pick(&mut rng, Cause::ALL);
                let number = pick(&mut rng, &unended);
                let attempt = full_attempt(&mut rng, number, cause);
                match rng.u8(..2) {
                    0 => amended(&mut rng, &records, attempt),
                    _ => Record::Attempt(attempt),
                }
            }
            10 if known => a_publish(pick(&mut rng, &unended), pick(&mut rng, &[1, 2, u32::MAX])),
            14 => Record::Reserved(TaskId(next + rng.u64(..1_000))),
            13 => Record::Event(full_event(&mut rng)),
            15 => Record::Place(full_place(&mut rng)),
            // Of any task, also of one that has ended.
            11 if !tasks.is_empty() => a_publish(pick(&mut rng, &tasks), rng.u32(1..4)),
            2..=5 if known => {
                let number = unended.swap_remove(rng.usize(..unended.len()));
                Record::End(full_end(&mut rng, number))
            }
            _ => {
                // Numbers are reserved in blocks, so some are used late and some never.
                let number = match rng.u8(..4) {
                    0 if !skipped.is_empty() => skipped.swap_remove(rng.usize(..skipped.len())),
                    _ => {
                        let number = next + rng.u64(..3);
                        skipped.extend(next..number);
                        next = number + 1;
                        number
                    }
                };
                unended.push(number);
                tasks.push(number);
                let mut task = full_task(&mut rng, number, types);
                if let Some(identity) = left.pop().filter(|_| rng.bool()) {
                    task.identity = identity;
                }
                Record::Task(task)
            }
        };
        if let Record::End(it) = &record {
            let of = |other: &Record| match other {
                Record::Task(task) if task.task == it.task => Some(task.identity),
                _ => None,
            };
            left.extend(records.iter().rev().find_map(of));
        }
        records.push(record);
    }
    records
}
