//! What a slot prints: bytes to lines, a bound on how many are passed on, and the last few for failures.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::Stream;

/// Longest line that is passed on, in bytes; the rest of it is left out.
pub(super) const LINE: usize = 16 * 1024;
/// Lines that are kept for a failure.
const TAIL_LINES: usize = 20;
/// Bytes of a line that are kept for a failure: failures travel in messages.
const TAIL_LINE: usize = 1024;
/// Bytes that a slot may print at once before lines are left out.
const BURST: usize = 4 << 20;
/// Bytes a second that it may print for as long as it likes.
const RATE: usize = 4 << 20;
/// What a line costs beside its bytes: empty lines are work too.
const LINE_COST: usize = 64;

/// The line that a slot prints to both streams when its loop is reached: what stands before it is no task's, such as
/// libtest's words. A message on the socket could not tell where in the streams that was.
pub(super) const BEGINNING: &str = "\u{1e}podpool: from here on it is tasks that print\u{1e}";

/// Cuts a stream of bytes into lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    partial: Vec<u8>,
    cut: bool,
}

impl Lines {
    /// Takes bytes and gives each line that they complete, without its end.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut line: impl FnMut(&[u8])) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (head, rest) = bytes.split_at(end);
            bytes = &rest[1..];
            if self.partial.is_empty() && head.len() <= LINE {
                line(head.strip_suffix(b"\r").unwrap_or(head));
            } else {
                self.append(head);
                self.finish(&mut line);
            }
        }
        self.append(bytes);
    }

    /// Gives the line that has no end yet, if there is one.
    pub(super) fn finish(&mut self, mut line: impl FnMut(&[u8])) {
        if self.partial.is_empty() {
            return;
        }
        if self.cut {
            self.partial.extend_from_slice(b" ... (cut: a longer line)");
        }
        line(self.partial.strip_suffix(b"\r").unwrap_or(&self.partial));
        self.partial.clear();
        self.cut = false;
    }

    fn append(&mut self, bytes: &[u8]) {
        let room = LINE - self.partial.len().min(LINE);
        self.cut |= bytes.len() > room;
        self.partial
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

/// Bounds what is passed on: a bucket that a flood empties and time refills.
#[derive(Debug)]
pub(super) struct Flood {
    room: usize,
    filled: Instant,
    lines: u64,
    bytes: u64,
}

impl Flood {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            room: BURST,
            filled: now,
            lines: 0,
            bytes: 0,
        }
    }

    /// Refills the bucket, at most once a millisecond's worth.
    pub(super) fn refill(&mut self, now: Instant) {
        let past = now.duration_since(self.filled);
        if past >= Duration::from_millis(1) {
            let millis = usize::try_from(past.as_millis()).unwrap_or(usize::MAX);
            self.room = BURST.min(self.room.saturating_add(millis.saturating_mul(RATE / 1000)));
            self.filled = now;
        }
    }

    /// Whether a line is passed on. Once some were left out, none is passed on before a quarter of the bucket is
    /// there again, so that what arrives are passages and not single lines out of context.
    pub(super) fn admit(&mut self, bytes: usize) -> bool {
        let cost = bytes + LINE_COST;
        let wanted = if self.lines > 0 {
            cost.max(BURST / 4)
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
        self.lines > 0 && self.room >= BURST / 4
    }

    /// A sentence that says what was left out since the last one.
    pub(super) fn report(&mut self) -> Option<String> {
        if self.lines == 0 {
            return None;
        }
        let report = format!(
            "podpool: {} lines ({} bytes) were left out here: a task prints more than {} MiB a second",
            self.lines,
            self.bytes,
            RATE >> 20
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
}

impl Tail {
    /// Keeps a line that was printed while `frame` was at the front; those of other frames go.
    pub(super) fn push(&mut self, frame: Option<u64>, line: &str) {
        if self.frame != frame {
            self.frame = frame;
            self.lines.clear();
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

/// Whether a line on stderr is how Rust's allocator says that it gave up, just before the abort.
pub(super) fn says_allocation_failed(stream: Stream, line: &str) -> bool {
    stream == Stream::Stderr && line.starts_with("memory allocation of ") && line.contains("failed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(chunks: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        let mut keep = |line: &[u8]| seen.push(String::from_utf8_lossy(line).into_owned());
        for chunk in chunks {
            lines.feed(chunk, &mut keep);
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
    fn a_long_line_is_cut_and_says_so() {
        let long = vec![b'x'; 3 * LINE];
        let seen = feed(&[&long, &long, b"\nshort\n"]);
        assert_eq!(seen.len(), 2);
        assert!(seen[0].len() < LINE + 64 && seen[0].ends_with("(cut: a longer line)"));
        assert_eq!(seen[1], "short");
    }

    #[test]
    fn a_flood_is_bounded_and_counted() {
        let mut now = Instant::now();
        let mut flood = Flood::new(now);
        let passed = (0..100_000).filter(|_| flood.admit(1000)).count();
        assert_eq!(passed, BURST / (1000 + LINE_COST));
        now += Duration::from_millis(100);
        flood.refill(now);
        assert!(
            !flood.admit(1000),
            "single lines out of context help nobody"
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
            tail.push(Some(1), &format!("line {n}"));
        }
        assert_eq!(tail.lines().len(), TAIL_LINES);
        assert_eq!(tail.lines()[0], "line 30");
        tail.push(Some(2), &"ü".repeat(TAIL_LINE));
        assert_eq!(tail.lines(), ["ü".repeat(TAIL_LINE / 2)]);
    }
}
