//! How many calls of a map may be under way: a pure rule.
//!
//! A window starts small and is judged each time that as many results were delivered as it holds: a round. It grows for
//! two reasons.
//!
//! - **Short tasks.** While it holds less than 50 ms of measured work it doubles, up to 4,096 calls. Where slots are near
//!   this keeps them busy, and little is left behind by a cancel or a first error.
//! - **A long way.** Every slot is busy while `slots × round / work` calls are under way, where `round` is the time from a
//!   call to its result (Little's law). A window that holds fewer takes just that time to be delivered. Where slots had
//!   nothing to do for a part of it, the window grows to four times that many, so that they stay busy while results come
//!   unevenly. Before the first round is over, the measured round trip of a batch stands for `round`.
//!
//! The second holds where the time of a round is spent on the way: from the executor to the slots and back. It is not where
//! the program takes its results slowly, where one slow task holds up what comes after it, or where the executor itself is
//! what takes time: there more calls would only wait longer. A window never shrinks.

use std::time::{Duration, Instant};

use crate::master::measured::{LONGEST, Pace};

/// Calls per slot that a window starts with: one runs, one waits at the slot, and two are on their way to and from it.
const START_PER_SLOT: usize = 4;

/// Most calls in a window that grew for short tasks.
// As many tasks as a batch holds at most.
const MOST_SHORT: usize = 4096;

/// Work that a window may hold when it grows for short tasks: what a cancel or a first error leaves behind.
const MOST_WORK: Duration = Duration::from_millis(50);

/// Bytes that a window may hold past its start: arguments, results that wait, and what stands around each call.
pub(super) const MOST_BYTES: usize = 32 << 20;

/// What stands around each call: its future, its cell and its place in the executor.
const CALL_BYTES: usize = 256;

/// Most calls in a window that was not set with `window`.
const MOST_CALLS: usize = MOST_BYTES / CALL_BYTES;

/// Slots that work for so much of a round have enough.
const BUSY: f64 = 0.9;

/// Times the calls that slots would need if results came evenly. They come in batches and in order: a slot may be idle
/// while the results that would free its next calls are behind another slot's results.
const HEADROOM: f64 = 4.0;

/// Times a window that one round may make it.
// The next round corrects it, so a wrong measurement costs one round at most.
const GROWTH: usize = 8;

/// Times a window that its first result may make it. It saves two round trips, and shows only that the way is long: not
/// whether the program takes results as fast as they come.
const FIRST_GROWTH: usize = 64;

/// Round trips that a round takes at most, if its time is spent on the way.
// The first call of a round waits up to one round trip for its predecessors, and its results come in batches.
const TRIPS: u32 = 3;

/// The refill of a grown window waits until so large a part of it is free, so that submits come in batches.
const REFILL_PART: usize = 8;

/// A window grown past this holds short tasks, for which waiting for a batch costs nothing.
const REFILLED_FROM: usize = 64;

/// A result counts for no less than the largest one before it, which is forgotten by so small a part with each result.
const FORGETS: usize = 64;

/// A round counts for no more than the shortest one before it, which grows by this part of it with each round.
const FORGETS_ROUND: u32 = 2;

/// What is measured when a window is judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) now: Instant,
    /// The mean time of one such task; none before one has ended.
    pub(super) work: Option<Duration>,
    pub(super) pace: Pace,
}

/// The bound on the calls that a map has submitted and not yet delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    start: usize,
    limit: usize,
    exact: bool,
    /// Bytes of a result, by the largest of the last ones.
    result_bytes: usize,
    /// Results delivered in this round.
    delivered: usize,
    /// Whether the window was full in this round: it is what held calls back.
    filled: bool,
    /// When this round began, and the work that was done in the pool by then; none before the first call.
    began: Option<(Instant, Duration)>,
    /// Whether it was judged with a result at hand.
    met: bool,
    /// The shortest of the last rounds in which slots were idle. The round after the window grew takes longer, for it begins
    /// with the calls of a smaller one.
    shortest: Duration,
}

impl Window {
    /// A window that starts small and grows with what it measures.
    pub(super) fn growing(slots: usize) -> Self {
        Self::of(slots.max(1).saturating_mul(START_PER_SLOT), false)
    }

    /// A window of exactly so many calls, at least one.
    pub(super) fn exact(calls: usize) -> Self {
        Self::of(calls.max(1), true)
    }

    const fn of(limit: usize, exact: bool) -> Self {
        Self {
            start: limit,
            limit,
            exact,
            result_bytes: 0,
            delivered: 0,
            filled: false,
            began: None,
            met: false,
            shortest: Duration::MAX,
        }
    }

    /// Whether one more call may be submitted beside these, which have so many bytes of arguments.
    pub(super) const fn has_room(&self, calls: usize, bytes: usize) -> bool {
        calls < self.start || (calls < self.limit && self.bytes(calls, bytes) < MOST_BYTES)
    }

    /// Bytes that so many calls take while they are under way, when each may have its result.
    const fn bytes(&self, calls: usize, arguments: usize) -> usize {
        let each = CALL_BYTES.saturating_add(self.result_bytes);
        calls.saturating_mul(each).saturating_add(arguments)
    }

    /// Whether it is time to submit at all, with so many calls under way.
    pub(super) const fn wants_refill(&self, calls: usize) -> bool {
        let free = self.limit.saturating_sub(calls);
        if self.limit == self.start || self.limit < REFILLED_FROM {
            free > 0
        } else {
            free >= self.limit / REFILL_PART
        }
    }

