//! Files that are damaged, of a later version, or full.

use podpool_core::ledger::{LedgerError, RunRecord};
use proptest::collection::vec;
use proptest::prelude::*;
use rusqlite::Connection;

use super::super::directory::Directory;
use super::super::fault::{Fault, fault};
use super::super::file::RunFile;
use super::super::master::Master;
use super::super::schema::{self, Format};
use super::*;

/// A ledger with one run that nobody holds, and the path of its file.
fn at_rest() -> (Scratch, SqliteLedger, PathBuf) {
    let scratch = Scratch::new();
    let ledger = scratch.ledger();
    drop(begun(&ledger));
    let path = scratch.file("nightly-0.sqlite");
    (scratch, ledger, path)
}

fn sole(ledger: &SqliteLedger) -> Result<RunRecord, LedgerError> {
    let mut runs = ledger.runs().unwrap();
    assert_eq!(runs.len(), 1);
    runs.remove(0)
}

#[test]
fn a_later_version_is_refused_by_name_and_left_as_it_is() {
    let (_scratch, ledger, path) = at_rest();
    let file = Connection::open(&path).unwrap();
    file.pragma_update(None, "user_version", 99).unwrap();
    drop(file);
    let before = fs::read(&path).unwrap();
    let is_newer = |error: LedgerError| {
        let text = error.to_string();
        assert!(
            text.contains("version 99") && text.contains("up to 3"),
            "{text}"
        );
        matches!(error, LedgerError::Newer { version: 99, .. })
    };
    assert!(is_newer(ledger.read(&id("nightly-0")).unwrap_err()));
    assert!(is_newer(ledger.open(&existing("nightly-0")).unwrap_err()));
    assert!(is_newer(
        ledger.open(&named("nightly", "nightly-1")).unwrap_err()
    ));
    assert!(is_newer(ledger.delete(&id("nightly-0")).unwrap_err()));
    assert!(
        is_newer(sole(&ledger).unwrap_err()),
        "it is listed with its error"
    );
    assert_eq!(fs::read(&path).unwrap(), before);
}

/// What to do to a file, at its path.
type Damage = fn(&Path);

