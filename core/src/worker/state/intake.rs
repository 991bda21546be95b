//! Batches come in.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;
use tracing::debug;

use crate::envelope::entry::{self, task_head};
use crate::envelope::{Batch, Body, Started, TaskRun, TaskType, WireError};
use crate::id::{Attempt, ExecutionId, TaskId};
use crate::outcome::{Cause, Failure};
use crate::queue::LeaseId;

use super::super::effect::{Effect, Receipt, Topic};
use super::super::frame::TaskTypeInfo;
use super::super::held::Held;
use super::super::replay::BatchId;
use super::WorkerState;
use super::replay::Arrival;

/// What the worker's program has registered of a task type that a batch names; the failure holds the reason why it
/// cannot run it.
pub trait Lookup {
    /// Looks a task type up by name and fingerprint.
    ///
    /// # Errors
    /// The [`Failure`] that each task of the task type is answered with.
    fn look_up(&self, task_type: &TaskType) -> Result<TaskTypeInfo, Failure>;
}

/// What became of one entry on its way in.
enum Entry {
    Keep,
    /// Its result is stored, or its task has ended.
    Replay,
    Revoked,
    Rejected(Box<Failure>),
}

impl WorkerState {
    /// Takes in a batch of this run.
    ///
    /// # Errors
    /// [`WireError`] when its entries cannot be read with a valid MAC. Nothing of it runs then; the caller
    /// acknowledges and logs it, and the master publishes what it misses again.
    pub fn on_batch(
        &mut self,
        now: Instant,
        lease: LeaseId,
        batch: &Batch,
        entries: Bytes,
        lookup: &dyn Lookup,
    ) -> Result<(), WireError> {
        // Once for each task type and not for each task: entries name their type by index.
        let looked_up: Vec<_> = batch
            .task_types
            .iter()
            .map(|task_type| lookup.look_up(task_type))
            .collect();
        let mut runs = Vec::new();
        // Read to the end before anything of the batch is held: an entry that cannot be read must not leave half a batch
        // behind.
        let counted = count_runs(&entries, batch.task_types.len(), &mut runs)?;
        let execution = self.next_execution;
        self.next_execution += 1;
        debug!(%lease, execution, tasks = ?runs, "a batch was taken");
        self.published = self.published.max(batch.epoch);
        if let Some(failure) = self.outdated_by(batch, &looked_up) {
            // Not an answer: it would be final, and the workers of that master can run these tasks.
            self.outdated.get_or_insert(failure);
            self.effects.push(Effect::Release(lease));
            return Ok(());
        }
        self.hold(execution, lease, counted, batch, &looked_up);
        if batch.alone {
            self.release_own_suspects(execution, &runs);
        }
        // After the own suspects were released, else the other slots would stay idle beside a task that needs only a
        // fresh slot.
        self.next_quarantined();
        let arrival = Arrival {
            execution,
            entries,
            count: counted,
            runs,
            task_types: looked_up,
        };
        // Held first, and deferred then: its lease must be renewed while it waits.
        if let Some(earlier) = self.earlier_execution(&arrival) {
            debug!(
                execution,
                earlier, "an execution of this batch is still here; it is waited for"
            );
            self.deferred.push((earlier, arrival));
            return Ok(());
        }
        self.take_in(now, arrival)?;
        self.fill(now);
        Ok(())
    }

    /// Lets the tasks of a batch wait for slots; answers or settles those that must not run.
    pub(super) fn take_in(&mut self, now: Instant, arrival: Arrival) -> Result<(), WireError> {
        let Arrival {
            execution,
            entries,
            count,
            mut runs,
            task_types,
        } = arrival;
        let bytes = entries.len();
        let known = |held: &Held| self.stored.knows(held.id);
        // Nearly every batch is plain: its entries go on as they are, without a copy and without a look at each.
        let plain = !self.revoked.touches(&runs)
            && task_types.iter().all(Result::is_ok)
            && !self.batches.get(&execution).is_some_and(known);
        let kept = if plain {
            (entries, count)
        } else {
            runs.clear();
            self.sort_out(execution, &entries, &task_types, &mut runs)?
        };
        let worth = self.worth(execution, kept.1);
        if !runs.is_empty() {
            self.prefetch.note(worth, bytes);
        }
        // Where the results come so soon, the start needs no message. Before the tasks wait for slots: `Started` is
        // pushed first, so it is sent before the first result, or in the same call.
        if !runs.is_empty() && worth > SOON {
            self.send_started(execution, runs);
        }
        self.wait_for_slot(execution, kept.0, kept.1, now);
        // A batch without a task is in safety at once.
        self.settle(Receipt {
            execution,
            tasks: 0,
        });
        Ok(())
    }

