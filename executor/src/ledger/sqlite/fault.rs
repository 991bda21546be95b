//! What an error of SQLite or of the system means for a ledger. Pure.

use std::io;
use std::path::Path;

use podpool_core::ledger::LedgerError;
use rusqlite::{Error, ErrorCode, ffi};

/// What to make of an error of SQLite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The file is not what a ledger has written.
    Damaged,
    /// Another try can succeed: a full disk, a busy file.
    Transient,
    /// Another try fails in the same way: no right to write, a wrong record.
    Final,
}

pub(super) fn fault(error: &Error) -> Fault {
    match error {
        Error::SqliteFailure(error, Some(text)) if error.code == ErrorCode::Unknown => {
            of_text(text)
        }
        Error::SqlInputError { msg, .. } => of_text(msg),
        Error::SqliteFailure(error, _) => of_code(error),
        // A column holds something else than a ledger writes, or a row that every file has is absent.
        Error::FromSqlConversionFailure(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::Utf8Error(..)
        | Error::InvalidColumnType(..)
        | Error::QueryReturnedNoRows
        | Error::QueryReturnedMoreThanOneRow => Fault::Damaged,
        _ => Fault::Final,
    }
}

/// The error has no code of its own where a table or a column is absent, or where the file has a format of the future.
/// The statements are fixed, so that is the file's fault.
fn of_text(text: &str) -> Fault {
    let of_the_file = ["no such ", "has no column", "malformed", "file format"];
    match of_the_file.iter().any(|words| text.contains(words)) {
        true => Fault::Damaged,
        false => Fault::Final,
    }
}

fn of_code(error: &ffi::Error) -> Fault {
    match error.code {
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Fault::Damaged,
        ErrorCode::SystemIoFailure => match error.extended_code {
            ffi::SQLITE_IOERR_CORRUPTFS | ffi::SQLITE_IOERR_DATA => Fault::Damaged,
            // A quota that is used up among them.
            _ => Fault::Transient,
        },
        ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::DiskFull
        | ErrorCode::OutOfMemory
        | ErrorCode::OperationInterrupted
        | ErrorCode::SchemaChanged
        | ErrorCode::FileLockingProtocolFailed => Fault::Transient,
        _ => Fault::Final,
    }
}

/// An error of SQLite at a file. `what` follows "cannot".
pub(super) fn at(path: &Path, what: &str, error: Error) -> LedgerError {
    match fault(&error) {
        Fault::Damaged => damaged(path, &error.to_string()),
        fault => LedgerError::Failed {
            what: format!("{what} {}", path.display()),
            transient: fault == Fault::Transient,
            source: Box::new(error),
        },
    }
}

pub(super) fn damaged(path: &Path, reason: &str) -> LedgerError {
    LedgerError::Damaged {
        what: path.display().to_string(),
        reason: reason.to_owned(),
    }
}

/// An error of the system. `what` follows "cannot".
pub(super) fn system(what: String, error: io::Error) -> LedgerError {
    let transient = matches!(
        error.kind(),
        io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::Interrupted
            | io::ErrorKind::WouldBlock
            | io::ErrorKind::OutOfMemory
            | io::ErrorKind::ResourceBusy
    );
    LedgerError::Failed {
        what,
        transient,
        source: Box::new(error),
    }
}
