//! Checks of readers, which need no master and disturb none.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::id::TaskId;
use crate::ledger::{End, EndRecord, LedgerError, PlaceRecord, Record, Status};
use crate::place::WorkerPlace;

use super::Place;
use super::samples::{a_task, an_attempt, an_end, at, done};
use super::steps::{append, begun, existing, ok, opened, read, refused, runs, taking_over, tasks};

/// More tasks than a statement has parameters anywhere.
const MANY: u64 = 70_000;

/// Tasks come in the order of their numbers, in whichever order they were stored.
///
/// # Panics
/// When they do not.
pub fn tasks_come_in_the_order_of_their_numbers(place: &Place) {
    let mut run = begun(&*place.ledger);
    for numbers in [[500, 7], [0, 9_000_000_000], [8, 6], [499, 501]] {
        append(
            &mut *run.ledger,
            &numbers.map(|it| Record::Task(a_task(it))),
        );
    }
    append(&mut *run.ledger, &[done(8)]);
    let cancelled = an_end(6, End::Cancelled);
    append(&mut *run.ledger, &[Record::End(cancelled)]);
    let seen = tasks(&mut *read(&*place.other, &run.run));
    let numbers: Vec<_> = seen.iter().map(|it| it.task.0).collect();
    assert_eq!(numbers, [0, 6, 7, 8, 499, 500, 501, 9_000_000_000]);
    let ended: Vec<_> = seen.iter().map(|it| it.status).collect();
    assert_eq!(
        ended[1..4],
        [Status::Cancelled, Status::Unended, Status::Done]
    );
}

/// A list shows of each task what its record and its end say, and which master stored them when.
///
/// # Panics
/// When that is not so.
pub fn a_list_agrees_with_the_records(place: &Place) {
    let mut run = begun(&*place.ledger);
    let ends = [
        None,
        Some(End::Done(Bytes::from_static(b"x"))),
        Some(End::Cancelled),
        Some(End::Failed {
            kind: crate::error::TaskErrorKind::TimedOut,
            message: "too long".to_owned(),
        }),
    ];
    for (number, end) in (0..).zip(ends) {
        append(&mut *run.ledger, &[Record::Task(a_task(number))]);
        if let Some(end) = end {
            let end = EndRecord {
                started: Some(at(number)),
                queued: Some(Duration::from_micros(number)),
                ..an_end(number, end)
            };
            append(&mut *run.ledger, &[Record::End(end)]);
        }
    }
    let mut reader = read(&*place.other, &run.run);
    let mut listed = Vec::new();
    ok(reader.list(&mut |task| listed.push(task)), "a list");
    assert_eq!(listed.len(), 4);
    for it in listed {
        let record = ok(reader.task(it.task), "task").expect("it is listed");
        let end = ok(reader.end(it.task), "end");
        assert_eq!(
            (it.task_type, it.identity),
            (record.task_type, record.identity)
        );
        assert_eq!((it.key.as_ref(), it.why), (record.key(), record.why));
        assert_eq!(it.submitted, (run.epoch, at(1)));
        let status = end.as_ref().map_or(Status::Unended, |end| end.end.status());
        assert_eq!(it.status, status);
        assert_eq!(it.ended.is_some(), end.is_some());
        if let (Some(shown), Some(end)) = (it.ended, end) {
            assert_eq!(shown.stored, (run.epoch, at(1)));
            assert_eq!((shown.attempt, shown.elapsed), (end.attempt, end.elapsed));
            assert_eq!((shown.started, shown.queued), (end.started, end.queued));
            assert_eq!((shown.worker, shown.node), (end.worker, end.node));
            let error = match end.end {
                End::Failed { kind, message } => Some((kind, message)),
                _ => None,
            };
            assert_eq!(shown.error, error);
        }
    }
}

/// The newest place of a worker is that of all that it ran, whether that was stored before or after. A worker without a
/// place has none, and is in no list of places.
///
/// # Panics
/// When that is not so.
pub fn a_place_is_that_of_all_its_workers_tasks(place: &Place) {
    let mut run = begun(&*place.ledger);
    let seen = |worker: &str, zone: Option<&str>| PlaceRecord {
        worker: Arc::from(worker),
        place: Arc::new(WorkerPlace {
            pod: Some(Arc::from(worker)),
            zone: zone.map(Arc::from),
            spot: zone.map(|_| true),
            image: None,
        }),
    };
    let on = |number, worker: &str| {
        let mut attempt = an_attempt(number, 1);
        attempt.report.worker = Some(Arc::from(worker));
        let end = EndRecord {
            worker: Some(Arc::from(worker)),
            ..an_end(number, End::Cancelled)
        };
        let task = Record::Task(a_task(number));
        [task, Record::Attempt(attempt), Record::End(end)]
    };
    append(&mut *run.ledger, &on(0, "pool-0"));
    for zone in [None, Some("z1")] {
        append(&mut *run.ledger, &[Record::Place(seen("pool-0", zone))]);
    }
    append(&mut *run.ledger, &[Record::Place(seen("pool-1", None))]);
    for (number, worker) in [(1, "pool-0"), (2, "pool-1"), (3, "local")] {
        append(&mut *run.ledger, &on(number, worker));
    }
    let known = [seen("pool-0", Some("z1")), seen("pool-1", None)];
    // The fourth task's worker has none.
    let expected = [0, 0, 1, 2].map(|at| known.get(at).map(|it| it.place.clone()));
    for reader in [
        &mut *run.ledger as &mut dyn crate::ledger::ReadRun,
        &mut *read(&*place.other, &run.run),
    ] {
        assert_eq!(ok(reader.places(), "places"), known);
        let mut listed = Vec::new();
        ok(
            reader.list(&mut |task| listed.push(task.ended.and_then(|end| end.place))),
            "a list",
        );
        assert_eq!(listed, expected);
        for (number, place) in (0..).zip(&expected) {
            let attempts = ok(reader.attempts(TaskId(number)), "attempts");
            assert_eq!(&attempts[0].report.place, place);
        }
    }
}

