//! A message whose large payloads lie elsewhere: take them out, put them back, or report what is lost.
//!
//! The *shell* is the message without the payloads; it travels as the body of a [`Reference`]. Nothing here depends on
//! where the payloads lie: their hashes name them.

use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::id::{ExecutionId, RunId};
use crate::outcome::{Cause, Failure};

use super::entry::{RESULT_HEAD, TASK_HEAD, put_failed, result_head, task_head};
use super::message::{self, PREFIX};
use super::{MacKey, Results, TaskRun, VERSION, WireError};

/// Payloads up to this are never cut out to make a message fit: a reference to them is hardly shorter.
// A part takes up to 42 bytes in the reference, and an object in the store a call of its own to write and to read.
const LEAST: usize = 1024;

/// What a [`Reference`] stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// A batch of tasks.
    Batch,
    /// Results of this execution.
    Results(ExecutionId),
    /// Anything else.
    Other,
}

/// A payload that was cut out of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// BLAKE3 of its bytes, without a key: equal payloads have equal names.
    pub hash: [u8; 32],
    /// Where it begins in the whole message, in bytes.
    pub offset: u32,
    /// How long it is, in bytes.
    pub length: u32,
}

/// The head of a message that travels in place of a longer one. Its body is the shell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// The run.
    pub run: RunId,
    /// What the whole message is.
    pub of: Content,
    /// All tasks of the whole message.
    pub tasks: Vec<TaskRun>,
    /// What was cut out, from front to back.
    pub parts: Vec<Part>,
    /// Why the whole message is not available, by the queue that looked for its payloads; `None` until then.
    pub problem: Option<String>,
}

/// Where a message is to be cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extraction {
    /// What the message is.
    pub of: Content,
    /// Its tasks.
    pub tasks: Vec<TaskRun>,
    /// The payloads to cut out, from front to back.
    pub regions: Vec<Range<usize>>,
}

impl Extraction {
    /// Chooses what to cut out of a message: each payload of more than `over` bytes, and more of them, the longest
    /// first, until the rest fits into the `carried` bytes that a queue carries. A message that has no entries, or
    /// does not fit without their payloads either, is cut out as a whole. `None` when it can travel as it is.
    #[must_use]
    pub fn of(message: &[u8], mac_key: &MacKey, over: usize, carried: usize) -> Option<Self> {
        if message.len() <= over.min(carried) {
            return None;
        }
        let layout = layout(message, mac_key);
        let (of, tasks, mut payloads) = layout.unwrap_or((Content::Other, Vec::new(), Vec::new()));
        // The longest first: the fewest objects for the most bytes.
        payloads.sort_by_key(|region| std::cmp::Reverse(region.len()));
        let mut left = message.len();
        let mut cut = 0;
        for region in &payloads {
            let too_long = left > carried || (cut > 0 && left + room(&tasks, cut) > carried);
            if region.len() <= over && (!too_long || region.len() <= LEAST) {
                break;
            }
            left -= region.len();
            cut += 1;
        }
        payloads.truncate(cut);
        // Front to back again, as the parts are put in.
        payloads.sort_by_key(|region| region.start);
        let fits = match cut {
            0 => left <= carried,
            cut => left + room(&tasks, cut) <= carried,
        };
        let regions = match (fits, cut) {
            (true, 0) => return None,
            (true, _) => payloads,
            (false, _) => std::iter::once(0..message.len()).collect(),
        };
        Some(Self { of, tasks, regions })
    }

    /// The reference to the message, and its shell. There is one hash for each region, in their order.
    ///
    /// # Errors
    /// [`WireError::TooLong`] when the message is longer than its length fields can hold.
    pub fn close(
        self,
        message: &[u8],
        run: RunId,
        hashes: &[[u8; 32]],
    ) -> Result<(Reference, Vec<u8>), WireError> {
        let too_long = |_| WireError::TooLong(message.len());
        let mut parts = Vec::with_capacity(self.regions.len());
        let mut shell = Vec::new();
        let mut from = 0;
        for (region, hash) in self.regions.iter().zip(hashes) {
            shell.extend_from_slice(&message[from..region.start]);
            from = region.end;
            parts.push(Part {
                hash: *hash,
                offset: u32::try_from(region.start).map_err(too_long)?,
                length: u32::try_from(region.len()).map_err(too_long)?,
            });
        }
        shell.extend_from_slice(&message[from..]);
        let reference = Reference {
            run,
            of: self.of,
            tasks: self.tasks,
            parts,
            problem: None,
        };
        Ok((reference, shell))
    }
}

/// Bytes that a reference may take beside the shell.
const fn room(tasks: &[TaskRun], parts: usize) -> usize {
    // Upper bounds of the encoding: a run of tasks 9 + 5 + 5 bytes, a part 32 + 5 + 5, and prefix, run, kind, lengths
    // and MAC together less than 256.
    256 + 24 * tasks.len() + 48 * parts
}

type Layout = (Content, Vec<TaskRun>, Vec<Range<usize>>);

