//! Tasks that wait to be published, and how they are packed: pure state.
//!
//! Highest priority first, then the kind whose oldest task is oldest. While a kind was never measured, only a few
//! of its tasks are out; the first measurement opens its gate.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

use podpool_core::id::TaskId;
use podpool_core::worker::estimate::Estimates;

/// A parcel is worth about this many seconds of work.
const WORTH: f64 = 0.5;
/// Most tasks in a parcel.
pub(super) const MAX_TASKS: usize = 4096;
/// Most bytes of arguments in a parcel of several tasks.
pub(super) const MAX_BYTES: usize = 1 << 20;
/// Arguments past this go alone: packing them costs more than it saves.
pub(super) const ALONE_BYTES: usize = 64 << 10;

/// Tasks of one kind and priority, in runs of numbers that follow each other.
#[derive(Debug, Default)]
struct Lane {
    runs: VecDeque<(u64, u64)>,
}

impl Lane {
    fn push_back(&mut self, id: TaskId) {
        match self.runs.back_mut() {
            Some((first, count)) if *first + *count == id.0 => *count += 1,
            _ => self.runs.push_back((id.0, 1)),
        }
    }

    fn push_front(&mut self, id: TaskId) {
        match self.runs.front_mut() {
            Some((first, count)) if *first == id.0 + 1 => {
                *first -= 1;
                *count += 1;
            }
            _ => self.runs.push_front((id.0, 1)),
        }
    }

    fn front(&self) -> Option<TaskId> {
        self.runs.front().map(|(first, _)| TaskId(*first))
    }

    fn pop_front(&mut self) -> Option<TaskId> {
        let (first, count) = self.runs.front_mut()?;
        let id = TaskId(*first);
        *first += 1;
        *count -= 1;
        if *count == 0 {
            self.runs.pop_front();
        }
        Some(id)
    }

    /// Takes one task out of the middle; false when it is not here.
    fn remove(&mut self, id: TaskId) -> bool {
        let holds = |(first, count): &(u64, u64)| (*first..*first + *count).contains(&id.0);
        let Some(at) = self.runs.iter().position(holds) else {
            return false;
        };
        let (first, count) = self.runs[at];
        let (before, after) = (id.0 - first, first + count - id.0 - 1);
        match (before, after) {
            (0, 0) => drop(self.runs.remove(at)),
            (0, after) => self.runs[at] = (id.0 + 1, after),
            (before, 0) => self.runs[at] = (first, before),
            (before, after) => {
                self.runs[at] = (first, before);
                self.runs.insert(at + 1, (id.0 + 1, after));
            }
        }
        true
    }
}

/// What the outbox knows of a kind.
#[derive(Clone, Copy, Debug, Default)]
struct KindState {
    /// Published tasks that have not ended.
    published: usize,
    /// Each of its tasks travels by itself.
    lonely: bool,
}

/// The outbox.
#[derive(Debug)]
pub(super) struct Outbox {
    lanes: BTreeMap<(Reverse<i32>, u32), Lane>,
    /// Tasks that must run alone; they go first, one by one.
    alone: VecDeque<TaskId>,
    kinds: Vec<KindState>,
    estimates: Estimates,
    waiting: usize,
    slots: usize,
}

/// What a kind's next parcel may be.
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
    /// This one, in a parcel that runs alone.
    Alone(TaskId),
    /// Up to so many of this kind and priority.
    Lane {
        priority: i32,
        kind: u32,
        most: usize,
    },
}

