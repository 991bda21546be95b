//! What the master records and decides: no IO, no clock, no channel.
//!
//! Every input takes `now` and leaves its [`Effect`]s for the loop; every random number is drawn from the seed in the
//! settings. Submissions come in, batches go out, results end tasks. Every task that has not ended stands in the table;
//! dropping the state settles each of them, so that no path leaves a future waiting.

mod adopt;
mod announce;
mod builds;
mod cancel;
mod detach;
mod intake;
mod judge;
mod life;
mod limits;
mod loss;
mod lost;
mod messages;
mod pace;
mod publish;
mod remember;
mod republish;
mod results;
mod revoked;
mod scale;
mod tally;
#[cfg(test)]
mod tests;
mod timing;
mod unfit;
mod workers;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fastrand::Rng;
use podpool_core::broker::ClassId;
use podpool_core::envelope::{MacKey, RunState, TaskType};
use podpool_core::id::{RunId, TaskId, WorkerId};
use podpool_core::instant::after;
use podpool_core::place::WorkerPlace;
use tokio::time::Instant;

use crate::master::cell::Settled;
use crate::master::limits::Limits;
use crate::master::owners::Ended;
use crate::report::outlet::Position;

use self::builds::Builds;
pub(crate) use self::life::Life;
use self::limits::Measures;
pub(crate) use self::revoked::{MAX_RANGES, Overflow};
use self::tally::{Ran, Tally};
pub(crate) use self::timing::Times;
use self::workers::Worker;
use super::admission::Admission;
use super::after_lines::AfterLines;
use super::batches::{Batches, Load};
use super::classes::Classes;
use super::effect::Effect;
use super::notices::Retries;
use super::remembered::Remembered;
use super::table::{Entry, Phase, Table};

/// Time between two control messages when nothing changes.
// An idle pod leaves after 5 minutes without a message (`idle_timeout`'s default): 30 messages in a row may be lost. At
// double it would be 15; at half each worker would read twice as many messages of up to `CONTROL_BYTES`, without news.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// What the master receives when it starts.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) run: RunId,
    pub(crate) mac_key: MacKey,
    /// What every random choice is drawn from.
    pub(crate) seed: u64,
    /// The classes of its tasks; the default class is among them.
    pub(crate) classes: Vec<ClassId>,
    /// Slots of all workers together.
    pub(crate) slots: usize,
    /// Largest message that the tasks' queue carries, in bytes.
    pub(crate) message_bytes: usize,
    /// Most batches that are out at once.
    pub(crate) batches_out: usize,
    /// Most bytes of arguments that are out at once.
    pub(crate) bytes_out: usize,
    /// How long the tasks' leases last.
    pub(crate) lease: Duration,
    /// Overrides every task's own retries.
    pub(crate) retries: Option<u32>,
    /// What ends the run before its tasks do.
    pub(crate) limits: Limits,
    /// The master's epoch: a younger master of the same run has a higher one.
    pub(crate) epoch: u64,
    /// How long no greeting, heartbeat or `Started` of a worker may come until it counts as lost; `None`: for ever.
    pub(crate) silence: Option<Duration>,
    /// Most workers at a time.
    pub(crate) workers: usize,
    /// The master's build; empty where workers are of the same file.
    pub(crate) build: String,
    /// Whether workers must be of the same build.
    pub(crate) same_build: bool,
    /// Whether the queues are across a network: only then are round trips worth measuring.
    pub(crate) remote: bool,
    /// Bytes that running tasks share by what they declare; none where workers have memory of their own.
    pub(crate) memory: Option<u64>,
    /// Whether workers are elsewhere: their lines come as messages, and their removal takes its time.
    pub(crate) elsewhere: bool,
    /// Shortest time between two control messages about changes.
    pub(crate) control_pause: Duration,
    /// Whether the results' queue remains when the run has ended. Its last messages are taken then, so that they do not
    /// reach the next run.
    pub(crate) results_outlive: bool,
    /// Most ranges of revoked tasks that control names.
    pub(crate) revoked_ranges: usize,
}

