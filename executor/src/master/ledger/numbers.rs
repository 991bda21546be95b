//! Which numbers of tasks are this master's: no other master of the run gives them. Pure.

use podpool_core::id::TaskId;
use podpool_core::ledger::NUMBERS;

/// The numbers that are reserved.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers {
    /// The first of them.
    first: u64,
    /// The first that is not this master's.
    end: u64,
}

/// As a ledger reserves them when it is opened, from this one on.
impl From<u64> for Numbers {
    fn from(first: u64) -> Self {
        Self {
            first,
            end: first.saturating_add(NUMBERS),
        }
    }
}

impl Numbers {
    /// The next task gets this number. Where fewer than half a block are left, the first number that is to be another
    /// master's from now on.
    // A block is as large as all that was given, so that a program which submits ever faster reserves no more often.
    // Half of it is left for what is submitted until the reservation is stored.
    pub(crate) fn reserve(&mut self, next: u64) -> Option<TaskId> {
        let block = next.saturating_sub(self.first).max(NUMBERS);
        if self.end.saturating_sub(next) >= block / 2 {
            return None;
        }
        self.end = next.saturating_add(block);
        Some(TaskId(self.end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_reserved_before_half_a_block_is_used_and_in_growing_blocks() {
        let mut numbers = Numbers::from(100);
        assert_eq!(numbers.reserve(100), None);
        assert_eq!(numbers.reserve(100 + NUMBERS / 2), None);
        let next = 101 + NUMBERS / 2;
        assert_eq!(numbers.reserve(next), Some(TaskId(next + NUMBERS)));
        assert_eq!(numbers.reserve(next), None, "it is reserved");
        // A program that was faster than its reservations.
        let far = 100 + 50 * NUMBERS;
        assert_eq!(numbers.reserve(far), Some(TaskId(far + 50 * NUMBERS)));
        let mut reserved = 0;
        for next in (far..far + 200 * NUMBERS).step_by(NUMBERS as usize / 4) {
            reserved += u32::from(numbers.reserve(next).is_some());
        }
        assert!(reserved <= 6, "{reserved} reservations");
    }

    #[test]
    fn the_last_numbers_are_reserved_too() {
        let mut numbers = Numbers::from(u64::MAX - 5);
        assert_eq!(numbers.reserve(u64::MAX - 1), Some(TaskId(u64::MAX)));
    }
}
