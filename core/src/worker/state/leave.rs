//! Tasks that must stop, and the worker's own leaving.

use tokio::time::Instant;

use crate::envelope::entry::{TaskHead, task_head};
use crate::instant::after;

use super::super::effect::Effect;
use super::WorkerState;
use super::slots::KillReason;

impl WorkerState {
    /// Takes nothing more and puts back what has not begun; what runs goes on until [`stop`](Self::stop).
    pub fn drain(&mut self) {
        self.draining = true;
        let unbegun: Vec<u64> = self
            .batches
            .iter()
            .filter(|(_, held)| !held.begun)
            .map(|(number, _)| *number)
            .collect();
        // Released, and not put back as new messages: the queue delivers them again at once, at the price of one call.
        for execution in unbegun {
            self.pending.retain(|chunk| chunk.execution != execution);
            self.release(execution);
        }
        // Ends: `put_back` takes one chunk out in each case. Lost leases leave no chunk behind.
        while !self.pending.is_empty() {
            self.put_back(0);
        }
        // The chunks of released batches were dropped above without being subtracted.
        self.waiting = 0;
    }

    /// Drains, and cancels what runs. What ends by itself from here on is reported as it ended; what fails was
    /// interrupted, and comes back by its batch, which is given back now rather than a lease later.
    pub fn terminate(&mut self) {
        self.terminating = true;
        self.drain();
        let mut running = Vec::new();
        for slot in &self.slots {
            // The first entry without a result: results that came have advanced the entries, so this is the task that
            // runs, or one whose result is on its way.
            if let Some(frame) = slot.frames.front()
                && let Ok(Some(head)) = task_head(&frame.entries)
            {
                running.push((slot.id, frame.number, head.task, head.attempt));
            }
        }
        for (slot, frame, task, attempt) in running {
            self.effects
                .push(Effect::Cancel(slot, frame, task, attempt));
        }
    }

    /// Kills every slot: running tasks are reported as interrupted and come back by lease.
    pub fn stop(&mut self, now: Instant) {
        self.drain();
        for at in 0..self.slots.len() {
            // By index, as in `on_tick`: a kill removes no slot before the slot's end is reported.
            self.kill(at, KillReason::Interrupted, now);
        }
    }

    /// Lets every slot end. The caller holds no batch any more, so they are idle, or start. One that does not end
    /// within the grace is killed.
    pub fn retire_slots(&mut self, now: Instant) {
        self.draining = true;
        for at in 0..self.slots.len() {
            self.let_exit(at, now);
        }
    }

    /// Cancels the tasks of an execution whose lease was lost.
    pub(super) fn cancel_execution(&mut self, execution: u64, now: Instant) {
        self.cancel_where(now, |state, frame, head| {
            frame == execution && state.must_stop(frame, head)
        });
    }

    /// Cancels the revoked tasks that run.
    pub(super) fn cancel_revoked(&mut self, now: Instant) {
        self.cancel_where(now, |state, _, head| {
            state.revoked.contains(head.task, head.attempt)
        });
    }

    /// Whether a task must stop: it is revoked, or its lease is lost and it did not opt to finish.
    pub(super) fn must_stop(&self, execution: u64, head: &TaskHead) -> bool {
        let lost = self.batches.get(&execution).is_none_or(|held| {
            let task_type = held.known.get(usize::from(head.task_type));
            held.lost && task_type.is_none_or(|task_type| !task_type.finish_on_lost_lease)
        });
        lost || self.revoked.contains(head.task, head.attempt)
    }

    /// Cancels the tasks in slots that match, and reclaims those of their frames that have not begun.
    fn cancel_where(&mut self, now: Instant, matches: impl Fn(&Self, u64, &TaskHead) -> bool) {
        // Collected first: the match reads the whole state, and the requests below change the slots. A cancellation
        // moves no slot or frame, so the places stay valid.
        let mut cancelled = Vec::new();
        for (at, slot) in self.slots.iter().enumerate() {
            for (place, frame) in slot.frames.iter().enumerate() {
                let mut rest = &frame.entries[..];
                while let Ok(Some(head)) = task_head(rest) {
                    if matches(self, frame.execution, &head) {
                        cancelled.push((at, place, head));
                    }
                    rest = &rest[head.length..];
                }
            }
        }
        let grace_ends = after(now, self.settings.grace);
        let mut last = None;
        for (at, place, head) in cancelled {
            let slot = &mut self.slots[at];
            let several = slot.frames.len() > 1;
            let frame = &mut slot.frames[place];
            // Reclaimed first: else the next task begins as soon as the cancelled one ends.
            if (several || frame.count > 1) && last != Some((at, place)) {
                self.effects.push(Effect::Reclaim(slot.id, frame.number));
            }
            // Once for each frame, though several of its tasks may match.
            last = Some((at, place));
            let cancel = Effect::Cancel(slot.id, frame.number, head.task, head.attempt);
            self.effects.push(cancel);
            // The first request counts. Later control messages name the same revocation again, which must not lengthen
            // the grace.
            frame.stop_by.get_or_insert(grace_ends);
        }
    }

    /// The batch comes back by its lease: give it up now rather than a lease later.
    pub(super) fn give_up_lease(&mut self, execution: u64) {
        if let Some(held) = self.batches.get_mut(&execution)
            && !held.lost
        {
            // Before the release: from here on no result of this execution leads to an acknowledgement, which would
            // remove the message that was just given back.
            held.lost = true;
            self.effects.push(Effect::Release(held.lease.clone()));
        }
    }
}