/// The master's state.
#[derive(Debug)]
pub(crate) struct MasterState {
    settings: Settings,
    rng: Rng,
    life: Life,
    measures: Measures,
    table: Table,
    classes: Classes,
    batches: Batches,
    task_types: Vec<Option<TaskType>>,
    // A task that ends during its delay stays in the heap and is passed over when it is due: to find it would cost a
    // search of the heap, and a left entry costs one look.
    delayed: BinaryHeap<Reverse<(Instant, u64)>>,
    /// In order, so that one seed gives one trace.
    workers: BTreeMap<WorkerId, Worker>,
    revoked: revoked::RevokedList,
    announced: announce::Announced,
    run_state: RunState,
    republish_at: Option<Instant>,
    /// When the master next examines whether revoked attempts can still be in the queue; never while there are none.
    revoked_at: Option<Instant>,
    /// The number of the next batch; a batch that is published again gets another number.
    next_batch: u64,
    /// Results that came after their task's end, or for an older attempt.
    late_results: u64,
    /// Messages that were not this run's: a wrong MAC, another run, or a message that no worker sends.
    dropped: u64,
    pace: pace::Pace,
    /// Workers that must leave, as control names them.
    drain: Vec<WorkerId>,
    /// Names of surplus workers, until they greet.
    surplus: Vec<Arc<str>>,
    /// Whether the last pull of results left nothing behind.
    caught_up: bool,
    /// Workers in a row whose slots do not start, since a task ended in a slot, and when each reported it.
    unfit: Vec<(WorkerId, Instant)>,
    builds: Builds,
    /// Failures that are judged after the lines before them.
    after_lines: AfterLines,
    /// Notices about attempts that failed and are made again.
    retries: Retries,
    tally: Tally,
    /// The memory that running tasks share; none where workers have memory of their own.
    admission: Option<Admission>,
    /// The tasks that the run remembers; none without a ledger.
    remembered: Option<Box<Remembered>>,
    /// Tasks below may be of earlier masters, which had read what workers reported of their begin.
    adopted_below: TaskId,
    /// Where workers run, by their names: also of those that have not greeted.
    places: HashMap<Arc<str>, Arc<WorkerPlace>>,
    /// What the wall clock showed at the beginning of this turn.
    wall: SystemTime,
    /// Whether the queue of results was read to its end once.
    read_once: bool,
    /// Most workers at a time, where that was changed.
    scaled: Option<usize>,
    effects: Vec<Effect>,
}

impl MasterState {
    pub(crate) fn new(settings: Settings, now: Instant) -> Self {
        let tally = Tally::new(&settings);
        let slots = settings.slots.max(1);
        let admission = settings.memory.map(|bytes| Admission::new(bytes, slots));
        Self {
            rng: Rng::with_seed(settings.seed),
            life: Life::default(),
            measures: Measures::new(&settings.limits, now),
            classes: Classes::new(&settings.classes, settings.slots),
            revoked: revoked::RevokedList::new(settings.revoked_ranges),
            settings,
            table: Table::default(),
            batches: Batches::default(),
            task_types: Vec::new(),
            delayed: BinaryHeap::new(),
            workers: BTreeMap::new(),
            announced: announce::Announced::new(now),
            run_state: RunState::Open,
            republish_at: None,
            revoked_at: None,
            next_batch: 0,
            late_results: 0,
            dropped: 0,
            pace: pace::Pace::default(),
            drain: Vec::new(),
            surplus: Vec::new(),
            caught_up: false,
            unfit: Vec::new(),
            builds: Builds::default(),
            after_lines: AfterLines::default(),
            retries: Retries::default(),
            tally,
            admission,
            remembered: None,
            adopted_below: TaskId(0),
            places: HashMap::new(),
            wall: SystemTime::UNIX_EPOCH,
            read_once: false,
            scaled: None,
            effects: Vec::new(),
        }
    }

    pub(crate) const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The run's life.
    pub(crate) const fn life(&self) -> &Life {
        &self.life
    }

