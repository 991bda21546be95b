//! The ledger: what is remembered of a run, so that another master can pick it up.
//!
//! A [`Ledger`] is a place that holds runs. [`Ledger::open`] makes a process the master of one: its next epoch. The
//! master then appends [`Record`]s by [`RunLedger`], in transactions that fail once a later master has opened the run.
//! What records mean is in one place, the [`Fold`]. Reading needs no master: [`Ledger::read`].
//!
//! Calls block: a master makes them on a thread of its own. An implementation passes `conformance::ledger`; the
//! [reference](memory) keeps runs in memory.

mod command;
mod durability;
mod error;
mod events;
mod fold;
mod identity;
mod listed;
pub mod memory;
mod opening;
mod record;
mod unfinished;
mod word;

use std::fmt;
use std::time::SystemTime;

use bytes::Bytes;

use crate::id::{RunId, TaskId};

pub use self::command::{Command, CommandId, CommandRecord};
pub use self::durability::{Durability, UnknownDurability};
pub use self::error::LedgerError;
pub use self::events::{EventRecord, Events, MOST_EVENTS};
pub use self::fold::{Fold, FoldError, Folded};
pub use self::identity::{Content, Identity};
pub use self::listed::{Listed, ListedEnd};
pub use self::opening::{Holder, Master, NUMBERS, Opened, Opening, RunRecord, Which};
pub use self::record::{
    AttemptRecord, End, EndRecord, PlaceRecord, PublishedRecord, Record, Status, TaskRecord,
    TypeId, TypeRecord, Why,
};
pub use self::unfinished::{ENDS_AFTER, Unfinished, UnfinishedRun, stopped};
pub use self::word::Word;

/// A place that holds runs.
pub trait Ledger: fmt::Debug + Send + Sync + 'static {
    /// Where it is, for messages: a directory's path, for example.
    fn place(&self) -> String;

    /// Makes the caller the next master of a run, and makes the run where there is none.
    ///
    /// # Errors
    /// [`LedgerError::Held`] while another master lives, unless [`Opening::take_over`] is set; else why the run cannot
    /// be read or written.
    fn open(&self, opening: &Opening) -> Result<Opened, LedgerError>;

    /// The runs, the youngest first. One that cannot be read is an error in its place.
    ///
    /// # Errors
    /// [`LedgerError`] where the place itself cannot be read.
    fn runs(&self) -> Result<Vec<Result<RunRecord, LedgerError>>, LedgerError>;

    /// The runs whose newest master is gone and that have tasks which have not ended. Of those that may be among them,
    /// so many are looked at, the newest first.
    ///
    /// # Errors
    /// [`LedgerError`] where the place cannot be read. A run that cannot be read is left out.
    fn unfinished(&self, most: usize) -> Result<Unfinished, LedgerError> {
        let _ = most;
        unfinished::look_at_all(self)
    }

    /// Opens a run to read it, beside a living master or without one.
    ///
    /// # Errors
    /// [`LedgerError::Unknown`] where there is no such run; else why it cannot be read.
    fn read(&self, run: &RunId) -> Result<Box<dyn ReadRun>, LedgerError>;

    /// Asks something of the master of a run, beside it. The master reads it soon, carries it out if it can, and answers in
    /// words, by [`ReadRun::asked`]. `by` is the process that asks.
    ///
    /// # Errors
    /// [`LedgerError::Unknown`] where there is no such run, [`LedgerError::NotHeld`] where no master lives that would read
    /// it; else why it cannot be written.
    fn command(
        &self,
        run: &RunId,
        command: &Command,
        by: &Master,
        now: SystemTime,
    ) -> Result<CommandId, LedgerError>;

    /// A run that was opened turned out to be damaged, and is held no longer: it is set aside where that is possible, so
    /// that the next start of its name makes a fresh one. The error, with what became of the run.
    fn set_aside(&self, run: &RunId, error: LedgerError) -> LedgerError {
        let _ = run;
        error
    }

    /// Deletes a run and all that is remembered of it.
    ///
    /// # Errors
    /// [`LedgerError::Held`] while a master lives; a run that does not exist any more counts as deleted.
    fn delete(&self, run: &RunId) -> Result<(), LedgerError>;
}

/// A run, as its master has it.
pub trait RunLedger: ReadRun {
    /// Stores these records in one transaction, at this time of the wall clock. When it returns they are as durable as
    /// the ledger promises.
    ///
    /// # Errors
    /// [`LedgerError::Superseded`] where a later master has opened the run: nothing is stored then, nor ever again by
    /// this one. Else nothing was stored, and [`LedgerError::is_transient`] tells whether another try can succeed. A
    /// record that the [`Fold`] refuses is refused, and that is not transient; but a ledger need not notice that a task
    /// is the same as one that has not ended.
    fn append(&mut self, records: &[Record], now: SystemTime) -> Result<(), LedgerError>;

    /// The commands for this master that it has not answered, in the order of their numbers.
    ///
    /// # Errors
    /// Why they cannot be read.
    fn commands(&mut self) -> Result<Vec<(CommandId, Command)>, LedgerError>;

    /// Answers a command, once it is carried out or refused. A command for another master, or one that is answered, stays
    /// as it is.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    fn answer(&mut self, command: CommandId, answer: &str) -> Result<(), LedgerError>;

    /// The master leaves: the next one need not ask whether this one lives. Records stay.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    fn release(&mut self) -> Result<(), LedgerError>;
}

/// What can be read of a run.
pub trait ReadRun: fmt::Debug + Send {
    /// The run itself.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn run(&mut self) -> Result<RunRecord, LedgerError>;

    /// The task types of which the run has tasks, by their number.
    ///
    /// # Errors
    /// Why they cannot be read.
    fn types(&mut self) -> Result<Vec<TypeRecord>, LedgerError>;

    /// Calls `each` for every task, in the order of their numbers, without arguments and results.
    ///
    /// # Errors
    /// Why they cannot be read.
    fn tasks(&mut self, each: &mut dyn FnMut(Folded)) -> Result<(), LedgerError>;

    /// Calls `each` for every task, in the order of their numbers, with keys and times.
    ///
    /// # Errors
    /// Why they cannot be read.
    fn list(&mut self, each: &mut dyn FnMut(Listed)) -> Result<(), LedgerError>;

    /// The record of a task, with its arguments; none where the run has no such task.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn task(&mut self, task: TaskId) -> Result<Option<TaskRecord>, LedgerError>;

    /// How a task ended; none while it has not.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn end(&mut self, task: TaskId) -> Result<Option<EndRecord>, LedgerError>;

    /// The stored results of tasks, each with its task; what has none is left out.
    ///
    /// # Errors
    /// Why they cannot be read.
    fn outputs(&mut self, tasks: &[TaskId]) -> Result<Vec<(TaskId, Bytes)>, LedgerError>;

    /// The attempts of a task that gave no result, oldest first. The place of each is that of its worker, as it is
    /// known now.
    ///
    /// # Errors
    /// Why they cannot be read.
    fn attempts(&mut self, task: TaskId) -> Result<Vec<AttemptRecord>, LedgerError>;

    /// The places of its workers, in the order of their names: the newest of each name.
    ///
    /// # Errors
    /// Why they cannot be read.
    fn places(&mut self) -> Result<Vec<PlaceRecord>, LedgerError>;

    /// What happened to the run as a whole.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn events(&mut self) -> Result<Events, LedgerError>;

    /// What was asked of the run's masters, in the order of the commands' numbers.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn asked(&mut self) -> Result<Vec<CommandRecord>, LedgerError>;
}
