//! The files of a ledger: which there are, who may read them, and what becomes of the index.

use podpool_core::ledger::LedgerError;

use super::*;

#[cfg(unix)]
#[test]
fn only_this_user_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new();
    let run = begun(&scratch.ledger());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&scratch.path()), 0o700);
    let names = scratch.names();
    assert_eq!(
        names,
        [
            "_index.sqlite",
            "nightly-0.1.lock",
            "nightly-0.sqlite",
            "nightly-0.sqlite-shm",
            "nightly-0.sqlite-wal",
        ]
    );
    for name in names {
        assert_eq!(mode(&scratch.file(&name)), 0o600, "{name}");
    }
    drop(run);
}

#[test]
fn masters_leave_no_files_behind_and_remove_those_of_readers() {
    let scratch = Scratch::new();
    let ledger = scratch.ledger();
    for _ in 0..3 {
        drop(ledger.open(&named("nightly", "nightly-0")).unwrap());
    }
    // The killed ones' lock files are removed by the next master.
    let names = ["_index.sqlite", "nightly-0.3.lock", "nightly-0.sqlite"];
    assert_eq!(scratch.names(), names);
    let mut reader = ledger.read(&id("nightly-0")).unwrap();
    assert_eq!(count(&mut *reader), 0);
    drop(reader);
    // A reader makes the two files beside it, and may not remove them.
    let beside = ["nightly-0.sqlite-shm", "nightly-0.sqlite-wal"];
    assert_eq!(scratch.names(), [&names[..], &beside].concat());
    let mut run = ledger.open(&named("nightly", "nightly-0")).unwrap();
    run.ledger.release().unwrap();
    drop(run);
    assert_eq!(scratch.names(), ["_index.sqlite", "nightly-0.sqlite"]);
    drop(ledger.read(&id("nightly-0")).unwrap());
    ledger.delete(&id("nightly-0")).unwrap();
    assert_eq!(scratch.names(), ["_index.sqlite"]);
}

#[test]
fn a_file_that_was_never_made_whole_is_no_run() {
    let scratch = Scratch::new();
    let ledger = scratch.ledger();
    drop(begun(&ledger));
    fs::write(scratch.file("half-0.sqlite"), "").unwrap();
    assert_eq!(ledger.runs().unwrap().len(), 1);
    let unknown = |error| matches!(error, LedgerError::Unknown(_));
    assert!(unknown(ledger.read(&id("half-0")).unwrap_err()));
    assert!(unknown(ledger.open(&existing("half-0")).unwrap_err()));
    ledger.delete(&id("half-0")).unwrap();
    assert!(!scratch.names().iter().any(|name| name.starts_with("half")));
}

#[test]
fn the_index_is_made_anew_from_the_runs() {
    let scratch = Scratch::new();
    let ledger = scratch.ledger();
    drop(begun(&ledger));
    fs::remove_file(scratch.file("_index.sqlite")).unwrap();
    let mut run = ledger.open(&named("nightly", "nightly-1")).unwrap();
    assert_eq!((run.run.as_str(), run.epoch), ("nightly-0", 2));
    assert_eq!(count(&mut *run.ledger), 2);
}

#[test]
fn a_run_whose_file_was_removed_makes_room_for_a_fresh_one() {
    let scratch = Scratch::new();
    let ledger = scratch.ledger();
    drop(begun(&ledger));
    fs::remove_file(scratch.file("nightly-0.sqlite")).unwrap();
    let fresh = ledger.open(&named("nightly", "nightly-1")).unwrap();
    assert_eq!((fresh.run.as_str(), fresh.epoch), ("nightly-1", 1));
}

/// The runs that were opened to be read: a reader leaves two files beside each.
fn opened(scratch: &Scratch) -> Vec<String> {
    let names = scratch.names().into_iter();
    let run = |name: String| name.strip_suffix(".sqlite-shm").map(str::to_owned);
    names.filter_map(run).collect()
}

