//! The identifiers of a run: run, task, attempt, worker, execution.
//!
//! Each is its own type, so that a task's number is never taken for an attempt's.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Longest name of a run, in bytes: it becomes part of topic names and label values,
/// and a Kubernetes label value holds 63 characters.
pub const MAX_RUN_ID: usize = 40;

/// The name of a run: lower-case letters, digits and `-`, at most [`MAX_RUN_ID`] bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(Arc<str>);

impl RunId {
    /// Checks a name that a person gave.
    ///
    /// # Errors
    /// [`InvalidRunId`] when the name is empty, too long, starts or ends with `-`, or holds another character.
    pub fn new(name: &str) -> Result<Self, InvalidRunId> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        let edge = |byte: Option<&u8>| byte.is_none_or(|b| *b == b'-');
        let bytes = name.as_bytes();
        let sound = bytes.len() <= MAX_RUN_ID
            && bytes.iter().copied().all(allowed)
            && !edge(bytes.first())
            && !edge(bytes.last());
        if sound {
            Ok(Self(name.into()))
        } else {
            Err(InvalidRunId(name.to_owned()))
        }
    }

    /// A fresh name for a run that nobody named, such as `run-3k9x0c2m4q7d`.
    #[must_use]
    pub fn random() -> Self {
        const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        let mut random = fastrand::Rng::new();
        let tail: String = (0..12)
            .map(|_| char::from(ALPHABET[random.usize(..ALPHABET.len())]))
            .collect();
        Self(format!("run-{tail}").into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for RunId {
    type Error = InvalidRunId;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::new(&name)
    }
}

impl From<RunId> for String {
    fn from(id: RunId) -> Self {
        id.0.as_ref().to_owned()
    }
}

/// A name that cannot be a run's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid run name {0:?}: use 1 to {MAX_RUN_ID} lower-case letters, digits and '-', with a letter or digit at both ends"
)]
pub struct InvalidRunId(String);

/// The sequence number of a task within its run, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TaskId(pub u64);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// The number of an attempt at a task, from 1; the master alone issues it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Attempt(pub u32);

impl Attempt {
    /// The attempt that every task begins with.
    pub const FIRST: Self = Self(1);

    /// The attempt after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One life of one worker process; a restarted worker has another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WorkerId(pub u64);

impl WorkerId {
    /// A fresh identifier.
    #[must_use]
    pub fn random() -> Self {
        Self(fastrand::u64(..))
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// One run of a parcel's tasks by one worker. A redelivery makes another, so a loss is counted once for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ExecutionId {
    /// The worker that runs it.
    pub worker: WorkerId,
    /// The worker's own count, from 0.
    pub number: u64,
}

impl fmt::Display for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.worker, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_names_are_checked() {
        for good in ["a", "backfill-2026-11", &"x".repeat(MAX_RUN_ID)] {
            assert_eq!(RunId::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "-a", "a-", "A", "a b", "ü", &"x".repeat(MAX_RUN_ID + 1)] {
            assert!(RunId::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn random_run_names_pass_their_own_check() {
        let id = RunId::random();
        assert_eq!(RunId::new(id.as_str()).unwrap(), id);
        assert_ne!(id, RunId::random());
    }
}
