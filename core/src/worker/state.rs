//! The state of a worker and its decisions: no IO, no clock, no channel.
//!
//! Every input takes `now` and leaves its [`Effect`]s for the loop. Batches come in at one end; their tasks wait
//! in chunks, go to slots in frames, and leave as results. A batch is acknowledged when each of its tasks is
//! in safety.

mod fill;
mod intake;
mod judge;
mod leave;
mod lines;
mod lost;
mod memory;
mod overdue;
mod replay;
mod report;
mod results;
mod shortage;
mod slots;
mod startups;
#[cfg(test)]
mod tests;
mod tick;
mod waiting;

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::envelope::entry::task_head;
use crate::envelope::{Alive, Control, MacKey, TaskRun, TaskType};
use crate::id::{Attempt, ExecutionId, RunId, TaskId, WorkerId};
use crate::instant::after;
use crate::key::ShownKey;
use crate::outcome::Failure;
use crate::queue::LeaseId;
use crate::slot::SlotId;
use crate::wall::WallTime;

use self::replay::Arrival;
use self::slots::SlotState;
use self::startups::Startups;
use super::effect::{Effect, Outgoing, Receipt, Topic};
use super::estimate::Estimates;
use super::frame::options;
use super::held::{Chunk, Held};
use super::prefetch::Prefetch;
use super::replay::Stored;
use super::revoked::RevokedSet;

pub use self::intake::Lookup;

/// The settings with which a worker starts.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The run.
    pub run: RunId,
    /// This worker.
    pub worker: WorkerId,
    /// The key that authenticates messages.
    pub mac_key: MacKey,
    /// Most slots.
    pub slots: u32,
    /// Executions after which a slot is replaced; none by default.
    pub max_tasks_per_slot: Option<u64>,
    /// From a cancelled token, or from the request to exit, to the kill.
    pub grace: Duration,
    /// From the start of a slot until it must be ready, its initializer included.
    pub start_timeout: Duration,
    /// Largest message that the results' queue carries, in bytes.
    pub message_bytes: usize,
    /// Bytes that the tasks which run share by what they declare; none where each slot has memory of its own.
    pub shared_memory: Option<u64>,
    /// The task types of the master that started this worker: another type is that of a later master, whose program is
    /// another one. None where workers end with their master.
    // Not its epoch: the next master takes over workers whose description is its own, letter for letter.
    pub types: Option<Vec<TaskType>>,
}

/// The worker.
#[derive(Debug)]
pub struct WorkerState {
    settings: Settings,
    batches: HashMap<u64, Held>,
    next_execution: u64,
    pending: VecDeque<Chunk>,
    /// Tasks in `pending`.
    waiting: u64,
    slots: Vec<SlotState>,
    next_slot: u32,
    next_frame: u64,
    estimates: Estimates,
    prefetch: Prefetch,
    revoked: RevokedSet,
    revoked_since: Vec<TaskRun>,
    /// Envelopes that were acknowledged and not run: their results are stored, or their tasks have ended.
    replays: u64,
    /// The number of the newest message about the state of this worker.
    sequence: u64,
    empty_pulls: u32,
    epoch: u64,
    /// The highest epoch of a batch.
    published: u64,
    control: u64,
    /// The execution beside which nothing else may run.
    quarantined: Option<u64>,
    /// Suspects of slots of this worker, the last ones: the attempts that run alone.
    own_suspects: VecDeque<(TaskId, Attempt)>,
    /// Whether nothing more is taken.
    draining: bool,
    /// Whether what runs was cancelled because this worker must end.
    terminating: bool,
    startups: Startups,
    /// What must not run again when it is delivered again.
    stored: Stored,
    /// Batches that were delivered again while an execution of them is here: each waits for that one.
    deferred: Vec<(u64, Arrival)>,
    /// Those that need not wait any more.
    resumed: Vec<Arrival>,
    broken: Option<Failure>,
    /// What a later master asked for that this worker's program cannot run.
    outdated: Option<Failure>,
    /// Lines that slots printed.
    lines: u64,
    /// What the wall clock showed at the beginning of this turn.
    wall: WallTime,
    effects: Vec<Effect>,
}

