//! The loop: one `select!` that moves what happens into the state, and the state's effects out.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info, warn};

use crate::envelope::reference::Content;
use crate::envelope::{self, Control, Hello, Message, RunState};
use crate::id::{Attempt, ExecutionId, TaskId};
use crate::queue::publisher::Publisher;
use crate::queue::{Delivery, LeaseId, Queue, QueueError};
use crate::slot::{Launch, Running, Slot, SlotEvent, SlotId};

use super::conduct::{Conduct, Left, Patience};
use super::effect::{Effect, Probe, Receipt, Topic};
use super::foreign::{Fate, Foreign};
use super::keeper::Keeper;
use super::printed::{OutputLine, OutputSink, Printed};
use super::pull::{self, Pull, acknowledge, pause_after, pull, pull_later, pulled};
use super::state::{Lookup, Settings, State};

/// Most slot events taken in at once.
const EVENTS: usize = 256;
/// Longest time between two heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// What runs longer is named at each heartbeat.
const LONG: Duration = Duration::from_secs(10);
/// What is left of a grace when what runs is killed: its results and put-backs must be stored within it.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Where a worker takes tasks, sends results and hears its master.
#[derive(Clone, Debug)]
pub struct Queues {
    /// Parcels come from here, and are put back here.
    pub tasks: Arc<dyn Queue>,
    /// Results and words to the master go here.
    pub results: Arc<dyn Queue>,
    /// The master's state comes from here.
    pub control: Arc<dyn Queue>,
}

/// A worker, before it runs.
pub struct Worker {
    /// What its state is told.
    pub settings: Settings,
    /// Its queues.
    pub queues: Queues,
    /// How it starts slots.
    pub launch: Launch,
    /// What its program knows of tasks.
    pub lookup: Arc<dyn Lookup + Send + Sync>,
    /// Where the tasks' output goes.
    pub output: OutputSink,
    /// Its build, for people.
    pub build: String,
    /// What only a worker in a process of its own does.
    pub conduct: Conduct,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("settings", &self.settings)
            .field("queues", &self.queues)
            .finish_non_exhaustive()
    }
}

/// What a worker is told by those who started it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// End what runs, take nothing more, then leave.
    Drain,
    /// Kill what runs and leave.
    Stop,
    /// End within this grace: ask what runs to stop, kill it 5 s before the grace is over, and give back what did
    /// not end.
    Terminate(Duration),
}

impl Worker {
    /// Runs until it was ordered to leave, or the master's state says that the run is over.
    ///
    /// # Errors
    /// When the lease keeper's thread cannot be started.
    pub async fn run(self, orders: mpsc::UnboundedReceiver<Order>) -> io::Result<Left> {
        let mut running = RunningWorker::new(self, orders)?;
        running.say_hello();
        while !running.is_over() {
            running.step().await;
        }
        Ok(running.left.unwrap_or(Left::Stopped))
    }
}

struct RunningWorker {
    state: State,
    worker: Worker,
    slots: SlotHandles,
    keeper: Keeper,
    results: Publisher<Receipt>,
    tasks: Publisher<Receipt>,
    pull: Option<Pull>,
    /// Pulls that failed in a row.
    failed_pulls: u32,
    control: Pull,
    answers: FuturesUnordered<BoxFuture<'static, ()>>,
    events: mpsc::UnboundedReceiver<(SlotId, SlotEvent)>,
    events_tx: mpsc::UnboundedSender<(SlotId, SlotEvent)>,
    lost: mpsc::UnboundedReceiver<LeaseId>,
    orders: mpsc::UnboundedReceiver<Order>,
    heartbeat: Instant,
    heartbeat_every: Duration,
    /// Why it leaves, once it does.
    left: Option<Left>,
    /// When what still runs is killed, because the process must end.
    kill_at: Option<Instant>,
    patience: Patience,
    printed: Printed,
    foreign: Foreign,
    /// What was last written down as running.
    noted: Vec<(ExecutionId, TaskId, Attempt)>,
    effects: Vec<Effect>,
    batch: Vec<(SlotId, SlotEvent)>,
}

