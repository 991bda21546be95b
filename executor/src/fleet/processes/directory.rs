//! The run directory of worker processes, which has the files of a pod's Secret.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use podpool_core::id::RunId;

use crate::fleet::RunFiles;

/// A directory with `descriptor` and `key`, which this user alone may read. It is removed when this value is dropped.
#[derive(Debug)]
pub(super) struct RunDirectory(PathBuf);

impl RunDirectory {
    /// Makes it, below the system's directory of temporary files. No other run has this run's id, but two masters of the
    /// run may be on one machine for a moment.
    pub(super) fn make(run: &RunId, files: &RunFiles) -> io::Result<Self> {
        let name = format!("podpool-run-{run}-{:08x}", fastrand::u32(..));
        let path = std::env::temp_dir().join(name);
        // `create` fails where the path exists, so no other user can prepare the directory, also not as a symbolic
        // link. The mode is set with the creation: the directory is never open to others.
        // <https://man7.org/linux/man-pages/man2/mkdir.2.html>
        DirBuilder::new().mode(0o700).create(&path)?;
        // From here on a failure drops `made`, which removes the directory.
        let made = Self(path);
        made.write("descriptor", &files.descriptor)?;
        made.write("key", &files.key)?;
        Ok(made)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let options = options.write(true).create_new(true).mode(0o600);
        options.open(self.0.join(name))?.write_all(bytes)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The file into which this worker writes why it ends.
    pub(super) fn termination_message(&self, worker: &str) -> PathBuf {
        self.0.join(format!("{worker}.end"))
    }

    /// The reason that this worker wrote when it ended. None where it wrote nothing, as after a kill, or at a second call.
    pub(super) fn take_reason(&self, worker: &str) -> Option<String> {
        let path = self.termination_message(worker);
        let written = fs::read(&path).ok()?;
        // A pool may start thousands of workers one after another. What cannot be removed goes with the directory.
        fs::remove_file(&path).ok();
        let reason = String::from_utf8_lossy(&written).trim().to_owned();
        (!reason.is_empty()).then_some(reason)
    }
}

impl Drop for RunDirectory {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, path = %self.0.display(), "a run directory is left behind");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_directory_is_private_and_removed_on_drop() {
        let files = RunFiles {
            descriptor: b"it".to_vec(),
            key: [7; 32],
        };
        let made = RunDirectory::make(&RunId::random(), &files).unwrap();
        let path = made.path().to_owned();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join("key")), 0o600);
        assert_eq!(fs::read(path.join("key")).unwrap(), [7; 32]);
        drop(made);
        assert!(!path.exists());
    }

    #[test]
    fn the_reason_of_a_worker_is_read_once() {
        let files = RunFiles {
            descriptor: Vec::new(),
            key: [7; 32],
        };
        let made = RunDirectory::make(&RunId::random(), &files).unwrap();
        assert_eq!(made.take_reason("worker-0"), None);
        fs::write(made.termination_message("worker-0"), "no licence\n").unwrap();
        fs::write(made.termination_message("worker-1"), "").unwrap();
        assert_eq!(made.take_reason("worker-0").as_deref(), Some("no licence"));
        assert_eq!(made.take_reason("worker-0"), None);
        assert_eq!(made.take_reason("worker-1"), None);
    }
}
