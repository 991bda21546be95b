//! Messages that are not the run's: which a worker removes, and which it leaves to others.
//!
//! A worker is sure that its key is the run's as soon as the key has opened one message: from then on it removes what
//! has another MAC. Before, the key may be its own mistake, and what it cannot open may be the run's tasks. It must
//! remove none of them, and must get past them: a publisher could put any number in front of the first task. So it
//! keeps what it cannot open leased for a moment and pulls on, more at a time, until a message opens. If none does, it
//! gives all of it back and pauses, so that a worker with a wrong key keeps the run's tasks from others for a small
//! part of the time.

use std::mem;
use std::time::Duration;

use tokio::time::Instant;

use crate::envelope::{MacKey, WireError};
use crate::instant::after;
use crate::queue::LeaseId;

/// How long what cannot be opened is held while the first message that can be is looked for. Thousands are pulled in
/// that time, a hundred milliseconds from the queue.
const HOLD: Duration = Duration::from_secs(2);
/// Most messages that are held: 2 MB of names of leases.
const HELD: usize = 10_000;
/// Most messages of one pull meanwhile.
const PULL: usize = 256;
/// Pause after what was held was given back: doubled each time, from twice the time of holding.
// Holding for 2 s and pausing for 4 s keeps the messages from others for a third of the time at first, and for 2 s in
// 32 once the pauses have grown.
const SHORTEST_PAUSE: Duration = Duration::from_secs(4);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What becomes of a message that names no task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disposition {
    /// It is removed; so many were by now.
    Drop(u64),
    /// It stays leased: the key that does not fit may be this worker's own.
    Hold,
    /// It is given back, for the same reason: a search has just ended, or enough is held.
    GiveBack,
}

/// The state of a worker's key and of foreign messages: pure, fed by the loop.
#[derive(Debug)]
pub(super) struct Unauthenticated {
    /// Whether a message was read that this worker's key authenticates: its key is the run's.
    trusted: bool,
    dropped: u64,
    hold: Duration,
    held: Vec<LeaseId>,
    /// When what is held goes back.
    until: Option<Instant>,
    /// Searches that found nothing.
    failed: u32,
    /// Before this, nothing is pulled.
    paused: Option<Instant>,
}

impl Unauthenticated {
    /// Within one process there is no key to be wrong about. `lease` is that of the tasks' queue, in which a search ends.
    pub(super) fn new(mac_key: &MacKey, lease: Duration) -> Self {
        Self {
            trusted: *mac_key == MacKey::Absent,
            dropped: 0,
            // Half a lease: what is held must be given back while its lease still counts.
            hold: HOLD.min(lease / 2),
            held: Vec::new(),
            until: None,
            failed: 0,
            paused: None,
        }
    }

    /// A message was authenticated by this worker's key. What was held was not: it is counted, and shall be removed.
    pub(super) fn trust(&mut self) -> Vec<LeaseId> {
        self.trusted = true;
        self.paused = None;
        let held = self.give_back();
        self.dropped += held.len() as u64;
        held
    }

    /// A message had another MAC, or could not be read.
    pub(super) fn unread(
        &mut self,
        now: Instant,
        lease: &LeaseId,
        error: &WireError,
    ) -> Disposition {
        // Only a MAC that does not fit may be this worker's own mistake. What is cut short or has another version can
        // be read with no key of this version.
        if *error != WireError::Mac || self.trusted {
            return Disposition::Drop(self.count());
        }
        if !self.may_pull(now) {
            return Disposition::GiveBack;
        }
        self.until.get_or_insert(after(now, self.hold));
        self.held.push(lease.clone());
        Disposition::Hold
    }

    /// One more is removed; returns how many were.
    pub(super) fn count(&mut self) -> u64 {
        self.dropped += 1;
        self.dropped
    }

    /// How many were removed.
    pub(super) const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Whether a pull may be sent.
    pub(super) fn may_pull(&self, now: Instant) -> bool {
        self.held.len() < HELD && self.paused.is_none_or(|until| now >= until)
    }

    /// How many messages to pull for so many that there is room for. A search doubles the number of its messages with
    /// each pull.
    pub(super) fn most(&self, room: usize) -> usize {
        // As many as were seen so far: the number doubles with each pull up to `PULL`, so a few pulls pass some hundred
        // forged messages.
        room.max(self.held.len().min(PULL))
    }

    /// Ends a search that has found nothing in its time: what is given back then, and how long the pause is.
    pub(super) fn search_ended(&mut self, now: Instant) -> Option<(Vec<LeaseId>, Duration)> {
        self.until.filter(|until| now >= *until)?;
        // The exponent is bounded: 2^8 is past LONGEST_PAUSE, and the product stays far from the end of a duration.
        let pause = SHORTEST_PAUSE * 2_u32.saturating_pow(self.failed.min(8));
        let pause = pause.min(LONGEST_PAUSE);
        self.failed += 1;
        self.paused = Some(after(now, pause));
        Some((self.give_back(), pause))
    }

    /// What is held, when the worker leaves.
    pub(super) fn give_back(&mut self) -> Vec<LeaseId> {
        self.until = None;
        mem::take(&mut self.held)
    }

    /// When a search or a pause ends.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        self.until.or(self.paused.filter(|until| *until > now))
    }
}

#[cfg(test)]
mod tests;
