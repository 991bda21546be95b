//! Tasks that wait to be published, and how they are packed: pure state.
//!
//! Highest priority first, then the task type whose oldest task is oldest. While a task type was never measured, only a
//! few of its tasks are out; the first measurement opens its gate.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use podpool_core::id::TaskId;
use podpool_core::worker::estimate::Estimates;

use super::ranges::Ranges;

/// A batch is worth about this many seconds of work.
// A loss with its worker costs up to half a second of work for each batch, and slots are uneven by as much at the end
// of a run. At half a queue carries twice as many messages; at double both costs double.
const WORTH: f64 = 0.5;
/// Most tasks in a batch.
// Reached by tasks of less than 0.12 ms, whose `WORTH` is more.
pub(super) const MAX_TASKS: usize = 4096;
/// Most bytes of arguments in a batch of several tasks.
// A tenth of the 10 MB that Pub/Sub takes as one message.
// <https://cloud.google.com/pubsub/quotas>
pub(super) const MAX_BYTES: usize = 1 << 20;
/// Arguments past this go alone: packing them costs more than it saves.
// A batch of one such task is made of the arguments' own memory, and copies nothing. At this size 16 would fill a
// batch.
pub(super) const ALONE_BYTES: usize = 64 << 10;

/// Tasks of one task type and priority.
#[derive(Debug, Default)]
struct Lane {
    /// Tasks that were published before: they go first, the oldest of them first.
    // Apart from the others and not by their numbers alone: the newest task that failed goes before the oldest fresh
    // one, so that the last retry of a run does not wait for the whole backlog.
    again: Ranges,
    fresh: Ranges,
}

impl Lane {
    fn front(&self) -> Option<TaskId> {
        self.again
            .first()
            .or_else(|| self.fresh.first())
            .map(TaskId)
    }

    fn pop_front(&mut self) -> Option<TaskId> {
        let first = self.again.pop_first();
        first.or_else(|| self.fresh.pop_first()).map(TaskId)
    }

    fn remove(&mut self, id: TaskId) -> bool {
        self.fresh.remove(id.0) || self.again.remove(id.0)
    }

    fn is_empty(&self) -> bool {
        self.fresh.is_empty() && self.again.is_empty()
    }
}

/// What the outbox keeps of a task type.
#[derive(Debug, Default)]
struct TaskTypeState {
    /// Its tasks that wait, by priority. No lane is empty: the first lane has the next task.
    lanes: BTreeMap<Reverse<i32>, Lane>,
    /// Published tasks that have not ended.
    published: usize,
    /// Each of its tasks travels by itself.
    unpacked: bool,
}

/// The outbox.
#[derive(Debug)]
pub(super) struct Outbox {
    /// Tasks that must run alone; they go first, one by one, the oldest first.
    alone: Ranges,
    task_types: Vec<TaskTypeState>,
    estimates: Estimates,
    waiting: usize,
    /// Published tasks of all types that have not ended.
    published: usize,
    slots: usize,
    /// Whether everything is published, measured or not.
    gates_open: bool,
}

/// What a task type's next batch may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    /// So many tasks at most.
    Open(usize),
    /// Enough of it is out until one is measured; others may go.
    Closed,
    /// It is too small, and waits for more tasks.
    TooSmall,
}

/// Which tasks come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// This one, in a batch that runs alone.
    Alone(TaskId),
    /// Up to so many of this task type, by priority.
    Lane { task_type: u32, most: usize },
}

impl Outbox {
    pub(super) fn new(slots: usize) -> Self {
        Self {
            alone: Ranges::default(),
            task_types: Vec::new(),
            estimates: Estimates::default(),
            waiting: 0,
            published: 0,
            slots,
            gates_open: false,
        }
    }

    /// Everything is published from now on, measured or not.
    pub(super) const fn open_gates(&mut self) {
        self.gates_open = true;
    }

    /// How many tasks wait.
    // Counted beside the lanes: it is read for each batch, and ranges do not count their numbers.
    pub(super) const fn waiting(&self) -> usize {
        self.waiting
    }

