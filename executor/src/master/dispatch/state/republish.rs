//! Batches that the queue lost are published again.

use std::collections::HashSet;
use std::iter;

use podpool_core::broker::ClassId;
use podpool_core::id::TaskId;
use tokio::time::Instant;
use tracing::{info, warn};

use super::super::classes::Class;
use super::super::effect::Effect;
use super::super::table::{Entry, Phase};
use super::MasterState;
use super::workers::Worker;

/// Leases without news after which a batch is published again.
// A batch whose worker crashed is delivered again after one lease, and the next worker names it in a heartbeat within a
// third of another: that is no loss of the queue. At half such a batch would be published beside its redelivery; at
// double a lost one waits twice as long.
const LEASES: u32 = 3;

impl MasterState {
    /// Publishes batches again that no worker has: stored, no news for three leases, in no worker's heartbeat, while
    /// workers of their class have free slots and pull in vain.
    // A mistake costs an execution: the attempt is the same, and the first result ends the task.
    pub(super) fn republish_silent(&mut self, now: Instant) {
        if self.republish_at.is_none_or(|at| now < at) {
            return;
        }
        // Set first, so that every return below leaves the next look. It reads all batches, and so comes once a lease.
        self.republish_at = (!self.batches.is_empty()).then(|| self.next_lease(now));
        // What workers reported to an earlier master, or while there was none, is not read yet.
        if self.adopted_below > TaskId(0) && !self.read_once {
            return;
        }
        // The clock may have begun less than three leases ago: then no batch is that old.
        let Some(before) = now.checked_sub(self.settings.lease.saturating_mul(LEASES)) else {
            return;
        };
        let idle = self.idle_classes(before);
        if idle.is_empty() {
            return;
        }
        let silent = self.batches.silent(before);
        if silent.is_empty() {
            return;
        }
        // One set for all silent batches: to search the lists of all workers for each task would be quadratic.
        let held = self.held(before);
        for number in silent {
            let Some(batch) = self.batches.get_mut(number) else {
                continue;
            };
            if !idle.contains(&batch.class) {
                // The workers of its class may all be busy, and the batch waits in its queue.
                continue;
            }
            // One task of it suffices: a worker that has a part of a batch has received the message. A task that has left it
            // may be held as part of another batch, for long.
            let in_it =
                |entry: &mut Entry| entry.phase == Phase::Published && entry.batch == number;
            let tasks = batch.tasks.iter().flat_map(|run| run.tasks());
            let tasks = tasks.filter(|task| held.contains(task));
            let mut held_of_it = tasks.filter(|task| self.table.get_mut(*task).is_some_and(in_it));
            if let Some(first) = held_of_it.next() {
                if !batch.guessed {
                    batch.news = now;
                    continue;
                }
                let held: Vec<_> = iter::once(first).chain(held_of_it).collect();
                if !self.part_held(now, number, &held) {
                    continue;
                }
            }
            let tasks = self.batches.get_mut(number).map(|batch| batch.left);
            warn!(
                tasks,
                "no worker has reported a batch; it is published again"
            );
            self.repeat(now, number);
        }
    }

    /// Workers whose last message came after `before`. A silent one holds nothing: what it had comes back by its lease,
    /// or is lost.
    fn live(&self, before: Instant) -> impl Iterator<Item = &Worker> {
        let workers = self.workers.values();
        workers.filter(move |it| it.liveness.is_here() && it.heard > before)
    }

    /// Whether a worker of the class with free slots pulled in vain after `before`.
    fn is_idle(&self, class: ClassId, before: Instant) -> bool {
        self.live(before)
            .filter(|worker| worker.serves(self.classes.queue_of(class)))
            .any(|worker| worker.liveness.idle().is_some_and(|at| at > before))
    }

    /// The classes whose queues were found empty after `before`.
    fn idle_classes(&self, before: Instant) -> Vec<ClassId> {
        let classes = self.classes.iter().map(|(class, _)| class);
        classes
            .filter(|class| self.is_idle(*class, before))
            .collect()
    }

    /// Whether no queue that is in use can hold an old envelope: at least one class is idle, and so is each that has
    /// tasks.
    fn all_idle(&self, before: Instant) -> bool {
        let idle = self.idle_classes(before);
        let used = |(_, class): &(ClassId, &Class)| class.unfinished > 0;
        !idle.is_empty()
            && self
                .classes
                .iter()
                .filter(used)
                .all(|(class, _)| idle.contains(&class))
    }

    /// What the workers hold whose last message came after `before`.
    fn held(&self, before: Instant) -> HashSet<TaskId> {
        let runs = self.live(before).flat_map(|worker| &worker.holds);
        runs.flat_map(|run| run.tasks()).collect()
    }

    /// Once a lease: revoked attempts that can be in no queue any more leave the list.
    // Without this an attempt whose acknowledgement never came would be named until the oldest task ends.
    pub(super) fn forget_revoked(&mut self, now: Instant) {
        if self.revoked.is_empty() {
            self.revoked_at = None;
            return;
        }
        let next_lease = self.next_lease(now);
        if now < *self.revoked_at.get_or_insert(next_lease) {
            return;
        }
        self.revoked_at = Some(next_lease);
        let before = now.checked_sub(self.settings.lease * LEASES);
        // All classes that are in use: a revoked attempt has no class any more, and may be in the queue of each.
        let before = before.filter(|before| self.all_idle(*before));
        let held = before.map(|before| self.held(before)).unwrap_or_default();
        let look = |task| held.contains(&task);
        if self.revoked.look(before.is_some(), look) {
            self.announced.changed();
        }
    }

    /// Publishes a batch again.
    pub(super) fn repeat(&mut self, now: Instant, batch: u32) {
        if let Some((class, message)) = self.repeat_batch(now, batch) {
            self.effects.push(Effect::Publish {
                class,
                batch,
                message,
            });
        }
    }

    /// The queues were made anew: what was in them may be lost, so that everything that is out is published again.
    // Also what workers hold: their acknowledgements fail in a queue that is gone, and what they hold is known up to a
    // heartbeat late. Results that still come end the tasks, whose copies are then revoked.
    pub(crate) fn republish_all(&mut self, now: Instant) {
        let out = self.batches.silent(now);
        info!(
            batches = out.len(),
            "topics or subscriptions of the run were made again; what was out is published again"
        );
        // Batches on their way may have reached the queue that vanished: they follow when they are stored. This comes
        // first, because the batches that are published again below are on their way too, to the new queue.
        self.batches.doubt_sending();
        for number in out {
            self.repeat(now, number);
        }
    }
}
