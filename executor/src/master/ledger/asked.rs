//! What another process asks of this run: read from the ledger, and made ready for the dispatcher.

use podpool_core::ledger::{Command, RunLedger};
use podpool_core::task::CallParts;

use crate::error::start::chain;
use crate::master::again::{Reprocess, Select, find};

/// A command, as the dispatcher gets it.
#[derive(Debug)]
pub(crate) enum Asked {
    /// The command.
    Command(Command),
    /// The calls that it selects are to be submitted again.
    Again(Vec<CallParts>),
    /// What it needs cannot be read.
    Unreadable(String),
}

impl Asked {
    /// Reads what a command needs. Calls of a ledger block, so this is done here and not in the dispatcher.
    pub(super) fn of(store: &mut dyn RunLedger, command: Command) -> Self {
        let select = match command {
            Command::RetryFailed => Select::Failed,
            Command::Retry(keys) => Select::These(Reprocess::keys(keys)),
            other => return Self::Command(other),
        };
        match find(store, &select) {
            Ok(calls) => Self::Again(calls),
            Err(error) => Self::Unreadable(chain(&error)),
        }
    }
}
