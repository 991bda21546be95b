//! The tables of a run's file, and how older ones become newer ones.

use std::path::Path;

use podpool_core::ledger::LedgerError;
use rusqlite::Connection;

use super::fault::{at, damaged};

/// What is in a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Format {
    /// SQLite's `application_id`: four bytes of the file's head that name its kind.
    application: i32,
    /// The steps from one version to the next. A file's version is the number of steps that were made.
    steps: &'static [&'static str],
}

/// A run: `podp`.
pub(super) const RUN: Format = Format {
    application: 0x706f_6470,
    steps: &[RUN_1, RUN_2, RUN_3],
};

/// The index: `podi`.
pub(super) const INDEX: Format = Format {
    application: 0x706f_6469,
    steps: &[INDEX_1],
};

// A row is found by its first column, a number, without an index. Who lists tasks reads neither arguments nor results,
// so those are last: what does not fit into a page is in others, which are not read then. `ANY` is a duration.
pub(super) const RUN_1: &str = "
CREATE TABLE run (
    id TEXT NOT NULL, name TEXT NOT NULL, mac_key BLOB NOT NULL, created INTEGER NOT NULL,
    deleted INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE masters (
    epoch INTEGER PRIMARY KEY, host TEXT NOT NULL, pid INTEGER NOT NULL, user TEXT NOT NULL, program TEXT NOT NULL,
    build TEXT NOT NULL, version TEXT NOT NULL, since INTEGER NOT NULL, until INTEGER
) STRICT;
CREATE TABLE types (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL, version TEXT, fingerprint BLOB NOT NULL, shape TEXT NOT NULL,
    parameters TEXT
) STRICT;
CREATE TABLE tasks (
    number INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, type INTEGER NOT NULL REFERENCES types,
    identity BLOB NOT NULL, content BLOB NOT NULL, class INTEGER NOT NULL, why INTEGER NOT NULL,
    submitted INTEGER NOT NULL, priority INTEGER, retries INTEGER, timeout ANY, memory INTEGER, key TEXT,
    arguments BLOB NOT NULL
) STRICT;
CREATE TABLE places (number INTEGER PRIMARY KEY, worker TEXT, node TEXT) STRICT;
CREATE INDEX places_by_name ON places (worker, node);
CREATE TABLE ends (
    task INTEGER PRIMARY KEY REFERENCES tasks, epoch INTEGER NOT NULL, status INTEGER NOT NULL,
    attempt INTEGER NOT NULL, place INTEGER REFERENCES places, elapsed ANY, ended INTEGER NOT NULL, kind TEXT,
    message TEXT, output BLOB
) STRICT;
CREATE TABLE attempts (
    number INTEGER PRIMARY KEY, task INTEGER NOT NULL REFERENCES tasks, epoch INTEGER NOT NULL,
    stored INTEGER NOT NULL, attempt INTEGER NOT NULL, cause TEXT NOT NULL, retryable INTEGER NOT NULL,
    place INTEGER REFERENCES places, pid INTEGER, worker_id INTEGER, execution INTEGER, started INTEGER, elapsed ANY,
    cpu ANY, exit_code INTEGER, exit_signal INTEGER, peak_rss INTEGER, message TEXT NOT NULL, chain TEXT, output TEXT
) STRICT;
CREATE INDEX attempts_by_task ON attempts (task);
";

// Columns are added behind the result: who reads them reads it too, and lists read neither.
// A table of its own for what is published: an update of a task's row writes all its pages anew, those of its arguments too.
// The index answers which attempt of a task is the highest without a look at the attempts.
pub(super) const RUN_2: &str = "
CREATE TABLE published (task INTEGER PRIMARY KEY REFERENCES tasks, attempt INTEGER NOT NULL) STRICT;
DROP INDEX attempts_by_task;
CREATE INDEX attempts_by_task ON attempts (task, attempt);
CREATE TABLE events (
    number INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, at INTEGER NOT NULL, kind TEXT NOT NULL, text TEXT NOT NULL
) STRICT;
CREATE TABLE commands (
    number INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, kind TEXT NOT NULL, argument TEXT, asker TEXT NOT NULL,
    at INTEGER NOT NULL, answer TEXT
) STRICT;
ALTER TABLE run ADD COLUMN reserved INTEGER NOT NULL DEFAULT 0;
ALTER TABLE masters ADD COLUMN settings TEXT;
ALTER TABLE ends ADD COLUMN worker_id INTEGER;
ALTER TABLE ends ADD COLUMN execution INTEGER;
ALTER TABLE ends ADD COLUMN skipped INTEGER NOT NULL DEFAULT 0;
";

// Places are the workers', and not the tasks': what is learned later of a worker counts for what it ran before. Times
// are a table of their own, because lists read them: behind the result they would cost the pages of the result.
const RUN_3: &str = "
CREATE TABLE workers (name TEXT PRIMARY KEY, pod TEXT, zone TEXT, spot INTEGER, image TEXT) STRICT, WITHOUT ROWID;
CREATE TABLE times (task INTEGER PRIMARY KEY REFERENCES tasks, started INTEGER, queued ANY) STRICT;
ALTER TABLE attempts ADD COLUMN queued ANY;
";

/// What a reader has in place of the tables that a file of version 1 lacks, beside those of [`SINCE_2`].
// Names that stand without a schema are those of `temp` first.
const SINCE_1: &str = "
CREATE TEMP TABLE published (task INTEGER PRIMARY KEY, attempt INTEGER NOT NULL);
CREATE TEMP TABLE events (number INTEGER PRIMARY KEY, at INTEGER, kind TEXT, text TEXT);
CREATE TEMP TABLE commands (
    number INTEGER PRIMARY KEY, epoch INTEGER, kind TEXT, argument TEXT, asker TEXT, at INTEGER, answer TEXT
);
CREATE TEMP VIEW masters AS SELECT *, NULL AS settings FROM main.masters;
CREATE TEMP VIEW ends AS SELECT *, NULL AS worker_id, NULL AS execution, 0 AS skipped FROM main.ends;
";

/// The same for version 2.
const SINCE_2: &str = "
CREATE TEMP TABLE workers (name TEXT PRIMARY KEY, pod TEXT, zone TEXT, spot INTEGER, image TEXT);
CREATE TEMP TABLE times (task INTEGER PRIMARY KEY, started INTEGER, queued ANY);
CREATE TEMP VIEW attempts AS SELECT *, NULL AS queued FROM main.attempts;
";

const INDEX_1: &str = "
CREATE TABLE runs (name TEXT PRIMARY KEY, run TEXT NOT NULL, created INTEGER NOT NULL) STRICT, WITHOUT ROWID;
";

// One statement sees one state: while another process makes the file, several would see a part of what it makes.
const HEAD: &str = "SELECT (SELECT application_id FROM pragma_application_id), \
                    (SELECT user_version FROM pragma_user_version), (SELECT count(*) FROM sqlite_schema)";

/// Prepares a connection that only reads for a run's file of this version: who reads changes no file, so an old one lacks
/// what later steps add, until a master opens it.
pub(super) fn stand_in(connection: &Connection, version: u32) -> rusqlite::Result<()> {
    let lacks: &[&str] = match version {
        1 => &[SINCE_1, SINCE_2],
        2 => &[SINCE_2],
        _ => &[],
    };
    lacks
        .iter()
        .try_for_each(|lacks| connection.execute_batch(lacks))
}

impl Format {
    #[cfg(test)]
    pub(super) const fn of(application: i32, steps: &'static [&'static str]) -> Self {
        Self { application, steps }
    }

    pub(super) fn newest(self) -> u32 {
        u32::try_from(self.steps.len()).unwrap_or(u32::MAX)
    }

    /// Checks what the file is, and returns its version; 0 for one in which nothing was ever stored.
    pub(super) fn version(self, connection: &Connection, path: &Path) -> Result<u32, LedgerError> {
        let head = connection.query_row(HEAD, (), |row| {
            Ok((row.get(0)?, row.get::<_, i32>(1)?, row.get(2)?))
        });
        let (application, version, tables): (i32, i32, i64) =
            head.map_err(|error| at(path, "read", error))?;
        if (application, version, tables) == (0, 0, 0) {
            return Ok(0);
        }
        if application != self.application {
            return Err(damaged(path, "it is the file of another application"));
        }
        match u32::try_from(version) {
            Ok(version) if version > self.newest() => Err(LedgerError::Newer {
                what: path.display().to_string(),
                version,
                newest: self.newest(),
            }),
            Ok(version @ 1..) => Ok(version),
            _ => Err(damaged(path, "it has no version")),
        }
    }

    /// Makes the steps that the file has not made yet. To be called in a transaction.
    pub(super) fn make(self, connection: &Connection, made: u32) -> rusqlite::Result<()> {
        if made == self.newest() {
            return Ok(());
        }
        connection.pragma_update(None, "application_id", self.application)?;
        for step in self.steps.iter().skip(made as usize) {
            connection.execute_batch(step)?;
        }
        connection.pragma_update(None, "user_version", self.newest())
    }
}