/// The slots' handles; the state looks things up here.
#[derive(Debug, Default)]
struct SlotHandles(HashMap<SlotId, Slot>);

impl Probe for SlotHandles {
    fn running(&self, slot: SlotId) -> Option<Running> {
        self.0.get(&slot)?.running()
    }

    fn tail(&self, slot: SlotId) -> Vec<String> {
        self.0.get(&slot).map(Slot::tail).unwrap_or_default()
    }

    fn peak_rss(&self, slot: SlotId) -> Option<u64> {
        self.0.get(&slot)?.peak_rss()
    }
}

/// What woke the loop.
enum Woken {
    Slots,
    Stored(Vec<Receipt>),
    Pulled(Instant, Result<Vec<Delivery>, QueueError>),
    Told(Result<Vec<Delivery>, QueueError>),
    Lost(LeaseId),
    Ordered(Order),
    Answered,
    Tick,
}

impl RunningWorker {
    fn new(worker: Worker, orders: mpsc::UnboundedReceiver<Order>) -> io::Result<Self> {
        let (events_tx, events) = mpsc::unbounded_channel();
        let (lost_tx, lost) = mpsc::unbounded_channel();
        let lease = worker.queues.tasks.limits().lease;
        let heartbeat_every = HEARTBEAT.min(lease / 3);
        Ok(Self {
            state: State::new(worker.settings.clone()),
            slots: SlotHandles::default(),
            keeper: Keeper::start(worker.queues.tasks.clone(), lost_tx)?,
            results: Publisher::new(worker.queues.results.clone()),
            tasks: Publisher::new(worker.queues.tasks.clone()),
            pull: None,
            failed_pulls: 0,
            control: pull(worker.queues.control.clone(), 64),
            answers: FuturesUnordered::new(),
            events,
            events_tx,
            lost,
            orders,
            heartbeat: Instant::now() + heartbeat_every,
            heartbeat_every,
            left: None,
            kill_at: None,
            patience: Patience::new(&worker.conduct, Instant::now()),
            printed: Printed::new(Instant::now()),
            foreign: Foreign::new(&worker.settings.seal),
            noted: Vec::new(),
            effects: Vec::new(),
            batch: Vec::new(),
            worker,
        })
    }

    fn say_hello(&mut self) {
        let place = &self.worker.launch.setup.place;
        let hello = Hello {
            run: self.worker.settings.run.clone(),
            worker: self.worker.settings.worker,
            name: place.worker.clone(),
            node: place.node.clone(),
            slots: self.worker.settings.slots,
            build: self.worker.build.clone(),
            epoch: 0,
        };
        self.results
            .push(hello.message(&self.worker.settings.seal), None);
    }

    /// Whether it was ordered to leave, holds nothing, and everything it said is stored.
    fn is_over(&self) -> bool {
        self.left.is_some()
            && self.state.is_empty()
            && self.state.has_no_slots()
            && self.results.is_empty()
            && self.tasks.is_empty()
            && self.answers.is_empty()
    }

    async fn step(&mut self) {
        self.start_pull();
        let woken = self.wait().await;
        let now = Instant::now();
        match woken {
            Woken::Slots => self.on_slots(now),
            Woken::Stored(receipts) => receipts
                .into_iter()
                .for_each(|r| self.state.on_published(now, r)),
            Woken::Pulled(sent, answer) => self.on_pulled(now, sent, answer),
            Woken::Told(answer) => self.on_told(now, answer),
            Woken::Lost(lease) => {
                warn!(%lease, "a lease was lost; its parcel may run elsewhere too");
                self.state.on_lease_lost(&lease, now);
            }
            Woken::Ordered(order) => self.on_order(now, order),
            Woken::Answered | Woken::Tick => {}
        }
        if self
            .state
            .deadline()
            .is_some_and(|deadline| deadline <= now)
        {
            self.state.on_tick(now, &self.slots);
        }
        if now >= self.heartbeat {
            self.beat(now);
        }
        self.check_time(now);
        if self.left.is_some() && self.state.is_empty() {
            self.state.retire_slots();
        }
        self.carry_out(now);
        self.send_printed(now);
    }

