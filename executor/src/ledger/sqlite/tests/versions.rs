//! Files of earlier versions: they are read as they are, and the next master makes them newer.

use podpool_core::ledger::{Folded, PlaceRecord, PublishedRecord, Status};
use podpool_core::place::WorkerPlace;
use rusqlite::Connection;

use super::super::schema::{Format, RUN_1, RUN_2};
use super::*;

/// What the first version stored of a run with three tasks: one is done, one failed twice, and one has not ended.
const ROWS: &str = "
INSERT INTO run (id, name, mac_key, created) VALUES ('nightly-0', 'nightly', zeroblob(32), 5);
INSERT INTO masters (epoch, host, pid, user, program, build, version, since)
    VALUES (1, 'atlas', 7, 'ada', 'flights', '', '0.1.0', 5);
INSERT INTO types (number, name, fingerprint, shape) VALUES (0, 'it', zeroblob(16), '()');
INSERT INTO tasks (number, epoch, type, identity, content, class, why, submitted, arguments)
    VALUES (0, 1, 0, zeroblob(16), zeroblob(16), 0, 0, 6, x'00'),
           (1, 1, 0, zeroblob(16), zeroblob(16), 0, 0, 6, zeroblob(100000)),
           (7, 1, 0, zeroblob(16), zeroblob(16), 0, 0, 6, x'07');
INSERT INTO places (number, worker, node) VALUES (1, 'pool-0', 'n1');
INSERT INTO ends (task, epoch, status, attempt, place, elapsed, ended, output)
    VALUES (0, 1, 1, 1, 1, 3000000, 8, x'726573756c74');
INSERT INTO attempts (task, epoch, stored, attempt, cause, retryable, place, message)
    VALUES (1, 1, 7, 1, 'failed', 1, 1, 'no'), (1, 1, 8, 2, 'crashed', 1, 1, 'gone');
";

/// What the second version stored beside that.
const ROWS_2: &str = "
INSERT INTO published (task, attempt) VALUES (1, 3);
UPDATE ends SET worker_id = 5, execution = 6, skipped = 1;
INSERT INTO events (epoch, at, kind, text) VALUES (1, 9, 'worker came', 'worker pool-0 came');
";

/// A directory with a file of this version.
fn of_version(steps: &'static [&'static str], rows: &[&str]) -> Scratch {
    let scratch = Scratch::new();
    fs::create_dir_all(scratch.path()).unwrap();
    let path = scratch.file("nightly-0.sqlite");
    let file = Connection::open(&path).unwrap();
    file.pragma_update(None, "journal_mode", "WAL").unwrap();
    Format::of(0x706f_6470, steps).make(&file, 0).unwrap();
    rows.iter()
        .for_each(|rows| file.execute_batch(rows).unwrap());
    scratch
}

fn of_the_first_version() -> Scratch {
    of_version(&[RUN_1], &[ROWS])
}

fn of_the_second_version() -> Scratch {
    of_version(&[RUN_1, RUN_2], &[ROWS, ROWS_2])
}

fn version(scratch: &Scratch) -> u32 {
    let file = Connection::open(scratch.file("nightly-0.sqlite")).unwrap();
    let version = file.query_row("PRAGMA user_version", (), |row| row.get(0));
    version.unwrap()
}

fn tasks<R: ReadRun + ?Sized>(run: &mut R) -> Vec<Folded> {
    let mut tasks = Vec::new();
    run.tasks(&mut |task| tasks.push(task)).unwrap();
    tasks
}

/// All that the first version stored is there.
fn has_everything<R: ReadRun + ?Sized>(run: &mut R) {
    let tasks = tasks(run);
    let seen: Vec<_> = tasks
        .iter()
        .map(|it| (it.task.0, it.status, it.attempts))
        .collect();
    assert_eq!(
        seen,
        [
            (0, Status::Done, 0),
            (1, Status::Unended, 2),
            (7, Status::Unended, 0),
        ]
    );
    assert_eq!(run.asked().unwrap(), []);
    let attempts = run.attempts(TaskId(1)).unwrap();
    let messages: Vec<_> = attempts.iter().map(|it| &it.report.message).collect();
    assert_eq!(messages, ["no", "gone"]);
    let end = run.end(TaskId(0)).unwrap().unwrap();
    assert_eq!(end.end, End::Done(Bytes::from_static(b"result")));
    assert_eq!(end.elapsed, Some(Duration::from_millis(3)));
    assert_eq!(
        (end.worker, end.node),
        (Some("pool-0".into()), Some("n1".into()))
    );
    let task = run.task(TaskId(1)).unwrap().unwrap();
    assert_eq!(task.arguments.len(), 100_000);
    assert_eq!(run.types().unwrap().len(), 1);
    let nothing_known = (end.started, end.queued, attempts[0].report.queued);
    assert_eq!(nothing_known, (None, None, None));
    assert_eq!(run.places().unwrap(), []);
    assert_eq!(run.run().unwrap().masters[0].master.program, "flights");
    let mut listed = Vec::new();
    run.list(&mut |task| listed.push(task)).unwrap();
    assert_eq!(listed.len(), 3);
    let end = listed[0].ended.as_ref().unwrap();
    assert_eq!((end.started, end.queued), (None, None));
    assert_eq!((end.worker.as_deref(), &end.place), (Some("pool-0"), &None));
}

