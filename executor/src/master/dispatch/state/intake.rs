//! Tasks come in.

use podpool_core::id::Attempt;

use crate::error::{TaskError, TaskErrorKind};
use crate::master::mailbox::Submission;

use super::super::table::{Entry, Phase};
use super::MasterState;

impl MasterState {
    /// A task was submitted.
    pub(crate) fn submit(&mut self, submission: Submission) {
        let id = submission.cell.id();
        let entry = Entry {
            owners: submission.cell.into(),
            spec: submission.spec,
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
        self.outbox.push(id, entry.priority(), entry.task_type());
        if !entry.spec.options.pack {
            self.outbox.set_unpacked(entry.task_type());
        }
        self.table.insert(id, entry);
    }
}