impl Outbox {
    pub(super) fn new(slots: usize) -> Self {
        Self {
            lanes: BTreeMap::new(),
            alone: VecDeque::new(),
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
        self.lanes
            .entry((Reverse(priority), kind))
            .or_default()
            .push_back(id);
        self.waiting += 1;
    }

    /// A task waits again, before those that never ran.
    pub(super) fn push_again(&mut self, id: TaskId, priority: i32, kind: u32) {
        self.lanes
            .entry((Reverse(priority), kind))
            .or_default()
            .push_front(id);
        self.waiting += 1;
    }

    /// A suspect waits.
    pub(super) fn push_alone(&mut self, id: TaskId) {
        self.alone.push_back(id);
        self.waiting += 1;
    }

    /// Takes a task out: it was cancelled.
    pub(super) fn remove(&mut self, id: TaskId, priority: i32, kind: u32) {
        let lane = self.lanes.get_mut(&(Reverse(priority), kind));
        let alone = self.alone.iter().position(|waiting| *waiting == id);
        let removed = if let Some(at) = alone {
            self.alone.remove(at).is_some()
        } else {
            lane.is_some_and(|lane| lane.remove(id))
        };
        self.waiting -= usize::from(removed);
    }

    /// Each task of this kind travels by itself.
    pub(super) fn set_lonely(&mut self, kind: u32) {
        self.kind(kind).lonely = true;
    }

    /// What to publish next; `None` when nothing may be. While so much is out that no hand waits for it (`crowded`), what
    /// would be a small parcel waits for company: many small ones would take the queue longer than their work takes.
    /// Nothing that comes after it passes it, so that it goes when less is out, whatever else comes.
    pub(super) fn choose(&self, crowded: bool) -> Option<Choice> {
        if let Some(id) = self.alone.front() {
            return Some(Choice::Alone(*id));
        }
        let mut best: Option<(i32, TaskId, u32, Gate)> = None;
        for (&(Reverse(priority), kind), lane) in &self.lanes {
            let Some(front) = lane.front() else { continue };
            if best.is_some_and(|(better, ..)| better > priority) {
                break;
            }
            let gate = self.gate(kind, crowded);
            if gate != Gate::Closed && best.is_none_or(|(_, oldest, ..)| front < oldest) {
                best = Some((priority, front, kind, gate));
            }
        }
        match best? {
            (priority, _, kind, Gate::Open(most)) => Some(Choice::Lane {
                priority,
                kind,
                most,
            }),
            (_, _, _, Gate::Closed | Gate::Company) => None,
        }
    }

    fn gate(&self, kind: u32, crowded: bool) -> Gate {
        let known = self.kinds.get(kind as usize).copied().unwrap_or_default();
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

    /// The next task of a lane, without taking it.
    pub(super) fn peek(&self, priority: i32, kind: u32) -> Option<TaskId> {
        self.lanes.get(&(Reverse(priority), kind))?.front()
    }

    /// Takes the next task of a lane: it is published.
    pub(super) fn pop(&mut self, priority: i32, kind: u32) -> Option<TaskId> {
        let key = (Reverse(priority), kind);
        let lane = self.lanes.get_mut(&key)?;
        let id = lane.pop_front()?;
        if lane.runs.is_empty() {
            self.lanes.remove(&key);
        }
        self.waiting -= 1;
        self.published(kind);
        Some(id)
    }

    /// Takes the next suspect: it is published.
    pub(super) fn pop_alone(&mut self, kind: u32) {
        if self.alone.pop_front().is_some() {
            self.waiting -= 1;
            self.published(kind);
        }
    }

    fn published(&mut self, kind: u32) {
        self.kind(kind).published += 1;
    }

    fn kind(&mut self, kind: u32) -> &mut KindState {
        let index = kind as usize;
        if self.kinds.len() <= index {
            self.kinds.resize(index + 1, KindState::default());
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
            assert_eq!(outbox.pop(0, 0), Some(TaskId(n)));
        }
        assert_eq!(outbox.choose(false), None);
        outbox.returned(0);
        assert_eq!(lane(&outbox), (0, 1), "any end frees a place");
        outbox.measured(0, Duration::from_micros(1));
        assert_eq!(lane(&outbox), (0, 92 / 8));
    }

    #[test]
    fn parcels_follow_the_measured_time() {
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
        outbox.pop(5, 2);
        assert_eq!(lane(&outbox).0, 1);
        outbox.pop(0, 1);
        assert_eq!(lane(&outbox).0, 0);
    }

    #[test]
    fn a_closed_gate_does_not_hold_other_kinds_back() {
        let mut outbox = Outbox::new(1);
        (0..9).for_each(|n| outbox.push(TaskId(n), 0, 0));
        outbox.push(TaskId(9), 0, 1);
        (0..4).for_each(|n| assert_eq!(outbox.pop(0, 0), Some(TaskId(n))));
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
            (outbox.pop(0, 0), outbox.pop(0, 0)),
            (Some(TaskId(1)), Some(TaskId(3)))
        );
        assert_eq!((outbox.pop(0, 0), outbox.choose(false)), (None, None));
    }

    #[test]
    fn in_a_crowd_only_full_parcels_and_lonely_tasks_go() {
        let mut outbox = Outbox::new(1);
        outbox.measured(0, Duration::from_millis(10));
        outbox.measured(1, Duration::from_millis(10));
        outbox.set_lonely(1);
        (0..199).for_each(|n| outbox.push(TaskId(n), 0, 0));
        assert_eq!(lane(&outbox), (0, 49));
        assert_eq!(outbox.choose(true), None, "it waits for company");
        outbox.push(TaskId(199), 0, 0);
        let full = Choice::Lane {
            priority: 0,
            kind: 0,
            most: 50,
        };
        assert_eq!(outbox.choose(true), Some(full), "it is worth half a second");
        assert_eq!(outbox.pop(0, 0), Some(TaskId(0)));
        outbox.remove(TaskId(1), 0, 0);
        outbox.push(TaskId(200), 1, 1);
        let lonely = Choice::Lane {
            priority: 1,
            kind: 1,
            most: 1,
        };
        assert_eq!(outbox.choose(true), Some(lonely), "company never comes");
        outbox.pop(1, 1);
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
        let whole = Choice::Lane {
            priority: 0,
            kind: 0,
            most: 1,
        };
        assert_eq!(outbox.choose(true), Some(whole), "one is a full parcel");
    }

    #[test]
    fn a_retry_goes_before_what_never_ran() {
        let mut outbox = Outbox::new(1);
        outbox.push(TaskId(7), 0, 0);
        outbox.push_again(TaskId(3), 0, 0);
        outbox.push_again(TaskId(6), 0, 0);
        assert_eq!(outbox.pop(0, 0), Some(TaskId(6)));
        assert_eq!(outbox.pop(0, 0), Some(TaskId(3)));
        assert_eq!(outbox.pop(0, 0), Some(TaskId(7)));
    }
}
