//! The world of a simulation: its clock, its faults, and what each side does to the other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use podpool_core::envelope::{MacKey, Message};
use podpool_core::id::TaskId;
use podpool_core::task::{Body, TaskOptions, TaskSpec};
use tokio::time::Instant;

use crate::master::cell::{Cell, Wakers};
use crate::report::outlet::Position;

use super::super::effect::Effect;
use super::super::state::MasterState;
use super::Simulated;
use super::duties::Duties;
use super::end::End;
use super::events::Event;
use super::script::Script;
use super::settings::settings;
use super::site::{Faults, Site, WORKERS, wall};
use super::subscriber::Subscriber;
use super::trace::Trace;
use super::worker::Worker;

pub(super) const TASKS: u64 = 200;
pub(super) const EPOCH: u64 = 3;
/// Most virtual time that a run may take.
const LIMIT: Duration = Duration::from_secs(3600);
/// Events after which a run goes round in circles.
const STEPS: u32 = 400_000;
/// Virtual time in which nothing may be left once every task has ended and nothing goes wrong any more.
const QUIET: Duration = Duration::from_secs(100);

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

pub(super) struct World {
    pub(super) start: Instant,
    pub(super) trace: Trace,
    pub(super) site: Site,
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
    pub(super) abandoned: bool,
}

impl Simulated for World {
    fn new(seed: u64, keep: bool) -> Self {
        for (number, spec) in (0..).zip(&TASKS_BY_TYPE) {
            spec.index.get_or_init(|| number);
        }
        let mut rng = Rng::with_seed(seed);
        let harsh = rng.u8(1..4);
        let now = Instant::now();
        let settings = settings(&mut rng);
        let mut world = Self {
            start: now,
            trace: Trace::new(keep),
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
            abandoned: false,
            site: Site::new(Faults::harsh(harsh), (now, now), rng),
        };
        world.master.set_subscribed(world.subscriber.is_some());
        world.plan();
        world
    }

    /// Runs until the run is over; where it is shut down late, until nothing was left anywhere before.
    fn run(&mut self) -> Result<(), String> {
        let mut quiet = None;
        for _ in 0..STEPS {
            self.step();
            if self.master.is_over() {
                return self.check(EPOCH);
            }
            let submitted = self.cells.len() as u64 >= TASKS;
            if submitted && self.master.unfinished() == 0 && quiet.is_none() {
                self.site.faults = Faults::default();
                quiet = Some(self.site.now + QUIET);
            }
            let holds = self
                .site
                .workers
                .iter()
                .any(|worker| !worker.state.is_empty());
            let clean = quiet.is_some() && !holds && self.site.queue.is_empty();
            let life = self.master.life();
            // A run that a limit has ended is shut down when its fleet is gone, if not before.
            let due = (clean && !life.is_ending()) || life.has_no_fleet();
            if due && self.end == End::Late {
                self.begin_end();
            }
            if quiet.is_some_and(|end| self.site.now > end) {
                return Err(self.held());
            }
            if self.site.now > self.start + LIMIT {
                break;
            }
        }
        Err(format!(
            "{} tasks never end; {:?} went by",
            self.master.unfinished(),
            self.site.now - self.start
        ))
    }

    fn trace(&self) -> &Trace {
        &self.trace
    }

    fn kind(&self) -> String {
        format!("{:?}", self.end)
    }
}

impl World {
    /// What comes from outside.
    fn plan(&mut self) {
        self.site.begin();
        for number in 0..TASKS {
            self.site.within(8_000, Event::Submit);
            if self.site.chance(5) {
                self.site.within(20_000, Event::Cancel(TaskId(number)));
            }
        }
        for _ in 0..self.site.rng.usize(..4) {
            let number = self.site.rng.usize(..WORKERS);
            self.site.within(15_000, Event::Die(number));
        }
        if self.site.chance(15) {
            self.site.within(15_000, Event::Restored);
        }
        if self.site.chance(20) {
            let number = self.site.rng.usize(..WORKERS);
            let time = Duration::from_millis(self.site.rng.u64(1_000..9_000));
            self.site.within(15_000, Event::Mute(number, time));
        }
        self.plan_strangers();
        if self.end != End::Late {
            // When all is submitted: what comes later is refused by the mailbox, which is not here.
            let after = Duration::from_millis(8_000 + self.site.rng.u64(..8_000));
            self.site.at(after, Event::End);
        }
    }

