//! What messages advise where something of a run is left.

use podpool_core::id::RunId;

/// What a message advises where something of a run is left.
pub(crate) fn advice(run: &RunId) -> String {
    format!("remove what is left of run {run} with podpool::gc::remove")
}