/// What is told of the second version, and lacks in the first.
fn has_what_the_second_added<R: ReadRun + ?Sized>(run: &mut R) {
    assert_eq!(tasks(run)[1].published, Some(Attempt(3)));
    assert_eq!(run.events().unwrap().newest.len(), 1);
    let end = run.end(TaskId(0)).unwrap().unwrap();
    assert!(end.skipped && end.execution.is_some());
}

#[test]
fn a_reader_reads_a_file_of_the_first_version_and_leaves_it_so() {
    let scratch = of_the_first_version();
    let mut run = scratch.ledger().read(&id("nightly-0")).unwrap();
    has_everything(&mut *run);
    assert_eq!(tasks(&mut *run)[1].published, None);
    assert_eq!(run.events().unwrap().newest, []);
    drop(run);
    assert_eq!(version(&scratch), 1);
    assert_eq!(scratch.ledger().runs().unwrap().len(), 1);
}

#[test]
fn a_reader_reads_a_file_of_the_second_version_and_leaves_it_so() {
    let scratch = of_the_second_version();
    let mut run = scratch.ledger().read(&id("nightly-0")).unwrap();
    has_everything(&mut *run);
    has_what_the_second_added(&mut *run);
    drop(run);
    assert_eq!(version(&scratch), 2);
}

#[test]
fn a_master_makes_a_file_of_the_second_version_newer() {
    let scratch = of_the_second_version();
    let mut run = scratch.ledger().open(&existing("nightly-0")).unwrap();
    has_everything(&mut *run.ledger);
    has_what_the_second_added(&mut *run.ledger);
    let place = PlaceRecord {
        worker: "pool-0".into(),
        place: Arc::new(WorkerPlace {
            zone: Some("z1".into()),
            ..WorkerPlace::default()
        }),
    };
    let Record::End(mut end) = done(7) else {
        unreachable!("it is an end")
    };
    (end.started, end.queued) = (Some(at(7)), Some(Duration::from_secs(2)));
    let records = [Record::Place(place.clone()), Record::End(end.clone())];
    run.ledger.append(&records, at(1)).unwrap();
    drop(run);
    assert_eq!(version(&scratch), 3);
    let mut run = scratch.ledger().read(&id("nightly-0")).unwrap();
    assert_eq!(run.end(TaskId(7)).unwrap(), Some(end));
    // Also of what the second version stored.
    let attempts = run.attempts(TaskId(1)).unwrap();
    assert_eq!(attempts[0].report.place, Some(place.place));
}

#[test]
fn a_master_makes_a_file_of_the_first_version_newer() {
    let scratch = of_the_first_version();
    // Also by its name: the index is made from the file.
    let mut run = scratch
        .ledger()
        .open(&named("nightly", "nightly-1"))
        .unwrap();
    assert_eq!((run.run.as_str(), run.epoch), ("nightly-0", 2));
    has_everything(&mut *run.ledger);
    let published = Record::Published(PublishedRecord {
        task: TaskId(1),
        attempt: Attempt(3),
    });
    let records = [published, done(7), small(8)];
    run.ledger.append(&records, at(1)).unwrap();
    drop(run);
    assert_eq!(version(&scratch), 3);
    let mut run = scratch.ledger().read(&id("nightly-0")).unwrap();
    let tasks = tasks(&mut *run);
    assert_eq!(tasks.len(), 4);
    assert_eq!(
        (tasks[1].published, tasks[1].attempts),
        (Some(Attempt(3)), 2)
    );
}
