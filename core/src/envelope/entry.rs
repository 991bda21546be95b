//! The entries of a message's body: task envelopes and results, laid out so that a slice of them can be
//! forwarded as it is.
//!
//! A batch's entries go to a slot without being encoded again, and a slot's results go back the same way:
//! a worker only reads the heads. All numbers are little-endian.
//!
//! ```text
//! task entry:   payload u32 | task u64 | attempt u32 | task type u16 | options u16 | options … | payload …
//! result entry: payload u32 | task u64 | attempt u32 | elapsed µs u32 | status u8 | payload …
//! ```
//!
//! A status is 0 for a task that returned, 1 for a failure, 2 for a task that was skipped and has a result.

use std::time::Duration;

use bytes::Bytes;

use crate::codec;
use crate::id::{Attempt, TaskId};
use crate::outcome::Failure;

use super::WireError;

/// Bytes of a task entry before its options and payload.
// 4 + 8 + 4 + 2 + 2 bytes, fixed in width: a worker finds the next entry by one addition, and never decodes a value.
pub const TASK_HEAD: usize = 20;
/// Bytes of a result entry before its payload.
pub const RESULT_HEAD: usize = 21;

const DONE: u8 = 0;
const FAILED: u8 = 1;
const SKIPPED: u8 = 2;
/// Where the status is in a result's head.
const STATUS: usize = 20;

/// One task in a batch or in a slot's frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskEntry {
    /// The task.
    pub task: TaskId,
    /// The attempt at it.
    pub attempt: Attempt,
    /// Index into the message's table of task types.
    pub task_type: u16,
    /// Encoded [`EntryOptions`](super::EntryOptions); empty for none.
    pub options: Bytes,
    /// The encoded arguments.
    pub payload: Bytes,
}

/// Appends a task entry.
///
/// # Errors
/// [`WireError::TooLong`] when the payload or the options do not fit their length fields.
pub fn put_task(
    body: &mut Vec<u8>,
    task: TaskId,
    attempt: Attempt,
    task_type: u16,
    options: &[u8],
    payload: &[u8],
) -> Result<(), WireError> {
    let head = task_head_bytes(task, attempt, task_type, options.len(), payload.len())?;
    body.reserve(TASK_HEAD + options.len() + payload.len());
    body.extend_from_slice(&head);
    body.extend_from_slice(options);
    body.extend_from_slice(payload);
    Ok(())
}

/// The bytes of a task entry before its options.
pub(super) fn task_head_bytes(
    task: TaskId,
    attempt: Attempt,
    task_type: u16,
    options: usize,
    payload: usize,
) -> Result<[u8; TASK_HEAD], WireError> {
    let payload = u32::try_from(payload).map_err(|_| WireError::TooLong(payload))?;
    let options = u16::try_from(options).map_err(|_| WireError::TooLong(options))?;
    let mut head = [0; TASK_HEAD];
    head[..4].copy_from_slice(&payload.to_le_bytes());
    head[4..12].copy_from_slice(&task.0.to_le_bytes());
    head[12..16].copy_from_slice(&attempt.0.to_le_bytes());
    head[16..18].copy_from_slice(&task_type.to_le_bytes());
    head[18..20].copy_from_slice(&options.to_le_bytes());
    Ok(head)
}

/// Takes the first task entry off `body`; `None` at its end.
///
/// # Errors
/// [`WireError::Truncated`] when the entry is longer than what is left.
pub fn next_task(body: &mut Bytes) -> Result<Option<TaskEntry>, WireError> {
    if body.is_empty() {
        return Ok(None);
    }
    let head = head::<TASK_HEAD>(body)?;
    let payload = number_u32(head, 0) as usize;
    let options = usize::from(number_u16(head, 18));
    let entry = TaskEntry {
        task: TaskId(number_u64(head, 4)),
        attempt: Attempt(number_u32(head, 12)),
        task_type: number_u16(head, 16),
        options: Bytes::new(),
        payload: Bytes::new(),
    };
    // `head` has shown that the body is as long as a head, so the difference is not negative.
    if body.len() - TASK_HEAD < options + payload {
        return Err(WireError::Truncated);
    }
    let mut whole = body.split_to(TASK_HEAD + options + payload);
    let payload = whole.split_off(TASK_HEAD + options);
    let options = whole.split_off(TASK_HEAD);
    Ok(Some(TaskEntry {
        options,
        payload,
        ..entry
    }))
}

