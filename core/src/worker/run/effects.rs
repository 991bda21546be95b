//! The state's effects, carried out on slots and queues.

use futures_util::FutureExt;
use tokio::time::Instant;

use crate::queue::{LeaseId, begin};
use crate::slot::{Slot, SlotId};

use super::super::effect::{Effect, Topic};
use super::super::printed::OutputLine;
use super::super::pull::{acknowledge, release};
use super::RunningWorker;

// In the order of the state: an acknowledgement never overtakes the message that it depends on, for that one is
// confirmed before the state requests the acknowledgement.
impl RunningWorker {
    /// Carries the state's effects out, and those that they have themselves: a slot that cannot be started has another
    /// one started at once.
    pub(super) fn carry_out(&mut self, now: Instant) {
        let mut effects = std::mem::take(&mut self.effects);
        let (mut acks, mut releases) = (Vec::new(), Vec::new());
        loop {
            self.state.take_effects(&mut effects);
            if effects.is_empty() {
                break;
            }
            // Once for each round of effects, before the first of them: a frame must be in the list before a slot can
            // crash with it.
            self.note_running();
            for effect in effects.drain(..) {
                self.effect(now, effect, &mut acks, &mut releases);
            }
        }
        self.effects = effects;
        // All of one step in one call each. Releases come from the same step, but never for a lease that is
        // acknowledged: a batch leaves the table once.
        self.acknowledge(acks);
        self.release(releases);
    }

    /// Results that a queue stores at once need no turn of the loop until their batch is acknowledged. Before what is
    /// due is looked at, for this may be the last that is waited for.
    pub(super) fn take_stored(&mut self, now: Instant) {
        // A poll without a waker: what is not stored at once stays in the publisher, and the loop polls it again in
        // `wait`.
        while let Some(receipts) = self.results.next().now_or_never() {
            for receipt in receipts {
                self.state.on_published(now, receipt);
            }
        }
    }

    pub(super) fn effect(
        &mut self,
        now: Instant,
        effect: Effect,
        acks: &mut Vec<LeaseId>,
        releases: &mut Vec<LeaseId>,
    ) {
        match effect {
            Effect::Start(id) => self.start_slot(id),
            Effect::Run(id, frame) => self.with(id, |slot| slot.run(frame)),
            Effect::Reclaim(id, frame) => self.with(id, |slot| slot.reclaim(frame)),
            Effect::Cancel(id, frame, task, attempt) => {
                self.with(id, |slot| slot.cancel(frame, task, attempt));
            }
            Effect::Exit(id) => self.with(id, Slot::exit),
            Effect::Kill(id) => self.with(id, Slot::kill),
            Effect::Drop(id) => drop(self.slots.0.remove(&id)),
            Effect::Publish(out) => match out.to {
                Topic::Results => self.results.push(out.message, out.receipt),
                Topic::Tasks => self.tasks.push(out.message, out.receipt),
            },
            Effect::Ack(lease) => acks.push(lease),
            Effect::Release(lease) => releases.push(lease),
            Effect::Output(slot, task, stream, line) => {
                (self.worker.output)(OutputLine::here(slot, task.as_ref(), stream, &line));
                if self.worker.conduct.forward_output {
                    self.printed.push(now, task.as_ref(), stream, &line);
                }
            }
            // In a flood each message holds the number of lines that are missing: they stay few, and the master waits a
            // little.
            Effect::SendLines => self.send_lines(now, self.printed.is_whole()),
        }
    }

    pub(super) fn with(&self, id: SlotId, order: impl FnOnce(&Slot)) {
        // A slot that ended meanwhile has sent `Exited`: its tasks wait again by then.
        if let Some(slot) = self.slots.0.get(&id) {
            order(slot);
        }
    }

    pub(super) fn start_slot(&mut self, id: SlotId) {
        match Slot::start(id, &self.worker.launch, self.events_tx.clone()) {
            Ok(slot) => drop(self.slots.0.insert(id, slot)),
            // A fresh look at the clock: a spawn may have taken long, and the delay of the next one counts from its
            // end.
            Err(error) => self.state.on_start_failed(Instant::now(), id, &error),
        }
    }

    pub(super) fn acknowledge(&mut self, leases: Vec<LeaseId>) {
        if !leases.is_empty() {
            // Before the call: a renewal that is sent beside the acknowledgement could fail, and would be reported as a
            // lost lease.
            leases.iter().for_each(|lease| self.keeper.forget(lease));
            let queue = self.worker.queues.tasks.clone();
            self.answers.extend(begin(acknowledge(queue, leases)));
        }
    }

    pub(super) fn release(&mut self, leases: Vec<LeaseId>) {
        if !leases.is_empty() {
            leases.iter().for_each(|lease| self.keeper.forget(lease));
            let queue = self.worker.queues.tasks.clone();
            self.answers.extend(begin(release(queue, leases)));
        }
    }
}
