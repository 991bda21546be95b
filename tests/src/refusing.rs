//! A ledger that refuses while a test wants it to, is slow, or has a clock that was set back.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use podpool_core::id::{RunId, TaskId};
use podpool_core::ledger::memory::MemoryLedger;
use podpool_core::ledger::{
    AttemptRecord, Command, CommandId, CommandRecord, EndRecord, Events, Folded, Ledger,
    LedgerError, Listed, Master, Opened, Opening, PlaceRecord, ReadRun, Record, RunLedger,
    RunRecord, TaskRecord, TypeRecord,
};

/// How a ledger answers.
const SERVES: u8 = 0;
const REFUSES: u8 = 1;
const FAILS: u8 = 2;

/// A ledger in memory, in front of which a test decides. Clones share everything.
#[derive(Clone, Debug, Default)]
pub struct Refusing {
    ledger: MemoryLedger,
    orders: Arc<Orders>,
}

/// What a test wants.
#[derive(Debug, Default)]
struct Orders {
    answer: AtomicU8,
    /// Milliseconds that each transaction takes longer.
    delay: AtomicU64,
    /// Seconds by which the clock was set back.
    back: AtomicU64,
    /// Transactions so far.
    appends: AtomicU64,
}

impl Orders {
    fn clock(&self, now: SystemTime) -> SystemTime {
        let back = Duration::from_secs(self.back.load(Ordering::SeqCst));
        now.checked_sub(back).unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

impl Refusing {
    /// From now on nothing is stored, as on a full disk.
    pub fn refuse(&self) {
        self.orders.answer.store(REFUSES, Ordering::SeqCst);
    }

    /// From now on nothing is stored, and nothing ever will be.
    pub fn fail(&self) {
        self.orders.answer.store(FAILS, Ordering::SeqCst);
    }

    /// From now on everything is stored.
    pub fn serve(&self) {
        self.orders.answer.store(SERVES, Ordering::SeqCst);
    }

    /// From now on each transaction takes so much longer, as on a slow disk.
    ///
    /// # Panics
    /// When that is more milliseconds than a number holds.
    pub fn delay(&self, delay: Duration) {
        let delay = u64::try_from(delay.as_millis()).unwrap();
        self.orders.delay.store(delay, Ordering::SeqCst);
    }

    /// From now on its clock is behind by so much.
    pub fn set_back(&self, back: Duration) {
        self.orders.back.store(back.as_secs(), Ordering::SeqCst);
    }

    /// How many transactions there were.
    #[must_use]
    pub fn appends(&self) -> u64 {
        self.orders.appends.load(Ordering::SeqCst)
    }
}

/// A run of it.
#[derive(Debug)]
struct Run {
    run: Box<dyn RunLedger>,
    orders: Arc<Orders>,
}

impl Ledger for Refusing {
    fn place(&self) -> String {
        self.ledger.place()
    }

    fn open(&self, opening: &Opening) -> Result<Opened, LedgerError> {
        let opening = Opening {
            now: self.orders.clock(opening.now),
            ..opening.clone()
        };
        let opened = self.ledger.open(&opening)?;
        let run = Run {
            run: opened.ledger,
            orders: Arc::clone(&self.orders),
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
    #[expect(
        clippy::disallowed_methods,
        reason = "the sleep is the disk's: it blocks the thread of the ledger, as a disk does"
    )]
    fn append(&mut self, records: &[Record], now: SystemTime) -> Result<(), LedgerError> {
        self.orders.appends.fetch_add(1, Ordering::SeqCst);
        let delay = self.orders.delay.load(Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(delay));
        let answer = self.orders.answer.load(Ordering::SeqCst);
        if answer == SERVES {
            return self.run.append(records, self.orders.clock(now));
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

    fn places(&mut self) -> Result<Vec<PlaceRecord>, LedgerError> {
        self.run.places()
    }

    fn events(&mut self) -> Result<Events, LedgerError> {
        self.run.events()
    }

    fn asked(&mut self) -> Result<Vec<CommandRecord>, LedgerError> {
        self.run.asked()
    }
}
