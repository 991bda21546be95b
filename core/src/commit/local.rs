//! Commits to a file system: a temporary file, which gets the final name only where no file has it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::task::TaskContext;

use super::{CommitError, Committed};

/// How many names of a temporary file are tried: each may be left of an execution that was killed.
const NAMES: usize = 256;

/// How a file gets its final name: calls of the system, and others in tests.
#[derive(Clone, Copy)]
pub(super) struct Naming {
    /// Gives a file a second name; fails where that is taken.
    pub(super) link: fn(&Path, &Path) -> io::Result<()>,
    /// Renames a file; fails where the new name is taken.
    pub(super) rename_new: fn(&Path, &Path) -> io::Result<()>,
}

impl Naming {
    pub(super) const SYSTEM: Self = Self {
        link: |from, to| fs::hard_link(from, to),
        rename_new,
    };
}

/// What the names of an attempt's temporary files begin with: unique by run, task and execution.
#[derive(Clone, Debug)]
pub(super) struct TemporaryName(String);

impl TemporaryName {
    pub(super) fn of(context: &TaskContext) -> Self {
        let (run, task) = (context.run(), context.task().0);
        let execution = context.execution();
        let (worker, number) = (execution.worker, execution.number);
        Self(format!(".podpool-{run}-{task}-{worker}-{number}-"))
    }

    /// A name that this process has not used before: a task may commit several outputs to one directory at once.
    pub(super) fn next(&self) -> String {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        format!("{}{count}.tmp", self.0)
    }
}

/// Commits `bytes` to `path`, as long as `permitted` is true.
pub(super) fn commit(
    path: &Path,
    temporary: &TemporaryName,
    bytes: &[u8],
    permitted: &dyn Fn() -> bool,
    naming: &Naming,
) -> Result<Committed, CommitError> {
    let place = Place::of(path)?;
    place.check(permitted)?;
    let committed = if place.is_taken()? {
        Committed::AlreadyCommitted
    } else {
        let file = place.write(temporary, bytes)?;
        // The last look: whoever cancelled the attempt before it finds no output of the attempt.
        place.check(permitted)?;
        place.name(&file.0, naming)?
    };
    // Also where another attempt gave the name: it may have been killed before this step.
    place.synchronise()?;
    Ok(committed)
}

/// The place of an output.
struct Place<'p> {
    path: &'p Path,
    directory: &'p Path,
}

/// A temporary file, removed at the end of this value.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // It may be gone by a rename. An error leaves a file that is recognised by its name.
        fs::remove_file(&self.0).ok();
    }
}

impl<'p> Place<'p> {
    fn of(path: &'p Path) -> Result<Self, CommitError> {
        let parent = path.file_name().and_then(|_| path.parent());
        let directory = parent.ok_or_else(|| {
            CommitError::refused(
                path.display().to_string(),
                "the path ends with no name of a file",
                "give the path of a file",
            )
        })?;
        Ok(Self {
            path,
            directory: non_empty(directory),
        })
    }

    fn shown(&self) -> String {
        self.path.display().to_string()
    }

    fn check(&self, permitted: &dyn Fn() -> bool) -> Result<(), CommitError> {
        if permitted() {
            return Ok(());
        }
        Err(CommitError::Cancelled { path: self.shown() })
    }

