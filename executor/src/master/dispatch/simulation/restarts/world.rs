//! The world of a run whose masters are replaced: their sites, the queues of results, the ledger, and time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::time::{Duration, SystemTime};

use fastrand::Rng;
use podpool_core::fleet::FleetEvent;
use podpool_core::id::{RunName, TaskId};
use podpool_core::ledger::memory::MemoryLedger;
use podpool_core::ledger::{
    Folded, Ledger, Master as Process, Opening, ReadRun, Status, TypeRecord, Which,
};
use podpool_core::task::TaskSpec;
use tokio::time::Instant;

use crate::master::command::ShutdownBehavior;
use crate::master::ledger::by_hand;
use crate::master::limits::Limits;

use super::super::super::state::{MasterState, Settings};
use super::super::Simulated;
use super::super::duties::NAMED;
use super::super::events::{Event, Events};
use super::super::queue::TaskQueue;
use super::super::settings::settings;
use super::super::site::{Faults, LEASE, Site, WORKERS};
use super::super::trace::Trace;
use super::super::worker::run_id;
use super::super::world::TASKS_BY_TYPE;
use super::check::Facts;
use super::lives::{Kind, Life};
use super::master::{Master, Woken};
use super::program::{CALLS, Program};

/// Most virtual time that a run may take.
const LIMIT: Duration = Duration::from_secs(3600);
/// Steps after which a run goes round in circles.
const STEPS: u32 = 400_000;
/// Most messages in one pull.
const PULL: usize = 16;
/// How long a superseded master may go on before its process is ended.
const PATIENCE: Duration = Duration::from_secs(8);

/// Finds the task of a type.
type Adopted = fn(&TypeRecord) -> Option<&'static TaskSpec>;

/// One thing that happens to a master, by its epoch.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outer {
    /// A master begins.
    Start,
    Submit(u64, usize),
    Cancel(u64, usize),
    /// A batch is in its queue.
    Sent(u64, u32),
    /// The ledger's thread serves.
    Store(u64),
    /// The master reads what the thread answered.
    Answer(u64),
    Pull(u64),
    FleetEnded(u64),
    ShutDown(u64, ShutdownBehavior),
    Detach(u64),
    Kill(u64),
    Stop(u64),
    /// A stopped master goes on.
    GoOn(u64),
}

impl Outer {
    /// The master that it is for, where a stopped one does it later.
    const fn for_master(self) -> Option<u64> {
        match self {
            Self::Submit(epoch, _)
            | Self::Cancel(epoch, _)
            | Self::Sent(epoch, _)
            | Self::Store(epoch)
            | Self::Answer(epoch)
            | Self::Pull(epoch)
            | Self::FleetEnded(epoch)
            | Self::Detach(epoch)
            | Self::ShutDown(epoch, _) => Some(epoch),
            Self::Start | Self::Kill(_) | Self::Stop(_) | Self::GoOn(_) => None,
        }
    }
}

/// Where tasks run, and where their results wait.
pub(super) struct Place {
    pub(super) site: Site,
    pub(super) results: TaskQueue,
}

pub(super) struct Restarts {
    pub(super) rng: Rng,
    pub(super) start: Instant,
    pub(super) now: Instant,
    pub(super) trace: Trace,
    faults: Faults,
    events: Events<Outer>,
    settings: Settings,
    pub(super) places: BTreeMap<u64, Place>,
    pub(super) masters: BTreeMap<u64, Master>,
    pub(super) ledger: MemoryLedger,
    pub(super) reader: Option<Box<dyn ReadRun>>,
    pub(super) program: Program,
    pub(super) facts: Facts,
    /// The newest master.
    pub(super) epoch: u64,
    /// Whether queues and workers outlive a master.
    pub(super) kind: Kind,
    /// The newest place.
    place: u64,
    /// How masters have ended.
    pub(super) met: BTreeSet<Life>,
    /// How the next masters end. After them comes one that ends everything.
    lives: VecDeque<Life>,
}