    fn beat(&mut self, now: Instant) {
        self.heartbeat = now + self.heartbeat_every;
        let alive = self.state.alive().message(&self.worker.settings.seal);
        self.results.push(alive, None);
        for (task, name, since) in self.state.long_running(now, LONG) {
            info!(%task, "still processing {name} {task}, {} s", since.as_secs());
        }
    }

    /// Leaves when nobody needs it, and kills what must end.
    fn check_time(&mut self, now: Instant) {
        if self.kill_at.is_some_and(|at| now >= at) {
            self.kill_at = None;
            self.state.stop();
        }
        if !self.state.is_empty() {
            self.patience.heard(now);
        } else if self.patience.idle_until().is_some_and(|at| now >= at) && self.left.is_none() {
            info!("no work, and no word of the master: the worker leaves");
            self.leave(Left::Idle);
        }
    }

    /// When something is due that is not the state's.
    fn due(&self) -> Instant {
        let idle = self.patience.idle_until().filter(|_| self.left.is_none());
        let others = [
            idle,
            self.kill_at,
            self.patience.pull_from(),
            self.printed.due(),
        ];
        let soonest = others.into_iter().flatten().min();
        soonest.map_or(self.heartbeat, |at| at.min(self.heartbeat))
    }

    fn leave(&mut self, left: Left) {
        self.left.get_or_insert(left);
        self.state.drain();
    }

    /// Sends what tasks printed, when it is time.
    fn send_printed(&mut self, now: Instant) {
        let last = self.left.is_some() && self.state.is_empty();
        let Some((lines, left_out)) = self.printed.take(now, last) else {
            return;
        };
        let settings = &self.worker.settings;
        let printed = envelope::Printed {
            run: settings.run.clone(),
            worker: settings.worker,
            epoch: self.state.epoch(),
            lines,
            left_out,
        };
        self.results.push(printed.message(&settings.seal), None);
    }

    /// Writes down what runs, before a slot gets it.
    fn note_running(&mut self) {
        let Some(sink) = &mut self.worker.conduct.running else {
            return;
        };
        let running = self.state.running();
        if running != self.noted {
            sink(&running);
            self.noted = running;
        }
    }

    /// Waits for the next thing to happen. The order says what frees the most: slots that report come first, so
    /// that their hands are filled before anything else is done.
    async fn wait(&mut self) -> Woken {
        let due = self.due();
        let deadline = self.state.deadline().map_or(due, |at| at.min(due));
        tokio::select! {
            biased;
            _ = self.events.recv_many(&mut self.batch, EVENTS) => Woken::Slots,
            receipts = self.results.next() => Woken::Stored(receipts),
            receipts = self.tasks.next() => Woken::Stored(receipts),
            (sent, answer) = pulled(&mut self.pull) => Woken::Pulled(sent, answer),
            (_, answer) = &mut self.control => Woken::Told(answer),
            Some(lease) = self.lost.recv() => Woken::Lost(lease),
            order = self.orders.recv(), if self.left.is_none() || !self.orders.is_closed() => {
                // Whoever gave orders has gone: nobody waits for what runs.
                Woken::Ordered(order.unwrap_or(Order::Stop))
            }
            Some(()) = self.answers.next() => Woken::Answered,
            () = sleep_until(deadline) => Woken::Tick,
        }
    }

    fn start_pull(&mut self) {
        let wanted = self.state.wants();
        let ready = self.left.is_none() && self.patience.may_pull(Instant::now());
        if self.pull.is_none() && wanted > 0 && ready {
            self.pull = Some(pull(self.worker.queues.tasks.clone(), wanted));
        }
    }

    fn on_slots(&mut self, now: Instant) {
        let mut batch = std::mem::take(&mut self.batch);
        for (slot, event) in batch.drain(..) {
            self.state.on_slot(now, slot, event, &self.slots);
        }
        self.batch = batch;
    }

