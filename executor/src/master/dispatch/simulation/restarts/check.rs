//! What must hold at each step, judged by the ledger and by what ran in slots, and not by what a master says of itself.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use podpool_core::envelope::entry::{next_result, next_task};
use podpool_core::envelope::{MacKey, Message};
use podpool_core::fleet::End as WorkerEnd;
use podpool_core::id::{Attempt, TaskId};
use podpool_core::ledger::{End, ReadRun};
use podpool_core::outcome::Cause;
use tokio::time::Instant;

use crate::error::TaskErrorKind;
use crate::master::command::CancelOutcome;
use crate::master::owners::Ended;

use super::super::super::effect::Effect;
use super::super::super::state::Overflow;
use super::super::slots::Ran;
use super::master::{Master, Pulled};
use super::world::Restarts;

/// What has happened in slots and to workers.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Which task returned this. No other execution did.
    pub(super) returned: BTreeMap<Vec<u8>, TaskId>,
    /// Attempts that failed, and those that ended their slot, by their own doing.
    pub(super) failed: BTreeMap<TaskId, BTreeSet<Attempt>>,
    pub(super) crashed: BTreeMap<TaskId, BTreeSet<Attempt>>,
    /// How often a worker died by what its only task did.
    pub(super) blamed: BTreeMap<TaskId, usize>,
    /// Tasks of which a fleet reported that they had run out of memory.
    pub(super) framed: BTreeSet<TaskId>,
    /// Tasks that had ended when the newest master began.
    pub(super) ended: BTreeSet<TaskId>,
    /// Until then at least that master names them as revoked.
    pub(super) named_until: Option<Instant>,
    /// Revoked tasks that masters that are gone named no more because their list was full. The highest number is kept: their
    /// workers go on.
    pub(super) overflow: Overflow,
    /// Executions of such tasks after that, or after an overflow.
    pub(super) late: u64,
    /// Tasks whose cancel was confirmed.
    pub(super) cancelled: BTreeSet<TaskId>,
}

impl Facts {
    /// A master is gone.
    pub(super) fn gone(&mut self, overflow: Overflow) {
        self.overflow.tasks += overflow.tasks;
        self.overflow.below = self.overflow.below.max(overflow.below);
    }

    /// A worker is gone, and its fleet reports which task alone was there.
    pub(super) fn died(&mut self, charged: Option<(WorkerEnd, TaskId)>) {
        match charged {
            Some((WorkerEnd::Died(_), task)) => *self.blamed.entry(task).or_default() += 1,
            Some((WorkerEnd::OutOfMemory(_), task)) => _ = self.framed.insert(task),
            _ => {}
        }
    }
}

impl Restarts {
    /// What is stored.
    pub(super) fn stored(&mut self) -> &mut dyn ReadRun {
        &mut **self.reader.as_mut().expect("a master has opened the run")
    }

    fn end_of(&mut self, task: TaskId) -> Option<End> {
        self.stored().end(task).unwrap().map(|record| record.end)
    }

    /// The newest attempt of a task of which it is stored that it gave no result.
    fn attempted(&mut self, task: TaskId) -> Option<Attempt> {
        let attempts = self.stored().attempts(task).unwrap();
        attempts.iter().map(|it| it.report.attempt).max()
    }

    /// Whether a master names the task no more because its list was full.
    fn has_overflowed(&self, task: TaskId) -> bool {
        let here = self.masters.values().map(|it| it.state.revoked_overflow());
        let gone = self.facts.overflow;
        here.chain([gone]).any(|overflow| task < overflow.below)
    }

    /// Something happened in a slot: nothing runs that a later master would not know.
    /// `told` is the newest master that its worker had heard of.
    pub(super) fn check_ran(&mut self, told: u64, ran: Ran) {
        match ran {
            Ran::Begun(task, attempt) => {
                self.note(format_args!("task {task} begins, attempt {attempt}"));
                let known = self.stored().task(task).unwrap();
                assert!(known.is_some(), "task {task} runs and is not stored");
                // From then on nothing is expected to be in a queue, and what ended may be named no more. An envelope that
                // is delivered later still runs where the newest control was lost.
                let named = self.facts.named_until.is_some_and(|until| self.now < until)
                    && !self.has_overflowed(task);
                let ended = told == self.epoch && self.facts.ended.contains(&task);
                assert!(!ended || !named, "task {task} had ended, and runs");
                self.facts.late += u64::from(ended);
                let before = self.attempted(task).map_or(1, |it| it.next().0);
                assert!(
                    attempt.0 <= before,
                    "attempt {attempt} of task {task} runs before its time"
                );
            }
            Ran::Ended(task, _, Ok(output)) => {
                let before = self.facts.returned.insert(output, task);
                assert!(before.is_none(), "two executions return the same");
            }
            Ran::Ended(task, attempt, Err(Cause::Crashed)) => {
                self.facts.crashed.entry(task).or_default().insert(attempt);
            }
            Ran::Ended(_, _, Err(Cause::Cancelled)) => {}
            Ran::Ended(task, attempt, Err(_)) => {
                self.facts.failed.entry(task).or_default().insert(attempt);
            }
        }
    }