impl Simulated for Restarts {
    fn new(seed: u64, keep: bool) -> Self {
        for (number, spec) in (0..).zip(&TASKS_BY_TYPE) {
            spec.index.get_or_init(|| number);
        }
        let mut rng = Rng::with_seed(seed);
        let now = Instant::now();
        let settings = Settings {
            limits: Limits::default(),
            ..settings(&mut rng)
        };
        let kind = Kind::random(&mut rng);
        let settings = Settings {
            remote: kind == Kind::Cluster,
            ..settings
        };
        let lives = rng.usize(1..5);
        let mut world = Self {
            start: now,
            now,
            trace: Trace::new(keep),
            faults: Faults::harsh(rng.u8(..3)),
            events: Events::default(),
            settings,
            places: BTreeMap::new(),
            masters: BTreeMap::new(),
            ledger: MemoryLedger::new(),
            reader: None,
            program: Program::random(&mut rng),
            facts: Facts::default(),
            epoch: 0,
            kind,
            place: 0,
            met: BTreeSet::new(),
            lives: (0..lives).map(|_| kind.life(&mut rng)).collect(),
            rng,
        };
        world.at(Duration::ZERO, Outer::Start);
        world
    }

    fn run(&mut self) -> Result<(), String> {
        for _ in 0..STEPS {
            self.step();
            if self.masters.is_empty() && self.events.next_at().is_none() {
                return self.check_history();
            }
            if self.now > self.start + LIMIT {
                break;
            }
        }
        let left = self.masters.values().map(|master| {
            (
                master.epoch,
                master.life,
                master.state.unfinished(),
                master.commits.is_idle(),
            )
        });
        let left: Vec<_> = left.collect();
        Err(format!(
            "{left:?} never ends; {:?} went by",
            self.now - self.start
        ))
    }

    fn trace(&self) -> &Trace {
        &self.trace
    }

    fn kind(&self) -> String {
        let late = self.facts.late;
        format!(
            "{:?}: {:?}, then {:?}, {late} late executions",
            self.kind, self.met, self.lives
        )
    }
}

impl Restarts {
    pub(super) fn at(&mut self, after: Duration, outer: Outer) {
        self.events.add(self.now + after, outer);
    }

    pub(super) fn soon(&mut self) -> Duration {
        Duration::from_micros(self.rng.u64(100..50_000))
    }

    pub(super) fn note(&mut self, what: fmt::Arguments<'_>) {
        self.trace.note(self.now - self.start, what);
    }

    pub(super) fn place(&mut self, place: u64) -> &mut Place {
        self.places
            .get_mut(&place)
            .expect("it lives as long as its master")
    }

    pub(super) fn site(&mut self, place: u64) -> &mut Site {
        &mut self.place(place).site
    }

    /// Does what is next.
    fn step(&mut self) {
        let running = self.masters.values().filter(|it| it.stopped.is_none());
        let ticks: Vec<_> = running
            .filter_map(|it| Some((it.epoch, it.state.deadline()?)))
            .collect();
        let sites = self.places.values().filter_map(|it| it.site.deadline());
        let due = ticks.iter().map(|(_, at)| *at).chain(sites);
        let next = due.chain(self.events.next_at()).min();
        self.now = next.expect("something comes").max(self.now);
        for (epoch, at) in ticks {
            if at <= self.now {
                self.turn(epoch, Woken::Tick);
            }
        }
        let places: Vec<_> = self.places.keys().copied().collect();
        for place in places {
            let now = self.now;
            if let Some(event) = self.site(place).step(now) {
                self.on_site(place, event);
            }
            let ran = std::mem::take(&mut self.site(place).ran);
            ran.into_iter()
                .for_each(|(epoch, ran)| self.check_ran(epoch, ran));
        }
        if let Some(outer) = self.events.pop(self.now) {
            self.note(format_args!("{outer:?}"));
            self.happen(outer);
        }
        let over: Vec<_> = self.masters.values().filter(|it| it.is_over()).collect();
        let over: Vec<_> = over.into_iter().map(|it| it.epoch).collect();
        over.into_iter().for_each(|epoch| self.leave(epoch));
        self.end_all_done();
    }

