//! The world of a simulation: its clock, its faults, and what each side does to the other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use podpool_core::envelope::{Control, MacKey, Message};
use podpool_core::id::TaskId;
use podpool_core::task::{Body, TaskOptions, TaskSpec};
use podpool_core::worker::effect::{Effect as WorkerEffect, Topic};
use tokio::time::Instant;

use crate::master::cell::{Cell, Wakers};
use crate::report::outlet::Position;

use super::super::effect::Effect;
use super::super::state::MasterState;
use super::duties::Duties;
use super::end::End;
use super::events::{Event, Events};
use super::queue::TaskQueue;
use super::script::Script;
use super::settings::settings;
use super::subscriber::Subscriber;
use super::trace::Trace;
use super::worker::{Knows, Worker};

pub(super) const TASKS: u64 = 200;
pub(super) const WORKERS: usize = 3;
pub(super) const LEASE: Duration = Duration::from_secs(5);
pub(super) const EPOCH: u64 = 3;
/// Most virtual time that a run may take.
const LIMIT: Duration = Duration::from_secs(3600);
/// Events after which a run goes round in circles.
const STEPS: u32 = 400_000;
/// Virtual time in which nothing may be left once every task has ended and nothing goes wrong any more.
const QUIET: Duration = Duration::from_secs(100);
/// Messages that may be replayed.
const REMEMBERED: usize = 64;

/// The task types: most tasks; those of which none ever returns a result, which are never measured; and those that
/// travel by themselves.
pub(super) static TASKS_BY_TYPE: [TaskSpec; 3] = [task(true), task(true), task(false)];

const fn task(pack: bool) -> TaskSpec {
    TaskSpec {
        name: "simulation::task",
        version: None,
        file: file!(),
        line: line!(),
        signature: podpool_core::signature::Signature::EMPTY,
        options: TaskOptions::DEFAULT.backoff_ms(100, 1000).pack(pack),
        body: Body::Sync(|_, _, _| Ok(())),
        shape: || Ok(podpool_core::shape::Shape(String::new())),
        traced: OnceLock::new(),
        index: OnceLock::new(),
    }
}

/// How often things go wrong, in per cent.
#[derive(Clone, Copy, Debug, Default)]
struct Faults {
    lost: u8,
    doubled: u8,
    lost_ack: u8,
    lost_lease: u8,
    replayed: u8,
}

pub(super) struct World {
    pub(super) rng: Rng,
    pub(super) start: Instant,
    pub(super) now: Instant,
    pub(super) trace: Trace,
    faults: Faults,
    events: Events,
    pub(super) master: MasterState,
    pub(super) duties: Duties,
    /// Every fourth run has none.
    pub(super) subscriber: Option<Subscriber>,
    pub(super) end: End,
    pub(super) scripts: Vec<Script>,
    pub(super) cells: Vec<Arc<Cell>>,
    pub(super) cancelled: BTreeSet<u64>,
    /// How often a worker died by what its only task did.
    pub(super) blamed: BTreeMap<u64, usize>,
    /// Tasks of which workers reported what their scripts do not do.
    pub(super) framed: BTreeSet<u64>,
    /// Workers that sent one message and no more.
    pub(super) strangers: u64,
    pub(super) queue: TaskQueue,
    pub(super) workers: Vec<Worker>,
    finish_on_lost_lease: bool,
    pub(super) abandoned: bool,
    /// Messages to the master, and batches, that may come once more.
    heard: Vec<Bytes>,
    batches: Vec<Bytes>,
}