/// What a message is, its tasks and where their payloads lie; `None` when it has no entries that can be read.
fn layout(message: &[u8], mac_key: &MacKey) -> Option<Layout> {
    let body = message::body_of(message)?;
    let end = message.len().checked_sub(mac_key.length())?;
    let kind = message[1];
    let mut tasks = Vec::new();
    let mut payloads = Vec::new();
    let mut at = body;
    let of = if kind == message::Type::Batch as u8 {
        while let Some(head) = task_head(message.get(at..end)?).ok()? {
            TaskRun::push(&mut tasks, head.task, head.attempt);
            payloads.push(at + TASK_HEAD + head.options..at + head.length);
            at += head.length;
        }
        Content::Batch
    } else if kind == message::Type::Results as u8 {
        let results: Results = message::read_header(&message[PREFIX..body]).ok()?;
        while let Some(head) = result_head(message.get(at..end)?).ok()? {
            TaskRun::push(&mut tasks, head.task, head.attempt);
            payloads.push(at + RESULT_HEAD..at + head.length);
            at += head.length;
        }
        Content::Results(results.execution)
    } else {
        return None;
    };
    Some((of, tasks, payloads))
}

impl Reference {
    /// Builds the message.
    #[must_use]
    pub fn message(&self, shell: &[u8], mac_key: &MacKey) -> Bytes {
        message::write(message::Type::Reference, self, shell, mac_key)
    }

    /// Whether bytes are marked as a reference. Their MAC is not looked at.
    #[must_use]
    pub fn is(message: &[u8]) -> bool {
        matches!(message, [VERSION, kind, ..] if *kind == message::Type::Reference as u8)
    }

    /// Bytes of all payloads together.
    #[must_use]
    pub fn payload_bytes(&self) -> u64 {
        self.parts.iter().map(|part| u64::from(part.length)).sum()
    }

    /// Puts the whole message together: its own MAC is still to be checked.
    ///
    /// # Errors
    /// [`WireError::Unreadable`] when shell and parts do not fit together.
    pub fn assemble(&self, shell: &[u8], payloads: &[Bytes]) -> Result<Bytes, WireError> {
        // The reference is authentic, its payloads are not: they lie in a store that others may write to. The whole
        // message's own MAC decides at the end.
        let misfit = || WireError::Unreadable("shell and payloads do not fit".to_owned());
        let fits = |(part, payload): (&Part, &Bytes)| part.length as usize == payload.len();
        if self.parts.len() != payloads.len() || !self.parts.iter().zip(payloads).all(fits) {
            return Err(misfit());
        }
        let length = payloads.iter().map(Bytes::len).sum::<usize>() + shell.len();
        let mut whole = Vec::with_capacity(length);
        let mut rest = shell;
        for (part, payload) in self.parts.iter().zip(payloads) {
            // Offsets must grow, and leave each payload its room: else the parts were not cut from one message.
            let before = (part.offset as usize).checked_sub(whole.len());
            let (head, tail) = before
                .and_then(|before| rest.split_at_checked(before))
                .ok_or_else(misfit)?;
            whole.extend_from_slice(head);
            whole.extend_from_slice(payload);
            rest = tail;
        }
        whole.extend_from_slice(rest);
        Ok(whole.into())
    }

    /// Results of which some payloads are lost, as a message in which their tasks are `Rejected` with the reason and
    /// the others are as they were. `None` when this is no reference to results, or its shell cannot be read.
    #[must_use]
    pub fn without_lost(
        &self,
        shell: &[u8],
        payloads: &[Result<Bytes, String>],
        mac_key: &MacKey,
    ) -> Option<Bytes> {
        let Content::Results(_) = self.of else {
            return None;
        };
        let mut at = message::body_of(shell)?;
        let results: Results = message::read_header(&shell[PREFIX..at]).ok()?;
        let end = shell.len().checked_sub(mac_key.length())?;
        let mut parts = self.parts.iter().zip(payloads).peekable();
        let mut body = Vec::new();
        let mut cut_out = 0;
        while at < end {
            let head = shell.get(at..end)?.first_chunk::<RESULT_HEAD>()?;
            at += RESULT_HEAD;
            match parts.next_if(|(part, _)| part.offset as usize == at + cut_out) {
                // Offsets count in the whole message, `at` in the shell: `cut_out` is the difference so far.
                Some((part, payload)) => {
                    cut_out += part.length as usize;
                    put_or_reject(&mut body, *head, payload)?;
                }
                None => {
                    let [a, b, c, d, ..] = *head;
                    let length = u32::from_le_bytes([a, b, c, d]) as usize;
                    body.extend_from_slice(head);
                    body.extend_from_slice(shell.get(at..end)?.get(..length)?);
                    at += length;
                }
            }
        }
        let complete = parts.next().is_none();
        // A part that no entry has used means that shell and reference do not belong together.
        complete.then(|| results.message(&body, mac_key))
    }
}

/// Appends a result, or the failure that its payload is lost.
fn put_or_reject(
    body: &mut Vec<u8>,
    mut head: [u8; RESULT_HEAD],
    payload: &Result<Bytes, String>,
) -> Option<()> {
    match payload {
        Ok(payload) => {
            body.extend_from_slice(&head);
            body.extend_from_slice(payload);
        }
        Err(reason) => {
            // Without its payload the entry can be read here.
            head[..4].fill(0);
            let head = result_head(&head).ok()??;
            let failure = rejected(format!("its result is lost: {reason}; submit it again"));
            put_failed(body, head.task, head.attempt, head.elapsed, &failure);
        }
    }
    Some(())
}

/// The failure of tasks whose payloads are lost.
#[must_use]
pub fn rejected(reason: String) -> Failure {
    Failure {
        retryable: false,
        ..Failure::new(Cause::Rejected, reason)
    }
}

#[cfg(test)]
mod tests;
