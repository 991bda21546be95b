//! What the master owes in each state: a model of its duties, apart from the code that it checks.
//!
//! The model receives every input of the master, and each effect of the master is compared with what the model expects:
//! which tasks end in this turn and how, which attempts are published, what control names, and which orders the fleet
//! receives. Where the master may choose (the jitter of a delay, the time of a look), the model has bounds.

mod batches;
mod budgets;
mod control;
mod failures;
mod limits;
mod orders;
mod tasks;
mod workers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use podpool_core::broker::BrokerEvent;
use podpool_core::envelope::{Alive, Message};
use podpool_core::fleet::Departure;
use podpool_core::id::{TaskId, WorkerId};
use tokio::time::Instant;

use crate::error::TaskErrorKind;
use crate::master::cell::{Cell, TaskState};
use crate::master::command::ShutdownBehavior;
use crate::master::mailbox::Submitted;
use crate::master::observed::Observed;
use crate::master::owners::{Ended, Owner, Owners};

use self::batches::Batch;
pub(super) use self::control::NAMED;
use self::control::Named;
use self::failures::{Held, Lines};
use self::limits::Limits;
use self::orders::Order;
use self::tasks::Task;
use self::workers::Worker;
use super::super::effect::Effect;
use super::super::state::{MasterState, Overflow, Settings};

/// The model.
pub(super) struct Duties {
    settings: Settings,
    now: Instant,
    tasks: Vec<Task>,
    /// One past the newest task that was not refused.
    taken: u64,
    /// Tasks that have not ended.
    unended: BTreeSet<u64>,
    /// Those of them that are in no batch.
    pending: BTreeSet<u64>,
    /// How each task ends that has ended in this turn; none is a result.
    ends: BTreeMap<u64, Option<TaskErrorKind>>,
    /// Batches that are out, by their number in the master.
    batches: BTreeMap<u32, Batch>,
    bytes: usize,
    /// The number of the newest batch message.
    batch_message: Option<u64>,
    /// Batches that must be published again in this turn.
    repeats: BTreeSet<u32>,
    /// Since when some worker is idle without a break.
    idle_since: Option<Instant>,
    /// Task types of which a task returned a result.
    measured: BTreeSet<u32>,
    workers: BTreeMap<WorkerId, Worker>,
    caught_up: bool,
    surplus: Vec<Arc<str>>,
    drain: BTreeSet<WorkerId>,
    /// Failures that wait for the lines before them.
    held: Vec<Held>,
    lines: BTreeMap<WorkerId, Lines>,
    /// Until then the run's end waits for lines.
    lines_end: Option<Instant>,
    revoked: BTreeMap<u64, Named>,
    /// What left the list because it was full, as the master counts it.
    pub(super) overflow: Overflow,
    /// Revoked tasks that were therefore not named as long as they should be.
    overflowed: u64,
    /// Since when the workers must receive a change.
    owed: Option<Instant>,
    control: control::Last,
    orders: Vec<Order>,
    given: Vec<Order>,
    life: orders::Life,
    limits: Limits,
    late: u64,
    /// The numbers that windows are sized by, and those that statistics show.
    seen: Observed,
}

impl Duties {
    pub(super) fn new(settings: Settings, now: Instant) -> Self {
        Self {
            settings,
            now,
            tasks: Vec::new(),
            taken: 0,
            unended: BTreeSet::new(),
            pending: BTreeSet::new(),
            ends: BTreeMap::new(),
            batches: BTreeMap::new(),
            bytes: 0,
            batch_message: None,
            repeats: BTreeSet::new(),
            idle_since: None,
            measured: BTreeSet::new(),
            workers: BTreeMap::new(),
            caught_up: false,
            surplus: Vec::new(),
            drain: BTreeSet::new(),
            held: Vec::new(),
            lines: BTreeMap::new(),
            lines_end: None,
            revoked: BTreeMap::new(),
            overflow: Overflow::default(),
            overflowed: 0,
            owed: Some(now),
            control: control::Last::new(now),
            orders: Vec::new(),
            given: Vec::new(),
            life: orders::Life::default(),
            limits: Limits::new(now),
            late: 0,
            seen: Observed::new(0),
        }
    }

