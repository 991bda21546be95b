//! What is due by time: timeouts, graces, tasks that wait too long, work that a free slot can take over.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::envelope::Batch;
use crate::envelope::entry::task_head;
use crate::instant::after;
use crate::slot::Running;

use super::super::effect::{Effect, Probe, Receipt, Topic};
use super::super::frame::timeout;
use super::WorkerState;
use super::report::entry_offset;
use super::slots::{GIVES_BACK, InFlight, KillReason, Phase, Request, SlotState};

/// Tasks that no slot took within this are left to other workers: those of a begun batch are put back, and a batch that
/// has not begun is given back whole while every slot is busy.
// Four times the work of a batch (half a second, `WORTH` in the master's outbox): at half of that, a batch that takes a
// little longer than measured would send others around; at double, free slots of other workers stand idle longer.
const PUT_BACK: Duration = Duration::from_secs(2);
/// A slot that reports nothing for so long gives its unstarted tasks up to a free one.
// More than ten frames (4 ms each): a slot that is silent for so long is at a long task and not between two answers. At
// double, a free slot waits as long as 25 frames take.
const STEAL: Duration = Duration::from_millis(50);

impl WorkerState {
    /// When [`on_tick`](Self::on_tick) must be called next.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let reclaim_after = self.reclaim_after();
        let slots = self
            .slots
            .iter()
            .filter_map(|slot| slot_deadline(slot, reclaim_after))
            .min();
        let busy = self.every_slot_is_busy();
        let chunks = self
            .pending
            .iter()
            .filter(|chunk| self.may_leave(chunk.execution, busy));
        let chunks = chunks.map(|chunk| after(chunk.since, PUT_BACK)).min();
        [slots, chunks, self.startups.due(), self.next_overdue()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Does what is due.
    pub fn on_tick(&mut self, now: Instant, probe: &dyn Probe) {
        let reclaim_after = self.reclaim_after();
        // By index, and no slot is removed here: a kill takes effect when the slot reports its end.
        for at in 0..self.slots.len() {
            // In this order: a kill keeps its first reason, so a task that is past its timeout and past its grace is
            // reported as timed out.
            self.check_timeout(at, now, probe);
            self.check_grace(at, now, probe);
            self.steal(at, now, reclaim_after);
        }
        self.check_requests(now, probe);
        self.put_back_old(now);
        if self.startups.is_due(now) {
            self.fill(now);
        }
    }

    /// How long tasks may wait in a slot behind another: less where a free slot has nothing to do. Without one they are
    /// left to other workers.
    fn reclaim_after(&self) -> Duration {
        if self.pending.is_empty() && self.quarantined.is_none() && self.idle_slots() > 0 {
            STEAL
        } else {
            PUT_BACK
        }
    }

    /// Kills a slot whose running task outlived its timeout.
    fn check_timeout(&mut self, at: usize, now: Instant, probe: &dyn Probe) {
        let id = self.slots[at].id;
        let Some(frame) = self.slots[at].frames.front() else {
            return;
        };
        let (Some(since), Some(shortest)) = (frame.since, frame.timeout) else {
            return;
        };
        // Before the probe, which costs a system call: a slot is looked at only when some task of its frame may be over
        // its limit.
        if now < look_at(frame, since, shortest) || self.slots[at].kill_reason.is_some() {
            return;
        }
        let running = running_or_front(frame, since, probe.running(id));
        // No underflow: `running_or_front` gives no index below `done`.
        let start = entry_offset(&frame.entries, running.index - frame.done);
        let entry = &frame.entries[start..];
        let Ok(Some(head)) = task_head(entry) else {
            // Entries were counted on their way in; without a task there is no timeout to keep.
            self.slots[at].frames[0].timeout = None;
            return;
        };
        let known = self
            .batches
            .get(&frame.execution)
            .map(|held| held.known.clone());
        let limit = timeout(entry, &head, known.as_deref().unwrap_or_default());
        // Another task of the frame may run by now: its time counts from its own beginning.
        let again = match limit {
            Some(limit) if now >= after(running.since, limit) => {
                self.kill(at, KillReason::TimedOut(head.task, limit), now);
                return;
            }
            Some(limit) => after(running.since, limit),
            // The running task has no timeout, another of its frame has: looked at again after the shortest, which is
            // early at worst.
            None => after(now, shortest),
        };
        self.slots[at].frames[0].look = Some(again);
    }

    /// Kills a slot whose running task was cancelled and did not end.
    fn check_grace(&mut self, at: usize, now: Instant, probe: &dyn Probe) {
        let slot = &self.slots[at];
        let Some(frame) = slot.frames.front() else {
            return;
        };
        let over = frame.stop_by.is_some_and(|end| now >= end);
        if !over || slot.kill_reason.is_some() {
            return;
        }
        let since = frame.since.unwrap_or(now);
        let running = running_or_front(frame, since, probe.running(slot.id));
        let start = entry_offset(&frame.entries, running.index - frame.done);
        let head = task_head(&frame.entries[start..]).ok().flatten();
        if head.is_some_and(|head| self.must_stop(frame.execution, &head)) {
            self.kill(at, KillReason::Cancelled, now);
        } else {
            // The cancelled tasks have ended, or never began.
            self.slots[at].frames[0].stop_by = None;
        }
    }

    /// Reclaims the tasks behind the one with which a slot is busy.
    fn steal(&mut self, at: usize, now: Instant, reclaim_after: Duration) {
        let slot = &mut self.slots[at];
        if slot.kill_reason.is_some() || steal_at(slot, reclaim_after).is_none_or(|due| now < due) {
            return;
        }
        // The answer does not clear the request: when the minute is over, `check_requests` looks whether a frame is
        // still reclaimed.
        slot.ask(Request::GiveBack, now, GIVES_BACK);
        let id = slot.id;
        for frame in &mut slot.frames {
            frame.reclaiming = true;
            self.effects.push(Effect::Reclaim(id, frame.number));
        }
    }

    /// Whether tasks of this execution may go to another worker: it has begun, and need not run alone.
    fn may_put_back(&self, execution: u64) -> bool {
        self.batches
            .get(&execution)
            .is_some_and(|held| held.begun && !held.lost && !held.alone)
    }

    /// Whether a batch that has not begun may go to another worker: no slot here will be ready for it soon, and none of
    /// its tasks must run alone.
    fn may_give_back(&self, execution: u64, busy: bool) -> bool {
        let held = self.batches.get(&execution);
        busy && held
            .is_some_and(|held| !held.begun && !held.lost && !held.alone && !held.quarantined)
    }

    fn may_leave(&self, execution: u64, busy: bool) -> bool {
        self.may_put_back(execution) || self.may_give_back(execution, busy)
    }

    /// Slots that start are not busy: what waits for them would only come again. Those that cannot be had at present are
    /// not waited for.
    fn every_slot_is_busy(&self) -> bool {
        let busy = self.slots.iter().filter(|slot| slot.is_busy()).count();
        busy >= self.settings.slots as usize
            || (busy > 0
                && self.startups.are_held_up()
                && self.idle_slots() == 0
                && !self.slots.iter().any(SlotState::is_changing))
    }

    fn put_back_old(&mut self, now: Instant) {
        let busy = self.every_slot_is_busy();
        while let Some(at) = self.pending.iter().position(|chunk| {
            now >= after(chunk.since, PUT_BACK) && self.may_leave(chunk.execution, busy)
        }) {
            let execution = self.pending[at].execution;
            if self.may_put_back(execution) {
                self.put_back(at);
            } else {
                self.give_back(execution);
            }
        }
    }

    /// Lets another worker take a batch of which nothing has begun. It was taken because what ran was expected to be
    /// over soon, which was wrong: without that expectation the next pull would bring it here again.
    fn give_back(&mut self, execution: u64) {
        let (gone, kept): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|chunk| chunk.execution == execution);
        self.pending = kept;
        // All chunks of a batch that has not begun are here: none of its tasks is in a slot.
        self.waiting -= gone.iter().map(|chunk| u64::from(chunk.count)).sum::<u64>();
        self.slots.iter_mut().for_each(SlotState::expect_no_end);
        self.release(execution);
    }

