//! Enums as words, for ledgers that store text.

use crate::error::TaskErrorKind;
use crate::outcome::Cause;

/// An enum whose values are stored as words. A word keeps its meaning for ever.
pub trait Word: Copy + 'static {
    /// All values.
    const ALL: &'static [Self];

    /// The word of a value.
    fn word(self) -> &'static str;

    /// The value of a word; none for a word that a later version has written.
    fn of_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|it| it.word() == word)
    }
}

// The match has no other arm, so a value that is added does not compile before it has a word here.
macro_rules! words {
    ($of:ty { $($value:ident = $word:literal),* $(,)? }) => {
        impl Word for $of {
            const ALL: &'static [Self] = &[$(Self::$value),*];

            fn word(self) -> &'static str {
                match self {
                    $(Self::$value => $word,)*
                }
            }
        }
    };
}

words!(Cause {
    Failed = "failed",
    Panicked = "panicked",
    TimedOut = "timed out",
    Crashed = "crashed",
    OutOfMemory = "out of memory",
    Suspect = "suspect",
    Interrupted = "interrupted",
    Rejected = "rejected",
    Cancelled = "cancelled",
    Broken = "broken",
});

words!(TaskErrorKind {
    RunLimit = "run limit",
    Failed = "failed",
    Panicked = "panicked",
    TimedOut = "timed out",
    Crashed = "crashed",
    OutOfMemory = "out of memory",
    WorkerLost = "worker lost",
    Cancelled = "cancelled",
    Rejected = "rejected",
    ShutDown = "shut down",
    PoolBroken = "pool broken",
});

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt::Debug;

    use super::*;

    fn are_distinct<T: Word + Debug + PartialEq>() {
        let words: BTreeSet<_> = T::ALL.iter().map(|it| it.word()).collect();
        assert_eq!(words.len(), T::ALL.len());
        for it in T::ALL {
            assert_eq!(T::of_word(it.word()), Some(*it));
        }
        assert_eq!(T::of_word("of a later version"), None);
    }

    #[test]
    fn a_word_is_read_back_as_its_value() {
        are_distinct::<Cause>();
        are_distinct::<TaskErrorKind>();
    }
}
