//! Commits to directories of this machine, with races, leftovers, and file systems that lack something.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use super::local::commit;
use super::*;
use crate::instant::after;

/// A directory of a test, removed in the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("podpool-commit-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The names in the directory.
    fn names(&self) -> Vec<String> {
        names(&self.0)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
    let mut names: Vec<_> = entries
        .map(|entry| name(entry).into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn context() -> TaskContext {
    TaskContext::here(None)
}

fn refused(committed: Result<Committed, CommitError>) -> String {
    match committed {
        Err(error @ CommitError::Refused { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

/// A commit with calls of the system that are made up.
fn commit_with(naming: &Naming, path: &Path, bytes: &[u8]) -> Result<Committed, CommitError> {
    let temporary = TemporaryName::of(&context());
    commit(path, &temporary, bytes, &|| true, naming)
}

const PERM: i32 = 1;
const INVAL: i32 = 22;

/// A file system without hard links.
const WITHOUT_LINKS: Naming = Naming {
    link: |_, _| Err(io::Error::from_raw_os_error(PERM)),
    ..Naming::SYSTEM
};

#[tokio::test]
async fn the_first_writes_and_the_second_finds_it() {
    let scratch = Scratch::new();
    let path = scratch.path("a.csv");
    let first = context().commit_once(&path, "first").await;
    assert_eq!(first, Ok(Committed::Written));
    let second = context().commit_once(&path, vec![b'x'; 100_000]).await;
    assert_eq!(second, Ok(Committed::AlreadyCommitted));
    let third = context().commit_once_blocking(&path, "");
    assert_eq!(third, Ok(Committed::AlreadyCommitted));
    assert_eq!(fs::read_to_string(&path).unwrap(), "first");
    assert_eq!(scratch.names(), ["a.csv"]);
}

struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[test]
#[cfg(unix)]
fn a_file_url_will_do_and_no_runtime_is_needed() {
    let scratch = Scratch::new();
    let url = format!("file://{}", scratch.path("a%20b.csv").display());
    let context = context();
    let mut commit = pin!(context.commit_once(&url, "1"));
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let committed = loop {
        match commit.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(committed) => break committed,
            Poll::Pending => thread::park_timeout(Duration::from_secs(10)),
        }
    };
    assert_eq!(committed, Ok(Committed::Written));
    assert_eq!(scratch.names(), ["a b.csv"]);
}

#[test]
fn of_writers_that_race_one_writes_and_every_reader_sees_it_whole() {
    let scratch = Scratch::new();
    for (round, naming) in [Naming::SYSTEM, WITHOUT_LINKS]
        .iter()
        .cycle()
        .take(20)
        .enumerate()
    {
        let path = scratch.path(&format!("{round}.csv"));
        let start = Barrier::new(5);
        let written = AtomicU32::new(0);
        thread::scope(|scope| {
            for writer in 0..4_u8 {
                let (path, start, written) = (&path, &start, &written);
                scope.spawn(move || {
                    start.wait();
                    let bytes = vec![writer; 200_000];
                    match commit_with(naming, path, &bytes).unwrap() {
                        Committed::Written => written.fetch_add(1, Ordering::Relaxed),
                        Committed::AlreadyCommitted => 0,
                    };
                    let found = fs::read(path).unwrap();
                    assert_eq!(found.len(), 200_000);
                    assert!(found.iter().all(|byte| *byte == found[0]));
                });
            }
            start.wait();
        });
        assert_eq!(written.into_inner(), 1);
    }
    assert!(scratch.names().iter().all(|name| name.ends_with(".csv")));
}

#[test]
fn what_a_killed_attempt_leaves_is_recognised_and_stops_no_other() {
    let scratch = Scratch::new();
    let path = scratch.path("a.csv");
    let context = context();
    let temporary = TemporaryName::of(&context);
    // Every name that this process may come to next is taken, as by a process of the same execution that was killed
    // between its write and the link.
    let next = temporary.next();
    let (start, count) = next.strip_suffix(".tmp").unwrap().rsplit_once('-').unwrap();
    let count: u64 = count.parse().unwrap();
    for count in count + 1..count + 40 {
        fs::write(scratch.path(&format!("{start}-{count}.tmp")), "hal").unwrap();
    }
    let committed = commit(&path, &temporary, b"whole", &|| true, &Naming::SYSTEM);
    assert_eq!(committed, Ok(Committed::Written));
    assert_eq!(fs::read_to_string(&path).unwrap(), "whole");
    let mut left = scratch.names();
    left.retain(|name| name != "a.csv");
    assert_eq!(left.len(), 39);
    let beginning = format!(".podpool-{}-0-", context.run());
    assert!(
        left.iter().all(|name| name.starts_with(&beginning)),
        "{left:?}"
    );
}

#[test]
fn a_panic_between_the_write_and_the_link_leaves_nothing() {
    let scratch = Scratch::new();
    let naming = Naming {
        link: |from, _| {
            assert_eq!(fs::read(from).unwrap(), b"whole");
            std::panic::resume_unwind(Box::new("killed"))
        },
        ..Naming::SYSTEM
    };
    let path = scratch.path("a.csv");
    let killed = std::panic::catch_unwind(|| commit_with(&naming, &path, b"whole"));
    assert!(killed.is_err());
    assert!(scratch.names().is_empty());
}

#[test]
#[cfg(any(target_os = "linux", target_vendor = "apple"))]
fn without_hard_links_a_rename_replaces_nothing() {
    let scratch = Scratch::new();
    let path = scratch.path("a.csv");
    let first = commit_with(&WITHOUT_LINKS, &path, b"first");
    assert_eq!(first, Ok(Committed::Written));
    // Past the first look, as an attempt that is late by a moment.
    let late = Naming {
        link: |_, to| {
            fs::write(to, "first").unwrap();
            Err(io::Error::from_raw_os_error(PERM))
        },
        ..Naming::SYSTEM
    };
    let other = scratch.path("b.csv");
    let second = commit_with(&late, &other, b"second");
    assert_eq!(second, Ok(Committed::AlreadyCommitted));
    assert_eq!(fs::read_to_string(other).unwrap(), "first");
    assert_eq!(scratch.names(), ["a.csv", "b.csv"]);
}

#[test]
fn a_file_system_that_has_neither_is_named() {
    let scratch = Scratch::new();
    let naming = Naming {
        rename_new: |_, _| Err(io::Error::from_raw_os_error(INVAL)),
        ..WITHOUT_LINKS
    };
    let said = refused(commit_with(&naming, &scratch.path("a.csv"), b"x"));
    assert!(said.contains("neither hard links nor a rename"), "{said}");
    assert!(scratch.names().is_empty());
}

#[test]
#[cfg(unix)]
fn a_link_whose_answer_was_lost_is_the_attempts_own() {
    let scratch = Scratch::new();
    let naming = Naming {
        link: |from, to| {
            fs::hard_link(from, to)?;
            Err(io::ErrorKind::AlreadyExists.into())
        },
        ..Naming::SYSTEM
    };
    let committed = commit_with(&naming, &scratch.path("a.csv"), b"x");
    assert_eq!(committed, Ok(Committed::Written));
    assert_eq!(scratch.names(), ["a.csv"]);
}

#[test]
fn missing_directories_are_made() {
    let scratch = Scratch::new();
    let path = scratch.path("2013/01/a.csv");
    let committed = context().commit_once_blocking(&path, "x");
    assert_eq!(committed, Ok(Committed::Written));
    assert_eq!(names(&scratch.path("2013/01")), ["a.csv"]);
}

#[test]
#[cfg(unix)]
fn a_place_that_takes_no_file_is_named_with_what_to_do() {
    let scratch = Scratch::new();
    let commit = |path: &Path| refused(context().commit_once_blocking(path, "x"));
    fs::write(scratch.path("file"), "").unwrap();
    let said = commit(&scratch.path("file/a.csv"));
    assert!(said.contains("file/a.csv was not committed"), "{said}");
    fs::create_dir(scratch.path("directory")).unwrap();
    let said = commit(&scratch.path("directory"));
    assert!(said.contains("a directory has this name"), "{said}");
    std::os::unix::fs::symlink("nowhere", scratch.path("link")).unwrap();
    let said = commit(&scratch.path("link"));
    assert!(said.contains("symbolic link without a target"), "{said}");
    let said = commit(Path::new("/"));
    assert!(said.contains("no name of a file"), "{said}");
    assert_eq!(scratch.names(), ["directory", "file", "link"]);
}

#[test]
#[cfg(unix)]
fn a_directory_that_cannot_be_written_is_named_with_what_to_do() {
    use std::os::unix::fs::PermissionsExt;

    let scratch = Scratch::new();
    fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o555)).unwrap();
    // Root writes to any directory but those of the kernel.
    let path = if rustix::process::geteuid().is_root() {
        PathBuf::from("/proc/sys/a.csv")
    } else {
        scratch.path("a.csv")
    };
    let said = refused(context().commit_once_blocking(&path, "x"));
    fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(said.contains("it cannot be written"), "{said}");
    let directory = path.parent().unwrap().display().to_string();
    assert!(said.contains(&directory), "{said}");
}

#[tokio::test]
async fn an_attempt_that_was_cancelled_or_is_late_commits_nothing() {
    let scratch = Scratch::new();
    let path = scratch.path("a.csv");
    let cancelled = context();
    cancelled.cancellation.cancel();
    let late = TaskContext {
        deadline: Some(Instant::now()),
        ..context()
    };
    for context in [cancelled, late] {
        let shown = path.display().to_string();
        let expected = Err(CommitError::Cancelled { path: shown });
        assert_eq!(context.commit_once(&path, "x").await, expected);
        assert_eq!(context.commit_once_blocking(&path, "x"), expected);
    }
    let in_time = TaskContext {
        deadline: Some(after(Instant::now(), Duration::from_mins(1))),
        ..context()
    };
    // A future that is dropped before it was polled, or while its thread has not begun, commits nothing or all.
    drop(in_time.commit_once(&path, "x"));
    assert!(scratch.names().is_empty());
    let committed = in_time.commit_once(&path, "x").await;
    assert_eq!(committed, Ok(Committed::Written));
}

#[test]
fn a_cancellation_between_the_write_and_the_link_leaves_nothing() {
    let scratch = Scratch::new();
    let looks = AtomicU32::new(0);
    let permitted = || {
        let first = looks.fetch_add(1, Ordering::Relaxed) == 0;
        let found = scratch.names();
        assert_eq!(found.len(), usize::from(!first), "{found:?}");
        first
    };
    let (path, temporary) = (scratch.path("a.csv"), TemporaryName::of(&context()));
    let committed = commit(&path, &temporary, b"x", &permitted, &Naming::SYSTEM);
    assert!(matches!(committed, Err(CommitError::Cancelled { .. })));
    assert_eq!(looks.load(Ordering::Relaxed), 2);
    assert!(scratch.names().is_empty());
}

#[test]
fn an_output_that_is_there_is_found_unless_the_call_is_forced() {
    let scratch = Scratch::new();
    let path = scratch.path("a.csv").display().to_string();
    let there = |context: &TaskContext| output_is_there_blocking(context, path.clone()).unwrap();
    let first = context();
    assert_eq!(first.output(), Err(CommitError::NoOutput));
    assert!(!there(&first));
    assert_eq!(first.output(), Ok(&*path));
    fs::write(&path, "x").unwrap();
    assert!(there(&context()));
    let mut forced = context();
    forced.skip.forced = true;
    assert!(forced.is_forced() && !there(&forced));
    assert_eq!(forced.output(), Ok(&*path));
}

#[tokio::test]
async fn an_output_that_cannot_be_looked_at_fails_the_attempt() {
    for url in ["ftp://host/a", "file://host/a"] {
        let blocking = output_is_there_blocking(&context(), url.to_owned());
        let failure = output_is_there(&context(), url.to_owned())
            .await
            .unwrap_err();
        assert_eq!(blocking.unwrap_err().message, failure.message);
        assert!(failure.message.contains(url), "{failure}");
    }
}