    /// Publishes a waiting chunk as a batch of its own; once that is safe, the old batch need not wait for it.
    pub(super) fn put_back(&mut self, at: usize) {
        let Some(chunk) = self.pending.remove(at) else {
            return;
        };
        self.waiting -= u64::from(chunk.count);
        // The slots were expected to be free sooner: with that expectation it would be pulled again at once.
        self.slots.iter_mut().for_each(SlotState::expect_no_end);
        let Some(held) = self.batches.get_mut(&chunk.execution) else {
            return;
        };
        if let Ok(Some(first)) = task_head(&chunk.entries) {
            // So that this worker may take the part again at once: `earlier_execution` would make it wait for the rest
            // of the old execution.
            held.put_back.push((first.task, chunk.count));
        }
        let batch = Batch {
            run: self.settings.run.clone(),
            epoch: held.id.epoch(),
            // The number stays, so that a worker which has the results of these tasks does not run them again; the
            // master publishes under a new number what must run once more.
            number: held.id.number(),
            alone: held.alone,
            task_types: held.task_types.to_vec(),
            count: chunk.count,
        };
        let message = batch.message(&chunk.entries, &self.settings.mac_key);
        let receipt = Receipt {
            execution: chunk.execution,
            // The old message is acknowledged after the new one is stored. The other order would lose the tasks with a
            // crash in between; this one doubles them at worst, and the master takes the first result.
            tasks: chunk.count,
        };
        self.publish(Topic::Tasks, message, Some(receipt));
    }
}

fn slot_deadline(slot: &SlotState, reclaim_after: Duration) -> Option<Instant> {
    if slot.kill_reason.is_some() {
        return None;
    }
    let frame = slot.frames.front()?;
    let timeout = frame
        .since
        .zip(frame.timeout)
        .map(|(since, timeout)| look_at(frame, since, timeout));
    [timeout, frame.stop_by, steal_at(slot, reclaim_after)]
        .into_iter()
        .flatten()
        .min()
}

/// When the timeout of what runs in a frame is looked at.
fn look_at(frame: &InFlight, since: Instant, shortest: Duration) -> Instant {
    frame.look.unwrap_or_else(|| after(since, shortest))
}

/// When the unstarted tasks of a slot may be reclaimed.
fn steal_at(slot: &SlotState, reclaim_after: Duration) -> Option<Instant> {
    let front = slot.frames.front()?;
    let unstarted = slot.left() > 1 && slot.phase == Phase::Ready;

    // Not while an answer is outstanding: a second request would only move the deadline of the first.
    (unstarted && !slot.is_reclaiming()).then_some(after(front.since?, reclaim_after))
}

/// What runs in a frame: what the slot wrote down, or the frame's first task since it was first in line.
fn running_or_front(frame: &InFlight, since: Instant, written: Option<Running>) -> Running {
    let written = written.filter(|running| {
        // The note may be older than the results that came, or belong to a frame before: then the first task without a
        // result is the best guess.
        running.frame == frame.number && (frame.done..frame.count).contains(&running.index)
    });
    written.unwrap_or(Running {
        frame: frame.number,
        index: frame.done,
        first: false,
        since,
    })
}
