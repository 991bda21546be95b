//! How many calls of a map may be under way: a pure rule.

use std::time::Duration;

/// Calls per slot that a window starts with: one runs, one is at hand, and as many again travel.
const START_PER_SLOT: usize = 4;

/// Most calls in a window that nobody set.
const MAX_CALLS: usize = 4096;

/// Work that a window may hold when it grows: what a cancel or a first error leaves behind.
const MAX_WORK: Duration = Duration::from_millis(50);

/// Argument bytes past which a window holds no more than it started with.
const MAX_BYTES: usize = 16 << 20;

/// The refill of a grown window waits until so large a part of it is free, so that submits come in batches.
const BATCH_PART: usize = 8;

/// A window grown past this holds short tasks, for which waiting for a batch costs nothing.
const BATCHED_FROM: usize = 64;

/// The bound on the calls that a map has submitted and not yet delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    start: usize,
    limit: usize,
    exact: bool,
    /// Deliveries since the window last grew.
    delivered: usize,
}

impl Window {
    /// A window that starts small and grows by itself.
    pub(super) fn growing(slots: usize) -> Self {
        let start = slots.max(1).saturating_mul(START_PER_SLOT);
        Self {
            start,
            limit: start,
            exact: false,
            delivered: 0,
        }
    }

    /// A window of exactly so many calls, at least one.
    pub(super) fn exact(calls: usize) -> Self {
        let limit = calls.max(1);
        Self {
            start: limit,
            limit,
            exact: true,
            delivered: 0,
        }
    }

    /// Whether one more call may be submitted beside these.
    pub(super) const fn has_room(&self, calls: usize, bytes: usize) -> bool {
        calls < self.start || (calls < self.limit && bytes < MAX_BYTES)
    }

    /// Whether it is time to submit at all, with so many calls under way.
    pub(super) const fn wants_refill(&self, calls: usize) -> bool {
        let free = self.limit.saturating_sub(calls);
        if self.limit == self.start || self.limit < BATCHED_FROM {
            free > 0
        } else {
            free >= self.limit / BATCH_PART
        }
    }

    /// A result was delivered.
    pub(super) const fn deliver(&mut self) {
        self.delivered += 1;
    }

    /// Whether enough was delivered at this size to judge it.
    pub(super) const fn may_grow(&self) -> bool {
        !self.exact && self.limit < MAX_CALLS && self.delivered >= self.limit / 2
    }

    /// Doubles while the doubled window holds no more work than it may. `typical` is one task's measured time.
    pub(super) fn grow(&mut self, typical: Option<Duration>) {
        self.delivered = 0;
        let doubled = self.limit.saturating_mul(2).min(MAX_CALLS);
        let factor = u32::try_from(doubled).unwrap_or(u32::MAX);
        let short = |task: Duration| task.saturating_mul(factor) < MAX_WORK;
        if typical.is_some_and(short) {
            self.limit = doubled.max(self.limit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grown(typical: Option<Duration>) -> usize {
        let mut window = Window::growing(2);
        for _ in 0..100_000 {
            window.deliver();
            if window.may_grow() {
                window.grow(typical);
            }
        }
        window.limit
    }

    #[test]
    fn it_starts_at_four_calls_a_slot_and_doubles_for_short_tasks_only() {
        assert_eq!(Window::growing(2).limit, 8);
        assert_eq!(Window::growing(0).limit, 4);
        assert_eq!(grown(None), 8);
        assert_eq!(grown(Some(Duration::from_micros(1))), 4096);
        assert_eq!(grown(Some(Duration::from_micros(13))), 2048);
        assert_eq!(grown(Some(Duration::from_millis(1))), 32);
        assert_eq!(grown(Some(Duration::from_secs(1))), 8);
        assert_eq!(Window::growing(10_000).limit, 40_000);
    }

    #[test]
    fn bytes_bound_only_what_lies_past_the_start() {
        let mut window = Window::growing(2);
        assert!(window.has_room(7, usize::MAX));
        assert!(!window.has_room(8, 0));
        window.grow(Some(Duration::ZERO));
        assert!(window.has_room(15, MAX_BYTES - 1));
        assert!(!window.has_room(8, MAX_BYTES));
        assert!(!window.has_room(16, 0));
    }

    #[test]
    fn an_exact_window_never_grows_and_never_waits() {
        let window = Window::exact(1000);
        assert!(
            !Window {
                delivered: 5000,
                ..window
            }
            .may_grow()
        );
        assert!(window.has_room(999, usize::MAX) && !window.has_room(1000, 0));
        assert!(window.wants_refill(999) && !window.wants_refill(1000));
        assert_eq!(Window::exact(0).limit, 1);
    }

    #[test]
    fn a_grown_window_is_refilled_in_batches() {
        let window = Window {
            limit: 800,
            ..Window::growing(2)
        };
        assert!(!window.wants_refill(701) && window.wants_refill(700));
        assert!(Window::growing(2).wants_refill(7));
    }
}
