//! What the master measures as the basis of window sizes: means of the tasks, work done, round trips, slots.

use std::time::Duration;

use podpool_core::broker::ClassId;
use podpool_core::envelope::entry::result_head;
use podpool_core::id::WorkerId;
use tokio::time::Instant;

use crate::master::measured::{self, Measured, Trip};

use super::MasterState;
use super::workers::Worker;

/// Sums and means over all tasks.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Task types, by class, of which a mean changed since they were reported.
    // It may name one twice, which costs a store. The list is emptied after each pull of results.
    task_types: Vec<(ClassId, u32)>,
    /// Time of all executions whose result came.
    worked: Duration,
    trip: Trip,
    /// Slots of the workers that are there; `None` when a worker came or went since they were counted.
    slots: Option<usize>,
}

impl Pace {
    /// A worker came or went.
    pub(super) fn recount_slots(&mut self) {
        self.slots = None;
    }

    /// An execution of this task type ended well.
    pub(super) fn done(&mut self, task_type: (ClassId, u32), elapsed: Duration) {
        self.worked(elapsed);
        if self.task_types.last() != Some(&task_type) {
            self.task_types.push(task_type);
        }
    }

    /// An execution kept a slot for so long.
    pub(super) fn worked(&mut self, elapsed: Duration) {
        self.worked = self.worked.saturating_add(elapsed);
    }

    /// The first results of a batch came so long after it was packed; `before` is what was worked before them.
    pub(super) fn travelled(&mut self, time: Duration, before: Duration) {
        // The work of several slots may be more than the time that passed: then the trip counts as none.
        let work = self.worked.saturating_sub(before);
        self.trip.note(time.saturating_sub(work));
    }

    /// What was worked so far.
    pub(super) const fn work(&self) -> Duration {
        self.worked
    }
}

impl MasterState {
    /// When the batch was packed that these results are of, if they show a round trip. They do not where queues are in
    /// memory, where they are not the first ones of their batch, where the batch was published twice, where their first
    /// attempt is no longer expected, and where the batch waited for its worker's start.
    pub(super) fn take_packed(&mut self, worker: WorkerId, entries: &[u8]) -> Option<Instant> {
        if !self.settings.remote {
            return None;
        }
        let head = result_head(entries).ok()??;
        if !self.table.is_out(head.task, head.attempt) {
            return None;
        }
        let entry = self.table.get_mut(head.task)?;
        // Taken even if it is not used: only the first results of a batch show the way, later ones waited for their
        // work.
        let packed = self.batches.get_mut(entry.batch)?.packed.take()?;
        let greeted = self.workers.get(&worker).and_then(Worker::greeted);
        greeted
            .is_none_or(|greeted| greeted <= packed)
            .then_some(packed)
    }

    /// Slots of the workers that are there and whose slots start, as many as there may be at most. A worker whose
    /// greeting was lost has as many as each may have.
    fn live_slots(&self) -> usize {
        let most = self.settings.slots;
        let each = most.div_ceil(self.settings.workers.max(1));
        let fit = self.workers.values().filter(|it| it.liveness.is_fit());
        let greetings = fit.map(|worker| worker.greeting.as_ref());
        let slots = greetings.map(|it| it.map_or(each, |greeting| greeting.slots as usize));
        slots.fold(0, usize::saturating_add).min(most)
    }

    /// Writes what changed since the last call.
    pub(crate) fn report_measured(&mut self, measured: &Measured) {
        for (class, task_type) in self.pace.task_types.drain(..) {
            let class = self.classes.get(class);
            if let Some(seconds) = class.and_then(|class| class.outbox.seconds(task_type)) {
                measured.set(task_type, seconds);
            }
        }
        // Counted again only when a worker came or went: this is called after every pull of results.
        let slots = self.pace.slots.unwrap_or_else(|| self.live_slots());
        self.pace.slots = Some(slots);
        measured.set_pace(&measured::Pace {
            slots,
            worked: self.pace.worked,
            trip: self.pace.trip.mean(),
            // Counted where it is read.
            stored: 0,
        });
    }
}
