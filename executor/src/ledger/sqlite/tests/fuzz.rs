//! Fuzz targets: rows of a run's file with any values are an answer or an error, and what is stored is what the fold has.

use bolero::{ValueGenerator, produce};
use podpool_core::conformance::ledger::valid_records;
use podpool_core::error::AttemptReport;
use podpool_core::ledger::{AttemptRecord, Fold, FoldError, Folded, LedgerError, PublishedRecord};
use podpool_core::outcome::{Cause, Failure};
use rusqlite::Connection;
use rusqlite::types::Value;

use super::*;

/// Inputs of a target in `cargo test`; `BOLERO_RANDOM_ITERATIONS` and `BOLERO_RANDOM_TEST_TIME_MS` set another number.
// Each makes a file.
const INPUTS: usize = 40;

/// Columns of a file, each with its table.
fn columns(file: &Connection) -> Vec<(String, String)> {
    let columns = "SELECT tables.name, columns.name FROM sqlite_schema AS tables, pragma_table_info(tables.name) AS columns \
                   WHERE tables.type = 'table' ORDER BY 1, 2";
    let mut columns = file.prepare(columns).unwrap();
    let rows = columns.query_map((), |row| Ok((row.get(0)?, row.get(1)?)));
    rows.unwrap().map(Result::unwrap).collect()
}

/// What replaces a value: which kind, and with what.
type Drawn = (u8, i64, Vec<u8>);

fn value((kind, number, bytes): &Drawn) -> Value {
    let text = || String::from_utf8_lossy(bytes).into_owned();
    match kind % 8 {
        0 => Value::Null,
        1 => Value::Integer(*number),
        // The codes of an enum, and what is beside them.
        2 => Value::Integer(number.rem_euclid(24) - 8),
        3 => Value::Real(*number as f64 / 3.0),
        4 | 5 => Value::Text(text()),
        _ => Value::Blob(bytes.clone()),
    }
}

/// A change: which column, of which rows, and the value.
fn changes() -> impl ValueGenerator<Output = Vec<(u16, u8, Drawn)>> {
    produce::<Vec<(u16, u8, Drawn)>>().with().len(1_usize..6)
}

/// The bytes of a file with records of every kind.
fn whole() -> Vec<u8> {
    let scratch = Scratch::new();
    let ledger = scratch.ledger();
    let mut run = ledger.open(&named("nightly", "nightly-0")).unwrap();
    run.ledger.append(&valid_records(1, 120), at(1)).unwrap();
    drop(run);
    fs::read(scratch.file("nightly-0.sqlite")).unwrap()
}

/// Reads all that can be read, and goes on where a part cannot: each must answer.
fn read_everything(run: &mut dyn ReadRun) {
    let mut tasks = vec![TaskId(0), TaskId(1), TaskId(u64::MAX)];
    drop((run.run(), run.types()));
    drop(run.tasks(&mut |task| tasks.push(task.task)));
    drop(run.list(&mut |task| tasks.push(task.task)));
    for task in &tasks {
        drop((run.task(*task), run.end(*task), run.attempts(*task)));
    }
    drop((run.outputs(&tasks), run.events(), run.asked()));
    drop(run.places());
}

#[test]
fn rows() {
    let whole = whole();
    let target = bolero::check!().with_iterations(INPUTS);
    target.with_generator(changes()).for_each(|changes| {
        let scratch = Scratch::new();
        fs::create_dir_all(scratch.path()).unwrap();
        let path = scratch.file("nightly-0.sqlite");
        fs::write(&path, &whole).unwrap();
        let file = Connection::open(&path).unwrap();
        file.pragma_update(None, "foreign_keys", false).unwrap();
        file.pragma_update(None, "synchronous", "OFF").unwrap();
        let columns = columns(&file);
        for (column, rows, drawn) in changes {
            let (table, column) = &columns[usize::from(*column) % columns.len()];
            let change = format!("UPDATE {table} SET {column} = ?1 WHERE rowid % ?2 = 0");
            // Refused where the column takes no such value: then a file has none either.
            drop(file.execute(&change, (value(drawn), i64::from(rows % 9) + 1)));
        }
        drop(file);
        let ledger = scratch.ledger();
        drop(ledger.runs());
        if let Ok(mut run) = ledger.read(&id("nightly-0")) {
            read_everything(&mut *run);
        }
        if let Ok(mut run) = ledger.open(&existing("nightly-0")) {
            read_everything(&mut *run.ledger);
            drop(run.ledger.append(&[small(1 << 40), done(1 << 40)], at(5)));
            drop(run.ledger.release());
        }
        drop(ledger.open(&named("nightly", "nightly-1")));
        drop(ledger.delete(&id("nightly-0")));
    });
}

/// A record, by what is drawn for it: few tasks and identities, so that records meet.
fn record((kind, task, other): (u8, u8, u8)) -> Record {
    let number = u64::from(task % 16);
    let attempt = Attempt(u32::from(other % 4) + 1);
    let task = TaskId(number);
    match (kind % 7, small(number)) {
        (0..=2, Record::Task(task)) => {
            let shared = Content::of(&[other % 6]);
            Record::Task(TaskRecord {
                identity: Identity::counted("it", shared, 0),
                ..task
            })
        }
        (3, _) => a_type(),
        (4, _) => Record::Published(PublishedRecord { task, attempt }),
        (5, _) => {
            let failure = Failure::new(Cause::Failed, "no");
            let report = AttemptReport::new(attempt, failure);
            Record::Attempt(AttemptRecord { task, report })
        }
        _ => done(number),
    }
}

fn stored<R: ReadRun + ?Sized>(run: &mut R) -> Vec<Folded> {
    let mut tasks = Vec::new();
    run.tasks(&mut |task| tasks.push(task)).unwrap();
    tasks
}

#[test]
fn records() {
    let target = bolero::check!().with_iterations(INPUTS);
    target.with_type::<Vec<(u8, u8, u8)>>().for_each(|drawn| {
        let scratch = Scratch::new();
        let ledger = scratch.ledger();
        let mut run = ledger.open(&named("nightly", "nightly-0")).unwrap();
        let mut fold = Fold::default();
        let first = a_type();
        for record in std::iter::once(first).chain(drawn.iter().copied().map(record)) {
            let mut next = fold.clone();
            let applied = next.apply(&record);
            if matches!(applied, Err(FoldError::Same(_))) {
                // A ledger need not notice it.
                continue;
            }
            let appended = run.ledger.append(&[record], at(1));
            assert_eq!(appended.is_ok(), applied.is_ok());
            if let Err(error) = appended {
                let refused = !error.is_transient() && matches!(error, LedgerError::Failed { .. });
                assert!(refused, "{error:?}");
                continue;
            }
            fold = next;
        }
        let expected: Vec<_> = fold.tasks().collect();
        assert_eq!(stored(&mut *run.ledger), expected, "to its master");
        drop(run);
        let mut reader = ledger.read(&id("nightly-0")).unwrap();
        assert_eq!(stored(&mut *reader), expected, "to a reader");
    });
}
