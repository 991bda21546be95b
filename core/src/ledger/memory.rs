//! The reference: a ledger in memory, for tests and as the meaning of the contract.

mod reader;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use bytes::Bytes;

use crate::id::{RunId, RunName, TaskId};
use crate::lock::lock;
use crate::place::WorkerPlace;

use self::reader::Reader;
use super::{
    AttemptRecord, Command, CommandId, CommandRecord, End, EndRecord, EventRecord, Events, Fold,
    Folded, Holder, Ledger, LedgerError, Listed, ListedEnd, MOST_EVENTS, Master, NUMBERS, Opened,
    Opening, PlaceRecord, ReadRun, Record, RunLedger, RunRecord, TaskRecord, TypeRecord, Which,
};

/// Runs in memory. Clones share them.
///
/// A master lives until its [`RunLedger`] is dropped or released. A drop without a release is what a kill is elsewhere.
#[derive(Clone, Debug, Default)]
pub struct MemoryLedger {
    /// Oldest first.
    runs: Arc<Mutex<Vec<Run>>>,
}

#[derive(Debug)]
struct Run {
    record: RunRecord,
    mac_key: [u8; 32],
    /// The newest epoch whose master was [forgotten](MemoryLedger::forget); 0 for none.
    forgotten: u64,
    fold: Fold,
    records: Vec<Record>,
    /// Which master stored each of them, and when.
    stored: Vec<(u64, SystemTime)>,
    /// Where in `records` a task is mentioned.
    of_task: HashMap<TaskId, Vec<usize>>,
    /// The newest events, and how many there were before.
    events: VecDeque<EventRecord>,
    dropped: u64,
    commands: Vec<CommandRecord>,
    /// Where workers run, by their names.
    places: BTreeMap<Arc<str>, Arc<WorkerPlace>>,
    /// The first number of a task that belongs to no master.
    reserved: u64,
}

impl MemoryLedger {
    /// A ledger without runs.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The newest master of a run counts as killed, although its [`RunLedger`] is still there: what it appends from
    /// then on is refused. For tests that cannot drop it, because threads of the killed executor still have it.
    pub fn forget(&self, run: &RunId) {
        self.with(run, |run| {
            run.forgotten = run.epoch();
            run.record.held = false;
            Ok(())
        })
        // A run that does not exist has no master.
        .ok();
    }

    fn with<T>(
        &self,
        run: &RunId,
        then: impl FnOnce(&mut Run) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        let mut runs = lock(&self.runs);
        let found = runs.iter_mut().find(|it| it.record.run == *run);
        then(found.ok_or_else(|| LedgerError::Unknown(run.clone()))?)
    }
}

impl Ledger for MemoryLedger {
    fn place(&self) -> String {
        "memory".to_owned()
    }

    fn open(&self, opening: &Opening) -> Result<Opened, LedgerError> {
        let mut runs = lock(&self.runs);
        let at = match &opening.which {
            Which::Existing(id) => {
                let at = runs.iter().position(|it| it.record.run == *id);
                at.ok_or_else(|| LedgerError::Unknown(id.clone()))?
            }
            Which::Named {
                name,
                fresh,
                mac_key,
            } => match runs.iter().rposition(|it| it.record.name == *name) {
                Some(at) => at,
                None => {
                    runs.push(Run::new(fresh, name, *mac_key, opening.now));
                    runs.len() - 1
                }
            },
        };
        let run = &mut runs[at];
        let first = run.enrol(opening)?;
        let reader = Reader {
            ledger: self.clone(),
            run: run.record.run.clone(),
        };
        Ok(Opened {
            run: reader.run.clone(),
            mac_key: run.mac_key,
            epoch: run.epoch(),
            first,
            ledger: Box::new(Appender {
                reader,
                epoch: run.epoch(),
            }),
        })
    }

    fn runs(&self) -> Result<Vec<Result<RunRecord, LedgerError>>, LedgerError> {
        let runs = lock(&self.runs);
        let mut records: Vec<_> = runs.iter().rev().map(|run| run.record.clone()).collect();
        // The sort is stable: of two that were made at the same time the later one is first.
        records.sort_by_key(|record| std::cmp::Reverse(record.created));
        Ok(records.into_iter().map(Ok).collect())
    }

    fn read(&self, run: &RunId) -> Result<Box<dyn ReadRun>, LedgerError> {
        self.with(run, |_| Ok(()))?;
        Ok(Box::new(Reader {
            ledger: self.clone(),
            run: run.clone(),
        }))
    }

    fn command(
        &self,
        run: &RunId,
        command: &Command,
        by: &Master,
        now: SystemTime,
    ) -> Result<CommandId, LedgerError> {
        self.with(run, |run| {
            if !run.record.held {
                return Err(LedgerError::NotHeld(run.record.run.clone()));
            }
            let id = CommandId(run.commands.len() as u64 + 1);
            run.commands.push(CommandRecord {
                id,
                command: command.clone(),
                epoch: run.epoch(),
                by: by.to_string(),
                at: now,
                answer: None,
            });
            Ok(id)
        })
    }

