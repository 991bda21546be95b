//! A ledger that refuses while a test wants it to.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use podpool_core::id::{RunId, TaskId};
use podpool_core::ledger::memory::MemoryLedger;
use podpool_core::ledger::{
    AttemptRecord, Command, CommandId, CommandRecord, EndRecord, Events, Folded, Ledger,
    LedgerError, Listed, Master, Opened, Opening, ReadRun, Record, RunLedger, RunRecord,
    TaskRecord, TypeRecord,
};

/// How a ledger answers.
const SERVES: u8 = 0;
const REFUSES: u8 = 1;
const FAILS: u8 = 2;

/// A ledger in memory, in front of which a test decides. Clones share everything.
#[derive(Clone, Debug, Default)]
pub struct Refusing {
    ledger: MemoryLedger,
    answer: Arc<AtomicU8>,
}

impl Refusing {
    /// From now on nothing is stored, as on a full disk.
    pub fn refuse(&self) {
        self.answer.store(REFUSES, Ordering::SeqCst);
    }

    /// From now on nothing is stored, and nothing ever will be.
    pub fn fail(&self) {
        self.answer.store(FAILS, Ordering::SeqCst);
    }

    /// From now on everything is stored.
    pub fn serve(&self) {
        self.answer.store(SERVES, Ordering::SeqCst);
    }
}

/// A run of it.
#[derive(Debug)]
struct Run {
    run: Box<dyn RunLedger>,
    answer: Arc<AtomicU8>,
}

impl Ledger for Refusing {
    fn open(&self, opening: &Opening) -> Result<Opened, LedgerError> {
        let opened = self.ledger.open(opening)?;
        let run = Run {
            run: opened.ledger,
            answer: Arc::clone(&self.answer),
        };
        Ok(Opened {
            ledger: Box::new(run),
            ..opened
        })
    }

    fn runs(&self) -> Result<Vec<Result<RunRecord, LedgerError>>, LedgerError> {
        self.ledger.runs()
    }

    fn read(&self, run: &RunId) -> Result<Box<dyn ReadRun>, LedgerError> {
        self.ledger.read(run)
    }

    fn command(
        &self,
        run: &RunId,
        command: &Command,
        by: &Master,
        now: SystemTime,
    ) -> Result<CommandId, LedgerError> {
        self.ledger.command(run, command, by, now)
    }

    fn delete(&self, run: &RunId) -> Result<(), LedgerError> {
        self.ledger.delete(run)
    }
}

impl RunLedger for Run {
    fn append(&mut self, records: &[Record], now: SystemTime) -> Result<(), LedgerError> {
        let answer = self.answer.load(Ordering::SeqCst);
        if answer == SERVES {
            return self.run.append(records, now);
        }
        Err(LedgerError::Failed {
            what: "write the run".to_owned(),
            transient: answer == REFUSES,
            source: Box::new(io::Error::from(io::ErrorKind::StorageFull)),
        })
    }

    fn commands(&mut self) -> Result<Vec<(CommandId, Command)>, LedgerError> {
        self.run.commands()
    }

    fn answer(&mut self, command: CommandId, answer: &str) -> Result<(), LedgerError> {
        self.run.answer(command, answer)
    }

    fn release(&mut self) -> Result<(), LedgerError> {
        self.run.release()
    }
}

impl ReadRun for Run {
    fn run(&mut self) -> Result<RunRecord, LedgerError> {
        self.run.run()
    }

    fn types(&mut self) -> Result<Vec<TypeRecord>, LedgerError> {
        self.run.types()
    }

    fn tasks(&mut self, each: &mut dyn FnMut(Folded)) -> Result<(), LedgerError> {
        self.run.tasks(each)
    }

    fn list(&mut self, each: &mut dyn FnMut(Listed)) -> Result<(), LedgerError> {
        self.run.list(each)
    }

    fn task(&mut self, task: TaskId) -> Result<Option<TaskRecord>, LedgerError> {
        self.run.task(task)
    }

    fn end(&mut self, task: TaskId) -> Result<Option<EndRecord>, LedgerError> {
        self.run.end(task)
    }

    fn outputs(&mut self, tasks: &[TaskId]) -> Result<Vec<(TaskId, Bytes)>, LedgerError> {
        self.run.outputs(tasks)
    }

    fn attempts(&mut self, task: TaskId) -> Result<Vec<AttemptRecord>, LedgerError> {
        self.run.attempts(task)
    }

    fn events(&mut self) -> Result<Events, LedgerError> {
        self.run.events()
    }

    fn asked(&mut self) -> Result<Vec<CommandRecord>, LedgerError> {
        self.run.asked()
    }
}