fn damages() -> [(&'static str, Damage); 6] {
    [
        ("garbage", |path| {
            fs::write(path, "not a database. ".repeat(500)).unwrap()
        }),
        ("its end is cut off", |path| {
            let bytes = fs::read(path).unwrap();
            fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("nearly all is cut off", |path| {
            let bytes = fs::read(path).unwrap();
            fs::write(path, &bytes[..1_000]).unwrap();
        }),
        ("another application's", |path| {
            fs::remove_file(path).unwrap();
            let other = Connection::open(path).unwrap();
            other.execute_batch("CREATE TABLE tasks (number)").unwrap();
        }),
        ("without a table", |path| {
            let file = Connection::open(path).unwrap();
            file.execute_batch("DROP TABLE run").unwrap();
        }),
        ("another run's", |path| {
            let file = Connection::open(path).unwrap();
            file.execute("UPDATE run SET id = 'weekly-0'", ()).unwrap();
        }),
    ]
}

#[test]
fn a_damaged_file_is_reported_and_set_aside_and_never_overwritten() {
    for (what, damage) in damages() {
        let (scratch, ledger, path) = at_rest();
        damage(&path);
        let before = fs::read(&path).unwrap();
        let is_damaged = |error: &LedgerError| matches!(error, LedgerError::Damaged { .. });
        // A reader changes nothing.
        let read = sole(&ledger).unwrap_err();
        assert!(is_damaged(&read), "{what}: {read}");
        assert_eq!(fs::read(&path).unwrap(), before, "{what}");
        let error = ledger.open(&named("nightly", "nightly-1")).unwrap_err();
        let text = error.to_string();
        assert!(is_damaged(&error), "{what}: {text}");
        let aside = scratch.file("nightly-0.sqlite.damaged-1");
        assert!(
            text.contains(&aside.display().to_string()),
            "{what}: {text}"
        );
        assert_eq!(fs::read(&aside).unwrap(), before, "{what}");
        assert!(!path.exists(), "{what}");
        let fresh = ledger.open(&named("nightly", "nightly-1")).unwrap();
        assert_eq!(
            (fresh.run.as_str(), fresh.epoch),
            ("nightly-1", 1),
            "{what}"
        );
        assert_eq!(sole(&ledger).unwrap().run, id("nightly-1"), "{what}");
    }
}

#[test]
fn several_files_of_one_name_are_set_aside_beside_each_other() {
    let (scratch, ledger, path) = at_rest();
    for number in 1..=3 {
        fs::write(&path, format!("garbage {number}, and more of it")).unwrap();
        ledger.open(&existing("nightly-0")).unwrap_err();
        let aside = scratch.file(&format!("nightly-0.sqlite.damaged-{number}"));
        assert!(
            fs::read_to_string(aside)
                .unwrap()
                .contains(&number.to_string())
        );
    }
}

#[test]
fn a_damaged_file_that_a_master_has_open_stays_where_it_is() {
    let scratch = Scratch::new();
    let ledger = scratch.ledger();
    let held = begun(&ledger);
    let path = scratch.file("nightly-0.sqlite");
    let file = Connection::open(&path).unwrap();
    file.execute("UPDATE run SET id = 'weekly-0'", ()).unwrap();
    drop(file);
    let error = ledger.open(&existing("nightly-0")).unwrap_err();
    assert!(
        error.to_string().contains("a master has it open"),
        "{error}"
    );
    assert!(path.exists());
    drop(held);
}

#[test]
fn a_damaged_index_is_set_aside_and_made_anew() {
    let damages: [Damage; 2] = [
        |path| fs::write(path, "garbage, and no index of anything at all".repeat(50)).unwrap(),
        |path| {
            let other = Connection::open(path).unwrap();
            other.execute_batch("DROP TABLE runs").unwrap();
        },
    ];
    for damage in damages {
        let (scratch, ledger, _path) = at_rest();
        damage(&scratch.file("_index.sqlite"));
        let error = ledger.open(&named("nightly", "nightly-1")).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("_index.sqlite.damaged-1"), "{text}");
        assert!(scratch.file("_index.sqlite.damaged-1").exists());
        let run = ledger.open(&named("nightly", "nightly-1")).unwrap();
        assert_eq!((run.run.as_str(), run.epoch), ("nightly-0", 2));
    }
}

#[test]
fn a_full_disk_is_transient_and_leaves_nothing_of_the_transaction() {
    let scratch = Scratch::new();
    let directory = Directory::new(scratch.path());
    directory.make().unwrap();
    let file = RunFile::make(&directory, &id("nightly-0"), Durability::Full).unwrap();
    // Some pages more than the tables need: what SQLite says then is what it says when the disk is full.
    file.connection
        .pragma_update(None, "max_page_count", 40)
        .unwrap();
    let name = RunName::new("nightly").unwrap();
    let mut run = Master::make(file, &name, &[7; 32], &named("nightly", "nightly-0")).unwrap();
    run.ledger.append(&[a_type(), small(0)], at(1)).unwrap();
    let large = Bytes::from(vec![7; 1 << 20]);
    let records = [small(1), a_task(2, large), done(0)];
    let error = run.ledger.append(&records, at(2)).unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    assert_eq!(count(&mut *run.ledger), 1);
    assert_eq!(run.ledger.end(TaskId(0)).unwrap(), None);
    run.ledger.append(&[small(1), done(0)], at(3)).unwrap();
    assert_eq!(count(&mut *run.ledger), 2);
}

#[test]
fn errors_of_sqlite_are_damage_or_transient_or_final() {
    use rusqlite::ffi;
    let of = |code, text: Option<&str>| {
        let error = ffi::Error::new(code);
        fault(&rusqlite::Error::SqliteFailure(
            error,
            text.map(str::to_owned),
        ))
    };
    for code in [
        ffi::SQLITE_BUSY,
        ffi::SQLITE_FULL,
        ffi::SQLITE_IOERR_WRITE,
        ffi::SQLITE_IOERR_FSYNC,
        ffi::SQLITE_NOMEM,
    ] {
        assert_eq!(of(code, None), Fault::Transient, "{code}");
    }
    for code in [
        ffi::SQLITE_READONLY,
        ffi::SQLITE_READONLY_DIRECTORY,
        ffi::SQLITE_PERM,
        ffi::SQLITE_CANTOPEN,
        ffi::SQLITE_CONSTRAINT,
        ffi::SQLITE_TOOBIG,
    ] {
        assert_eq!(of(code, None), Fault::Final, "{code}");
    }
    for code in [
        ffi::SQLITE_CORRUPT_INDEX,
        ffi::SQLITE_NOTADB,
        ffi::SQLITE_IOERR_DATA,
    ] {
        assert_eq!(of(code, None), Fault::Damaged, "{code}");
    }
    let error = ffi::SQLITE_ERROR;
    assert_eq!(of(error, Some("no such table: run")), Fault::Damaged);
    assert_eq!(of(error, Some("something else")), Fault::Final);
}

#[test]
fn an_older_file_gets_the_steps_that_it_lacks() {
    let first = Format::of(7, &["CREATE TABLE a (x)"]);
    let second = Format::of(7, &["CREATE TABLE a (x)", "ALTER TABLE a ADD COLUMN y"]);
    let file = Connection::open_in_memory().unwrap();
    let path = Path::new("it");
    assert_eq!(first.version(&file, path).unwrap(), 0, "it is empty");
    first.make(&file, 0).unwrap();
    file.execute("INSERT INTO a (x) VALUES (1)", ()).unwrap();
    assert_eq!(second.version(&file, path).unwrap(), 1);
    second.make(&file, 1).unwrap();
    assert_eq!(second.version(&file, path).unwrap(), 2);
    let row = file.query_row("SELECT x, y FROM a", (), |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?))
    });
    assert_eq!(row.unwrap(), (1, None));
    let error = first.version(&file, path).unwrap_err();
    assert!(matches!(
        error,
        LedgerError::Newer {
            version: 2,
            newest: 1,
            ..
        }
    ));
    let error = schema::RUN.version(&file, path).unwrap_err();
    assert!(matches!(error, LedgerError::Damaged { .. }), "{error}");
}