    /// How many of its tasks are out.
    pub(super) const fn published(&self) -> usize {
        self.published
    }

    /// A new task waits.
    pub(super) fn push(&mut self, id: TaskId, priority: i32, task_type: u32) {
        self.lane(priority, task_type).fresh.insert(id.0);
        self.waiting += 1;
    }

    /// A task waits again, before those that never ran.
    pub(super) fn push_again(&mut self, id: TaskId, priority: i32, task_type: u32) {
        self.lane(priority, task_type).again.insert(id.0);
        self.waiting += 1;
    }

    fn lane(&mut self, priority: i32, task_type: u32) -> &mut Lane {
        self.task_type(task_type)
            .lanes
            .entry(Reverse(priority))
            .or_default()
    }

    /// A suspect waits.
    pub(super) fn push_alone(&mut self, id: TaskId) {
        self.alone.insert(id.0);
        self.waiting += 1;
    }

    /// Takes a task out: it was cancelled.
    pub(super) fn remove(&mut self, id: TaskId, priority: i32, task_type: u32) {
        // A suspect is in no lane. Which of the two it is in stands nowhere else, and a search costs a few steps.
        let removed = self.alone.remove(id.0) || self.remove_from_lane(id, priority, task_type);
        self.waiting -= usize::from(removed);
    }

    fn remove_from_lane(&mut self, id: TaskId, priority: i32, task_type: u32) -> bool {
        let lanes = &mut self.task_type(task_type).lanes;
        let Some(lane) = lanes.get_mut(&Reverse(priority)) else {
            return false;
        };
        let removed = lane.remove(id);
        // Else a caller that gives each task its own priority and cancels it would leave a lane for each.
        if lane.is_empty() {
            lanes.remove(&Reverse(priority));
        }
        removed
    }

    /// Each task of this task type travels by itself.
    pub(super) fn set_unpacked(&mut self, task_type: u32) {
        self.task_type(task_type).unpacked = true;
    }

    /// What to publish next; `None` when nothing may go. While so much is out that no slot waits for a batch
    /// (`crowded`), a batch that would be small waits for more tasks: many small ones would take the queue longer than
    /// their work takes. No later task passes it, so that it goes when less is out, whatever is submitted meanwhile.
    pub(super) fn choose(&self, crowded: bool) -> Option<Choice> {
        // Before every priority: each suspect has had an attempt already, and goes by itself.
        if let Some(id) = self.alone.first() {
            return Some(Choice::Alone(TaskId(id)));
        }
        match self.best(crowded)? {
            (_, _, task_type, Gate::Open(most)) => Some(Choice::Lane { task_type, most }),
            (_, _, _, Gate::Closed | Gate::TooSmall) => None,
        }
    }

    /// The place among other outboxes of what [`choose`](Self::choose) gives: suspects first, then the highest priority,
    /// then the oldest task.
    pub(super) fn place(&self, crowded: bool) -> Option<(bool, Reverse<i32>, TaskId)> {
        if let Some(id) = self.alone.first() {
            return Some((false, Reverse(0), TaskId(id)));
        }
        match self.best(crowded)? {
            (priority, id, _, Gate::Open(_)) => Some((true, Reverse(priority), id)),
            (_, _, _, Gate::Closed | Gate::TooSmall) => None,
        }
    }

    /// Whether this task type's next task goes before all others: a batch may go on with it at a lower priority.
    pub(super) fn goes_on(&self, task_type: u32) -> bool {
        self.best(false)
            .is_some_and(|(_, _, best, _)| best == task_type)
    }

