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
mod tests {
    use super::*;

    const LINE: usize = 16 * 1024;
    const RATE: u64 = 4 << 20;

    /// What is given of chunks that come so many milliseconds after the beginning; updates are marked.
    fn shown(chunks: &[(u64, &[u8])]) -> Vec<String> {
        let start = Instant::now();
        let mut lines = Lines::new(LINE, start);
        let mut seen = Vec::new();
        for (at, chunk) in chunks {
            let now = start + Duration::from_millis(*at);
            lines.feed(chunk, now, |line, update| {
                let mark = if update { "~" } else { "" };
                seen.push(format!("{mark}{}", String::from_utf8_lossy(line)));
            });
        }
        seen
    }

    #[test]
    fn progress_is_shown_while_it_is_made() {
        // The return stands behind what is shown, before it, or is cut from its line's end.
        let behind: [(u64, &[u8]); 4] = [(0, b"1%\r"), (1, b"2%\r"), (2, b"3%\r"), (250, b"4%\r")];
        assert_eq!(shown(&behind), ["~1%", "~3%"]);
        let before: [(u64, &[u8]); 4] = [(0, b"\r1%"), (1, b"\r2%"), (2, b"\r3%"), (9, b"\n")];
        assert_eq!(shown(&before), ["~1%", "3%"]);
        let slow: [(u64, &[u8]); 4] = [(0, b"\r1"), (10, b"0%"), (100, b""), (400, b"")];
        assert_eq!(shown(&slow), ["~10%"], "once, and whole");
        assert_eq!(
            shown(&[(0, b"\r10%"), (400, b""), (500, b"\nend\n")]),
            ["~10%", "end"]
        );
        assert_eq!(
            shown(&[(0, b"a\r"), (0, b"\nb\r\n\r"), (0, b"\n")]),
            ["a", "b", ""]
        );
        let last: [(u64, &[u8]); 3] = [(0, b"1%\r2%\r"), (1, b"3%\r\x1b[2K\r"), (2, b"\x1b[0m\n")];
        assert_eq!(
            shown(&last),
            ["~1%", "3%"],
            "what is not written over stays"
        );
    }

    fn none(_: &[u8], _: bool) {
        panic!("nothing is due");
    }

    #[test]
    fn an_update_has_a_time_at_which_it_is_due() {
        let start = Instant::now();
        let mut lines = Lines::new(LINE, start);
        lines.feed(b"open", start, none);
        assert_eq!(lines.due(), None, "a line without its end waits for it");
        lines.feed(b"\r", start, none);
        let mut seen = Vec::new();
        lines.feed(b"1%\r2%\r3", start, |line, _| seen.push(line.to_vec()));
        assert_eq!(seen, [b"2%"]);
        let due = start + UPDATES;
        assert_eq!(lines.due(), Some(due));
        lines.offer(due - Duration::from_millis(1), none);
        lines.offer(due, |line, update| {
            assert_eq!((line, update), (&b"3"[..], true))
        });
        assert_eq!(lines.due(), None, "it was given");
    }

    fn feed(chunks: &[&[u8]]) -> Vec<String> {
        let now = Instant::now();
        let mut lines = Lines::new(LINE, now);
        let mut seen = Vec::new();
        let mut keep = |line: &[u8], _: bool| seen.push(String::from_utf8_lossy(line).into_owned());
        for chunk in chunks {
            lines.feed(chunk, now, &mut keep);
        }
        lines.finish(&mut keep);
        seen
    }

    #[test]
    fn lines_are_cut_at_their_ends() {
        assert_eq!(feed(&[b"a\nb", b"c\r\n\nd"]), ["a", "bc", "", "d"]);
        assert_eq!(feed(&[b"\xff\n"]), ["\u{fffd}"]);
        assert!(feed(&[b""]).is_empty());
    }

    #[test]
    fn a_long_line_is_cut_and_marked() {
        let long = vec![b'x'; 3 * LINE];
        let seen = feed(&[&long, &long, b"\nshort\n"]);
        assert_eq!(seen.len(), 2);
        assert!(seen[0].len() < LINE + 64 && seen[0].ends_with("(cut: a longer line)"));
        assert_eq!(seen[1], "short");
    }

    #[test]
    fn a_flood_is_bounded_and_counted() {
        let mut now = Instant::now();
        let mut flood = Flood::new(RATE, now);
        let passed = (0..100_000).filter(|_| flood.admit(1000)).count();
        assert_eq!(passed, usize::try_from(RATE).unwrap() / (1000 + LINE_COST));
        now += Duration::from_millis(100);
        flood.refill(now);
        assert!(
            !flood.admit(1000),
            "single lines out of context are left out"
        );
        now += Duration::from_millis(400);
        flood.refill(now);
        assert!(flood.recovered());
        let report = flood.report().unwrap();
        let lost = 100_000 - passed + 1;
        assert!(
            report.contains(&format!("{lost} lines ({} bytes)", lost * 1000)),
            "{report}"
        );
        assert!(flood.admit(1000));
        assert_eq!(flood.report(), None);
    }

    #[test]
    fn the_tail_is_short_and_of_one_frame() {
        let mut tail = Tail::default();
        for n in 0..50 {
            tail.push(Some(1), &format!("line {n}"), false);
        }
        assert_eq!(tail.lines().len(), TAIL_LINES);
        assert_eq!(tail.lines()[0], "line 30");
        for update in [true, true] {
            tail.push(Some(2), &"ü".repeat(TAIL_LINE), update);
        }
        assert_eq!(tail.lines(), ["ü".repeat(TAIL_LINE / 2)]);
    }
}
