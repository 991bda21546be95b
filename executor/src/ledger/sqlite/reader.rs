//! Reading a run's file. Each statement shows one state of it, whatever its master writes meanwhile.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use podpool_core::broker::ClassId;
use podpool_core::id::{Attempt, ExecutionId, RunId, RunName, TaskId, WorkerId};
use podpool_core::ledger::{
    AttemptRecord, CommandRecord, Content, End, EndRecord, EventRecord, Events, Folded, Holder,
    Identity, LedgerError, Listed, ListedEnd, Master, PlaceRecord, ReadRun, RunRecord, Status,
    TaskRecord, TypeId, TypeRecord, Why,
};
use podpool_core::place::WorkerPlace;
use podpool_core::shape::Fingerprint;
use podpool_core::task::CallOptions;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row, params};

use super::directory::Directory;
use super::fault::{at, damaged};
use super::file::RunFile;
use super::value::{Bits, OwnPairs, OwnTexts, Span, Time, Worded, of_code, row};
use super::{attempts, commands, master, schema};

/// The run that a file is of.
#[derive(Debug)]
pub(super) struct Head {
    name: RunName,
    created: SystemTime,
    pub(super) mac_key: [u8; 32],
}

/// Reads which run a file is of.
///
/// # Errors
/// [`LedgerError::Unknown`] where it is marked as deleted.
pub(super) fn head(connection: &Connection, run: &RunId, path: &Path) -> Result<Head, LedgerError> {
    let row = "SELECT id, name, mac_key, created, deleted FROM run";
    let row = connection.query_one(row, (), |row| {
        Ok((
            row.get::<_, String>(0)?,
            row.get::<_, String>(1)?,
            row.get(2)?,
            row.get::<_, Time>(3)?.0,
            row.get(4)?,
        ))
    });
    let (id, name, mac_key, created, deleted) = row.map_err(|error| at(path, "read", error))?;
    if deleted {
        return Err(LedgerError::Unknown(run.clone()));
    }
    if id != run.as_str() {
        return Err(damaged(path, &format!("it is the file of run {id:?}")));
    }
    let name = RunName::new(&name).map_err(|error| damaged(path, &error.to_string()))?;
    Ok(Head {
        name,
        created,
        mac_key,
    })
}

const MASTERS: &str =
    "SELECT epoch, host, pid, user, program, build, version, since, until, settings FROM masters";

fn holder(row: &Row<'_>) -> rusqlite::Result<Holder> {
    Ok(Holder {
        epoch: row.get::<_, Bits>(0)?.0,
        master: Master {
            host: row.get(1)?,
            pid: row.get(2)?,
            user: row.get(3)?,
            program: row.get(4)?,
            build: row.get(5)?,
            version: row.get(6)?,
            settings: row.get::<_, OwnPairs>(9)?.0,
        },
        since: row.get::<_, Time>(7)?.0,
        until: row.get::<_, Option<Time>>(8)?.map(|until| until.0),
    })
}

/// The newest master.
pub(super) fn newest(connection: &Connection) -> rusqlite::Result<Option<Holder>> {
    let newest = format!("{MASTERS} ORDER BY epoch DESC LIMIT 1");
    connection.query_row(&newest, (), holder).optional()
}

fn a_type(row: &Row<'_>) -> rusqlite::Result<TypeRecord> {
    Ok(TypeRecord {
        number: TypeId(row.get(0)?),
        name: row.get(1)?,
        version: row.get(2)?,
        fingerprint: Fingerprint(row.get(3)?),
        shape: row.get(4)?,
        parameters: row.get::<_, OwnTexts>(5)?.0,
    })
}

fn folded(row: &Row<'_>) -> rusqlite::Result<Folded> {
    let status: Option<i64> = row.get(4)?;
    let published: Option<u32> = row.get(5)?;
    Ok(Folded {
        task: TaskId(row.get::<_, Bits>(0)?.0),
        task_type: TypeId(row.get(1)?),
        identity: Identity(row.get(2)?),
        content: Content(row.get(3)?),
        status: status.map_or(Ok(Status::Unended), |code| of_code(&Status::ALL, 4, code))?,
        published: published.map(Attempt),
        attempts: row.get::<_, Option<u32>>(6)?.unwrap_or(0),
        why: of_code(&Why::ALL, 7, row.get(7)?)?,
    })
}

