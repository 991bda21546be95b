//! A seeded simulation of a whole run on a virtual clock: the master's state and several workers' states, with a
//! queue that duplicates, delays, loses and forgets, and slots whose tasks fail, crash and hang.
//!
//! Whatever happens, every task ends once and as its script says: no fault of a queue, another task or a worker is
//! ever charged to a task.

mod queue;
mod script;
mod slots;
mod verdict;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use podpool_core::envelope::{Control, MacKey, Message, TaskType};
use podpool_core::id::{RunId, TaskId, WorkerId};
use podpool_core::outcome::Failure;
use podpool_core::queue::LeaseId;
use podpool_core::slot::{SlotEvent, SlotId};
use podpool_core::task::{Body, CallOptions, TaskOptions, TaskSpec};
use podpool_core::worker::effect::{Effect, Receipt, Topic};
use podpool_core::worker::frame::TaskTypeInfo;
use podpool_core::worker::state::Lookup;
use podpool_core::worker::{Settings as WorkerSettings, State as WorkerState};
use tokio::time::Instant;

use crate::master::cell::{Cell, CellGuard};
use crate::master::mailbox::Submission;

use self::queue::TaskQueue;
use self::script::Script;
use self::slots::{Slots, Step};
use super::state::{Settings, State};

const SEEDS: u64 = 200;
const TASKS: u64 = 200;
const WORKERS: usize = 3;
const LEASE: Duration = Duration::from_secs(5);
const GRACE: Duration = Duration::from_secs(1);
/// Most virtual time that a run may take.
const LIMIT: Duration = Duration::from_secs(3600);
/// Events after which a run goes round in circles.
const STEPS: u32 = 400_000;

static TASK: TaskSpec = TaskSpec {
    name: "simulation::task",
    version: None,
    file: file!(),
    line: line!(),
    options: TaskOptions::DEFAULT.backoff_ms(100, 1000),
    body: Body::Sync(|_, _, _| Ok(())),
    shape: || Ok(podpool_core::shape::Shape(String::new())),
    traced: OnceLock::new(),
    index: OnceLock::new(),
};

/// How often things go wrong, in per cent.
#[derive(Clone, Copy, Debug)]
struct Faults {
    lost: u8,
    doubled: u8,
    lost_ack: u8,
    lost_lease: u8,
}

enum Event {
    ToMaster(Bytes),
    ToWorker(usize, Control),
    Confirmed(usize, u64, Receipt),
    Pull(usize, u64),
    Keep(usize, u64),
    Said(usize, u64, SlotId, SlotEvent),
    Step(usize, u64, SlotId, Step),
    Heartbeat,
    Submit,
    Cancel(TaskId),
    Die(usize),
}

impl Event {
    /// The worker that it touches.
    const fn worker(&self) -> Option<usize> {
        match self {
            Self::ToWorker(number, _)
            | Self::Confirmed(number, ..)
            | Self::Pull(number, _)
            | Self::Keep(number, _)
            | Self::Said(number, ..)
            | Self::Step(number, ..)
            | Self::Die(number) => Some(*number),
            Self::ToMaster(_) | Self::Heartbeat | Self::Submit | Self::Cancel(_) => None,
        }
    }
}

struct Worker {
    state: WorkerState,
    slots: Slots,
    leases: HashSet<LeaseId>,
    /// Its life; what was meant for an earlier one is dropped.
    life: u64,
    beats: u32,
}

struct World {
    rng: Rng,
    start: Instant,
    now: Instant,
    faults: Faults,
    events: BinaryHeap<Reverse<(Instant, u64)>>,
    bodies: BTreeMap<u64, Event>,
    next_event: u64,
    master: State,
    scripts: Vec<Script>,
    cells: Vec<Arc<Cell>>,
    cancelled: HashSet<u64>,
    queue: TaskQueue,
    workers: Vec<Worker>,
    finish_on_lost_lease: bool,
}

struct Knows(bool);

impl Lookup for Knows {
    fn look_up(&self, _: &TaskType) -> Result<TaskTypeInfo, Failure> {
        Ok(TaskTypeInfo {
            index: 0,
            finish_on_lost_lease: self.0,
            ..TaskTypeInfo::UNKNOWN
        })
    }
}

fn run_id() -> RunId {
    RunId::new("simulation").unwrap()
}

fn worker(number: usize, life: u64) -> Worker {
    let settings = WorkerSettings {
        run: run_id(),
        worker: WorkerId(number as u64 + 100 * life),
        mac_key: MacKey::Absent,
        slots: 2,
        max_tasks_per_slot: (number == 1).then_some(20),
        grace: GRACE,
        start_timeout: GRACE,
        message_bytes: 1 << 20,
    };
    Worker {
        state: WorkerState::new(settings),
        slots: Slots::default(),
        leases: HashSet::new(),
        life,
        beats: 0,
    }
}

