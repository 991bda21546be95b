//! The files of a queue: a message is written in one directory and renamed into another, from which it can be taken; a
//! taker renames it again. Of several takers the file system lets one succeed.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

/// The directories of messages that are written, that can be taken, and that are leased.
// All three are in one directory, because a rename is atomic only within one file system.
// <https://man7.org/linux/man-pages/man2/rename.2.html>
const PARTS: [&str; 3] = ["writing", "ready", "leased"];
/// The separator between a message's name and the unique part of its lease.
const LEASE: char = '~';

/// The directory of one queue.
#[derive(Clone, Debug)]
pub(super) struct Files(PathBuf);

impl Files {
    pub(super) fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Makes the directories that are missing.
    pub(super) fn make(&self) -> io::Result<()> {
        PARTS
            .iter()
            .try_for_each(|part| fs::create_dir_all(self.0.join(part)))
    }

    pub(super) fn are_there(&self) -> bool {
        PARTS.iter().all(|part| self.0.join(part).is_dir())
    }

    pub(super) fn put(&self, body: &[u8]) -> io::Result<()> {
        let name = unique();
        let [writing, ready] = [PARTS[0], PARTS[1]].map(|part| self.0.join(part).join(&name));
        fs::write(&writing, body)?;
        fs::rename(&writing, ready)
    }

    /// The names of the messages that can be taken, the oldest first.
    pub(super) fn waiting(&self) -> io::Result<Vec<String>> {
        let mut names = names(&self.ready())?;
        names.sort_unstable();
        Ok(names)
    }

    /// Leases a message by its name; None where another taker was first. The time of modification of the file is the
    /// end of the lease, so that a lease can be renewed without a new name. That time is set before the file is a
    /// lease, or another process could take the lease for one that is over.
    pub(super) fn lease(&self, name: &str, time: Duration) -> io::Result<Option<(String, Bytes)>> {
        let ready = self.ready().join(name);
        let opened = OpenOptions::new().read(true).write(true).open(&ready);
        let Some(mut file) = present(opened)? else {
            return Ok(None);
        };
        let mut body = Vec::new();
        file.read_to_end(&mut body)?;
        file.set_modified(now() + time)?;
        let lease = format!("{name}{LEASE}{}", unique());
        let leased = present(fs::rename(ready, self.leased(&lease)))?;
        Ok(leased.map(|()| (lease, body.into())))
    }

    /// Renews a lease; false where it is lost.
    pub(super) fn renew(&self, lease: &str, time: Duration) -> io::Result<bool> {
        let opened = OpenOptions::new().write(true).open(self.leased(lease));
        let Some(file) = present(opened)? else {
            return Ok(false);
        };
        file.set_modified(now() + time)?;
        Ok(true)
    }

    /// Removes a leased message; false where the lease is lost.
    pub(super) fn remove(&self, lease: &str) -> io::Result<bool> {
        Ok(present(fs::remove_file(self.leased(lease)))?.is_some())
    }

    /// Gives a leased message back; false where the lease is lost.
    pub(super) fn give_back(&self, lease: &str) -> io::Result<bool> {
        let (name, _) = lease.split_once(LEASE).unwrap_or((lease, ""));
        let given = fs::rename(self.leased(lease), self.ready().join(name));
        Ok(present(given)?.is_some())
    }

    /// Gives back messages whose leases are over.
    // Two processes may find the same lease: one rename succeeds, and the other finds no file, which is no error.
    pub(super) fn give_back_expired(&self) -> io::Result<()> {
        for lease in names(&self.0.join(PARTS[2]))? {
            let ends = fs::metadata(self.leased(&lease)).and_then(|file| file.modified());
            if present(ends)?.is_some_and(|ends| ends < now()) {
                self.give_back(&lease)?;
            }
        }
        Ok(())
    }

    fn ready(&self) -> PathBuf {
        self.0.join(PARTS[1])
    }

    fn leased(&self, lease: &str) -> PathBuf {
        self.0.join(PARTS[2]).join(lease)
    }
}

/// The names in a directory.
pub(super) fn names(directory: &Path) -> io::Result<Vec<String>> {
    let name = |entry: io::Result<fs::DirEntry>| {
        let name = entry?.file_name();
        Ok(name.to_str().map(ToOwned::to_owned))
    };
    fs::read_dir(directory)?
        .map(name)
        .filter_map(Result::transpose)
        .collect()
}

/// None where the file does not exist.
pub(super) fn present<T>(answer: io::Result<T>) -> io::Result<Option<T>> {
    match answer {
        Ok(it) => Ok(Some(it)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A name that is unique on this machine, and that sorts by the time at which it was made.
fn unique() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let since = now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{:020}-{count:010}-{}", since.as_nanos(), process::id())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the processes of one machine have its clock in common, and leases end by it"
)]
fn now() -> SystemTime {
    SystemTime::now()
}

/// The last part of a path, for people.
pub(super) fn last(path: &Path) -> String {
    let name = path.file_name().unwrap_or_else(|| OsStr::new("?"));
    name.to_string_lossy().into_owned()
}
