//! Why a ledger refuses.

use std::error::Error;
use std::time::Duration;

use crate::id::RunId;

use super::Holder;

/// Why a run cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// Another master has the run, and lives.
    #[error(
        "{} has held run {run} for {elapsed:.0?}; wait for its end, stop it, or take the run over by `Builder::take_over`", .holder.master
    )]
    Held {
        /// The run.
        run: RunId,
        /// Its master.
        holder: Box<Holder>,
        /// For how long, by the wall clock.
        elapsed: Duration,
    },
    /// Another master lives, and is in the middle of a write that does not end: it is stopped, or its disk does not answer.
    #[error(
        "{} has held run {run} for {elapsed:.0?}, and its write to the ledger does not end: it is stopped, or its disk does not answer; let it go on, or kill it, and start again", .holder.master
    )]
    Busy {
        /// The run.
        run: RunId,
        /// Its master.
        holder: Box<Holder>,
        /// For how long, by the wall clock.
        elapsed: Duration,
    },
    /// A later master has opened the run.
    #[error("master {epoch} has taken run {run} over")]
    Superseded {
        /// The run.
        run: RunId,
        /// The later master's epoch.
        epoch: u64,
    },
    /// The ledger has no such run.
    #[error("the ledger has no run {0}")]
    Unknown(RunId),
    /// The ledger has no run of this id or name.
    #[error("the ledger in {place} has no run {which:?}")]
    NoRun {
        /// Where the ledger is.
        place: String,
        /// What was asked for.
        which: String,
    },
    /// The run is not remembered anywhere.
    #[error(
        "run {0} has no ledger, so nothing of it is remembered; name one by `Builder::ledger` when the pool is built"
    )]
    NoLedger(RunId),
    /// No master lives that would carry a command out.
    #[error(
        "no process is the master of run {0}, so nobody would carry the command out; start the program again, which picks the run up"
    )]
    NotHeld(RunId),
    /// A later version of podpool has written it.
    #[error(
        "{what} is of version {version} of its format, and this program reads versions up to {newest}; use a newer podpool. Nothing was changed"
    )]
    Newer {
        /// The file.
        what: String,
        /// Its version.
        version: u32,
        /// The newest that is read.
        newest: u32,
    },
    /// It is damaged. Nothing was changed; where it was set aside, the text tells where.
    #[error("{what} is damaged: {reason}")]
    Damaged {
        /// The file.
        what: String,
        /// What was found, and what became of it.
        reason: String,
    },
    /// The place cannot be used for a ledger.
    #[error("{what} cannot hold a ledger: {reason}")]
    Unsuitable {
        /// The place.
        what: String,
        /// Why, and what to use.
        reason: String,
    },
    /// The system refuses.
    #[error("cannot {what}")]
    Failed {
        /// What was tried, to follow "cannot".
        what: String,
        /// Whether another try can succeed: a full disk, a busy file.
        transient: bool,
        /// What was seen.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl LedgerError {
    /// Whether another try can succeed, because nothing is wrong with the run itself.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Failed {
                transient: true,
                ..
            }
        )
    }
}
