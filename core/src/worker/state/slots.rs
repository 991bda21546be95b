//! What the worker records of each slot.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::id::TaskId;
use crate::instant::after;
use crate::outcome::{Exit, Ran};
use crate::slot::{OutOfMemory, Running, SlotId};

use super::super::frame::findable;

/// Work below this is soon over: a slot may have a second frame waiting behind it.
// Two and a half frames of `WORTH` (4 ms). A longer frame is worth its own wake-up; behind it others would only wait.
const SHORT: Duration = Duration::from_millis(10);

/// A slot in which so many tasks printed nothing is taken for one that prints nothing.
// As many tasks as the largest frame holds (`MAX_TASKS`): one whole frame without a line.
const QUIET: u64 = 256;

/// A slot answers a request for the tasks that have not begun within a moment, whatever its task does: a thread for
/// that alone reads the request. A minute without an answer means that its process stands still.
// A machine that swaps, or a process under a debugger for a moment, may need seconds. At half such a slot loses its
// work; at double the tasks behind it wait two minutes.
pub(super) const GIVES_BACK: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Starting,
    Ready,
    /// Requested to exit, or killed: it gets nothing more.
    Leaving,
}

/// A request that a slot has not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// To be ready.
    Ready,
    /// To give back the tasks that have not begun.
    GiveBack,
    /// To exit.
    Exit,
    /// To end: it was killed.
    Die,
}

/// Why the worker kills a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KillReason {
    /// The task outlived its timeout.
    TimedOut(TaskId, Duration),
    /// The task was cancelled and did not end within the grace.
    Cancelled,
    /// The worker leaves, or its lease is lost.
    Interrupted,
    /// It was not ready within the start timeout.
    NeverReady,
    /// It was requested to exit and did not within the grace.
    NoExit,
    /// It did not answer a request for tasks.
    NoAnswer,
}

/// How a slot ended.
pub(super) struct Ended {
    pub(super) exit: Exit,
    pub(super) running: Option<Running>,
    pub(super) ran: Ran,
    pub(super) tail: Vec<String>,
    pub(super) peak_rss: Option<u64>,
    pub(super) out_of_memory: Option<OutOfMemory>,
    /// Whether its process came to `init()`.
    pub(super) reached_init: bool,
}

#[derive(Debug)]
pub(super) struct SlotState {
    pub(super) id: SlotId,
    pub(super) phase: Phase,
    /// The first one runs; a second waits in the slot behind short tasks.
    pub(super) frames: VecDeque<InFlight>,
    pub(super) executions: u64,
    /// How many tasks had ended in it when it printed last.
    pub(super) printed: Option<u64>,
    pub(super) kill_reason: Option<KillReason>,
    /// Its last request, and until when it has time. `None` without a request, or with time without end.
    pub(super) asked: Option<(Request, Instant)>,
    /// Whether no other slot may start in its place.
    pub(super) holds_place: bool,
    /// When it gives its place up although its process has not ended.
    pub(super) place_until: Option<Instant>,
    /// What it had resident when it was ready, in bytes.
    pub(super) base: u64,
    /// Bytes that it keeps of tasks that have ended, until it has ended itself.
    pub(super) kept: u64,
}

/// A frame that a slot has.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) number: u64,
    pub(super) execution: u64,
    /// The entries whose results have not come yet.
    pub(super) entries: Bytes,
    pub(super) count: u32,
    /// How many results came.
    pub(super) done: u32,
    pub(super) expected: Option<Duration>,
    pub(super) timeout: Option<Duration>,
    /// What its task declares to need, in bytes; it is the only one then.
    pub(super) memory: Option<u64>,
    /// When its running task began, as far as the worker has received reports; `None` while it waits behind another.
    pub(super) since: Option<Instant>,
    /// When its timeout is looked at next, where that was found to be later than its shortest timeout.
    pub(super) look: Option<Instant>,
    pub(super) reclaiming: bool,
    /// Whether the slot notes each task when it begins.
    pub(super) noted: bool,
    /// When the grace ends of those of its tasks that were cancelled.
    pub(super) stop_by: Option<Instant>,
}

impl InFlight {
    pub(super) const fn left(&self) -> u32 {
        self.count - self.done
    }
}

impl super::WorkerState {
    /// Whether a slot was ready and works on, or is starting.
    pub(super) fn has_living_slot(&self) -> bool {
        self.slots.iter().any(|slot| slot.phase != Phase::Leaving)
    }

