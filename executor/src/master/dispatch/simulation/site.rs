//! Where the tasks of a simulation run: the tasks' queue, the workers, and the ways between them and a master. Whatever
//! can go wrong there does.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use fastrand::Rng;
use podpool_core::envelope::{Control, MacKey, Message};
use podpool_core::fleet::End;
use podpool_core::id::TaskId;
use podpool_core::outcome::Exit;
use podpool_core::worker::effect::{Effect as WorkerEffect, Topic};
use tokio::time::Instant;

use super::events::{Event, Events};
use super::queue::TaskQueue;
use super::slots::Ran;
use super::worker::{Knows, Worker};

pub(super) const WORKERS: usize = 3;
pub(super) const LEASE: Duration = Duration::from_secs(5);
/// Messages that may be replayed.
const REMEMBERED: usize = 64;
/// By so much the clock of each worker's host is ahead of that of the one before; the first is behind the master's.
const APART: Duration = Duration::from_secs(100_000);

/// How often things go wrong, in per cent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Faults {
    lost: u8,
    doubled: u8,
    lost_ack: u8,
    lost_lease: u8,
    replayed: u8,
}

impl Faults {
    /// As often as this number says.
    pub(super) const fn harsh(harsh: u8) -> Self {
        Self {
            lost: harsh,
            doubled: 2 * harsh,
            lost_ack: 2 * harsh,
            lost_lease: harsh,
            replayed: harsh,
        }
    }
}

/// What the master's wall clock shows so long after the simulation began.
pub(super) fn wall(since: Duration) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_796_000_000) + since
}

/// A queue of tasks with its workers.
pub(super) struct Site {
    /// When the simulation began.
    start: Instant,
    pub(super) rng: Rng,
    pub(super) now: Instant,
    pub(super) faults: Faults,
    pub(super) events: Events<Event>,
    pub(super) queue: TaskQueue,
    pub(super) workers: Vec<Worker>,
    finish_on_lost_lease: bool,
    /// Messages to the master, and batches, that may come once more.
    heard: Vec<Bytes>,
    batches: Vec<Bytes>,
    /// What became of tasks in slots since someone asked, each with the newest master that their worker had heard of.
    pub(super) ran: Vec<(u64, Ran)>,
}

impl Site {
    pub(super) fn new(faults: Faults, (start, now): (Instant, Instant), mut rng: Rng) -> Self {
        Self {
            start,
            now,
            faults,
            events: Events::default(),
            queue: TaskQueue::default(),
            workers: (0..WORKERS).map(|number| Worker::new(number, 0)).collect(),
            finish_on_lost_lease: rng.bool(),
            heard: Vec::new(),
            batches: Vec::new(),
            ran: Vec::new(),
            rng,
        }
    }

    /// What the clocks of the workers' hosts show.
    pub(super) fn set_walls(&mut self) {
        let wall = wall(self.now - self.start) - APART;
        for (number, worker) in (0..).zip(&mut self.workers) {
            worker.state.set_wall(wall + APART * number);
        }
    }

    /// The workers begin.
    pub(super) fn begin(&mut self) {
        for number in 0..WORKERS {
            self.at(Duration::ZERO, Event::Pull(number, 0));
            self.at(Duration::ZERO, Event::Keep(number, 0));
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

    pub(super) fn worker(&mut self, number: usize, life: u64) -> Option<&mut Worker> {
        let worker = &mut self.workers[number];
        (worker.life == life).then_some(worker)
    }

    pub(super) fn announce_to_workers(&mut self, control: &Control) {
        for number in 0..WORKERS {
            if !self.chance(self.faults.lost) {
                let after = self.soon();
                self.at(after, Event::ToWorker(number, control.clone()));
            }
        }
    }

    /// A batch on its way into the queue.
    pub(super) fn put(&mut self, batch: &Bytes) {
        for _ in 0..self.copies() {
            let visible = self.now + self.soon();
            self.queue.put(batch.clone(), visible);
        }
        if let Some(old) = self.replay(|site| &mut site.batches, batch) {
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
        if let Some(old) = self.replay(|site| &mut site.heard, message) {
            let after = self.soon() * 100;
            self.at(after, Event::ToMaster(old));
        }
    }

    pub(super) fn carry_out(&mut self, number: usize) {
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
        let advanced = worker.slots.advance(self.now, &mut self.rng);
        worker.check_begun(&advanced.ran);
        let epoch = worker.told_epoch();
        let ran = advanced.ran.into_iter().map(|ran| (epoch, ran));
        self.ran.extend(ran);
        // A constant delay keeps what a slot says in order.
        for (slot, event) in advanced.said {
            let said = Event::Said(number, life, slot, event);
            self.at(Duration::from_millis(1), said);
        }
        for (slot, after, step) in advanced.steps {
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

    /// A worker is gone, with all it knew; its leases run out. Returns its end and its only task, where its fleet reports
    /// both.
    pub(super) fn die(&mut self, number: usize) -> Option<(End, TaskId)> {
        let end = match self.rng.u8(..6) {
            0 => End::Died(Exit::Signal(11)),
            1 => End::OutOfMemory(None),
            _ => End::Lost,
        };
        let reported = self.chance(70);
        let gone = &self.workers[number];
        let (life, departure) = (gone.life + 1, gone.departure(end));
        let task = gone.only_task().filter(|_| reported);
        self.workers[number] = Worker::new(number, life);
        if reported {
            let after = self.soon() * 20;
            self.at(after, Event::Gone(departure));
        }
        self.at(LEASE / 2, Event::Pull(number, life));
        self.at(LEASE / 2, Event::Keep(number, life));
        task.map(|task| (end, task))
    }

    /// When something is next here.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let ticks = self.workers.iter().filter_map(|it| it.state.deadline());
        ticks.chain(self.events.next_at()).min()
    }

    /// Does what is due here. Gives back what does not concern the workers.
    pub(super) fn step(&mut self, now: Instant) -> Option<Event> {
        self.now = now;
        self.set_walls();
        let mut touched = [false; WORKERS];
        for (worker, touched) in self.workers.iter_mut().zip(&mut touched) {
            let Worker { state, slots, .. } = worker;
            *touched = state.deadline().is_some_and(|at| at <= now);
            if *touched {
                state.on_tick(now, slots);
            }
        }
        let mut left = None;
        if let Some(event) = self.events.pop(now) {
            if let Some(number) = event.worker() {
                touched[number] = true;
            }
            left = self.handle(event);
        }
        let touched = touched.iter().enumerate().filter(|(_, it)| **it);
        touched.for_each(|(number, _)| self.carry_out(number));
        left
    }

    /// What happens here. Gives back what does not.
    pub(super) fn handle(&mut self, event: Event) -> Option<Event> {
        let now = self.now;
        match event {
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
            Event::Mute(number, time) => self.workers[number].muted = Some(now + time),
            other => return Some(other),
        }
        None
    }
}
