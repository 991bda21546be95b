//! What a slot prints: bytes to lines, a bound on how many are passed on, and the last few for failures.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::instant::after;

use super::Stream;

/// Lines that are kept for a failure.
// 20 lines of 1 KiB fit into the 24 KiB that a failure keeps of its lines (`outcome/words.rs`).
const TAIL_LINES: usize = 20;
/// Bytes of a line that are kept for a failure: failures travel in messages.
const TAIL_LINE: usize = 1024;
/// How often a line is shown that is written over and over, as progress bars do by `\r`.
// Five a second are as many as a reader can follow; a progress bar may write thousands.
const UPDATES: Duration = Duration::from_millis(200);
/// What a line costs beside its bytes: empty lines are work too.
// Without it a loop that prints empty lines would never be bounded. 64 bytes are about what an event with a short line
// takes.
const LINE_COST: usize = 64;

/// The line that a slot prints to both streams when its loop is reached: what stands before it is no task's, such as
/// libtest's lines. A message on the socket could not mark that place in the streams.
pub(super) const BEGINNING: &str = "\u{1e}podpool: from here on it is tasks that print\u{1e}";

/// Cuts a stream of bytes into lines. A `\r` that no `\n` follows ends an update of a line: the newest of many is given,
/// five times a second, and what was written over before is not.
#[derive(Debug)]
pub(super) struct Lines {
    /// Bytes of a line that are given; the rest of it is left out.
    limit: usize,
    partial: Vec<u8>,
    cut: bool,
    /// A `\r` came last: the next byte decides whether it ends a line.
    returned: bool,
    /// The open line is written over and over.
    updates: bool,
    /// It was given as it stands.
    shown: bool,
    /// When it was last added to.
    touched: Instant,
    /// What stood on the line before, and was not given.
    update: Option<Vec<u8>>,
    /// No update is given before.
    next: Instant,
}

impl Lines {
    pub(super) fn new(limit: usize, now: Instant) -> Self {
        Self {
            limit,
            partial: Vec::new(),
            cut: false,
            returned: false,
            updates: false,
            shown: false,
            touched: now,
            update: None,
            next: now,
        }
    }

    /// Takes bytes and gives each line that they complete, without its end, and an update that is due; whether it is
    /// one comes with it.
    pub(super) fn feed(
        &mut self,
        mut bytes: &[u8],
        now: Instant,
        mut give: impl FnMut(&[u8], bool),
    ) {
        while let Some(first) = bytes.first() {
            if std::mem::take(&mut self.returned) && *first != b'\n' {
                self.overwrite();
            }
            let Some(end) = bytes.iter().position(|b| matches!(b, b'\n' | b'\r')) else {
                self.append(bytes, now);
                break;
            };
            let (head, rest) = bytes.split_at(end);
            bytes = &rest[1..];
            if rest[0] == b'\r' {
                self.append(head, now);
                self.returned = true;
            } else if self.partial.is_empty() && !self.updates && head.len() <= self.limit {
                give(head, false);
            } else {
                self.append(head, now);
                self.finish(&mut give);
            }
        }
        // After the bytes: of several updates in one read the newest is offered.
        self.offer(now, give);
    }

    /// Gives the line that has no end yet, if there is one.
    pub(super) fn finish(&mut self, mut give: impl FnMut(&[u8], bool)) {
        if !self.updates {
            if !self.partial.is_empty() {
                self.mark_cut();
                give(&self.partial, false);
            }
        } else if !is_blank(&self.partial) {
            self.mark_cut();
            if !self.shown {
                give(&self.partial, false);
            }
        } else if let Some(update) = self.update.take() {
            // Nothing was written over it: it stays.
            give(&update, false);
        }
        self.partial.clear();
        self.update = None;
        (self.cut, self.returned, self.updates, self.shown) = (false, false, false, false);
    }

    /// When an update is given next.
    pub(super) fn due(&self) -> Option<Instant> {
        if self.update.is_some() {
            return Some(self.next);
        }
        let open = self.updates && !self.shown && !is_blank(&self.partial);
        // It may be half a line: what writes it is given the time to write the rest.
        open.then(|| self.next.max(after(self.touched, UPDATES)))
    }

    /// Gives the update that is due.
    pub(super) fn offer(&mut self, now: Instant, mut give: impl FnMut(&[u8], bool)) {
        if self.due().is_none_or(|due| now < due) {
            return;
        }
        // From now and not from when it was due: after a pause the updates must not come in a burst.
        self.next = after(now, UPDATES);
        if let Some(update) = self.update.take() {
            give(&update, true);
        } else {
            self.shown = true;
            give(&self.partial, true);
        }
    }

    /// The open line will be written over.
    fn overwrite(&mut self) {
        if !self.shown && !is_blank(&self.partial) {
            self.mark_cut();
            self.update = Some(std::mem::take(&mut self.partial));
        }
        self.partial.clear();
        (self.cut, self.updates, self.shown) = (false, true, false);
    }

    fn mark_cut(&mut self) {
        if std::mem::take(&mut self.cut) {
            self.partial.extend_from_slice(b" ... (cut: a longer line)");
        }
    }

