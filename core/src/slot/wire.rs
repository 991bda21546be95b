//! What passes between a worker and its slot's process.
//!
//! Two stream sockets: frames and results travel on the data socket, and the slot reads it only between frames, so
//! that no thread stands between the socket and the task. Revocations and cancellations travel on the control
//! socket, which a thread of the slot always reads: they must arrive while a task runs. Both ends are one program,
//! checked by a digest in the set-up, so the format has no version of its own. All numbers are little-endian.
//!
//! ```text
//! message: length of the body u32 | type u8 | 0 u8 u8 u8 | number u64 | body …
//! Tasks:   worker u64 | execution u64 | count u32 | task types u32 | registry index u32 … | task entries …
//! Results: count u32 | result entries …
//! Cancel:  task u64 | attempt u32
//! ```

use bytes::BufMut;
use bytes::buf::Limit;
use serde::{Deserialize, Serialize};

use super::Frame;
use crate::blocks;
use crate::codec::{self, CodecError};
use crate::envelope::Body;
use crate::id::{Attempt, ExecutionId, TaskId, WorkerId};

/// Bytes before the body of a message.
pub(super) const HEAD: usize = 16;
/// Bytes of a message of results before its entries.
pub(super) const RESULTS_HEAD: usize = HEAD + 4;
/// Bytes of a frame's body before its task types.
// 8 + 8 + 4 + 4, see the layout above.
const TASKS_FIXED: usize = 24;
/// A longer message is read to where it will lie; shorter ones are copied there from the buffer.
const SHORT: usize = 16 * 1024;
/// How much a read into the buffer takes at most.
const READ: usize = 64 * 1024;
/// The same where a long message is expected.
// Of the next long message so much at most is read into the shared buffer, and copied from there.
const BEGINNING: usize = 4 * 1024;
/// Room before a message's body: the header of a message of results takes that of the slot's.
// A message of results has 8 bytes of prefix and a header of 91 at most (a run's id of 40 bytes, six numbers): 99, so
// a slot's results become the worker's message without a copy.
const GAP: usize = 128;
/// Room behind it: a MAC.
const TAIL: usize = 32;

/// The type of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// Down: what the slot needs before its first task; two descriptors come with it.
    Setup = 1,
    /// Down: a frame of tasks; the number is the frame's.
    Tasks = 2,
    /// Down: the same, of which each task is noted before it begins.
    NotedTasks = 6,
    /// Down: end after the frames before.
    Exit = 3,
    /// Down, control: start no more tasks of the frame of this number.
    Reclaim = 4,
    /// Down, control: cancel a task of the frame of this number; the body names it.
    Cancel = 5,
    /// Up: the initializer has run.
    Ready = 17,
    /// Up: no task will run; the body is the failure.
    SetupFailed = 18,
    /// Up: results of the frame of this number.
    Results = 19,
    /// Up: the process ends by itself; what was not answered by then has not begun.
    Ends = 21,
    /// Up: the first tasks of the frame, as many as the body states, ran or run; the others never will.
    Reclaimed = 20,
}

impl Type {
    const ALL: [Self; 11] = [
        Self::Setup,
        Self::Tasks,
        Self::NotedTasks,
        Self::Exit,
        Self::Reclaim,
        Self::Cancel,
        Self::Ready,
        Self::SetupFailed,
        Self::Results,
        Self::Reclaimed,
        Self::Ends,
    ];

    fn of(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// The head of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) length: usize,
    pub(super) kind: Type,
    pub(super) number: u64,
}

/// Bytes that are no message: the other side is not what it should be, or something else wrote to the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the slot's socket carries bytes that are no message; the slot is stopped")]
pub(super) struct Garbled;

/// Reads the head at the front of `bytes`; `None` while it is incomplete.
pub(super) fn head(bytes: &[u8]) -> Result<Option<Head>, Garbled> {
    let Some(head) = bytes.first_chunk::<HEAD>() else {
        return Ok(None);
    };
    Ok(Some(Head {
        length: u32_at(head, 0).ok_or(Garbled)? as usize,
        // The only check: both ends are one program, so bytes that are no message come from a task that wrote to the
        // descriptor.
        kind: Type::of(head[4]).ok_or(Garbled)?,
        number: u64_at(head, 8).ok_or(Garbled)?,
    }))
}

/// The bytes of a head.
pub(super) fn head_bytes(kind: Type, number: u64, length: usize) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    // A body past 4 GiB is refused before: entries that large do not pass a batch.
    head[..4].copy_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    head[4] = kind as u8;
    head[8..].copy_from_slice(&number.to_le_bytes());
    head
}

/// A message with a short body.
pub(super) fn message(kind: Type, number: u64, body: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(HEAD + body.len());
    message.extend_from_slice(&head_bytes(kind, number, body.len()));
    message.extend_from_slice(body);
    message
}

/// All of a frame's message but its entries, which follow on the socket from where they are.
pub(super) fn tasks_head(frame: &Frame) -> Vec<u8> {
    let before = TASKS_FIXED + 4 * frame.task_types.len();
    let kind = if frame.noted {
        Type::NotedTasks
    } else {
        Type::Tasks
    };
    let task_types = u32::try_from(frame.task_types.len()).unwrap_or(u32::MAX);
    let mut head = Vec::with_capacity(HEAD + before);
    head.extend_from_slice(&head_bytes(
        kind,
        frame.number,
        before + frame.entries.len(),
    ));
    head.extend_from_slice(&frame.execution.worker.0.to_le_bytes());
    head.extend_from_slice(&frame.execution.number.to_le_bytes());
    head.extend_from_slice(&frame.count.to_le_bytes());
    head.extend_from_slice(&task_types.to_le_bytes());
    for task_type in frame.task_types.iter() {
        head.extend_from_slice(&task_type.to_le_bytes());
    }
    head
}

