//! Tasks that wait to be published, and how they are packed: pure state.
//!
//! Highest priority first, then the kind whose oldest task is oldest. While a kind was never measured, only a few
//! of its tasks are out; the first measurement opens its gate.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use podpool_core::id::TaskId;
use podpool_core::worker::estimate::Estimates;

use super::ranges::Ranges;

/// A batch is worth about this many seconds of work.
const WORTH: f64 = 0.5;
/// Most tasks in a batch.
pub(super) const MAX_TASKS: usize = 4096;
/// Most bytes of arguments in a batch of several tasks.
pub(super) const MAX_BYTES: usize = 1 << 20;
/// Arguments past this go alone: packing them costs more than it saves.
pub(super) const ALONE_BYTES: usize = 64 << 10;

/// Tasks of one kind and priority.
#[derive(Debug, Default)]
struct Lane {
    /// Those that were published before: they go first, the oldest of them first.
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

/// What the outbox knows of a kind.
#[derive(Debug, Default)]
struct KindState {
    /// Its tasks that wait, by priority. None is empty.
    lanes: BTreeMap<Reverse<i32>, Lane>,
    /// Published tasks that have not ended.
    published: usize,
    /// Each of its tasks travels by itself.
    lonely: bool,
}

/// The outbox.
#[derive(Debug)]
pub(super) struct Outbox {
    /// Tasks that must run alone; they go first, one by one, the oldest first.
    alone: Ranges,
    kinds: Vec<KindState>,
    estimates: Estimates,
    waiting: usize,
    slots: usize,
}

/// What a kind's next batch may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    /// So many tasks at most.
    Open(usize),
    /// Enough of it is out until one is measured; others may go.
    Closed,
    /// It waits for company.
    Company,
}

/// Which tasks come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// This one, in a batch that runs alone.
    Alone(TaskId),
    /// Up to so many of this kind, by priority.
    Lane { kind: u32, most: usize },
}

impl Outbox {
    pub(super) fn new(slots: usize) -> Self {
        Self {
            alone: Ranges::default(),
            kinds: Vec::new(),
            estimates: Estimates::default(),
            waiting: 0,
            slots,
        }
    }

    /// How many tasks wait.
    pub(super) const fn waiting(&self) -> usize {
        self.waiting
    }

    /// A new task waits.
    pub(super) fn push(&mut self, id: TaskId, priority: i32, kind: u32) {
        self.lane(priority, kind).fresh.insert(id.0);
        self.waiting += 1;
    }

    /// A task waits again, before those that never ran.
    pub(super) fn push_again(&mut self, id: TaskId, priority: i32, kind: u32) {
        self.lane(priority, kind).again.insert(id.0);
        self.waiting += 1;
    }

    fn lane(&mut self, priority: i32, kind: u32) -> &mut Lane {
        self.kind(kind).lanes.entry(Reverse(priority)).or_default()
    }

    /// A suspect waits.
    pub(super) fn push_alone(&mut self, id: TaskId) {
        self.alone.insert(id.0);
        self.waiting += 1;
    }

    /// Takes a task out: it was cancelled.
    pub(super) fn remove(&mut self, id: TaskId, priority: i32, kind: u32) {
        let removed = self.alone.remove(id.0) || self.remove_from_lane(id, priority, kind);
        self.waiting -= usize::from(removed);
    }

    fn remove_from_lane(&mut self, id: TaskId, priority: i32, kind: u32) -> bool {
        let lanes = &mut self.kind(kind).lanes;
        let Some(lane) = lanes.get_mut(&Reverse(priority)) else {
            return false;
        };
        let removed = lane.remove(id);
        if lane.is_empty() {
            lanes.remove(&Reverse(priority));
        }
        removed
    }

    /// Each task of this kind travels by itself.
    pub(super) fn set_lonely(&mut self, kind: u32) {
        self.kind(kind).lonely = true;
    }

