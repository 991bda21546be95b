//! A run as its master has it: who may write, and since when.

use std::fs::{self, File};
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use podpool_core::id::{RunId, RunName, TaskId};
use podpool_core::ledger::{
    AttemptRecord, Command, CommandId, CommandRecord, EndRecord, Events, Folded, LedgerError,
    Listed, Master as Process, NUMBERS, Opened, Opening, PlaceRecord, ReadRun, Record, RunLedger,
    RunRecord, Status, TaskRecord, TypeRecord,
};
use rusqlite::Connection;

use super::directory::Directory;
use super::fault::{at, system};
use super::file::RunFile;
use super::reader;
use super::value::{Bits, Pairs, Time};
use super::writer::{Places, Writer};
use super::{commands, holder, schema};

/// How often, and after which pauses, a lock is looked at before its master counts as living.
const LOOKS: u32 = 20;
const LOOK: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub(super) struct Master {
    // The file is closed before the lock is released: fields are dropped in this order.
    file: RunFile,
    places: Places,
    epoch: u64,
    /// Until the run is released.
    lock: Option<File>,
    /// How many tasks have not ended, once they were listed or counted.
    unended: Option<u64>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "people read for how long a run has been held, and until when"
)]
pub(super) fn now() -> SystemTime {
    SystemTime::now()
}

/// An error where the newest master lives.
pub(super) fn is_free(
    connection: &Connection,
    directory: &Directory,
    run: &RunId,
    path: &Path,
    now: SystemTime,
) -> Result<(), LedgerError> {
    let newest = reader::newest(connection).map_err(|error| at(path, "read", error))?;
    match newest {
        Some(holder) if holder.until.is_none() && goes_on(directory, run, holder.epoch)? => {
            Err(LedgerError::Held {
                run: run.clone(),
                elapsed: now.duration_since(holder.since).unwrap_or_default(),
                holder: Box::new(holder),
            })
        }
        _ => Ok(()),
    }
}

/// Whether the master of this epoch lives, and goes on to.
// A process that starts a child has a copy of every open file for a moment, between fork and exec: the lock of a master that
// has just ended may be held by it. The kernel reports no end of that, so it is looked at again, for 200 ms at most.
fn goes_on(directory: &Directory, run: &RunId, epoch: u64) -> Result<bool, LedgerError> {
    for _ in 0..LOOKS {
        if !lives(directory, run, epoch)? {
            return Ok(false);
        }
        thread::park_timeout(LOOK);
    }
    Ok(true)
}

/// Whether the master of this epoch lives.
pub(super) fn lives(directory: &Directory, run: &RunId, epoch: u64) -> Result<bool, LedgerError> {
    let path = directory.lock(run, epoch);
    holder::is_held(&path).map_err(|error| system(format!("look at {}", path.display()), error))
}

/// The number of the newest master; 0 where there is none.
fn newest_epoch(connection: &Connection) -> rusqlite::Result<u64> {
    let newest = "SELECT coalesce(max(epoch), 0) FROM masters";
    let mut newest = connection.prepare_cached(newest)?;
    newest
        .query_row((), |row| row.get::<_, Bits>(0))
        .map(|epoch| epoch.0)
}

/// Reserves numbers of tasks for the next master; returns the first of them. To be called in a transaction.
fn reserve(connection: &Connection) -> rusqlite::Result<TaskId> {
    let first = "SELECT max(reserved, coalesce((SELECT max(number) FROM tasks) + 1, 0)) FROM run";
    let first: i64 = connection.query_one(first, (), |row| row.get(0))?;
    let reserved = "UPDATE run SET reserved = ?";
    connection.execute(reserved, [first.saturating_add(NUMBERS.cast_signed())])?;
    Ok(TaskId(first.cast_unsigned()))
}

impl Master {
    /// Becomes the next master of a run that exists.
    pub(super) fn enter(mut file: RunFile, opening: &Opening) -> Result<Opened, LedgerError> {
        let (directory, run, path) = (file.directory.clone(), file.run.clone(), file.path.clone());
        let failed = |error| at(&path, "write", error);
        let transaction = file.begin()?;
        let version = schema::RUN.version(&transaction, &path)?;
        schema::RUN.make(&transaction, version).map_err(failed)?;
        let head = reader::head(&transaction, &run, &path)?;
        if !opening.take_over {
            is_free(&transaction, &directory, &run, &path, opening.now)?;
        }
        let (epoch, lock) = enrol(&transaction, &directory, &run, &path, opening)?;
        let first = reserve(&transaction).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        directory.remove_locks_up_to(&run, epoch - 1);
        Ok(Self::opened(file, head.mac_key, first, (epoch, lock)))
    }

