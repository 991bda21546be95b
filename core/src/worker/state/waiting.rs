//! Tasks that wait for a slot, and those among them that must not run any more.

use bytes::Bytes;
use tokio::time::Instant;

use crate::envelope::TaskRun;
use crate::envelope::entry::{self, task_head};
use crate::id::{Attempt, TaskId};

use super::super::effect::Receipt;
use super::super::held::Chunk;
use super::WorkerState;

impl WorkerState {
    /// Puts tasks at the end of those that wait.
    pub(super) fn wait_for_slot(
        &mut self,
        execution: u64,
        entries: Bytes,
        count: u32,
        now: Instant,
    ) {
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
        // A batch that is not here any more was settled meanwhile: its tasks are dropped like those of a lost lease.
        let lost = self.batches.get(&execution).is_none_or(|held| held.lost);
        // The usual case keeps the slice as it is. The loop below copies what is kept.
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
        // From the back, each pushed to the front: the order stays.
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
            // With its old time: a revocation of some tasks must not put off the put-back of the others.
            self.wait_again(execution, entries, noted, since);
        }
        self.cancel_revoked(now);
    }
}
