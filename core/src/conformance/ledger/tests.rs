//! The suite on ledgers that are broken on purpose: it must refuse each of them, at the check of the broken promise.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::SystemTime;

use bytes::Bytes;

use super::*;
use crate::id::{RunId, TaskId};
use crate::ledger::memory::MemoryLedger;
use crate::ledger::{
    AttemptRecord, Command, CommandId, CommandRecord, EndRecord, Events, Fold, Folded, LedgerError,
    Listed, Master, Opened, Opening, PlaceRecord, ReadRun, Record, RunLedger, RunRecord,
    TaskRecord, TypeRecord, Unfinished, UnfinishedRun,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    IgnoresTheHolder,
    StoresInPart,
    WritesAlthoughSuperseded,
    LosesKeys,
    LosesWorkers,
    LosesTimes,
    LosesPlaces,
    LosesAttempts,
    LosesPublishes,
    AddsWhatIsAmended,
    LosesEvents,
    LosesAnswers,
    LosesReservations,
    TakesCommandsForNobody,
    ListsTasksBackwards,
    ListsRunsBackwards,
    ListsHeldRuns,
    MakesARunAnew,
    DeletesNothing,
}

#[derive(Clone, Debug)]
struct Broken(MemoryLedger, Fault);

#[derive(Debug)]
struct BrokenRun<R: ?Sized>(Fault, Box<R>);

impl Ledger for Broken {
    fn place(&self) -> String {
        "a test".to_owned()
    }

    fn open(&self, opening: &Opening) -> Result<Opened, LedgerError> {
        let mut opening = opening.clone();
        opening.take_over |= self.1 == Fault::IgnoresTheHolder;
        if let (Fault::MakesARunAnew, crate::ledger::Which::Named { name, fresh, .. }) =
            (self.1, &mut opening.which)
        {
            *name = crate::id::RunName::new(fresh.as_str()).unwrap();
        }
        let opened = self.0.open(&opening)?;
        Ok(Opened {
            ledger: Box::new(BrokenRun(self.1, opened.ledger)),
            ..opened
        })
    }

    fn runs(&self) -> Result<Vec<Result<RunRecord, LedgerError>>, LedgerError> {
        let mut runs = self.0.runs()?;
        if self.1 == Fault::ListsRunsBackwards {
            runs.reverse();
        }
        Ok(runs)
    }

    fn unfinished(&self, most: usize) -> Result<Unfinished, LedgerError> {
        let mut found = self.0.unfinished(most)?;
        for run in self.0.runs()?.into_iter().flatten() {
            if self.1 == Fault::ListsHeldRuns && run.held {
                found.runs.push(UnfinishedRun {
                    stopped: run.created,
                    unended: 1,
                    run,
                });
            }
        }
        Ok(found)
    }

    fn read(&self, run: &RunId) -> Result<Box<dyn ReadRun>, LedgerError> {
        Ok(Box::new(BrokenRun(self.1, self.0.read(run)?)))
    }

    fn command(
        &self,
        run: &RunId,
        command: &Command,
        by: &Master,
        now: SystemTime,
    ) -> Result<CommandId, LedgerError> {
        match self.0.command(run, command, by, now) {
            Err(LedgerError::NotHeld(_)) if self.1 == Fault::TakesCommandsForNobody => {
                Ok(CommandId(1))
            }
            other => other,
        }
    }

    fn delete(&self, run: &RunId) -> Result<(), LedgerError> {
        match self.1 {
            Fault::DeletesNothing => Ok(()),
            _ => self.0.delete(run),
        }
    }
}

impl<R: ReadRun + ?Sized> ReadRun for BrokenRun<R> {
    fn run(&mut self) -> Result<RunRecord, LedgerError> {
        self.1.run()
    }

    fn types(&mut self) -> Result<Vec<TypeRecord>, LedgerError> {
        self.1.types()
    }

    fn tasks(&mut self, each: &mut dyn FnMut(Folded)) -> Result<(), LedgerError> {
        let mut tasks = Vec::new();
        self.1.tasks(&mut |task| tasks.push(task))?;
        if self.0 == Fault::ListsTasksBackwards {
            tasks.reverse();
        }
        tasks.into_iter().for_each(each);
        Ok(())
    }

    fn list(&mut self, each: &mut dyn FnMut(Listed)) -> Result<(), LedgerError> {
        self.1.list(each)
    }

    fn task(&mut self, task: TaskId) -> Result<Option<TaskRecord>, LedgerError> {
        self.1.task(task)
    }

    fn end(&mut self, task: TaskId) -> Result<Option<EndRecord>, LedgerError> {
        self.1.end(task)
    }

    fn outputs(&mut self, tasks: &[TaskId]) -> Result<Vec<(TaskId, Bytes)>, LedgerError> {
        self.1.outputs(tasks)
    }

    fn attempts(&mut self, task: TaskId) -> Result<Vec<AttemptRecord>, LedgerError> {
        self.1.attempts(task)
    }

    fn places(&mut self) -> Result<Vec<PlaceRecord>, LedgerError> {
        self.1.places()
    }

    fn events(&mut self) -> Result<Events, LedgerError> {
        self.1.events()
    }

    fn asked(&mut self) -> Result<Vec<CommandRecord>, LedgerError> {
        self.1.asked()
    }
}