    /// Something came from a site.
    fn on_site(&mut self, place: u64, event: Event) {
        let now = self.now;
        match event {
            Event::ToMaster(message) => {
                self.place(place).results.put(message, now);
                let after = self.soon() / 10;
                self.pull_soon(place, after);
            }
            Event::Gone(departure) => {
                self.note(format_args!(
                    "{} is gone: {:?}",
                    departure.worker, departure.end
                ));
                let here = |it: &&Master| it.site == place && it.stopped.is_none();
                let epoch = self.masters.values().rfind(here).map(|it| it.epoch);
                if let Some(epoch) = epoch {
                    self.turn(epoch, Woken::Fleet(FleetEvent::Gone(departure)));
                }
            }
            Event::Die(number) => {
                let charged = self.site(place).die(number);
                self.facts.died(charged);
            }
            other => panic!("{other:?} is of no site"),
        }
    }

    /// The masters of a place pull.
    fn pull_soon(&mut self, place: u64, after: Duration) {
        let here = self.masters.values_mut().filter(|it| it.site == place);
        let idle = here.filter(|it| !it.pulling);
        let pulls: Vec<_> = idle
            .map(|it| {
                it.pulling = true;
                it.epoch
            })
            .collect();
        for epoch in pulls {
            self.at(after, Outer::Pull(epoch));
        }
    }

    fn happen(&mut self, outer: Outer) {
        if let Some(epoch) = outer.for_master()
            && let Some(master) = self.masters.get_mut(&epoch)
            && let Some(later) = &mut master.stopped
        {
            later.push(outer);
            return;
        }
        match outer {
            Outer::Start => self.begin(),
            Outer::Submit(epoch, call) => self.turn(epoch, Woken::Submit(call)),
            Outer::Cancel(epoch, call) => self.turn(epoch, Woken::Cancel(call)),
            Outer::Sent(epoch, batch) => self.turn(epoch, Woken::Sent(batch)),
            Outer::Store(epoch) => self.store(epoch),
            Outer::Answer(epoch) => self.turn(epoch, Woken::Answer),
            Outer::Pull(epoch) => self.pull(epoch),
            Outer::FleetEnded(epoch) => {
                let leftovers = Vec::new();
                self.turn(epoch, Woken::Fleet(FleetEvent::Ended { leftovers }));
            }
            Outer::ShutDown(epoch, behavior) => self.turn(epoch, Woken::ShutDown(behavior)),
            Outer::Detach(epoch) => self.turn(epoch, Woken::Detach),
            Outer::Kill(epoch) => self.kill(epoch),
            Outer::Stop(epoch) => {
                if let Some(master) = self.masters.get_mut(&epoch) {
                    master.stopped = Some(Vec::new());
                    self.take_over(epoch);
                }
            }
            Outer::GoOn(epoch) => {
                let master = self.masters.get_mut(&epoch);
                let later = master.and_then(|master| master.stopped.take());
                for outer in later.into_iter().flatten() {
                    self.at(Duration::ZERO, outer);
                }
            }
        }
    }

