//! A slot has ended: which of its tasks is charged, and which run again.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::envelope::entry::{self, TaskHead, task_head};
use crate::envelope::{Body, TaskRun};
use crate::id::{Attempt, TaskId};
use crate::outcome::{Cause, Failure};
use crate::slot::Running;

use super::WorkerState;
use super::report::entry_offset;
use super::slots::{Ended, GIVES_BACK, InFlight, KillReason, SlotState};

/// Most suspects that are remembered.
// 16 bytes each, searched one by one for each batch that is marked alone, of which there are few.
const OWN_SUSPECTS: usize = 1024;

impl WorkerState {
    /// What becomes of the tasks of a slot that has ended.
    pub(super) fn judge_frames(&mut self, now: Instant, slot: SlotState, ended: &Ended) {
        // From the last to the first: `wait_again` puts each at the front, so the order of the tasks stays.
        for (place, frame) in slot.frames.into_iter().enumerate().rev() {
            if slot.kill_reason == Some(KillReason::Interrupted) {
                // The worker leaves: what the slot had comes back by lease.
                self.give_up_lease(frame.execution);
            }
            let begun = place == 0;
            if begun && let Some(running) = running_in(&frame, ended.running) {
                self.judge_running(now, frame, running, slot.kill_reason, ended);
            } else {
                // Any of several tasks that were not noted may have done it: they run again, noted.
                let noted = frame.noted || (begun && frame.left() > 1);
                self.wait_again(frame.execution, frame.entries, noted, now);
            }
        }
    }

    /// The task that ran when its slot ended is reported; those before it, whose results were lost, and those after it
    /// wait again, uncharged.
    fn judge_running(
        &mut self,
        now: Instant,
        frame: InFlight,
        running: Running,
        kill_reason: Option<KillReason>,
        ended: &Ended,
    ) {
        let start = entry_offset(&frame.entries, running.index - frame.done);
        let Ok(Some(head)) = task_head(&frame.entries[start..]) else {
            self.wait_again(frame.execution, frame.entries, true, now);
            return;
        };
        let held = self.batches.get(&frame.execution);
        let (alone, lost) = held.map_or((false, true), |held| (held.alone, held.lost));
        let revoked = self.revoked.contains(head.task, head.attempt);
        // A lost lease comes before any other reason: another worker may run the batch by now, and the death here is
        // charged to no task.
        let kill_reason = if lost {
            Some(KillReason::Interrupted)
        } else {
            kill_reason
        };
        // `None`: the slot was killed for a task that had ended by then. What ran instead is not to be charged, and waits again.
        let Some(mut failure) = verdict(&head, running, kill_reason, alone, revoked, ended) else {
            self.wait_again(frame.execution, frame.entries, frame.noted, now);
            return;
        };
        if failure.cause == Cause::Interrupted {
            // The message that comes back by lease is the retry; the report only holds the reason.
            self.give_up_lease(frame.execution);
        }
        if failure.cause != Cause::Interrupted
            && let Some(held) = self.batches.get_mut(&frame.execution)
        {
            // An interrupted attempt comes back under the same number and must run again; any other report ends the
            // attempt.
            TaskRun::push(&mut held.done, head.task, head.attempt);
        }
        if failure.cause == Cause::Suspect {
            // The master publishes a suspect as the next attempt, alone.
            self.suspect(head.task, head.attempt.next());
        }
        // Those before it have run, but their results were lost with the slot: they run twice, as at-least-once
        // permits.
        let mut others = frame.entries[..start].to_vec();
        others.extend_from_slice(&frame.entries[start + head.length..]);
        if !others.is_empty() {
            self.wait_again(frame.execution, others.into(), true, now);
        }
        failure.ran = Some(Box::new(ended.ran.clone()));
        failure.exit = Some(ended.exit);
        failure.peak_rss = ended.peak_rss;
        failure.output.clone_from(&ended.tail);
        let elapsed = now.saturating_duration_since(running.since);
        let mut report = Body::default();
        let (task, attempt) = (head.task, head.attempt);
        entry::put_failed(report.entries_mut(), task, attempt, elapsed, &failure);
        self.publish_failures(frame.execution, report, 1);
    }

    /// Remembers the attempt that will run alone. One that was forgotten only waits for the other slots to end.
    fn suspect(&mut self, task: TaskId, attempt: Attempt) {
        if self.own_suspects.len() >= OWN_SUSPECTS {
            self.own_suspects.pop_front();
        }
        self.own_suspects.push_back((task, attempt));
    }

    /// Reports the same failure for every task of some entries.
    pub(super) fn report_all(&mut self, execution: u64, entries: &Bytes, failure: &Failure) {
        let mut results = Body::default();
        let mut count = 0;
        let mut rest = &entries[..];
        while let Ok(Some(head)) = task_head(rest) {
            entry::put_failed(
                results.entries_mut(),
                head.task,
                head.attempt,
                Duration::ZERO,
                failure,
            );
            count += 1;
            rest = &rest[head.length..];
        }
        if count > 0 {
            self.publish_results(execution, results, count);
        }
    }
}

/// What ran in the slot's first frame at its end, if that is known. A frame that never reached the slot has nothing
/// that ran.
fn running_in(frame: &InFlight, running: Option<Running>) -> Option<Running> {
    running.filter(|running| {
        running.frame == frame.number && (frame.done..frame.count).contains(&running.index)
    })
}

/// Why the running task gave no result; `None` when its slot was killed for the sake of another, which had ended by
/// then.
fn verdict(
    head: &TaskHead,
    running: Running,
    kill_reason: Option<KillReason>,
    alone: bool,
    revoked: bool,
    ended: &Ended,
) -> Option<Failure> {
    match kill_reason {
        Some(KillReason::TimedOut(task, limit)) => (task == head.task).then(|| {
            let message = format!("it ran longer than its timeout of {limit:?}");
            Failure::new(Cause::TimedOut, message)
        }),
        Some(KillReason::Cancelled) => revoked
            .then(|| Failure::new(Cause::Cancelled, "it did not end by itself and was killed")),
        Some(KillReason::Interrupted) => {
            Some(Failure::new(Cause::Interrupted, "its worker gave it back"))
        }
        // Such a slot had no task.
        Some(KillReason::NeverReady | KillReason::NoExit) => None,
        Some(KillReason::NoAnswer) => {
            let message = format!("its process did not answer for {GIVES_BACK:?} and was killed");
            Some(charge(alone || running.first, Cause::Crashed, message))
        }
        None => Some(death(alone || running.first, ended)),
    }
}

/// A slot ended by itself.
fn death(proven: bool, ended: &Ended) -> Failure {
    let exit = ended.exit;
    let (cause, message) = match ended.out_of_memory {
        Some(met) => (Cause::OutOfMemory, met.reason(ended.peak_rss, exit)),
        None => (Cause::Crashed, format!("its process died: {exit}")),
    };
    charge(proven, cause, message)
}

/// A task is charged only where no other can be the cause, not even by what it left behind.
fn charge(proven: bool, cause: Cause, message: String) -> Failure {
    if proven {
        Failure::new(cause, message)
    } else {
        Failure::new(Cause::Suspect, message + "; it will run alone")
    }
}