impl RunLedger for BrokenRun<dyn RunLedger> {
    fn append(&mut self, records: &[Record], now: SystemTime) -> Result<(), LedgerError> {
        match self.0 {
            Fault::StoresInPart => records
                .iter()
                .try_for_each(|record| self.1.append(std::slice::from_ref(record), now)),
            Fault::WritesAlthoughSuperseded => match self.1.append(records, now) {
                Err(LedgerError::Superseded { .. }) => Ok(()),
                other => other,
            },
            fault => {
                let mut records = records.to_vec();
                for record in &mut records {
                    match (fault, record) {
                        (Fault::LosesKeys, Record::Task(it)) => it.options = None,
                        (Fault::LosesWorkers, Record::End(it)) => it.worker = None,
                        (Fault::LosesTimes, Record::End(it)) => it.queued = None,
                        (Fault::AddsWhatIsAmended, it @ Record::Amended(_)) => added(it),
                        _ => {}
                    }
                }
                let lost = |it: &Record| match it {
                    Record::Attempt(_) => fault == Fault::LosesAttempts,
                    Record::Published(_) => fault == Fault::LosesPublishes,
                    Record::Event(_) => fault == Fault::LosesEvents,
                    Record::Place(_) => fault == Fault::LosesPlaces,
                    Record::Reserved(_) => fault == Fault::LosesReservations,
                    _ => false,
                };
                records.retain(|record| !lost(record));
                self.1.append(&records, now)
            }
        }
    }

    fn commands(&mut self) -> Result<Vec<(CommandId, Command)>, LedgerError> {
        self.1.commands()
    }

    fn answer(&mut self, command: CommandId, answer: &str) -> Result<(), LedgerError> {
        match self.0 {
            Fault::LosesAnswers => Ok(()),
            _ => self.1.answer(command, answer),
        }
    }

    fn release(&mut self) -> Result<(), LedgerError> {
        self.1.release()
    }
}

/// The attempt as one of its own.
fn added(amended: &mut Record) {
    if let Record::Amended(it) = amended.clone() {
        *amended = Record::Attempt(it);
    }
}

fn place(fault: Fault) -> Place {
    let ledger = Broken(MemoryLedger::new(), fault);
    Place::new(Arc::new(ledger.clone()), Arc::new(ledger))
}

#[test]
fn the_wrapper_without_a_fault_keeps_every_promise() {
    all(&|| place(Fault::None));
}

#[test]
fn broken_ledgers_are_refused() {
    let broken: [(Fault, Check); 19] = [
        (Fault::IgnoresTheHolder, a_living_master_holds_its_run),
        (Fault::StoresInPart, a_failed_transaction_leaves_nothing),
        (
            Fault::WritesAlthoughSuperseded,
            a_run_that_is_taken_over_is_fenced,
        ),
        (Fault::LosesKeys, every_field_of_a_task_is_kept),
        (Fault::LosesWorkers, every_field_of_an_end_is_kept),
        (Fault::LosesTimes, every_field_of_an_end_is_kept),
        (Fault::LosesPlaces, a_place_is_that_of_all_its_workers_tasks),
        (Fault::LosesAttempts, every_field_of_an_attempt_is_kept),
        (Fault::LosesReservations, no_number_is_given_twice),
        (
            Fault::LosesAnswers,
            a_command_reaches_the_master_and_its_answer_comes_back,
        ),
        (
            Fault::TakesCommandsForNobody,
            a_run_without_a_master_takes_no_command,
        ),
        (Fault::LosesEvents, the_newest_events_are_kept),
        (Fault::AddsWhatIsAmended, an_amended_attempt_is_one),
        (Fault::LosesPublishes, the_highest_published_attempt_is_kept),
        (
            Fault::ListsTasksBackwards,
            tasks_come_in_the_order_of_their_numbers,
        ),
        (Fault::ListsRunsBackwards, runs_are_listed_youngest_first),
        (Fault::ListsHeldRuns, unfinished_runs_are_found),
        (Fault::MakesARunAnew, of_many_openers_one_wins),
        (Fault::DeletesNothing, a_deleted_run_is_gone),
    ];
    for (fault, check) in broken {
        let place = place(fault);
        let passed = catch_unwind(AssertUnwindSafe(|| check(&place)));
        assert!(passed.is_err(), "a ledger that {fault:?} passed");
    }
}

#[test]
fn the_random_records_are_valid_and_have_all_kinds() {
    for seed in 0..50 {
        let records = valid_records(seed, 400);
        assert_eq!(records, valid_records(seed, 400), "one seed, one sequence");
        let mut fold = Fold::default();
        let mut kinds = [0; 9];
        for record in &records {
            assert_eq!(fold.apply(record), Ok(()), "seed {seed}");
            let kind = match record {
                Record::Type(_) => 0,
                Record::Task(_) => 1,
                Record::Attempt(_) => 2,
                Record::End(_) => 3,
                Record::Published(_) => 4,
                Record::Amended(_) => 5,
                Record::Event(_) => 6,
                Record::Reserved(_) => 7,
                Record::Place(_) => 8,
            };
            kinds[kind] += 1;
        }
        assert!(
            kinds.iter().all(|count| *count > 5),
            "seed {seed}: {kinds:?}"
        );
    }
}