    fn append(&mut self, bytes: &[u8], now: Instant) {
        if bytes.is_empty() {
            return;
        }
        let room = self.limit - self.partial.len().min(self.limit);
        self.cut |= bytes.len() > room;
        self.partial
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.shown = false;
        if self.updates {
            self.touched = now;
        }
    }
}

/// Whether it shows nothing: spaces, and sequences that erase or colour.
fn is_blank(mut bytes: &[u8]) -> bool {
    while let Some((first, rest)) = bytes.split_first() {
        bytes = match first {
            b' ' | b'\t' => rest,
            0x1b if rest.first() == Some(&b'[') => {
                let end = rest[1..].iter().position(|b| (0x40..=0x7e).contains(b));
                end.map_or(&[], |end| &rest[end + 2..])
            }
            _ => return false,
        };
    }
    true
}

/// Bounds what is passed on: a bucket that a flood empties and time refills.
#[derive(Debug)]
pub(super) struct Flood {
    /// Bytes a second; as many may be printed at once.
    rate: usize,
    room: usize,
    filled: Instant,
    lines: u64,
    bytes: u64,
}

impl Flood {
    pub(super) fn new(rate: u64, now: Instant) -> Self {
        // A line passes however low the rate is.
        let rate = usize::try_from(rate).unwrap_or(usize::MAX).max(LINE_COST);
        Self {
            rate,
            room: rate,
            filled: now,
            lines: 0,
            bytes: 0,
        }
    }

    /// Refills the bucket, at most once a millisecond's worth.
    pub(super) fn refill(&mut self, now: Instant) {
        let past = now.duration_since(self.filled);
        if past >= Duration::from_millis(1) {
            let more = past.as_millis().saturating_mul(self.rate as u128) / 1000;
            if more > 0 {
                let more = usize::try_from(more).unwrap_or(usize::MAX);
                self.room = self.rate.min(self.room.saturating_add(more));
                self.filled = now;
            }
        }
    }

    /// Whether a line is passed on. Once some were left out, none is passed on before a quarter of the bucket is
    /// there again, so that what arrives are passages and not single lines out of context.
    pub(super) fn admit(&mut self, bytes: usize) -> bool {
        // A line that is longer than the bucket takes all of it.
        let cost = (bytes + LINE_COST).min(self.rate);
        let wanted = if self.lines > 0 {
            cost.max(self.rate / 4)
        } else {
            cost
        };
        if self.room < wanted {
            self.lines += 1;
            self.bytes += bytes as u64;
            return false;
        }
        self.room -= cost;
        true
    }

    /// Whether the next line may be passed on again after some were left out.
    pub(super) fn recovered(&self) -> bool {
        self.lines > 0 && self.room >= self.rate / 4
    }

    /// A sentence about what was left out since the last one.
    pub(super) fn report(&mut self) -> Option<String> {
        if self.lines == 0 {
            return None;
        }
        let report = format!(
            "podpool: {} lines ({} bytes) were left out here: a task prints more than {} bytes a second; Builder::output_rate allows more",
            self.lines, self.bytes, self.rate
        );
        self.lines = 0;
        self.bytes = 0;
        Some(report)
    }
}

/// The last lines, of both streams.
#[derive(Debug, Default)]
pub(super) struct Tail {
    lines: VecDeque<String>,
    frame: Option<u64>,
    /// The last line is an update, which the next one replaces.
    update: bool,
}

impl Tail {
    /// Keeps a line that was printed while `frame` was at the front; those of other frames go.
    pub(super) fn push(&mut self, frame: Option<u64>, line: &str, update: bool) {
        // The lines of a frame that has ended are proof of nothing for the next one.
        if self.frame != frame {
            self.frame = frame;
            self.lines.clear();
            self.update = false;
        }
        if std::mem::replace(&mut self.update, update) && update {
            self.lines.pop_back();
        }
        // A flood reuses the strings that it pushes out.
        let mut kept = if self.lines.len() == TAIL_LINES {
            self.lines.pop_front().unwrap_or_default()
        } else {
            String::new()
        };
        kept.clear();
        kept.push_str(&line[..line.floor_char_boundary_at(TAIL_LINE)]);
        self.lines.push_back(kept);
    }

    /// The frame that printed the lines.
    pub(super) fn frame(&self) -> Option<u64> {
        self.frame
    }

    /// The lines, oldest first.
    pub(super) fn lines(&self) -> Vec<String> {
        self.lines.iter().cloned().collect()
    }
}

trait FloorBoundary {
    fn floor_char_boundary_at(&self, at: usize) -> usize;
}

impl FloorBoundary for str {
    /// The last place at or before `at` where the text may be cut.
    fn floor_char_boundary_at(&self, at: usize) -> usize {
        (0..=at.min(self.len()))
            .rev()
            .find(|at| self.is_char_boundary(*at))
            .unwrap_or(0)
    }
}

/// Whether a line on stderr is the report of a failed allocation that Rust's default handler prints just before the
/// abort.
pub(super) fn says_allocation_failed(stream: Stream, line: &str) -> bool {
    // The text of std's default handler. A task that prints it and aborts is taken for one that ran out of memory.
    // <https://doc.rust-lang.org/std/alloc/fn.handle_alloc_error.html>
    stream == Stream::Stderr && line.starts_with("memory allocation of ") && line.contains("failed")
}

#[cfg(test)]
mod tests;
