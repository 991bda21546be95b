//! The key of a run whose workers are other processes.

use crate::error::BuildError;

/// A key of the system's randomness.
pub(super) fn fresh_key() -> Result<[u8; 32], BuildError> {
    let mut key = [0; 32];
    match getrandom::fill(&mut key) {
        Ok(()) => Ok(key),
        Err(error) => Err(BuildError::Start {
            what: "make the key of the run".to_owned(),
            source: error.into(),
        }),
    }
}
