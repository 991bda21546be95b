//! Results, and the failures that wait for the lines before them.

use std::time::Duration;

use bytes::Bytes;
use podpool_core::envelope::entry::next_result;
use podpool_core::envelope::{Printed, Results};
use podpool_core::id::WorkerId;
use podpool_core::outcome::Cause;
use tokio::time::Instant;

use super::Duties;

/// How long a failure waits for the lines before it.
const COME: Duration = Duration::from_secs(1);

/// A failure that waits for the lines before it.
#[derive(Debug)]
pub(super) struct Held {
    task: u64,
    attempt: u32,
    cause: Cause,
    retryable: bool,
    worker: WorkerId,
    lines: u64,
    until: Instant,
}

/// Lines of a worker.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) printed: u64,
    pub(super) come: u64,
}

impl Duties {
    pub(super) fn results(&mut self, results: &Results, entries: &Bytes) {
        let worker = results.execution.worker;
        let lines = if self.settings.elsewhere {
            results.lines
        } else {
            0
        };
        if lines > 0 {
            let known = self.lines.entry(worker).or_default();
            known.printed = known.printed.max(lines);
        }
        let (mut done, mut failed, mut rest) = (Vec::new(), Vec::new(), entries.clone());
        while let Some(entry) = next_result(&mut rest).expect("whole entries") {
            let (task, attempt) = (entry.task.0, entry.attempt.0);
            match entry.outcome {
                Ok(_) => done.push((task, attempt)),
                Err(failure) => failed.push(Held {
                    task,
                    attempt,
                    cause: failure.cause,
                    retryable: failure.retryable,
                    worker,
                    lines,
                    until: self.now + COME,
                }),
            }
        }
        // An earlier failure of a task that has returned counts before its result.
        self.judge_where(|held, _| done.iter().any(|(task, _)| *task == held.task));
        for (task, attempt) in done {
            self.done(task, attempt);
        }
        self.held.extend(failed);
    }

    pub(super) fn printed(&mut self, printed: &Printed) {
        let lines = self.lines.entry(printed.worker).or_default();
        lines.come = lines.come.max(printed.through);
    }

    /// Failures count when the lines before them are here, or a second later.
    pub(super) fn judge_ready(&mut self) {
        self.judge_where(|held, duties| {
            let lines = duties.lines.get(&held.worker);
            lines.map_or(0, |lines| lines.come) >= held.lines || duties.now >= held.until
        });
    }

    pub(super) fn judge_all(&mut self) {
        self.judge_where(|_, _| true);
    }

    fn judge_where(&mut self, ready: impl Fn(&Held, &Self) -> bool) {
        let held = std::mem::take(&mut self.held);
        let (now, later): (Vec<_>, Vec<_>) = held.into_iter().partition(|it| ready(it, self));
        self.held = later;
        for held in now {
            if held.cause == Cause::Broken {
                self.unfit(held.worker);
            }
            let name = self.workers.get(&held.worker);
            let name = name.and_then(|worker| worker.name.clone());
            self.failed(held.task, held.attempt, held.cause, held.retryable, name);
        }
    }
}
