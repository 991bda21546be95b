//! Checks of what is appended: all of a transaction or nothing, and every field as it was.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;

use crate::error::TaskErrorKind;
use crate::ledger::{
    End, EndRecord, LedgerError, MOST_EVENTS, PlaceRecord, Record, TaskRecord, TypeId, Why, Word,
};
use crate::outcome::Cause;
use crate::place::WorkerPlace;
use crate::task::CallOptions;

use super::Place;
use super::samples::{
    TEXTS, a_publish, a_task, a_type, an_attempt, an_end, an_event, at, done, full_attempt,
    full_end, full_task, full_type, valid_records,
};
use super::steps::{append, begun, existing, expected, named, ok, opened, read, refused, stored};

/// How many random sequences are stored, and how long each is.
const SEQUENCES: u64 = 12;
const LENGTH: usize = 300;

/// A transaction with one record that does not follow from the others is refused as a whole, and nothing of it is
/// stored. The run can be written afterwards.
// That a task is the same as an unended one is the master's to know: to see it a ledger would need an index by
// identity.
///
/// # Panics
/// When something of it is stored, or it is not refused.
pub fn a_failed_transaction_leaves_nothing(place: &Place) {
    let mut run = begun(&*place.ledger);
    let before = [Record::Task(a_task(0)), Record::Task(a_task(1)), done(1)];
    append(&mut *run.ledger, &before);
    let bad = that_do_not_follow();
    // A worker that the refused transactions name first.
    let mut end = an_end(0, End::Cancelled);
    end.worker = Some(Arc::from("pool-0"));
    let good = [
        Record::Task(a_task(2)),
        a_publish(0, 1),
        Record::Event(an_event(1)),
        Record::Attempt(an_attempt(0, 1)),
        Record::End(end),
    ];
    let kept = stored(&mut *run.ledger);
    for (what, bad) in bad {
        for place_of_bad in [0, good.len()] {
            let mut records = good.to_vec();
            records.insert(place_of_bad, bad.clone());
            let error = refused(run.ledger.append(&records, at(2)), what);
            assert!(!error.is_transient(), "{what} stays wrong: {error}");
            let superseded = matches!(error, LedgerError::Superseded { .. });
            assert!(!superseded, "{what}: {error}");
            assert_eq!(stored(&mut *run.ledger), kept, "{what}");
            let read = &mut *read(&*place.other, &run.run);
            assert_eq!(stored(read), kept, "{what}");
        }
    }
    append(&mut *run.ledger, &good);
    let begun = [Record::Type(a_type(0))];
    let all = [&begun[..], &before, &good].concat();
    assert_eq!(stored(&mut *run.ledger), expected(&all));
}

/// Records that do not follow from two tasks, the second of which has ended; and what is wrong with each.
fn that_do_not_follow() -> Vec<(&'static str, Record)> {
    let stranger = TaskRecord {
        task_type: TypeId(7),
        ..a_task(5)
    };
    vec![
        ("a task twice", Record::Task(a_task(0))),
        ("a task twice in one transaction", Record::Task(a_task(2))),
        ("a task of an unknown type", Record::Task(stranger)),
        ("a type whose number is taken", Record::Type(a_type(0))),
        (
            "a type whose number is not the next",
            Record::Type(a_type(2)),
        ),
        ("the end of an unknown task", done(9)),
        ("a second end", done(1)),
        (
            "an attempt of an unknown task",
            Record::Attempt(an_attempt(9, 1)),
        ),
        ("a publish of an unknown task", a_publish(9, 1)),
        (
            "more of an attempt of an unknown task",
            Record::Amended(an_attempt(9, 1)),
        ),
        (
            "more of an attempt of an ended task",
            Record::Amended(an_attempt(1, 1)),
        ),
        (
            "an attempt of an ended task",
            Record::Attempt(an_attempt(1, 2)),
        ),
    ]
}