    fn on_pulled(
        &mut self,
        now: Instant,
        sent: Instant,
        answer: Result<Vec<Delivery>, QueueError>,
    ) {
        self.pull = None;
        if answer.is_ok() {
            self.patience.served();
            if self.foreign.is_trusted() {
                self.failed_pulls = 0;
            }
        }
        match answer {
            Ok(parcels) if parcels.is_empty() => self.state.on_empty_pull(),
            Ok(parcels) if self.left.is_some() => {
                let leases = parcels.into_iter().map(|parcel| parcel.lease).collect();
                self.release(leases);
            }
            Ok(parcels) => {
                parcels
                    .into_iter()
                    .for_each(|parcel| self.on_delivery(now, sent, parcel));
            }
            Err(error) => {
                let denied = matches!(error, QueueError::Denied { .. });
                if denied && self.patience.refused(now) {
                    self.leave(Left::Refused(error.to_string()));
                    return;
                }
                warn!(%error, "no tasks could be pulled; trying again");
                self.pull_after_failure();
            }
        }
    }

    /// A message from the tasks' queue. What is not a parcel of this run names no task: it is removed, counted and
    /// logged. A worker that has read nothing under its seal yet may have the wrong key itself: it gives it back.
    fn on_delivery(&mut self, now: Instant, sent: Instant, delivery: Delivery) {
        let Delivery { lease, body } = delivery;
        let settings = &self.worker.settings;
        let message = Message::read(body, &settings.seal);
        if message.is_ok() {
            self.foreign.trust();
        }
        let (problem, fate) = match message {
            Ok(Message::Parcel(parcel, entries)) if parcel.run == settings.run => {
                self.keeper.hold(lease.clone(), sent);

                let lookup = self.worker.lookup.as_ref();
                match self
                    .state
                    .on_parcel(now, lease.clone(), &parcel, entries, lookup)
                {
                    Ok(()) => return,
                    Err(error) => (error.to_string(), Fate::Drop(self.foreign.count())),
                }
            }
            Ok(Message::Reference(lost, _))
                if lost.run == settings.run && lost.of == Content::Parcel =>
            {
                self.keeper.hold(lease.clone(), sent);
                self.state.on_lost_parcel(lease, &lost);
                return;
            }
            Ok(_) => {
                let problem = "it is no parcel of this run".to_owned();
                (problem, Fate::Drop(self.foreign.count()))
            }
            Err(error) => (error.to_string(), self.foreign.unread(&error)),
        };
        match fate {
            Fate::Drop(dropped) => {
                warn!(%lease, problem, dropped, "a message on the tasks' queue was dropped");
                self.acknowledge(vec![lease]);
            }
            Fate::GiveBack => {
                warn!(%lease, "a message was given back: this worker's key has opened none yet, and may be the wrong one");
                self.release(vec![lease]);
                self.pull_after_failure();
            }
        }
    }

    /// Leaves the queue alone for a while.
    fn pull_after_failure(&mut self) {
        let queue = self.worker.queues.tasks.clone();
        let delay = pause_after(self.failed_pulls);
        self.failed_pulls += 1;
        self.pull = Some(pull_later(queue, self.state.wants(), delay));
    }

    fn on_told(&mut self, now: Instant, answer: Result<Vec<Delivery>, QueueError>) {
        let queue = self.worker.queues.control.clone();
        let Ok(deliveries) = answer else {
            self.control = pull_later(queue, 64, pull::AGAIN * 25);
            return;
        };
        self.control = pull(queue.clone(), 64);
        let mut leases = Vec::with_capacity(deliveries.len());
        for Delivery { lease, body } in deliveries {
            leases.push(lease);
            let Ok(Message::Control(control)) = Message::read(body, &self.worker.settings.seal)
            else {
                warn!(
                    dropped = self.foreign.count(),
                    "a message on the control queue was dropped: it is not the master's"
                );
                continue;
            };
            self.foreign.trust();
            self.on_control(now, &control);
        }
        self.answers.push(Box::pin(async move {
            // A control message that is delivered again changes nothing.
            queue.ack(&leases).await;
        }));
    }

    /// The master's word. One of another run, or an older one, says nothing.
    fn on_control(&mut self, now: Instant, control: &Control) {
        let me = self.worker.settings.worker;
        if control.run != self.worker.settings.run || !self.state.on_control(control, now) {
            return;
        }
        self.patience.heard(now);
        if control.greeted.contains(&me) {
            self.patience.greeted();
        }
        match control.state {
            RunState::Ended => self.leave(Left::Ended),
            RunState::Aborted => self.on_order(now, Order::Stop),
            RunState::Open | RunState::Closing | RunState::Detached => {
                if control.drain.contains(&me) {
                    self.on_order(now, Order::Drain);
                }
            }
        }
    }

