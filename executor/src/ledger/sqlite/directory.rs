//! The ledger's directory: the names of its files, and what is done to files as a whole.
//!
//! No file of SQLite is opened here: when a process closes any descriptor of a file, it loses all locks that it has on
//! it, also those of a connection. <https://sqlite.org/howtocorrupt.html>

use std::fmt;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use podpool_core::id::RunId;
use podpool_core::ledger::LedgerError;

use super::fault::system;
use super::{holder, network};

/// What the name of a run's file ends with.
const RUN: &str = ".sqlite";
/// The index. A run's id has no `_`, so no run has this file.
const INDEX: &str = "_index.sqlite";
/// What the names of the lock files of a run's masters end with.
const LOCK: &str = ".lock";
/// What SQLite puts behind a file's name, for the files that belong to it.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];
/// Most files of one name that are set aside.
const ASIDE: u32 = 1_000;

/// The directory.
#[derive(Clone, Debug)]
pub(super) struct Directory(Arc<Path>);

impl fmt::Display for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

impl Directory {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path.into())
    }

    pub(super) fn index(&self) -> PathBuf {
        self.0.join(INDEX)
    }

    pub(super) fn run(&self, run: &RunId) -> PathBuf {
        self.0.join(format!("{run}{RUN}"))
    }

    pub(super) fn lock(&self, run: &RunId, epoch: u64) -> PathBuf {
        self.0.join(format!("{run}.{epoch}{LOCK}"))
    }

    /// Makes the directory where there is none, open to this user alone.
    pub(super) fn make(&self) -> Result<(), LedgerError> {
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        match builder.create(&*self.0) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(self.unsuitable(
                "it is not a directory; name a directory, or a path at which nothing is yet",
            )),
            made => made.map_err(|error| system(format!("make the directory {self}"), error)),
        }?;
        self.check()
    }

    /// Refuses a directory that is on a network file system. One that does not exist holds nothing.
    pub(super) fn check(&self) -> Result<(), LedgerError> {
        match network::file_system(&self.0) {
            Ok(None) => Ok(()),
            Ok(Some(name)) => Err(self.unsuitable(&format!(
                "it is on {name}, a network file system, where two processes do not see each other's locks reliably; \
                 use a directory on a local disk"
            ))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(system(format!("look at the directory {self}"), error)),
        }
    }

    fn unsuitable(&self, reason: &str) -> LedgerError {
        LedgerError::Unsuitable {
            what: self.to_string(),
            reason: reason.to_owned(),
        }
    }

    /// The names of its files; none where there is no directory.
    pub(super) fn names(&self) -> Result<Vec<String>, LedgerError> {
        let failed = |error| system(format!("list the directory {self}"), error);
        let entries = match fs::read_dir(&*self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            // What is no Unicode is no file of a ledger.
            names.extend(entry.map_err(failed)?.file_name().into_string());
        }
        Ok(names)
    }

    /// When the file of a run was written last; long ago where that is not known.
    pub(super) fn modified(&self, run: &RunId) -> SystemTime {
        let modified = fs::metadata(self.run(run)).and_then(|it| it.modified());
        modified.unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// When something was stored of a run last; long ago where that is not known.
    pub(super) fn written(&self, run: &RunId) -> SystemTime {
        let wal = fs::metadata(beside(&self.run(run), BESIDE[0])).and_then(|it| it.modified());
        let wal = wal.unwrap_or(SystemTime::UNIX_EPOCH);
        wal.max(self.modified(run))
    }

    /// Sets a damaged run aside, so that nothing overwrites it, and tells what became of it, as the end of a sentence.
    pub(super) fn set_aside(&self, run: &RunId) -> String {
        let locks = self.locks(run);
        if locks
            .iter()
            .any(|lock| holder::is_held(lock).unwrap_or(true))
        {
            return "; a master has it open, so it stays where it is: stop that process first"
                .to_owned();
        }
        let path = self.run(run);
        match rename_aside(&path) {
            Ok(aside) => {
                remove_all(&locks);
                format!(
                    ". It was set aside as {}; the next start of its name makes a fresh run",
                    aside.display()
                )
            }
            Err(error) => format!(". It cannot be set aside: {error}"),
        }
    }

    /// The lock files of a run's masters.
    fn locks(&self, run: &RunId) -> Vec<PathBuf> {
        let names = self.names().unwrap_or_default();
        let of_run = names.iter().filter(|name| {
            let rest = name.strip_prefix(run.as_str());
            let epoch = rest.and_then(|rest| rest.strip_prefix('.')?.strip_suffix(LOCK));
            epoch.is_some_and(|epoch| epoch.parse::<u64>().is_ok())
        });
        of_run.map(|name| self.0.join(name)).collect()
    }

    /// Removes the lock files of a run that is deleted.
    pub(super) fn remove_locks(&self, run: &RunId) {
        remove_all(&self.locks(run));
    }

    /// Removes the lock files of masters up to this epoch. One that is left does no harm.
    pub(super) fn remove_locks_up_to(&self, run: &RunId, epoch: u64) {
        // Each master removes those before it, so there is one, or two where a master was killed meanwhile.
        let older = (1..=epoch).rev();
        for path in older.map(|epoch| self.lock(run, epoch)) {
            if fs::remove_file(path).is_err() {
                break;
            }
        }
    }
}

/// The run that a file is of, by its name.
pub(super) fn run_of(name: &str) -> Option<RunId> {
    RunId::new(name.strip_suffix(RUN)?).ok()
}

/// The run and the epoch of a lock file, by its name.
pub(super) fn lock_of(name: &str) -> Option<(RunId, u64)> {
    let (run, epoch) = name.strip_suffix(LOCK)?.rsplit_once('.')?;
    Some((RunId::new(run).ok()?, epoch.parse().ok()?))
}

pub(super) fn exists(path: &Path) -> Result<bool, LedgerError> {
    let exists = path.try_exists();
    exists.map_err(|error| system(format!("look for {}", path.display()), error))
}

/// Makes an empty file that this user alone may read; SQLite gives the files beside it the same mode.
pub(super) fn make_file(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(end);
    path.into()
}

/// Renames a file, and what belongs to it, to the first name that is free.
pub(super) fn rename_aside(path: &Path) -> io::Result<PathBuf> {
    for number in 1..ASIDE {
        let aside = beside(path, &format!(".damaged-{number}"));
        if aside.try_exists()? {
            continue;
        }
        fs::rename(path, &aside)?;
        for end in BESIDE {
            // Where there is none there is nothing to rename.
            fs::rename(beside(path, end), beside(&aside, end)).ok();
        }
        return Ok(aside);
    }
    Err(io::Error::other(
        "too many files of this name were set aside; remove some",
    ))
}

/// Removes a run's file. What cannot be removed is marked as deleted, or empty, and is no run any more.
pub(super) fn remove_run(path: &Path) {
    // The file itself first: without the files beside it, it would be an older state of the run.
    remove_all(&[path.to_owned()]);
    remove_all(&BESIDE.map(|end| beside(path, end)));
}

fn remove_all(paths: &[PathBuf]) {
    for path in paths {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, path = %path.display(), "a file of the ledger is left behind");
            }
            _ => {}
        }
    }
}