    /// How many tasks have not ended.
    pub(crate) const fn unfinished(&self) -> usize {
        self.table.len()
    }

    /// How many tasks wait in the outboxes.
    pub(crate) fn waiting(&self) -> usize {
        self.classes.waiting()
    }

    /// Shut down, every task ended, and the fleet gone.
    pub(crate) fn is_over(&self) -> bool {
        self.life.is_over(self.unfinished())
    }

    /// Whether results are taken: until the fleet receives the order to end, and after it where their queue outlives
    /// the run. Messages that another run may have to take are left to that run.
    pub(crate) fn takes_results(&self) -> bool {
        !self.life.is_ending() || self.takes_last_results()
    }

    /// Whether the last results are taken when the fleet has ended.
    pub(crate) fn takes_last_results(&self) -> bool {
        self.settings.results_outlive && !self.life.is_shared()
    }

    /// Results that came too late to matter, and messages that were not this run's.
    pub(crate) const fn left_out(&self) -> (u64, u64) {
        (self.late_results, self.dropped)
    }

    /// Revoked tasks that control no longer names because the list was full.
    pub(crate) const fn revoked_overflow(&self) -> Overflow {
        self.revoked.overflow()
    }

    /// Envelopes that workers acknowledged without running them: their results were stored, or their tasks had ended.
    // Workers that have gone stay in the map, so that what they reported counts.
    pub(crate) fn replays(&self) -> u64 {
        self.workers.values().map(|worker| worker.replays).sum()
    }

    /// Moves the effects since the last call into an empty list.
    pub(crate) fn take_effects(&mut self, into: &mut Vec<Effect>) {
        debug_assert!(into.is_empty(), "effects are carried out once");
        std::mem::swap(&mut self.effects, into);
    }

    /// A number in 0..1.
    pub(crate) fn jitter(&mut self) -> f32 {
        self.rng.f32()
    }

    /// The one place where a task ends.
    // An effect and not a call: a ledger can store the end before the owners receive it, and the state needs no wakers,
    // so that tests and the simulation read an end like any other decision.
    fn settle(&mut self, id: TaskId, entry: Entry, outcome: Settled, ran: Option<Ran>) {
        self.note_end(id, &entry, &outcome, ran);
        let recorded = self.record_end(id, &outcome, ran);
        self.effects.push(Effect::Settle(Ended {
            owners: entry.owners,
            outcome,
            recorded,
        }));
    }

    /// Takes a task out of the table: it has ended, and its owners must be notified.
    fn end(&mut self, id: TaskId) -> Option<Entry> {
        // This decides every race between results, cancels, losses and shutdowns: the first caller gets the entry, and
        // every later one finds none.
        let entry = self.table.remove(id)?;
        if entry.phase == Phase::Published {
            // The newest attempt is no longer out.
            self.batches.task_left(entry.batch);
        }
        // A call whose result is stored needs no worker, and its class did not count it.
        if entry.phase != Phase::Stored
            && let Some(class) = self.classes.get_mut(entry.class)
        {
            class.unfinished -= 1;
            // By the phase the task is in one of two counts; a delayed task is in neither.
            match entry.phase {
                Phase::Published => class.outbox.returned(entry.task_type()),
                Phase::Waiting => class.outbox.remove(id, entry.priority(), entry.task_type()),
                Phase::Delayed | Phase::Stored => {}
            }
        }
        if entry.repeated {
            // Another envelope of the task may still be in the queue, even if the newest attempt has just ended it.
            // Without this the other copy would run once more when its lease ends.
            self.revoke(id, &entry);
        }
        Some(entry)
    }

