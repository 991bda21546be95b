//! What the master counts for people, and the events that it reports to subscribers. No decision depends on it.

use std::sync::Arc;
use std::time::Duration;

use podpool_core::broker::ClassId;
use podpool_core::fleet::Departure;
use podpool_core::id::{Attempt, ExecutionId, TaskId, WorkerId};
use podpool_core::place::WorkerPlace;
use tokio::time::Instant;

use crate::error::{AttemptReport, TaskError, TaskErrorKind};
use crate::master::cell::{Cell, Settled, TaskState};
use crate::master::events::{EventKind, TaskInfo};
use crate::master::stats::{Board, Counts, Oldest, Waits, Workers};

use super::super::classes::Class;
use super::super::effect::Effect;
use super::super::table::{Entry, Phase};
use super::timing::Times;
use super::{MasterState, Settings};

/// The execution that gave a result.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ran {
    /// How long it took.
    pub(super) elapsed: Duration,
    /// Whether the body was skipped.
    pub(super) skipped: bool,
    /// The attempt that it was of.
    pub(super) attempt: Attempt,
    /// Its number on its worker.
    pub(super) execution: ExecutionId,
    /// When it began, and how long the attempt had waited; only where somebody reads it.
    pub(super) times: Times,
}

/// Counts, and what is known of the fleet.
#[derive(Debug)]
pub(super) struct Tally {
    counts: Counts,
    /// Whether a subscriber reads events.
    subscribed: bool,
    /// Workers that run or are starting, as the fleet reported.
    supply: u32,
    reason: Option<Arc<str>>,
    /// Workers that are ready, and their slots; `None` when one came or went since they were counted.
    ready: Option<(u32, usize)>,
    /// What was written last.
    workers: Workers,
    oldest: Option<(TaskId, TaskState, Option<Waits>)>,
}

impl Tally {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            counts: Counts::default(),
            subscribed: false,
            // The worker of this process starts with the run, and its fleet reports no supply.
            supply: u32::from(!settings.elsewhere),
            reason: None,
            ready: None,
            workers: Workers::default(),
            oldest: None,
        }
    }

    /// Everything is written again.
    #[cfg(test)]
    pub(super) fn forget_written(&mut self) {
        self.workers = Workers::default();
        self.oldest = None;
    }

    /// Whether a subscriber reads events.
    pub(super) const fn is_subscribed(&self) -> bool {
        self.subscribed
    }

    /// A worker came or went.
    pub(super) const fn recount_workers(&mut self) {
        self.ready = None;
    }

    /// The fleet reported its supply.
    pub(super) fn set_supply(&mut self, workers: u32, reason: Option<Arc<str>>) {
        self.supply = workers;
        self.reason = reason;
    }

    /// A call joined a task that had been submitted.
    pub(super) const fn joined(&mut self) {
        self.counts.joined += 1;
    }

    /// A task of an earlier master was taken in.
    pub(super) const fn adopted(&mut self) {
        self.counts.adopted += 1;
    }

    /// A task of an earlier master that has a result was called: from now on the call is counted for it.
    pub(super) const fn called(&mut self) {
        self.counts.adopted -= 1;
        self.counts.done -= 1;
    }

    /// A call that had joined a task was cancelled apart from it.
    pub(super) const fn left(&mut self) {
        self.counts.joined -= 1;
        self.counts.cancelled += 1;
    }

    /// A result was counted that could not be stored, and is not given out.
    pub(super) const fn unremembered(&mut self) {
        self.counts.done -= 1;
        self.counts.failed += 1;
    }

    /// A result was stored before the call.
    pub(super) const fn stored(&mut self) {
        self.counts.stored += 1;
    }

    /// A task runs no longer, if it ran.
    pub(super) fn stopped(&mut self, ran: bool) {
        self.counts.running -= u64::from(ran);
    }
}

impl MasterState {
    /// Whether a subscriber reads events. Without one none is made.
    pub(crate) const fn set_subscribed(&mut self, subscribed: bool) {
        self.tally.subscribed = subscribed;
    }

    /// Reports an event, if a subscriber reads events.
    pub(super) fn event(&mut self, kind: impl FnOnce() -> EventKind) {
        if self.tally.subscribed {
            self.effects.push(Effect::Event(Box::new(kind())));
        }
    }

    /// Reports an event that a later subscriber may need too.
    fn always_event(&mut self, kind: EventKind) {
        self.effects.push(Effect::Event(Box::new(kind)));
    }

    pub(super) fn note_submitted(&mut self, id: TaskId, entry: &Entry) {
        self.event(|| EventKind::Submitted {
            task: task_info(id, entry),
        });
    }