    fn delete(&self, run: &RunId) -> Result<(), LedgerError> {
        let mut runs = lock(&self.runs);
        let Some(at) = runs.iter().position(|it| it.record.run == *run) else {
            return Ok(());
        };
        runs[at].is_free(wall_clock())?;
        runs.remove(at);
        Ok(())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "people read for how long a run has been held"
)]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

impl Run {
    fn new(id: &RunId, name: &RunName, mac_key: [u8; 32], now: SystemTime) -> Self {
        Self {
            record: RunRecord {
                run: id.clone(),
                name: name.clone(),
                created: now,
                masters: Vec::new(),
                held: false,
            },
            mac_key,
            forgotten: 0,
            fold: Fold::default(),
            records: Vec::new(),
            stored: Vec::new(),
            of_task: HashMap::new(),
            events: VecDeque::new(),
            dropped: 0,
            commands: Vec::new(),
            places: BTreeMap::new(),
            reserved: 0,
        }
    }

    fn epoch(&self) -> u64 {
        self.record.masters.last().map_or(0, |newest| newest.epoch)
    }

    fn is_free(&self, now: SystemTime) -> Result<(), LedgerError> {
        match self.record.masters.last() {
            Some(holder) if self.record.held => Err(LedgerError::Held {
                run: self.record.run.clone(),
                holder: Box::new(holder.clone()),
                elapsed: now.duration_since(holder.since).unwrap_or_default(),
            }),
            _ => Ok(()),
        }
    }

    fn enrol(&mut self, opening: &Opening) -> Result<TaskId, LedgerError> {
        if !opening.take_over {
            self.is_free(opening.now)?;
        }
        let holder = Holder {
            epoch: self.epoch() + 1,
            master: opening.master.clone(),
            since: opening.now,
            until: None,
        };
        self.record.masters.push(holder);
        self.record.held = true;
        let first = self.reserved.max(self.fold.next());
        self.reserved = first.saturating_add(NUMBERS);
        Ok(TaskId(first))
    }

    /// Whether the master of this epoch may still write.
    fn admit(&self, epoch: u64) -> Result<(), LedgerError> {
        let newest = self.epoch();
        if newest > epoch {
            let run = self.record.run.clone();
            return Err(LedgerError::Superseded { run, epoch: newest });
        }
        if epoch <= self.forgotten {
            return Err(self.refused("its master was forgotten".into()));
        }
        Ok(())
    }

    fn refused(&self, source: Box<dyn std::error::Error + Send + Sync>) -> LedgerError {
        LedgerError::Failed {
            what: format!("store records of run {}", self.record.run),
            transient: false,
            source,
        }
    }

    fn append(&mut self, records: &[Record], now: SystemTime) -> Result<(), LedgerError> {
        for record in records {
            if let Err(error) = self.fold.apply(record) {
                self.fold = self.folded_again();
                return Err(self.refused(error.into()));
            }
        }
        for record in records {
            let record = match record {
                Record::Amended(it) => match self.last_like(it) {
                    Some(place) => {
                        self.records[place] = Record::Attempt(it.clone());
                        continue;
                    }
                    None => Record::Attempt(it.clone()),
                },
                Record::Reserved(next) => {
                    self.reserved = next.0;
                    continue;
                }
                Record::Event(it) => {
                    self.note(it.clone());
                    continue;
                }
                Record::Place(it) => {
                    self.places.insert(it.worker.clone(), it.place.clone());
                    continue;
                }
                other => other.clone(),
            };
            if let Some(task) = task_of(&record) {
                let places = self.of_task.entry(task).or_default();
                places.push(self.records.len());
            }
            self.records.push(record);
            self.stored.push((self.epoch(), now));
        }
        Ok(())
    }

    fn note(&mut self, event: EventRecord) {
        self.events.push_back(event);
        if self.events.len() > MOST_EVENTS {
            self.events.pop_front();
            self.dropped += 1;
        }
    }

    /// Where the task's last attempt with this number on this worker is.
    fn last_like(&self, attempt: &AttemptRecord) -> Option<usize> {
        let places = self.of_task.get(&attempt.task)?;
        let is = |place: &&usize| match &self.records[**place] {
            Record::Attempt(it) => it.is_like(attempt),
            _ => false,
        };
        places.iter().rfind(is).copied()
    }

    /// The state that the stored records make.
    fn folded_again(&self) -> Fold {
        let mut fold = Fold::default();
        for record in &self.records {
            // Every stored record was applied before, in this order.
            fold.apply(record).ok();
        }
        fold
    }