    /// What to publish next; `None` when nothing may be. While so much is out that no hand waits for it (`crowded`), what
    /// would be a small batch waits for company: many small ones would take the queue longer than their work takes.
    /// Nothing that comes after it passes it, so that it goes when less is out, whatever else comes.
    pub(super) fn choose(&self, crowded: bool) -> Option<Choice> {
        if let Some(id) = self.alone.first() {
            return Some(Choice::Alone(TaskId(id)));
        }
        match self.best(crowded)? {
            (_, _, kind, Gate::Open(most)) => Some(Choice::Lane { kind, most }),
            (_, _, _, Gate::Closed | Gate::Company) => None,
        }
    }

    /// Whether this kind's next task goes before all others: a batch may go on with it at a lower priority.
    pub(super) fn goes_on(&self, kind: u32) -> bool {
        self.best(false).is_some_and(|(_, _, best, _)| best == kind)
    }

    /// The first task of all kinds whose gate is not closed, by priority, then by age.
    fn best(&self, crowded: bool) -> Option<(i32, TaskId, u32, Gate)> {
        let mut best: Option<(i32, TaskId, u32, Gate)> = None;
        for (kind, known) in (0..).zip(&self.kinds) {
            let lane = known.lanes.first_key_value();
            let first = lane.and_then(|(priority, lane)| Some((priority.0, lane.front()?)));
            let Some((priority, front)) = first else {
                continue;
            };
            let goes_before = |(other, oldest, ..): (i32, TaskId, u32, Gate)| {
                (Reverse(priority), front) < (Reverse(other), oldest)
            };
            if best.is_none_or(goes_before) {
                let gate = self.gate(kind, known, crowded);
                if gate != Gate::Closed {
                    best = Some((priority, front, kind, gate));
                }
            }
        }
        best
    }

    fn gate(&self, kind: u32, known: &KindState, crowded: bool) -> Gate {
        let Some(seconds) = self.estimates.seconds(kind) else {
            return if known.published < 4 * self.slots {
                Gate::Open(1)
            } else {
                Gate::Closed
            };
        };
        if known.lonely {
            return Gate::Open(1);
        }
        let share = (self.waiting / (4 * self.slots)).max(1);
        // A float that is too large, or that a zero gave, saturates.
        let worth = ((WORTH / seconds.max(1e-9)) as usize).clamp(1, MAX_TASKS);
        if crowded && share < worth {
            return Gate::Company;
        }
        Gate::Open(share.min(worth))
    }

    /// The next task of a kind, without taking it: of its highest priority, whatever others have.
    pub(super) fn peek(&self, kind: u32) -> Option<(i32, TaskId)> {
        let known = self.kinds.get(kind as usize)?;
        let (priority, lane) = known.lanes.first_key_value()?;
        Some((priority.0, lane.front()?))
    }

    /// Takes the next task of a kind: it is published.
    pub(super) fn pop(&mut self, kind: u32) -> Option<TaskId> {
        let known = self.kinds.get_mut(kind as usize)?;
        let mut lane = known.lanes.first_entry()?;
        let id = lane.get_mut().pop_front()?;
        if lane.get().is_empty() {
            lane.remove();
        }
        known.published += 1;
        self.waiting -= 1;
        Some(id)
    }

    /// Takes the next suspect: it is published.
    pub(super) fn pop_alone(&mut self, kind: u32) {
        if self.alone.pop_first().is_some() {
            self.waiting -= 1;
            self.kind(kind).published += 1;
        }
    }

    fn kind(&mut self, kind: u32) -> &mut KindState {
        let index = kind as usize;
        if self.kinds.len() <= index {
            self.kinds.resize_with(index + 1, KindState::default);
        }
        &mut self.kinds[index]
    }

    /// A published task of this kind has ended, or waits again.
    pub(super) fn returned(&mut self, kind: u32) {
        if let Some(known) = self.kinds.get_mut(kind as usize) {
            known.published = known.published.saturating_sub(1);
        }
    }

