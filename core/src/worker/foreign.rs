//! Messages that are not the run's: which a worker removes, and which it leaves to others.

use crate::envelope::{Seal, WireError};

/// What becomes of a message that names no task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is removed; so many were by now.
    Drop(u64),
    /// It is given back: the key that does not fit may be this worker's own.
    GiveBack,
}

/// What a worker knows of its key and of foreign messages: pure, fed by the loop.
#[derive(Debug)]
pub(super) struct Foreign {
    /// Whether a message was read that bears this worker's seal: its key is the run's.
    trusted: bool,
    dropped: u64,
}

impl Foreign {
    /// Within one process there is no key to be wrong about.
    pub(super) fn new(seal: &Seal) -> Self {
        Self {
            trusted: *seal == Seal::Unsealed,
            dropped: 0,
        }
    }

    /// A message bore this worker's seal.
    pub(super) fn trust(&mut self) {
        self.trusted = true;
    }

    /// Whether the key is known to be the run's.
    pub(super) const fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// A message bore another seal, or could not be read.
    pub(super) fn unread(&mut self, error: &WireError) -> Fate {
        if *error == WireError::Seal && !self.trusted {
            return Fate::GiveBack;
        }
        Fate::Drop(self.count())
    }

    /// One more is removed; says how many were.
    pub(super) fn count(&mut self) -> u64 {
        self.dropped += 1;
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_knows_its_key_removes_and_counts_what_bears_another_seal() {
        let mut foreign = Foreign::new(&Seal::Keyed([7; 32]));
        foreign.trust();
        assert_eq!(foreign.unread(&WireError::Seal), Fate::Drop(1));
        assert_eq!(foreign.unread(&WireError::Version(9)), Fate::Drop(2));
        assert_eq!(foreign.count(), 3);
    }

    #[test]
    fn a_worker_whose_key_has_opened_nothing_takes_nothing_from_others() {
        let mut foreign = Foreign::new(&Seal::Keyed([7; 32]));
        assert_eq!(foreign.unread(&WireError::Seal), Fate::GiveBack);
        // What no key opens is nobody's.
        assert_eq!(foreign.unread(&WireError::Truncated), Fate::Drop(1));
        assert!(!foreign.is_trusted());
        assert!(Foreign::new(&Seal::Unsealed).is_trusted());
    }
}
