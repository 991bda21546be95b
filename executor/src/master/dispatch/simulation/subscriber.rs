//! What a subscriber receives of a run.

use std::collections::BTreeMap;

use crate::master::cell::TaskState;
use crate::master::events::EventKind;

/// The events of a run, by task.
#[derive(Debug, Default)]
pub(super) struct Subscriber {
    tasks: BTreeMap<u64, Task>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Task {
    submitted: u32,
    ended: Vec<TaskState>,
}

impl Subscriber {
    /// An event came: nothing of a task comes before it was submitted, or after it has ended.
    pub(super) fn event(&mut self, kind: &EventKind) {
        let (EventKind::Submitted { task }
        | EventKind::Started { task, .. }
        | EventKind::Retried { task, .. }
        | EventKind::Lost { task, .. }
        | EventKind::Ended { task, .. }) = kind
        else {
            return;
        };
        let known = self.tasks.entry(task.id.0).or_default();
        match kind {
            EventKind::Submitted { .. } => known.submitted += 1,
            EventKind::Ended { state, .. } => known.ended.push(*state),
            _ => {
                let running = known.submitted == 1 && known.ended.is_empty();
                assert!(running, "{kind:?} of {known:?}");
            }
        }
    }

    /// Whether the events of a task are those of one that has ended in this state.
    pub(super) fn check(&self, number: u64, state: TaskState) -> Result<(), String> {
        let whole = Task {
            submitted: 1,
            ended: vec![state],
        };
        match self.tasks.get(&number) {
            Some(received) if *received == whole => Ok(()),
            other => Err(format!(
                "task {number} is {state:?}, and these events came: {other:?}"
            )),
        }
    }
}
