//! Slots print: which task a line belongs to, and what must follow it.

use std::collections::HashMap;

use crate::envelope::entry::task_head;
use crate::envelope::{Body, PrintedTask};
use crate::slot::{SlotId, Stream};

use super::super::effect::Effect;
use super::super::frame::options;
use super::super::held::Held;
use super::WorkerState;
use super::slots::SlotState;

impl WorkerState {
    /// A slot printed a line.
    pub(super) fn on_output(&mut self, id: SlotId, stream: Stream, line: String) {
        // Counted before it is known whether the line is sent: `Results::lines` and `Printed::through` count the same
        // lines, those left out too.
        self.lines += 1;
        let slot = self.slots.iter_mut().find(|slot| slot.id == id);
        let task = slot.and_then(|slot| {
            slot.printed = Some(slot.executions);
            sole_task(slot, &self.batches)
        });
        self.effects.push(Effect::Output(id, task, stream, line));
    }

    /// Sends results that fail tasks, after the lines so far.
    pub(super) fn publish_failures(&mut self, execution: u64, entries: Body, count: u32) {
        // Before the results, and effects are carried out in order: the master holds a failure until it has this many
        // lines.
        self.effects.push(Effect::SendLines);
        self.publish_results(execution, entries, count);
    }
}

/// The task that a slot's output belongs to: the only one that it has.
fn sole_task(slot: &SlotState, batches: &HashMap<u64, Held>) -> Option<PrintedTask> {
    let sole = slot.frames.len() == 1;
    let frame = slot
        .frames
        .front()
        .filter(|frame| sole && frame.count == 1)?;
    let head = task_head(&frame.entries).ok().flatten()?;
    let task_types = &batches.get(&frame.execution)?.task_types;
    Some(PrintedTask {
        task: head.task,
        attempt: head.attempt,
        name: task_types.get(usize::from(head.task_type))?.name.clone(),
        key: options(&frame.entries, &head).key,
    })
}