/// Appends records to a fresh run, and compares what is read of it: by its master, by a reader in another process, and
/// by the next master.
fn are_kept(place: &Place, name: &str, records: &[Record], sizes: &mut dyn FnMut() -> usize) {
    let mut run = opened(&*place.ledger, &named(name, &format!("{name}-0")));
    let mut rest = records;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(sizes().clamp(1, rest.len()));
        append(&mut *run.ledger, now);
        rest = later;
    }
    let expected = expected(records);
    assert_eq!(stored(&mut *run.ledger), expected, "to its master");
    let reader = &mut *read(&*place.other, &run.run);
    assert_eq!(stored(reader), expected, "to a reader");
    let id = run.run.clone();
    drop(run);
    let mut next = opened(&*place.other, &existing(&id));
    assert_eq!(stored(&mut *next.ledger), expected, "to the next master");
}

/// All records in one transaction.
fn at_once() -> usize {
    usize::MAX
}

/// Types come back in the order of their numbers, with every field.
///
/// # Panics
/// When one does not.
pub fn every_type_is_kept(place: &Place) {
    let mut rng = Rng::with_seed(1);
    let types = (0..60).map(|number| Record::Type(full_type(&mut rng, number)));
    let types: Vec<_> = types.collect();
    are_kept(place, "types", &types, &mut at_once);
}

/// A task comes back with every field: arguments, options, key, class, and why it runs.
///
/// # Panics
/// When one does not.
pub fn every_field_of_a_task_is_kept(place: &Place) {
    let mut rng = Rng::with_seed(2);
    let mut records: Vec<_> = (0..5).map(|number| Record::Type(a_type(number))).collect();
    records.extend((0..300).map(|number| Record::Task(full_task(&mut rng, number, 5))));
    let mut number = 1_000;
    let mut with = |options: Option<CallOptions>, why| {
        number += 1;
        records.push(Record::Task(TaskRecord {
            options: options.map(Box::new),
            why,
            ..a_task(number)
        }));
    };
    // None and nothing set are two things.
    with(Some(CallOptions::default()), Why::First);
    with(None, Why::First);
    for timeout in [Duration::ZERO, Duration::MAX, Duration::new(1, 1)] {
        let options = CallOptions {
            timeout: Some(timeout),
            ..CallOptions::default()
        };
        with(Some(options), Why::First);
    }
    for why in Why::ALL {
        with(None, why);
    }
    are_kept(place, "tasks", &records, &mut at_once);
}

/// Attempts come back oldest first, with every field.
///
/// # Panics
/// When one does not.
pub fn every_field_of_an_attempt_is_kept(place: &Place) {
    let mut rng = Rng::with_seed(3);
    let mut records = vec![Record::Type(a_type(0))];
    records.extend((0..10).map(|number| Record::Task(a_task(number))));
    for _ in 0..20 {
        for cause in Cause::ALL {
            let number = rng.u64(..10);
            let attempt = full_attempt(&mut rng, number, *cause);
            records.push(Record::Attempt(attempt));
        }
    }
    // Executions that were lost share the number of their attempt.
    records.extend([0, 0, 0].map(|number| Record::Attempt(an_attempt(number, 5))));
    are_kept(place, "attempts", &records, &mut at_once);
}

