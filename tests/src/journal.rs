//! What ran, told across processes: a file to which tasks append lines.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::scratch::Scratch;

/// A file that tasks write to and a test reads.
#[derive(Debug)]
pub struct Journal {
    scratch: Scratch,
}

impl Journal {
    /// An empty journal in a directory of its own.
    ///
    /// # Panics
    /// When the directory cannot be made.
    #[must_use]
    pub fn new() -> Self {
        Self {
            scratch: Scratch::new(),
        }
    }

    /// The file, for tasks.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.scratch.path().join("journal")
    }

    /// The lines so far, in the order in which they were written.
    ///
    /// # Panics
    /// When the file cannot be read.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        match std::fs::read_to_string(self.path()) {
            Ok(text) => text.lines().map(ToOwned::to_owned).collect(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => panic!("the journal cannot be read: {error}"),
        }
    }

    /// The lines without repetitions, sorted.
    ///
    /// # Panics
    /// When the file cannot be read.
    #[must_use]
    pub fn distinct(&self) -> Vec<String> {
        let mut lines = self.lines();
        lines.sort();
        lines.dedup();
        lines
    }
}

impl Default for Journal {
    fn default() -> Self {
        Self::new()
    }
}

/// Appends a line in one write, so that lines of several processes do not mix.
///
/// # Errors
/// When the file cannot be written.
pub fn note(journal: &Path, line: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(journal)?;
    file.write_all(format!("{line}\n").as_bytes())
}
