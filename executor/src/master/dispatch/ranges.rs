//! A set of task numbers in ranges: each change costs about the same however many numbers there are.

use std::collections::BTreeMap;

/// Ordered numbers. Numbers that follow each other are one range, so a backlog of one task type is a single range.
// A queue of numbers would cost 8 bytes for each task, and a cancel in its middle a search. Ranges never overlap or
// touch, and `below` is empty where `top` is none: every function below keeps both.
#[derive(Debug, Default)]
pub(super) struct Ranges {
    /// First number by last number: to take the lowest number changes no key, and `range_mut(number..)` finds the range
    /// that may contain a number.
    below: BTreeMap<u64, u64>,
    /// The highest range, apart from the others: most numbers are appended to it, and most are taken from it.
    // A single backlog touches no tree at all.
    top: Option<(u64, u64)>,
}

impl Ranges {
    pub(super) fn is_empty(&self) -> bool {
        self.top.is_none()
    }

    /// The lowest number.
    pub(super) fn first(&self) -> Option<u64> {
        let lowest = self.below.first_key_value().map(|(_, first)| *first);
        lowest.or(self.top.map(|(first, _)| first))
    }

    pub(super) fn insert(&mut self, number: u64) {
        match &mut self.top {
            None => self.top = Some((number, number)),
            Some((_, last)) if number == *last + 1 => *last = number,
            Some((first, last)) if number > *last => {
                self.below.insert(*last, *first);
                self.top = Some((number, number));
            }
            Some((first, _)) if number >= *first => {}
            Some((first, _)) if number + 1 == *first => {
                // The gap to the range below may be closed now.
                let before = number.checked_sub(1).and_then(|n| self.below.remove(&n));
                *first = before.unwrap_or(number);
            }
            Some(_) => self.insert_below(number),
        }
    }

    fn insert_below(&mut self, number: u64) {
        // The range that ends at the number or above it: it contains the number, begins next to it, or lies apart.
        let above = self.below.range_mut(number..).next();
        let joins_above = match above {
            Some((_, first)) if *first <= number => return,
            Some((_, first)) if *first == number + 1 => Some(first),
            _ => None,
        };
        if let Some(first) = joins_above {
            *first = number;
            // The number may close the gap between two ranges: the lower one's key goes, and its first number moves up.
            let last_before = number.checked_sub(1);
            if let Some(lowest) = last_before.and_then(|last| self.below.remove(&last))
                && let Some((_, first)) = self.below.range_mut(number..).next()
            {
                *first = lowest;
            }
            return;
        }
        let before = number.checked_sub(1).and_then(|n| self.below.remove(&n));
        self.below.insert(number, before.unwrap_or(number));
    }

    /// Takes a number out; false when it is not here.
    pub(super) fn remove(&mut self, number: u64) -> bool {
        let Some((first, last)) = self.top else {
            return false;
        };
        if number >= first {
            if number > last {
                return false;
            }
            if first < number {
                self.below.insert(number - 1, first);
            }
            // Where the number was the last one, the highest of the others becomes the top: the part before it, if
            // there is one, was inserted just now.
            self.top = if number < last {
                Some((number + 1, last))
            } else {
                self.below.pop_last().map(|(last, first)| (first, last))
            };
            return true;
        }
        let Some((&last, first)) = self.below.range_mut(number..).next() else {
            return false;
        };
        if *first > number {
            return false;
        }
        // The part above the number keeps its key. Where there is none the key goes; the part below gets a key of its
        // own.
        let lowest = std::mem::replace(first, number + 1);
        if number == last {
            self.below.remove(&last);
        }
        if lowest < number {
            self.below.insert(number - 1, lowest);
        }
        true
    }

    /// Takes the lowest number.
    pub(super) fn pop_first(&mut self) -> Option<u64> {
        if let Some(mut entry) = self.below.first_entry() {
            let number = *entry.get();
            if number == *entry.key() {
                entry.remove();
            } else {
                *entry.get_mut() += 1;
            }
            return Some(number);
        }
        let (first, last) = self.top?;
        self.top = (first < last).then_some((first + 1, last));
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn ranges(of: &Ranges) -> Vec<(u64, u64)> {
        let below = of.below.iter().map(|(last, first)| (*first, *last));
        below.chain(of.top).collect()
    }

    #[test]
    fn ranges_are_a_set_and_never_two_where_one_would_do() {
        for seed in 0..300 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let (mut ranges_, mut plain) = (Ranges::default(), BTreeSet::new());
            let most = rng.u64(1..40);
            for _ in 0..200 {
                let number = rng.u64(0..most);
                match rng.u8(0..5) {
                    0 | 1 => {
                        ranges_.insert(number);
                        plain.insert(number);
                    }
                    2 | 3 => assert_eq!(ranges_.remove(number), plain.remove(&number)),
                    _ => assert_eq!(ranges_.pop_first(), plain.pop_first()),
                }
                let held = ranges(&ranges_);
                let numbers = held.iter().flat_map(|(first, last)| *first..=*last);
                assert!(numbers.eq(plain.iter().copied()), "{seed}: {held:?}");
                let apart = held.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0);
                assert!(apart, "{seed}: {held:?}");
                assert_eq!(ranges_.first(), plain.first().copied());
                assert_eq!(ranges_.is_empty(), plain.is_empty());
            }
        }
    }
}