    /// A task came that had ended before. One that was rejected is counted by the mailbox, where it ended.
    pub(crate) fn note_settled(&mut self, cell: &Cell) {
        let (state, error) = (cell.state(), cell.failure());
        self.measures.task_ended(error.as_ref());
        if error.as_ref().map(TaskError::kind) != Some(TaskErrorKind::Rejected) {
            self.tally.counts.end(state);
        }
        let task = || TaskInfo::of(cell.id(), cell.subject());
        self.event(|| EventKind::Submitted { task: task() });
        self.event(|| EventKind::Ended {
            task: task(),
            state,
            worker: None,
            started: None,
            queued: None,
            elapsed: None,
            skipped: false,
            error,
        });
    }

    /// A task ended.
    pub(super) fn note_end(
        &mut self,
        id: TaskId,
        entry: &Entry,
        outcome: &Settled,
        ran: Option<Ran>,
    ) {
        let state = match outcome {
            Ok(_) => TaskState::Done,
            Err(error) if error.kind() == TaskErrorKind::Cancelled => TaskState::Cancelled,
            Err(_) => TaskState::Failed,
        };
        self.tally.counts.end(state);
        self.tally.stopped(entry.running);
        self.measures.task_ended(outcome.as_ref().err());
        if !self.tally.subscribed {
            return;
        }
        let worker = ran.map(|ran| self.worker_name(ran.execution.worker));
        self.event(|| EventKind::Ended {
            task: task_info(id, entry),
            state,
            worker,
            started: ran.and_then(|ran| ran.times.started),
            queued: ran.and_then(|ran| ran.times.queued),
            elapsed: ran.map(|ran| ran.elapsed),
            skipped: ran.is_some_and(|ran| ran.skipped),
            error: outcome.as_ref().err().cloned(),
        });
    }

    /// A worker has begun with these attempts.
    pub(super) fn note_begun(&mut self, begun: &[(TaskId, Attempt)], worker: WorkerId) {
        self.tally.counts.running += begun.len() as u64;
        if !begun.is_empty() {
            self.measures.moved();
        }
        if !self.tally.subscribed {
            return;
        }
        let worker = self.worker_name(worker);
        for (id, attempt) in begun {
            if let Some(entry) = self.table.get_mut(*id) {
                let kind = EventKind::Started {
                    task: task_info(*id, entry),
                    attempt: *attempt,
                    worker: worker.clone(),
                };
                self.effects.push(Effect::Event(Box::new(kind)));
            }
        }
    }

    /// An attempt is followed by another one.
    pub(super) fn note_retry(&mut self, id: TaskId, after: Duration) {
        self.tally.counts.retried += 1;
        self.measures.moved();
        if let Some((task, attempt)) = self.last_attempt(id) {
            self.event(|| EventKind::Retried {
                task,
                attempt,
                after,
            });
        }
    }

    /// An execution was lost, and comes again by its lease. A loss that was known before is not counted again.
    pub(super) fn note_loss(&mut self, id: TaskId, fresh: bool) {
        if !fresh {
            return;
        }
        self.tally.counts.lost += 1;
        if let Some((task, attempt)) = self.last_attempt(id) {
            self.event(|| EventKind::Lost { task, attempt });
        }
    }

    /// A task and its last attempt, if a subscriber reads events.
    fn last_attempt(&mut self, id: TaskId) -> Option<(TaskInfo, AttemptReport)> {
        if !self.tally.subscribed {
            return None;
        }
        let entry = self.table.get_mut(id)?;
        let attempt = entry.history.as_ref()?.attempts.last()?.clone();
        Some((task_info(id, entry), attempt))
    }

    /// A worker greeted, or came back.
    pub(super) fn note_arrival(&mut self, id: WorkerId) {
        let worker = self.workers.get(&id);
        let Some(greeting) = worker.and_then(|worker| worker.greeting.clone()) else {
            return;
        };
        let place = self.places.get(&greeting.name).cloned();
        self.always_event(EventKind::WorkerCame {
            worker: greeting.name,
            node: greeting.node,
            place,
            slots: greeting.slots,
        });
    }

    /// Where a worker runs became known after it greeted.
    pub(super) fn note_place(&mut self, worker: Arc<str>, place: Arc<WorkerPlace>) {
        self.always_event(EventKind::WorkerPlaced { worker, place });
    }

    /// A worker is gone.
    pub(super) fn note_departure(&mut self, departure: &Departure) {
        self.always_event(EventKind::WorkerWent {
            worker: departure.worker.clone(),
            node: departure.node.clone(),
            reason: departure.reason.as_str().into(),
        });
    }

    /// Writes the counts alone.
    pub(crate) fn write_counts(&self, board: &Board) {
        board.write(|written| written.counts = self.tally.counts);
    }

    /// Writes the counts for those who ask. `refusal` gives the reason of a queue that refuses.
    pub(crate) fn write_stats(
        &mut self,
        now: Instant,
        board: &Board,
        refusal: impl FnOnce() -> Option<Waits>,
    ) {
        let workers = self.workers_now();
        let oldest = self.oldest_now(refusal);
        board.write(|written| {
            written.set_counts(now, self.tally.counts);
            // Replaced only where something has changed: in a steady run that is a comparison, and no allocation.
            if let Some(workers) = workers {
                written.workers = workers;
            }
            if let Some(oldest) = oldest {
                written.oldest = oldest;
            }
        });
    }

