//! Writing and reading a whole message.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::blocks;
use crate::codec;
use crate::id::RunId;

use super::{Alive, Batch, Control, Hello, MacKey, Printed, Reference, Results, Started, VERSION};

/// Bytes before the header.
// Version, type, MAC tag, one byte of 0, and the header's length: a reader can place the body before it decodes
// anything.
pub(super) const PREFIX: usize = 8;

/// The second byte of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Batch = 1,
    Results = 2,
    Started = 3,
    Hello = 4,
    Alive = 5,
    Control = 6,
    Reference = 7,
    Printed = 8,
}

/// A message that was read and whose MAC is valid.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message {
    /// Tasks, with their entries.
    Batch(Batch, Bytes),
    /// Results, with their entries.
    Results(Results, Bytes),
    /// A batch was taken.
    Started(Started),
    /// A worker's greeting.
    Hello(Hello),
    /// A worker's heartbeat.
    Alive(Alive),
    /// The master's state.
    Control(Control),
    /// A message whose large payloads lie elsewhere, with its shell.
    Reference(Reference, Bytes),
    /// Lines that tasks printed.
    Printed(Printed),
}

/// Why bytes are not a message of this run. It names no task: what carries a wrong MAC proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// It ends before it should.
    #[error("the message is cut short")]
    Truncated,
    /// Another version wrote it.
    #[error(
        "the message has wire version {0}, this program reads version {VERSION}; build both from the same release"
    )]
    Version(u8),
    /// The MAC is missing or does not fit.
    #[error("the message's MAC is not this run's")]
    Mac,
    /// A field is longer than its length field can hold.
    #[error("{0} bytes do not fit one entry")]
    TooLong(usize),
    /// It has a valid MAC and cannot be read all the same.
    #[error("the message cannot be read: {0}")]
    Unreadable(String),
}

pub(super) fn write<H: Serialize>(
    kind: Type,
    header: &H,
    entries: &[u8],
    mac_key: &MacKey,
) -> Bytes {
    // Headers are short but for a Started of thousands of tasks, which grows the vector once.
    let mut message = Vec::with_capacity(PREFIX + 128 + entries.len() + mac_key.length());
    message.extend_from_slice(&[VERSION, kind as u8, mac_key.tag(), 0, 0, 0, 0, 0]);
    if codec::encode_into(header, &mut message).is_err() {
        // Headers are made of numbers and strings, which always encode.
        message.truncate(PREFIX);
    }
    let header = u32::try_from(message.len() - PREFIX).unwrap_or(u32::MAX);
    message[4..8].copy_from_slice(&header.to_le_bytes());
    message.extend_from_slice(entries);
    // Over everything before it, version and tag included: no byte of a message can be exchanged for another's.
    let hash = mac_key.hash(&message);
    message.extend_from_slice(&hash);
    message.into()
}

/// Room that a [`Body`] keeps before its entries: enough for the header of a batch of one task type.
// Prefix 8, run 41, numbers 25, fingerprint 16: the name of the task type may have some 420 bytes. A longer one is
// copied (`close`).
pub(crate) const GAP: usize = 512;

/// Entries that will be a message's, with room before them for its header: the message needs no copy of them.
#[derive(Clone, Debug)]
pub struct Body {
    bytes: Vec<u8>,
    /// Where the entries begin.
    start: usize,
}

impl Default for Body {
    fn default() -> Self {
        Self::over(vec![0; GAP], GAP)
    }
}

/// The room does not count.
impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        self.entries() == other.entries()
    }
}

/// Without room: closing such a body copies it.
impl From<Vec<u8>> for Body {
    fn from(entries: Vec<u8>) -> Self {
        Self::over(entries, 0)
    }
}

impl Body {
    /// The bytes from `start` on are entries, what is before them is room.
    pub(crate) const fn over(bytes: Vec<u8>, start: usize) -> Self {
        Self { bytes, start }
    }

    /// The entries.
    #[must_use]
    pub fn entries(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// The entries, to append to: nothing before them may be touched.
    pub fn entries_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The entries, which no message needs.
    #[must_use]
    pub fn into_entries(self) -> Bytes {
        blocks::share(self.bytes).slice(self.start..)
    }

    /// Turns the first bytes into room.
    #[cfg_attr(
        not(unix),
        expect(dead_code, reason = "slots that are processes need it")
    )]
    pub(crate) fn skip(&mut self, bytes: usize) {
        self.start = self.bytes.len().min(self.start + bytes);
    }

    /// Bytes of the entries so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Whether there is no entry yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

