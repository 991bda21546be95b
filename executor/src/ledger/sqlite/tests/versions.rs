//! Files of earlier versions: they are read as they are, and the next master makes them newer.

use podpool_core::ledger::{Folded, PublishedRecord, Status};
use rusqlite::Connection;

use super::super::schema::{Format, RUN_1};
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

/// A directory with a file of the first version.
fn of_the_first_version() -> Scratch {
    let scratch = Scratch::new();
    fs::create_dir_all(scratch.path()).unwrap();
    let path = scratch.file("nightly-0.sqlite");
    let file = Connection::open(&path).unwrap();
    file.pragma_update(None, "journal_mode", "WAL").unwrap();
    let first = Format::of(0x706f_6470, &[RUN_1]);
    first.make(&file, 0).unwrap();
    file.execute_batch(ROWS).unwrap();
    scratch
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
        .map(|it| (it.task.0, it.status, it.published, it.attempts))
        .collect();
    assert_eq!(
        seen,
        [
            (0, Status::Done, None, 0),
            (1, Status::Unended, None, 2),
            (7, Status::Unended, None, 0),
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
    assert_eq!(
        run.events().unwrap(),
        podpool_core::ledger::Events::default()
    );
    assert_eq!(run.run().unwrap().masters[0].master.program, "flights");
    let mut listed = 0;
    run.list(&mut |_| listed += 1).unwrap();
    assert_eq!(listed, 3);
}

#[test]
fn a_reader_reads_a_file_of_the_first_version_and_leaves_it_so() {
    let scratch = of_the_first_version();
    let mut run = scratch.ledger().read(&id("nightly-0")).unwrap();
    has_everything(&mut *run);
    drop(run);
    assert_eq!(version(&scratch), 1);
    assert_eq!(scratch.ledger().runs().unwrap().len(), 1);
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
    assert_eq!(version(&scratch), 2);
    let mut run = scratch.ledger().read(&id("nightly-0")).unwrap();
    let tasks = tasks(&mut *run);
    assert_eq!(tasks.len(), 4);
    assert_eq!(
        (tasks[1].published, tasks[1].attempts),
        (Some(Attempt(3)), 2)
    );
}
