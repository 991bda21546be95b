//! The encoded arguments of a call, from their encoding to the end of the task.
//!
//! Long ones are encoded behind room for all that a batch puts before them. The first batch of the task is then
//! made where they lie, and the task keeps a slice of it: they are never copied.

use std::fmt;
use std::io;
use std::ops::Deref;

use bytes::Bytes;
use serde::Serialize;

use crate::blocks;
use crate::codec::{self, CodecError};
use crate::id::{Attempt, TaskId};

use super::entry::{TASK_HEAD, task_head_bytes};
use super::{Body, GAP, MacKey};

/// Arguments past this many bytes count as long: they travel alone.
// The size from which a task travels alone (`ALONE_BYTES` in the master's outbox): only such a batch can be made where
// the arguments lie.
const LONG: usize = 64 << 10;
/// Before long arguments: a message's header, an entry's head and some options.
const ROOM: usize = GAP + 512;
/// Behind long arguments: a MAC, or a few short arguments after the long one.
// A MAC takes 32 bytes. Without room for it the vector would grow, and copy what this is meant not to copy.
const TAIL: usize = 512;

/// Encoded arguments; they are read as the slice that they are.
#[derive(Default)]
pub struct Arguments(Form);

enum Form {
    Short(Box<[u8]>),
    /// In a box of its own, so that the many tasks with short arguments pay nothing for it.
    Long(Box<Long>),
}

enum Long {
    /// Behind [`ROOM`] bytes.
    Unsent(Vec<u8>),
    /// Where a message holds them.
    Sent(Bytes),
}

impl Default for Form {
    fn default() -> Self {
        Self::Short(Box::default())
    }
}

impl Arguments {
    /// Encodes `arguments`, a tuple.
    ///
    /// # Errors
    /// [`CodecError::Encode`] when the `Serialize` of one refuses.
    pub fn encode<A: Serialize>(arguments: &A) -> Result<Self, CodecError> {
        let mut draft = Draft::default();
        codec::write(arguments, &mut draft)?;
        Ok(draft.finish())
    }

    /// The entries of a batch of this task alone, which take the memory of long arguments. `None` for short ones,
    /// for those that were sent before, and for options that find no room: these are copied with
    /// [`put_task`](super::entry::put_task). Who got a body must [take the arguments back](Self::take_back).
    // Paid for by the scoreboard's row `bytes`: 0.7 to 1.0 of a bare pool's rate with lending, 0.5 to 0.6 with a copy.
    pub fn lend(
        &mut self,
        task: TaskId,
        attempt: Attempt,
        task_type: u16,
        options: &[u8],
    ) -> Option<Body> {
        let Form::Long(long) = &mut self.0 else {
            return None;
        };
        let Long::Unsent(bytes) = long.as_mut() else {
            return None;
        };
        // Head and options end where the arguments begin, and `GAP` bytes stay before them for the header. Options that
        // are too long leave the arguments as they are.
        let start = (ROOM - GAP).checked_sub(TASK_HEAD + options.len())? + GAP;
        let length = bytes.len() - ROOM;
        let head = task_head_bytes(task, attempt, task_type, options.len(), length).ok()?;
        let mut bytes = std::mem::take(bytes);
        bytes[start..start + TASK_HEAD].copy_from_slice(&head);
        bytes[start + TASK_HEAD..ROOM].copy_from_slice(options);
        // Empty until `take_back`: between the two calls the memory belongs to the message.
        **long = Long::Sent(Bytes::new());
        Some(Body::over(bytes, start))
    }

    /// Keeps the part of `message` that holds the arguments: the last `length` bytes before its MAC.
    pub fn take_back(&mut self, message: &Bytes, length: usize, mac_key: &MacKey) {
        let end = message.len() - mac_key.length();
        let arguments = message.slice(end - length..end);
        self.0 = Form::Long(Box::new(Long::Sent(arguments)));
    }
}

impl Deref for Arguments {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Form::Short(bytes) => bytes,
            Form::Long(long) => match long.as_ref() {
                Long::Unsent(bytes) => &bytes[ROOM..],
                Long::Sent(bytes) => bytes,
            },
        }
    }
}

/// What was encoded before.
impl From<Vec<u8>> for Arguments {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Form::Short(bytes.into_boxed_slice()))
    }
}

impl From<Arguments> for Bytes {
    fn from(arguments: Arguments) -> Self {
        match arguments.0 {
            Form::Short(bytes) => bytes.into(),
            Form::Long(long) => match *long {
                Long::Unsent(bytes) => blocks::share(bytes).slice(ROOM..),
                Long::Sent(bytes) => bytes,
            },
        }
    }
}

impl fmt::Debug for Arguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Arguments({} bytes)", self.len())
    }
}

/// Arguments that are being encoded. How long they are shows on the way.
#[derive(Default)]
struct Draft {
    bytes: Vec<u8>,
    /// Whether `bytes` begins with [`ROOM`] bytes.
    long: bool,
}

impl Draft {
    /// Makes room before what was written, now that it becomes long; `more` bytes follow at least.
    #[cold]
    fn make_room(&mut self, more: usize) {
        let short = std::mem::take(&mut self.bytes);
        self.bytes = blocks::with_capacity(ROOM + short.len() + more + TAIL);
        self.bytes.resize(ROOM, 0);
        self.bytes.extend_from_slice(&short);
        self.long = true;
    }

    fn finish(mut self) -> Arguments {
        Arguments(if self.long {
            // What grew by doubling may hold twice what it needs. A quarter of waste is left: the arguments stay in
            // memory until the task ends, but a shrink copies them.
            if self.bytes.capacity() > self.bytes.len() / 4 * 5 {
                self.bytes.shrink_to(self.bytes.len() + TAIL);
            }
            Form::Long(Box::new(Long::Unsent(self.bytes)))
        } else {
            Form::Short(self.bytes.into_boxed_slice())
        })
    }
}

impl io::Write for Draft {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        // Once in the life of a value: short arguments pay one comparison for each write.
        if !self.long && self.bytes.len() + bytes.len() > LONG {
            self.make_room(bytes.len());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
