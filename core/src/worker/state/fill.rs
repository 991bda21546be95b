//! Tasks that wait go to slots.

use tokio::time::Instant;

use crate::slot::{Frame, SlotId};

use super::super::effect::Effect;
use super::super::frame::{FrameSize, cut};
use super::WorkerState;
use super::slots::{InFlight, Phase, Request, SlotState};

impl WorkerState {
    /// Gives waiting tasks to free slots, and starts slots where some are missing.
    pub(super) fn fill(&mut self, now: Instant) {
        if !self.resumed.is_empty() {
            self.resume(now);
        }
        if self.broken.is_some() {
            self.fail_pending();
            return;
        }
        // Before all else: while a suspect is here, other work would be a second candidate for the next death.
        if self.quarantined.is_some() {
            self.fill_quarantined(now);
            return;
        }
        // Before the others: they could take every idle slot in turn, and a suspect would never get a fresh one.
        let waits = self.fill_alone(now);
        while let Some(at) = self.next_chunk() {
            let Some(slot) = self.choose(waits, now) else {
                break;
            };
            self.bring_forward(at);
            self.send(slot, now);
        }
        // Last: only what no slot took needs another slot.
        self.start_slots(now);
    }

    /// The next chunk whose tasks need no fresh slot.
    fn next_chunk(&self) -> Option<usize> {
        let mut chunks = self.pending.iter();
        chunks.position(|chunk| !chunk.alone && self.fits(chunk))
    }

    /// Gives fresh slots to tasks that need one each. True when one of them waits for a place.
    fn fill_alone(&mut self, now: Instant) -> bool {
        while let Some(at) = self.pending.iter().position(|chunk| chunk.alone) {
            if !self.fits(&self.pending[at]) {
                return true;
            }
            let fresh = |slot: &SlotState| slot.executions == 0 && slot.is_idle();
            let Some(slot) = self.slots.iter().position(fresh) else {
                if self.taken_places() >= self.settings.slots as usize {
                    self.retire_idle_slot(now);
                }
                return true;
            };
            self.bring_forward(at);
            self.send(slot, now);
        }
        false
    }

    /// Makes a chunk the first; the others keep their order.
    fn bring_forward(&mut self, at: usize) {
        if at > 0
            && let Some(chunk) = self.pending.remove(at)
        {
            self.pending.push_front(chunk);
        }
    }

    /// The slot for the next frame: an idle one, else one whose short work is soon over. While a task waits for a
    /// fresh slot nothing goes behind other work, so that a slot falls idle and can be replaced.
    fn choose(&self, idle_only: bool, now: Instant) -> Option<usize> {
        let idle = self.slots.iter().position(SlotState::is_idle);
        let wear = self.settings.max_tasks_per_slot;
        idle.or_else(|| {
            if idle_only {
                return None;
            }
            let room = |slot: &SlotState| slot.has_room_behind(now) && slot.wear_left(wear) > 0;
            let rooms = self.slots.iter().enumerate().filter(|(_, slot)| room(slot));
            rooms
                // The slot with the fewest tasks is likely the first to be free.
                .min_by_key(|(_, slot)| slot.left())
                .map(|(index, _)| index)
        })
    }

