//! What the run remembers: which call is which task, and the records of tasks, attempts and ends.

use bytes::Bytes;
use podpool_core::id::{Attempt, TaskId};
use podpool_core::ledger::{
    AttemptRecord, Content, End, EndRecord, Record, Status, TaskRecord, TypeId, TypeRecord, Why,
};
use podpool_core::shape::Fingerprint;
use podpool_core::task::TaskSpec;
use tokio::time::Instant;

use crate::error::{AttemptReport, TaskError, TaskErrorKind};
use crate::master::cell::{Output, Settled};

use super::super::effect::Effect;
use super::super::remembered::{Called, Claim, Memory, Remembered, is_forced};
use super::super::table::{Entry, Phase};
use super::MasterState;
use super::tally::Ran;

impl MasterState {
    /// From now on the run is remembered; this is what its earlier masters left. Before the first task.
    pub(crate) fn remember_run(&mut self, now: Instant, mut memory: Memory) {
        let (left, next) = (std::mem::take(&mut memory.left), memory.next());
        let unknown = std::mem::take(&mut memory.unknown);
        self.remembered = Some(Box::new(Remembered::new(memory)));
        self.adopt(now, left, next);
        self.table.skip_to(TaskId(next));
        if !unknown.is_empty() {
            let names: Vec<_> = unknown.into_iter().collect();
            self.effects.push(Effect::Notice(format!(
                "unended tasks of the run are left as they are, because this program has another version of them or none: {}",
                names.join(", ")
            )));
        }
    }

    /// Finds which task a call is. Gives the entry back where the call is a task of its own, which is recorded.
    pub(super) fn remember(&mut self, id: TaskId, mut entry: Entry) -> Option<Entry> {
        if self.remembered.is_none() {
            return Some(entry);
        }
        let task_type = self.recorded_type(entry.spec);
        let options = entry.options.as_mut();
        let identity = options.and_then(|options| options.identity.take());
        let remembered = self.remembered.as_mut()?;
        let options = entry.options.as_deref();
        let called = Called {
            name: entry.spec.name,
            key: options.and_then(|options| options.key.as_deref()),
            // The entries of a map come in any order, so encodings of equal maps differ.
            content: match remembered.needs_key(entry.spec.name) {
                true => Content::of(&[]),
                false => Content::of(&entry.arguments),
            },
            task_type,
            forced: options.is_some_and(|options| options.force),
            identity,
        };
        if called.key.is_none() && identity.is_none() && remembered.needs_key(called.name) {
            let error = needs_key(id, &entry);
            self.refuse_call(id, entry, error);
            return None;
        }
        let content = called.content;
        match remembered.claim(&called, id) {
            Claim::New {
                identity,
                why,
                replaces,
            } => {
                self.effects.extend(replaces.map(replaced));
                if is_forced(why) {
                    entry.options.get_or_insert_default().force = true;
                }
                self.record(Record::Task(TaskRecord {
                    task: id,
                    task_type,
                    identity,
                    content,
                    class: entry.class,
                    arguments: Bytes::copy_from_slice(&entry.arguments),
                    options: entry.options.clone(),
                    why,
                }));
                self.note_why(&entry, why);
                return Some(entry);
            }
            Claim::Joined(task) => self.join(id, entry, task),
            Claim::Stored(task) => self.fetch(id, entry, task),
            Claim::Adopted(task) => {
                self.tally.called();
                self.fetch(id, entry, task);
            }
            Claim::Conflict(task) => {
                let error = conflict(id, &entry, task);
                self.refuse_call(id, entry, error);
            }
        }
        None
    }

    fn refuse_call(&mut self, id: TaskId, entry: Entry, error: TaskError) {
        self.note_submitted(id, &entry);
        self.settle(id, entry, Err(error), None);
    }

    pub(super) fn record(&mut self, record: Record) {
        self.effects.push(Effect::Record(Box::new(record)));
    }

    /// The number of a task's type. A type that the run does not have is recorded first.
    fn recorded_type(&mut self, spec: &'static TaskSpec) -> TypeId {
        // A pool is built only when every task has a fingerprint.
        let fingerprint = spec.fingerprint().unwrap_or(Fingerprint([0; 16]));
        let Some(remembered) = &mut self.remembered else {
            return TypeId(0);
        };
        let (number, new) = remembered.type_of(spec, fingerprint);
        if new {
            let parameters = spec.signature.parameters.iter();
            self.record(Record::Type(TypeRecord {
                number,
                name: spec.name.to_owned(),
                version: spec.version.map(str::to_owned),
                fingerprint,
                // The ledger's thread traces it: that takes a deep stack.
                shape: String::new(),
                parameters: parameters.map(|it| it.name.to_owned()).collect(),
            }));
        }
        number
    }

    /// Notices for people why stored results are not used, once for each task type.
    fn note_why(&mut self, entry: &Entry, why: Why) {
        let Some(remembered) = self.remembered.as_mut().filter(|_| why == Why::Changed) else {
            return;
        };
        if remembered.notes_change(entry.spec.name) {
            let line = format!(
                "stored results of {} are of another version or shape of the task: its tasks are computed anew",
                entry.spec.name
            );
            self.effects.push(Effect::Notice(line));
        }
    }

    /// The call is a task of this process that has not ended: its future receives what becomes of that.
    fn join(&mut self, id: TaskId, entry: Entry, task: TaskId) {
        match self.table.get_mut(task) {
            Some(known) => {
                if let Some(history) = &known.history {
                    let attempts = history.attempts.iter();
                    attempts.for_each(|report| entry.owners.attempted(report));
                }
                entry.owners.join(&mut known.owners, task);
                if known.running {
                    known.owners.running(known.attempt);
                }
                self.tally.joined();
            }
            // Not reached: what is remembered as unended in this process stands in the table.
            None => {
                self.note_submitted(id, &entry);
                let error = TaskError::new(
                    TaskErrorKind::Rejected,
                    entry.subject(id),
                    format!("it is task {task} of the run, which this process does not have"),
                );
                self.settle(id, entry, Err(error), None);
            }
        }
    }