impl World {
    pub(super) fn new(seed: u64, keep: bool) -> Self {
        for (number, spec) in (0..).zip(&TASKS_BY_TYPE) {
            spec.index.get_or_init(|| number);
        }
        let mut rng = Rng::with_seed(seed);
        let harsh = rng.u8(1..4);
        let now = Instant::now();
        let settings = settings(&mut rng);
        let mut world = Self {
            start: now,
            now,
            trace: Trace::new(keep),
            faults: Faults {
                lost: harsh,
                doubled: 2 * harsh,
                lost_ack: 2 * harsh,
                lost_lease: harsh,
                replayed: harsh,
            },
            events: Events::default(),
            duties: Duties::new(settings.clone(), now),
            master: MasterState::new(settings, now),
            end: End::random(&mut rng),
            subscriber: (!seed.is_multiple_of(4)).then(Subscriber::default),
            scripts: Vec::new(),
            cells: Vec::new(),
            cancelled: BTreeSet::new(),
            blamed: BTreeMap::new(),
            framed: BTreeSet::new(),
            strangers: 0,
            queue: TaskQueue::default(),
            workers: (0..WORKERS).map(|number| Worker::new(number, 0)).collect(),
            finish_on_lost_lease: rng.bool(),
            abandoned: false,
            heard: Vec::new(),
            batches: Vec::new(),
            rng,
        };
        world.master.set_subscribed(world.subscriber.is_some());
        world.plan();
        world
    }

    /// What comes from outside.
    fn plan(&mut self) {
        for number in 0..WORKERS {
            self.at(Duration::ZERO, Event::Pull(number, 0));
            self.at(Duration::ZERO, Event::Keep(number, 0));
        }
        for number in 0..TASKS {
            self.within(8_000, Event::Submit);
            if self.chance(5) {
                self.within(20_000, Event::Cancel(TaskId(number)));
            }
        }
        for _ in 0..self.rng.usize(..4) {
            let number = self.rng.usize(..WORKERS);
            self.within(15_000, Event::Die(number));
        }
        if self.chance(15) {
            self.within(15_000, Event::Restored);
        }
        if self.chance(20) {
            let number = self.rng.usize(..WORKERS);
            let time = Duration::from_millis(self.rng.u64(1_000..9_000));
            self.within(15_000, Event::Mute(number, time));
        }
        self.plan_strangers();
        if self.end != End::Late {
            // When all is submitted: what comes later is refused by the mailbox, which is not here.
            let after = Duration::from_millis(8_000 + self.rng.u64(..8_000));
            self.at(after, Event::End);
        }
    }

    /// At some time in so many milliseconds.
    pub(super) fn within(&mut self, millis: u64, event: Event) {
        let after = Duration::from_millis(self.rng.u64(..millis));
        self.at(after, event);
    }

    pub(super) fn at(&mut self, after: Duration, event: Event) {
        self.events.add(self.now + after, event);
    }

    pub(super) fn chance(&mut self, percent: u8) -> bool {
        self.rng.u8(..100) < percent
    }

    pub(super) fn soon(&mut self) -> Duration {
        Duration::from_micros(self.rng.u64(100..50_000))
    }

    /// Does what is next.
    fn step(&mut self) {
        let ticks = self.workers.iter().map(|worker| worker.state.deadline());
        let ticks: Vec<_> = ticks.collect();
        let due = ticks.iter().copied().chain([self.master.deadline()]);
        let tick = due.flatten().min();
        let next = [tick, self.events.next_at()].into_iter().flatten().min();
        self.now = next.expect("heartbeats never end").max(self.now);
        self.duties.begin(self.now);
        self.master.on_lines(self.now, Position::default());
        self.master.on_tick(self.now);
        self.carry_out_master(Duties::ticked);
        for (Worker { state, slots, .. }, tick) in self.workers.iter_mut().zip(ticks) {
            if tick.is_some_and(|at| at <= self.now) {
                state.on_tick(self.now, slots);
            }
        }
        // A tick touches any worker, an event one at most.
        let mut touched = 0..WORKERS;
        let mut to_master = true;
        if let Some(event) = self.events.pop(self.now) {
            to_master = event.worker().is_none();
            if tick.is_none_or(|tick| tick > self.now) {
                touched = event.worker().map_or(0..0, |number| number..number + 1);
            }
            let at = self.now - self.start;
            self.trace.note(at, format_args!("{event}"));
            self.handle(event);
        }
        self.master.conclude(self.now);
        self.carry_out_master(Duties::concluded);
        if to_master {
            self.duties.check_numbers(&mut self.master);
        }
        touched.for_each(|number| self.carry_out(number));
    }