    /// The workers, if they differ from what was written.
    fn workers_now(&mut self) -> Option<Workers> {
        let workers = self.count_workers();
        if workers == self.tally.workers {
            return None;
        }
        self.tally.workers = workers.clone();
        Some(workers)
    }

    fn count_workers(&mut self) -> Workers {
        let (ready, slots) = match self.tally.ready {
            Some(ready) => ready,
            None => self.count_ready(),
        };
        self.tally.ready = Some((ready, slots));
        let wanted = self.workers_wanted();
        let starting = self.tally.supply.saturating_sub(ready);
        // Nothing is missing: an older reason is over.
        let reason = self.tally.reason.as_ref().filter(|_| ready < wanted);
        Workers {
            wanted,
            starting,
            ready,
            slots,
            reason: reason.cloned(),
        }
    }

    fn count_ready(&self) -> (u32, usize) {
        let workers = self.workers.values();
        let ready = workers.filter(|worker| worker.liveness.is_fit());
        let slots = ready.filter_map(|worker| worker.greeting.as_ref());
        slots.fold((0, 0), |(workers, slots), greeting| {
            (workers + 1, slots + greeting.slots as usize)
        })
    }

    /// Workers that the unfinished tasks can use.
    fn workers_wanted(&self) -> u32 {
        let most = self.settings.workers.max(1);
        let slots = self.settings.slots.div_ceil(most).max(1);
        let classes = self.classes.iter();
        let wanted = classes.map(|(_, class)| class.unfinished.div_ceil(slots));
        let wanted = wanted.fold(0, usize::saturating_add);
        let wanted = wanted.min(self.most_workers().max(1));
        u32::try_from(wanted).unwrap_or(u32::MAX)
    }

    /// The oldest task, if it differs from what was written.
    fn oldest_now(&mut self, refusal: impl FnOnce() -> Option<Waits>) -> Option<Option<Oldest>> {
        let Some((id, entry)) = self.table.oldest() else {
            return self.tally.oldest.take().map(|_| None);
        };
        let attempt = entry.attempt;
        let place = (entry.class, entry.phase);
        let (state, waits) = match entry.running {
            true => (TaskState::Running { attempt }, None),
            false => (TaskState::Pending, Some(self.waits(place, refusal))),
        };
        let newest = Some((id, state, waits));
        if self.tally.oldest == newest {
            return None;
        }
        self.tally.oldest.clone_from(&newest);
        let (_, entry) = self.table.oldest()?;
        let (_, state, waits) = newest?;
        let task = task_info(id, entry);
        Some(Some(Oldest { task, state, waits }))
    }

    /// Why a task of this class and phase waits.
    fn waits(
        &self,
        (class, phase): (ClassId, Phase),
        refusal: impl FnOnce() -> Option<Waits>,
    ) -> Waits {
        match phase {
            Phase::Delayed => return Waits::Retry,
            Phase::Stored => return Waits::Ledger(None),
            Phase::Waiting | Phase::Published => {}
        }
        let mut workers = self.workers.values();
        let queue = self.classes.queue_of(class);
        let ready = workers.any(|it| it.liveness.is_fit() && it.serves(queue));
        let held = phase == Phase::Waiting && self.classes.get(class).is_some_and(Class::is_held);
        match refusal() {
            _ if held => Waits::Memory,
            Some(refusal) => refusal,
            None if ready => Waits::Slot,
            None => Waits::Worker,
        }
    }

    /// Why the run makes no progress, in the words of statistics.
    pub(super) fn diagnosis(&mut self) -> String {
        let workers = self.count_workers();
        // Whether a queue refuses is known to the loop, which has written it in its last turn.
        let refusal = match &self.tally.oldest {
            Some((_, _, Some(waits @ (Waits::Queue(_) | Waits::Ledger(Some(_)))))) => {
                Some(waits.clone())
            }
            _ => None,
        };
        let Some((id, entry)) = self.table.oldest() else {
            return workers.to_string();
        };
        let (task, running) = (task_info(id, entry), entry.running);
        let place = (entry.class, entry.phase);
        match running {
            true => format!(
                "the oldest, {task}, was reported as begun, and no worker reports that it runs; {workers}"
            ),
            false => format!(
                "the oldest, {task}, {}; {workers}",
                self.waits(place, || refusal)
            ),
        }
    }
}

fn task_info(id: TaskId, entry: &Entry) -> TaskInfo {
    let options = entry.options.as_ref();
    let key = options.and_then(|options| options.key.clone());
    TaskInfo::new(id, entry.spec.name, key)
}