    /// When [`on_tick`](Self::on_tick) and [`conclude`](Self::conclude) must be called next, whatever happens.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let due = [
            self.work_deadline(),
            self.limits_deadline(),
            self.announce_deadline(),
        ];
        due.into_iter().flatten().min()
    }

    /// When something is due that concerns tasks.
    // Computed before each wait of the loop. The silence costs a look at every worker that the run ever had; each other
    // part is at hand.
    fn work_deadline(&self) -> Option<Instant> {
        let delayed = self.delayed.peek().map(|Reverse((at, _))| *at);
        // Without the filter a deadline that has passed would wake the loop without a pause until the queue is read.
        let silence = self.missed_deadline().filter(|_| self.caught_up);
        let due = [
            delayed,
            self.republish_at,
            self.revoked_at,
            silence,
            self.retries.deadline(),
            self.after_lines.deadline(),
        ];
        due.into_iter().flatten().min()
    }

    /// Does what is due.
    pub(crate) fn on_tick(&mut self, now: Instant) {
        while let Some(Reverse((at, id))) = self.delayed.peek()
            && *at <= now
        {
            let id = TaskId(*id);
            self.delayed.pop();
            self.publish_again(id);
        }
        self.republish_silent(now);
        self.forget_revoked(now);
        self.check_missed(now);
        self.retries.on_tick(now);
        // Last: what ended by now counts, and nothing more is published in this turn.
        self.check_limits(now);
    }

    /// The last thing of every turn: publishes what may go, and sends workers, fleet and users what has changed.
    pub(crate) fn conclude(&mut self, now: Instant) {
        self.check_limits(now);
        self.publish(now);
        if self.life.is_ending() {
            self.retries.end();
        }
        let lines = self.retries.take();
        self.effects.extend(lines.into_iter().map(Effect::Notice));
        self.leave_run(now);
        self.announce_to_workers(now);
        self.announce_to_fleet(now);
    }

    /// Judges the failures whose lines are shown: so many lines were put for the program's streams, and taken by them.
    pub(crate) fn on_lines(&mut self, now: Instant, position: Position) {
        // Called in every turn of the loop, nearly always with no failure that waits.
        if self.after_lines.is_empty() {
            return;
        }
        for failed in self.after_lines.ready(now, position) {
            self.on_failed(now, &failed);
        }
    }

    /// Whether a failure is not judged yet.
    pub(crate) fn holds_failures(&self) -> bool {
        !self.after_lines.is_empty()
    }

    /// Whether a failure waits for lines to be taken.
    pub(crate) fn waits_for_lines(&self) -> bool {
        self.after_lines.waits_for_taking()
    }

    /// Judges all failures, whatever they wait for.
    // For inputs that end tasks or workers: a failure that came first must be judged first, or its task would get
    // another error than the one that was reported.
    fn judge_all_failures(&mut self, now: Instant) {
        for failed in self.after_lines.give_up() {
            self.on_failed(now, &failed);
        }
    }

    /// Whether so many batches of a class are out that every slot has several before it.
    // Only across a network: in memory 4 batches for each slot are out at most, so that a class is full before it is
    // crowded.
    fn is_crowded(&self, class: ClassId) -> bool {
        !self.life.is_detaching()
            && self.load(class).batches >= publish::CROWD * self.settings.slots
    }

    /// Whether enough is out of a class: more would only wait in the queue, where it can be neither reordered nor
    /// dequeued.
    fn is_class_full(&self, class: ClassId) -> bool {
        if self.life.is_detaching() {
            return false;
        }
        let load = self.load(class);
        load.batches >= self.settings.batches_out || load.bytes >= self.settings.bytes_out
    }

    /// Whether enough is out of each class. While one class can take more, its tasks may be among the next submissions.
    pub(crate) fn is_full(&self) -> bool {
        self.classes
            .iter()
            .all(|(class, known)| known.is_held() || self.is_class_full(class))
    }

    /// What is out in the queue of a class.
    fn load(&self, class: ClassId) -> Load {
        if self.admission.is_none() || self.classes.len() == 1 {
            return self.batches.load(class);
        }
        // All classes of one machine go to one queue.
        let loads = self
            .classes
            .iter()
            .map(|(class, _)| self.batches.load(class));
        loads.fold(Load::default(), |sum, load| Load {
            batches: sum.batches + load.batches,
            bytes: sum.bytes + load.bytes,
        })
    }

    /// The next lease from now.
    fn next_lease(&self, now: Instant) -> Instant {
        after(now, self.settings.lease)
    }
}
