//! What can be read of a run in memory.

use bytes::Bytes;

use crate::id::{RunId, TaskId};

use super::super::{
    AttemptRecord, CommandRecord, End, EndRecord, Events, Folded, LedgerError, Listed, PlaceRecord,
    ReadRun, Record, RunRecord, TaskRecord, TypeRecord,
};
use super::{MemoryLedger, Run};

#[derive(Debug)]
pub(super) struct Reader {
    pub(super) ledger: MemoryLedger,
    pub(super) run: RunId,
}

impl Reader {
    pub(super) fn with<T>(&self, read: impl FnOnce(&Run) -> T) -> Result<T, LedgerError> {
        self.ledger.with(&self.run, |run| Ok(read(run)))
    }
}

impl ReadRun for Reader {
    fn run(&mut self) -> Result<RunRecord, LedgerError> {
        self.with(|run| run.record.clone())
    }

    fn types(&mut self) -> Result<Vec<TypeRecord>, LedgerError> {
        self.with(|run| {
            let types = run.records.iter().filter_map(|record| match record {
                Record::Type(it) => Some(it.clone()),
                _ => None,
            });
            types.collect()
        })
    }

    fn tasks(&mut self, each: &mut dyn FnMut(Folded)) -> Result<(), LedgerError> {
        // `each` may call the ledger, so the lock is not held meanwhile.
        let tasks: Vec<_> = self.with(|run| run.fold.tasks().collect())?;
        tasks.into_iter().for_each(each);
        Ok(())
    }

    fn list(&mut self, each: &mut dyn FnMut(Listed)) -> Result<(), LedgerError> {
        let listed = |run: &Run| {
            let tasks = run.fold.tasks();
            tasks
                .filter_map(|task| run.listed(task))
                .collect::<Vec<_>>()
        };
        self.with(listed)?.into_iter().for_each(each);
        Ok(())
    }

    fn task(&mut self, task: TaskId) -> Result<Option<TaskRecord>, LedgerError> {
        self.with(|run| {
            run.of(task).find_map(|record| match record {
                Record::Task(it) => Some(it.clone()),
                _ => None,
            })
        })
    }

    fn end(&mut self, task: TaskId) -> Result<Option<EndRecord>, LedgerError> {
        self.with(|run| {
            run.of(task).find_map(|record| match record {
                Record::End(it) => Some(it.clone()),
                _ => None,
            })
        })
    }

    fn outputs(&mut self, tasks: &[TaskId]) -> Result<Vec<(TaskId, Bytes)>, LedgerError> {
        self.with(|run| {
            let output = |task: &TaskId| {
                run.of(*task).find_map(|record| match record {
                    Record::End(it) => match &it.end {
                        End::Done(output) => Some((*task, output.clone())),
                        _ => None,
                    },
                    _ => None,
                })
            };
            tasks.iter().filter_map(output).collect()
        })
    }

    fn attempts(&mut self, task: TaskId) -> Result<Vec<AttemptRecord>, LedgerError> {
        self.with(|run| {
            let attempts = run.of(task).filter_map(|record| match record {
                Record::Attempt(it) => {
                    let mut it = it.clone();
                    it.report.place = run.place_of(it.report.worker.as_ref());
                    Some(it)
                }
                _ => None,
            });
            attempts.collect()
        })
    }

    fn places(&mut self) -> Result<Vec<PlaceRecord>, LedgerError> {
        self.with(|run| {
            let places = run.places.iter().map(|(worker, place)| PlaceRecord {
                worker: worker.clone(),
                place: place.clone(),
            });
            places.collect()
        })
    }

    fn events(&mut self) -> Result<Events, LedgerError> {
        self.with(|run| Events {
            dropped: run.dropped,
            newest: run.events.iter().cloned().collect(),
        })
    }

    fn asked(&mut self) -> Result<Vec<CommandRecord>, LedgerError> {
        self.with(|run| run.commands.clone())
    }
}