    /// Makes a run in an empty file, and becomes its first master.
    pub(super) fn make(
        mut file: RunFile,
        name: &RunName,
        mac_key: &[u8; 32],
        opening: &Opening,
    ) -> Result<Opened, LedgerError> {
        let (directory, run, path) = (file.directory.clone(), file.run.clone(), file.path.clone());
        let failed = |error| at(&path, "write", error);
        let transaction = file.begin()?;
        schema::RUN.make(&transaction, 0).map_err(failed)?;
        let row = "INSERT INTO run (id, name, mac_key, created) VALUES (?, ?, ?, ?)";
        let values = (run.as_str(), name.as_str(), mac_key, Time(opening.now));
        transaction.execute(row, values).map_err(failed)?;
        let enrolled = enrol(&transaction, &directory, &run, &path, opening)?;
        let first = reserve(&transaction).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        Ok(Self::opened(file, *mac_key, first, enrolled))
    }

    fn opened(
        file: RunFile,
        mac_key: [u8; 32],
        first: TaskId,
        (epoch, lock): (u64, File),
    ) -> Opened {
        Opened {
            run: file.run.clone(),
            mac_key,
            epoch,
            first,
            ledger: Box::new(Self {
                file,
                places: Places::default(),
                epoch,
                lock: Some(lock),
                unended: None,
            }),
        }
    }

    /// Carries out what only the newest master may do, in a transaction.
    fn write(
        &mut self,
        then: impl FnOnce(&Connection, &mut Places) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        let (path, run) = (self.file.path.clone(), self.file.run.clone());
        let failed = |error| at(&path, "write", error);
        let transaction = self.file.begin()?;
        let newest = newest_epoch(&transaction).map_err(failed)?;
        if newest > self.epoch {
            return Err(LedgerError::Superseded { run, epoch: newest });
        }
        then(&transaction, &mut self.places)?;
        transaction.commit().map_err(failed)
    }
}

/// Locks the file of the next epoch, and adds its row. To be called in a transaction, so one process does it at a time.
fn enrol(
    connection: &Connection,
    directory: &Directory,
    run: &RunId,
    path: &Path,
    opening: &Opening,
) -> Result<(u64, File), LedgerError> {
    let failed = |error| at(path, "write", error);
    let epoch = newest_epoch(connection).map_err(failed)?.saturating_add(1);
    let lock = directory.lock(run, epoch);
    let locked = holder::lock(&lock).and_then(|locked| {
        // Only who is about to commit this epoch locks the file, and that is this process.
        locked.ok_or_else(|| std::io::Error::other("another process has locked it"))
    });
    let locked = locked.map_err(|error| system(format!("lock {}", lock.display()), error))?;
    let row = "INSERT INTO masters (epoch, host, pid, user, program, build, version, since, settings) \
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let master = &opening.master;
    let values = (
        Bits(epoch),
        &master.host,
        master.pid,
        &master.user,
        &master.program,
        &master.build,
        &master.version,
        Time(opening.now),
        Pairs(&master.settings),
    );
    connection.execute(row, values).map_err(failed)?;
    Ok((epoch, locked))
}

/// Asks something of the master that lives.
pub(super) fn ask(
    mut file: RunFile,
    command: &Command,
    by: &Process,
    now: SystemTime,
) -> Result<CommandId, LedgerError> {
    let (directory, run, path) = (file.directory.clone(), file.run.clone(), file.path.clone());
    let failed = |error| at(&path, "write", error);
    let transaction = file.begin()?;
    let version = schema::RUN.version(&transaction, &path)?;
    reader::head(&transaction, &run, &path)?;
    let newest = reader::newest(&transaction).map_err(failed)?;
    let newest = newest.filter(|newest| newest.until.is_none());
    let holder = match newest {
        Some(holder) if lives(&directory, &run, holder.epoch)? => holder,
        _ => return Err(LedgerError::NotHeld(run)),
    };
    if version < schema::RUN.newest() {
        // To make it newer is for a master: the living one does not know the tables.
        return Err(LedgerError::Unsuitable {
            what: path.display().to_string(),
            reason: format!(
                "its master, {}, is of an older podpool that reads no commands",
                holder.master
            ),
        });
    }
    let epoch = holder.epoch;
    let id = commands::write(&transaction, epoch, command, &by.to_string(), Time(now));
    let id = id.map_err(failed)?;
    transaction.commit().map_err(failed)?;
    Ok(id)
}

