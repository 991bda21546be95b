//! The file of a run, open to write.

use std::path::{Path, PathBuf};
use std::time::Duration;

use podpool_core::id::RunId;
use podpool_core::ledger::{Durability, LedgerError};
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use tracing::debug;

use super::directory::{Directory, exists, make_file};
use super::fault::{at, system};
use super::{BUSY, directory, reader, schema};

/// Most prepared statements that a connection keeps.
const STATEMENTS: usize = 40;

/// A run's file.
#[derive(Debug)]
pub(super) struct RunFile {
    pub(super) directory: Directory,
    pub(super) run: RunId,
    pub(super) path: PathBuf,
    pub(super) connection: Connection,
}

/// Opens a file that exists.
pub(super) fn connect(path: &Path, mode: OpenFlags) -> Result<Connection, LedgerError> {
    let failed = |error| at(path, "open", error);
    // Not as a URI: a path may have a `?`.
    let flags = mode | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // The first: each task has a type, each end a task. The others guard against what a damaged file has for a schema,
    // and for the structure of its pages.
    for (name, value) in [
        ("foreign_keys", true),
        ("trusted_schema", false),
        ("cell_size_check", true),
    ] {
        connection
            .pragma_update(None, name, value)
            .map_err(failed)?;
    }
    Ok(connection)
}

/// SQLite's `synchronous` for it.
const fn synchronous(durability: Durability) -> &'static str {
    match durability {
        Durability::Normal => "NORMAL",
        // Also for one that this version does not know: it promises no less.
        _ => "FULL",
    }
}

impl RunFile {
    /// Opens a run's file to write.
    ///
    /// # Errors
    /// [`LedgerError::Unknown`] where there is none, or one that was never made whole.
    pub(super) fn open(
        directory: &Directory,
        run: &RunId,
        durability: Durability,
    ) -> Result<Self, LedgerError> {
        let file = Self::connect(directory, run, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        if schema::RUN.version(&file.connection, &file.path)? == 0 {
            return Err(LedgerError::Unknown(run.clone()));
        }
        file.set(durability)?;
        Ok(file)
    }

    /// Makes a run's file; there is nothing in it yet.
    pub(super) fn make(
        directory: &Directory,
        run: &RunId,
        durability: Durability,
    ) -> Result<Self, LedgerError> {
        let path = directory.run(run);
        make_file(&path).map_err(|error| system(format!("make {}", path.display()), error))?;
        let mode = OpenFlags::SQLITE_OPEN_READ_WRITE;
        let made = Self::connect(directory, run, mode).and_then(|file| {
            file.set(durability)?;
            Ok(file)
        });
        if made.is_err() {
            directory::remove_run(&path);
        }
        made
    }

    /// Opens a run's file as it is.
    pub(super) fn connect(
        directory: &Directory,
        run: &RunId,
        mode: OpenFlags,
    ) -> Result<Self, LedgerError> {
        let path = directory.run(run);
        if !exists(&path)? {
            return Err(LedgerError::Unknown(run.clone()));
        }
        let connection = match connect(&path, mode) {
            // Deleted meanwhile.
            Err(_) if !exists(&path)? => Err(LedgerError::Unknown(run.clone())),
            connected => connected,
        };
        Ok(Self {
            directory: directory.clone(),
            run: run.clone(),
            connection: connection?,
            path,
        })
    }

    fn set(&self, durability: Durability) -> Result<(), LedgerError> {
        let connection = &self.connection;
        let wal = connection
            .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0));
        let wal = wal.map_err(|error| self.error("write", error))?;
        if wal != "wal" {
            return Err(LedgerError::Unsuitable {
                what: self.directory.to_string(),
                reason: format!(
                    "its file system has no shared memory for files, which SQLite's WAL needs (journal mode {wal}); \
                     use a directory on a local disk"
                ),
            });
        }
        let set = connection.pragma_update(None, "synchronous", synchronous(durability));
        set.map_err(|error| self.error("write", error))
    }

    /// Begins a transaction that writes; nobody else writes until its end.
    pub(super) fn begin(&mut self) -> Result<Transaction<'_>, LedgerError> {
        let path = &self.path;
        let began = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate);
        began.map_err(|error| at(path, "write", error))
    }

    /// Moves what was committed from the file `-wal` into the one file, as far as nobody reads it meanwhile.
    // The data are whole either way, so a failure is no error: whoever closes or opens the file next does the same. A
    // reader is not waited for.
    pub(super) fn checkpoint(&self) {
        let moved = self.connection.busy_timeout(Duration::ZERO).and_then(|()| {
            let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
            let moved = self.connection.query_row(checkpoint, (), |_| Ok(()));
            self.connection.busy_timeout(BUSY).and(moved)
        });
        if let Err(error) = moved {
            debug!(%error, "{} was not moved into one file", self.path.display());
        }
    }

    pub(super) fn error(&self, what: &str, error: rusqlite::Error) -> LedgerError {
        at(&self.path, what, error)
    }

    /// Marks the run as deleted, so that whoever has its file open, or opens it before it is gone, finds no run.
    pub(super) fn mark_deleted(mut self) -> Result<(), LedgerError> {
        let (directory, run, path) = (self.directory.clone(), self.run.clone(), self.path.clone());
        let transaction = self.begin()?;
        reader::head(&transaction, &run, &path)?;
        super::master::is_free(&transaction, &directory, &run, &path, super::master::now())?;
        let failed = |error| at(&path, "write", error);
        let marked = transaction.execute("UPDATE run SET deleted = 1", ());
        marked.map_err(failed)?;
        transaction.commit().map_err(failed)
    }
}
