//! Slots that received a request and do not carry it out: to be ready, to give tasks back, to exit, to end by a kill.
//!
//! Each request has a deadline and a next step. A start that takes too long is killed and counts as failed; a slot that
//! was requested to exit is killed after the grace; a process that does not end after its kill is given up.

use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use crate::instant::after;
use crate::outcome::{Exit, Ran};
use crate::slot::SlotId;

use super::super::effect::{Effect, Probe};
use super::WorkerState;
use super::memory::RETURNS;
use super::slots::{Ended, GIVES_BACK, KillReason, Phase, Request, SlotState};

/// A slot that was requested to exit keeps its place for so long: most exit within a few milliseconds, and memory that
/// is about to be free is not taken twice. Later another may start beside it.
// At a tenth a slow exit under load would start a second process beside the first; at ten times the worker would run
// with one slot less for seconds after each replacement.
const EXITS: Duration = Duration::from_millis(500);
/// A killed process is waited for so long. The kernel needs a while to free much memory; one that waits for a network
/// file system that is gone may never end.
// Freeing many GiB takes the kernel seconds. At double the tasks of a process that never ends are judged later; at half
// a large one would be given up while it ends.
const DIES: Duration = Duration::from_secs(10);
/// The signal that a process which was given up is taken to have ended by.
const SIGKILL: i32 = 9;

impl SlotState {
    /// Sets the deadline of a request; one that is past the range of the clock is never due.
    pub(super) fn ask(&mut self, request: Request, now: Instant, time: Duration) {
        // `checked_add` and not `after`: a grace or start timeout of `Duration::MAX` means without end, and must give
        // no deadline at all.
        self.asked = now.checked_add(time).map(|due| (request, due));
    }

    /// The same for a kill; one that is under way is not given more time.
    fn request_exit(&mut self, now: Instant) {
        if !self.is_dying() {
            self.ask(Request::Die, now, DIES);
        }
    }

    /// Whether it was killed.
    pub(super) const fn is_dying(&self) -> bool {
        matches!(self.asked, Some((Request::Die, _)))
    }
}

impl WorkerState {
    /// Requests a slot that has nothing to do to exit, and gives it the grace to do so.
    pub(super) fn let_exit(&mut self, at: usize, now: Instant) {
        if self.slots[at].phase == Phase::Leaving {
            return;
        }
        self.effects.push(Effect::Exit(self.slots[at].id));
        self.exits_itself(at, now);
    }

    /// A slot will exit: from now on it has the grace for that.
    pub(super) fn exits_itself(&mut self, at: usize, now: Instant) {
        let kept = self.slots[at].kept > 0;
        let time = match self.exit_time() {
            time if kept => time.min(RETURNS),
            time => time,
        };
        let slot = &mut self.slots[at];
        slot.phase = Phase::Leaving;
        // The deadline of the kill stays: an exit that is requested later must not give a killed process more time.
        if slot.is_dying() {
            return;
        }
        slot.ask(Request::Exit, now, time);
        slot.place_until = Some(after(now, EXITS));
    }

    /// How long a slot may take to exit: the grace, and no less than an ordinary exit takes.
    fn exit_time(&self) -> Duration {
        self.settings.grace.max(EXITS)
    }

    pub(super) fn kill(&mut self, at: usize, kill_reason: KillReason, now: Instant) {
        let slot = &mut self.slots[at];
        // The first reason counts: it decides what the running task is charged with, and a later kill only follows from
        // the first.
        slot.kill_reason.get_or_insert(kill_reason);
        slot.phase = Phase::Leaving;
        slot.request_exit(now);
        self.effects.push(Effect::Kill(slot.id));
    }

    /// A slot was killed by what watches it: it gets nothing more, and has the time that a kill takes.
    pub(super) fn on_killed(&mut self, now: Instant, id: SlotId) {
        let Some(slot) = self.slot_mut(id) else {
            return;
        };
        // A slot that is starting keeps its phase: its end then counts as a failed start (`on_exited`).
        if slot.phase == Phase::Ready {
            slot.phase = Phase::Leaving;
        }
        slot.request_exit(now);
    }

    /// When the next slot is overdue, or gives its place up.
    pub(super) fn next_overdue(&self) -> Option<Instant> {
        let due = |slot: &SlotState| {
            let asked = slot.asked.map(|(_, due)| due);
            [asked, slot.place_until].into_iter().flatten().min()
        };
        self.slots.iter().filter_map(due).min()
    }

    /// Takes the next step with each slot that did not carry out its request.
    pub(super) fn check_requests(&mut self, now: Instant, probe: &dyn Probe) {
        let mut freed = false;
        // Backwards: one that is given up goes.
        for at in (0..self.slots.len()).rev() {
            let slot = &mut self.slots[at];
            // `take_if`, here and below: each deadline fires once, so that `next_overdue` never gives a time that is
            // past.
            if slot.place_until.take_if(|until| *until <= now).is_some() {
                slot.holds_place = false;
                freed = true;
            }
            let Some((request, _)) = slot.asked.take_if(|(_, due)| *due <= now) else {
                continue;
            };
            match request {
                Request::Ready => self.kill(at, KillReason::NeverReady, now),
                Request::Exit => {
                    let (slot, time) = (slot.id.0, self.exit_time());
                    warn!(
                        slot,
                        "a slot was ordered to exit and has not exited within {time:?}; the slot is killed. The cause lies in what a task left behind: a spawn_blocking that has not returned, a handler that runs at exit, a stopped process. Results are not affected"
                    );
                    self.kill(at, KillReason::NoExit, now);
                }
                // The tasks that were to come back have ended meanwhile.
                Request::GiveBack if !slot.is_reclaiming() => {}
                Request::GiveBack => {
                    let slot = slot.id.0;
                    warn!(
                        slot,
                        "a slot was requested to return the tasks behind a long one and has not answered within {GIVES_BACK:?}; the slot is killed, and its tasks run elsewhere. Look for a process that was stopped (SIGSTOP, a debugger)"
                    );
                    self.kill(at, KillReason::NoAnswer, now);
                }
                Request::Die => {
                    self.give_up(at, now, probe);
                    freed = true;
                }
            }
        }
        if freed {
            self.fill(now);
        }
    }

    /// Goes on without a process that was killed and does not end. It runs no more of its program: a kill that has
    /// no effect yet waits for a system call to end.
    fn give_up(&mut self, at: usize, now: Instant, probe: &dyn Probe) {
        let id = self.slots[at].id;
        warn!(
            slot = id.0,
            "a slot's process was killed and has not ended for {DIES:?}; the slot is given up, and the system ends the process when it can. Look for a file system that does not answer"
        );
        // The handle is still there: `Effect::Drop` is carried out after this step.
        let running = probe.running(id);
        // As if the process had ended by SIGKILL: what it held must be judged now, though its end is not seen.
        let ended = Ended {
            exit: Exit::Signal(SIGKILL),
            running,
            ran: Ran {
                started: running.and_then(|running| crate::outcome::wall_clock(running.since)),
                pid: None,
                cpu: None,
            },
            tail: self.slots[at]
                .frames
                .front()
                .map(|frame| probe.tail(id, frame.number))
                .unwrap_or_default(),
            peak_rss: None,
            out_of_memory: None,
            reached_init: true,
        };
        self.on_exited(now, id, ended);
    }
}
