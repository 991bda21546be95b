//! What the checks of ledgers do again and again.

use std::collections::BTreeMap;
use std::fmt::Display;

use crate::id::{RunId, RunName};
use crate::ledger::{
    AttemptRecord, EndRecord, Events, Fold, Folded, Ledger, LedgerError, MOST_EVENTS, Master,
    Opened, Opening, PlaceRecord, ReadRun, Record, RunLedger, RunRecord, TaskRecord, TypeRecord,
    Which,
};

use super::samples::{a_type, at};

/// Unwraps what must succeed.
pub(super) fn ok<T, E: Display>(result: Result<T, E>, what: &str) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{what}: {error}"),
    }
}

/// Unwraps what must fail.
pub(super) fn refused<T>(result: Result<T, LedgerError>, what: &str) -> LedgerError {
    match result {
        Ok(_) => panic!("{what} is not refused"),
        Err(error) => error,
    }
}

pub(super) fn name(name: &str) -> RunName {
    ok(RunName::new(name), "a name")
}

pub(super) fn id(id: &str) -> RunId {
    ok(RunId::new(id), "an id")
}

pub(super) const KEY: [u8; 32] = [7; 32];

/// The process that opens a run where a check does not say another.
pub(super) fn master(pid: u32) -> Master {
    Master {
        host: "atlas".to_owned(),
        pid,
        user: "ada".to_owned(),
        program: "flights".to_owned(),
        build: "c0ffee".to_owned(),
        version: "0.1.0".to_owned(),
        settings: match pid % 2 {
            0 => Vec::new(),
            _ => vec![
                ("workers".to_owned(), pid.to_string()),
                ("it's, \"odd\"".to_owned(), String::new()),
            ],
        },
    }
}

/// Opens the run of a name, which gets this id where it is fresh.
pub(super) fn named(run: &str, fresh: &str) -> Opening {
    Opening {
        which: Which::Named {
            name: name(run),
            fresh: id(fresh),
            mac_key: KEY,
        },
        master: master(1),
        take_over: false,
        now: at(0),
    }
}

pub(super) fn existing(run: &RunId) -> Opening {
    Opening {
        which: Which::Existing(run.clone()),
        ..named("unused", "unused-0")
    }
}

pub(super) fn taking_over(run: &RunId) -> Opening {
    Opening {
        take_over: true,
        master: master(2),
        now: at(60),
        ..existing(run)
    }
}

pub(super) fn opened(ledger: &dyn Ledger, opening: &Opening) -> Opened {
    ok(ledger.open(opening), "open")
}

/// The run `nightly` with one type and no task.
pub(super) fn begun(ledger: &dyn Ledger) -> Opened {
    let mut run = opened(ledger, &named("nightly", "nightly-0"));
    append(&mut *run.ledger, &[Record::Type(a_type(0))]);
    run
}

pub(super) fn append(run: &mut dyn RunLedger, records: &[Record]) {
    ok(run.append(records, at(1)), "append");
}

pub(super) fn read(ledger: &dyn Ledger, run: &RunId) -> Box<dyn ReadRun> {
    ok(ledger.read(run), "read")
}

pub(super) fn tasks<R: ReadRun + ?Sized>(run: &mut R) -> Vec<Folded> {
    let mut tasks = Vec::new();
    ok(run.tasks(&mut |task| tasks.push(task)), "tasks");
    tasks
}

/// The runs that can be read; one that cannot fails the check.
pub(super) fn runs(ledger: &dyn Ledger) -> Vec<RunRecord> {
    let runs = ok(ledger.runs(), "runs");
    runs.into_iter().map(|run| ok(run, "a run")).collect()
}

/// All that can be read of a run's tasks.
#[derive(Debug, PartialEq)]
pub(super) struct Stored {
    types: Vec<TypeRecord>,
    pub(super) folded: Vec<Folded>,
    tasks: Vec<TaskRecord>,
    pub(super) attempts: Vec<AttemptRecord>,
    ends: Vec<EndRecord>,
    pub(super) places: Vec<PlaceRecord>,
    pub(super) events: Events,
}

pub(super) fn stored<R: ReadRun + ?Sized>(run: &mut R) -> Stored {
    let folded = tasks(run);
    let numbers: Vec<_> = folded.iter().map(|it| it.task).collect();
    let task = |number| ok(run.task(number), "task");
    let tasks = numbers.iter().copied().filter_map(task).collect();
    let attempts = |number| ok(run.attempts(number), "attempts");
    let attempts = numbers.iter().copied().flat_map(attempts).collect();
    let end = |number| ok(run.end(number), "end");
    let ends = numbers.iter().copied().filter_map(end).collect();
    Stored {
        types: ok(run.types(), "types"),
        folded,
        tasks,
        attempts,
        ends,
        places: ok(run.places(), "places"),
        events: ok(run.events(), "events"),
    }
}

/// What is to be stored after these records.
pub(super) fn expected(records: &[Record]) -> Stored {
    let mut fold = Fold::default();
    let (mut types, mut tasks) = (Vec::new(), Vec::new());
    let (mut attempts, mut ends) = (Vec::new(), Vec::new());
    let mut events = Events::default();
    let mut places = BTreeMap::new();
    for record in records {
        ok(fold.apply(record), "the records of a check are valid");
        match record.clone() {
            Record::Type(it) => types.push(it),
            Record::Task(it) => tasks.push(it),
            Record::Attempt(it) => attempts.push(it),
            Record::Amended(it) => {
                let like = |other: &&mut AttemptRecord| other.task == it.task && it.is_like(other);
                match attempts.iter_mut().rfind(like) {
                    Some(known) => *known = it,
                    None => attempts.push(it),
                }
            }
            // These show in what is folded, and in where the next master begins.
            Record::Published(_) | Record::Reserved(_) => {}
            Record::End(it) => ends.push(it),
            Record::Event(it) => events.newest.push(it),
            Record::Place(it) => drop(places.insert(it.worker, it.place)),
        }
    }
    events.dropped = events.newest.len().saturating_sub(MOST_EVENTS) as u64;
    events.newest.drain(..events.dropped as usize);
    for AttemptRecord { report, .. } in &mut attempts {
        let worker = report.worker.as_ref();
        report.place = worker.and_then(|worker| places.get(worker).cloned());
    }
    tasks.sort_by_key(|it| it.task);
    // The sort is stable: those of one task stay in their order.
    attempts.sort_by_key(|it| it.task);
    ends.sort_by_key(|it| it.task);
    Stored {
        types,
        folded: fold.tasks().collect(),
        tasks,
        attempts,
        ends,
        places: places
            .into_iter()
            .map(|(worker, place)| PlaceRecord { worker, place })
            .collect(),
        events,
    }
}