/// What is known later of an attempt takes the place of what was known before: of the last attempt with this number on
/// this worker, and of no other.
///
/// # Panics
/// When that is not so.
pub fn an_amended_attempt_is_one(place: &Place) {
    let mut records = vec![Record::Type(a_type(0))];
    records.extend((0..3).map(|number| Record::Task(a_task(number))));
    let on = |number: u64, attempt: u32, worker: Option<&str>, message: &str| {
        let mut it = an_attempt(number, attempt);
        it.report.worker = worker.map(Arc::from);
        it.report.message = message.to_owned();
        it
    };
    let (a, b) = (Some("pool-0"), Some("pool-1"));
    let attempts = [
        on(0, 1, a, "first"),
        on(0, 1, a, "silent"),
        on(0, 1, b, "elsewhere"),
        on(0, 2, a, "later"),
        on(1, 1, a, "another task's"),
        on(1, 1, None, "no worker's"),
    ];
    records.extend(attempts.map(Record::Attempt));
    let mut gone = on(0, 1, a, "gone");
    // The node was not known before.
    gone.report.node = Some(Arc::from("n1"));
    let amended = [gone, on(1, 1, None, "nobody's"), on(2, 1, a, "alone")];
    records.extend(amended.map(Record::Amended));
    let attempts = expected(&records).attempts;
    let messages: Vec<_> = attempts.iter().map(|it| &*it.report.message).collect();
    let first = ["first", "gone", "elsewhere", "later"];
    let others = ["another task's", "nobody's", "alone"];
    assert_eq!(messages, [&first[..], &others[..]].concat());
    are_kept(place, "amended", &records, &mut at_once);
    are_kept(place, "amended-one-by-one", &records, &mut || 1);
}

/// Ends come back with every field, of every kind.
///
/// # Panics
/// When one does not.
pub fn every_field_of_an_end_is_kept(place: &Place) {
    let mut rng = Rng::with_seed(4);
    let mut records = vec![Record::Type(a_type(0))];
    let mut ends: Vec<_> = (0..300).map(|number| full_end(&mut rng, number)).collect();
    let failed = |(kind, number): (&TaskErrorKind, u64)| {
        let end = End::Failed {
            kind: *kind,
            message: format!("it {kind}"),
        };
        an_end(number, end)
    };
    ends.extend(TaskErrorKind::ALL.iter().zip(300..).map(failed));
    // The same worker on two nodes, and a worker without a node.
    for (number, node) in [(400, Some("n1")), (401, Some("n2")), (402, None)] {
        ends.push(EndRecord {
            worker: Some(Arc::from("pool-0")),
            node: node.map(Arc::from),
            ..an_end(number, End::Cancelled)
        });
    }
    let tasks = ends.iter().map(|end| Record::Task(a_task(end.task.0)));
    records.extend(tasks);
    records.extend(ends.into_iter().map(Record::End));
    are_kept(place, "ends", &records, &mut at_once);
}

/// Of the attempts of a task that are stored in the queue of tasks the highest is kept, and so is the highest that gave no
/// result. A publish that is told after the end of its task changes nothing.
///
/// # Panics
/// When that is not so.
pub fn the_highest_published_attempt_is_kept(place: &Place) {
    let mut records = vec![Record::Type(a_type(0))];
    records.extend((0..6).map(|number| Record::Task(a_task(number))));
    let attempt = |number, attempt| Record::Attempt(an_attempt(number, attempt));
    records.extend([a_publish(1, 1), a_publish(2, 3), a_publish(2, 2)]);
    records.extend([a_publish(2, 3), attempt(2, 2), attempt(2, 1)]);
    records.extend([attempt(3, u32::MAX), a_publish(3, u32::MAX)]);
    records.extend([done(4), a_publish(4, 1)]);
    records.extend([a_publish(5, 1), attempt(5, 1), done(5), a_publish(5, 2)]);
    let folded = expected(&records).folded;
    let kept: Vec<_> = folded
        .iter()
        .map(|it| (it.published.map(|it| it.0), it.attempts))
        .collect();
    let highest = (Some(u32::MAX), u32::MAX);
    let kept_of_ended = (Some(1), 1);
    assert_eq!(
        kept,
        [
            (None, 0),
            (Some(1), 0),
            (Some(3), 2),
            highest,
            (None, 0),
            kept_of_ended
        ]
    );
    are_kept(place, "published", &records, &mut at_once);
    are_kept(place, "published-one-by-one", &records, &mut || 1);
}

