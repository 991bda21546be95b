//! Results of executions.

use bytes::Bytes;
use podpool_core::envelope::Results;
use podpool_core::envelope::WireError;
use podpool_core::envelope::entry::{
    RESULT_HEAD, ResultEntry, ResultHead, next_result, result_head,
};
use podpool_core::id::{Attempt, ExecutionId, TaskId};
use tokio::time::Instant;
use tracing::warn;

use crate::master::cell::{INLINE, Output};

use super::super::failed::Failed;
use super::tally::Ran;
use super::timing::{Made, Times};
use super::{MasterState, Phase};

/// Outputs below this are copied out of the message they came in, so that one kept result does not keep the
/// message of thousands.
// Longer ones are shared: fewer of them fit into one message, so that a kept one holds less in vain. At half a
// kept result of 3 KiB would hold its whole message; at double up to twice as much is copied.
const COPY_BELOW: usize = 4096;

impl MasterState {
    /// Results of an execution. The failures among them are for [`on_failed`](Self::on_failed), when they may be
    /// judged.
    pub(super) fn on_results(
        &mut self,
        now: Instant,
        results: &Results,
        entries: &Bytes,
    ) -> Vec<Failed> {
        let mut failures = Vec::new();
        // Both before the results are read, which takes their tasks out of the table: the batch is found by a task, and
        // the work of this message is what is done from here on.
        let packed = self.take_packed(results.execution.worker, entries);
        let worked = self.pace.work();
        let made = self.made(now, results);
        let read = self.read_results((results, made), entries, &mut failures);
        if let Some(packed) = packed {
            let time = now.saturating_duration_since(packed);
            self.pace.travelled(time, worked);
        }
        // What was read before the error counts: each entry stands for itself, and the message is acknowledged.
        if let Err(error) = read {
            warn!(%error, execution = %results.execution, "the rest of a result message was dropped");
        }
        failures
    }

    fn read_results(
        &mut self,
        (results, made): (&Results, Made),
        entries: &Bytes,
        failures: &mut Vec<Failed>,
    ) -> Result<(), WireError> {
        // A message of one result is no larger than the result: it is shared.
        let copy = results.count > 1;
        let mut at = 0;
        while let Some(head) = result_head(&entries[at..])? {
            if head.done {
                let output = &entries[at + RESULT_HEAD..at + head.length];
                self.on_done(&head, (results.execution, made), entries, output, copy);
            } else {
                let source = (results.execution, made);
                let failed = self.read_failed(source, entries.slice(at..))?;
                failures.extend(failed);
            }
            at += head.length;
        }
        Ok(())
    }

    fn read_failed(
        &mut self,
        (execution, made): (ExecutionId, Made),
        mut entries: Bytes,
    ) -> Result<Option<Failed>, WireError> {
        let Some(ResultEntry {
            task,
            attempt,
            elapsed,
            outcome: Err(failure),
            ..
        }) = next_result(&mut entries)?
        else {
            return Ok(None);
        };
        self.pace.worked(elapsed);
        let times = self.times_of_failure(made, (task, attempt), elapsed, &failure);
        Ok(Some(Failed {
            times,
            task,
            attempt,
            execution,
            elapsed,
            failure,
        }))
    }

    /// `Done` of any attempt ends a task.
    // Not of the newest alone: every attempt runs the same function with the same arguments, and to wait for the newest
    // would run the task again for nothing, or lose a result whose worker was taken for lost too early.
    fn on_done(
        &mut self,
        result: &ResultHead,
        (execution, made): (ExecutionId, Made),
        message: &Bytes,
        output: &[u8],
        copy: bool,
    ) {
        let ResultHead {
            task: id,
            attempt,
            elapsed,
            skipped,
            ..
        } = *result;
        // Looked up only where somebody will read it: that costs as much as a part of a short task.
        let times = match self.remembered.is_some() || self.tally.is_subscribed() {
            true => self.times_of_result(made, id, attempt, elapsed),
            false => Times::default(),
        };
        let Some(entry) = self.end(id) else {
            self.on_late(id, attempt);
            return;
        };
        if entry.phase == Phase::Published && entry.attempt != attempt {
            // The newest attempt is still out, for nothing. If the result is the newest attempt's, its worker
            // acknowledges the envelope, and there is nothing to revoke unless there are copies, which `end` has
            // revoked.
            self.revoke(id, &entry);
        }
        // A task has run to its end, so that slots start somewhere: workers whose slots do not start count from 0
        // again.
        self.unfit.clear();
        let task_type = entry.task_type();
        if let Some(outbox) = self.classes.outbox(entry.class) {
            outbox.measured(task_type, elapsed);
        }
        self.pace.done((entry.class, task_type), elapsed);
        let output = if copy && (INLINE + 1..COPY_BELOW).contains(&output.len()) {
            Bytes::copy_from_slice(output).into()
        } else {
            Output::part(message, output)
        };
        if skipped {
            entry.owners.skipped();
        }
        let ran = Ran {
            elapsed,
            skipped,
            attempt,
            execution,
            times,
        };
        self.settle(id, entry, Ok(output), Some(ran));
    }

    /// A result changes nothing any more: its task has ended, or another attempt is out.
    pub(super) fn on_late(&mut self, id: TaskId, attempt: Attempt) {
        self.late_results += 1;
        // The attempt ran before its worker received that it is revoked. Its envelope will not come again, and control
        // becomes shorter.
        if self.revoked.ended(id, attempt) {
            self.announced.changed();
        }
    }
}