    /// Why a batch is for workers of a later program: this one cannot run a task type of it, and the master that started
    /// this worker does not have that type.
    fn outdated_by(
        &self,
        batch: &Batch,
        looked_up: &[Result<TaskTypeInfo, Failure>],
    ) -> Option<Failure> {
        let expected = self.settings.types.as_ref()?;
        let mut types = batch.task_types.iter().zip(looked_up);
        types.find_map(|(it, info)| {
            info.as_ref()
                .err()
                .filter(|_| !expected.contains(it))
                .cloned()
        })
    }

    pub(super) fn hold(
        &mut self,
        execution: u64,
        lease: LeaseId,
        count: u32,
        batch: &Batch,
        looked_up: &[Result<TaskTypeInfo, Failure>],
    ) {
        // An unknown task type's index is never used: its entries are rejected on the way in.
        let known: Arc<[TaskTypeInfo]> = looked_up
            .iter()
            .map(|info| *info.as_ref().unwrap_or(&TaskTypeInfo::UNKNOWN))
            .collect();
        let indices = known.iter().map(|task_type| task_type.index).collect();
        let task_types = batch.task_types.as_slice().into();
        let alone = batch.alone;
        let held = Held {
            lease,
            task_types,
            known,
            indices,
            count,
            safe: 0,
            lost: false,
            alone,
            quarantined: alone,
            begun: false,
            id: BatchId::of(batch),
            put_back: Vec::new(),
            done: Vec::new(),
        };
        self.batches.insert(execution, held);
    }

    /// A task that this worker itself made a suspect, as a slot crashed, needs a fresh slot and no more: whatever else
    /// runs here is in other processes.
    fn release_own_suspects(&mut self, execution: u64, runs: &[TaskRun]) {
        // All of them must be this worker's own. A suspect of another worker may have ended that whole worker, so
        // nothing runs beside it.
        let own_suspects = |run: &TaskRun| {
            run.tasks()
                .all(|task| self.own_suspects.contains(&(task, run.attempt)))
        };
        // It is remembered on: the same batch may be delivered again.
        if runs.iter().all(own_suspects)
            && let Some(held) = self.batches.get_mut(&execution)
        {
            held.quarantined = false;
        }
    }

    /// Keeps the entries that may run; answers or settles the others.
    fn sort_out(
        &mut self,
        execution: u64,
        entries: &Bytes,
        task_types: &[Result<TaskTypeInfo, Failure>],
        runs: &mut Vec<TaskRun>,
    ) -> Result<(Bytes, u32), WireError> {
        let mut kept = Vec::with_capacity(entries.len());
        let mut rejected = Body::default();
        let (mut keeps, mut rejections, mut revoked, mut replays) = (0, 0, 0, 0);
        let id = self.batches.get(&execution).map(|held| held.id);
        let mut rest = &entries[..];
        while let Some(head) = task_head(rest)? {
            let task_type = task_types.get(usize::from(head.task_type));
            // The entries were read once by `count_runs`, so `?` cannot leave half of the batch answered.
            match self.judge(id, head.task, head.attempt, task_type) {
                Entry::Replay => replays += 1,
                Entry::Keep => {
                    kept.extend_from_slice(&rest[..head.length]);
                    TaskRun::push(runs, head.task, head.attempt);
                    keeps += 1;
                }
                Entry::Revoked => {
                    TaskRun::push(&mut self.revoked_since, head.task, head.attempt);
                    revoked += 1;
                }
                Entry::Rejected(failure) => {
                    let zero = std::time::Duration::ZERO;
                    let (task, attempt) = (head.task, head.attempt);
                    let rejected = rejected.entries_mut();
                    entry::put_failed(rejected, task, attempt, zero, &failure);
                    rejections += 1;
                }
            }
            rest = &rest[head.length..];
        }
        if rejections > 0 {
            self.publish_results(execution, rejected, rejections);
        }
        if replays > 0 {
            self.replays += u64::from(replays);
            debug!(
                execution,
                replays,
                "the results of these tasks are stored, or the tasks have ended; the tasks do not run again"
            );
        }
        if revoked + replays > 0 {
            self.settle(Receipt {
                execution,
                tasks: revoked + replays,
            });
        }
        Ok((kept.into(), keeps))
    }

