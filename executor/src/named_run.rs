//! A run of a ledger, as people name it.

use podpool_core::id::RunId;
use podpool_core::ledger::{Ledger, LedgerError, RunRecord};

/// The run of this id, or the youngest of this name.
///
/// # Errors
/// [`LedgerError::NoRun`] where there is none; else why it cannot be read.
pub(crate) fn find(ledger: &dyn Ledger, which: &str) -> Result<RunId, LedgerError> {
    if let Ok(id) = RunId::new(which) {
        match ledger.read(&id) {
            Err(LedgerError::Unknown(_)) => {}
            found => return found.map(|_| id),
        }
    }
    let mut unread = None;
    for run in ledger.runs()? {
        match run {
            Ok(run) if run.name.as_str() == which => return Ok(run.run),
            Ok(_) => {}
            Err(error) => _ = unread.get_or_insert(error),
        }
    }
    // One that cannot be read may be the one that was meant.
    Err(unread.unwrap_or_else(|| LedgerError::NoRun {
        place: ledger.place(),
        which: which.to_owned(),
    }))
}

/// Whether the workers of a run's newest master were on a cluster.
pub(crate) fn is_elsewhere(run: &RunRecord) -> bool {
    let newest = run.masters.last();
    let back_end = newest.and_then(|newest| newest.master.setting("back-end"));
    back_end.is_some_and(|back_end| back_end != "local")
}