impl WorkerState {
    /// A worker that holds nothing.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            batches: HashMap::new(),
            next_execution: 0,
            pending: VecDeque::new(),
            waiting: 0,
            slots: Vec::new(),
            next_slot: 0,
            next_frame: 0,
            estimates: Estimates::default(),
            prefetch: Prefetch::default(),
            revoked: RevokedSet::default(),
            revoked_since: Vec::new(),
            replays: 0,
            sequence: 0,
            empty_pulls: 0,
            epoch: 0,
            published: 0,
            control: 0,
            quarantined: None,
            own_suspects: VecDeque::new(),
            draining: false,
            terminating: false,
            startups: Startups::default(),
            stored: Stored::default(),
            deferred: Vec::new(),
            resumed: Vec::new(),
            broken: None,
            outdated: None,
            lines: 0,
            wall: WallTime::default(),
            effects: Vec::new(),
        }
    }

    /// Takes the effects of the inputs so far, in order. `into` is emptied first.
    pub fn take_effects(&mut self, into: &mut Vec<Effect>) {
        into.clear();
        // Swapped and not copied: both vectors keep their memory, so a turn of the loop allocates nothing for effects.
        std::mem::swap(&mut self.effects, into);
    }

    /// Whether it holds no batch.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Whether every slot has ended.
    #[must_use]
    pub fn has_no_slots(&self) -> bool {
        self.slots.is_empty()
    }

    /// Why no slot can be had any more, if so.
    #[must_use]
    pub const fn broken(&self) -> Option<&Failure> {
        self.broken.as_ref()
    }

    /// What runs in slots now, or waits there behind what runs.
    #[must_use]
    pub fn running(&self) -> Vec<(ExecutionId, TaskId, Attempt)> {
        let mut running = Vec::new();
        for frame in self.slots.iter().flat_map(|slot| &slot.frames) {
            let execution = self.execution_id(frame.execution);
            // Frames that wait in the slot are listed too: after a crash of the whole worker it is not known how far
            // the slot went.
            let mut rest = &frame.entries[..];
            while let Ok(Some(head)) = task_head(rest) {
                running.push((execution, head.task, head.attempt));
                rest = &rest[head.length..];
            }
        }
        running
    }

    /// The tasks that run for `least` or longer, each by its name for users, and for how long.
    #[must_use]
    pub fn long_running(&self, now: Instant, least: Duration) -> Vec<(String, Duration)> {
        let mut long = Vec::new();
        for frame in self.slots.iter().filter_map(|slot| slot.frames.front()) {
            let Some(since) = frame.since.filter(|since| now >= after(*since, least)) else {
                continue;
            };
            let held = self.batches.get(&frame.execution);
            if let (Some(held), Ok(Some(head))) = (held, task_head(&frame.entries))
                && let Some(task_type) = held.task_types.get(usize::from(head.task_type))
            {
                let (name, task) = (&task_type.name, head.task);
                let key = options(&frame.entries, &head).key;
                let key = key.map_or_else(String::new, |key| format!(" (key {})", ShownKey(&key)));
                long.push((format!("{name} {task}{key}"), now - since));
            }
        }
        long
    }

    /// The highest epoch of a master that was seen, in control or in a batch: messages echo it, and a master that was
    /// superseded learns it by them.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        if self.published > self.epoch {
            self.published
        } else {
            self.epoch
        }
    }

    /// The highest epoch of a master whose control was taken; 0 before the first.
    #[must_use]
    pub const fn told_epoch(&self) -> u64 {
        self.epoch
    }

    /// Why this worker's program is older than that of the run's master, if it is: what a later master published and this
    /// program cannot run. That batch was given back, and so is every other one of its kind.
    #[must_use]
    pub const fn outdated(&self) -> Option<&Failure> {
        self.outdated.as_ref()
    }

    /// How many batches to take now: no more than can start soon, so that no worker holds what another could run.
    #[must_use]
    pub fn wants(&self) -> usize {
        // Each would leave a new batch waiting here: while draining or outdated it would be given back, beside a
        // suspect nothing may run, and without slots its tasks could only be answered with the failure.
        if self.draining
            || self.quarantined.is_some()
            || self.broken.is_some()
            || self.outdated.is_some()
        {
            return 0;
        }
        let idle = self.idle_slots();
        let chunks = self.pending.len();
        let soon_over = self.slots.iter().all(SlotState::is_short);
        let ahead = if soon_over {
            self.prefetch.room(self.settings.slots)
        } else {
            0
        };
        // Each waiting chunk takes at least one slot, so only what is left of the slots is room for another batch.
        if idle.max(ahead) > chunks {
            return idle.max(ahead) - chunks;
        }
        // No slot is idle: one more batch may wait here while all that is held ends soon.
        usize::from(chunks == 0 && soon_over)
    }

    /// Free slots: those without work, and those that were not started yet, unless they do not start at present.
    fn idle_slots(&self) -> usize {
        let busy = self
            .slots
            .iter()
            .filter(|slot| !slot.frames.is_empty())
            .count();
        let all = if self.startups.are_held_up() {
            self.slots.len()
        } else {
            self.settings.slots as usize
        };
        all.saturating_sub(busy)
    }

    /// A pull came back empty.
    pub fn on_empty_pull(&mut self) {
        self.empty_pulls = self.empty_pulls.saturating_add(1);
    }

    /// What the wall clock shows, once in each turn: messages state it, and nothing is decided by it.
    pub fn set_wall(&mut self, wall: SystemTime) {
        self.wall = wall.into();
    }

    /// A message is safe.
    pub fn on_published(&mut self, now: Instant, receipt: Receipt) {
        let quarantined = self.quarantined;
        self.settle(receipt);
        if self.quarantined != quarantined || !self.resumed.is_empty() {
            // What waited behind a task that ran alone may go on.
            self.fill(now);
        }
    }

    /// So many tasks of an execution are in safety.
    fn settle(&mut self, receipt: Receipt) {
        // A batch that was given back, or whose last task was settled by another receipt: nothing is left to
        // acknowledge.
        let Some(held) = self.batches.get_mut(&receipt.execution) else {
            return;
        };
        // Only stored messages come here, so an acknowledgement can never overtake what it depends on.
        held.safe += receipt.tasks;
        if held.safe >= held.count {
            self.finish(receipt.execution);
        }
    }

    /// Every task of the batch is in safety.
    fn finish(&mut self, execution: u64) {
        let Some(held) = self.batches.remove(&execution) else {
            return;
        };
        if !held.lost {
            self.effects.push(Effect::Ack(held.lease));
        }
        // All of them are stored now. An acknowledgement that is lost brings the batch again, and only this keeps its tasks
        // from running again.
        self.stored.add(held.id, &held.done);
        self.resume_after(execution);
        self.next_quarantined();
    }

    /// The oldest batch that must run with nothing beside it is the next.
    fn next_quarantined(&mut self) {
        let quarantined = self.batches.iter().filter(|(_, held)| held.quarantined);
        // The lowest number is the oldest batch. All batches are looked at, of which a worker holds few.
        self.quarantined = quarantined.map(|(execution, _)| *execution).min();
    }

    /// Takes in the master's state; older ones are passed over.
    ///
    /// Returns whether it was taken: a message of a master that was superseded, or one that comes late, changes
    /// nothing.
    pub fn on_control(&mut self, control: &Control, now: Instant) -> bool {
        if (control.epoch, control.sequence) <= (self.epoch, self.control) {
            return false;
        }
        // A later master begins its sequence anew, so the epoch counts first. A message of an older master, or one that
        // a newer message has overtaken, must not bring back what is not revoked any more.
        (self.epoch, self.control) = (control.epoch, control.sequence);
        self.revoked = RevokedSet::new(control);
        self.drop_revoked(now);
        self.fill(now);
        true
    }

    /// A lease was lost: what runs is cancelled, what waits is dropped, the batch is with another worker.
    pub fn on_lease_lost(&mut self, lease: &LeaseId, now: Instant) {
        let found = self
            .batches
            .iter_mut()
            .find(|(_, held)| held.lease == *lease);
        let Some((&execution, held)) = found else {
            return;
        };
        // The lease is another worker's now. What runs may still end, and counts; but this worker must not acknowledge a
        // message that is not its own any more.
        held.lost = true;
        let mut dropped = 0;
        self.pending.retain(|chunk| {
            let keep = chunk.execution != execution;
            dropped += if keep { 0 } else { chunk.count };
            keep
        });
        // Dropped tasks count as settled, so that the batch can leave the table once those in slots have ended.
        self.waiting -= u64::from(dropped);
        self.cancel_execution(execution, now);
        self.settle(Receipt {
            execution,
            tasks: dropped,
        });
        self.fill(now);
    }

    /// The heartbeat.
    pub fn alive(&mut self) -> Alive {
        let mut held = Vec::new();
        let mut running = 0;
        for chunk in &self.pending {
            intake::push_runs(&mut held, &chunk.entries);
        }
        for frame in self.slots.iter().flat_map(|slot| &slot.frames) {
            intake::push_runs(&mut held, &frame.entries);
            running += frame.left();
        }
        Alive {
            run: self.settings.run.clone(),
            worker: self.settings.worker,
            held,
            running,
            free: u32::try_from(self.idle_slots()).unwrap_or(u32::MAX),
            // Taken and not read: heartbeats are repeated until they are stored, so no count is lost with a message.
            empty_pulls: std::mem::take(&mut self.empty_pulls),
            revoked: std::mem::take(&mut self.revoked_since),
            replays: self.replays,
            epoch: self.epoch(),
            sequence: self.next_sequence(),
            at: self.wall,
        }
    }

    /// The number of the next message about the state of this worker: one count for greeting and heartbeats.
    pub const fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    fn publish(&mut self, to: Topic, message: bytes::Bytes, receipt: Option<Receipt>) {
        self.effects.push(Effect::Publish(Outgoing {
            to,
            message,
            receipt,
        }));
    }

    fn slot_mut(&mut self, id: SlotId) -> Option<&mut SlotState> {
        self.slots.iter_mut().find(|slot| slot.id == id)
    }
}
