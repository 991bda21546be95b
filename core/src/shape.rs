//! The serde shape of a task's arguments and output, and the fingerprint made of it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A task's name, version, codec version and shape in 16 bytes: two programs agree on a task only if these are equal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fingerprint(pub [u8; 16]);

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The traced shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape(pub String);

/// A type whose shape cannot be traced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ShapeError {
    reason: String,
}
