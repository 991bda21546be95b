//! The ledger in a directory: the conformance suite, and what the suite cannot know of files.

mod broken;
mod files;
mod fuzz;
#[cfg(unix)]
mod processes;
mod versions;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use podpool_core::broker::ClassId;
use podpool_core::conformance::ledger::{Place, all};
use podpool_core::id::{Attempt, RunId, RunName, TaskId};
use podpool_core::ledger::{
    Content, Durability, End, EndRecord, Identity, Ledger, Master as Process, Opened, Opening,
    ReadRun, Record, TaskRecord, TypeId, TypeRecord, Which, Why,
};
use podpool_core::shape::Fingerprint;

use super::SqliteLedger;

/// A directory that is removed at the end of a test. Its name has what other names must not be confused by.
#[derive(Debug)]
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let name = format!("podpool-ledger-{:016x}", fastrand::u64(..));
        Self(std::env::temp_dir().join(name))
    }

    fn path(&self) -> PathBuf {
        self.0.join("it is? 100% Ünicode #1")
    }

    fn ledger(&self) -> SqliteLedger {
        SqliteLedger::new(self.path()).durability(Durability::Normal)
    }

    /// The names of the files of the ledger, sorted.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path()).unwrap();
        let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
        let mut names: Vec<_> = entries.map(|entry| name(entry.unwrap())).collect();
        names.sort();
        names
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_796_000_000 + seconds)
}

fn id(id: &str) -> RunId {
    RunId::new(id).unwrap()
}

fn named(name: &str, fresh: &str) -> Opening {
    Opening {
        which: Which::Named {
            name: RunName::new(name).unwrap(),
            fresh: id(fresh),
            mac_key: [7; 32],
        },
        master: Process {
            host: "atlas".to_owned(),
            pid: std::process::id(),
            ..Process::default()
        },
        take_over: false,
        now: at(0),
    }
}

fn existing(run: &str) -> Opening {
    Opening {
        which: Which::Existing(id(run)),
        ..named("unused", "unused-0")
    }
}

fn a_type() -> Record {
    Record::Type(TypeRecord {
        number: TypeId(0),
        name: "it".to_owned(),
        version: None,
        fingerprint: Fingerprint([1; 16]),
        shape: "()".to_owned(),
        parameters: vec!["n".to_owned()],
    })
}

fn a_task(number: u64, arguments: Bytes) -> Record {
    let content = Content::of(&arguments);
    Record::Task(TaskRecord {
        task: TaskId(number),
        task_type: TypeId(0),
        identity: Identity::counted("it", content, number),
        content,
        class: ClassId::DEFAULT,
        arguments,
        options: None,
        why: Why::First,
    })
}

fn small(number: u64) -> Record {
    a_task(number, Bytes::copy_from_slice(&number.to_le_bytes()))
}

fn done(number: u64) -> Record {
    Record::End(EndRecord {
        task: TaskId(number),
        attempt: Attempt::FIRST,
        started: None,
        queued: None,
        elapsed: Some(Duration::from_millis(3)),
        worker: Some("local".into()),
        node: Some("atlas".into()),
        execution: None,
        skipped: false,
        end: End::Done(Bytes::from_static(b"result")),
    })
}

/// The run `nightly-0` with some tasks, of which the first has ended.
fn begun(ledger: &SqliteLedger) -> Opened {
    let mut run = ledger.open(&named("nightly", "nightly-0")).unwrap();
    let records = [a_type(), small(0), small(1), done(0)];
    run.ledger.append(&records, at(1)).unwrap();
    run
}

fn count<R: ReadRun + ?Sized>(run: &mut R) -> usize {
    let mut count = 0;
    run.tasks(&mut |_| count += 1).unwrap();
    count
}

fn place(durability: Durability) -> Place {
    let scratch = Scratch::new();
    let ledger = || Arc::new(scratch.ledger().durability(durability));
    let mut place = Place::new(ledger(), ledger());
    place.guard = Box::new(scratch);
    place
}

#[test]
fn it_keeps_every_promise() {
    all(&|| place(Durability::Full));
}

#[test]
fn it_keeps_every_promise_without_waiting_for_the_disk() {
    all(&|| place(Durability::Normal));
}

#[test]
fn nothing_is_made_before_the_first_master() {
    let scratch = Scratch::new();
    let ledger = scratch.ledger();
    assert!(ledger.runs().unwrap().is_empty());
    assert!(ledger.read(&id("nightly-0")).is_err());
    ledger.delete(&id("nightly-0")).unwrap();
    assert!(ledger.open(&existing("nightly-0")).is_err());
    let made = |path: &Path| path.try_exists().unwrap();
    assert!(!made(&scratch.file("nightly-0.sqlite")), "{scratch:?}");
}
