//! What records mean: the state of a run's tasks, folded from what was appended. Pure.

use std::collections::{BTreeMap, HashMap};

use crate::id::{Attempt, TaskId};

use super::{Content, Identity, Record, Status, TypeId, Why};

/// A task, without its arguments and result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "stores make it, column by column"
)]
pub struct Folded {
    /// Its number.
    pub task: TaskId,
    /// Its type.
    pub task_type: TypeId,
    /// What makes another call the same task.
    pub identity: Identity,
    /// The hash of what it was called with.
    pub content: Content,
    /// What it is.
    pub status: Status,
    /// The highest attempt that is known to be stored in the queue of tasks; none where none is.
    pub published: Option<Attempt>,
    /// The highest attempt that gave no result; 0 where all did, or none ended.
    pub attempts: u32,
    /// Why it runs.
    pub why: Why,
}

/// The state of a run's tasks.
#[derive(Clone, Debug, Default)]
pub struct Fold {
    types: u32,
    tasks: BTreeMap<TaskId, Folded>,
    /// The newest task of each identity. Older ones are its history.
    newest: HashMap<Identity, TaskId>,
}

/// A record that no master appends in this state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FoldError {
    /// A type's number is not the next one.
    #[error("the number of task type {} is not the next one", .0.0)]
    TypeNumber(TypeId),
    /// A task has a type that the run does not have.
    #[error("task {0} has a type that the run does not have")]
    UnknownType(TaskId),
    /// A task has a number that is taken.
    #[error("there are two tasks {0}")]
    Twice(TaskId),
    /// A task's identity belongs to a task that may still run, or has a result.
    #[error("task {0} is the same as one that has not ended")]
    Same(TaskId),
    /// There is no such task.
    #[error("there is no task {0}")]
    UnknownTask(TaskId),
    /// The task had ended.
    #[error("task {0} had ended")]
    Ended(TaskId),
}

impl Fold {
    /// Takes one record in.
    ///
    /// # Errors
    /// [`FoldError`]; the state is as before then.
    pub fn apply(&mut self, record: &Record) -> Result<(), FoldError> {
        match record {
            Record::Type(it) if it.number.0 != self.types => Err(FoldError::TypeNumber(it.number)),
            Record::Type(_) => {
                self.types += 1;
                Ok(())
            }
            Record::Task(it) => self.add(Folded {
                task: it.task,
                task_type: it.task_type,
                identity: it.identity,
                content: it.content,
                status: Status::Unended,
                published: None,
                attempts: 0,
                why: it.why,
            }),
            Record::Published(it) => match self.unended(it.task) {
                Ok(task) => {
                    task.published = task.published.max(Some(it.attempt));
                    Ok(())
                }
                // The end of a task may be decided before the queue confirms its publish.
                Err(FoldError::Ended(_)) => Ok(()),
                Err(error) => Err(error),
            },
            Record::Attempt(it) | Record::Amended(it) => {
                let task = self.unended(it.task)?;
                task.attempts = task.attempts.max(it.report.attempt.0);
                Ok(())
            }
            Record::Reserved(_) | Record::Event(_) | Record::Place(_) => Ok(()),
            Record::End(it) => {
                self.unended(it.task)?.status = it.end.status();
                Ok(())
            }
        }
    }

    fn add(&mut self, task: Folded) -> Result<(), FoldError> {
        if task.task_type.0 >= self.types {
            return Err(FoldError::UnknownType(task.task));
        }
        if self.tasks.contains_key(&task.task) {
            return Err(FoldError::Twice(task.task));
        }
        let before = self.newest.get(&task.identity);
        if before.is_some_and(|before| self.tasks[before].status == Status::Unended) {
            return Err(FoldError::Same(task.task));
        }
        self.newest.insert(task.identity, task.task);
        self.tasks.insert(task.task, task);
        Ok(())
    }

    fn unended(&mut self, task: TaskId) -> Result<&mut Folded, FoldError> {
        let known = self.tasks.get_mut(&task);
        let known = known.ok_or(FoldError::UnknownTask(task))?;
        match known.status {
            Status::Unended => Ok(known),
            _ => Err(FoldError::Ended(task)),
        }
    }

    /// One more than the highest number of a task.
    pub(crate) fn next(&self) -> u64 {
        let last = self.tasks.last_key_value();
        last.map_or(0, |(last, _)| last.0.saturating_add(1))
    }

    /// The tasks, in the order of their numbers.
    pub fn tasks(&self) -> impl Iterator<Item = Folded> + '_ {
        self.tasks.values().copied()
    }

    /// The newest task of an identity.
    #[must_use]
    pub fn newest(&self, identity: Identity) -> Option<Folded> {
        let task = self.newest.get(&identity)?;
        self.tasks.get(task).copied()
    }
}

#[cfg(test)]
mod tests;