    /// The attempt of a task that is out.
    pub(super) fn out(&self, task: u64) -> Option<u32> {
        let task = self.tasks.get(task as usize).filter(|task| task.is_out())?;
        Some(task.attempt)
    }

    pub(super) fn is_unended(&self, task: u64) -> bool {
        self.unended.contains(&task)
    }

    /// Whether a worker is there whose slots start.
    pub(super) fn has_fit_worker(&self) -> bool {
        self.workers.values().any(Worker::is_fit)
    }

    /// The time goes on: a turn begins.
    pub(super) fn begin(&mut self, now: Instant) {
        self.now = now;
        self.judge_ready();
    }

    /// What the master did by itself: it published again first, then it looked for silent workers.
    pub(super) fn ticked(&mut self, effects: &[Effect]) {
        let again = |effect: &&Effect| matches!(effect, Effect::Publish { .. });
        effects.iter().filter(again).for_each(|it| self.effect(it));
        self.look_for_silence();
        self.end_by_limit();
        let others = effects.iter().filter(|effect| !again(effect));
        others.for_each(|effect| self.effect(effect));
        self.check_turn();
    }

    /// What the master did after the last input of a turn.
    pub(super) fn concluded(&mut self, effects: &[Effect]) {
        self.end_by_limit();
        self.end_heartbeat();
        self.conclude_orders();
        effects.iter().for_each(|effect| self.effect(effect));
        self.check_turn();
        self.check_waiting();
        self.check_owed();
    }

    /// What can be read from the master at the end of a turn.
    pub(super) fn check_numbers(&self, master: &mut MasterState) {
        assert_eq!(master.unfinished(), self.unended.len(), "unfinished tasks");
        assert_eq!(master.left_out(), (self.late, 0), "late results");
        let replays: u64 = self.workers.values().map(|worker| worker.replays).sum();
        assert_eq!(master.replays(), replays, "heartbeats behind newer ones");
        master.report_measured(&self.seen.measured);
        assert_eq!(
            self.seen.measured.pace().slots,
            self.fit_slots(),
            "slots there"
        );
        self.check_stats(master);
        let waiting = self.pending.iter().map(|task| self.task(*task));
        let most = waiting.clone().filter(|task| task.may_wait(self.now));
        let least = waiting.filter(|task| task.waits(self.now));
        let bounds = least.count()..=most.count();
        assert!(bounds.contains(&master.waiting()), "{bounds:?} tasks wait");
    }

    /// What statistics show at the end of a turn.
    fn check_stats(&self, master: &mut MasterState) {
        master.write_stats(self.now, &self.seen.board, || None);
        let submitted = self.tasks.len() as u64;
        let stats = self.seen.board.read(self.now, || Submitted {
            all: submitted,
            ..Submitted::default()
        });
        let unended = self.unended.len() as u64;
        assert_eq!(stats.ended(), submitted - unended, "tasks that ended");
        assert_eq!(stats.pending + stats.running, unended, "tasks that did not");
        let running = self.unended.iter().filter(|it| self.task(**it).running);
        assert_eq!(stats.running, running.count() as u64, "running tasks");
        let oldest = self.unended.first();
        assert_eq!(
            stats.oldest.as_ref().map(|it| it.task.id.0),
            oldest.copied()
        );
        if let Some(oldest) = &stats.oldest {
            let running = self.task(oldest.task.id.0).running;
            assert_eq!(oldest.waits.is_none(), running, "{oldest:?}");
        }
    }