impl RunLedger for Master {
    fn append(&mut self, records: &[Record], now: SystemTime) -> Result<(), LedgerError> {
        let (epoch, path) = (self.epoch, self.file.path.clone());
        let written = self.write(|connection, places| {
            let writer = Writer::new(connection, places, epoch, now);
            let mut writer = writer.map_err(|error| at(&path, "write", error))?;
            records.iter().try_for_each(|record| {
                let written = writer.write(record);
                written.map_err(|refusal| refusal.at(&path))
            })
        });
        if written.is_err() {
            // The numbers that the transaction gave are given no more.
            self.places.clear();
        } else if let Some(unended) = &mut self.unended {
            for record in records {
                match record {
                    Record::Task(_) => *unended += 1,
                    Record::End(_) => *unended = unended.saturating_sub(1),
                    _ => {}
                }
            }
        }
        written
    }

    fn commands(&mut self) -> Result<Vec<(CommandId, Command)>, LedgerError> {
        let waiting = self
            .file
            .all(commands::WAITING, [Bits(self.epoch)], commands::read)?;
        Ok(waiting.into_iter().map(|it| (it.id, it.command)).collect())
    }

    fn answer(&mut self, command: CommandId, answer: &str) -> Result<(), LedgerError> {
        let (epoch, path) = (self.epoch, self.file.path.clone());
        self.write(|connection, _| {
            let answered = commands::answer(connection, epoch, command, answer);
            answered.map_err(|error| at(&path, "write", error))
        })
    }

    fn release(&mut self) -> Result<(), LedgerError> {
        let (epoch, path) = (self.epoch, self.file.path.clone());
        self.write(|connection, _| {
            let until = "UPDATE masters SET until = ? WHERE epoch = ?";
            let released = connection.execute(until, (Time(now()), Bits(epoch)));
            released
                .map(drop)
                .map_err(|error| at(&path, "write", error))
        })?;
        if self.lock.is_none() {
            return Ok(());
        }
        // Before the next master can be there: that one would write meanwhile.
        self.file.checkpoint();
        // Where it cannot be counted somebody looks later.
        let unended = self.unended.or_else(|| self.file.unended().ok());
        self.lock = None;
        // Where it stays it does no harm, for it is not locked, and it tells that tasks are left.
        if unended == Some(0) {
            fs::remove_file(self.file.directory.lock(&self.file.run, epoch)).ok();
        }
        Ok(())
    }
}

impl ReadRun for Master {
    fn run(&mut self) -> Result<RunRecord, LedgerError> {
        self.file.run()
    }

    fn types(&mut self) -> Result<Vec<TypeRecord>, LedgerError> {
        self.file.types()
    }

    fn tasks(&mut self, each: &mut dyn FnMut(Folded)) -> Result<(), LedgerError> {
        // Counted here: a master lists all tasks when it begins, and so need not count them when it leaves.
        let mut unended = 0;
        self.file.tasks(&mut |task| {
            unended += u64::from(task.status == Status::Unended);
            each(task);
        })?;
        self.unended = Some(unended);
        Ok(())
    }

    fn list(&mut self, each: &mut dyn FnMut(Listed)) -> Result<(), LedgerError> {
        self.file.list(each)
    }

    fn task(&mut self, task: TaskId) -> Result<Option<TaskRecord>, LedgerError> {
        self.file.task(task)
    }

    fn end(&mut self, task: TaskId) -> Result<Option<EndRecord>, LedgerError> {
        self.file.end(task)
    }

    fn outputs(&mut self, tasks: &[TaskId]) -> Result<Vec<(TaskId, Bytes)>, LedgerError> {
        self.file.outputs(tasks)
    }

    fn attempts(&mut self, task: TaskId) -> Result<Vec<AttemptRecord>, LedgerError> {
        self.file.attempts(task)
    }

    fn places(&mut self) -> Result<Vec<PlaceRecord>, LedgerError> {
        self.file.places()
    }

    fn events(&mut self) -> Result<Events, LedgerError> {
        self.file.events()
    }

    fn asked(&mut self) -> Result<Vec<CommandRecord>, LedgerError> {
        self.file.asked()
    }
}
