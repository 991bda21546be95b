//! The key of a run whose workers are other processes.

use crate::error::BuildError;

/// A key of the system's randomness.
pub(super) fn fresh_key() -> Result<[u8; 32], BuildError> {
    let mut key = [0; 32];
    let filled = rustix::rand::getrandom(&mut key, rustix::rand::GetRandomFlags::empty());
    match filled {
        Ok(32) => Ok(key),
        other => Err(BuildError::Start {
            what: "make the key of the run".to_owned(),
            source: other.err().map_or_else(
                || std::io::Error::other("the system gave too few random bytes"),
                Into::into,
            ),
        }),
    }
}