/// How one execution of a task ended, with its encoded output or its failure.
#[derive(Clone, Debug, PartialEq)]
pub struct ResultEntry {
    /// The task.
    pub task: TaskId,
    /// The attempt at it.
    pub attempt: Attempt,
    /// How long the execution took; longer than 71 minutes counts as 71 minutes.
    pub elapsed: Duration,
    /// The encoded output, or the failure.
    pub outcome: Result<Bytes, Failure>,
    /// Whether the output is that of a task whose body was skipped.
    pub skipped: bool,
}

/// Appends the result of a task that returned; `output` writes the encoded output.
///
/// # Errors
/// Whatever `output` returns, and nothing is appended then.
pub fn put_done<E>(
    body: &mut Vec<u8>,
    task: TaskId,
    attempt: Attempt,
    output: impl FnOnce(&mut Vec<u8>) -> Result<Duration, E>,
) -> Result<(), E> {
    // The head is written last, over zeroes: its length is known only after the output was encoded in place.
    let start = body.len();
    body.extend_from_slice(&[0; RESULT_HEAD]);
    match output(body) {
        Ok(elapsed) => {
            close_result(body, start, task, attempt, elapsed, DONE);
            Ok(())
        }
        Err(error) => {
            body.truncate(start);
            Err(error)
        }
    }
}

/// Marks a result that [`put_done`] wrote: the task's body was skipped. `entry` begins with it.
pub fn mark_skipped(entry: &mut [u8]) {
    if let Some(status) = entry.get_mut(STATUS)
        && *status == DONE
    {
        *status = SKIPPED;
    }
}

/// Appends the result of a task that gave none. Its texts are cut to a bound, so that it fits any queue's message.
pub fn put_failed(
    body: &mut Vec<u8>,
    task: TaskId,
    attempt: Attempt,
    elapsed: Duration,
    failure: &Failure,
) {
    let start = body.len();
    body.extend_from_slice(&[0; RESULT_HEAD]);
    // Cloned only where it is long: nearly all failures are short.
    let cut = failure.is_long().then(|| failure.clone().cut());
    if codec::encode_into(cut.as_ref().unwrap_or(failure), body).is_err() {
        // A failure is made of strings and numbers, which always encode; an empty payload still reads as one.
        body.truncate(start + RESULT_HEAD);
    }
    close_result(body, start, task, attempt, elapsed, FAILED);
}

fn close_result(
    body: &mut [u8],
    start: usize,
    task: TaskId,
    attempt: Attempt,
    elapsed: Duration,
    status: u8,
) {
    // An output past 4 GiB cannot be written: the slot refuses it before (MAX_OUTPUT).
    let payload = u32::try_from(body.len() - start - RESULT_HEAD).unwrap_or(u32::MAX);
    // 2^32 µs are 71 minutes. Longer executions count as that in estimates, where all of them go alone anyway.
    let elapsed = u32::try_from(elapsed.as_micros()).unwrap_or(u32::MAX);
    let head = &mut body[start..start + RESULT_HEAD];
    head[..4].copy_from_slice(&payload.to_le_bytes());
    head[4..12].copy_from_slice(&task.0.to_le_bytes());
    head[12..16].copy_from_slice(&attempt.0.to_le_bytes());
    head[16..20].copy_from_slice(&elapsed.to_le_bytes());
    head[STATUS] = status;
}

/// Takes the first result entry off `body`; `None` at its end.
///
/// # Errors
/// [`WireError::Truncated`] when the entry is longer than what is left, [`WireError::Unreadable`] when its
/// status or its failure cannot be read.
pub fn next_result(body: &mut Bytes) -> Result<Option<ResultEntry>, WireError> {
    if body.is_empty() {
        return Ok(None);
    }
    let head = head::<RESULT_HEAD>(body)?;
    let payload = number_u32(head, 0) as usize;
    let task = TaskId(number_u64(head, 4));
    let attempt = Attempt(number_u32(head, 12));
    let elapsed = Duration::from_micros(u64::from(number_u32(head, 16)));
    let status = head[STATUS];
    if body.len() - RESULT_HEAD < payload {
        return Err(WireError::Truncated);
    }
    let payload = body.split_to(RESULT_HEAD + payload).slice(RESULT_HEAD..);
    let outcome = match status {
        DONE | SKIPPED => Ok(payload),
        // Cut here too: what a worker sends is not trusted to be.
        FAILED => Err(codec::decode::<Failure>(&payload)
            .map_err(|e| WireError::Unreadable(e.to_string()))?
            .cut()),
        other => return Err(WireError::Unreadable(format!("status {other}"))),
    };
    Ok(Some(ResultEntry {
        task,
        attempt,
        elapsed,
        outcome,
        skipped: status == SKIPPED,
    }))
}

