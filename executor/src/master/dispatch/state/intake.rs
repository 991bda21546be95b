//! Tasks come in.

use podpool_core::broker::ClassId;
use podpool_core::id::{Attempt, TaskId};
use podpool_core::outcome::{Cause, Failure};
use podpool_core::size::size;

use crate::error::{AttemptReport, TaskError, TaskErrorKind};
use crate::master::mailbox::Submission;

use super::super::admission::Admission;
use super::super::table::{Entry, Phase};
use super::MasterState;

impl MasterState {
    /// A task was submitted. Where running tasks share memory, what it declares is its class.
    pub(crate) fn submit(&mut self, submission: Submission) {
        let declared = declared(&submission);
        let shared = |admission: &Admission| declared <= admission.budget();
        // One that declares too much is rejected: it makes no class.
        let class = match self.admission.as_ref().is_some_and(shared) {
            true => self.class_of(declared),
            false => ClassId::DEFAULT,
        };
        self.submit_to(class, submission);
    }

    /// The class of tasks that declare so much memory.
    fn class_of(&mut self, declared: u64) -> ClassId {
        let admission = self.admission.as_ref();
        let counts = admission.map_or(0, |admission| admission.rounded(declared));
        self.classes.of_memory(counts)
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
        if let Some(error) = self.refusal(id, &entry) {
            self.note_submitted(id, &entry);
            self.settle(id, entry, Err(error), None);
            return;
        }
        let Some(entry) = self.remember(id, entry) else {
            return;
        };
        self.note_submitted(id, &entry);
        self.enter(id, entry);
    }

    /// A task waits in the outbox from now on.
    pub(super) fn enter(&mut self, id: TaskId, entry: Entry) {
        let Some(class) = self.classes.get_mut(entry.class) else {
            return;
        };
        // Nothing may fail from here on: `end` takes each of these counts back once.
        if self.table.len() == 0 {
            // The time without progress counts from here.
            self.measures.moved();
        }
        class.unfinished += 1;
        match entry.alone {
            true => class.outbox.push_alone(id),
            false => class.outbox.push(id, entry.priority(), entry.task_type()),
        }
        if !entry.spec.options.pack {
            class.outbox.set_unpacked(entry.task_type());
        }
        self.table.insert(id, entry);
    }

    /// Why a task cannot run, if so.
    pub(super) fn refusal(&self, id: TaskId, entry: &Entry) -> Option<TaskError> {
        // The mailbox is closed by an effect of the breach, so that submissions made before that still come in.
        if let Some((kind, reason)) = self.life.error_of_tasks() {
            return Some(TaskError::new(kind, entry.subject(id), reason));
        }
        let refusal = self.too_large(id, entry);
        let refusal = refusal.or_else(|| self.too_much_memory(id, entry));
        refusal.or_else(|| match self.classes.get(entry.class) {
            Some(_) => None,
            None => Some(no_queue(id, entry)),
        })
    }

    /// A task that declares more than all running tasks share.
    fn too_much_memory(&self, id: TaskId, entry: &Entry) -> Option<TaskError> {
        let budget = self.admission.as_ref()?.budget();
        let options = entry.options.as_ref();
        let own = options.and_then(|options| options.memory);
        let memory = own.or(entry.spec.options.memory)?;
        if memory <= budget {
            return None;
        }
        let (mut declares, mut share) = (size(memory), size(budget));
        if declares == share {
            (declares, share) = (format!("{memory} bytes"), format!("{budget} bytes"));
        }
        let reason = format!(
            "it declares {declares} of memory, and the tasks of this machine share {share} (LocalOptions::memory); let it declare less, or give the tasks more"
        );
        let kind = TaskErrorKind::Rejected;
        Some(TaskError::new(kind, entry.subject(id), reason))
    }
}

/// Bytes that a task declares; 0 where it declares none.
fn declared(submission: &Submission) -> u64 {
    let options = submission.options.as_ref();
    let own = options.and_then(|options| options.memory);
    own.or(submission.spec.options.memory).unwrap_or_default()
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