    fn handle(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::ToMaster(message) => self.tell_master(message),
            Event::Stored(batch) => {
                self.duties.stored(batch);
                self.master.on_stored(now, batch);
            }
            Event::Replay(batch) => self.queue.put(batch, now),
            Event::ToWorker(number, control) => {
                let worker = &mut self.workers[number];
                worker.note(&control);
                worker.state.on_control(&control, now);
            }
            Event::Confirmed(number, life, receipt) => {
                if let Some(worker) = self.worker(number, life) {
                    worker.state.on_published(now, receipt);
                }
            }
            Event::Pull(number, life) => self.pull(number, life),
            Event::Keep(number, life) => self.keep(number, life),
            Event::Said(number, life, slot, said) => {
                if let Some(Worker { state, slots, .. }) = self.worker(number, life) {
                    slots.said(slot, &said);
                    state.on_slot(now, slot, said, slots);
                }
            }
            Event::Step(number, life, slot, step) => {
                if let Some(worker) = self.worker(number, life) {
                    worker.slots.step(slot, step);
                }
            }
            Event::Submit => self.submit(),
            Event::Cancel(task) => self.cancel(task),
            Event::Die(number) => self.die(number),
            Event::Mute(number, time) => self.workers[number].muted = Some(now + time),
            Event::Report(report) => self.report(report),
            Event::Greet(hello) => self.tell_master(hello),
            Event::Surplus(name) => self.report_surplus(name),
            Event::Gone(departure) => self.report_departure(departure),
            Event::FleetEnded => self.end_fleet(),
            Event::Restored => self.restore_queues(),
            Event::End => self.begin_end(),
        }
    }

    fn worker(&mut self, number: usize, life: u64) -> Option<&mut Worker> {
        let worker = &mut self.workers[number];
        (worker.life == life).then_some(worker)
    }

    /// Mostly everything was read: silence counts then.
    pub(super) fn tell_master(&mut self, message: Bytes) {
        let caught_up = self.chance(90);
        let read = Message::read(message.clone(), &MacKey::Absent).expect("it is the run's");
        self.duties.heard(&read, caught_up);
        self.master.set_caught_up(caught_up);
        self.master.on_message(self.now, message);
        if matches!(read, Message::Alive(_)) {
            self.duties.check_cells(&self.cells);
        }
    }

    fn announce_to_workers(&mut self, control: &Control) {
        for number in 0..WORKERS {
            if !self.chance(self.faults.lost) {
                let after = self.soon();
                self.at(after, Event::ToWorker(number, control.clone()));
            }
        }
    }

    /// Everything that the master has decided.
    fn carry_out_master(&mut self, check: fn(&mut Duties, &[Effect])) {
        let mut effects = Vec::new();
        self.master.take_effects(&mut effects);
        check(&mut self.duties, &effects);
        for effect in effects {
            let at = self.now - self.start;
            match effect {
                Effect::Settle(ended) => {
                    let outcome = ended.outcome.as_ref().map_err(|error| error.kind());
                    self.trace.note(at, format_args!("settled: {outcome:?}"));
                    ended.notify(&mut Wakers::default());
                }
                Effect::Publish { batch, message, .. } => {
                    self.trace
                        .note(at, format_args!("batch {batch} of {} bytes", message.len()));
                    self.put(&message);
                    let after = self.soon();
                    self.at(after, Event::Stored(batch));
                }
                Effect::Control(message) => {
                    let Ok(Message::Control(control)) = Message::read(message, &MacKey::Absent)
                    else {
                        panic!("not a control message");
                    };
                    self.trace.note(at, format_args!("{control:?}"));
                    self.announce_to_workers(&control);
                }
                Effect::Fleet(order) => {
                    self.trace.note(at, format_args!("{order:?}"));
                    self.order(&order);
                }
                Effect::Event(kind) => match &mut self.subscriber {
                    Some(subscriber) => subscriber.event(&kind),
                    None => assert!(kind.is_of_a_worker(), "no subscriber for {kind:?}"),
                },
                Effect::Notice(line) => self.trace.note(at, format_args!("notice: {line}")),
                Effect::Close(closed) => self.trace.note(at, format_args!("{closed:?}")),
                Effect::Show(..) | Effect::Record(_) | Effect::Fetch { .. } => {}
            }
        }
    }

    /// A batch on its way into the queue.
    fn put(&mut self, batch: &Bytes) {
        for _ in 0..self.copies() {
            let visible = self.now + self.soon();
            self.queue.put(batch.clone(), visible);
        }
        if let Some(old) = self.replay(|world| &mut world.batches, batch) {
            let after = self.soon() * 100;
            self.at(after, Event::Replay(old));
        }
    }

    /// Remembers a message. One of those that were remembered comes once more now and then.
    fn replay(
        &mut self,
        list: impl Fn(&mut Self) -> &mut Vec<Bytes>,
        message: &Bytes,
    ) -> Option<Bytes> {
        let place = self.rng.usize(..REMEMBERED);
        let again = self.chance(self.faults.replayed);
        let list = list(self);
        if list.len() < REMEMBERED {
            list.push(message.clone());
        } else {
            list[place] = message.clone();
        }
        list.get(place).filter(|_| again).cloned()
    }

    fn copies(&mut self) -> u8 {
        if self.chance(self.faults.lost) {
            return 0;
        }
        1 + u8::from(self.chance(self.faults.doubled))
    }

    fn pull(&mut self, number: usize, life: u64) {
        let (now, knows) = (self.now, Knows(self.finish_on_lost_lease));
        if self.workers[number].life != life {
            return;
        }
        let wanted = self.workers[number].state.wants();
        let taken = self.queue.take(wanted, now + LEASE, now, &mut self.rng);
        let worker = &mut self.workers[number];
        if wanted > 0 && taken.is_empty() {
            worker.state.on_empty_pull();
        }
        let again = Duration::from_millis(if taken.is_empty() { 200 } else { 5 });
        for (lease, body) in taken {
            let Ok(Message::Batch(batch, entries)) = Message::read(body, &MacKey::Absent) else {
                panic!("not a batch");
            };
            worker.leases.insert(lease.clone());
            let taken_in = worker.state.on_batch(now, lease, &batch, entries, &knows);
            taken_in.unwrap();
        }
        self.at(again, Event::Pull(number, life));
    }

    /// The worker's heartbeat and the renewal of its leases.
    fn keep(&mut self, number: usize, life: u64) {
        let now = self.now;
        if self.workers[number].life != life {
            return;
        }
        self.at(LEASE / 6, Event::Keep(number, life));
        let leases: Vec<_> = self.workers[number].leases.iter().cloned().collect();
        for lease in leases {
            if self.chance(self.faults.lost_lease) {
                self.queue.expire(&lease);
            }
            if !self.queue.extend(&lease, now, now + LEASE) {
                let worker = &mut self.workers[number];
                worker.leases.remove(&lease);
                worker.state.on_lease_lost(&lease, now);
            }
        }
        let worker = &mut self.workers[number];
        worker.beats += 1;
        let mut messages = Vec::new();
        if !worker.greeted {
            messages.push(worker.hello().message(&MacKey::Absent));
        }
        if worker.beats.is_multiple_of(2) {
            messages.push(worker.state.alive().message(&MacKey::Absent));
            messages.push(worker.printed());
        }
        messages
            .iter()
            .for_each(|message| self.send_result(number, message));
    }

    /// What a worker sends whose network is cut comes when the network is there again.
    fn send_result(&mut self, number: usize, message: &Bytes) {
        let muted = self.workers[number].muted;
        let cut = muted.map_or(Duration::ZERO, |until| until.duration_since(self.now));
        for _ in 0..self.copies() {
            let after = cut + self.soon();
            self.at(after, Event::ToMaster(message.clone()));
        }
        if let Some(old) = self.replay(|world| &mut world.heard, message) {
            let after = self.soon() * 100;
            self.at(after, Event::ToMaster(old));
        }
    }

    fn carry_out(&mut self, number: usize) {
        let mut effects = Vec::new();
        loop {
            self.workers[number].state.take_effects(&mut effects);
            if effects.is_empty() {
                break;
            }
            for effect in effects.drain(..) {
                self.effect(number, effect);
            }
        }
        let worker = &mut self.workers[number];
        let life = worker.life;
        let (said, steps) = worker.slots.advance(self.now, &mut self.rng);
        // A constant delay keeps what a slot says in order.
        for (slot, event) in said {
            let said = Event::Said(number, life, slot, event);
            self.at(Duration::from_millis(1), said);
        }
        for (slot, after, step) in steps {
            self.at(after, Event::Step(number, life, slot, step));
        }
    }

    fn effect(&mut self, number: usize, effect: WorkerEffect) {
        let now = self.now;
        let worker = &mut self.workers[number];
        match effect {
            WorkerEffect::Start(slot) => worker.slots.start(slot),
            WorkerEffect::Run(slot, frame) => worker.slots.run(slot, frame),
            WorkerEffect::Reclaim(slot, frame) => worker.slots.reclaim(slot, frame),
            WorkerEffect::Cancel(slot, frame, task, attempt) => {
                worker.slots.cancel(slot, frame, task, attempt);
            }
            WorkerEffect::Exit(slot) => worker.slots.exit(slot),
            WorkerEffect::Kill(slot) => worker.slots.kill(slot),
            WorkerEffect::Drop(slot) => worker.slots.forget(slot),
            WorkerEffect::Publish(out) => {
                let life = worker.life;
                if let Some(receipt) = out.receipt {
                    let after = self.soon();
                    self.at(after, Event::Confirmed(number, life, receipt));
                }
                match out.to {
                    Topic::Results => self.send_result(number, &out.message),
                    Topic::Tasks => self.put(&out.message),
                }
            }
            WorkerEffect::Ack(lease) => {
                assert!(worker.leases.remove(&lease), "acknowledged twice, or lost");
                if !self.chance(self.faults.lost_ack) {
                    self.queue.ack(&lease, now);
                }
            }
            WorkerEffect::Release(lease) => {
                assert!(worker.leases.remove(&lease), "released twice, or lost");
                self.queue.expire(&lease);
            }
            WorkerEffect::Output(..) => worker.lines += 1,
            WorkerEffect::SendLines => {
                let printed = worker.printed();
                self.send_result(number, &printed);
            }
        }
    }

    /// Runs until the run is over; where it is shut down late, until nothing was left anywhere before.
    pub(super) fn run(&mut self) -> Result<(), String> {
        let mut quiet = None;
        for _ in 0..STEPS {
            self.step();
            if self.master.is_over() {
                return self.check(EPOCH);
            }
            let submitted = self.cells.len() as u64 >= TASKS;
            if submitted && self.master.unfinished() == 0 && quiet.is_none() {
                self.faults = Faults::default();
                quiet = Some(self.now + QUIET);
            }
            let holds = self.workers.iter().any(|worker| !worker.state.is_empty());
            let clean = quiet.is_some() && !holds && self.queue.is_empty();
            let life = self.master.life();
            // A run that a limit has ended is shut down when its fleet is gone, if not before.
            let due = (clean && !life.is_ending()) || life.has_no_fleet();
            if due && self.end == End::Late {
                self.begin_end();
            }
            if quiet.is_some_and(|end| self.now > end) {
                return Err(self.held());
            }
            if self.now > self.start + LIMIT {
                break;
            }
        }
        Err(format!(
            "{} tasks never end; {:?} went by",
            self.master.unfinished(),
            self.now - self.start
        ))
    }

    fn held(&self) -> String {
        let states = self.workers.iter().map(|worker| &worker.state);
        let held: Vec<_> = states.filter(|state| !state.is_empty()).collect();
        format!(
            "something is held for ever: {held:?}, the queue is empty: {}",
            self.queue.is_empty()
        )
    }
}
