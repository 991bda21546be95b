//! Writing records, in a transaction that their master has begun.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use podpool_core::id::TaskId;
use podpool_core::ledger::{
    AttemptRecord, End, EndRecord, EventRecord, FoldError, LedgerError, MOST_EVENTS, PlaceRecord,
    PublishedRecord, Record, Status, TaskRecord, TypeRecord, Why,
};
use rusqlite::{CachedStatement, Connection, Error, ErrorCode, OptionalExtension, ffi, params};

use super::attempts;
use super::fault::at;
use super::value::{Bits, Span, Texts, Time, Worded, code, row};

const TYPE: &str = "\
INSERT INTO types (number, name, version, fingerprint, shape, parameters) VALUES (?, ?, ?, ?, ?, ?)";

const TASK: &str = "\
INSERT INTO tasks (number, epoch, type, identity, content, class, why, submitted, priority, retries, timeout, memory, \
key, arguments) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

const END: &str = "\
INSERT INTO ends (task, epoch, status, attempt, place, elapsed, ended, kind, message, output, worker_id, execution, \
skipped) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

const TIMES: &str = "INSERT INTO times (task, started, queued) VALUES (?, ?, ?)";

const PLACE: &str =
    "INSERT OR REPLACE INTO workers (name, pod, zone, spot, image) VALUES (?, ?, ?, ?, ?)";

/// Changes nothing where the task has ended, or a higher attempt is published.
const PUBLISHED: &str = "\
INSERT INTO published (task, attempt) SELECT ?1, ?2 WHERE NOT EXISTS (SELECT 1 FROM ends WHERE ends.task = ?1) \
ON CONFLICT (task) DO UPDATE SET attempt = excluded.attempt WHERE excluded.attempt > attempt";

/// The first number of a task that belongs to no master.
const RESERVED: &str = "UPDATE run SET reserved = ?";

const EVENT: &str = "INSERT INTO events (epoch, at, kind, text) VALUES (?, ?, ?, ?)";

/// The number of an event is one more than that of the newest, which always stays.
const OLD_EVENTS: &str = "DELETE FROM events WHERE number <= ?";

/// Most workers whose numbers are kept. A run has some thousands at most.
const PLACES: usize = 10_000;

/// A worker's name and its node's.
type Place = (Option<Arc<str>>, Option<Arc<str>>);

/// The numbers of workers and their nodes: names that nearly every row repeats are stored once.
#[derive(Debug, Default)]
pub(super) struct Places(HashMap<Place, i64>);

impl Places {
    /// Forgets them, because the transaction that gave some of them was rolled back.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    fn number(&mut self, connection: &Connection, place: Place) -> rusqlite::Result<Option<i64>> {
        if place == (None, None) {
            return Ok(None);
        }
        if let Some(number) = self.0.get(&place) {
            return Ok(Some(*number));
        }
        let found = "SELECT number FROM places WHERE worker IS ? AND node IS ?";
        let mut found = connection.prepare_cached(found)?;
        let found = found.query_row(params![place.0, place.1], |row| row.get(0));
        let number = match found.optional()? {
            Some(number) => number,
            None => {
                let added = "INSERT INTO places (worker, node) VALUES (?, ?)";
                let mut added = connection.prepare_cached(added)?;
                added.insert(params![place.0, place.1])?
            }
        };
        if self.0.len() >= PLACES {
            self.0.clear();
        }
        self.0.insert(place, number);
        Ok(Some(number))
    }
}

/// Why a record is not stored.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It does not follow from what is stored.
    Wrong(FoldError),
    /// Its task has a number beyond 2^63.
    Number(TaskId),
    /// SQLite refuses.
    Sql(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Sql(error)
    }
}

impl Refusal {
    /// The same for the caller.
    pub(super) fn at(self, path: &Path) -> LedgerError {
        let source: Box<dyn std::error::Error + Send + Sync> = match self {
            Self::Sql(error) => return at(path, "write", error),
            Self::Wrong(error) => Box::new(error),
            Self::Number(task) => format!("the number of task {task} is too large").into(),
        };
        LedgerError::Failed {
            what: format!("store the records in {}", path.display()),
            transient: false,
            source,
        }
    }

    /// The error of an insert: a taken number, or a reference to a row that is not there.
    fn of(error: Error, taken: FoldError, dangling: FoldError) -> Self {
        let Error::SqliteFailure(
            ffi::Error {
                code: ErrorCode::ConstraintViolation,
                extended_code,
            },
            _,
        ) = error
        else {
            return Self::Sql(error);
        };
        match extended_code {
            ffi::SQLITE_CONSTRAINT_PRIMARYKEY
            | ffi::SQLITE_CONSTRAINT_ROWID
            | ffi::SQLITE_CONSTRAINT_UNIQUE => Self::Wrong(taken),
            ffi::SQLITE_CONSTRAINT_FOREIGNKEY => Self::Wrong(dangling),
            _ => Self::Sql(error),
        }
    }
}

fn number(task: TaskId) -> Result<i64, Refusal> {
    row(task).ok_or(Refusal::Number(task))
}

