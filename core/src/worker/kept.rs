//! A printed line that is kept for another thread.

use crate::id::{Attempt, TaskId};
use crate::slot::{SlotId, Stream};

use super::printed::OutputLine;

/// An [`OutputLine`] that owns its text.
#[derive(Clone, Debug)]
pub struct KeptLine {
    worker: Option<String>,
    slot: Option<SlotId>,
    task: Option<(TaskId, Attempt)>,
    name: Option<Box<str>>,
    key: Option<Box<str>>,
    stream: Stream,
    line: String,
}

impl KeptLine {
    /// A line of the library itself, on standard error: no task printed it.
    #[must_use]
    pub const fn notice(text: String) -> Self {
        Self {
            worker: None,
            slot: None,
            task: None,
            name: None,
            key: None,
            stream: Stream::Stderr,
            line: text,
        }
    }

    /// The line, as a sink takes it.
    #[must_use]
    pub fn line(&self) -> OutputLine<'_> {
        OutputLine {
            worker: self.worker.as_deref(),
            slot: self.slot,
            task: self.task,
            name: self.name.as_deref(),
            key: self.key.as_deref(),
            stream: self.stream,
            line: &self.line,
        }
    }

    /// Bytes of memory that it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let name = self.name.as_deref().map_or(0, str::len);
        let key = self.key.as_deref().map_or(0, str::len);
        let worker = self.worker.as_ref().map_or(0, String::capacity);
        size_of::<Self>() + self.line.capacity() + worker + name + key
    }
}

impl From<OutputLine<'_>> for KeptLine {
    fn from(line: OutputLine<'_>) -> Self {
        Self {
            worker: line.worker.map(ToOwned::to_owned),
            slot: line.slot,
            task: line.task,
            name: line.name.map(Into::into),
            key: line.key.map(Into::into),
            stream: line.stream,
            line: line.line.to_owned(),
        }
    }
}
