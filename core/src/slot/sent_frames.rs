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
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_front_frame_runs_and_the_cell_says_where() {
        let start = Instant::now();
        let later = start + Duration::from_secs(1);
        let mut sent = SentFrames::default();
        assert_eq!(sent.running(None), None);
        sent.sent(7, 3, true, start);
        sent.sent(8, 1, true, start);
        let at = |frame, index, since| {
            Some(Progress {
                frame,
                index,
                since,
            })
        };
        let running = sent.running(None).unwrap();
        assert_eq!((running.frame, running.index, running.first), (7, 0, true));
        let running = sent.running(at(7, 2, later)).unwrap();
        assert_eq!(
            (running.index, running.first, running.since),
            (2, false, later)
        );
        assert!(!sent.answered(7, 2, later));
        assert!(sent.answered(7, 1, later));
        let running = sent.running(at(7, 2, start)).unwrap();
        assert_eq!((running.frame, running.index, running.first), (8, 0, false));
        assert_eq!(running.since, later);
        assert!(sent.answered(8, 1, later));
        assert!(sent.is_empty());
    }

    #[test]
    fn a_limit_counts_while_its_frame_is_the_first() {
        let now = Instant::now();
        let mut sent = SentFrames::default();
        sent.sent(1, 1, false, now);
        sent.sent(2, 1, false, now);
        sent.limit_last(77);
        sent.sent(3, 1, false, now);
        let mut seen = vec![(sent.limit(), sent.has_limit())];
        for frame in [1, 2, 3] {
            sent.answered(frame, 1, now);
            seen.push((sent.limit(), sent.has_limit()));
        }
        let none = (None, false);
        assert_eq!(seen, [(None, true), (Some(77), true), none, none]);
    }

    #[test]
    fn a_reclaimed_frame_ends_with_what_was_kept() {
        let now = Instant::now();
        let mut sent = SentFrames::default();
        sent.sent(1, 10, true, now);
        sent.sent(2, 5, true, now);
        assert_eq!(sent.reclaimed(2, 0, now), 0);
        assert!(!sent.answered(1, 4, now));
        assert_eq!(sent.reclaimed(1, 4, now), 4);
        assert!(sent.is_empty());
        assert_eq!(sent.reclaimed(1, u32::MAX, now), u32::MAX);
    }

    #[test]
    fn a_frame_with_another_behind_it_is_not_the_only_one() {
        let now = Instant::now();
        let mut sent = SentFrames::default();
        assert_eq!(sent.sole(), None);
        sent.sent(1, 1, true, now);
        assert_eq!(sent.sole(), Some(1));
        sent.sent(2, 1, true, now);
        assert_eq!((sent.sole(), sent.front()), (None, Some(1)));
        sent.answered(1, 1, now);
        assert_eq!(sent.sole(), Some(2));
    }
}
