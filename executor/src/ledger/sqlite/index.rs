//! The index: which run has a name now. It holds nothing that is not in the files of the runs.
//!
//! Whoever makes a run locks it, so two processes that make the run of one name get the same one.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use podpool_core::id::{RunId, RunName};
use podpool_core::ledger::{LedgerError, ReadRun};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior};

use super::directory::{Directory, make_file, rename_aside, run_of};
use super::fault::{at, system};
use super::file::{RunFile, connect};
use super::schema;
use super::value::Time;

#[derive(Debug)]
pub(super) struct Index {
    connection: Connection,
    path: PathBuf,
}

/// The index, locked by this process.
#[derive(Debug)]
pub(super) struct LockedIndex<'a> {
    transaction: Transaction<'a>,
    path: PathBuf,
}

impl Index {
    /// Opens it, and makes an empty file where there is none.
    pub(super) fn open(directory: &Directory) -> Result<Self, LedgerError> {
        let path = directory.index();
        match make_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made.map_err(|error| system(format!("make {}", path.display()), error))?,
        }
        let connection = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE);
        Ok(Self {
            connection: connection.map_err(|error| aside(&path, error))?,
            path,
        })
    }

    /// Locks it. A fresh one is filled with the runs that are there.
    pub(super) fn lock(&mut self, directory: &Directory) -> Result<LockedIndex<'_>, LedgerError> {
        let path = self.path.clone();
        let began = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate);
        let locked = LockedIndex {
            transaction: began.map_err(|error| aside(&path, at(&path, "write", error)))?,
            path,
        };
        // Not before it is locked: another process may be making it.
        let version = schema::INDEX.version(&locked.transaction, &locked.path);
        let version = version.map_err(|error| aside(&locked.path, error))?;
        let made = schema::INDEX.make(&locked.transaction, version);
        made.map_err(|error| locked.error(error))?;
        if version == 0 {
            locked.fill(directory)?;
        }
        Ok(locked)
    }
}

/// Sets a damaged index aside. The next start makes another one from the runs' files.
fn aside(path: &Path, error: LedgerError) -> LedgerError {
    let LedgerError::Damaged { what, reason } = error else {
        return error;
    };
    let became = match rename_aside(path) {
        Ok(aside) => format!(
            ". It was set aside as {}; start again, and the index is made anew from the runs' files",
            aside.display()
        ),
        Err(error) => format!(". It cannot be set aside: {error}"),
    };
    LedgerError::Damaged {
        what,
        reason: reason + &became,
    }
}

impl LockedIndex<'_> {
    fn error(&self, error: rusqlite::Error) -> LedgerError {
        aside(&self.path, at(&self.path, "write", error))
    }

    fn fill(&self, directory: &Directory) -> Result<(), LedgerError> {
        let names = directory.names()?;
        let mut found = Vec::new();
        for id in names.iter().filter_map(|name| run_of(name)) {
            match RunFile::to_read(directory, &id).and_then(|mut it| it.run()) {
                Ok(run) => found.push(run),
                // These have no name; a damaged one is listed with its error.
                Err(LedgerError::Unknown(_) | LedgerError::Damaged { .. }) => {}
                // A name that is left out would be given to a fresh run.
                Err(error) => return Err(error),
            }
        }
        found.sort_by_key(|run| run.created);
        for run in found {
            self.put(&run.name, &run.run, run.created)?;
        }
        Ok(())
    }

    /// The run that has this name.
    pub(super) fn run_of(&self, name: &RunName) -> Result<Option<RunId>, LedgerError> {
        let run = "SELECT run FROM runs WHERE name = ?";
        let run = self
            .transaction
            .query_row(run, [name.as_str()], |row| row.get::<_, String>(0));
        let run = run.optional().map_err(|error| self.error(error))?;
        // What is no id names no run.
        Ok(run.and_then(|run| RunId::new(&run).ok()))
    }

    /// Gives the name to a run, and unlocks the index.
    pub(super) fn name(
        self,
        name: &RunName,
        run: &RunId,
        created: SystemTime,
    ) -> Result<(), LedgerError> {
        self.put(name, run, created)?;
        self.commit()
    }

    /// Takes a run's name away, and unlocks the index.
    pub(super) fn remove(self, run: &RunId) -> Result<(), LedgerError> {
        let removed = self
            .transaction
            .execute("DELETE FROM runs WHERE run = ?", [run.as_str()]);
        removed.map_err(|error| self.error(error))?;
        self.commit()
    }

    fn put(&self, name: &RunName, run: &RunId, created: SystemTime) -> Result<(), LedgerError> {
        let put = "INSERT OR REPLACE INTO runs (name, run, created) VALUES (?, ?, ?)";
        let row = (name.as_str(), run.as_str(), Time(created));
        let put = self.transaction.execute(put, row);
        put.map(drop).map_err(|error| self.error(error))
    }

    fn commit(self) -> Result<(), LedgerError> {
        let committed = self.transaction.commit();
        committed.map_err(|error| at(&self.path, "write", error))
    }
}