    /// Cuts a frame off the first chunk and gives it to a slot.
    fn send(&mut self, slot: usize, now: Instant) {
        let Some(chunk) = self.pending.front_mut() else {
            return;
        };
        let Some(held) = self.batches.get_mut(&chunk.execution) else {
            // A chunk never outlives its batch; were it so, its tasks come back by lease.
            self.waiting -= u64::from(chunk.count);
            self.pending.pop_front();
            return;
        };
        // Half of an even share, so that the last frames end together.
        let share = self.waiting.div_ceil(u64::from(self.settings.slots) * 2);
        let share = u32::try_from(share).unwrap_or(u32::MAX);
        let wear = self.settings.max_tasks_per_slot;
        let most = self.slots[slot].most(wear, &chunk.entries);
        let FrameSize {
            length,
            count,
            expected,
            timeout,
            memory,
        } = cut(&chunk.entries, &held.known, &self.estimates, share, most);
        // A timeout counts from when its own task began: that must be noted too.
        let noted = count > 1 && (chunk.noted || timeout.is_some());
        let entries = chunk.entries.split_to(length);
        let execution = chunk.execution;
        chunk.count -= count;
        if chunk.count == 0 {
            self.pending.pop_front();
        }
        // From here on the batch is never given back whole: what has not begun of it is put back as a new message.
        held.begun = true;
        let task_types = held.indices.clone();
        self.waiting -= u64::from(count);
        let number = self.next_frame;
        self.next_frame += 1;
        let id = self.execution_id(execution);
        let frame = Frame {
            number,
            execution: id,
            task_types,
            // A second handle of the same bytes and no copy: the slot writes them to its socket, and the state needs
            // them if they must run again.
            entries: entries.clone(),
            count,
            noted,
            memory,
        };
        let slot = &mut self.slots[slot];
        // Only a frame at the front runs. The time of one behind it begins with the end of the first (`end_frame`).
        let since = slot.frames.is_empty().then_some(now);
        slot.frames.push_back(InFlight {
            number,
            execution,
            entries,
            count,
            done: 0,
            expected,
            timeout,
            memory,
            since,
            look: None,
            reclaiming: false,
            noted,
            stop_by: None,
        });
        let id = slot.id;
        self.effects.push(Effect::Run(id, frame));
    }

    /// Starts slots lazily: no more than there are tasks without one.
    fn start_slots(&mut self, now: Instant) {
        let starting = self
            .slots
            .iter()
            .filter(|slot| slot.phase == Phase::Starting)
            .count();
        let room = self.free_places();
        let room = room.min(self.startups.room(now, starting, self.has_living_slot()));
        let wanted = usize::try_from(self.waiting)
            .unwrap_or(usize::MAX)
            // Slots that are starting will take waiting tasks, one each at least. Without this each call would start as
            // many again.
            .saturating_sub(starting);
        for _ in 0..wanted.min(room) {
            self.start_slot(now);
        }
    }

    fn start_slot(&mut self, now: Instant) {
        let id = SlotId(self.next_slot);
        self.next_slot += 1;
        let mut slot = SlotState::new(id);
        // The time to be ready counts from here, and not from the spawn: a spawn that hangs is a slot that is not ready.
        slot.ask(Request::Ready, now, self.settings.start_timeout);
        self.slots.push(slot);
        self.effects.push(Effect::Start(id));
    }

    /// A suspect runs alone: other slots end what they have, then it gets a fresh one.
    fn fill_quarantined(&mut self, now: Instant) {
        // Nothing is killed for the suspect: what runs ends first, and `fill` comes back here with each end.
        if self.slots.iter().any(|slot| !slot.frames.is_empty()) {
            return;
        }
        let Some(at) = self
            .pending
            .iter()
            .position(|chunk| Some(chunk.execution) == self.quarantined && self.fits(chunk))
        else {
            return;
        };
        match self
            .slots
            .iter()
            .position(|slot| slot.executions == 0 && slot.phase != Phase::Leaving)
        {
            Some(fresh) if self.slots[fresh].phase == Phase::Ready => {
                self.bring_forward(at);
                self.send(fresh, now);
            }
            Some(_) => {}
            None if self.taken_places() < self.settings.slots as usize => {
                if self.free_places() > 0 && self.startups.room(now, 0, self.has_living_slot()) > 0
                {
                    self.start_slot(now);
                }
            }
            None => self.retire_idle_slot(now),
        }
    }

    /// Makes room for a fresh slot.
    fn retire_idle_slot(&mut self, now: Instant) {
        // One at a time: a slot that starts or exits already makes the room that is needed.
        if self.slots.iter().any(SlotState::is_changing) {
            return;
        }
        if let Some(at) = self.slots.iter().position(SlotState::is_idle) {
            self.let_exit(at, now);
        }
    }

    /// Answers every waiting task with the reason why no slot can be had.
    fn fail_pending(&mut self) {
        let Some(failure) = self.broken.clone() else {
            return;
        };
        for chunk in std::mem::take(&mut self.pending) {
            self.waiting -= u64::from(chunk.count);
            self.report_all(chunk.execution, &chunk.entries, &failure);
        }
    }
}
