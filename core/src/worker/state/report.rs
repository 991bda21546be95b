//! Slots report: they are ready, tasks end, slots end.

use bytes::{Buf, Bytes};
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::envelope::entry::{self, next_result, result_head, task_head};
use crate::envelope::{Body, TaskRun};
use crate::outcome::{Cause, Exit, Failure, Ran};
use crate::slot::{EXIT_SHORTAGE, SlotEvent, SlotId, StartError};

use super::super::effect::{Effect, Probe};
use super::WorkerState;
use super::slots::{Ended, KillReason, Phase};
use super::startups::{self, Next, StartupFailure};

impl WorkerState {
    /// Takes in an event of a slot.
    pub fn on_slot(&mut self, now: Instant, id: SlotId, event: SlotEvent, probe: &dyn Probe) {
        match event {
            SlotEvent::Ready => self.on_ready(id, probe),
            SlotEvent::SetupFailed(failure) => self.on_setup_failed(now, id, failure),
            SlotEvent::Results {
                frame,
                entries,
                count,
            } => {
                self.on_results(now, id, frame, entries, count, probe);
            }
            SlotEvent::Reclaimed { frame, kept } => self.on_reclaimed(now, id, frame, kept),
            // Without `fill`: a line frees no slot, and a task that prints may send thousands of them.
            SlotEvent::Output { stream, line } => return self.on_output(id, stream, line),
            SlotEvent::Killed => self.on_killed(now, id),
            SlotEvent::Exited {
                exit,
                running,
                started,
                pid,
                tail,
                peak_rss,
                out_of_memory,
                reached_init,
            } => {
                self.on_exited(
                    now,
                    id,
                    Ended {
                        exit,
                        running,
                        ran: Ran {
                            started,
                            pid,
                            cpu: None,
                        },
                        tail,
                        peak_rss,
                        out_of_memory,
                        reached_init,
                    },
                );
            }
        }
        self.fill(now);
    }

    /// A slot could not be started at all.
    pub fn on_start_failed(&mut self, now: Instant, id: SlotId, error: &StartError) {
        self.slots.retain(|slot| slot.id != id);
        let message = format!("a slot cannot be started: {error}");
        let why = if error.is_shortage() {
            StartupFailure::Short(id)
        } else {
            StartupFailure::Died
        };
        self.on_startup_failure(now, why, Failure::new(Cause::Broken, message));
        self.fill(now);
    }

    fn on_ready(&mut self, id: SlotId, probe: &dyn Probe) {
        let at = self.slots.iter().position(|slot| slot.id == id);
        if let Some(at) = at
            && let slot = &mut self.slots[at]
            && slot.phase == Phase::Starting
            && !slot.is_dying()
        {
            slot.phase = Phase::Ready;
            slot.asked = None;
            self.note_base(at, probe);
            // Only now: a slot that ends in its set-up would otherwise clear the count of failed starts that it belongs
            // to.
            self.startups.succeeded(id);
        }
    }

    /// A slot reports why it never becomes ready. For one that was killed meanwhile for being late, this is the report, and
    /// its end is no second one.
    fn on_setup_failed(&mut self, now: Instant, id: SlotId, failure: Failure) {
        let Some(at) = self.slots.iter().position(|slot| slot.id == id) else {
            return;
        };
        match self.slots[at].kill_reason {
            None => self.exits_itself(at, now),
            // With the reason cleared, `on_exited` judges its frames, of which it has none, and counts no second
            // failure.
            Some(KillReason::NeverReady) => self.slots[at].kill_reason = None,
            Some(_) => return,
        }
        self.on_startup_failure(now, startup_failure(id, &failure), failure);
    }

