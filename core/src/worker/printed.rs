//! The lines that tasks print: what a sink is given, and how they are gathered on their way to the master, and kept
//! from flooding the queue.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::envelope::{PrintedLine, PrintedTask};
use crate::id::{Attempt, TaskId};
use crate::instant::after;
use crate::slot::{OutputLimits, SlotId, Stream};

/// How long lines are gathered.
// At most four messages a second for each worker, however much its tasks print. A reader sees a line a quarter of a
// second late.
const GATHER: Duration = Duration::from_millis(250);
/// What a line costs beside its text.
const LINE_COST: usize = 32;
/// Room for what a slot adds to a line that it cut.
const MARK: usize = 64;
/// Room for the name and the key of a task.
const TASK_MOST: usize = 4 << 10;
/// Among so many tasks that printed last a task is looked for, before it is named again.
// More than the slots of most workers: each slot prints for one task at a time. A search through all tasks of a message
// would be quadratic in a flood.
const RECENT: usize = 64;
/// Bytes that are sent at once at most: what a message carries anywhere.
// Queues elsewhere carry 10 MB in one message; 8 MiB leave room for heads and names.
const MOST: usize = 8 << 20;

/// Receives the lines that tasks print.
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
    /// That task's name, `crate::module::function`; there where `task` is.
    pub name: Option<&'a str>,
    /// The key that the call of that task was given by [`Call::key`](crate::task::Call::key), as it was given: up to 1,024
    /// bytes, in which there may be line breaks and control characters.
    pub key: Option<&'a str>,
    /// Standard output or standard error.
    pub stream: Stream,
    /// The line, without its end.
    pub line: &'a str,
}

impl<'a> OutputLine<'a> {
    /// A line of a slot of this process.
    #[doc(hidden)]
    #[must_use]
    pub fn here(
        slot: SlotId,
        task: Option<&'a PrintedTask>,
        stream: Stream,
        line: &'a str,
    ) -> Self {
        Self {
            worker: None,
            slot: Some(slot),
            stream,
            ..Self::of(task, line)
        }
    }

    /// A line that came from another worker.
    #[doc(hidden)]
    #[must_use]
    pub fn remote(worker: &'a str, task: Option<&'a PrintedTask>, line: &'a PrintedLine) -> Self {
        Self {
            worker: Some(worker),
            stream: match line.error {
                true => Stream::Stderr,
                false => Stream::Stdout,
            },
            ..Self::of(task, &line.text)
        }
    }

    fn of(task: Option<&'a PrintedTask>, line: &'a str) -> Self {
        Self {
            worker: None,
            slot: None,
            task: task.map(|task| (task.task, task.attempt)),
            name: task.map(|task| &*task.name),
            key: task.and_then(|task| task.key.as_deref()),
            stream: Stream::Stdout,
            line,
        }
    }
}

/// Lines that are sent together.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Gathered {
    /// The tasks that printed them.
    pub(super) tasks: Vec<PrintedTask>,
    pub(super) lines: Vec<PrintedLine>,
    /// How many were left out before them.
    pub(super) left_out: u64,
    /// How many lines there were with them, from the first on.
    pub(super) through: u64,
}

/// Lines that wait to be sent.
#[derive(Debug)]
pub(super) struct Printed {
    tasks: Vec<PrintedTask>,
    lines: Vec<PrintedLine>,
    left_out: u64,
    /// All lines so far.
    through: u64,
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

// Lines are counted from the worker's start on and never from a message: a lost message is a gap in the counts that the
// master receives.
impl Printed {
    pub(super) fn new(now: Instant, limits: OutputLimits) -> Self {
        let rate = usize::try_from(limits.forwarded).unwrap_or(usize::MAX);
        let line = limits.line.saturating_add(MARK).min(MOST / 2);
        // One line passes however low the rate is.
        let least = line + LINE_COST + TASK_MOST;
        // Four seconds of the rate after a silence: the trace of a failure comes whole, a loop that prints does not.
        let burst = rate.saturating_mul(4).max(least).min(MOST);
        Self {
            tasks: Vec::new(),
            lines: Vec::new(),
            left_out: 0,
            through: 0,
            due: None,
            budget: burst,
            rate,
            burst,
            line,
            refilled: now,
        }
    }

    /// Adds a line, or counts it as left out when more was printed than may be sent.
    pub(super) fn push(
        &mut self,
        now: Instant,
        task: Option<&PrintedTask>,
        stream: Stream,
        line: &str,
    ) {
        self.refill(now);
        // From the first line on: a task that prints without end would otherwise move the time of sending ahead of
        // itself for ever.
        self.due.get_or_insert(after(now, GATHER));
        self.through += 1;
        let text = shortened(line, self.line);
        // Each slot is at one task, so its place is near the end.
        let known = task.and_then(|task| {
            let mut recent = self.tasks.iter().enumerate().rev().take(RECENT);
            let same = recent.find(|(_, known)| *known == task);
            same.map(|(place, _)| place)
        });
        let new = task.filter(|_| known.is_none());
        let cost = text.len() + LINE_COST + new.map_or(0, task_cost);
        // Nothing is taken for a line that does not fit. The budget fills up meanwhile, so that even a long line passes
        // later.
        if cost > self.budget {
            self.left_out += 1;
            return;
        }
        self.budget -= cost;
        let place = known.or(new.map(|_| self.tasks.len()));
        self.tasks.extend(new.cloned());
        self.lines.push(PrintedLine {
            task: place.and_then(|place| u32::try_from(place).ok()),
            error: stream == Stream::Stderr,
            text: text.to_owned(),
        });
    }

    /// Whether none of the lines that wait was left out.
    pub(super) const fn is_whole(&self) -> bool {
        self.left_out == 0
    }

    /// When [`take`](Self::take) has something next.
    pub(super) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// The lines that were gathered, when they are due or `all` is set.
    pub(super) fn take(&mut self, now: Instant, all: bool) -> Option<Gathered> {
        let due = self.due.filter(|due| all || now >= *due)?;
        debug_assert!(
            due <= after(now, GATHER),
            "lines are gathered for a moment only"
        );
        self.due = None;
        Some(Gathered {
            tasks: std::mem::take(&mut self.tasks),
            lines: std::mem::take(&mut self.lines),
            left_out: std::mem::take(&mut self.left_out),
            through: self.through,
        })
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.refilled);
        let more = passed.as_millis().saturating_mul(self.rate as u128) / 1000;
        // Only then: with a low rate or frequent calls the fractions of a byte would be lost, and the budget would
        // never fill.
        if more > 0 {
            self.refilled = now;
            let more = usize::try_from(more).unwrap_or(usize::MAX);
            self.budget = self.burst.min(self.budget.saturating_add(more));
        }
    }
}

/// What the name and the key of a task cost.
fn task_cost(task: &PrintedTask) -> usize {
    LINE_COST + task.name.len() + task.key.as_deref().map_or(0, str::len)
}

/// A line as it is sent: its beginning, if it is very long.
fn shortened(line: &str, limit: usize) -> &str {
    &line[..line.floor_char_boundary(limit)]
}

#[cfg(test)]
mod tests;