impl World {
    fn new(seed: u64) -> Self {
        TASK.index.get_or_init(|| 0);
        let mut rng = Rng::with_seed(seed);
        let harsh = rng.u8(1..4);
        let settings = Settings {
            run: run_id(),
            mac_key: MacKey::Absent,
            slots: WORKERS * 2,
            message_bytes: 1 << 20,
            batches_out: 50,
            bytes_out: 1 << 20,
            lease: LEASE,
            retries: None,
            epoch: 1,
            silence: None,
            out_of_memory: 1,
            build: String::new(),
            same_build: false,
            remote: false,
            workers: 3,
        };
        let now = Instant::now();
        let mut world = Self {
            start: now,
            now,
            faults: Faults {
                lost: harsh,
                doubled: 2 * harsh,
                lost_ack: 2 * harsh,
                lost_lease: harsh,
            },
            events: BinaryHeap::new(),
            bodies: BTreeMap::new(),
            next_event: 0,
            master: State::new(settings),
            scripts: Vec::new(),
            cells: Vec::new(),
            cancelled: HashSet::new(),
            queue: TaskQueue::default(),
            workers: (0..WORKERS).map(|number| worker(number, 0)).collect(),
            finish_on_lost_lease: rng.bool(),
            rng,
        };
        world.plan();
        world
    }

    /// What comes from outside.
    fn plan(&mut self) {
        self.at(Duration::ZERO, Event::Heartbeat);
        for number in 0..WORKERS {
            self.at(Duration::ZERO, Event::Pull(number, 0));
            self.at(Duration::ZERO, Event::Keep(number, 0));
        }
        for number in 0..TASKS {
            let after = self.rng.u64(..8000);
            self.at(Duration::from_millis(after), Event::Submit);
            if self.rng.u8(..100) < 5 {
                let after = self.rng.u64(..20_000);
                let cancel = Event::Cancel(TaskId(number));
                self.at(Duration::from_millis(after), cancel);
            }
        }
        for _ in 0..self.rng.usize(..4) {
            let (after, number) = (self.rng.u64(..15_000), self.rng.usize(..WORKERS));
            self.at(Duration::from_millis(after), Event::Die(number));
        }
    }

    fn at(&mut self, after: Duration, event: Event) {
        let number = self.next_event;
        self.next_event += 1;
        self.events.push(Reverse((self.now + after, number)));
        self.bodies.insert(number, event);
    }

    fn chance(&mut self, percent: u8) -> bool {
        self.rng.u8(..100) < percent
    }

    fn soon(&mut self) -> Duration {
        Duration::from_micros(self.rng.u64(100..50_000))
    }

    /// Does what is next.
    fn step(&mut self) {
        let ticks = self.workers.iter().map(|worker| worker.state.deadline());
        let tick = ticks.chain([self.master.deadline()]).flatten().min();
        let event = self.events.peek().map(|Reverse((at, _))| *at);
        let next = [tick, event].into_iter().flatten().min();
        self.now = next.expect("heartbeats never end").max(self.now);
        self.master.on_tick(self.now);
        for Worker { state, slots, .. } in &mut self.workers {
            if state.deadline().is_some_and(|at| at <= self.now) {
                state.on_tick(self.now, slots);
            }
        }
        // A tick touches any worker, an event one at most.
        let mut touched = 0..WORKERS;
        if event.is_some_and(|at| at <= self.now)
            && let Some(Reverse((_, number))) = self.events.pop()
            && let Some(event) = self.bodies.remove(&number)
        {
            if tick.is_none_or(|tick| tick > self.now) {
                touched = event.worker().map_or(0..0, |number| number..number + 1);
            }
            self.handle(event);
        }
        self.publish();
        touched.for_each(|number| self.carry_out(number));
    }

    fn handle(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::ToMaster(message) => self.tell_master(message),
            Event::ToWorker(number, control) => {
                self.workers[number].state.on_control(&control, now);
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
            Event::Heartbeat => {
                self.at(LEASE, Event::Heartbeat);
                let control = self.master.control(self.now, true);
                self.tell_workers(control);
            }
            Event::Submit => self.submit(),
            Event::Cancel(task) => {
                if (task.0 as usize) < self.cells.len() {
                    self.cancelled.insert(task.0);
                    self.master.cancel(task);
                }
            }
            Event::Die(number) => self.die(number),
        }
    }

    fn worker(&mut self, number: usize, life: u64) -> Option<&mut Worker> {
        let worker = &mut self.workers[number];
        (worker.life == life).then_some(worker)
    }

    /// A worker is gone, with all it knew; its leases run out.
    fn die(&mut self, number: usize) {
        let life = self.workers[number].life + 1;
        self.workers[number] = worker(number, life);
        self.at(LEASE / 2, Event::Pull(number, life));
        self.at(LEASE / 2, Event::Keep(number, life));
    }

    fn submit(&mut self) {
        let script = Script::random(&mut self.rng);
        let cell = Arc::new(Cell::new(&TASK));
        cell.set_id(TaskId(self.cells.len() as u64));
        let mut options = CallOptions::default();
        options.retries = Some(2);
        options.timeout = Some(Duration::from_secs(1));
        options.priority = self.rng.i32(-1..2);
        self.scripts.push(script);
        self.cells.push(cell.clone());
        self.master.submit(Submission {
            cell: CellGuard::new(cell),
            spec: &TASK,
            arguments: vec![script as u8].into(),
            options: Some(Box::new(options)),
        });
    }