    /// A master takes a message in. Returns failures of attempts that it does not know to be published: it publishes
    /// them again.
    pub(super) fn note_message(&mut self, master: &Master, body: &Bytes) -> Vec<(TaskId, Attempt)> {
        let mut again = Vec::new();
        let message = Message::read(body.clone(), &MacKey::Absent);
        let Ok(Message::Results(_, mut entries)) = message else {
            return again;
        };
        while let Some(entry) = next_result(&mut entries).unwrap() {
            let (task, attempt) = (entry.task, entry.attempt);
            if entry.outcome.is_err() && !master.published.contains(&(task, attempt)) {
                again.push((task, attempt));
            }
            let outcome = entry.outcome.map_or_else(|it| Some(it.cause), |_| None);
            let epoch = master.epoch;
            self.note(format_args!(
                "{epoch} hears: task {task}, attempt {attempt}: {outcome:?}"
            ));
        }
        again
    }

    /// A master has decided something: what it publishes has not ended.
    pub(super) fn check_decided(&mut self, master: &mut Master, effect: &Effect) {
        let Effect::Publish { message, .. } = effect else {
            return;
        };
        let Ok(Message::Batch(head, mut entries)) = Message::read(message.clone(), &MacKey::Absent)
        else {
            panic!("not a batch");
        };
        assert_eq!(head.epoch, master.epoch);
        while let Some(entry) = next_task(&mut entries).unwrap() {
            let task = entry.task;
            assert!(
                master.recorded.contains(&task),
                "task {task} is not recorded"
            );
            assert!(!master.ended.contains(&task), "task {task} has ended");
            master.published.insert((task, entry.attempt));
            // One that was superseded does not know what has ended since.
            let ended = master.epoch == self.epoch && self.end_of(task).is_some();
            assert!(!ended, "task {task} had ended");
        }
    }

    /// Futures learn of an end: a later master would find the same.
    pub(super) fn check_settled(&mut self, ended: &Ended) {
        // A task that no call of this program has joined yet has none.
        let Some(task) = ended.owners.subject().and_then(|it| it.id) else {
            return;
        };
        let outcome = ended.outcome.as_ref().map_err(|error| error.kind());
        self.note(format_args!("task {task} is settled: {outcome:?}"));
        let stored = self.end_of(task);
        match (&ended.outcome, stored) {
            // It ends with its process, and what a later master finds of it is another matter.
            (Err(error), _) if !ended.recorded && is_left(error.kind()) => {}
            (Ok(output), Some(End::Done(stored))) => {
                assert_eq!(output.to_bytes(), stored, "the result of task {task}");
            }
            (Err(error), Some(End::Cancelled)) => {
                assert_eq!(error.kind(), TaskErrorKind::Cancelled, "task {task}");
            }
            (Err(error), Some(End::Failed { kind, .. })) => {
                assert_eq!(error.kind(), kind, "task {task}");
            }
            (_, stored) => panic!("task {task} is settled, {outcome:?}, and stored as {stored:?}"),
        }
    }

    /// A message of results is acknowledged: all of it is stored, or changes nothing.
    pub(super) fn check_acknowledged(&mut self, master: &Master, pulled: Pulled) {
        let Pulled { body, again } = pulled;
        let Ok(Message::Results(_, mut entries)) = Message::read(body, &MacKey::Absent) else {
            return;
        };
        // What a run that was aborted leaves is done again.
        if master.state.life().is_given_up() {
            return;
        }
        while let Some(entry) = next_result(&mut entries).unwrap() {
            let task = entry.task;
            let failed = entry.outcome.is_err();
            let counted = failed && self.attempted(task) >= Some(entry.attempt);
            let stored = counted || self.end_of(task).is_some();
            let again = again.contains(&(task, entry.attempt));
            let left = again || self.is_unended(master, task);
            assert!(
                stored || left,
                "a result of task {task}, attempt {}, is acknowledged and not stored",
                entry.attempt
            );
        }
    }

    /// Whether a shutdown that cancels has left a task unended.
    fn is_unended(&self, master: &Master, task: TaskId) -> bool {
        master.shut_down && !master.ended.contains(&task)
    }

    /// The program learns what became of a cancel.
    pub(super) fn on_reply(&mut self, master: &Master, call: usize, outcome: CancelOutcome) {
        let task = master.cells[&call].id();
        self.note(format_args!("task {task} was cancelled: {outcome:?}"));
        if outcome == CancelOutcome::AlreadyDone || !master.recorded.contains(&task) {
            return;
        }
        assert_eq!(self.end_of(task), Some(End::Cancelled), "task {task}");
        self.facts.cancelled.insert(task);
        // The program of a later master may have made the call already.
        if master.epoch == self.epoch && self.rng.bool() {
            self.program.given_up.insert(call);
        }
    }
}

/// Whether futures end so with their process.
fn is_left(kind: TaskErrorKind) -> bool {
    matches!(
        kind,
        TaskErrorKind::ShutDown | TaskErrorKind::PoolBroken | TaskErrorKind::Cancelled
    )
}