/// Writes the records of one transaction.
pub(super) struct Writer<'a> {
    connection: &'a Connection,
    places: &'a mut Places,
    epoch: Bits,
    now: Time,
    task: CachedStatement<'a>,
    end: CachedStatement<'a>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        connection: &'a Connection,
        places: &'a mut Places,
        epoch: u64,
        now: SystemTime,
    ) -> rusqlite::Result<Self> {
        Ok(Self {
            connection,
            places,
            epoch: Bits(epoch),
            now: Time(now),
            task: connection.prepare_cached(TASK)?,
            end: connection.prepare_cached(END)?,
        })
    }

    pub(super) fn write(&mut self, record: &Record) -> Result<(), Refusal> {
        match record {
            Record::Type(it) => self.a_type(it),
            Record::Task(it) => self.task(it),
            Record::Published(it) => self.published(it),
            Record::Attempt(it) => self.attempt(it, None),
            Record::Amended(it) => {
                let last = attempts::like(self.connection, number(it.task)?, &it.report)?;
                self.attempt(it, last)
            }
            Record::End(it) => self.end(it),
            Record::Event(it) => self.event(it),
            Record::Place(it) => self.place(it),
            Record::Reserved(it) => self.reserved(*it),
            _ => {
                let unknown = "this version does not store records of this kind";
                Err(Error::ToSqlConversionFailure(unknown.into()).into())
            }
        }
    }

    fn a_type(&self, it: &TypeRecord) -> Result<(), Refusal> {
        let next = "SELECT count(*) FROM types";
        let next: u32 = self
            .connection
            .prepare_cached(next)?
            .query_row((), |row| row.get(0))?;
        if it.number.0 != next {
            return Err(Refusal::Wrong(FoldError::TypeNumber(it.number)));
        }
        self.connection.prepare_cached(TYPE)?.execute(params![
            it.number.0,
            it.name,
            it.version,
            it.fingerprint.0,
            it.shape,
            Texts(&it.parameters),
        ])?;
        Ok(())
    }

    fn task(&mut self, it: &TaskRecord) -> Result<(), Refusal> {
        let options = it.options.as_deref();
        let added = self.task.execute(params![
            number(it.task)?,
            self.epoch,
            it.task_type.0,
            it.identity.0,
            it.content.0,
            it.class.0,
            code(&Why::ALL, &it.why)?,
            self.now,
            options.map(|options| options.priority),
            options.and_then(|options| options.retries),
            options.and_then(|options| options.timeout).map(Span),
            options.and_then(|options| options.memory).map(Bits),
            it.key(),
            &it.arguments[..],
        ]);
        let (taken, dangling) = (FoldError::Twice(it.task), FoldError::UnknownType(it.task));
        let added = added.map_err(|error| Refusal::of(error, taken, dangling));
        added.map(drop)
    }

    fn published(&self, it: &PublishedRecord) -> Result<(), Refusal> {
        let mut added = self.connection.prepare_cached(PUBLISHED)?;
        let added = added.execute(params![number(it.task)?, it.attempt.0]);
        let unknown = FoldError::UnknownTask(it.task);
        let added = added.map_err(|error| Refusal::of(error, unknown, unknown));
        added.map(drop)
    }

    /// Adds an attempt, or puts it in the place of the one with this number.
    fn attempt(&mut self, it: &AttemptRecord, replaces: Option<i64>) -> Result<(), Refusal> {
        let report = &it.report;
        let place = (report.worker.clone(), report.node.clone());
        let place = self.places.number(self.connection, place)?;
        let mut added = self.connection.prepare_cached(attempts::WRITE)?;
        let task = number(it.task)?;
        let (epoch, now) = (self.epoch, self.now);
        let added = attempts::write(&mut added, task, epoch, now, report, place, replaces);
        let (ended, dangling) = (FoldError::Ended(it.task), FoldError::UnknownTask(it.task));
        match added.map_err(|error| Refusal::of(error, ended, dangling))? {
            0 => Err(Refusal::Wrong(ended)),
            _ => Ok(()),
        }
    }

    fn reserved(&self, next: TaskId) -> Result<(), Refusal> {
        let mut reserved = self.connection.prepare_cached(RESERVED)?;
        reserved.execute([number(next)?])?;
        Ok(())
    }

    fn event(&self, it: &EventRecord) -> Result<(), Refusal> {
        let mut added = self.connection.prepare_cached(EVENT)?;
        let number = added.insert(params![self.epoch, Time(it.at), it.kind, it.text])?;
        let old = number - MOST_EVENTS as i64;
        self.connection.prepare_cached(OLD_EVENTS)?.execute([old])?;
        Ok(())
    }

    fn place(&self, it: &PlaceRecord) -> Result<(), Refusal> {
        let place = &*it.place;
        let values = params![it.worker, place.pod, place.zone, place.spot, place.image];
        self.connection.prepare_cached(PLACE)?.execute(values)?;
        Ok(())
    }

    fn times(&self, it: &EndRecord) -> Result<(), Refusal> {
        if (it.started, it.queued) == (None, None) {
            return Ok(());
        }
        let mut added = self.connection.prepare_cached(TIMES)?;
        let (started, queued) = (it.started.map(Time), it.queued.map(Span));
        added.execute(params![number(it.task)?, started, queued])?;
        Ok(())
    }

    fn end(&mut self, it: &EndRecord) -> Result<(), Refusal> {
        let place = (it.worker.clone(), it.node.clone());
        let place = self.places.number(self.connection, place)?;
        let (kind, message, output) = match &it.end {
            End::Done(output) => (None, None, Some(&output[..])),
            End::Failed { kind, message } => (Some(Worded(*kind)), Some(message), None),
            // The status tells all of it.
            _ => (None, None, None),
        };
        let added = self.end.execute(params![
            number(it.task)?,
            self.epoch,
            code(&Status::ALL, &it.end.status())?,
            it.attempt.0,
            place,
            it.elapsed.map(Span),
            self.now,
            kind,
            message,
            output,
            it.execution.map(|it| Bits(it.worker.0)),
            it.execution.map(|it| Bits(it.number)),
            it.skipped,
        ]);
        let (ended, dangling) = (FoldError::Ended(it.task), FoldError::UnknownTask(it.task));
        added.map_err(|error| Refusal::of(error, ended, dangling))?;
        self.times(it)
    }
}