    /// A slot ended before it was ready. What the system refuses may pass, and the slots that are alive go on; an
    /// initializer that fails does so in every slot.
    fn on_startup_failure(&mut self, now: Instant, why: StartupFailure, failure: Failure) {
        let alive = self.has_living_slot();
        let (have, of) = (self.slots.len(), self.settings.slots);
        match self.startups.failed(now, why, alive) {
            Next::AtOnce => warn!(%failure, "a slot did not start; another is tried at once"),
            Next::After(delay) => {
                warn!(%failure, ?delay, "slots do not start; {have} of {of} go on, and another is tried after the delay");
            }
            Next::Quietly(delay) => {
                debug!(%failure, ?delay, "slots still do not start; {have} of {of} go on");
            }
            Next::Never => {
                self.broken = Some(Failure {
                    cause: Cause::Broken,
                    ..failure
                });
            }
        }
    }

    fn on_results(
        &mut self,
        now: Instant,
        id: SlotId,
        number: u64,
        entries: Body,
        count: u32,
        probe: &dyn Probe,
    ) {
        let Some(at) = self.slots.iter().position(|slot| slot.id == id) else {
            return;
        };
        let slot = &mut self.slots[at];
        let Some(place) = slot.frames.iter().position(|frame| frame.number == number) else {
            return;
        };
        slot.executions += u64::from(count);
        let frame = &mut slot.frames[place];
        // Read before the frame may end below. With one task, reclaimed ones aside, the lines of the frame are that
        // task's.
        let (execution, sole) = (frame.execution, (frame.count == 1).then_some(number));
        let memory = frame.memory;
        frame.done += count;
        // The next task of the frame begins about when the result before it was sent; its timeout counts from here.
        frame.since = Some(now);
        frame.look = None;
        let held = self.batches.get_mut(&execution);
        let lost = held.as_ref().is_none_or(|held| held.lost);
        let mut reported = Vec::new();
        let known = held.map(|held| {
            reported = std::mem::take(&mut held.done);
            held.known.clone()
        });
        // A failure after a request to stop is no outcome of the task.
        let stopped = lost || self.terminating;
        let mut all_done = true;
        let mut rest = entries.entries();
        let mut ended = 0;
        while let Ok(Some(result)) = result_head(rest)
            && let Ok(Some(task)) = task_head(&frame.entries[ended..])
        {
            all_done &= result.done;
            if result.done || !stopped {
                TaskRun::push(&mut reported, task.task, task.attempt);
            }
            if let Some(task_type) = known
                .as_ref()
                .and_then(|known| known.get(usize::from(task.task_type)))
            {
                // Failures count too: how long a task occupies its slot does not depend on how it ends.
                self.estimates.record(task_type.index, result.elapsed);
            }
            ended += task.length;
            rest = &rest[result.length..];
        }
        frame.entries.advance(ended);
        if let Some(held) = self.batches.get_mut(&execution) {
            held.done = reported;
        }
        if frame.left() == 0 {
            slot.end_frame(place, now, self.settings.grace);
        }
        if all_done {
            self.publish_results(execution, entries, count);
        } else {
            if self.terminating {
                // What was cancelled comes back by its batch. Before the receipt of its failure can come, which would
                // settle the task and acknowledge the batch.
                self.give_up_lease(execution);
            }
            // With several tasks in a frame, the one that printed is not known.
            // Looked up for failures alone: it locks the slot's state and copies up to 20 lines.
            let tail = sole.map_or_else(Vec::new, |frame| probe.tail(id, frame));
            let peak = probe.peak_rss(id);
            let completed = complete(&entries.into_entries(), stopped, &tail, peak);
            self.publish_failures(execution, completed, count);
        }
        self.recycle(at, memory, now, probe);
    }

    /// Lets a slot go that has run its share, or keeps the memory that its task declared.
    fn recycle(&mut self, at: usize, declared: Option<u64>, now: Instant, probe: &dyn Probe) {
        // First: a slot that has run its share may keep memory too.
        self.return_memory(at, declared, now, probe);
        let slot = &self.slots[at];
        let worn = self
            .settings
            .max_tasks_per_slot
            .is_some_and(|most| slot.executions >= most);
        if worn && slot.is_idle() {
            self.let_exit(at, now);
        }
    }