    fn on_order(&mut self, now: Instant, order: Order) {
        debug!(?order, "the worker leaves");
        match order {
            Order::Drain => self.leave(Left::Drained),
            Order::Stop => {
                self.leave(Left::Stopped);
                self.state.stop();
            }
            Order::Terminate(grace) => {
                self.leave(Left::Terminated);
                self.state.terminate();
                // A short grace is halved between the tasks and the last words.
                self.kill_at = Some(now + grace - LAST_WORDS.min(grace / 2));
            }
        }
    }

    /// Carries the state's effects out, and those that they have themselves: a slot that cannot be started asks for
    /// another at once.
    fn carry_out(&mut self, now: Instant) {
        let mut effects = std::mem::take(&mut self.effects);
        let (mut acks, mut releases) = (Vec::new(), Vec::new());
        loop {
            self.state.take_effects(&mut effects);
            if effects.is_empty() {
                break;
            }
            self.note_running();
            for effect in effects.drain(..) {
                self.effect(now, effect, &mut acks, &mut releases);
            }
        }
        self.effects = effects;
        self.acknowledge(acks);
        self.release(releases);
    }

    fn effect(
        &mut self,
        now: Instant,
        effect: Effect,
        acks: &mut Vec<LeaseId>,
        releases: &mut Vec<LeaseId>,
    ) {
        match effect {
            Effect::Start(id) => self.start_slot(id),
            Effect::Run(id, frame) => self.with(id, |slot| slot.run(frame)),
            Effect::Revoke(id, frame) => self.with(id, |slot| slot.revoke(frame)),
            Effect::Cancel(id, frame, task, attempt) => {
                self.with(id, |slot| slot.cancel(frame, task, attempt));
            }
            Effect::Exit(id) => self.with(id, Slot::exit),
            Effect::Kill(id) => self.with(id, Slot::kill),
            Effect::Drop(id) => drop(self.slots.0.remove(&id)),
            Effect::Publish(out) => match out.to {
                Topic::Results => self.results.push(out.message, out.receipt),
                Topic::Tasks => self.tasks.push(out.message, out.receipt),
            },
            Effect::Ack(lease) => acks.push(lease),
            Effect::Release(lease) => releases.push(lease),
            Effect::Output(slot, task, stream, line) => {
                let line = OutputLine {
                    worker: None,
                    slot: Some(slot),
                    task,
                    name: None,
                    stream,
                    line: &line,
                };
                (self.worker.output)(line);
                if self.worker.conduct.forward_output {
                    self.printed.push(now, line);
                }
            }
        }
    }

    fn with(&self, id: SlotId, order: impl FnOnce(&Slot)) {
        // A slot that ended meanwhile has said so: its tasks wait again by then.
        if let Some(slot) = self.slots.0.get(&id) {
            order(slot);
        }
    }

    fn start_slot(&mut self, id: SlotId) {
        match Slot::start(id, &self.worker.launch, self.events_tx.clone()) {
            Ok(slot) => drop(self.slots.0.insert(id, slot)),
            Err(error) => self
                .state
                .on_start_failed(Instant::now(), id, &error.to_string()),
        }
    }

    fn acknowledge(&self, leases: Vec<LeaseId>) {
        if !leases.is_empty() {
            leases.iter().for_each(|lease| self.keeper.forget(lease));
            let queue = self.worker.queues.tasks.clone();
            self.answers.push(Box::pin(acknowledge(queue, leases)));
        }
    }

    fn release(&self, leases: Vec<LeaseId>) {
        if !leases.is_empty() {
            leases.iter().for_each(|lease| self.keeper.forget(lease));
            let queue = self.worker.queues.tasks.clone();
            self.answers.push(Box::pin(async move {
                // A release that fails is made good by the lease's end.
                queue.release(&leases).await;
            }));
        }
    }
}
