//! The identifiers of a run: run, task, attempt, worker, execution.
//!
//! Each is its own type, so that a task's number is never taken for an attempt's.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Longest id of a run, in bytes: it becomes part of the names of topics, Jobs and pods, of which the shortest, a pod's
/// host name, holds 63 characters.
pub const MAX_RUN_ID: usize = 40;

/// Longest name of a run, in bytes: what a label of Kubernetes or Pub/Sub holds.
pub const MAX_RUN_NAME: usize = 63;

/// Characters of a run's id that are drawn, five bits each.
const DRAWN: usize = 12;

/// The identity of a run, for ever: its name, cut where it is long, and 60 random bits, as `nightly-5c0x8m2r7kqd`. It is
/// part of every name that the run makes and of every message, so two runs of one name share nothing. Lower-case
/// letters, digits and `-`, at most [`MAX_RUN_ID`] bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(Arc<str>);

/// What a person calls a run: lower-case letters, digits and `-`, at most [`MAX_RUN_NAME`] bytes. Any number of runs may
/// have the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunName(Arc<str>);

impl RunId {
    /// Checks an id that comes from elsewhere: from a message, a label, or a person who copied it.
    ///
    /// # Errors
    /// [`InvalidRunId`] when it is empty, too long, starts or ends with `-`, or holds another character.
    pub fn new(id: &str) -> Result<Self, InvalidRunId> {
        if is_sound(id, MAX_RUN_ID) {
            Ok(Self(id.into()))
        } else {
            Err(InvalidRunId(id.to_owned()))
        }
    }

    /// A fresh id for a run of this name.
    #[must_use]
    pub fn of(name: &RunName) -> Self {
        Self::begins_with(name.as_str())
    }

    /// A fresh id for a run without a name, such as `run-5c0x8m2r7kqd`.
    #[must_use]
    pub fn random() -> Self {
        Self::begins_with("run")
    }

    fn begins_with(name: &str) -> Self {
        // Letters and digits that are not taken for each other.
        const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        let room = MAX_RUN_ID - DRAWN - 1;
        // `get` gives nothing for a shorter name, which is taken whole. A name is ASCII, so every place is between
        // characters.
        let name = name.get(..room).unwrap_or(name).trim_end_matches('-');
        // 60 bits: among 30,000 runs of one name two share an id with a probability below one in a thousand million.
        let bits = fresh_bits();
        let digit = |place: usize| char::from(ALPHABET[(bits >> (5 * place)) as usize % 32]);
        let drawn: String = (0..DRAWN).map(digit).collect();
        Self(format!("{name}-{drawn}").into())
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl RunName {
    /// Checks a name that a person gave.
    ///
    /// # Errors
    /// [`InvalidRunName`] when it is empty, too long, starts or ends with `-`, or holds another character.
    pub fn new(name: &str) -> Result<Self, InvalidRunName> {
        if is_sound(name, MAX_RUN_NAME) {
            Ok(Self(name.into()))
        } else {
            Err(InvalidRunName(name.to_owned()))
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_sound(text: &str, longest: usize) -> bool {
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    let edge = |byte: Option<&u8>| byte.is_none_or(|b| *b == b'-');
    let bytes = text.as_bytes();
    bytes.len() <= longest
        && bytes.iter().copied().all(allowed)
        && !edge(bytes.first())
        && !edge(bytes.last())
}

/// 64 bits that no other process draws. The standard library keys its hasher with the system's randomness; a generator
/// that is seeded by clock and thread could give two machines that were started together the same.
fn fresh_bits() -> u64 {
    // The process, in case it is the fork of one that has drawn before.
    RandomState::new().hash_one(std::process::id())
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for RunName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for RunId {
    type Error = InvalidRunId;

    fn try_from(id: String) -> Result<Self, Self::Error> {
        Self::new(&id)
    }
}

impl From<RunId> for String {
    fn from(id: RunId) -> Self {
        id.0.as_ref().to_owned()
    }
}

/// Text that cannot be a run's id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid run id {0:?}: use 1 to {MAX_RUN_ID} lower-case letters, digits and '-', with a letter or digit at both ends"
)]
pub struct InvalidRunId(String);

/// Text that cannot be a run's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid run name {0:?}: use 1 to {MAX_RUN_NAME} lower-case letters, digits and '-', with a letter or digit at both ends"
)]
pub struct InvalidRunName(String);

/// The sequence number of a task within its run, from 0.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
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
        Self(fresh_bits())
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// One run of a batch's tasks by one worker. A redelivery makes another, so a loss is counted once for each.
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
mod tests;