    fn on_reclaimed(&mut self, now: Instant, id: SlotId, number: u64, kept: u32) {
        let grace = self.settings.grace;
        let Some(slot) = self.slot_mut(id) else {
            return;
        };
        let Some(at) = slot.frames.iter().position(|frame| frame.number == number) else {
            return;
        };
        let frame = &mut slot.frames[at];
        frame.reclaiming = false;
        // The slot had begun all of them by the time that it read the request.
        if kept >= frame.count {
            return;
        }
        let first = entry_offset(&frame.entries, kept.saturating_sub(frame.done));
        let returned = frame.entries.split_off(first);
        // Never below what was answered, whatever the slot reports: `left` must not underflow.
        frame.count = kept.max(frame.done);
        let (execution, noted) = (frame.execution, frame.noted);
        if frame.left() == 0 {
            slot.end_frame(at, now, grace);
        }
        self.wait_again(execution, returned, noted, now);
    }

    /// A slot has ended: its running task is judged, its other tasks wait again.
    pub(super) fn on_exited(&mut self, now: Instant, id: SlotId, ended: Ended) {
        let Some(at) = self.slots.iter().position(|slot| slot.id == id) else {
            return;
        };
        // Before the tasks are judged: `wait_again` and `fill` must find neither its place nor its frames.
        let slot = self.slots.remove(at);
        self.effects.push(Effect::Drop(id));
        let never_ready = match (slot.phase, slot.kill_reason) {
            (_, Some(KillReason::NeverReady)) => Some(self.settings.start_timeout),
            (Phase::Starting, None) => None,
            _ => return self.judge_frames(now, slot, &ended),
        };
        let failure = startups::reason(ended, never_ready);
        self.on_startup_failure(now, startup_failure(id, &failure), failure);
    }
}

/// Why a slot was never ready, by its report or by how it ended.
fn startup_failure(id: SlotId, failure: &Failure) -> StartupFailure {
    match (failure.cause, failure.exit) {
        (Cause::Broken, Some(Exit::Code(EXIT_SHORTAGE))) => StartupFailure::Short(id),
        (Cause::Broken, _) => StartupFailure::Died,
        (Cause::TimedOut, _) => StartupFailure::Late,
        _ => StartupFailure::Refused,
    }
}

/// Adds the last lines and the peak of memory to the failures among some results. An execution whose lease was lost was
/// cancelled: a failure after that is none of the task.
fn complete(entries: &Bytes, lost: bool, tail: &[String], peak_rss: Option<u64>) -> Body {
    let mut completed = Body::default();
    let mut rest = entries.clone();
    while let Ok(Some(head)) = result_head(&rest) {
        if head.done {
            completed
                .entries_mut()
                .extend_from_slice(&rest[..head.length]);
            rest.advance(head.length);
            continue;
        }
        let mut failure = match next_result(&mut rest).map(|result| result.map(|r| r.outcome)) {
            Ok(Some(Err(failure))) => failure,
            Ok(_) => break,
            Err(error) => Failure::new(Cause::Failed, format!("its failure is lost: {error}")),
        };
        if lost {
            failure.cause = Cause::Interrupted;
        }
        failure.output = tail.to_vec();
        failure.peak_rss = failure.peak_rss.or(peak_rss);
        entry::put_failed(
            completed.entries_mut(),
            head.task,
            head.attempt,
            head.elapsed,
            &failure,
        );
    }
    completed
}

/// Where the entry at `index` begins; the end when there are fewer.
pub(super) fn entry_offset(entries: &[u8], index: u32) -> usize {
    let mut offset = 0;
    for _ in 0..index {
        let Ok(Some(head)) = task_head(&entries[offset..]) else {
            break;
        };
        offset += head.length;
    }
    offset
}