    /// A refusal of the file system, by what it refused.
    fn refused(&self, what: &str) -> impl Fn(io::Error) -> CommitError {
        let (path, directory) = (self.shown(), self.directory.display().to_string());
        move |error| {
            let advice = match error.kind() {
                ErrorKind::PermissionDenied => {
                    format!("look at the owner and the mode of {directory}")
                }
                ErrorKind::ReadOnlyFilesystem => "give a path that can be written".to_owned(),
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                    format!("make room on the file system of {directory}")
                }
                _ => format!("look at {directory} and its file system"),
            };
            CommitError::refused(path.clone(), format!("{what}: {error}"), advice)
        }
    }

    /// Whether an output is there.
    fn is_taken(&self) -> Result<bool, CommitError> {
        // Whatever keeps the path from being read is met again, and named, when something is made there.
        let Ok(found) = fs::symlink_metadata(self.path) else {
            return Ok(false);
        };
        let reached = fs::metadata(self.path);
        let what = match &reached {
            Ok(reached) if reached.is_dir() => "a directory has this name",
            // The name is taken, so that nothing can be put there, and there is nothing behind it.
            Err(_) if found.is_symlink() => "a symbolic link without a target has this name",
            _ => return Ok(true),
        };
        let advice = "remove it, or give another path";
        Err(CommitError::refused(self.shown(), what, advice))
    }

    /// Writes a temporary file beside the final name, to the disk.
    fn write(&self, temporary: &TemporaryName, bytes: &[u8]) -> Result<Temporary, CommitError> {
        create_directories(self.directory).map_err(self.refused("its directory cannot be made"))?;
        let refused = self.refused("it cannot be written");
        let (file, mut opened) = self.open(temporary).map_err(&refused)?;
        opened.write_all(bytes).map_err(&refused)?;
        // Before it gets its name: after a loss of power a file of that name must not be empty.
        opened.sync_all().map_err(&refused)?;
        Ok(file)
    }

    fn open(&self, temporary: &TemporaryName) -> io::Result<(Temporary, File)> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        let mut attempts = 0;
        loop {
            let path = self.directory.join(temporary.next());
            match options.open(&path) {
                Ok(file) => return Ok((Temporary(path), file)),
                // A killed process of the same execution has left it.
                Err(error) if error.kind() == ErrorKind::AlreadyExists && attempts < NAMES => {
                    attempts += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Gives the temporary file the final name, unless that is taken.
    fn name(&self, temporary: &Path, naming: &Naming) -> Result<Committed, CommitError> {
        // Never a plain rename: it replaces what is there.
        let named = match (naming.link)(temporary, self.path) {
            Err(error) if is_unsupported(&error) => {
                (naming.rename_new)(temporary, self.path).map_err(|error| {
                    if is_unsupported(&error) {
                        let what = "its file system has neither hard links nor a rename that replaces nothing";
                        io::Error::new(ErrorKind::Unsupported, format!("{what} ({error})"))
                    } else {
                        error
                    }
                })
            }
            named => named,
        };
        match named {
            Ok(()) => Ok(Committed::Written),
            // NFS may carry out a call twice, where the first answer was lost: the name is then the attempt's own.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                if is_same(temporary, self.path) {
                    return Ok(Committed::Written);
                }
                if self.is_taken()? {
                    return Ok(Committed::AlreadyCommitted);
                }
                let removed = "another file had this name, and was removed meanwhile";
                let advice = "let one task alone use the path, and let it run again";
                Err(CommitError::refused(self.shown(), removed, advice))
            }
            Err(error) => Err(self.refused("it cannot get its name")(error)),
        }
    }

    /// Brings the name to the disk.
    fn synchronise(&self) -> Result<(), CommitError> {
        synchronise(self.directory).map_err(|error| {
            let directory = self.directory.display();
            let reason = format!(
                "it is in its place, but {directory} cannot be synchronised with the disk: {error}"
            );
            CommitError::unsure(self.shown(), reason)
        })
    }
}

/// A directory; that of a bare name is the current one.
fn non_empty(directory: &Path) -> &Path {
    if directory.as_os_str().is_empty() {
        Path::new(".")
    } else {
        directory
    }
}

/// Makes a directory with all that is above it, on the disk.
fn create_directories(directory: &Path) -> io::Result<()> {
    let is_missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
    let missing: Vec<_> = directory.ancestors().take_while(is_missing).collect();
    if missing.is_empty() {
        return Ok(());
    }
    fs::create_dir_all(directory)?;
    // A new directory is an entry of the one above it.
    for made in missing {
        made.parent().map(non_empty).map_or(Ok(()), synchronise)?;
    }
    Ok(())
}

/// Brings the entries of a directory to the disk.
#[cfg(unix)]
fn synchronise(directory: &Path) -> io::Result<()> {
    use rustix::io::Errno;

    // Some file systems have no such call for a directory, and a directory may be writable and not readable: then
    // nothing can be done.
    const IMPOSSIBLE: [Errno; 5] = [
        Errno::INVAL,
        Errno::NOTSUP,
        Errno::NOSYS,
        Errno::ACCESS,
        Errno::BADF,
    ];
    let synchronised = File::open(directory).and_then(|directory| directory.sync_all());
    synchronised.or_else(|error| match Errno::from_io_error(&error) {
        Some(errno) if IMPOSSIBLE.contains(&errno) => Ok(()),
        _ => Err(error),
    })
}

/// Other systems have no such call.
#[cfg(not(unix))]
fn synchronise(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Whether the file system does not have what was asked of it.
#[cfg(unix)]
fn is_unsupported(error: &io::Error) -> bool {
    use rustix::io::Errno;

    // EPERM is Linux's answer for a file system without hard links; EINVAL that to a flag of a rename.
    // <https://man7.org/linux/man-pages/man2/link.2.html>, <https://man7.org/linux/man-pages/man2/rename.2.html>
    const MISSING: [Errno; 6] = [
        Errno::PERM,
        Errno::NOTSUP,
        Errno::OPNOTSUPP,
        Errno::NOSYS,
        Errno::INVAL,
        Errno::MLINK,
    ];
    error.kind() == ErrorKind::Unsupported
        || Errno::from_io_error(error).is_some_and(|errno| MISSING.contains(&errno))
}

#[cfg(not(unix))]
fn is_unsupported(error: &io::Error) -> bool {
    error.kind() == ErrorKind::Unsupported
}

/// Whether two names are one file's.
#[cfg(unix)]
fn is_same(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;

    let identity = |path| fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()));
    match (identity(one), identity(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_same(_: &Path, _: &Path) -> bool {
    false
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};

    Ok(renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?)
}

/// Other systems rename over what is there.
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn rename_new(_: &Path, _: &Path) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}
