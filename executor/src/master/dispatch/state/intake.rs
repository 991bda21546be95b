//! Tasks come in.

use podpool_core::broker::ClassId;
use podpool_core::id::{Attempt, TaskId};
use podpool_core::outcome::{Cause, Failure};

use crate::error::{AttemptReport, TaskError, TaskErrorKind};
use crate::master::mailbox::Submission;

use super::super::table::{Entry, Phase};
use super::MasterState;

impl MasterState {
    /// A task was submitted. The needs of its type or its call will decide the class, once these can be given.
    pub(crate) fn submit(&mut self, submission: Submission) {
        self.submit_to(ClassId::DEFAULT, submission);
    }

    /// A task of a class was submitted.
    pub(super) fn submit_to(&mut self, class: ClassId, submission: Submission) {
        let id = submission.cell.id();
        let entry = Entry {
            owners: submission.cell.into(),
            spec: submission.spec,
            class,
            arguments: submission.arguments,
            options: submission.options,
            history: None,
            attempt: Attempt::FIRST,
            batch: 0,
            phase: Phase::Waiting,
            running: false,
            alone: false,
            repeated: false,
        };
        // The mailbox is closed by an effect of the breach, so that submissions made before that still come in.
        if let Some(reason) = self.life.broken() {
            let kind = TaskErrorKind::PoolBroken;
            let error = TaskError::new(kind, entry.subject(id), reason);
            self.settle(entry.owners, Err(error));
            return;
        }
        if let Some(error) = self.too_large(id, &entry) {
            self.settle(entry.owners, Err(error));
            return;
        }
        let Some(class) = self.classes.get_mut(entry.class) else {
            let error = no_queue(id, &entry);
            self.settle(entry.owners, Err(error));
            return;
        };
        // Nothing may fail from here on: `end` takes each of these counts back once.
        class.unfinished += 1;
        class.outbox.push(id, entry.priority(), entry.task_type());
        if !entry.spec.options.pack {
            class.outbox.set_unpacked(entry.task_type());
        }
        self.table.insert(id, entry);
    }
}

/// A task of a class for which the run has no queue.
fn no_queue(id: TaskId, entry: &Entry) -> TaskError {
    let reason = format!(
        "the run has no queue for tasks of class {}; name one for it, or let the task ask for less",
        entry.class
    );
    let failure = Failure::new(Cause::Rejected, reason);
    let attempts = vec![AttemptReport::new(entry.attempt, failure)];
    TaskError::of_attempts(entry.subject(id), attempts)
}
