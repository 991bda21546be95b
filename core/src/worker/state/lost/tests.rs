//! Tests of batches without their payloads.

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
        shared_memory: None,
        types: None,
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
