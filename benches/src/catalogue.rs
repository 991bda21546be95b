//! All cases, by name.

use anyhow::Context;

use crate::case::Case;
use crate::{bare, pool};

/// Finds a case by its name.
///
/// # Errors
/// There is no such case.
pub fn find(name: &str) -> anyhow::Result<Case> {
    // One list of names for all features, so that a case of a missing feature is an unknown name and not another
    // measurement.
    let all = bare::cases::CASES.into_iter().chain(pool::CASES);
    #[cfg(feature = "ledger")]
    let all = all.chain(crate::ledger::CASES);
    #[cfg(feature = "pubsub")]
    let all = all.chain(crate::pubsub::cases());
    let mut all = all;
    all.find(|case| case.name == name)
        .with_context(|| format!("there is no case {name:?}"))
}