/// What a run does not have is none, and no error. Results are found by their tasks, however many are asked for.
///
/// # Panics
/// When that is not so.
pub fn what_is_not_there_is_none(place: &Place) {
    let mut run = begun(&*place.ledger);
    append(&mut *run.ledger, &[]);
    let numbers = [0, 1, 2, MANY - 1];
    append(
        &mut *run.ledger,
        &numbers.map(|it| Record::Task(a_task(it))),
    );
    let empty = an_end(2, End::Done(Bytes::new()));
    let cancelled = an_end(1, End::Cancelled);
    let ends = [done(MANY - 1), Record::End(empty), Record::End(cancelled)];
    append(&mut *run.ledger, &ends);
    let mut reader = read(&*place.other, &run.run);
    for task in [TaskId(3), TaskId(MANY), TaskId(u64::MAX)] {
        assert_eq!(ok(reader.task(task), "task"), None);
        assert_eq!(ok(reader.end(task), "end"), None);
        assert_eq!(ok(reader.attempts(task), "attempts"), []);
        assert_eq!(ok(reader.outputs(&[task]), "outputs"), []);
    }
    assert_eq!(ok(reader.end(TaskId(0)), "end"), None, "it has not ended");
    assert_eq!(ok(reader.outputs(&[]), "outputs"), []);
    let all: Vec<_> = (0..MANY).map(TaskId).collect();
    let mut outputs = ok(reader.outputs(&all), "outputs");
    outputs.sort();
    let last = Bytes::copy_from_slice(&(MANY - 1).to_be_bytes());
    assert_eq!(
        outputs,
        [(TaskId(2), Bytes::new()), (TaskId(MANY - 1), last)]
    );
}

/// A reader sees what a master adds after it was opened, also from the next master.
///
/// # Panics
/// When it does not.
pub fn a_reader_sees_what_is_added_meanwhile(place: &Place) {
    let mut run = begun(&*place.ledger);
    let mut reader = read(&*place.other, &run.run);
    assert_eq!(tasks(&mut *reader), []);
    append(&mut *run.ledger, &[Record::Task(a_task(0))]);
    assert_eq!(tasks(&mut *reader).len(), 1);
    append(&mut *run.ledger, &[Record::Attempt(an_attempt(0, 1))]);
    assert_eq!(ok(reader.attempts(TaskId(0)), "attempts").len(), 1);
    let mut second = opened(&*place.ledger, &taking_over(&run.run));
    append(&mut *second.ledger, &[done(0)]);
    assert_eq!(tasks(&mut *reader)[0].status, Status::Done);
    let record = ok(reader.run(), "run");
    assert_eq!((record.masters.len(), record.held), (2, true));
    ok(second.ledger.release(), "release");
    assert!(!ok(reader.run(), "run").held);
    drop((run, second));
    assert_eq!(tasks(&mut *reader).len(), 1, "no master lives");
}

/// A master writes while others read, even in the middle of a reading; a reading that has begun shows one state.
/// Readers are no masters: nothing is held by them.
///
/// # Panics
/// When one disturbs the other.
pub fn a_reader_does_not_disturb_the_master(place: &Place) {
    let mut run = begun(&*place.ledger);
    let some: Vec<_> = (0..2_000).map(|it| Record::Task(a_task(it))).collect();
    append(&mut *run.ledger, &some);
    let mut reader = read(&*place.other, &run.run);
    let mut seen = 0;
    let reading = reader.tasks(&mut |task| {
        assert_eq!(task.status, Status::Unended, "one state is read");
        if task.task.0 % 500 == 0 {
            let number = 10_000 + task.task.0;
            append(
                &mut *run.ledger,
                &[Record::Task(a_task(number)), done(number)],
            );
        }
        seen += 1;
    });
    ok(reading, "tasks");
    assert_eq!(seen, some.len(), "one state is read");
    assert_eq!(tasks(&mut *reader).len(), some.len() + 4);
    let error = refused(place.other.open(&existing(&run.run)), "a held run");
    assert!(matches!(error, LedgerError::Held { .. }), "{error}");
    let id = run.run.clone();
    drop(run);
    assert!(!runs(&*place.other)[0].held, "a reader holds nothing");
    let mut next = opened(&*place.ledger, &existing(&id));
    ok(next.ledger.append(&[done(1)], at(3)), "append");
    drop(next);
    ok(place.ledger.delete(&id), "delete while a reader is there");
    // What a reader has open may be there still, or not: it is an answer or an error, and nothing else.
    drop(reader.tasks(&mut |_| {}));
}
