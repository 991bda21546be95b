//! The ledger in a directory: one SQLite file for each run, and a small index from names to runs.
//!
//! ```text
//! _index.sqlite                 which run has a name now
//! nightly-5c0x8m2r7kqd.sqlite   a run, in WAL mode: readers and the master do not wait for each other
//! nightly-5c0x8m2r7kqd.3.lock   locked by the run's third master, while that process lives; it stays where the master
//!                               was killed, or left tasks that have not ended
//! ```
//! All calls block, and wait at most [`BUSY`] for another process.

mod attempts;
mod commands;
mod directory;
mod fault;
mod file;
mod holder;
mod index;
mod master;
mod network;
mod reader;
mod schema;
#[cfg(test)]
mod tests;
mod unfinished;
mod value;
mod writer;

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use podpool_core::id::{RunId, RunName};
use podpool_core::ledger::{
    Command, CommandId, Durability, Ledger, LedgerError, Master as Process, Opened, Opening,
    ReadRun, RunRecord, Unfinished, Which,
};

use self::directory::{Directory, run_of};
use self::file::RunFile;
use self::index::Index;
use self::master::Master;

/// How long a call waits for another process that writes to the same file.
// A transaction of a master takes some milliseconds; making a run takes a few syncs of the disk.
const BUSY: Duration = Duration::from_secs(10);

/// A ledger in a directory. Nothing is opened before the first call; the directory is made by the first master.
///
/// The directory must be on a local disk: on a network file system SQLite's locks do not hold, so it is refused by
/// name.
#[derive(Clone, Debug)]
pub struct SqliteLedger {
    directory: Directory,
    durability: Durability,
}

impl SqliteLedger {
    /// The ledger in this directory.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: Directory::new(directory.into()),
            durability: Durability::default(),
        }
    }

    /// Sets what a commit survives. The default is [`Durability::Full`].
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Makes the caller the next master of a run that exists. A damaged file is set aside.
    fn enter(&self, run: &RunId, opening: &Opening) -> Result<Opened, LedgerError> {
        let entered = RunFile::open(&self.directory, run, self.durability)
            .and_then(|file| Master::enter(file, opening));
        entered.map_err(|error| match self.busy(run, &error, opening.now) {
            Some(busy) => busy,
            None => self.set_aside(run, error),
        })
    }

    /// The error about a master whose write does not end. Another process can read the run meanwhile, and not write it.
    fn busy(&self, run: &RunId, error: &LedgerError, now: SystemTime) -> Option<LedgerError> {
        let file = error
            .is_transient()
            .then(|| RunFile::to_read(&self.directory, run));
        let record = file?.and_then(|mut file| file.run()).ok()?;
        let holder = record.masters.last().filter(|_| record.held)?;
        Some(LedgerError::Busy {
            run: run.clone(),
            elapsed: now.duration_since(holder.since).unwrap_or_default(),
            holder: Box::new(holder.clone()),
        })
    }

    /// The run of a name. The index is locked meanwhile, so processes that race to make it get the same one.
    fn enter_named(
        &self,
        name: &RunName,
        fresh: &RunId,
        mac_key: &[u8; 32],
        opening: &Opening,
    ) -> Result<Opened, LedgerError> {
        let mut index = Index::open(&self.directory)?;
        let index = index.lock(&self.directory)?;
        if let Some(run) = index.run_of(name)? {
            match self.enter(&run, opening) {
                // Deleted, or set aside, and the index does not know yet.
                Err(LedgerError::Unknown(_)) => {}
                entered => return entered,
            }
        }
        let file = RunFile::make(&self.directory, fresh, self.durability)?;
        let path = file.path.clone();
        let made = Master::make(file, name, mac_key, opening).and_then(|opened| {
            index.name(name, fresh, opening.now)?;
            Ok(opened)
        });
        if made.is_err() {
            directory::remove_run(&path);
            self.directory.remove_locks(fresh);
        }
        made
    }

    /// The runs whose files are there.
    fn ids(&self) -> Result<Vec<RunId>, LedgerError> {
        let names = self.directory.names()?;
        Ok(names.iter().filter_map(|name| run_of(name)).collect())
    }
}

impl Ledger for SqliteLedger {
    fn place(&self) -> String {
        self.directory.to_string()
    }

    fn open(&self, opening: &Opening) -> Result<Opened, LedgerError> {
        self.directory.make()?;
        match &opening.which {
            Which::Existing(run) => self.enter(run, opening),
            Which::Named {
                name,
                fresh,
                mac_key,
            } => self.enter_named(name, fresh, mac_key, opening),
            _ => Err(LedgerError::Unsuitable {
                what: self.directory.to_string(),
                reason: "this version does not know the way in which the run is named".to_owned(),
            }),
        }
    }

    fn runs(&self) -> Result<Vec<Result<RunRecord, LedgerError>>, LedgerError> {
        self.directory.check()?;
        let mut found = Vec::new();
        for id in self.ids()? {
            let record = RunFile::to_read(&self.directory, &id).and_then(|mut it| it.run());
            let created = match &record {
                // Deleted a moment ago, or never made whole.
                Err(LedgerError::Unknown(_)) => continue,
                Ok(record) => record.created,
                Err(_) => self.directory.modified(&id),
            };
            found.push((created, record));
        }
        found.sort_by_key(|(created, _)| std::cmp::Reverse(*created));
        Ok(found.into_iter().map(|(_, record)| record).collect())
    }

    fn unfinished(&self, most: usize) -> Result<Unfinished, LedgerError> {
        self.directory.check()?;
        unfinished::find(&self.directory, most)
    }

    fn read(&self, run: &RunId) -> Result<Box<dyn ReadRun>, LedgerError> {
        self.directory.check()?;
        Ok(Box::new(RunFile::to_read(&self.directory, run)?))
    }

    fn set_aside(&self, run: &RunId, error: LedgerError) -> LedgerError {
        match error {
            LedgerError::Damaged { what, reason } => LedgerError::Damaged {
                what,
                reason: reason + &self.directory.set_aside(run),
            },
            other => other,
        }
    }

    fn command(
        &self,
        run: &RunId,
        command: &Command,
        by: &Process,
        now: SystemTime,
    ) -> Result<CommandId, LedgerError> {
        self.directory.check()?;
        let file = RunFile::open(&self.directory, run, self.durability)?;
        master::ask(file, command, by, now)
    }

    fn delete(&self, run: &RunId) -> Result<(), LedgerError> {
        self.directory.check()?;
        let path = self.directory.run(run);
        if !directory::exists(&path)? {
            return Ok(());
        }
        // In the order in which masters lock them: the index first.
        let mut index = Index::open(&self.directory)?;
        let index = index.lock(&self.directory)?;
        let file = RunFile::open(&self.directory, run, self.durability);
        match file.and_then(RunFile::mark_deleted) {
            // Unknown: it was never made whole, or its deletion was interrupted.
            Ok(()) | Err(LedgerError::Unknown(_)) => {}
            Err(error) => return Err(error),
        }
        directory::remove_run(&path);
        self.directory.remove_locks(run);
        index.remove(run)
    }
}