/// The newest events are kept in their order, and the older ones are counted.
///
/// # Panics
/// When that is not so.
pub fn the_newest_events_are_kept(place: &Place) {
    let event = |number: usize| Record::Event(an_event(number as u64));
    let few: Vec<_> = (0..3).map(event).collect();
    are_kept(place, "few", &few, &mut || 1);
    let many: Vec<_> = (0..MOST_EVENTS + 1_234).map(event).collect();
    assert_eq!(expected(&many).events.dropped, 1_234);
    are_kept(place, "many", &many, &mut || 1_000);
}

/// Arguments and results of 1 MiB come back, and empty ones as well.
///
/// # Panics
/// When they do not.
pub fn long_and_empty_bytes_are_kept(place: &Place) {
    let mut rng = Rng::with_seed(5);
    let mut records = vec![Record::Type(a_type(0))];
    for (number, length) in [0, 1 << 20, 1, (1 << 20) + 1, 0].into_iter().enumerate() {
        let number = number as u64;
        let mut bytes = || -> Bytes { (0..length).map(|_| rng.u8(..)).collect() };
        records.push(Record::Task(TaskRecord {
            arguments: bytes(),
            ..a_task(number)
        }));
        records.push(Record::End(an_end(number, End::Done(bytes()))));
    }
    are_kept(place, "long", &records, &mut || 1);
}

/// Texts come back as they were: empty ones, quotes, control characters, whatever Unicode has, and long ones.
///
/// # Panics
/// When one does not.
pub fn strange_texts_are_kept(place: &Place) {
    let mut records = vec![Record::Type(a_type(0))];
    let long = TEXTS.concat().repeat(1_000);
    let texts = TEXTS.into_iter().chain([long.as_str()]);
    for (number, text) in texts.enumerate() {
        let (number, shared) = (number as u64, Arc::<str>::from(text));
        records.push(Record::Type(crate::ledger::TypeRecord {
            name: text.to_owned(),
            version: Some(text.to_owned()),
            shape: text.to_owned(),
            parameters: vec![text.to_owned(), text.to_owned()],
            ..a_type(number as u32 + 1)
        }));
        let options = CallOptions {
            key: Some(shared.clone()),
            ..CallOptions::default()
        };
        records.push(Record::Task(TaskRecord {
            options: Some(Box::new(options)),
            ..a_task(number)
        }));
        let mut attempt = an_attempt(number, 1);
        attempt.report.worker = Some(shared.clone());
        attempt.report.node = Some(shared.clone());
        attempt.report.message = text.to_owned();
        attempt.report.chain = vec![text.to_owned(), String::new()];
        attempt.report.output = vec![String::new(), text.to_owned()];
        records.push(Record::Attempt(attempt));
        let end = End::Failed {
            kind: TaskErrorKind::Failed,
            message: text.to_owned(),
        };
        records.push(Record::End(EndRecord {
            worker: Some(shared.clone()),
            node: Some(shared.clone()),
            ..an_end(number, end)
        }));
        let place = WorkerPlace {
            pod: Some(shared.clone()),
            zone: Some(shared.clone()),
            spot: None,
            image: Some(shared.clone()),
        };
        records.push(Record::Place(PlaceRecord {
            worker: shared,
            place: Arc::new(place),
        }));
    }
    are_kept(place, "texts", &records, &mut at_once);
}

/// Any valid sequence of records, in transactions of any size, reads as the [`Fold`](crate::ledger::Fold) has it.
///
/// # Panics
/// When it does not; with the seed of the sequence.
pub fn random_records_are_read_as_they_fold(place: &Place) {
    for seed in 0..SEQUENCES {
        let records = valid_records(seed, LENGTH);
        let mut rng = Rng::with_seed(seed);
        let mut sizes = || [1, 2, 10, 100][rng.usize(..4)];
        // The name is shown where the check fails.
        are_kept(place, &format!("seed-{seed}"), &records, &mut sizes);
    }
    let left = ok(place.ledger.runs(), "runs");
    assert_eq!(left.len(), SEQUENCES as usize);
}
