//! What happened in a simulation, line by line.

use std::fmt;
use std::hash::{DefaultHasher, Hasher};
use std::time::Duration;

/// The lines of a run: kept where they are printed, always part of the digest.
#[derive(Debug)]
pub(super) struct Trace {
    kept: Option<Vec<String>>,
    // Its keys are fixed, so that a digest is the same in every process.
    digest: DefaultHasher,
    line: String,
}

impl Trace {
    pub(super) fn new(keep: bool) -> Self {
        Self {
            kept: keep.then(Vec::new),
            digest: DefaultHasher::new(),
            line: String::new(),
        }
    }

    /// Something happened at this time of the run.
    pub(super) fn note(&mut self, at: Duration, what: fmt::Arguments<'_>) {
        self.line.clear();
        // A string takes whatever is written to it.
        fmt::Write::write_fmt(
            &mut self.line,
            format_args!("{:>12} {what}", at.as_micros()),
        )
        .ok();
        self.digest.write(self.line.as_bytes());
        if let Some(kept) = &mut self.kept {
            kept.push(self.line.clone());
        }
    }

    pub(super) fn digest(&self) -> u64 {
        self.digest.finish()
    }

    pub(super) fn lines(&self) -> &[String] {
        self.kept.as_deref().unwrap_or_default()
    }
}
