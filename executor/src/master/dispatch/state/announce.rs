//! What the master sends to workers and fleet.

use std::time::Duration;

use podpool_core::envelope::Control;
use podpool_core::fleet::FleetOrder;
use podpool_core::id::WorkerId;
use podpool_core::instant::after;
use tokio::time::Instant;

use super::super::effect::Effect;
use super::workers::Worker;
use super::{HEARTBEAT, MasterState};

/// How long control names a worker that has greeted: the next message replaces a lost one.
// Six heartbeats: six messages in a row must be lost before a worker misses its number. At half three; at double a
// start of a thousand workers makes control larger for twice as long, by up to 10 bytes each.
const GREETED: Duration = Duration::from_secs(60);

/// What was sent last, and when more may be sent.
#[derive(Debug)]
pub(super) struct Announced {
    /// Whether the newest state was not sent yet.
    changed: bool,
    /// The number of the newest control message.
    sequence: u64,
    /// When the state is sent again, although nothing has changed.
    heartbeat: Instant,
    /// Before this, a change waits for more changes.
    control_after: Instant,
}

impl Announced {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            // Workers that start wait for the first message.
            changed: true,
            sequence: 0,
            heartbeat: after(now, HEARTBEAT),
            control_after: now,
        }
    }

    /// The state has changed: it must be sent.
    pub(super) const fn changed(&mut self) {
        self.changed = true;
    }
}

impl MasterState {
    /// When control must be sent.
    pub(super) fn announce_deadline(&self) -> Option<Instant> {
        let Announced {
            changed,
            heartbeat,
            control_after,
            ..
        } = self.announced;
        Some(if changed {
            control_after.min(heartbeat)
        } else {
            heartbeat
        })
    }

    pub(super) fn order(&mut self, order: FleetOrder) {
        self.effects.push(Effect::Fleet(order));
    }

    /// Sends the run's state to the workers: at once when it changed, else every ten seconds.
    pub(super) fn announce_to_workers(&mut self, now: Instant) {
        if self.life.is_left() {
            // Its tasks go on, and the table has them no more: a message would tell workers that they have ended. Workers
            // that have not heard of the next master yet would believe it, and cancel what that one waits for.
            self.announced.heartbeat = after(now, HEARTBEAT);
            self.announced.changed = false;
            return;
        }
        // Computed from the table in every turn and not noted where a task ends: no path to the end can miss it.
        let run_state = self.life.run_state(self.unfinished());
        if let Some(state) = run_state.filter(|state| *state != self.run_state) {
            self.run_state = state;
            self.announced.changed();
            // Workers wait for the new state, and it changes three times at most.
            self.announced.control_after = now;
        }
        if self.life.is_ending() {
            // The last message is the state above; after it no worker listens.
            self.announced.heartbeat = after(now, HEARTBEAT);
        }
        let due = now >= self.announced.heartbeat;
        // A burst of cancels is one message, not one each.
        let changed = self.announced.changed && now >= self.announced.control_after;
        if due || changed {
            self.send_control(now);
        }
    }

    pub(super) fn send_control(&mut self, now: Instant) {
        let announced = &mut self.announced;
        announced.changed = false;
        announced.sequence += 1;
        announced.control_after = after(now, self.settings.control_pause);
        // Moved when it is due and not by each change: the heartbeat also repeats a change whose message was lost.
        if now >= announced.heartbeat {
            announced.heartbeat = after(now, HEARTBEAT);
        }
        // Here alone and not at each end: the message carries both, the number and the ranges above it, of one moment.
        self.revoked.forget_below(self.table.ended_below());
        let control = self.control(now);
        let message = control.message(&self.settings.mac_key);
        self.effects.push(Effect::Control(message));
    }

    /// The run's state, as control carries it.
    pub(super) fn control(&self, now: Instant) -> Control {
        Control {
            run: self.settings.run.clone(),
            epoch: self.settings.epoch,
            sequence: self.announced.sequence,
            state: self.run_state,
            ended_below: self.table.ended_below(),
            revoked: self.revoked.to_vec(),
            drain: self.drain.clone(),
            greeted: self.greeted(now),
        }
    }

    /// Workers that greeted within [`GREETED`]: each waits for its number here before it pulls.
    fn greeted(&self, now: Instant) -> Vec<WorkerId> {
        let lately = |worker: &Worker| worker.greeted().is_some_and(|at| now < after(at, GREETED));
        let workers = self.workers.iter().filter(|(_, worker)| lately(worker));
        workers.map(|(id, _)| *id).collect()
    }

    /// Sends the fleet the number of unfinished tasks, and the order to end.
    pub(super) fn announce_to_fleet(&mut self, now: Instant) {
        // `Stop` and not `End`: what the workers of a broken run still do is of no use.
        if self.life.broken().is_some() && !self.life.is_ending() {
            self.life.end_fleet();
            self.order(FleetOrder::Stop);
        }
        let (unfinished, closing) = (self.unfinished(), self.life.is_closing());
        let over = closing && unfinished == 0;
        // Workers have received that the run has ended, and send their last lines; after the end no line is taken.
        // `may_end` is called until its time is over, whatever ends the run: else its deadline would wake the loop
        // again and again.
        if over && self.after_lines.may_end(now) && !self.life.is_ending() {
            self.life.end_fleet();
            self.order(FleetOrder::End);
        }
        if !over && !self.life.is_ending() {
            self.order_needed(closing);
        }
    }

    /// Sends the fleet what has changed of each class. Above the number of slots a change is none for the fleet.
    // So a run of a million tasks sends orders while its last tasks end, as many as there are slots, and not one for
    // each task.
    fn order_needed(&mut self, closing: bool) {
        let (slots, most) = (self.settings.slots, self.most_slots());
        for place in 0..self.classes.len() {
            let id = self.classes.at(place);
            let Some(class) = self.classes.get_mut(id) else {
                continue;
            };
            let unfinished = class.unfinished.min(most);
            let needed = Some((unfinished.min(slots), closing));
            if needed != class.needed {
                class.needed = needed;
                self.order(FleetOrder::Needed {
                    class: id,
                    unfinished,
                    closing,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests;