    fn judge(
        &self,
        id: Option<BatchId>,
        task: TaskId,
        attempt: Attempt,
        task_type: Option<&Result<TaskTypeInfo, Failure>>,
    ) -> Entry {
        let stored = id.is_some_and(|id| self.stored.holds(id, task, attempt));
        // First: the stored result decides, whether the attempt was revoked meanwhile or not.
        if stored || self.revoked.has_ended(task) {
            return Entry::Replay;
        }
        if self.revoked.contains(task, attempt) {
            return Entry::Revoked;
        }
        match task_type {
            Some(Ok(_)) => Entry::Keep,
            Some(Err(failure)) => Entry::Rejected(Box::new(failure.clone())),
            None => {
                let reason = "its envelope names a task type that its batch does not list";
                Entry::Rejected(Box::new(Failure::new(Cause::Rejected, reason)))
            }
        }
    }

    /// Seconds of work in so many tasks of a batch, by the longest of its task types; infinitely many where one was never
    /// measured.
    fn worth(&self, execution: u64, count: u32) -> f64 {
        let Some(held) = self.batches.get(&execution) else {
            return 0.0;
        };
        let longest = held
            .known
            .iter()
            .map(|task_type| self.estimates.seconds(task_type.index));
        let longest = longest
            .map(|seconds| seconds.unwrap_or(f64::INFINITY))
            .fold(0.0, f64::max);
        longest * f64::from(count)
    }

    fn send_started(&mut self, execution: u64, tasks: Vec<TaskRun>) {
        let started = Started {
            run: self.settings.run.clone(),
            execution: self.execution_id(execution),
            epoch: self.epoch(),
            tasks,
        };
        let message = started.message(&self.settings.mac_key);
        self.publish(Topic::Results, message, None);
    }

    pub(super) const fn execution_id(&self, number: u64) -> ExecutionId {
        ExecutionId {
            worker: self.settings.worker,
            number,
        }
    }

    /// Gives a batch back whole: nothing of it has begun.
    pub(super) fn release(&mut self, execution: u64) {
        if let Some(held) = self.batches.remove(&execution)
            && !held.lost
        {
            self.effects.push(Effect::Release(held.lease));
        }
        self.resume_after(execution);
        self.next_quarantined();
    }
}

/// Seconds of work of a batch below which its results are the first report of it.
// The bound below which a second frame may wait in a slot as well (`SHORT`, 10 ms). A `Started` for every short batch
// would double the messages to the master.
const SOON: f64 = 0.01;

/// Counts entries and lists their tasks; refuses what cannot be read before anything of it runs.
fn count_runs(
    entries: &[u8],
    task_types: usize,
    runs: &mut Vec<TaskRun>,
) -> Result<u32, WireError> {
    let mut rest = entries;
    let mut count = 0;
    while let Some(head) = task_head(rest)? {
        // Checked here once: everything later indexes the table of task types by this number.
        if usize::from(head.task_type) >= task_types {
            return Err(WireError::Unreadable(format!(
                "task type {} of {task_types}",
                head.task_type
            )));
        }
        TaskRun::push(runs, head.task, head.attempt);
        count += 1;
        rest = &rest[head.length..];
    }
    Ok(count)
}

/// Adds the tasks of some entries to a list of runs.
pub(super) fn push_runs(runs: &mut Vec<TaskRun>, entries: &[u8]) {
    let mut rest = entries;
    while let Ok(Some(head)) = task_head(rest) {
        TaskRun::push(runs, head.task, head.attempt);
        rest = &rest[head.length..];
    }
}