    /// A task's future shows an attempt that a worker has begun, and no other.
    pub(super) fn check_cells(&self, cells: &[Arc<Cell>]) {
        for number in &self.unended {
            let (task, state) = (self.task(*number), cells[*number as usize].state());
            let running =
                matches!(state, TaskState::Running { attempt } if attempt.0 == task.attempt);
            assert_eq!(running, task.running, "task {number} is shown as {state:?}");
        }
    }

    fn effect(&mut self, effect: &Effect) {
        match effect {
            Effect::Settle(ended) => self.settled(ended),
            Effect::Publish { batch, message, .. } => self.published(*batch, message),
            Effect::Control(message) => self.controlled(message),
            Effect::Fleet(order) => self.given.push(order.into()),
            Effect::Event(_)
            | Effect::Notice(_)
            | Effect::Close(_)
            | Effect::Show(..)
            | Effect::Record(_)
            | Effect::Fetch { .. } => {}
        }
    }

    /// Each end comes once, in the turn in which it is owed, and is the right one.
    fn settled(&mut self, ended: &Ended) {
        let Owners::One(Owner::Future(cell)) = &ended.owners else {
            panic!("each task has one owner");
        };
        let (task, end) = (cell.id(), ended.outcome.as_ref().err());
        let end = end.map(|error| error.kind());
        let owed = self.ends.remove(&task.0);
        assert_eq!(owed, Some(end), "the end of task {}", task.0);
    }

    fn check_turn(&mut self) {
        assert!(self.ends.is_empty(), "no end is sent: {:?}", self.ends);
        assert!(self.repeats.is_empty(), "not again: {:?}", self.repeats);
        let (owed, given) = (&self.orders, &self.given);
        assert_eq!(owed, given, "orders to the fleet: owed, and given");
        self.orders.clear();
        self.given.clear();
    }

    /// A message comes to the master.
    pub(super) fn heard(&mut self, message: &Message, caught_up: bool) {
        self.caught_up = caught_up;
        if let Some((_, epoch)) = message.origin()
            && epoch > self.settings.epoch
        {
            self.supersede();
            return;
        }
        match message {
            Message::Results(results, entries) => self.results(results, entries),
            Message::Started(started) => self.started(started),
            Message::Alive(alive) => self.alive(alive),
            Message::Hello(hello) => self.hello(hello),
            Message::Printed(printed) => self.printed(printed),
            _ => panic!("no worker sends it"),
        }
    }

    fn alive(&mut self, alive: &Alive) {
        self.look_at_batches();
        self.beat(alive);
        self.check_overdue();
    }

    pub(super) fn cancelled(&mut self, task: TaskId) {
        if self.unended.contains(&task.0) {
            self.cancel(task.0);
        }
    }

    pub(super) fn shut_down(&mut self, behavior: ShutdownBehavior) {
        self.life.closing = true;
        match behavior {
            ShutdownBehavior::CancelPending => {
                let begun = |task: &u64| self.task(*task).is_out() && self.task(*task).running;
                let pending = self.unended.iter().copied().filter(|task| !begun(task));
                let pending: Vec<_> = pending.collect();
                pending.into_iter().for_each(|task| self.cancel(task));
            }
            ShutdownBehavior::Abort => {
                self.life.aborted = true;
                self.end_all(TaskErrorKind::ShutDown);
                self.orders.push(Order::Stop);
            }
            ShutdownBehavior::WaitForTasks => {}
        }
    }

    pub(super) fn broker(&mut self, event: &BrokerEvent) {
        self.judge_all();
        match event {
            BrokerEvent::Restored => self.restored(),
            _ => self.break_run(TaskErrorKind::PoolBroken),
        }
    }

    pub(super) fn departed(&mut self, departure: &Departure) {
        self.judge_all();
        self.depart(departure);
    }

    /// Every task ends with the run.
    fn end_all(&mut self, kind: TaskErrorKind) {
        for task in self.unended.clone() {
            self.end(task, Some(kind));
        }
    }
}
