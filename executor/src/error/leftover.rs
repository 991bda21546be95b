//! The advice of messages about leftovers of a run.

use podpool_core::id::RunId;

/// The advice of a message about leftovers of a run.
pub(crate) fn advice(run: &RunId) -> String {
    format!("remove what is left of run {run} with podpool::gc::remove")
}