pub(super) fn close<H: Serialize>(kind: Type, header: &H, body: Body, mac_key: &MacKey) -> Bytes {
    // Written without a MAC at first: its length decides where the message begins in the room before the entries.
    let head = write(kind, header, &[], &MacKey::Absent);
    let Some(start) = body.start.checked_sub(head.len()) else {
        // A header of very many task types, or entries without room: they move after all.
        return write(kind, header, body.entries(), mac_key);
    };
    let Body {
        mut bytes,
        start: end,
    } = body;
    bytes[start..end].copy_from_slice(&head);
    // `write` has put the tag for "no MAC" there. The hash below covers the true one.
    bytes[start + 2] = mac_key.tag();
    let hash = mac_key.hash(&bytes[start..]);
    bytes.extend_from_slice(&hash);
    blocks::share(bytes).slice(start..)
}

impl Message {
    /// Reads a message, its MAC first.
    ///
    /// # Errors
    /// [`WireError`]; nothing of a message with a wrong MAC is looked at.
    pub fn read(mut bytes: Bytes, mac_key: &MacKey) -> Result<Self, WireError> {
        let Some(&[version, kind, tag, _, h0, h1, h2, h3]) = bytes.first_chunk::<PREFIX>() else {
            return Err(WireError::Truncated);
        };
        // Before the MAC: another version may place it elsewhere, and its message would be reported as a forgery.
        if version != VERSION {
            return Err(WireError::Version(version));
        }
        let closing = bytes
            .len()
            .checked_sub(mac_key.length())
            // The MAC must not reach into the prefix: a message shorter than both is cut short, whatever its bytes are.
            .filter(|end| *end >= PREFIX);
        let end = closing.ok_or(WireError::Truncated)?;
        // The tag must be the reader's own: a message that is marked as without a MAC is refused by a reader with a key
        // before anything is compared.
        if tag != mac_key.tag() || !mac_key.verifies(&bytes[..end], &bytes[end..]) {
            return Err(WireError::Mac);
        }
        // From here on the content is authentic. It is decoded with bounds all the same: a worker of the run may be wrong.
        bytes.truncate(end);
        let header = u32::from_le_bytes([h0, h1, h2, h3]) as usize;
        // A length past the end is cut to it: decoding the header then fails, and no slice does.
        let body = bytes.split_off(PREFIX + header.min(end - PREFIX));
        Self::read_parts(kind, &bytes[PREFIX..], body)
    }

    /// The run that a worker's message names, and the highest epoch that the worker has received; `None` for messages
    /// of a master.
    #[must_use]
    pub const fn origin(&self) -> Option<(&RunId, u64)> {
        Some(match self {
            Self::Results(results, _) => (&results.run, results.epoch),
            Self::Started(started) => (&started.run, started.epoch),
            Self::Hello(hello) => (&hello.run, hello.epoch),
            Self::Alive(alive) => (&alive.run, alive.epoch),
            Self::Printed(printed) => (&printed.run, printed.epoch),
            // It has no epoch of its own: the message that it stands for was checked when its payloads were fetched.
            Self::Reference(reference, _) => (&reference.run, 0),
            Self::Batch(..) | Self::Control(_) => return None,
        })
    }

    fn read_parts(kind: u8, header: &[u8], body: Bytes) -> Result<Self, WireError> {
        Ok(match kind {
            1 => Self::Batch(read_header(header)?, body),
            2 => Self::Results(read_header(header)?, body),
            3 => Self::Started(read_header(header)?),
            4 => Self::Hello(read_header(header)?),
            5 => Self::Alive(read_header(header)?),
            6 => Self::Control(read_header(header)?),
            7 => Self::Reference(read_header(header)?, body),
            8 => Self::Printed(read_header(header)?),
            other => return Err(WireError::Unreadable(format!("type {other}"))),
        })
    }
}

/// Where the body of a message of this version begins; the MAC is not looked at.
pub(super) fn body_of(message: &[u8]) -> Option<usize> {
    let &[version, _, _, _, h0, h1, h2, h3] = message.first_chunk::<PREFIX>()?;
    let body = PREFIX + u32::from_le_bytes([h0, h1, h2, h3]) as usize;
    (version == VERSION && body <= message.len()).then_some(body)
}

pub(super) fn read_header<H: DeserializeOwned>(header: &[u8]) -> Result<H, WireError> {
    codec::decode(header).map_err(|error| WireError::Unreadable(error.to_string()))
}