    /// The first task of all task types whose gate is not closed, by priority, then by age.
    // Linear in the task types of the program, which are few, and not in the tasks: each type shows its first lane.
    fn best(&self, crowded: bool) -> Option<(i32, TaskId, u32, Gate)> {
        let mut best: Option<(i32, TaskId, u32, Gate)> = None;
        for (task_type, known) in (0..).zip(&self.task_types) {
            let lane = known.lanes.first_key_value();
            let first = lane.and_then(|(priority, lane)| Some((priority.0, lane.front()?)));
            let Some((priority, front)) = first else {
                continue;
            };
            let goes_before = |(other, oldest, ..): (i32, TaskId, u32, Gate)| {
                (Reverse(priority), front) < (Reverse(other), oldest)
            };
            // The gate costs an estimate and two divisions: only for what would come first.
            if best.is_none_or(goes_before) {
                let gate = self.gate(task_type, known, crowded);
                if gate != Gate::Closed {
                    best = Some((priority, front, task_type, gate));
                }
            }
        }
        best
    }

    fn gate(&self, task_type: u32, known: &TaskTypeState, crowded: bool) -> Gate {
        // One by one and 4 for each slot: enough to keep slots busy until the first result is back, and few if each
        // takes an hour. A batch of unknown worth could keep one slot busy while all others wait.
        let Some(seconds) = self.estimates.seconds(task_type) else {
            return if self.gates_open || known.published < 4 * self.slots {
                Gate::Open(1)
            } else {
                Gate::Closed
            };
        };
        if known.unpacked {
            return Gate::Open(1);
        }
        // A quarter of an even share: what waits is spread over all slots four times, so that the last batches are
        // small.
        let share = (self.waiting / (4 * self.slots)).max(1);
        // The cast of a float past the range of an integer saturates; a measured time of zero counts as a nanosecond.
        let worth = ((WORTH / seconds.max(1e-9)) as usize).clamp(1, MAX_TASKS);
        if crowded && share < worth {
            return Gate::TooSmall;
        }
        Gate::Open(share.min(worth))
    }

    /// The next task of a task type, without taking it: of its highest priority, whatever others have.
    pub(super) fn peek(&self, task_type: u32) -> Option<(i32, TaskId)> {
        let known = self.task_types.get(task_type as usize)?;
        let (priority, lane) = known.lanes.first_key_value()?;
        Some((priority.0, lane.front()?))
    }

    /// Takes the next task of a task type: it is published.
    pub(super) fn pop(&mut self, task_type: u32) -> Option<TaskId> {
        let known = self.task_types.get_mut(task_type as usize)?;
        let mut lane = known.lanes.first_entry()?;
        let id = lane.get_mut().pop_front()?;
        if lane.get().is_empty() {
            lane.remove();
        }
        // For the gate: `returned` takes it back when the attempt ends, however it ends.
        known.published += 1;
        self.published += 1;
        self.waiting -= 1;
        Some(id)
    }

    /// Takes the next suspect: it is published.
    pub(super) fn pop_alone(&mut self, task_type: u32) {
        if self.alone.pop_first().is_some() {
            self.waiting -= 1;
            self.task_type(task_type).published += 1;
            self.published += 1;
        }
    }

    fn task_type(&mut self, task_type: u32) -> &mut TaskTypeState {
        let index = task_type as usize;
        if self.task_types.len() <= index {
            self.task_types
                .resize_with(index + 1, TaskTypeState::default);
        }
        &mut self.task_types[index]
    }

    /// A task of this task type was published by an earlier master.
    pub(super) fn adopted(&mut self, task_type: u32) {
        self.task_type(task_type).published += 1;
        self.published += 1;
    }

    /// A published task of this task type has ended, or waits again.
    pub(super) fn returned(&mut self, task_type: u32) {
        if let Some(known) = self.task_types.get_mut(task_type as usize) {
            known.published = known.published.saturating_sub(1);
            self.published = self.published.saturating_sub(1);
        }
    }

    /// Takes a measured execution in.
    pub(super) fn measured(&mut self, task_type: u32, elapsed: std::time::Duration) {
        self.estimates.record(task_type, elapsed);
    }

    /// The mean of a task type, in seconds.
    pub(super) fn seconds(&self, task_type: u32) -> Option<f64> {
        self.estimates.seconds(task_type)
    }
}

#[cfg(test)]
mod tests;