    /// How many places of `settings.slots` are taken.
    pub(super) fn taken_places(&self) -> usize {
        self.slots.iter().filter(|slot| slot.holds_place).count()
    }

    /// How many slots may start beside those that are there. Slots that were requested to exit and take long give their
    /// places up, but their processes are there: no more of them than there are places.
    pub(super) fn free_places(&self) -> usize {
        let places = self.settings.slots as usize;
        // Twice, and no more: slots whose exit hangs would otherwise fill the machine with processes, one at each replacement.
        let processes = places.saturating_mul(2);
        places
            .saturating_sub(self.taken_places())
            .min(processes.saturating_sub(self.slots.len()))
    }
}

impl SlotState {
    pub(super) const fn new(id: SlotId) -> Self {
        Self {
            id,
            phase: Phase::Starting,
            frames: VecDeque::new(),
            executions: 0,
            printed: None,
            kill_reason: None,
            asked: None,
            holds_place: true,
            place_until: None,
            base: 0,
            kept: 0,
        }
    }

    /// A frame has ended. If it was the first, the next one runs: its time, and the grace of those in it that were
    /// cancelled, count from now.
    pub(super) fn end_frame(&mut self, place: usize, now: Instant, grace: Duration) {
        self.frames.remove(place);
        if place == 0
            && let Some(next) = self.frames.front_mut()
        {
            // It waited inside the slot until now: its timeout must not count that time.
            next.since = Some(now);
            next.stop_by = next.stop_by.map(|_| after(now, grace));
        }
    }

    /// Whether it is on its way: another will be ready, or a place free, without another request.
    pub(super) fn is_changing(&self) -> bool {
        // Slots that gave their place up do not count: the place is free already.
        self.phase != Phase::Ready && self.holds_place
    }

    pub(super) fn is_idle(&self) -> bool {
        self.phase == Phase::Ready && self.frames.is_empty()
    }

    pub(super) fn is_busy(&self) -> bool {
        self.phase == Phase::Ready && !self.frames.is_empty()
    }

    /// Whether it has not answered a request for tasks.
    pub(super) fn is_reclaiming(&self) -> bool {
        self.frames.iter().any(|frame| frame.reclaiming)
    }

    /// Whether all it has will soon be over.
    pub(super) fn is_short(&self) -> bool {
        self.frames
            .iter()
            .all(|frame| frame.expected.is_some_and(|expected| expected <= SHORT))
    }

    /// What it has takes longer than it was expected to.
    pub(super) fn expect_no_end(&mut self) {
        for frame in &mut self.frames {
            frame.expected = None;
        }
    }

    /// Whether tasks in it printed lately.
    pub(super) fn prints(&self) -> bool {
        self.printed
            .is_some_and(|at| self.executions.saturating_sub(at) < QUIET)
    }

    /// Whether a second frame may wait in it: what it has is short, it is not stuck in it, and it prints nothing. With two
    /// frames in a slot a line could belong to either.
    pub(super) fn has_room_behind(&self, now: Instant) -> bool {
        let moves = |frame: &InFlight| {
            frame
                .since
                // Twice the longest short frame: a slot that is past that is stuck in a task, and nothing may be put
                // behind it.
                .is_some_and(|since| now < after(since, 2 * SHORT))
        };
        self.phase == Phase::Ready
            && self.frames.len() == 1
            && !self.prints()
            && self.is_short()
            && self.frames.iter().all(moves)
    }

    /// How many more tasks it may be given, when slots are replaced after `most`.
    pub(super) fn wear_left(&self, most: Option<u64>) -> u32 {
        most.map_or(u32::MAX, |most| {
            // What the slot was given and has not answered counts as run: two frames must not take it past its share
            // together.
            let left = most.saturating_sub(self.executions + u64::from(self.left()));
            u32::try_from(left).unwrap_or(u32::MAX)
        })
    }

    /// How many of these tasks a frame may bring it at most, when slots are replaced after `wear`.
    pub(super) fn most(&self, wear: Option<u64>, entries: &[u8]) -> u32 {
        let most = self.wear_left(wear);
        match self.prints() {
            true => most.min(findable(entries)),
            false => most,
        }
    }

    /// Tasks that it was given and that have not ended.
    pub(super) fn left(&self) -> u32 {
        self.frames.iter().map(InFlight::left).sum()
    }
}
