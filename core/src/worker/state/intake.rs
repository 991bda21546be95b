//! Batches come in.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;
use tracing::debug;

use crate::envelope::entry::{self, result_head, task_head};
use crate::envelope::reference::rejected;
use crate::envelope::{Batch, Body, Results, Started, TaskRun, TaskType, WireError};
use crate::id::{Attempt, ExecutionId, TaskId};
use crate::outcome::{Cause, Failure};
use crate::queue::LeaseId;

use super::super::effect::{Effect, Receipt, Topic};
use super::super::frame::TaskTypeInfo;
use super::super::held::{Chunk, Held};
use super::super::replay::BatchId;
use super::WorkerState;
use super::replay::Arrival;

/// What the worker's program knows of a task type that a batch names; the failure says why it cannot run it.
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
        let looked_up: Vec<_> = batch
            .task_types
            .iter()
            .map(|task_type| lookup.look_up(task_type))
            .collect();
        let mut runs = Vec::new();
        let counted = count_runs(&entries, batch.task_types.len(), &mut runs)?;
        let execution = self.next_execution;
        self.next_execution += 1;
        debug!(%lease, execution, tasks = ?runs, "a batch was taken");
        self.hold(execution, lease, counted, batch, &looked_up);
        if batch.alone {
            self.release_own_suspects(execution, &runs);
        }
        self.next_quarantined();
        let arrival = Arrival {
            execution,
            entries,
            count: counted,
            runs,
            task_types: looked_up,
        };
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
        // Where the results come so soon, the start needs no message.
        if !runs.is_empty() && worth > SOON {
            self.say_started(execution, runs);
        }
        self.wait_for_slot(execution, kept.0, kept.1, now);
        // A batch without a task is in safety at once.
        self.settle(Receipt {
            execution,
            tasks: 0,
        });
        Ok(())
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

    /// A task that this worker itself made a suspect, as a slot died, needs a fresh slot and no more: whatever else
    /// runs here is in other processes.
    fn release_own_suspects(&mut self, execution: u64, runs: &[TaskRun]) {
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

    fn say_started(&mut self, execution: u64, tasks: Vec<TaskRun>) {
        let started = Started {
            run: self.settings.run.clone(),
            execution: self.execution_id(execution),
            epoch: self.epoch,
            tasks,
        };
        let message = started.message(&self.settings.mac_key);
        self.publish(Topic::Results, message, None);
    }

    /// Puts tasks at the end of those that wait.
    fn wait_for_slot(&mut self, execution: u64, entries: Bytes, count: u32, now: Instant) {
        if count > 0 {
            self.waiting += u64::from(count);
            let alone = self.is_alone(execution);
            self.pending.push_back(Chunk {
                alone,
                execution,
                entries,
                count,
                noted: false,
                since: now,
            });
        }
    }

    /// Puts tasks that a slot had back at the front; those that were revoked meanwhile are dropped.
    pub(super) fn wait_again(&mut self, execution: u64, entries: Bytes, noted: bool, now: Instant) {
        let lost = self.batches.get(&execution).is_none_or(|held| held.lost);
        if !lost && !self.revoked.stops_some(&entries) {
            let count = entry::count(&entries);
            self.wait_first(Chunk {
                alone: self.is_alone(execution),
                execution,
                entries,
                count,
                noted,
                since: now,
            });
            return;
        }
        let mut kept = Vec::new();
        let (mut count, mut dropped) = (0, 0);
        let mut rest = &entries[..];
        while let Ok(Some(head)) = task_head(rest) {
            let revoked = self.revoked.contains(head.task, head.attempt);
            if revoked {
                self.note_unrun(head.task, head.attempt);
            }
            if lost || revoked {
                dropped += 1;
            } else {
                kept.extend_from_slice(&rest[..head.length]);
                count += 1;
            }
            rest = &rest[head.length..];
        }
        self.wait_first(Chunk {
            alone: self.is_alone(execution),
            execution,
            entries: kept.into(),
            count,
            noted,
            since: now,
        });
        self.settle(Receipt {
            execution,
            tasks: dropped,
        });
    }

    /// An envelope is acknowledged, and the attempt at its task was not run. A heartbeat reports it where the
    /// master names the attempt as revoked until then.
    pub(super) fn note_unrun(&mut self, task: TaskId, attempt: Attempt) {
        if self.revoked.has_ended(task) {
            self.replays += 1;
        } else {
            TaskRun::push(&mut self.revoked_since, task, attempt);
        }
    }

    fn wait_first(&mut self, chunk: Chunk) {
        if chunk.count > 0 {
            self.waiting += u64::from(chunk.count);
            self.pending.push_front(chunk);
        }
    }

    fn is_alone(&self, execution: u64) -> bool {
        self.batches.get(&execution).is_some_and(|held| held.alone)
    }

    /// Drops what waits and is revoked, and cancels what runs and is revoked.
    pub(super) fn drop_revoked(&mut self, now: Instant) {
        for chunk in std::mem::take(&mut self.pending).into_iter().rev() {
            if !self.revoked.stops_some(&chunk.entries) {
                self.pending.push_front(chunk);
                continue;
            }
            self.waiting -= u64::from(chunk.count);
            let Chunk {
                execution,
                entries,
                noted,
                since,
                ..
            } = chunk;
            self.wait_again(execution, entries, noted, since);
        }
        self.cancel_revoked(now);
    }

    pub(super) const fn execution_id(&self, number: u64) -> ExecutionId {
        ExecutionId {
            worker: self.settings.worker,
            number,
        }
    }

    /// Sends results of an execution to the master, in as many messages as the queue's limit asks for.
    pub(super) fn publish_results(&mut self, execution: u64, entries: Body, count: u32) {
        let most = self.settings.message_bytes.saturating_sub(MESSAGE_OVERHEAD);
        if entries.len() <= most {
            self.publish_message(execution, entries, count);
            return;
        }
        // A result that is too large is a failure.
        self.effects.push(Effect::SendLines);
        for (part, tasks) in split_results(entries.entries(), most) {
            self.publish_message(execution, part, tasks);
        }
    }

    fn publish_message(&mut self, execution: u64, entries: Body, count: u32) {
        let results = Results {
            run: self.settings.run.clone(),
            execution: self.execution_id(execution),
            epoch: self.epoch,
            count,
            lines: self.lines,
        };
        let message = results.close(entries, &self.settings.mac_key);
        self.publish(
            Topic::Results,
            message,
            Some(Receipt {
                execution,
                tasks: count,
            }),
        );
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

/// Seconds of work of a batch below which its results are the first that is said of it.
const SOON: f64 = 0.01;

/// Bytes that a message's prefix, header and MAC may take beside its entries.
const MESSAGE_OVERHEAD: usize = 1024;

/// Groups results into messages of at most `most` bytes. A result that is larger by itself becomes a failure
/// that names the setting.
fn split_results(entries: &[u8], most: usize) -> Vec<(Body, u32)> {
    let mut parts: Vec<(Body, u32)> = Vec::new();
    let mut rest = entries;
    while let Ok(Some(head)) = result_head(rest) {
        let mut entry = Body::default();
        if head.length <= most {
            entry.entries_mut().extend_from_slice(&rest[..head.length]);
        } else {
            let (size, limit) = (head.length, most);
            let reason = format!(
                "its result of {size} bytes is larger than the {limit} bytes that a message carries; give the pool a payload store (payload_store, PODPOOL_PAYLOAD_STORE), or return it by reference, as a path or a URL"
            );
            let failure = rejected(reason);
            let (task, attempt) = (head.task, head.attempt);
            entry::put_failed(entry.entries_mut(), task, attempt, head.elapsed, &failure);
        }
        match parts.last_mut() {
            Some((part, count)) if part.len() + entry.len() <= most => {
                part.entries_mut().extend_from_slice(entry.entries());
                *count += 1;
            }
            _ => parts.push((entry, 1)),
        }
        rest = &rest[head.length..];
    }
    parts
}

/// Counts entries and lists their tasks; refuses what cannot be read before anything of it runs.
fn count_runs(
    entries: &[u8],
    task_types: usize,
    runs: &mut Vec<TaskRun>,
) -> Result<u32, WireError> {
    let mut rest = entries;
    let mut count = 0;
    while let Some(head) = task_head(rest)? {
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
