//! The lines that tasks print: what a sink is given, and how they are gathered on their way to the master, and kept
//! from flooding the queue.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::envelope::PrintedLine;
use crate::id::{Attempt, TaskId};
use crate::instant::after;
use crate::slot::{OutputLimits, SlotId, Stream};

/// How long lines are gathered.
const GATHER: Duration = Duration::from_millis(250);
/// What a line costs beside its text.
const LINE_COST: usize = 32;
/// Room for what a slot adds to a line that it cut.
const MARK: usize = 64;
/// Bytes that are sent at once at most: what a message carries anywhere.
const MOST: usize = 8 << 20;

/// Who takes the lines that tasks print.
pub type OutputSink = Arc<dyn Fn(OutputLine<'_>) + Send + Sync>;

/// A line that a task printed.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct OutputLine<'a> {
    /// The worker it came from: a pod's name; none where the worker is this process.
    pub worker: Option<&'a str>,
    /// The slot it came from; known within its worker only.
    pub slot: Option<SlotId>,
    /// The task and attempt, where the slot ran no other at that time.
    pub task: Option<(TaskId, Attempt)>,
    /// The task's name, where a master says it of another worker's task.
    pub name: Option<&'static str>,
    /// Standard output or standard error.
    pub stream: Stream,
    /// The line, without its end.
    pub line: &'a str,
}

impl<'a> OutputLine<'a> {
    /// A line that came from another worker. `name` is its task's, if it is known.
    #[must_use]
    pub fn remote(worker: &'a str, name: Option<&'static str>, line: &'a PrintedLine) -> Self {
        Self {
            worker: Some(worker),
            slot: None,
            task: line.task,
            name,
            stream: if line.error {
                Stream::Stderr
            } else {
                Stream::Stdout
            },
            line: &line.text,
        }
    }
}

/// Lines that wait to be sent.
#[derive(Debug)]
pub(super) struct Printed {
    lines: Vec<PrintedLine>,
    left_out: u64,
    due: Option<Instant>,
    budget: usize,
    /// Bytes of text that may be sent in a second. What is beyond stays in the worker's own output.
    rate: usize,
    /// Bytes that may be sent at once after a silence.
    burst: usize,
    /// Longest line, in bytes.
    line: usize,
    refilled: Instant,
}

impl Printed {
    pub(super) fn new(now: Instant, limits: OutputLimits) -> Self {
        let rate = usize::try_from(limits.forwarded).unwrap_or(usize::MAX);
        let line = limits.line.saturating_add(MARK).min(MOST / 2);
        // One line passes however low the rate is.
        let burst = rate.saturating_mul(4).max(line + LINE_COST).min(MOST);
        Self {
            lines: Vec::new(),
            left_out: 0,
            due: None,
            budget: burst,
            rate,
            burst,
            line,
            refilled: now,
        }
    }

    /// Adds a line, or counts it as left out when more was printed than may be sent.
    pub(super) fn push(&mut self, now: Instant, line: OutputLine<'_>) {
        self.refill(now);
        self.due.get_or_insert(after(now, GATHER));
        let text = shortened(line.line, self.line);
        let cost = text.len() + LINE_COST;
        if cost > self.budget {
            self.left_out += 1;
            return;
        }
        self.budget -= cost;
        self.lines.push(PrintedLine {
            task: line.task,
            error: line.stream == Stream::Stderr,
            text: text.to_owned(),
        });
    }

    /// When [`take`](Self::take) has something next.
    pub(super) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// The lines that were gathered, and how many were left out, when they are due or `all` is asked for.
    pub(super) fn take(&mut self, now: Instant, all: bool) -> Option<(Vec<PrintedLine>, u64)> {
        let due = self.due.filter(|due| all || now >= *due)?;
        debug_assert!(
            due <= after(now, GATHER),
            "lines are gathered for a moment only"
        );
        self.due = None;
        Some((
            std::mem::take(&mut self.lines),
            std::mem::take(&mut self.left_out),
        ))
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.refilled);
        let more = passed.as_millis().saturating_mul(self.rate as u128) / 1000;
        if more > 0 {
            self.refilled = now;
            let more = usize::try_from(more).unwrap_or(usize::MAX);
            self.budget = self.burst.min(self.budget.saturating_add(more));
        }
    }
}

/// A line as it is sent: its beginning, if it is very long.
fn shortened(line: &str, limit: usize) -> &str {
    &line[..line.floor_char_boundary(limit)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: usize = 8 << 10;
    const BURST: usize = 256 << 10;

    fn line(text: &str) -> OutputLine<'_> {
        OutputLine {
            worker: None,
            slot: Some(SlotId(0)),
            task: None,
            name: None,
            stream: Stream::Stdout,
            line: text,
        }
    }

    #[test]
    fn lines_go_together_and_a_flood_is_counted() {
        let now = Instant::now();
        let mut printed = Printed::new(
            now,
            OutputLimits {
                line: LINE - MARK,
                ..OutputLimits::default()
            },
        );
        assert_eq!(printed.due(), None);
        printed.push(now, line("one"));
        printed.push(now, line("two"));
        assert_eq!(printed.due(), Some(now + GATHER));
        assert_eq!(printed.take(now, false), None);
        let (lines, left_out) = printed.take(now + GATHER, false).unwrap();
        assert_eq!((lines.len(), left_out), (2, 0));
        let long = "x".repeat(LINE + 100);
        for _ in 0..100 {
            printed.push(now, line(&long));
        }
        let (lines, left_out) = printed.take(now, true).unwrap();
        assert!(lines.len() < BURST / LINE && lines[0].text.len() == LINE);
        assert_eq!(lines.len() as u64 + left_out, 100);
        let later = now + Duration::from_secs(10);
        printed.push(later, line("again"));
        assert_eq!(printed.take(later, true).unwrap().0.len(), 1);
    }

    #[test]
    fn a_cut_falls_between_characters() {
        let line = "é".repeat(LINE);
        assert!(shortened(&line, LINE + 1).len() <= LINE);
    }
}