#[test]
fn only_runs_that_may_be_unfinished_are_opened_and_no_more_than_so_many() {
    let scratch = Scratch::new();
    let ledger = scratch.ledger().durability(Durability::Normal);
    let make = |name: &str, records: &[Record]| {
        let fresh = format!("{name}-0");
        let mut run = ledger.open(&named(name, &fresh)).unwrap();
        run.ledger.append(&[a_type()], at(1)).unwrap();
        run.ledger.append(records, at(1)).unwrap();
        run
    };
    let written = |name: &str, seconds| {
        let mut file = fs::File::options();
        let file = file.write(true).open(scratch.file(name)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
            .unwrap();
    };
    for number in 0..20 {
        let mut run = make(&format!("done{number}"), &[small(0), done(0)]);
        run.ledger.release().unwrap();
    }
    for (number, seconds) in [(0, 30), (1, 10), (2, 20)] {
        drop(make(&format!("killed{number}"), &[small(0), small(1)]));
        written(&format!("killed{number}-0.sqlite"), seconds);
    }
    let held = make("held", &[small(0)]);
    assert!(ledger.unfinished(0).unwrap().runs.is_empty());
    let seen = |ledger: &SqliteLedger, most| {
        let found = ledger.unfinished(most).unwrap();
        let runs: Vec<_> = found.runs.iter().map(|it| it.run.run.to_string()).collect();
        (runs, found.left_out)
    };
    let before = opened(&scratch);
    assert_eq!(before, ["held-0"], "its master has it open");
    let newest = ["killed0-0".to_owned(), "killed2-0".to_owned()];
    assert_eq!(seen(&ledger, 2), (newest.to_vec(), 1));
    assert_eq!(opened(&scratch), ["held-0", "killed0-0", "killed2-0"]);
    assert_eq!(seen(&ledger, 9).0.len(), 3);
    drop(held);
    assert_eq!(seen(&ledger, 9).0.len(), 4);
}

#[test]
fn a_path_that_is_no_directory_is_refused() {
    let scratch = Scratch::new();
    fs::create_dir_all(&scratch.0).unwrap();
    fs::write(scratch.path(), "a file").unwrap();
    let error = scratch.ledger().open(&named("a", "a-0")).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, LedgerError::Unsuitable { .. }), "{text}");
    assert!(text.contains("directory"), "{text}");
}

#[test]
fn no_run_is_taken_for_the_index() {
    let scratch = Scratch::new();
    let ledger = scratch.ledger();
    for run in ["index", "index-0", "sqlite", "0"] {
        let held = ledger.open(&named(run, run)).unwrap();
        assert_eq!(held.run, id(run));
    }
    assert_eq!(ledger.runs().unwrap().len(), 4);
}

#[test]
fn a_taken_id_makes_no_second_run() {
    let scratch = Scratch::new();
    let ledger = scratch.ledger();
    drop(begun(&ledger));
    let error = ledger.open(&named("weekly", "nightly-0")).unwrap_err();
    assert!(!error.is_transient(), "{error}");
    let mut run = ledger.open(&existing("nightly-0")).unwrap();
    assert_eq!(count(&mut *run.ledger), 2, "the run is as it was");
    assert_eq!(ledger.runs().unwrap().len(), 1);
}

/// What the one file alone holds, without the files beside it.
fn tasks_of_the_one_file(scratch: &Scratch) -> usize {
    let alone = Scratch::new();
    fs::create_dir_all(alone.path()).unwrap();
    let name = "nightly-0.sqlite";
    fs::copy(scratch.file(name), alone.file(name)).unwrap();
    count(&mut *alone.ledger().read(&id("nightly-0")).unwrap())
}

#[test]
fn a_released_run_is_whole_in_its_one_file() {
    let scratch = Scratch::new();
    let mut run = begun(&scratch.ledger());
    run.ledger.release().unwrap();
    // The master has its file open still, so that nothing is moved by the close of it.
    let beside = fs::metadata(scratch.file("nightly-0.sqlite-wal")).unwrap();
    assert_eq!((beside.len(), tasks_of_the_one_file(&scratch)), (0, 2));
}

#[test]
fn a_reader_is_not_waited_for_when_a_run_is_released() {
    let scratch = Scratch::new();
    let mut run = begun(&scratch.ledger());
    let reader = rusqlite::Connection::open(scratch.file("nightly-0.sqlite")).unwrap();
    let reading = reader.unchecked_transaction().unwrap();
    let seen = "SELECT count(*) FROM tasks";
    let seen = || reading.query_row(seen, (), |row| row.get::<_, i64>(0));
    assert_eq!(seen().unwrap(), 2);
    run.ledger.append(&[small(2), small(3)], at(2)).unwrap();
    let began = std::time::Instant::now();
    run.ledger.release().unwrap();
    assert!(began.elapsed() < super::super::BUSY / 2, "it waited");
    assert_eq!(seen().unwrap(), 2, "one state is read");
    let mut next = scratch.ledger().open(&existing("nightly-0")).unwrap();
    assert_eq!((next.epoch, count(&mut *next.ledger)), (2, 4));
}
