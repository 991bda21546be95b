//! How many calls of a map may be under way: a pure rule.
//!
//! A window starts small and is judged each time that as many results were delivered as it holds: a round. It grows for
//! two reasons.
//!
//! - **Short tasks.** While it holds less than 50 ms of measured work it doubles, up to 4,096 calls. Where slots are
//!   near this keeps them busy, and little is left behind by a cancel or a first error.
//! - **A long way.** Every slot is busy while `slots × round / work` calls are under way, where `round` is the time
//!   from a call to its result (Little's law). A window that holds fewer takes just that time to be delivered. Where
//!   slots had nothing to do for a part of it, the window grows to four times that many, so that they stay busy while
//!   results come unevenly. Before the first round is over, the measured round trip of a batch stands for `round`.
//!
//! Results that a ledger has stored count as tasks without work: the window doubles while whole rounds of them come, and
//! begins anew where something has run, because no time of a task was measured by them.
//!
//! The second holds where the time of a round is spent on the way: from the executor to the slots and back. It is not
//! where the program takes its results slowly, where one slow task delays the results after it, or where the executor
//! itself takes the time: there more calls would only wait longer. A window never shrinks otherwise.

use std::time::{Duration, Instant};

use crate::master::measured::{LONGEST, Pace};

/// Calls per slot that a window starts with: one runs, one waits at the slot, and two are on their way to and from it.
// At half, a slot is idle while its result and its next call travel; at double, a first error leaves twice as many
// calls behind, also of tasks that run for hours.
const START_PER_SLOT: usize = 4;

/// Most calls in a window that grew for short tasks.
// As many tasks as a batch holds at most. Tasks of 12 µs and less reach it before `MOST_WORK` is full.
const MOST_SHORT: usize = 4096;

/// Work that a window may hold when it grows for short tasks: a cancel or a first error leaves so much behind.
// It bridges the time until the consumer of the results is scheduled, some milliseconds on a busy machine. At double,
// an error leaves twice as much work behind.
const MOST_WORK: Duration = Duration::from_millis(50);

/// Bytes that a window may hold past its start: arguments, results that wait, and the memory of each call.
pub(super) const MOST_BYTES: usize = 32 << 20;

/// Memory of each call: its future, its cell and its place in the executor.
// 96 bytes of cell, 40 of submission, 16 of future, and what the table of the dispatcher and a waker take, rounded up.
const CALL_BYTES: usize = 256;

/// Most calls in a window that was not set with `window`.
// 131,072: what the bytes allow if arguments and results are empty.
const MOST_CALLS: usize = MOST_BYTES / CALL_BYTES;

/// Slots that work for so large a part of a round have enough calls.
// The last tenth is lost to the unevenness of batches, which more calls do not change.
const BUSY: f64 = 0.9;

/// Times the calls that slots would need if results came evenly. They come in batches and in order: a slot may be idle
/// while the results that would free its next calls are behind another slot's results.
// It is also what a cancel leaves behind, in round trips of work. The tests on pools that are far away demand 85 % of
// the slots' time, and at most nine times the calls that an even flow needs.
const HEADROOM: f64 = 4.0;

/// Times a window that one round may make it.
// The next round corrects it, so a wrong measurement costs one round at most.
const GROWTH: usize = 8;

/// Times a window that its first result may make it. It saves two round trips, and shows only that the way is long: not
/// whether the program takes results as fast as they come.
// `GROWTH` squared: two growths at once. From 4 calls a slot it leads to 256, enough for a way 64 times as long as the
// work with the headroom of four.
const FIRST_GROWTH: usize = 64;

/// Round trips that a round takes at most, if its time is spent on the way.
// The first call of a round waits up to one round trip for its predecessors, and its results come in batches.
const TRIPS: u32 = 3;

/// The refill of a grown window waits until so large a part of it is free, so that submits come in batches.
// Each submit after a pause may cost a wake-up of the executor: an eighth makes that one for 8 calls and more, and
// takes an eighth of the window from the slots at most, which the headroom covers.
const REFILL_PART: usize = 8;

/// A window grown past this holds short tasks, for which waiting for a batch costs nothing.
// An eighth of it is 8 calls. In a smaller window the wait would save few wake-ups.
const REFILLED_FROM: usize = 64;

/// A result counts for no less than the largest one before it, which is forgotten by so small a part with each result.
// The largest of the last results is halved after 44 small ones (ln 2 × 64). A mean would let one large result among
// many small ones admit more bytes than the bound.
const FORGETS: usize = 64;

/// A round counts for no more than the shortest one before it, which grows by this part of it with each round.
// Half more with each round: a single long round, as after each growth, counts for half more than the shortest before
// it, and a way that has really become twice as long is accepted after two rounds.
const FORGETS_ROUND: u32 = 2;

