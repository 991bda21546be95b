//! The error of a run that cannot be opened in its ledger.

use podpool_core::ledger::LedgerError;

use super::BuildError;

/// The error of `build()`. Where the system refuses, it names the settings that choose another place.
pub(crate) fn unopened(error: LedgerError) -> BuildError {
    let error = match error {
        LedgerError::Failed {
            what,
            transient,
            source,
        } => LedgerError::Failed {
            what: format!(
                "{what} (the ledger must be on a disk that has room and can be written; `Builder::ledger` or \
                 PODPOOL_LEDGER names it)"
            ),
            transient,
            source,
        },
        other => other,
    };
    BuildError::Ledger(Box::new(error))
}