/// Reads all that can be read.
fn read_all(ledger: &SqliteLedger) -> Result<(), LedgerError> {
    let mut run = ledger.read(&id("nightly-0"))?;
    run.run()?;
    run.types()?;
    run.events()?;
    run.asked()?;
    let mut tasks = vec![TaskId(0), TaskId(1)];
    run.tasks(&mut |task| tasks.push(task.task))?;
    tasks.truncate(200);
    for task in &tasks {
        run.task(*task)?;
        run.end(*task)?;
        run.attempts(*task)?;
    }
    run.outputs(&tasks).map(drop)
}

/// The bytes of a run's file that holds records of every kind.
fn whole_file() -> Vec<u8> {
    let scratch = Scratch::new();
    let ledger = scratch.ledger();
    let mut run = ledger.open(&named("nightly", "nightly-0")).unwrap();
    let records = podpool_core::conformance::ledger::valid_records(1, 120);
    run.ledger.append(&records, at(1)).unwrap();
    drop(run);
    read_all(&ledger).unwrap();
    fs::read(scratch.file("nightly-0.sqlite")).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever became of a file, each outcome is an answer or an error.
    #[test]
    fn wrong_bytes_are_an_error_or_not_noticed(
        flips in vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
        in_the_head in any::<bool>(),
    ) {
        static WHOLE: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(whole_file);
        let mut bytes = WHOLE.clone();
        let length = if in_the_head { 4_096 } else { bytes.len() };
        for (at, value) in flips {
            bytes[at.index(length)] = value;
        }
        let scratch = Scratch::new();
        fs::create_dir_all(scratch.path()).unwrap();
        fs::write(scratch.file("nightly-0.sqlite"), bytes).unwrap();
        let ledger = scratch.ledger();
        let _ = read_all(&ledger);
        let _ = ledger.runs();
        if let Ok(mut run) = ledger.open(&existing("nightly-0")) {
            let _ = run.ledger.append(&[small(1 << 40), done(1 << 40)], at(5));
            let _ = run.ledger.release();
        }
        let _ = ledger.open(&named("nightly", "nightly-1"));
        let _ = ledger.delete(&id("nightly-0"));
    }
}