fn task(row: &Row<'_>) -> rusqlite::Result<TaskRecord> {
    Ok(TaskRecord {
        task: TaskId(row.get::<_, Bits>(0)?.0),
        task_type: TypeId(row.get(1)?),
        identity: Identity(row.get(2)?),
        content: Content(row.get(3)?),
        class: ClassId(row.get(4)?),
        why: of_code(&Why::ALL, 5, row.get(5)?)?,
        options: options(row)?,
        arguments: row.get::<_, Vec<u8>>(11)?.into(),
    })
}

fn listed(row: &Row<'_>) -> rusqlite::Result<Listed> {
    let status: Option<i64> = row.get(7)?;
    Ok(Listed {
        task: TaskId(row.get::<_, Bits>(0)?.0),
        task_type: TypeId(row.get(1)?),
        identity: Identity(row.get(2)?),
        key: row.get(3)?,
        why: of_code(&Why::ALL, 4, row.get(4)?)?,
        submitted: (row.get::<_, Bits>(5)?.0, row.get::<_, Time>(6)?.0),
        status: status.map_or(Ok(Status::Unended), |code| of_code(&Status::ALL, 7, code))?,
        ended: match status {
            Some(_) => Some(listed_end(row)?),
            None => None,
        },
    })
}

fn listed_end(row: &Row<'_>) -> rusqlite::Result<ListedEnd> {
    let kind: Option<Worded<_>> = row.get(14)?;
    Ok(ListedEnd {
        stored: (row.get::<_, Bits>(8)?.0, row.get::<_, Time>(9)?.0),
        attempt: Attempt(row.get(10)?),
        started: row.get::<_, Option<Time>>(16)?.map(|started| started.0),
        queued: row.get::<_, Option<Span>>(17)?.map(|queued| queued.0),
        elapsed: row.get::<_, Option<Span>>(11)?.map(|elapsed| elapsed.0),
        worker: row.get(12)?,
        node: row.get(13)?,
        // The worker's, and added by who reads the list.
        place: None,
        error: match kind {
            Some(Worded(kind)) => Some((kind, row.get(15)?)),
            None => None,
        },
    })
}

fn options(row: &Row<'_>) -> rusqlite::Result<Option<Box<CallOptions>>> {
    // A call that sets anything has a priority, if only 0.
    let Some(priority) = row.get(6)? else {
        return Ok(None);
    };
    let mut options = Box::new(CallOptions::default());
    options.priority = priority;
    options.retries = row.get(7)?;
    options.timeout = row.get::<_, Option<Span>>(8)?.map(|timeout| timeout.0);
    options.memory = row.get::<_, Option<Bits>>(9)?.map(|memory| memory.0);
    options.key = row.get(10)?;
    Ok(Some(options))
}

fn event(row: &Row<'_>) -> rusqlite::Result<EventRecord> {
    Ok(EventRecord {
        at: row.get::<_, Time>(1)?.0,
        kind: row.get(2)?,
        text: row.get(3)?,
    })
}

fn place(row: &Row<'_>) -> rusqlite::Result<PlaceRecord> {
    Ok(PlaceRecord {
        worker: row.get(0)?,
        place: Arc::new(WorkerPlace {
            pod: row.get(1)?,
            zone: row.get(2)?,
            spot: row.get(3)?,
            image: row.get(4)?,
        }),
    })
}

