//! Batches that are delivered again: what has a stored result is acknowledged, what still runs here is waited for.

use bytes::Bytes;
use tokio::time::Instant;

use crate::envelope::TaskRun;
use crate::envelope::entry::task_head;
use crate::outcome::Failure;

use super::super::effect::Receipt;
use super::super::frame::TaskTypeInfo;
use super::WorkerState;

/// A batch on its way in.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) execution: u64,
    pub(super) entries: Bytes,
    pub(super) count: u32,
    pub(super) runs: Vec<TaskRun>,
    pub(super) task_types: Vec<Result<TaskTypeInfo, Failure>>,
}

impl WorkerState {
    /// The newest earlier execution of the same batch that is still here. It may have results that are on their way to
    /// the queue, or run yet: one worker never runs a batch twice at a time. What it put back itself it does not have: to
    /// wait for it would hold those tasks up behind the one that made them be put back.
    pub(super) fn earlier_execution(&self, arrival: &Arrival) -> Option<u64> {
        let execution = arrival.execution;
        let id = self.batches.get(&execution)?.id;
        let first = task_head(&arrival.entries).ok().flatten()?;
        let part = (first.task, arrival.count);
        let same = |(other, held): &(&u64, &super::Held)| {
            **other < execution && held.id == id && !held.put_back.contains(&part)
        };
        let earlier = self.batches.iter().filter(same);
        // The newest: with several deliveries each waits for the one before, so they form a chain and go on one by one.
        earlier.map(|(other, _)| *other).max()
    }

    /// An execution has gone: what waited for it goes on, what it waited for itself does not matter any more.
    pub(super) fn resume_after(&mut self, execution: u64) {
        if self.deferred.is_empty() {
            return;
        }
        self.deferred
            .retain(|(_, arrival)| arrival.execution != execution);
        let ready = self
            .deferred
            // A list without an index: deferred batches are rare, and the check above costs nothing where there are
            // none.
            .extract_if(.., |(earlier, _)| *earlier == execution);
        self.resumed.extend(ready.map(|(_, arrival)| arrival));
    }

    /// Takes in what waited for an execution that has gone.
    pub(super) fn resume(&mut self, now: Instant) {
        while let Some(arrival) = self.resumed.pop() {
            let execution = arrival.execution;
            let Some(held) = self.batches.get(&execution) else {
                continue;
            };
            if held.lost {
                // It is another delivery's by now.
                let tasks = arrival.count;
                self.settle(Receipt { execution, tasks });
            } else if self.draining {
                self.release(execution);
            } else if self.take_in(now, arrival).is_err() {
                // It was read once already; were it unreadable now, its lease would bring it back.
                self.release(execution);
            }
        }
    }
}