    /// A master becomes the run's, and its program begins.
    fn begin(&mut self) {
        let name = RunName::new("simulation").unwrap();
        let opening = Opening {
            which: Which::Named {
                name,
                fresh: run_id(),
                mac_key: [0; 32],
            },
            master: Process::default(),
            take_over: !self.masters.is_empty(),
            now: SystemTime::UNIX_EPOCH,
        };
        // All task types have one name.
        let adopted: Adopted = |_| Some(&TASKS_BY_TYPE[0]);
        let adopted = (self.kind == Kind::Cluster).then_some(adopted);
        let opened = by_hand::open(&self.ledger, opening, adopted);
        let (epoch, mut memory, link, thread) = opened.unwrap();
        assert_eq!(epoch, self.epoch + 1);
        self.epoch = epoch;
        let life = self.lives.pop_front().unwrap_or(Life::Last);
        self.met.insert(life);
        self.note(format_args!("master {epoch} begins: {life:?}"));
        let settings = Settings {
            epoch,
            seed: self.rng.u64(..),
            ..self.settings.clone()
        };
        let next = memory.next();
        if self.build_site() {
            memory.forget_published();
        }
        let mut state = MasterState::new(settings, self.now);
        state.remember_run(self.now, memory);
        let mut master = Master::new(state, (link, thread), life, next, self.place);
        if self.reader.is_none() {
            self.reader = Some(self.ledger.read(&run_id()).unwrap());
        }
        let (unended, ended) = self.unended();
        if self.kind == Kind::Cluster {
            master.recorded = unended;
        }
        self.facts.ended = ended;
        self.facts.named_until = Some(self.now + LEASE * NAMED);
        self.masters.insert(epoch, master);
        self.plan_calls(epoch);
        self.plan_end(epoch, life);
        self.turn(epoch, Woken::Tick);
    }

    /// Queues and workers of a master: its own, or those that are there. Whether they are fresh.
    fn build_site(&mut self) -> bool {
        let there = self.kind == Kind::Cluster && self.places.contains_key(&self.place);
        if !there {
            let mut site = Site::new(self.faults, (self.start, self.now), self.rng.fork());
            site.begin();
            let results = TaskQueue::default();
            self.place += 1;
            self.places.insert(self.place, Place { site, results });
        }
        let (now, dead) = (self.now, self.rng.usize(..3));
        let site = self.site(self.place);
        site.now = now;
        for _ in 0..dead {
            let number = site.rng.usize(..WORKERS);
            site.within(8_000, Event::Die(number));
        }
        if site.chance(10) {
            let time = Duration::from_millis(site.rng.u64(1_000..9_000));
            let number = site.rng.usize(..WORKERS);
            site.within(8_000, Event::Mute(number, time));
        }
        !there
    }

    /// The tasks that have not ended, and those that have.
    fn unended(&mut self) -> (BTreeSet<TaskId>, BTreeSet<TaskId>) {
        let (mut unended, mut ended) = (BTreeSet::new(), BTreeSet::new());
        let mut add = |task: Folded| {
            match task.status {
                Status::Unended => unended.insert(task.task),
                _ => ended.insert(task.task),
            };
        };
        self.stored().tasks(&mut add).unwrap();
        (unended, ended)
    }

    /// The program makes its calls, in order, and cancels some.
    fn plan_calls(&mut self, epoch: u64) {
        let mut after = Duration::ZERO;
        let pace = self.rng.u64(1..100_000);
        for call in 0..CALLS {
            if self.program.given_up.contains(&call) {
                continue;
            }
            after += Duration::from_micros(self.rng.u64(..pace));
            self.at(after, Outer::Submit(epoch, call));
            if self.program.calls[call].alone && self.rng.u8(..100) < 6 {
                let later = Duration::from_micros(self.rng.u64(..2_000_000));
                self.at(after + later, Outer::Cancel(epoch, call));
            }
        }
    }

    fn plan_end(&mut self, epoch: u64, life: Life) {
        let time = Life::time(&mut self.rng);
        match life {
            Life::Killed => self.at(time, Outer::Kill(epoch)),
            Life::KilledAfterStore => {
                let stores = 1 + self.rng.u32(..60);
                self.masters.get_mut(&epoch).unwrap().stores_left = Some(stores);
                // There may be fewer.
                self.at(Duration::from_secs(20), Outer::Kill(epoch));
            }
            Life::Stopped => self.at(time, Outer::Stop(epoch)),
            Life::TakenOver => {
                self.at(time, Outer::Start);
                self.at(time + PATIENCE, Outer::Kill(epoch));
            }
            Life::Detached => self.at(time, Outer::Detach(epoch)),
            Life::ShutDown | Life::CancelPending | Life::Abort => {
                self.at(time, Outer::ShutDown(epoch, life.behavior()));
            }
            Life::Last => {}
        }
    }

