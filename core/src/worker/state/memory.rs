//! The memory of one machine, which running tasks share by what they declare.
//!
//! The master publishes no more than fits, as far as it knows what runs. Here a task that declares memory begins only when
//! its bytes are free: a task that was cancelled has them until it has ended, and so has a slot that keeps them.

use std::time::Duration;

use tokio::time::Instant;

use crate::envelope::entry::task_head;

use super::super::effect::Probe;
use super::super::frame;
use super::super::held::Chunk;
use super::WorkerState;
use super::slots::SlotState;

/// How much a slot may have grown since it was ready: this part of what its task declared, or so many bytes.
// An allocator keeps some of what was freed. With eight slots an eighth of each is at most what one task declared. 64 MiB
// are below what any budget is shared in.
const KEPT_PART: u64 = 8;
const KEPT: u64 = 64 << 20;
/// Longest time that such a slot may take to exit: tasks wait for its memory, and it runs none.
// The default grace is 5 s. A process that frees much memory needs seconds.
pub(super) const RETURNS: Duration = Duration::from_secs(30);

impl WorkerState {
    /// A task that declared so much memory has ended in a slot that has no other: the slot is replaced if it keeps too
    /// much of it.
    pub(super) fn return_memory(
        &mut self,
        at: usize,
        declared: Option<u64>,
        now: Instant,
        probe: &dyn Probe,
    ) {
        let Some(declared) = declared.filter(|_| self.settings.shared_memory.is_some()) else {
            return;
        };
        let slot = &mut self.slots[at];
        if !slot.frames.is_empty() {
            return;
        }
        // Where the system does not report it, nothing is known to be kept.
        let resident = probe.resident(slot.id).unwrap_or_default();
        let grown = resident.saturating_sub(slot.base);
        if grown > (declared / KEPT_PART).max(KEPT) {
            slot.kept = grown;
            self.let_exit(at, now);
        }
    }

    /// What a slot has resident before its first task: its program, and what its initializer made.
    pub(super) fn note_base(&mut self, at: usize, probe: &dyn Probe) {
        if self.settings.shared_memory.is_some() {
            let slot = &mut self.slots[at];
            slot.base = probe.resident(slot.id).unwrap_or_default();
        }
    }

    /// Whether the first task of a chunk may begin beside what runs.
    pub(super) fn fits(&self, chunk: &Chunk) -> bool {
        let Some(shared) = self.settings.shared_memory else {
            return true;
        };
        // Nearly always: no task that declares memory runs.
        let used = self.slots.iter().map(SlotState::memory);
        let used = used.fold(0_u64, u64::saturating_add);
        // Alone in any case: a task that waits for nothing must not wait for ever.
        used == 0
            || used.saturating_add(self.declared(chunk)) <= shared
            || self.declared(chunk) == 0
    }

    /// What the first task of a chunk declares.
    fn declared(&self, chunk: &Chunk) -> u64 {
        let held = self.batches.get(&chunk.execution);
        let declared = match (held, task_head(&chunk.entries)) {
            (Some(held), Ok(Some(head))) => frame::memory(&chunk.entries, &head, &held.known),
            _ => None,
        };
        declared.unwrap_or_default()
    }
}

impl SlotState {
    /// Bytes that its tasks declare, or that it keeps.
    fn memory(&self) -> u64 {
        let frames = self.frames.iter().filter_map(|frame| frame.memory);
        // One after the other.
        frames.fold(self.kept, u64::max)
    }
}