    /// Takes a measured execution in.
    pub(super) fn measured(&mut self, kind: u32, elapsed: std::time::Duration) {
        self.estimates.record(kind, elapsed);
    }

    /// The mean of a kind, in seconds.
    pub(super) fn seconds(&self, kind: u32) -> Option<f64> {
        self.estimates.seconds(kind)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn lane(outbox: &Outbox) -> (u32, usize) {
        match outbox.choose(false) {
            Some(Choice::Lane { kind, most, .. }) => (kind, most),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_unmeasured_kind_sends_few_tasks_and_the_first_end_opens_the_gate() {
        let mut outbox = Outbox::new(2);
        (0..100).for_each(|n| outbox.push(TaskId(n), 0, 0));
        for n in 0..8 {
            assert_eq!(lane(&outbox), (0, 1));
            assert_eq!(outbox.pop(0), Some(TaskId(n)));
        }
        assert_eq!(outbox.choose(false), None);
        outbox.returned(0);
        assert_eq!(lane(&outbox), (0, 1), "any end frees a place");
        outbox.measured(0, Duration::from_micros(1));
        assert_eq!(lane(&outbox), (0, 92 / 8));
    }

    #[test]
    fn batches_follow_the_measured_time() {
        let mut outbox = Outbox::new(1);
        (0..1_000_000).for_each(|n| outbox.push(TaskId(n), 0, 0));
        outbox.measured(0, Duration::from_secs(5));
        assert_eq!(lane(&outbox), (0, 1));
        let mut outbox = Outbox {
            estimates: Estimates::default(),
            ..outbox
        };
        outbox.measured(0, Duration::from_millis(10));
        assert_eq!(lane(&outbox), (0, 50));
        let mut outbox = Outbox {
            estimates: Estimates::default(),
            ..outbox
        };
        outbox.measured(0, Duration::ZERO);
        assert_eq!(lane(&outbox), (0, MAX_TASKS));
    }

    #[test]
    fn priority_goes_before_age_and_age_before_kind() {
        let mut outbox = Outbox::new(8);
        outbox.push(TaskId(0), 0, 1);
        outbox.push(TaskId(1), 0, 0);
        outbox.push(TaskId(2), 5, 2);
        outbox.push_alone(TaskId(3));
        assert_eq!(outbox.choose(false), Some(Choice::Alone(TaskId(3))));
        outbox.pop_alone(0);
        assert_eq!(lane(&outbox).0, 2);
        outbox.pop(2);
        assert_eq!(lane(&outbox).0, 1);
        outbox.pop(1);
        assert_eq!(lane(&outbox).0, 0);
    }

    #[test]
    fn a_closed_gate_does_not_hold_other_kinds_back() {
        let mut outbox = Outbox::new(1);
        (0..9).for_each(|n| outbox.push(TaskId(n), 0, 0));
        outbox.push(TaskId(9), 0, 1);
        (0..4).for_each(|n| assert_eq!(outbox.pop(0), Some(TaskId(n))));
        assert_eq!(lane(&outbox).0, 1);
    }

    #[test]
    fn a_cancelled_task_leaves_a_hole() {
        let mut outbox = Outbox::new(1);
        (0..5).for_each(|n| outbox.push(TaskId(n), 0, 0));
        outbox.measured(0, Duration::ZERO);
        for gone in [2, 0, 4] {
            outbox.remove(TaskId(gone), 0, 0);
        }
        assert_eq!(outbox.waiting(), 2);
        assert_eq!(
            (outbox.pop(0), outbox.pop(0)),
            (Some(TaskId(1)), Some(TaskId(3)))
        );
        assert_eq!((outbox.pop(0), outbox.choose(false)), (None, None));
    }

    #[test]
    fn in_a_crowd_only_full_batches_and_lonely_tasks_go() {
        let mut outbox = Outbox::new(1);
        outbox.measured(0, Duration::from_millis(10));
        outbox.measured(1, Duration::from_millis(10));
        outbox.set_lonely(1);
        (0..199).for_each(|n| outbox.push(TaskId(n), 0, 0));
        assert_eq!(lane(&outbox), (0, 49));
        assert_eq!(outbox.choose(true), None, "it waits for company");
        outbox.push(TaskId(199), 0, 0);
        let full = Choice::Lane { kind: 0, most: 50 };
        assert_eq!(outbox.choose(true), Some(full), "it is worth half a second");
        assert_eq!(outbox.pop(0), Some(TaskId(0)));
        outbox.remove(TaskId(1), 0, 0);
        outbox.push(TaskId(200), 1, 1);
        let lonely = Choice::Lane { kind: 1, most: 1 };
        assert_eq!(outbox.choose(true), Some(lonely), "company never comes");
        outbox.pop(1);
        outbox.push(TaskId(201), -1, 1);
        (2..50).for_each(|n| outbox.remove(TaskId(n), 0, 0));
        assert_eq!(outbox.choose(true), None, "the first is not passed");
        assert_eq!(lane(&outbox).0, 0, "it goes when less is out");
    }

    #[test]
    fn long_tasks_wait_for_no_company() {
        let mut outbox = Outbox::new(1);
        outbox.measured(0, Duration::from_secs(1));
        outbox.push(TaskId(0), 0, 0);
        let whole = Choice::Lane { kind: 0, most: 1 };
        assert_eq!(outbox.choose(true), Some(whole), "one is a full batch");
    }

    #[test]
    fn a_retry_goes_before_what_never_ran_and_the_oldest_retry_first() {
        let mut outbox = Outbox::new(1);
        [2, 7]
            .into_iter()
            .for_each(|n| outbox.push(TaskId(n), 0, 0));
        [8, 3, 6]
            .into_iter()
            .for_each(|n| outbox.push_again(TaskId(n), 0, 0));
        let order = std::iter::from_fn(|| outbox.pop(0)).map(|id| id.0);
        assert_eq!(order.collect::<Vec<_>>(), [3, 6, 8, 2, 7]);
    }

    #[test]
    fn suspects_go_first_one_by_one_and_can_be_cancelled() {
        let mut outbox = Outbox::new(1);
        outbox.push(TaskId(0), 9, 0);
        [5, 3, 4]
            .into_iter()
            .for_each(|n| outbox.push_alone(TaskId(n)));
        outbox.remove(TaskId(3), 0, 0);
        assert_eq!(outbox.waiting(), 3);
        for suspect in [4, 5] {
            assert_eq!(outbox.choose(true), Some(Choice::Alone(TaskId(suspect))));
            outbox.pop_alone(0);
        }
        assert_eq!(lane(&outbox), (0, 1));
        assert_eq!(outbox.waiting(), 1);
    }

    #[test]
    fn a_kind_goes_on_at_a_lower_priority_until_another_kind_is_before_it() {
        let mut outbox = Outbox::new(1);
        for (id, priority, kind) in [(0, 3, 0), (1, 2, 0), (2, 2, 1), (3, 1, 0), (4, 0, 0)] {
            outbox.push(TaskId(id), priority, kind);
        }
        let mut order = Vec::new();
        for kind in [0, 0, 1, 0, 0] {
            assert!(outbox.goes_on(kind) && !outbox.goes_on(1 - kind));
            order.extend(outbox.peek(kind).map(|(priority, id)| (id.0, priority)));
            outbox.pop(kind);
        }
        assert_eq!(order, [(0, 3), (1, 2), (2, 2), (3, 1), (4, 0)]);
        assert!(!outbox.goes_on(0));
    }

    #[test]
    fn a_lane_that_was_emptied_by_cancels_is_gone() {
        let mut outbox = Outbox::new(1);
        (0..100).for_each(|n| outbox.push(TaskId(n), n as i32, 0));
        (0..100).for_each(|n| outbox.remove(TaskId(n), n as i32, 0));
        assert!(outbox.kinds[0].lanes.is_empty());
        assert_eq!((outbox.waiting(), outbox.choose(false)), (0, None));
    }
}
