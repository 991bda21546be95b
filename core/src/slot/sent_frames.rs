//! The frames in flight to a slot, sent and not answered yet: which task runs there, by the worker's record.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::Running;

/// One frame on its way through a slot.
#[derive(Clone, Copy, Debug)]
struct SentFrame {
    frame: u64,
    /// Tasks that will be answered; a revocation lowers it.
    count: u32,
    /// Whether each task is noted when it begins.
    noted: bool,
    /// Bytes that may be resident while it runs.
    memory: Option<u64>,
    /// Tasks that are answered.
    answered: u32,
    /// When it was sent, or when it came to the front.
    since: Instant,
}

/// The content of the slot's progress cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) frame: u64,
    pub(super) index: u32,
    pub(super) since: Instant,
}

/// The frames of a slot, oldest first: it runs them one after another.
#[derive(Debug, Default)]
pub(super) struct SentFrames {
    frames: VecDeque<SentFrame>,
    /// The frame that was sent first in the slot's life.
    first: Option<u64>,
}

impl SentFrames {
    /// A frame was sent.
    pub(super) fn sent(&mut self, frame: u64, count: u32, noted: bool, now: Instant) {
        self.first.get_or_insert(frame);
        self.frames.push_back(SentFrame {
            frame,
            count,
            noted,
            memory: None,
            answered: 0,
            since: now,
        });
    }

    /// The frame that was sent last has a memory limit, in bytes.
    pub(super) fn limit_last(&mut self, memory: u64) {
        if let Some(last) = self.frames.back_mut() {
            last.memory = Some(memory);
        }
    }

    /// The memory limit of the frame that the slot is at, in bytes.
    pub(super) fn limit(&self) -> Option<u64> {
        self.frames.front()?.memory
    }

    /// Whether any frame has a memory limit.
    pub(super) fn has_limit(&self) -> bool {
        self.frames.iter().any(|frame| frame.memory.is_some())
    }

    /// Results came. True when they were the frame's last.
    pub(super) fn answered(&mut self, frame: u64, count: u32, now: Instant) -> bool {
        self.change(frame, now, |frame| frame.answered += count)
    }

    /// A revocation was answered: only the first `kept` tasks run. Gives how many that are at most.
    pub(super) fn reclaimed(&mut self, frame: u64, kept: u32, now: Instant) -> u32 {
        let mut count = kept;
        self.change(frame, now, |frame| {
            // Never up: `u32::MAX` stands for a frame that has ended at the slot, whose results may be still on the
            // way.
            frame.count = frame.count.min(kept);
            count = frame.count;
        });
        count
    }

    fn change(&mut self, frame: u64, now: Instant, change: impl FnOnce(&mut SentFrame)) -> bool {
        let Some(at) = self.frames.iter().position(|f| f.frame == frame) else {
            return false;
        };
        change(&mut self.frames[at]);
        let ended = self.frames[at].answered >= self.frames[at].count;
        if ended {
            self.frames.remove(at);
            // Only the end of the first frame starts the clock of the next: frames end in order, but a reclaimed one may end
            // before it began.
            if at == 0
                && let Some(front) = self.frames.front_mut()
            {
                front.since = now;
            }
        }
        ended
    }

    /// The frame that the slot is at.
    pub(super) fn front(&self) -> Option<u64> {
        self.frames.front().map(|frame| frame.frame)
    }

    /// Whether the slot was never given anything.
    pub(super) const fn is_untouched(&self) -> bool {
        self.first.is_none()
    }

    /// Whether the slot has nothing to do.
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// The frame that the slot is at, where it has no other: what is printed then is that frame's. With another behind it
    /// that is not known, for the slot goes on to it by itself.
    pub(super) fn sole(&self) -> Option<u64> {
        self.front().filter(|_| self.frames.len() == 1)
    }

    /// The task that runs. `cell` holds it for frames of several tasks; it may lag behind and name an earlier
    /// frame, and a frame of one task never touches it. `None` also when several tasks of a frame that is not noted
    /// are not answered: any of them may run.
    pub(super) fn running(&self, cell: Option<Progress>) -> Option<Running> {
        let front = self.frames.front()?;
        let running = |index, since| Running {
            frame: front.frame,
            index,
            // By the slot's whole life, not by what is in flight: only then can nothing before it have left something
            // behind.
            first: index == 0 && self.first == Some(front.frame),
            since,
        };
        match cell {
            // A note of an older frame is stale, one past the count was reclaimed: both are passed over.
            Some(cell) if cell.frame == front.frame && cell.index < front.count => {
                Some(running(cell.index, cell.since))
            }
            _ if !front.noted && front.count - front.answered > 1 => None,
            _ => Some(running(front.answered, front.since)),
        }
    }
}

#[cfg(test)]
mod tests;