/// The measurements by which a window is judged.
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
    /// Whether the window was full in this round, so that its size held calls back.
    filled: bool,
    /// When this round began, with the work that was done in the pool by then and the stored results that had been read;
    /// none before the first call.
    began: Option<(Instant, Duration, u64)>,
    /// Whether it grew for stored results.
    for_stored: bool,
    /// Whether it was judged with a result at hand.
    met: bool,
    /// The shortest of the last rounds in which slots were idle. The round after the window grew takes longer, for it
    /// begins with the calls of a smaller one.
    shortest: Duration,
}

impl Window {
    /// A window that starts small and grows by measurements.
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
            for_stored: false,
            met: false,
            shortest: Duration::MAX,
        }
    }

    /// Whether one more call may be submitted beside these, which have so many bytes of arguments.
    // The start is free of the bound in bytes: with arguments above it a map could not submit its first call.
    pub(super) const fn has_room(&self, calls: usize, bytes: usize) -> bool {
        calls < self.start || (calls < self.limit && self.bytes(calls, bytes) < MOST_BYTES)
    }

    /// Bytes that so many calls take while they are under way, when each may have its result.
    const fn bytes(&self, calls: usize, arguments: usize) -> usize {
        // Saturating: `exact` windows have no bound on calls or bytes, and too large is the right answer here.
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
        // Below 64 bytes the integer division forgets nothing; such results do not count beside `CALL_BYTES`.
        let forgotten = self.result_bytes - self.result_bytes / FORGETS;
        self.result_bytes = bytes.max(forgotten);
    }

    /// Whether it is time to [`judge`](Self::judge): nothing was submitted yet, the first result came, or a round is
    /// over.
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
            // The round continues: an eighth of a window later it is judged again. Only a round that is over comes
            // here, so `delivered` is the limit or more, and the subtraction cannot wrap.
            None => self.delivered -= self.limit / REFILL_PART,
        }
    }

    /// A round begins.
    const fn begin(&mut self, limit: usize, seen: &Seen) {
        self.limit = limit;
        self.began = Some((seen.now, seen.pace.worked, seen.pace.stored));
        self.delivered = 0;
        self.filled = false;
    }

    /// The window before the first round is over: by the round trips of batches, if any were measured.
    fn at_first(&mut self, seen: &Seen) -> usize {
        let (Some(trip), Some(work)) = (seen.pace.trip, seen.work) else {
            return self.limit;
        };
        // A round trip of a batch is measured less its work; a call needs both.
        self.shortest = self.shortest.min(trip.saturating_add(work));
        // No slot may have greeted yet: one is assumed, for which a window is never too large.
        let wanted = wanted(seen.pace.slots.max(1), self.shortest, work);
        wanted.clamp(self.limit, self.at_most(FIRST_GROWTH))
    }

    /// The window after a round. None where the round was shorter than a round trip: it contains no information on the
    /// slots, and goes on.
    fn after_round(
        &mut self,
        (began, before, stored): (Instant, Duration, u64),
        seen: &Seen,
    ) -> Option<usize> {
        // Of other maps too: where several read stored results beside each other, all of them may grow.
        let read = seen.pace.stored.saturating_sub(stored);
        if read >= self.delivered as u64 {
            self.for_stored = true;
            return Some(self.for_short(Duration::ZERO));
        }
        if std::mem::take(&mut self.for_stored) {
            return Some(self.start);
        }
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

    /// The window for short tasks on slots that are near.
    fn for_short(&self, work: Duration) -> usize {
        // Never smaller than it is: a start of more than 4,096 calls, for many slots, stays.
        let doubled = self.limit.saturating_mul(2).min(MOST_SHORT);
        let factor = u32::try_from(doubled).unwrap_or(u32::MAX);
        if work.saturating_mul(factor) < MOST_WORK {
            doubled.max(self.limit)
        } else {
            self.limit
        }
    }

    /// The time in which a window's worth of results is delivered, of a round in which it may have been more.
    // A round is judged at the next poll after its end, and a round that went on has more results than the limit.
    fn full(&self, round: Duration) -> Duration {
        round.mul_f64(self.limit as f64 / self.delivered.max(1) as f64)
    }

    /// The window for slots that are idle, if its size is the cause: it was full, and its calls were on the
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

/// The calls that keep so many slots busy, with headroom, where a window of them takes a `round` to be delivered and
/// each keeps its slot for `work` of that.
fn wanted(slots: usize, round: Duration, work: Duration) -> usize {
    let work = work.as_secs_f64().max(f64::EPSILON);
    // A float that is too large saturates; callers clamp the number.
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