    /// Calls were submitted; so many are under way now.
    pub(super) const fn refilled(&mut self, calls: usize) {
        self.filled |= calls >= self.limit;
    }

    /// A result of so many bytes was delivered.
    pub(super) fn deliver(&mut self, bytes: usize) {
        self.delivered += 1;
        let forgotten = self.result_bytes - self.result_bytes / FORGETS;
        self.result_bytes = bytes.max(forgotten);
    }

    /// Whether it is time to [`judge`](Self::judge): nothing was submitted yet, the first result came, or a round is over.
    pub(super) const fn is_due(&self) -> bool {
        let first = !self.met && self.delivered > 0;
        (first || self.is_over()) && !self.exact && self.limit < MOST_CALLS
    }

    const fn is_over(&self) -> bool {
        self.began.is_none() || self.delivered >= self.limit
    }

    /// Grows where that is of use.
    pub(super) fn judge(&mut self, seen: &Seen) {
        let limit = match self.began {
            Some(began) if self.is_over() => self.after_round(began, seen),
            _ => Some(self.at_first(seen)),
        };
        self.met |= self.delivered > 0;
        match limit {
            Some(limit) if limit > self.limit || self.is_over() => self.begin(limit, seen),
            Some(_) => {}
            // The round continues: an eighth of a window later it is judged again.
            None => self.delivered -= self.limit / REFILL_PART,
        }
    }

    /// A round begins.
    const fn begin(&mut self, limit: usize, seen: &Seen) {
        self.limit = limit;
        self.began = Some((seen.now, seen.pace.worked));
        self.delivered = 0;
        self.filled = false;
    }

    /// The window before the first round is over: by the round trips of batches, if any were measured.
    fn at_first(&mut self, seen: &Seen) -> usize {
        let (Some(trip), Some(work)) = (seen.pace.trip, seen.work) else {
            return self.limit;
        };
        self.shortest = self.shortest.min(trip.saturating_add(work));
        let wanted = wanted(seen.pace.slots.max(1), self.shortest, work);
        wanted.clamp(self.limit, self.at_most(FIRST_GROWTH))
    }

    /// The window after a round. None where the round was shorter than a round trip: it says nothing of the slots and goes
    /// on.
    fn after_round(&mut self, (began, before): (Instant, Duration), seen: &Seen) -> Option<usize> {
        let Some(work) = seen.work else {
            return Some(self.limit);
        };
        let took = seen.now.saturating_duration_since(began);
        let short = self.for_short(work);
        let trip = seen.pace.trip.map(|trip| trip.saturating_add(work));
        let early = trip.is_some_and(|trip| took < trip);
        if early && short <= self.limit {
            return None;
        }
        let slots = seen.pace.slots.max(1);
        let worked = seen.pace.worked.saturating_sub(before);
        let way = match trip {
            Some(trip) if !early && busy(worked, took, slots) < BUSY => {
                self.for_way(self.full(took), trip, slots, work)
            }
            _ => self.limit,
        };
        Some(short.max(way))
    }

    /// So many times the window, within all bounds.
    fn at_most(&self, times: usize) -> usize {
        let most = self.limit.saturating_mul(times).min(MOST_CALLS);
        most.max(self.limit)
    }

    /// The window for short tasks near by.
    fn for_short(&self, work: Duration) -> usize {
        let doubled = self.limit.saturating_mul(2).min(MOST_SHORT);
        let factor = u32::try_from(doubled).unwrap_or(u32::MAX);
        if work.saturating_mul(factor) < MOST_WORK {
            doubled.max(self.limit)
        } else {
            self.limit
        }
    }

    /// The time in which a window's worth of results is delivered, of a round in which it may have been more.
    fn full(&self, round: Duration) -> Duration {
        round.mul_f64(self.limit as f64 / self.delivered.max(1) as f64)
    }

    /// The window for slots that are idle, if it is the window that keeps them so: it was full, and its calls were on the
    /// way, where each takes `trip` from the executor to its result.
    fn for_way(&mut self, round: Duration, trip: Duration, slots: usize, work: Duration) -> usize {
        let on_the_way = round <= trip.saturating_mul(TRIPS).min(LONGEST);
        if !self.filled || !on_the_way {
            return self.limit;
        }
        let longer = self.shortest.saturating_add(self.shortest / FORGETS_ROUND);
        self.shortest = round.min(longer);
        wanted(slots, self.shortest, work).clamp(self.limit, self.at_most(GROWTH))
    }
}

/// The calls that keep so many slots busy, with headroom, where a window of them takes a `round` to be delivered and each
/// keeps its slot for `work` of that.
fn wanted(slots: usize, round: Duration, work: Duration) -> usize {
    let work = work.as_secs_f64().max(f64::EPSILON);
    // A float that is too large saturates.
    (HEADROOM * slots as f64 * round.as_secs_f64() / work) as usize
}

/// The part of a round for which so many slots worked, at least one.
fn busy(worked: Duration, round: Duration, slots: usize) -> f64 {
    let all = round.as_secs_f64() * slots.max(1) as f64;
    worked.as_secs_f64() / all.max(f64::EPSILON)
}

#[cfg(test)]
mod pipe;
#[cfg(test)]
mod tests;