    /// The call's result is stored: it is read, and the task runs nowhere.
    fn fetch(&mut self, id: TaskId, mut entry: Entry, task: TaskId) {
        self.note_submitted(id, &entry);
        entry.phase = Phase::Stored;
        self.table.insert(id, entry);
        self.effects.push(Effect::Fetch { call: id, task });
    }

    /// The stored result of a call was read, or cannot be.
    pub(crate) fn on_fetched(&mut self, call: TaskId, task: TaskId, output: Result<Bytes, String>) {
        // It may have been cancelled meanwhile.
        let Some(entry) = self.end(call) else {
            return;
        };
        let output = match output {
            Ok(output) => output,
            Err(reason) => {
                let reason = format!(
                    "its result is stored as that of task {task}, and cannot be read: {reason}; compute it anew with `.force()`"
                );
                let kind = TaskErrorKind::Rejected;
                let error = TaskError::new(kind, entry.subject(call), reason);
                self.settle(call, entry, Err(error), None);
                return;
            }
        };
        self.tally.stored();
        entry.owners.stored(task);
        self.settle(call, entry, Ok(Output::from(output)), None);
    }

    /// The result of a task that had ended could not be stored: its future gets an error.
    pub(crate) fn note_unremembered(&mut self) {
        self.tally.unremembered();
    }

    /// A task ends with this process and not by itself: it stays unended for the next master of its run.
    pub(super) fn leave_unended(&mut self, id: TaskId) {
        if let Some(remembered) = &mut self.remembered {
            remembered.end(id, Status::Interrupted);
        }
    }

    /// Records the end of a task, if it is remembered. False where there is no record.
    pub(super) fn record_end(&mut self, task: TaskId, outcome: &Settled, ran: Option<Ran>) -> bool {
        let Some(remembered) = &mut self.remembered else {
            return false;
        };
        let Some(end) = end(outcome) else {
            remembered.end(task, Status::Interrupted);
            return false;
        };
        if !remembered.end(task, end.status()) {
            return false;
        }
        let worker = ran.and_then(|ran| self.workers.get(&ran.execution.worker));
        let record = EndRecord {
            task,
            attempt: ran.map_or_else(|| last_attempt(outcome), |ran| ran.attempt),
            started: ran.and_then(|ran| ran.times.started),
            queued: ran.and_then(|ran| ran.times.queued),
            elapsed: ran.map(|ran| ran.elapsed),
            worker: worker.and_then(|worker| worker.name().cloned()),
            node: worker.and_then(|worker| worker.node().cloned()),
            execution: ran.map(|ran| ran.execution),
            skipped: ran.is_some_and(|ran| ran.skipped),
            end,
        };
        self.record(Record::End(record));
        true
    }
}

/// The record of an attempt that gave no result, if its task is remembered.
pub(super) fn attempt_record(
    remembered: Option<&Remembered>,
    task: TaskId,
    report: &AttemptReport,
) -> Option<Effect> {
    remembered?.is_unended(task).then(|| {
        let report = report.clone();
        Effect::Record(Box::new(Record::Attempt(AttemptRecord { task, report })))
    })
}

/// The record that more is known of the last such attempt, if its task is remembered.
pub(super) fn amended_record(
    remembered: Option<&Remembered>,
    task: TaskId,
    report: &AttemptReport,
) -> Option<Effect> {
    remembered?.is_unended(task).then(|| {
        let report = report.clone();
        Effect::Record(Box::new(Record::Amended(AttemptRecord { task, report })))
    })
}

/// The end of a task of an earlier master, whose messages have gone with it.
fn replaced(task: TaskId) -> Effect {
    Effect::Record(Box::new(Record::End(EndRecord {
        task,
        attempt: Attempt(0),
        started: None,
        queued: None,
        elapsed: None,
        worker: None,
        node: None,
        execution: None,
        skipped: false,
        end: End::Interrupted,
    })))
}

/// What is recorded of an end; nothing of one that the executor's own end has brought.
fn end(outcome: &Settled) -> Option<End> {
    match outcome {
        Ok(output) => Some(End::Done(output.to_bytes())),
        Err(error) => match error.kind() {
            kind if kind.is_permanent() => None,
            TaskErrorKind::Cancelled => Some(End::Cancelled),
            kind => Some(End::Failed {
                kind,
                message: error.to_string(),
            }),
        },
    }
}

fn last_attempt(outcome: &Settled) -> Attempt {
    let attempts = outcome.as_ref().err().map(TaskError::attempts);
    let last = attempts.and_then(<[AttemptReport]>::last);
    last.map_or(Attempt(0), |last| last.attempt)
}

/// A call that the run could not find again.
fn needs_key(id: TaskId, entry: &Entry) -> TaskError {
    let reason = "its arguments hold a map, whose order may differ from start to start, so that the run would not find the task again; give the call a key, or pass a sorted list";
    TaskError::new(TaskErrorKind::Rejected, entry.subject(id), reason)
}

/// A key that was called with other arguments before.
fn conflict(id: TaskId, entry: &Entry, task: TaskId) -> TaskError {
    let reason = format!(
        "its key is that of task {task} of the run, which was called with other arguments; give it another key, or let it replace that task with `.force()` when that has ended"
    );
    TaskError::new(TaskErrorKind::Rejected, entry.subject(id), reason)
}
