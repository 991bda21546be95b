//! Failures, and the end of the run, wait for the lines which were printed before them: pure, with the time as a
//! parameter.
//!
//! A failure becomes an error or a notice. Its reader must have read the lines first: those of another worker
//! must have come, and all that came must have been taken by the program's streams or its sink. The wait for either is
//! short, and streams or a sink that were waited for in vain are not waited for again until they have taken everything.

use std::collections::HashMap;
use std::mem;
use std::time::Duration;

use podpool_core::id::{TaskId, WorkerId};
use podpool_core::instant::after;
use tokio::time::Instant;

use crate::report::outlet::Position;

use super::failed::Failed;

/// How long lines of another worker are waited for. They are sent before the failure; a queue may change the order.
// Several pulls of a queue across a network, where messages that were stored one after the other come apart. At half an
// overtaken line more often follows its error; at double a lost line holds each failure of its worker up for two
// seconds.
const COME: Duration = Duration::from_secs(1);
/// How long streams or sink are waited for.
// A stream that is not blocked takes lines at once. The program may hold what its sink waits for while it awaits this
// very failure: then this is the time that it loses, once.
const TAKEN: Duration = Duration::from_millis(200);

#[derive(Debug)]
struct Waiting {
    failed: Failed,
    /// How many lines of its worker must have come.
    lines: u64,
    /// The lines have come: so many lines of the buffer must be taken. `None` before.
    put: Option<u64>,
    /// Until then the failure waits for lines to come, or to be taken.
    until: Instant,
}

/// Lines of a worker.
#[derive(Debug, Default)]
struct Lines {
    /// How many its results have reported.
    told: u64,
    /// How many have come.
    come: u64,
}

/// Failures in the order in which they came, and the lines of other workers.
#[derive(Debug, Default)]
pub(super) struct AfterLines {
    waiting: Vec<Waiting>,
    // Read by number, or for all at once: its order, which differs between processes, decides nothing.
    workers: HashMap<WorkerId, Lines>,
    /// Streams or sink were waited for in vain.
    behind: bool,
    /// Until then the run's end waits for lines.
    end: Option<Instant>,
}

impl AfterLines {
    /// A task has failed in a worker whose slots had printed so many lines by then.
    pub(super) fn add(&mut self, now: Instant, failed: Failed, lines: u64) {
        self.waiting.push(Waiting {
            failed,
            lines,
            put: None,
            until: after(now, COME),
        });
    }

    /// A worker reports that its slots have printed so many lines.
    pub(super) fn expect_lines(&mut self, worker: WorkerId, lines: u64) {
        // The maximum, here and below: the queue may deliver an older message after a newer one.
        if lines > 0 {
            let worker = self.workers.entry(worker).or_default();
            worker.told = lines.max(worker.told);
        }
    }

    /// So many lines of a worker have come, from its first on.
    pub(super) fn came(&mut self, worker: WorkerId, lines: u64) {
        let worker = self.workers.entry(worker).or_default();
        worker.come = lines.max(worker.come);
    }

    /// Whether the run may end, all of whose tasks have ended: every line that was reported has come, or was waited for
    /// long enough.
    pub(super) fn may_end(&mut self, now: Instant) -> bool {
        let missing = |lines: &Lines| lines.come < lines.told;
        if self.workers.values().any(missing) {
            // The wait begins with the first call, when the last task has ended, and further reports do not prolong it.
            if now < *self.end.get_or_insert_with(|| after(now, COME)) {
                return false;
            }
            // What is missing is lost: the next call must not wait again.
            self.workers.clear();
        }
        self.end = None;
        true
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether a failure waits for lines to be taken.
    pub(super) fn waits_for_taking(&self) -> bool {
        self.waiting.iter().any(|waiting| waiting.put.is_some())
    }

    /// When [`ready`](Self::ready) and [`may_end`](Self::may_end) must be called, whatever happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let failures = self.waiting.iter().map(|waiting| waiting.until);
        failures.chain(self.end).min()
    }

    /// The failures that wait no longer.
    pub(super) fn ready(&mut self, now: Instant, position: Position) -> Vec<Failed> {
        // Streams that have taken everything are trusted again.
        self.behind &= position.taken < position.put;
        let mut ready = Vec::new();
        for mut waiting in mem::take(&mut self.waiting) {
            let worker = self.workers.get(&waiting.failed.execution.worker);
            let come = worker.map_or(0, |worker| worker.come) >= waiting.lines;
            // In two steps, each with its time: the position that counts is that of the moment at which the lines had
            // come, and later lines of other tasks do not prolong the wait.
            if waiting.put.is_none() && (come || now >= waiting.until) {
                waiting.put = Some(position.put);
                waiting.until = after(now, TAKEN);
            }
            let taken = waiting.put.map(|put| position.taken >= put);
            // One that waited in vain releases all others at once: a thousand failures must not wait for a blocked
            // stream one after the other.
            self.behind |= taken == Some(false) && now >= waiting.until;
            match taken {
                Some(taken) if taken || self.behind => ready.push(waiting.failed),
                _ => self.waiting.push(waiting),
            }
        }
        ready
    }

    /// The failures of tasks for which this is true, whatever they wait for.
    pub(super) fn of(&mut self, is_asked: impl Fn(TaskId) -> bool) -> Vec<Failed> {
        let asked = |waiting: &mut Waiting| is_asked(waiting.failed.task);
        let asked = self.waiting.extract_if(.., asked);
        asked.map(|waiting| waiting.failed).collect()
    }

    /// All failures, whatever they wait for.
    pub(super) fn give_up(&mut self) -> Vec<Failed> {
        let waiting = mem::take(&mut self.waiting);
        waiting.into_iter().map(|waiting| waiting.failed).collect()
    }
}

#[cfg(test)]
mod tests;