/// A frame as the slot reads it, in place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tasks<'a> {
    pub(super) execution: ExecutionId,
    pub(super) count: u32,
    task_types: &'a [u8],
    pub(super) entries: &'a [u8],
}

impl<'a> Tasks<'a> {
    /// A frame that did not pass a socket; `task_types` as they stand in a message.
    pub(super) fn new(
        execution: ExecutionId,
        count: u32,
        task_types: &'a [u8],
        entries: &'a [u8],
    ) -> Self {
        Self {
            execution,
            count,
            task_types,
            entries,
        }
    }

    /// Reads a frame's body.
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, Garbled> {
        let task_types = u32_at(body, 20).ok_or(Garbled)? as usize;
        let (task_types, entries) = body[TASKS_FIXED..]
            // `u32_at` has shown that the fixed part is there, so the slice before it cannot fail; the table may still
            // be cut.
            .split_at_checked(task_types.saturating_mul(4))
            .ok_or(Garbled)?;
        Ok(Self {
            execution: ExecutionId {
                worker: WorkerId(u64_at(body, 0).ok_or(Garbled)?),
                number: u64_at(body, 8).ok_or(Garbled)?,
            },
            count: u32_at(body, 16).ok_or(Garbled)?,
            task_types,
            entries,
        })
    }

    /// The registry index of the frame's task type with this index.
    pub(super) fn task_type(&self, index: u16) -> Option<u32> {
        u32_at(self.task_types, 4 * usize::from(index))
    }
}

/// Writes the head of a message of results over the space that was left for it at the front of `bytes`.
pub(super) fn close_results(bytes: &mut [u8], frame: u64, count: u32) {
    let head = head_bytes(Type::Results, frame, bytes.len() - HEAD);
    bytes[..HEAD].copy_from_slice(&head);
    bytes[HEAD..RESULTS_HEAD].copy_from_slice(&count.to_le_bytes());
}

/// The count in the body of `Results` and `Reclaimed`.
pub(super) fn first_u32(body: &[u8]) -> Result<u32, Garbled> {
    u32_at(body, 0).ok_or(Garbled)
}

/// The message that cancels a task of a frame.
pub(super) fn cancel(frame: u64, task: TaskId, attempt: Attempt) -> Vec<u8> {
    let mut body = [0; 12];
    body[..8].copy_from_slice(&task.0.to_le_bytes());
    body[8..].copy_from_slice(&attempt.0.to_le_bytes());
    message(Type::Cancel, frame, &body)
}

/// The task in the body of a cancellation.
pub(super) fn cancelled(body: &[u8]) -> Result<(TaskId, Attempt), Garbled> {
    let task = u64_at(body, 0).ok_or(Garbled)?;
    let attempt = u32_at(body, 8).ok_or(Garbled)?;
    Ok((TaskId(task), Attempt(attempt)))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The body of the set-up.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SetupBody {
    /// The registry's digest in the worker's process.
    pub(super) digest: [u8; 16],
    pub(super) run: crate::id::RunId,
    pub(super) worker: String,
    pub(super) node: String,
    pub(super) initializer: Option<(u32, Vec<u8>)>,
    pub(super) memory_limit: Option<u64>,
}

impl SetupBody {
    pub(super) fn encode(&self) -> Result<Vec<u8>, CodecError> {
        codec::encode(self)
    }

    pub(super) fn decode(body: &[u8]) -> Result<Self, CodecError> {
        codec::decode(body)
    }
}

/// The worker's read buffer: whole messages come out of it.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    /// Short messages, and the beginning of a long one.
    bytes: Vec<u8>,
    /// Where the next message begins in them.
    next: usize,
    /// The long message that has begun.
    long: Option<(Head, Vec<u8>)>,
    /// The last message was long, and so may the next one be: then little of it is read into `bytes`.
    after_long: bool,
}

impl Inbox {
    /// The buffer to read into; a long message is read to where it will lie.
    pub(super) fn room(&mut self) -> Limit<&mut Vec<u8>> {
        if let Some((head, body)) = &mut self.long {
            // No byte beyond the message: what follows belongs to the next one and would have to be moved.
            let left = GAP + head.length - body.len();
            return body.limit(left);
        }
        // Once for each read and not for each message: dozens of short results come in one read.
        self.bytes.drain(..self.next);
        self.next = 0;
        self.bytes.reserve(READ);
        let most = if self.after_long { BEGINNING } else { READ };
        (&mut self.bytes).limit(most)
    }

    /// Takes the first whole message.
    pub(super) fn next(&mut self) -> Result<Option<(Head, Body)>, Garbled> {
        if self.long.is_none() {
            let rest = &self.bytes[self.next..];
            let Some(head) = head(rest)? else {
                return Ok(None);
            };
            let arrived = &rest[HEAD..];
            // A short message waits until it is whole in the shared buffer. A long one gets memory of its own at once, so that the
            // rest of it is read to where it stays.
            let short = head.length <= SHORT;
            if short && arrived.len() < head.length {
                return Ok(None);
            }
            let part = &arrived[..head.length.min(arrived.len())];
            let mut body = blocks::with_capacity(GAP + head.length + TAIL);
            body.resize(GAP, 0);
            body.extend_from_slice(part);
            self.next += HEAD + part.len();
            self.after_long = !short;
            self.long = Some((head, body));
        }
        let whole = |(head, body): &mut (Head, Vec<u8>)| body.len() == GAP + head.length;
        let message = self.long.take_if(whole);
        Ok(message.map(|(head, body)| (head, Body::over(body, GAP))))
    }
}

#[cfg(test)]
mod tests;