    /// A master was stopped: another takes its run, and then it goes on.
    fn take_over(&mut self, epoch: u64) {
        let after = Duration::from_millis(self.rng.u64(1..2_000));
        self.at(after, Outer::Start);
        let later = after + Duration::from_millis(self.rng.u64(1..10_000));
        self.at(later, Outer::GoOn(epoch));
        self.at(later + PATIENCE, Outer::Kill(epoch));
    }

    /// The ledger's thread serves one request.
    fn store(&mut self, epoch: u64) {
        let Some(master) = self.masters.get_mut(&epoch) else {
            return;
        };
        master.storing = master.thread.serve();
        if !master.storing {
            return;
        }
        if let Some(left) = &mut master.stores_left {
            *left -= 1;
            if *left == 0 {
                return self.kill(epoch);
            }
        }
        let after = self.soon() / 5;
        self.at(after, Outer::Answer(epoch));
        self.at(after, Outer::Store(epoch));
    }

    fn pull(&mut self, epoch: u64) {
        let now = self.now;
        let Some(master) = self.masters.get_mut(&epoch) else {
            return;
        };
        master.pulling = false;
        let place = master.site;
        if !master.state.takes_results() {
            return;
        }
        let most = 1 + self.rng.usize(..PULL);
        let Place { site, results } = self.places.get_mut(&place).unwrap();
        let taken = results.take(most, now + LEASE, now, &mut site.rng);
        if !results.is_empty() {
            // Mostly there is more; messages whose leases end come later.
            let after = Duration::from_millis(if taken.is_empty() { 500 } else { 2 });
            self.masters.get_mut(&epoch).unwrap().pulling = true;
            self.at(after, Outer::Pull(epoch));
        }
        if !taken.is_empty() {
            let caught_up = taken.len() < most;
            self.turn(epoch, Woken::Results(taken, caught_up));
        }
    }

    /// A master's process is gone; on one machine with its queues and workers.
    fn kill(&mut self, epoch: u64) {
        let Some(master) = self.masters.remove(&epoch) else {
            return;
        };
        self.facts.gone(master.state.revoked_overflow());
        self.note(format_args!("master {epoch} is gone"));
        if self.kind == Kind::OneMachine {
            self.places.remove(&master.site);
        }
        drop(master);
        self.follow(epoch);
    }

    /// A master that was shut down leaves.
    fn leave(&mut self, epoch: u64) {
        let Some(master) = self.masters.get_mut(&epoch) else {
            return;
        };
        if master.commits.release(TaskId(master.next)) {
            while master.thread.serve() {}
        }
        let place = master.site;
        if master.life == Life::Last {
            let master = self.masters.remove(&epoch).unwrap();
            self.facts.gone(master.state.revoked_overflow());
            self.check_futures(&master);
        } else if master.state.life().is_left() {
            return self.kill(epoch);
        }
        // What it was run with is deleted, and whoever still uses that ends.
        self.places.remove(&place);
        let there = self.masters.values().filter(|it| it.site == place);
        let there: Vec<_> = there.map(|it| it.epoch).collect();
        there.into_iter().for_each(|epoch| self.kill(epoch));
    }

    /// The next master begins, where the newest has ended.
    fn follow(&mut self, epoch: u64) {
        let master_left = epoch == self.epoch;
        if master_left {
            let after = Duration::from_millis(self.rng.u64(1..3_000));
            self.at(after, Outer::Start);
        }
    }

    /// The last master is shut down when everything has ended.
    fn end_all_done(&mut self) {
        let epoch = self.epoch;
        let Some(master) = self.masters.get_mut(&epoch) else {
            return;
        };
        let calls = CALLS - self.program.given_up.len();
        let all = master.cells.len() >= calls && master.cells.values().all(|it| it.is_settled());
        if master.life == Life::Last && all && !master.state.life().is_given_up() {
            // Once.
            if !std::mem::replace(&mut master.shut_down, true) {
                self.at(
                    Duration::ZERO,
                    Outer::ShutDown(epoch, ShutdownBehavior::WaitForTasks),
                );
            }
        }
    }
}
