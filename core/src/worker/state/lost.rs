//! Batches that came without their payloads.

use std::time::Duration;

use crate::envelope::entry;
use crate::envelope::reference::rejected;
use crate::envelope::{Batch, Reference};
use crate::queue::LeaseId;

use super::super::effect::Receipt;
use super::WorkerState;

/// Why a worker has no payloads for a batch that refers to them, when no queue looked for them.
const NO_STORE: &str =
    "they lie in a payload store and its worker has none; set PODPOOL_PAYLOAD_STORE for it";

impl WorkerState {
    /// Answers a batch whose payloads cannot be had: each of its tasks is rejected, and the batch is acknowledged
    /// once that is stored.
    pub fn on_lost_batch(&mut self, lease: LeaseId, reference: &Reference) {
        let execution = self.next_execution;
        self.next_execution += 1;
        let tasks = || {
            let runs = reference.tasks.iter();
            runs.flat_map(|run| run.tasks().map(|task| (task, run.attempt)))
        };
        let batch = Batch {
            run: reference.run.clone(),
            epoch: self.epoch(),
            // A reference does not carry the number of its batch. 0 may be another batch's, which then waits until the
            // rejections are stored; nothing is remembered under it, for `done` stays empty.
            number: 0,
            alone: false,
            task_types: Vec::new(),
            count: u32::try_from(tasks().count()).unwrap_or(u32::MAX),
        };
        // Held like any batch, so that its lease is renewed until the rejections are stored.
        self.hold(execution, lease, batch.count, &batch, &[]);
        let problem = reference.problem.as_deref().unwrap_or(NO_STORE);
        let failure = rejected(format!(
            "its arguments are lost: {problem}; it did not run, submit it again"
        ));
        let (mut entries, mut rejections, mut revoked) = (Vec::new(), 0, 0);
        for (task, attempt) in tasks() {
            if self.revoked.contains(task, attempt) {
                self.note_unrun(task, attempt);
                revoked += 1;
            } else {
                let zero = Duration::ZERO;
                entry::put_failed(&mut entries, task, attempt, zero, &failure);
                rejections += 1;
            }
        }
        if rejections > 0 {
            self.publish_results(execution, entries.into(), rejections);
        }
        self.settle(Receipt {
            execution,
            tasks: revoked,
        });
    }
}

#[cfg(test)]
mod tests;