/// An execution, in this column and the next.
pub(super) fn execution(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<ExecutionId>> {
    let (worker, number): (Option<Bits>, Option<Bits>) = (row.get(column)?, row.get(column + 1)?);
    Ok(worker.zip(number).map(|(worker, number)| ExecutionId {
        worker: WorkerId(worker.0),
        number: number.0,
    }))
}

fn end(row: &Row<'_>) -> rusqlite::Result<EndRecord> {
    let code = row.get(2)?;
    let end = match of_code(&Status::ALL, 2, code)? {
        Status::Done => End::Done(row.get::<_, Vec<u8>>(8)?.into()),
        Status::Failed => End::Failed {
            kind: row.get::<_, Worded<_>>(6)?.0,
            message: row.get(7)?,
        },
        Status::Cancelled => End::Cancelled,
        Status::Interrupted => End::Interrupted,
        // A task that has not ended has no end.
        _ => return Err(rusqlite::Error::IntegralValueOutOfRange(2, code)),
    };
    Ok(EndRecord {
        task: TaskId(row.get::<_, Bits>(0)?.0),
        attempt: Attempt(row.get(1)?),
        started: row.get::<_, Option<Time>>(12)?.map(|started| started.0),
        queued: row.get::<_, Option<Span>>(13)?.map(|queued| queued.0),
        elapsed: row.get::<_, Option<Span>>(3)?.map(|elapsed| elapsed.0),
        worker: row.get(4)?,
        node: row.get(5)?,
        execution: execution(row, 9)?,
        skipped: row.get(11)?,
        end,
    })
}

/// Says what is missing where a file cannot be read because the files beside it cannot be made.
// To read in WAL mode SQLite needs `-wal` and `-shm`, and makes them where no other process has them open. It does not
// remove them then: a connection that only reads never does. The next master's does. <https://sqlite.org/wal.html>
fn not_beside(directory: &Directory, error: LedgerError) -> LedgerError {
    match error {
        LedgerError::Failed {
            what,
            transient,
            source,
        } if is_not_opened(&*source) => LedgerError::Failed {
            what: format!(
                "{what}: if {directory} cannot be written, SQLite cannot make the files that it needs to read; \
                 copy the directory to where it can be written, and read it there"
            ),
            transient,
            source,
        },
        other => other,
    }
}

fn is_not_opened(error: &(dyn std::error::Error + 'static)) -> bool {
    let error = error.downcast_ref::<rusqlite::Error>();
    let code = error.and_then(rusqlite::Error::sqlite_error_code);
    matches!(code, Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
}

impl RunFile {
    /// The stored results of a range of tasks: one walk through the rows, in place of a search for each.
    fn outputs_between(&self, (first, last): (i64, i64)) -> rusqlite::Result<Vec<(TaskId, Bytes)>> {
        let outputs =
            "SELECT task, output FROM ends WHERE task BETWEEN ? AND ? AND output IS NOT NULL";
        let mut outputs = self.connection.prepare_cached(outputs)?;
        let output = |row: &Row<'_>| {
            let task = TaskId(row.get::<_, Bits>(0)?.0);
            Ok((task, Bytes::from(row.get::<_, Vec<u8>>(1)?)))
        };
        outputs.query_map(params![first, last], output)?.collect()
    }

    /// Opens a run's file to read it.
    ///
    /// # Errors
    /// [`LedgerError::Unknown`] where there is none, or one that was never made whole.
    pub(super) fn to_read(directory: &Directory, run: &RunId) -> Result<Self, LedgerError> {
        let file = Self::connect(directory, run, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let version = schema::RUN.version(&file.connection, &file.path);
        let version = version.map_err(|error| not_beside(directory, error))?;
        if version == 0 {
            return Err(LedgerError::Unknown(run.clone()));
        }
        let stood_in = schema::stand_in(&file.connection, version);
        stood_in.map_err(|error| file.error("read", error))?;
        head(&file.connection, run, &file.path)?;
        Ok(file)
    }

    /// All rows that a statement gives.
    pub(super) fn all<T>(
        &self,
        statement: &str,
        values: impl rusqlite::Params,
        read: fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, LedgerError> {
        let rows = || {
            let mut statement = self.connection.prepare_cached(statement)?;
            let rows = statement.query_map(values, read)?;
            rows.collect::<rusqlite::Result<Vec<T>>>()
        };
        rows().map_err(|error| self.error("read", error))
    }

    /// How many tasks have not ended.
    pub(super) fn unended(&self) -> Result<u64, LedgerError> {
        // Each end is of a task of its own.
        let count = "SELECT (SELECT count(*) FROM tasks) - (SELECT count(*) FROM ends)";
        let count = self.all(count, (), |row| row.get::<_, i64>(0))?;
        Ok(count
            .first()
            .map_or(0, |count| u64::try_from(*count).unwrap_or(0)))
    }

    fn places_by_worker(&self) -> Result<Places, LedgerError> {
        let places = "SELECT name, pod, zone, spot, image FROM workers";
        let places = self.all(places, (), place)?;
        let places = places.into_iter().map(|it| (it.worker, it.place));
        Ok(places.collect())
    }

    /// The one row that a statement gives of a task, if it gives one.
    fn one<T>(
        &self,
        statement: &str,
        of: TaskId,
        read: fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, LedgerError> {
        let Some(of) = row(of) else {
            return Ok(None);
        };
        Ok(self.all(statement, [of], read)?.pop())
    }
}

/// Where workers run, by their names.
type Places = HashMap<Arc<str>, Arc<WorkerPlace>>;

fn place_in(places: &Places, worker: Option<&Arc<str>>) -> Option<Arc<WorkerPlace>> {
    places.get(worker?).cloned()
}

/// The range of these numbers, where most numbers in it are among them: a map asks for one task after the other.
fn dense(tasks: &[TaskId]) -> Option<(i64, i64)> {
    let (first, last) = (tasks.iter().min()?.0, tasks.iter().max()?.0);
    let dense = last - first < 2 * tasks.len() as u64;
    let range = row(TaskId(first)).zip(row(TaskId(last)));
    range.filter(|_| dense)
}

impl ReadRun for RunFile {
    fn run(&mut self) -> Result<RunRecord, LedgerError> {
        let head = head(&self.connection, &self.run, &self.path)?;
        let masters = self.all(&format!("{MASTERS} ORDER BY epoch"), (), holder)?;
        let held = match masters.last() {
            Some(newest) if newest.until.is_none() => {
                master::lives(&self.directory, &self.run, newest.epoch)?
            }
            Some(_) => false,
            None => return Err(damaged(&self.path, "it has no master")),
        };
        Ok(RunRecord {
            run: self.run.clone(),
            name: head.name,
            created: head.created,
            masters,
            held,
        })
    }

    fn types(&mut self) -> Result<Vec<TypeRecord>, LedgerError> {
        let types = "SELECT number, name, version, fingerprint, shape, parameters FROM types ORDER BY number";
        self.all(types, (), a_type)
    }

    fn tasks(&mut self, each: &mut dyn FnMut(Folded)) -> Result<(), LedgerError> {
        // All tables are read in the order of the tasks, so each look into one is beside the last.
        let tasks = "SELECT tasks.number, type, identity, content, status, published.attempt, \
                     (SELECT max(attempt) FROM attempts WHERE attempts.task = tasks.number), why \
                     FROM tasks LEFT JOIN ends ON ends.task = tasks.number \
                     LEFT JOIN published ON published.task = tasks.number ORDER BY tasks.number";
        let mut read = || {
            let mut tasks = self.connection.prepare_cached(tasks)?;
            let mut tasks = tasks.query_map((), folded)?;
            tasks.try_for_each(|task| task.map(&mut *each))
        };
        read().map_err(|error| self.error("read", error))
    }

    fn list(&mut self, each: &mut dyn FnMut(Listed)) -> Result<(), LedgerError> {
        let tasks = "SELECT tasks.number, type, identity, key, why, tasks.epoch, submitted, status, ends.epoch, ended, \
                     attempt, elapsed, worker, node, kind, message, started, queued \
                     FROM tasks LEFT JOIN ends ON ends.task = tasks.number \
                     LEFT JOIN times ON times.task = tasks.number \
                     LEFT JOIN places ON places.number = place ORDER BY tasks.number";
        // Joined here, so that all tasks of a worker share its place.
        let places = self.places_by_worker()?;
        let mut read = || {
            let mut tasks = self.connection.prepare_cached(tasks)?;
            let mut tasks = tasks.query_map((), listed)?;
            tasks.try_for_each(|task| {
                let mut task = task?;
                if let Some(end) = &mut task.ended {
                    end.place = place_in(&places, end.worker.as_ref());
                }
                each(task);
                Ok(())
            })
        };
        read().map_err(|error| self.error("read", error))
    }

    fn task(&mut self, of: TaskId) -> Result<Option<TaskRecord>, LedgerError> {
        let row = "SELECT number, type, identity, content, class, why, priority, retries, timeout, memory, key, \
                   arguments FROM tasks WHERE number = ?";
        self.one(row, of, task)
    }

    fn end(&mut self, of: TaskId) -> Result<Option<EndRecord>, LedgerError> {
        let row = "SELECT ends.task, attempt, status, elapsed, worker, node, kind, message, output, worker_id, \
                   execution, skipped, started, queued FROM ends LEFT JOIN times ON times.task = ends.task \
                   LEFT JOIN places ON number = place WHERE ends.task = ?";
        self.one(row, of, end)
    }

    fn outputs(&mut self, tasks: &[TaskId]) -> Result<Vec<(TaskId, Bytes)>, LedgerError> {
        if let Some(range) = dense(tasks) {
            let found = self.outputs_between(range);
            let mut found = found.map_err(|error| self.error("read", error))?;
            let asked: HashSet<TaskId> = tasks.iter().copied().collect();
            found.retain(|(task, _)| asked.contains(task));
            return Ok(found);
        }
        let read = || {
            // One state for all; and a statement outside of a transaction takes its locks anew each time.
            let _state = self.connection.unchecked_transaction()?;
            let output = "SELECT output FROM ends WHERE task = ? AND output IS NOT NULL";
            let mut output = self.connection.prepare_cached(output)?;
            let mut outputs = Vec::new();
            for task in tasks {
                let found = row(*task).map(|task| {
                    let found = output.query_row(params![task], |row| row.get::<_, Vec<u8>>(0));
                    found.optional()
                });
                if let Some(found) = found.transpose()?.flatten() {
                    outputs.push((*task, found.into()));
                }
            }
            Ok(outputs)
        };
        read().map_err(|error| self.error("read", error))
    }

    fn attempts(&mut self, of: TaskId) -> Result<Vec<AttemptRecord>, LedgerError> {
        let Some(of) = row(of) else {
            return Ok(Vec::new());
        };
        let mut attempts = self.all(attempts::READ, [of], attempts::read)?;
        // Nearly all tasks have none.
        if !attempts.is_empty() {
            let places = self.places_by_worker()?;
            for AttemptRecord { report, .. } in &mut attempts {
                report.place = place_in(&places, report.worker.as_ref());
            }
        }
        Ok(attempts)
    }

    fn places(&mut self) -> Result<Vec<PlaceRecord>, LedgerError> {
        let places = "SELECT name, pod, zone, spot, image FROM workers ORDER BY name";
        self.all(places, (), place)
    }

    fn events(&mut self) -> Result<Events, LedgerError> {
        let rows = "SELECT number, at, kind, text FROM events ORDER BY number";
        let rows = self.all(rows, (), |row| Ok((row.get::<_, Bits>(0)?.0, event(row)?)))?;
        // They are numbered from 1 without a gap, and the oldest are dropped.
        let dropped = rows.first().map_or(0, |(first, _)| first.saturating_sub(1));
        let newest = rows.into_iter().map(|(_, event)| event).collect();
        Ok(Events { dropped, newest })
    }

    fn asked(&mut self) -> Result<Vec<CommandRecord>, LedgerError> {
        self.all(commands::READ, (), commands::read)
    }
}
