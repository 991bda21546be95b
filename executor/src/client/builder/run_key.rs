//! The key of a run whose workers are other processes.

use crate::error::BuildError;
use crate::error::start::failed;

/// A key of the system's randomness.
pub(super) fn fresh_key() -> Result<[u8; 32], BuildError> {
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(failed("make the key of the run"))?;
    Ok(key)
}
