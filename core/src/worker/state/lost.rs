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
            epoch: self.epoch,
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
mod tests {
    use super::*;
    use crate::envelope::entry::next_result;
    use crate::envelope::reference::Content;
    use crate::envelope::{Control, MacKey, Message, Revoked, RunState, TaskRun};
    use crate::id::{Attempt, RunId, TaskId, WorkerId};
    use crate::outcome::Cause;
    use crate::worker::effect::Effect;
    use crate::worker::state::Settings;
    use tokio::time::Instant;

    fn worker() -> WorkerState {
        WorkerState::new(Settings {
            run: RunId::new("test").unwrap(),
            worker: WorkerId(1),
            mac_key: MacKey::Absent,
            slots: 1,
            max_tasks_per_slot: None,
            grace: Duration::from_secs(5),
            start_timeout: Duration::from_secs(20),
            message_bytes: 1 << 20,
        })
    }

    fn lost(problem: Option<&str>) -> Reference {
        Reference {
            run: RunId::new("test").unwrap(),
            of: Content::Batch,
            tasks: vec![TaskRun {
                first: TaskId(5),
                count: 3,
                attempt: Attempt(2),
            }],
            parts: Vec::new(),
            problem: problem.map(Into::into),
        }
    }

    /// The tasks that were rejected, why, and what is settled when that is stored.
    fn answer(state: &mut WorkerState) -> (Vec<u64>, String, Receipt) {
        let mut effects = Vec::new();
        state.take_effects(&mut effects);
        let [Effect::Publish(out)] = &effects[..] else {
            panic!("{effects:?}");
        };
        let read = Message::read(out.message.clone(), &MacKey::Absent);
        let Ok(Message::Results(head, mut entries)) = read else {
            panic!("{read:?}");
        };
        let (mut tasks, mut why) = (Vec::new(), String::new());
        while let Some(entry) = next_result(&mut entries).unwrap() {
            let failure = entry.outcome.unwrap_err();
            assert_eq!((failure.cause, failure.retryable), (Cause::Rejected, false));
            assert_eq!(entry.attempt, Attempt(2));
            tasks.push(entry.task.0);
            why = failure.message;
        }
        assert_eq!(head.count as usize, tasks.len());
        (tasks, why, out.receipt.unwrap())
    }

    #[test]
    fn each_task_is_rejected_and_the_batch_acknowledged_when_that_is_stored() {
        let mut state = worker();
        state.on_lost_batch(LeaseId::new("a"), &lost(Some("object x is missing")));
        let (tasks, why, receipt) = answer(&mut state);
        assert_eq!(tasks, [5, 6, 7]);
        assert!(
            why.contains("object x is missing") && why.contains("did not run"),
            "{why}"
        );
        state.on_published(Instant::now(), receipt);
        let mut effects = Vec::new();
        state.take_effects(&mut effects);
        assert!(
            matches!(&effects[..], [Effect::Ack(lease)] if lease.as_str() == "a"),
            "{effects:?}"
        );
        assert!(state.is_empty());
    }

    #[test]
    fn revoked_tasks_are_acknowledged_without_a_result() {
        let mut state = worker();
        let revoked = Revoked {
            first: TaskId(6),
            last: TaskId(6),
            attempt: Attempt(2),
        };
        let control = Control {
            run: RunId::new("test").unwrap(),
            epoch: 1,
            sequence: 1,
            state: RunState::Open,
            ended_below: TaskId(0),
            revoked: vec![revoked],
            drain: Vec::new(),
            greeted: Vec::new(),
        };
        state.on_control(&control, Instant::now());
        state.on_lost_batch(LeaseId::new("a"), &lost(None));
        let (tasks, why, receipt) = answer(&mut state);
        assert_eq!(tasks, [5, 7]);
        assert!(why.contains("PODPOOL_PAYLOAD_STORE"), "{why}");
        state.on_published(Instant::now(), receipt);
        assert!(state.is_empty());
        assert_eq!(
            state.alive().revoked,
            [TaskRun {
                first: TaskId(6),
                count: 1,
                attempt: Attempt(2)
            }]
        );
    }
}