    fn tell_master(&mut self, message: Bytes) {
        let now = self.now;
        match Message::read(message, &MacKey::Absent).unwrap() {
            Message::Results(results, entries) => {
                for failed in self.master.on_results(now, &results, &entries) {
                    self.master.on_failed(now, &failed);
                }
            }
            Message::Started(started) => self.master.on_started(now, &started),
            Message::Alive(alive) => self.master.on_alive(now, alive),
            other => panic!("{other:?}"),
        }
    }

    fn tell_workers(&mut self, control: Option<Control>) {
        let Some(control) = control else { return };
        for number in 0..WORKERS {
            if !self.chance(self.faults.lost) {
                let after = self.soon();
                self.at(after, Event::ToWorker(number, control.clone()));
            }
        }
    }

    /// Everything that the master wants to say.
    fn publish(&mut self) {
        while let Some(batch) = self.master.next_batch(self.now) {
            self.put(&batch);
        }
        for (_, batch) in self.master.take_republished() {
            self.put(&batch);
        }
        let control = self.master.control(self.now, false);
        self.tell_workers(control);
        self.master.wake();
    }

    /// A batch on its way into the queue.
    fn put(&mut self, batch: &Bytes) {
        let copies = self.copies();
        for _ in 0..copies {
            let visible = self.now + self.soon();
            self.queue.put(batch.clone(), visible);
        }
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
        let again = Duration::from_millis(if taken.is_empty() { 150 } else { 5 });
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
        let mut leases: Vec<_> = self.workers[number].leases.iter().cloned().collect();
        leases.sort();
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
        if worker.beats.is_multiple_of(2) {
            let alive = worker.state.alive().message(&MacKey::Absent);
            self.send_result(&alive);
        }
    }

    fn send_result(&mut self, message: &Bytes) {
        for _ in 0..self.copies() {
            let after = self.soon();
            self.at(after, Event::ToMaster(message.clone()));
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

    fn effect(&mut self, number: usize, effect: Effect) {
        let now = self.now;
        let worker = &mut self.workers[number];
        match effect {
            Effect::Start(slot) => worker.slots.start(slot),
            Effect::Run(slot, frame) => worker.slots.run(slot, frame),
            Effect::Reclaim(slot, frame) => worker.slots.reclaim(slot, frame),
            Effect::Cancel(slot, frame, task, attempt) => {
                worker.slots.cancel(slot, frame, task, attempt);
            }
            Effect::Exit(slot) => worker.slots.exit(slot),
            Effect::Kill(slot) => worker.slots.kill(slot),
            Effect::Drop(slot) => worker.slots.forget(slot),
            Effect::Publish(out) => {
                let life = worker.life;
                if let Some(receipt) = out.receipt {
                    let after = self.soon();
                    self.at(after, Event::Confirmed(number, life, receipt));
                }
                match out.to {
                    Topic::Results => self.send_result(&out.message),
                    Topic::Tasks => self.put(&out.message),
                }
            }
            Effect::Ack(lease) => {
                assert!(worker.leases.remove(&lease), "acknowledged twice, or lost");
                if !self.chance(self.faults.lost_ack) {
                    self.queue.ack(&lease, now);
                }
            }
            Effect::Release(lease) => {
                assert!(worker.leases.remove(&lease), "released twice, or lost");
                self.queue.expire(&lease);
            }
            Effect::Output(..) | Effect::SendLines => {}
        }
    }

    /// Runs until every task has ended, then until nothing is left anywhere.
    fn run(&mut self) -> Result<(), String> {
        let mut quiet = None;
        for _ in 0..STEPS {
            self.step();
            let submitted = self.cells.len() as u64 == TASKS;
            if submitted && self.master.unfinished() == 0 && quiet.is_none() {
                self.faults = Faults {
                    lost: 0,
                    doubled: 0,
                    lost_ack: 0,
                    lost_lease: 0,
                };
                quiet = Some(self.now + LEASE * 20);
            }
            let holds = self.workers.iter().any(|worker| !worker.state.is_empty());
            if quiet.is_some() && !holds && self.queue.is_empty() {
                return self.check();
            }
            if quiet.is_some_and(|end| self.now > end) {
                return Err(format!(
                    "something is held for ever: {:?}",
                    self.workers[0].state
                ));
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
}

#[tokio::test(start_paused = true)]
async fn every_task_ends_once_as_its_script_says_and_nothing_stays_held() {
    let failures: Vec<_> = (0..SEEDS)
        .filter_map(|seed| World::new(seed).run().err().map(|why| (seed, why)))
        .collect();
    let few: Vec<_> = failures.iter().take(3).collect();
    assert!(failures.is_empty(), "{} seeds: {few:#?}", failures.len());
}