    /// A task as lists show it.
    fn listed(&self, task: Folded) -> Option<Listed> {
        let places = self.of_task.get(&task.task)?;
        let stored = |place: &usize| (&self.records[*place], self.stored[*place]);
        let (record, submitted) =
            places
                .iter()
                .map(stored)
                .find_map(|(record, stored)| match record {
                    Record::Task(it) => Some((it, stored)),
                    _ => None,
                })?;
        let ended = places
            .iter()
            .map(stored)
            .find_map(|(record, stored)| match record {
                Record::End(it) => Some((it, stored)),
                _ => None,
            });
        Some(Listed {
            task: task.task,
            task_type: task.task_type,
            identity: task.identity,
            key: record.key().cloned(),
            why: record.why,
            submitted,
            status: task.status,
            ended: ended.map(|(end, stored)| ListedEnd {
                stored,
                attempt: end.attempt,
                started: end.started,
                queued: end.queued,
                elapsed: end.elapsed,
                worker: end.worker.clone(),
                node: end.node.clone(),
                place: self.place_of(end.worker.as_ref()),
                error: match &end.end {
                    End::Failed { kind, message } => Some((*kind, message.clone())),
                    _ => None,
                },
            }),
        })
    }

    fn place_of(&self, worker: Option<&Arc<str>>) -> Option<Arc<WorkerPlace>> {
        self.places.get(worker?).cloned()
    }

    /// What is stored of a task, oldest first.
    fn of(&self, task: TaskId) -> impl Iterator<Item = &Record> {
        let places = self.of_task.get(&task).into_iter().flatten();
        places.map(|place| &self.records[*place])
    }
}

fn task_of(record: &Record) -> Option<TaskId> {
    match record {
        Record::Type(_) | Record::Reserved(_) | Record::Event(_) | Record::Place(_) => None,
        Record::Task(it) => Some(it.task),
        Record::Published(it) => Some(it.task),
        Record::Attempt(it) | Record::Amended(it) => Some(it.task),
        Record::End(it) => Some(it.task),
    }
}

/// A run, as its master has it.
#[derive(Debug)]
struct Appender {
    reader: Reader,
    epoch: u64,
}

impl Appender {
    fn write<T>(
        &self,
        then: impl FnOnce(&mut Run) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        self.reader.ledger.with(&self.reader.run, |run| {
            run.admit(self.epoch)?;
            then(run)
        })
    }
}

impl RunLedger for Appender {
    fn append(&mut self, records: &[Record], now: SystemTime) -> Result<(), LedgerError> {
        self.write(|run| run.append(records, now))
    }

    fn commands(&mut self) -> Result<Vec<(CommandId, Command)>, LedgerError> {
        let epoch = self.epoch;
        self.reader.with(|run| {
            let waiting = run.commands.iter();
            let waiting = waiting.filter(|it| it.epoch == epoch && it.answer.is_none());
            waiting.map(|it| (it.id, it.command.clone())).collect()
        })
    }

    fn answer(&mut self, command: CommandId, answer: &str) -> Result<(), LedgerError> {
        let epoch = self.epoch;
        self.write(|run| {
            let mut commands = run.commands.iter_mut();
            let asked = commands.find(|it| it.id == command && it.epoch == epoch);
            if let Some(asked) = asked {
                asked.answer.get_or_insert_with(|| answer.to_owned());
            }
            Ok(())
        })
    }

    fn release(&mut self) -> Result<(), LedgerError> {
        self.write(|run| {
            run.record.held = false;
            if let Some(newest) = run.record.masters.last_mut() {
                newest.until.get_or_insert_with(wall_clock);
            }
            Ok(())
        })
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        let dead = |run: &mut Run| {
            run.record.held = false;
            Ok(())
        };
        // Where the run is deleted, or another master has it, there is nothing to do.
        self.write(dead).ok();
    }
}

impl ReadRun for Appender {
    fn run(&mut self) -> Result<RunRecord, LedgerError> {
        self.reader.run()
    }

    fn types(&mut self) -> Result<Vec<TypeRecord>, LedgerError> {
        self.reader.types()
    }

    fn tasks(&mut self, each: &mut dyn FnMut(Folded)) -> Result<(), LedgerError> {
        self.reader.tasks(each)
    }

    fn list(&mut self, each: &mut dyn FnMut(Listed)) -> Result<(), LedgerError> {
        self.reader.list(each)
    }

    fn task(&mut self, task: TaskId) -> Result<Option<TaskRecord>, LedgerError> {
        self.reader.task(task)
    }

    fn end(&mut self, task: TaskId) -> Result<Option<EndRecord>, LedgerError> {
        self.reader.end(task)
    }

    fn outputs(&mut self, tasks: &[TaskId]) -> Result<Vec<(TaskId, Bytes)>, LedgerError> {
        self.reader.outputs(tasks)
    }

    fn attempts(&mut self, task: TaskId) -> Result<Vec<AttemptRecord>, LedgerError> {
        self.reader.attempts(task)
    }

    fn places(&mut self) -> Result<Vec<PlaceRecord>, LedgerError> {
        self.reader.places()
    }

    fn events(&mut self) -> Result<Events, LedgerError> {
        self.reader.events()
    }

    fn asked(&mut self) -> Result<Vec<CommandRecord>, LedgerError> {
        self.reader.asked()
    }
}

#[cfg(test)]
mod tests;