/// Largest output that a result entry can carry, in bytes.
pub const MAX_OUTPUT: usize = u32::MAX as usize;

fn head<const N: usize>(body: &Bytes) -> Result<&[u8; N], WireError> {
    body.first_chunk::<N>().ok_or(WireError::Truncated)
}

fn number_u16<const N: usize>(head: &[u8; N], at: usize) -> u16 {
    u16::from_le_bytes([head[at], head[at + 1]])
}

fn number_u32<const N: usize>(head: &[u8; N], at: usize) -> u32 {
    u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]])
}

fn number_u64<const N: usize>(head: &[u8; N], at: usize) -> u64 {
    u64::from(number_u32(head, at)) | u64::from(number_u32(head, at + 4)) << 32
}

/// The head of a task entry, for a worker that only passes it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskHead {
    /// The task.
    pub task: TaskId,
    /// The attempt at it.
    pub attempt: Attempt,
    /// Index into the message's table of task types.
    pub task_type: u16,
    /// Bytes of the encoded options.
    pub options: usize,
    /// Bytes of the whole entry.
    pub length: usize,
}

/// Reads the head of the first task entry; `None` at the end of the body.
///
/// # Errors
/// [`WireError::Truncated`] when the entry is longer than what is left.
pub fn task_head(body: &[u8]) -> Result<Option<TaskHead>, WireError> {
    if body.is_empty() {
        return Ok(None);
    }
    let head = body
        .first_chunk::<TASK_HEAD>()
        .ok_or(WireError::Truncated)?;
    let options = usize::from(number_u16(head, 18));
    let length = TASK_HEAD + options + number_u32(head, 0) as usize;
    if body.len() < length {
        return Err(WireError::Truncated);
    }
    Ok(Some(TaskHead {
        task: TaskId(number_u64(head, 4)),
        attempt: Attempt(number_u32(head, 12)),
        task_type: number_u16(head, 16),
        options,
        length,
    }))
}

/// The heads of the task entries of a body, up to the first that cannot be read.
pub fn task_heads(body: &[u8]) -> impl Iterator<Item = TaskHead> {
    let mut rest = body;
    std::iter::from_fn(move || {
        let head = task_head(rest).ok().flatten()?;
        rest = &rest[head.length..];
        Some(head)
    })
}

/// How many task entries a body holds, up to the first that cannot be read.
#[must_use]
pub fn count(body: &[u8]) -> u32 {
    u32::try_from(task_heads(body).count()).unwrap_or(u32::MAX)
}

/// The head of a result entry, for a worker that only passes it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResultHead {
    /// The task.
    pub task: TaskId,
    /// The attempt at it.
    pub attempt: Attempt,
    /// How long it took.
    pub elapsed: Duration,
    /// Whether the task has a result: it returned, or was skipped.
    pub done: bool,
    /// Whether its body was skipped.
    pub skipped: bool,
    /// Bytes of the whole entry.
    pub length: usize,
}

/// Reads the head of the first result entry; `None` at the end of the body.
///
/// # Errors
/// [`WireError::Truncated`] when the entry is longer than what is left.
pub fn result_head(body: &[u8]) -> Result<Option<ResultHead>, WireError> {
    if body.is_empty() {
        return Ok(None);
    }
    let head = body
        .first_chunk::<RESULT_HEAD>()
        .ok_or(WireError::Truncated)?;
    let length = RESULT_HEAD + number_u32(head, 0) as usize;
    if body.len() < length {
        return Err(WireError::Truncated);
    }
    Ok(Some(ResultHead {
        task: TaskId(number_u64(head, 4)),
        attempt: Attempt(number_u32(head, 12)),
        elapsed: Duration::from_micros(u64::from(number_u32(head, 16))),
        done: matches!(head[STATUS], DONE | SKIPPED),
        skipped: head[STATUS] == SKIPPED,
        length,
    }))
}
