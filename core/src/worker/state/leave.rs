//! Tasks that must stop, and the worker's own leaving.

use tokio::time::Instant;

use crate::envelope::entry::{TaskHead, task_head};

use super::super::effect::Effect;
use super::State;
use super::slots::{Phase, Sentence};

impl State {
    /// Takes nothing more and puts back what has not begun; what runs goes on until [`stop`](Self::stop).
    pub fn drain(&mut self) {
        self.draining = true;
        let unbegun: Vec<u64> = self
            .parcels
            .iter()
            .filter(|(_, held)| !held.begun)
            .map(|(number, _)| *number)
            .collect();
        for execution in unbegun {
            self.pending.retain(|chunk| chunk.execution != execution);
            self.release(execution);
        }
        while !self.pending.is_empty() {
            self.put_back(0);
        }
        self.waiting = 0;
    }

    /// Kills every slot: running tasks are reported as interrupted and come back by lease.
    pub fn stop(&mut self) {
        self.drain();
        for at in 0..self.slots.len() {
            self.kill(at, Sentence::Interrupted);
        }
    }

    /// Lets every slot end once it is idle.
    pub fn retire_slots(&mut self) {
        self.draining = true;
        for slot in &mut self.slots {
            if slot.phase != Phase::Leaving {
                slot.phase = Phase::Leaving;
                self.effects.push(Effect::Exit(slot.id));
            }
        }
    }

    /// Asks the tasks of an execution to stop.
    pub(super) fn cancel_execution(&mut self, execution: u64, now: Instant) {
        let Some(known) = self.parcels.get(&execution).map(|held| held.known.clone()) else {
            return;
        };
        self.cancel_where(now, |_, frame, head| {
            let kind = known.get(usize::from(head.kind));
            frame == execution && kind.is_none_or(|kind| !kind.finish_on_lost_lease)
        });
    }

    /// Asks the retired tasks that run to stop.
    pub(super) fn cancel_retired(&mut self, now: Instant) {
        self.cancel_where(now, |state, _, head| {
            state.retired.contains(head.task, head.attempt)
        });
    }

    /// Cancels the first task of each slot's frame that matches, and asks for those behind it.
    fn cancel_where(&mut self, now: Instant, matches: impl Fn(&Self, u64, &TaskHead) -> bool) {
        let mut cancelled = Vec::new();
        for (at, slot) in self.slots.iter().enumerate() {
            for frame in &slot.frames {
                let mut rest = &frame.entries[..];
                while let Ok(Some(head)) = task_head(rest) {
                    if matches(self, frame.execution, &head) {
                        cancelled.push((at, frame.number, frame.count, head.task, head.attempt));
                        break;
                    }
                    rest = &rest[head.length..];
                }
            }
        }
        for (at, frame, count, task, attempt) in cancelled {
            let slot = &mut self.slots[at];
            self.effects.push(Effect::Cancel(slot.id, task, attempt));
            if count > 1 || slot.frames.len() > 1 {
                self.effects.push(Effect::Revoke(slot.id, frame));
            }
            if slot.stopping.is_none() {
                slot.stopping = Some((task, attempt, now + self.settings.grace));
            }
        }
    }

    /// The parcel comes back by its lease: give it up now rather than a lease later.
    pub(super) fn give_up_lease(&mut self, execution: u64) {
        if let Some(held) = self.parcels.get_mut(&execution)
            && !held.lost
        {
            held.lost = true;
            self.effects.push(Effect::Release(held.lease.clone()));
        }
    }
}
