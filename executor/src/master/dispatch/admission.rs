//! Which tasks may be out where they share the memory of one machine: pure, with the time as a parameter.
//!
//! At most so many tasks run at a time as there are slots, and any of those that are out may be the ones that run. So what
//! is out fits if its largest tasks, one for each slot, fit together.

use std::time::Duration;

use podpool_core::broker::ClassId;
use podpool_core::instant::after;
use tokio::time::Instant;

/// How long smaller tasks may pass a larger one that waits for memory.
// Long enough for tasks of seconds to end in the order that wastes least, short beside the tasks of minutes which need so
// much memory. At double a large task may wait so much longer in a run of small ones; at half slots are idle sooner.
const PASS: Duration = Duration::from_secs(10);

/// The memory that running tasks share.
#[derive(Debug)]
pub(super) struct Admission {
    /// Bytes.
    budget: u64,
    slots: usize,
    /// The class that waits for memory, and since when; the first of several.
    waits: Option<(ClassId, Instant)>,
}

impl Admission {
    pub(super) const fn new(budget: u64, slots: usize) -> Self {
        Self {
            budget,
            slots,
            waits: None,
        }
    }

    /// Bytes that tasks share.
    pub(super) const fn budget(&self) -> u64 {
        self.budget
    }

    /// How many more tasks that declare so much memory may go out, beside so many of each other size.
    pub(super) fn room(&self, out: &[(u64, usize)], memory: u64) -> usize {
        if memory == 0 {
            return usize::MAX;
        }
        let fits = |more: usize| {
            let mut all = out.to_vec();
            all.push((memory, more));
            self.most_at_once(all) <= self.budget
        };
        if fits(self.slots) {
            return usize::MAX;
        }
        // More tasks never need less, so the first number that does not fit is found by halving.
        let (mut least, mut most) = (0, self.slots);
        while most - least > 1 {
            let middle = least.midpoint(most);
            if fits(middle) {
                least = middle;
            } else {
                most = middle;
            }
        }
        least
    }

    /// Bytes of the largest tasks of these, one for each slot.
    fn most_at_once(&self, mut tasks: Vec<(u64, usize)>) -> u64 {
        tasks.sort_unstable_by(|one, other| other.cmp(one));
        let (mut slots, mut bytes) = (self.slots, 0_u64);
        for (memory, count) in tasks {
            let count = count.min(slots);
            bytes = bytes.saturating_add(memory.saturating_mul(count as u64));
            slots -= count;
        }
        bytes
    }

    /// A class has a task that does not fit.
    pub(super) fn wait(&mut self, now: Instant, class: ClassId) {
        // The first one stays: each class that waits is served in turn.
        self.waits.get_or_insert((class, now));
    }

    /// A class waits no longer: a task of it went out, or none is left.
    pub(super) fn end_wait(&mut self, class: ClassId) {
        self.waits.take_if(|(waits, _)| *waits == class);
    }

    /// The class that waits.
    pub(super) fn waiting(&self) -> Option<ClassId> {
        self.waits.map(|(class, _)| class)
    }

    /// Whether a class has waited so long that no task behind it which declares memory may pass it.
    pub(super) fn is_next(&self, now: Instant, class: ClassId) -> bool {
        self.waits
            .is_some_and(|(waits, since)| waits == class && now >= after(since, PASS))
    }

    /// What a task counts for: its bytes, rounded up to a sixteenth of the next power of two, so that needs which differ
    /// little are one class.
    pub(super) fn rounded(&self, memory: u64) -> u64 {
        let step = memory.checked_next_power_of_two().unwrap_or(u64::MAX) / 16;
        let rounded = memory.checked_next_multiple_of(step.max(1));
        rounded.unwrap_or(u64::MAX).min(self.budget)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn as_many_go_out_as_fit_together() {
        let admission = Admission::new(5 * GIB, 8);
        assert_eq!(admission.room(&[], 2 * GIB), 2);
        assert_eq!(admission.room(&[(2 * GIB, 1)], 2 * GIB), 1);
        assert_eq!(admission.room(&[(2 * GIB, 2)], 2 * GIB), 0);
        assert_eq!(admission.room(&[(2 * GIB, 2)], GIB), 1);
        assert_eq!(admission.room(&[(2 * GIB, 2)], 0), usize::MAX);
        assert_eq!(admission.room(&[], 6 * GIB), 0);
        // However many are out, eight run at a time.
        assert_eq!(admission.room(&[], GIB / 2), usize::MAX);
        assert_eq!(admission.room(&[(GIB / 2, 1_000)], 2 * GIB), 0);
        assert_eq!(admission.room(&[(GIB / 4, 1_000)], 2 * GIB), 1);
    }

    #[test]
    fn a_class_is_passed_for_a_bounded_time() {
        let mut admission = Admission::new(GIB, 2);
        let (large, small) = (ClassId(1), ClassId(2));
        let now = Instant::now();
        admission.wait(now, large);
        admission.wait(now + PASS, small);
        assert_eq!(admission.waiting(), Some(large));
        assert!(!admission.is_next(now, large));
        assert!(admission.is_next(now + PASS, large));
        assert!(!admission.is_next(now + PASS, small));
        admission.end_wait(small);
        assert!(admission.is_next(now + PASS, large));
        admission.end_wait(large);
        assert_eq!(admission.waiting(), None);
    }

    #[test]
    fn needs_that_differ_little_count_the_same() {
        let admission = Admission::new(5 * GIB, 2);
        assert_eq!(admission.rounded(0), 0);
        assert_eq!(admission.rounded(7), 7);
        for exact in [GIB, 2 * GIB, GIB + GIB / 2, 5 * GIB] {
            assert_eq!(admission.rounded(exact), exact);
        }
        assert_eq!(admission.rounded(GIB + 1), GIB + GIB / 8);
        assert_eq!(admission.rounded(5 * GIB - 1), 5 * GIB);
        assert_eq!(Admission::new(u64::MAX, 1).rounded(u64::MAX), u64::MAX);
    }

    proptest! {
        /// Whatever goes out by the rule fits, whichever of it runs; and one more task than the rule allows does not.
        #[test]
        fn what_is_out_always_fits(
            slots in 1_usize..9,
            asked in prop::collection::vec((1_u64..12, 1_usize..20), 1..12),
        ) {
            let admission = Admission::new(20, slots);
            let mut out: Vec<(u64, usize)> = Vec::new();
            for (memory, count) in asked {
                let room = admission.room(&out, memory);
                let goes = room.min(count);
                if goes > 0 {
                    out.push((memory, goes));
                }
                prop_assert!(admission.most_at_once(out.clone()) <= 20);
                if room < count {
                    let mut more = out.clone();
                    more.push((memory, 1));
                    prop_assert!(admission.most_at_once(more) > 20);
                }
            }
        }
    }
}