    /// Does what is next.
    fn step(&mut self) {
        let ticks = self
            .site
            .workers
            .iter()
            .map(|worker| worker.state.deadline());
        let ticks: Vec<_> = ticks.collect();
        let due = ticks.iter().copied().chain([self.master.deadline()]);
        let tick = due.flatten().min();
        let next = [tick, self.site.events.next_at()]
            .into_iter()
            .flatten()
            .min();
        self.site.now = next.expect("heartbeats never end").max(self.site.now);
        self.site.set_walls();
        self.master.set_wall(wall(self.site.now - self.start));
        self.duties.begin(self.site.now);
        self.master.on_lines(self.site.now, Position::default());
        self.master.on_tick(self.site.now);
        self.carry_out_master(Duties::ticked);
        for (Worker { state, slots, .. }, tick) in self.site.workers.iter_mut().zip(ticks) {
            if tick.is_some_and(|at| at <= self.site.now) {
                state.on_tick(self.site.now, slots);
            }
        }
        // A tick touches any worker, an event one at most.
        let mut touched = 0..WORKERS;
        let mut to_master = true;
        if let Some(event) = self.site.events.pop(self.site.now) {
            to_master = event.worker().is_none();
            if tick.is_none_or(|tick| tick > self.site.now) {
                touched = event.worker().map_or(0..0, |number| number..number + 1);
            }
            let at = self.site.now - self.start;
            self.trace.note(at, format_args!("{event}"));
            self.handle(event);
        }
        self.master.conclude(self.site.now);
        self.carry_out_master(Duties::concluded);
        if to_master {
            self.duties.check_numbers(&mut self.master);
        }
        touched.for_each(|number| self.site.carry_out(number));
        self.site.ran.clear();
    }

    fn handle(&mut self, event: Event) {
        let now = self.site.now;
        let Some(event) = self.site.handle(event) else {
            return;
        };
        match event {
            Event::ToMaster(message) => self.tell_master(message),
            Event::Stored(batch) => {
                self.duties.stored(batch);
                self.master.on_stored(now, batch);
            }
            Event::Submit => self.submit(),
            Event::Cancel(task) => self.cancel(task),
            Event::Die(number) => self.die(number),
            Event::Report(report) => self.report(report),
            Event::Greet(hello) => self.tell_master(hello),
            Event::Surplus(name) => self.report_surplus(name),
            Event::Gone(departure) => self.report_departure(departure),
            Event::FleetEnded => self.end_fleet(),
            Event::Restored => self.restore_queues(),
            Event::End => self.begin_end(),
            other => panic!("{other:?} is of the site"),
        }
    }

    /// Mostly everything was read: silence counts then.
    pub(super) fn tell_master(&mut self, message: Bytes) {
        let caught_up = self.site.chance(90);
        let read = Message::read(message.clone(), &MacKey::Absent).expect("it is the run's");
        self.duties.heard(&read, caught_up);
        self.master.set_caught_up(caught_up);
        self.master.on_message(self.site.now, message);
        if matches!(read, Message::Alive(_)) {
            self.duties.check_cells(&self.cells);
        }
    }

    /// Everything that the master has decided.
    fn carry_out_master(&mut self, check: fn(&mut Duties, &[Effect])) {
        let mut effects = Vec::new();
        self.master.take_effects(&mut effects);
        self.duties.overflow = self.master.revoked_overflow();
        check(&mut self.duties, &effects);
        for effect in effects {
            let at = self.site.now - self.start;
            match effect {
                Effect::Settle(ended) => {
                    let outcome = ended.outcome.as_ref().map_err(|error| error.kind());
                    self.trace.note(at, format_args!("settled: {outcome:?}"));
                    ended.notify(&mut Wakers::default());
                }
                Effect::Publish { batch, message, .. } => {
                    self.trace
                        .note(at, format_args!("batch {batch} of {} bytes", message.len()));
                    self.site.put(&message);
                    let after = self.site.soon();
                    self.site.at(after, Event::Stored(batch));
                }
                Effect::Control(message) => {
                    let Ok(Message::Control(control)) = Message::read(message, &MacKey::Absent)
                    else {
                        panic!("not a control message");
                    };
                    self.trace.note(at, format_args!("{control:?}"));
                    self.site.announce_to_workers(&control);
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

    fn held(&self) -> String {
        let states = self.site.workers.iter().map(|worker| &worker.state);
        let held: Vec<_> = states.filter(|state| !state.is_empty()).collect();
        format!(
            "something is held for ever: {held:?}, the queue is empty: {}",
            self.site.queue.is_empty()
        )
    }
}
