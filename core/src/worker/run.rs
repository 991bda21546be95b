//! The loop: one `select!` that moves what happens into the state, and the state's effects out.

mod departure;
mod effects;
mod intake;
mod orders;
#[cfg(test)]
mod tests;

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

use crate::broker::ClassId;
use crate::envelope::{self, Hello};
use crate::id::{Attempt, ExecutionId, TaskId};
use crate::instant::after;
use crate::queue::publisher::Publisher;
use crate::queue::refusals::{BROKER_TIMEOUT, Refusals};
use crate::queue::{Delivery, Queue, QueueError};
use crate::slot::{Launch, Running, Slot, SlotEvent, SlotId};
use crate::wall;

use super::conduct::{Conduct, Left, WaitLimits};
use super::effect::{Effect, Probe, Receipt};
use super::keeper::{Keeper, News};
use super::printed::{Gathered, OutputSink, Printed};
use super::pull::{LAST_PULL, Pull, listen, pulled};
use super::state::{Lookup, Settings, WorkerState};
use super::unauthenticated::Unauthenticated;

/// Most slot events taken in at once.
// Bounds one step of the loop: with one task a frame these are 256 results, a few hundred µs of work, before timers are
// looked at.
const EVENTS: usize = 256;
/// Longest time between two heartbeats.
// Six in a lease of 60 s, and at least three in a shorter one: the master misses a worker after a whole lease, so a
// lost heartbeat changes nothing.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// The same while no master reads them: they stay in the queue of results until one does.
// Twelve messages an hour of each worker in place of 360. The next master does not wait for one: its first control message
// is answered at once.
const UNREAD: Duration = Duration::from_secs(300);
/// What runs longer is named at each heartbeat.
const LONG: Duration = Duration::from_secs(10);
/// What is left of a grace when what runs is killed: its results and put-backs must be stored within it.
// One call to a queue elsewhere with several repetitions (50 ms, doubled). With half, one slow answer loses the results
// of the last tasks; with double, tasks lose time of the usual grace of a pod, 30 s.
const FINAL_MESSAGES: Duration = Duration::from_secs(5);

/// Where a worker takes tasks, sends results and reads its master's control.
#[derive(Clone, Debug)]
pub struct Queues {
    /// Batches come from here, and are put back here.
    pub tasks: Arc<dyn Queue>,
    /// Results and reports to the master go here.
    pub results: Arc<dyn Queue>,
    /// The master's state comes from here.
    pub control: Arc<dyn Queue>,
}

/// A worker, before it runs.
pub struct Worker {
    /// The settings of its state.
    pub settings: Settings,
    /// Its queues.
    pub queues: Queues,
    /// How it starts slots.
    pub launch: Launch,
    /// The tasks of its program.
    pub lookup: Arc<dyn Lookup + Send + Sync>,
    /// Where the tasks' output goes.
    pub output: OutputSink,
    /// The class whose tasks it runs: its queue of tasks is the class's.
    pub class: ClassId,
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

/// An order to a worker from the code that started it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// End what runs, take nothing more, then leave.
    Drain,
    /// Kill what runs and leave.
    Stop,
    /// End within this grace: cancel what runs, kill it 5 s before the grace is over, and give back what did not end.
    Terminate(Duration),
}

impl Worker {
    /// Runs until it was ordered to leave, the master's state is `Ended` or `Aborted`, its slots do not start, or a
    /// queue gives it nothing for too long.
    ///
    /// # Errors
    /// When the lease keeper's thread cannot be started or has ended, or the messages of the worker cannot be stored
    /// for so long.
    pub async fn run(self, orders: mpsc::UnboundedReceiver<Order>) -> io::Result<Left> {
        let mut orders = orders;
        let (news, keepers_news) = mpsc::unbounded_channel();
        let starting = Keeper::start_patiently(&self.queues.tasks, &news);
        let keeper = tokio::select! {
            // Not biased: whichever is first. A start may be repeated for a minute, and an order to leave must not wait
            // for it.
            keeper = starting => keeper?,
            order = orders.recv() => return Ok(left_by(order.unwrap_or(Order::Stop))),
        };
        let mut running = RunningWorker::new(self, keeper, keepers_news, orders);
        // Before the first pull: the master must have this worker's name before a `Started` of it, or its end could be
        // charged to no task.
        running.send_hello();
        while !running.is_over() {
            running.step().await?;
        }
        Ok(running.left.unwrap_or(Left::Stopped))
    }
}

struct RunningWorker {
    state: WorkerState,
    worker: Worker,
    slots: SlotHandles,
    keeper: Keeper,
    results: Publisher<Receipt>,
    tasks: Publisher<Receipt>,
    pull: Option<Pull>,
    /// When that pull is sent.
    pull_sent: Instant,
    /// Until when that pull is waited for by a worker that leaves.
    pull_until: Option<Instant>,
    /// How many batches of that pull are taken in.
    room: usize,
    /// What a queue answered last where it refused a pull, for users.
    last_refusal: Option<String>,
    /// Pulls of tasks that were refused, and pulls of control, in a row.
    refused_pulls: Refusals,
    refused_control: Refusals,
    broker_timeout: Duration,
    control: Pull,
    answers: FuturesUnordered<BoxFuture<'static, ()>>,
    events: mpsc::UnboundedReceiver<(SlotId, SlotEvent)>,
    events_tx: mpsc::UnboundedSender<(SlotId, SlotEvent)>,
    keepers_news: mpsc::UnboundedReceiver<News>,
    orders: mpsc::UnboundedReceiver<Order>,
    heartbeat: Instant,
    heartbeat_every: Duration,
    /// The master has left the run, which goes on.
    detached: bool,
    /// Why it leaves, once it does.
    left: Option<Left>,
    /// When it leaves although not all of its messages are stored: no reader waits for them any more.
    silent_at: Option<Instant>,
    /// When what still runs is killed, because the process must end.
    kill_at: Option<Instant>,
    limits: WaitLimits,
    printed: Printed,
    unauthenticated: Unauthenticated,
    /// What was last written down as running.
    noted: Vec<(ExecutionId, TaskId, Attempt)>,
    effects: Vec<Effect>,
    slot_events: Vec<(SlotId, SlotEvent)>,
}

/// The slots' handles; the state looks things up here.
#[derive(Debug, Default)]
struct SlotHandles(HashMap<SlotId, Slot>);

impl Probe for SlotHandles {
    fn running(&self, slot: SlotId) -> Option<Running> {
        self.0.get(&slot)?.running()
    }

    fn tail(&self, slot: SlotId, frame: u64) -> Vec<String> {
        let slot = self.0.get(&slot);
        slot.map(|slot| slot.tail(frame)).unwrap_or_default()
    }

    fn peak_rss(&self, slot: SlotId) -> Option<u64> {
        self.0.get(&slot)?.peak_rss()
    }

    fn resident(&self, slot: SlotId) -> Option<u64> {
        self.0.get(&slot)?.resident()
    }
}

/// Why a worker leaves that is ordered to before it holds anything.
const fn left_by(order: Order) -> Left {
    match order {
        Order::Drain => Left::Drained,
        Order::Stop => Left::Stopped,
        Order::Terminate(_) => Left::Terminated,
    }
}

/// What woke the loop.
enum Woken {
    Slots,
    Stored(Vec<Receipt>),
    Pulled(Instant, Result<Vec<Delivery>, QueueError>),
    Told(Result<Vec<Delivery>, QueueError>),
    Keeper(News),
    Ordered(Order),
    Answered,
    Tick,
}

impl RunningWorker {
    fn new(
        worker: Worker,
        keeper: Keeper,
        keepers_news: mpsc::UnboundedReceiver<News>,
        orders: mpsc::UnboundedReceiver<Order>,
    ) -> Self {
        let (events_tx, events) = mpsc::unbounded_channel();
        let lease = worker.queues.tasks.limits().lease;
        let heartbeat_every = HEARTBEAT.min(lease / 3);
        Self {
            state: WorkerState::new(worker.settings.clone()),
            slots: SlotHandles::default(),
            keeper,
            results: Publisher::new(worker.queues.results.clone()),
            tasks: Publisher::new(worker.queues.tasks.clone()),
            pull: None,
            pull_sent: Instant::now(),
            pull_until: None,
            room: 0,
            last_refusal: None,
            refused_pulls: Refusals::default(),
            refused_control: Refusals::default(),
            broker_timeout: worker.conduct.broker_timeout.unwrap_or(BROKER_TIMEOUT),
            control: listen(worker.queues.control.clone(), 64),
            answers: FuturesUnordered::new(),
            events,
            events_tx,
            keepers_news,
            orders,
            heartbeat: after(Instant::now(), heartbeat_every),
            heartbeat_every,
            detached: false,
            left: None,
            silent_at: None,
            kill_at: None,
            limits: WaitLimits::new(&worker.conduct, Instant::now()),
            printed: Printed::new(Instant::now(), worker.launch.output),
            unauthenticated: Unauthenticated::new(&worker.settings.mac_key, lease),
            noted: Vec::new(),
            effects: Vec::new(),
            slot_events: Vec::new(),
            worker,
        }
    }

    fn send_hello(&mut self) {
        let place = &self.worker.launch.setup.place;
        let hello = Hello {
            run: self.worker.settings.run.clone(),
            worker: self.worker.settings.worker,
            name: place.worker.clone(),
            node: place.node.clone(),
            class: self.worker.class,
            slots: self.worker.settings.slots,
            build: self.worker.build.clone(),
            // A master that was superseded, and still pulls, leaves the greeting to the one that it is meant for.
            epoch: self.state.epoch(),
            sequence: self.state.next_sequence(),
        };
        self.results
            .push(hello.message(&self.worker.settings.mac_key), None);
    }

    /// Whether it was ordered to leave, holds nothing, and all its messages are stored.
    fn is_over(&self) -> bool {
        let said = self.state.is_empty()
            && self.results.is_empty()
            && self.tasks.is_empty()
            && self.answers.is_empty();
        let now = Instant::now();
        let unheard = self.silent_at.is_some_and(|at| now >= at);
        let pulls = self.pull.is_some() && self.pull_until.is_some_and(|until| now < until);
        // Slots first: their ends may still bring results, and a worker that left before would leave processes behind.
        self.left.is_some() && self.state.has_no_slots() && !pulls && (said || unheard)
    }

    async fn step(&mut self) -> io::Result<()> {
        self.start_pull();
        let woken = self.wait().await;
        let now = Instant::now();
        self.state.set_wall(wall::now());
        match woken {
            Woken::Slots => self.on_slots(now),
            Woken::Stored(receipts) => self.on_stored(now, receipts),
            Woken::Pulled(sent, answer) => self.on_pulled(now, sent, answer),
            Woken::Told(answer) => self.on_told(now, answer),
            Woken::Keeper(News::Lost(leases)) => {
                warn!(
                    leases = leases.len(),
                    "leases were lost; their batches may run elsewhere too"
                );
                for lease in leases {
                    debug!(%lease, "lost");
                    self.state.on_lease_lost(&lease, now);
                }
            }
            Woken::Keeper(News::Ended(reason)) => return Err(io::Error::other(reason)),
            Woken::Ordered(order) => self.on_order(now, order),
            Woken::Answered | Woken::Tick => {}
        }
        // Before the timers: what was just decided, a frame for an idle slot, must not wait for what else is due.
        self.carry_out(now);
        self.take_stored(now);
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
        // Only once no batch is held: until then a slot may have to run what another slot gave back.
        if self.left.is_some() && self.state.is_empty() {
            self.state.retire_slots(now);
        }
        self.leave_if_unfit();
        self.leave_if_outdated();
        self.carry_out(now);
        // From then on lines are sent at once: any step may be the last.
        let last = self.left.is_some() && self.state.is_empty();
        self.send_lines(now, last);
        self.check_queues(now)
    }

    /// A worker whose slots do not start is of no use. Its tasks were reported, and go to others: once that is stored, it
    /// leaves.
    fn leave_if_unfit(&mut self) {
        if self.left.is_none()
            && self.state.is_empty()
            && let Some(left) = self.unfit()
        {
            warn!(?left, "the slots of this worker do not start; it leaves");
            self.leave(left);
        }
    }

    /// A worker whose program is older than that of the run's master takes nothing more: what runs here is finished, and
    /// what came from that master is given back for its own workers.
    fn leave_if_outdated(&mut self) {
        if self.left.is_none()
            && let Some(failure) = self.state.outdated()
        {
            let reason = &failure.message;
            warn!(%reason, "a later master of the run has another program; the worker leaves");
            self.leave(Left::Drained);
        }
    }

    fn unfit(&self) -> Option<Left> {
        let failure = self.state.broken()?;
        Some(Left::Unfit(failure.message.clone()))
    }

    /// What cannot be stored for so long will not be: no result of what runs here would be read.
    fn check_queues(&self, now: Instant) -> io::Result<()> {
        let timeout = self.broker_timeout;
        let results = self.results.given_up(now, timeout, "the results' queue");
        let tasks = || self.tasks.given_up(now, timeout, "the tasks' queue");
        match results.or_else(tasks) {
            Some(reason) => Err(io::Error::other(reason)),
            None => Ok(()),
        }
    }

    fn beat(&mut self, now: Instant) {
        let every = match self.detached {
            true => UNREAD,
            false => self.heartbeat_every,
        };
        self.heartbeat = after(now, every);
        let alive = self.state.alive().message(&self.worker.settings.mac_key);
        self.results.push(alive, None);
        for (task, since) in self.state.long_running(now, LONG) {
            info!("still processing {task}, {} s", since.as_secs());
        }
    }

    /// When something is due that is not the state's.
    fn due(&self) -> Instant {
        let idle = self.limits.idle_until().filter(|_| self.left.is_none());
        let reach = self.limits.reach_until();
        let others = [
            idle,
            reach.filter(|_| self.left.is_none()),
            self.kill_at,
            // A time that is past is no deadline: what it allows (`is_over`) waits for something else, and the loop
            // would spin.
            self.silent_at.filter(|at| *at > Instant::now()),
            self.pull_until.filter(|at| *at > Instant::now()),
            self.limits.pull_from(),
            self.printed.due(),
            self.unauthenticated.due(Instant::now()),
        ];
        let soonest = others.into_iter().flatten().min();
        soonest.map_or(self.heartbeat, |at| at.min(self.heartbeat))
    }

    fn leave(&mut self, left: Left) {
        if self.left.is_none() {
            if self.pull_sent > Instant::now() {
                // It would only be left open.
                self.pull = None;
            }
            // Set with the first reason alone: a second order must not lengthen the wait for a pull that is under way.
            self.pull_until = self.waits_for_pull(&left);
            self.left = Some(left);
        }
        self.state.drain();
        let held = self.unauthenticated.give_back();
        self.release(held);
    }

    /// Until when the last pull is waited for: what it brings is given back, for no other worker would get it before the end
    /// of its lease. A queue that is removed with its run needs no such care at the end.
    fn waits_for_pull(&self, left: &Left) -> Option<Instant> {
        let needed = self.worker.conduct.queue_outlives
            || !matches!(
                left,
                Left::Ended | Left::Stopped | Left::Unreachable(_) | Left::Unreached(_)
            );
        let remote = self.worker.queues.tasks.limits().remote;
        (remote && needed).then(|| after(Instant::now(), LAST_PULL))
    }

    /// Sends what tasks printed, when it is time or `all` is set.
    fn send_lines(&mut self, now: Instant, all: bool) {
        let Some(Gathered {
            tasks,
            lines,
            left_out,
            through,
        }) = self.printed.take(now, all)
        else {
            return;
        };
        let settings = &self.worker.settings;
        let printed = envelope::Printed {
            run: settings.run.clone(),
            worker: settings.worker,
            epoch: self.state.epoch(),
            tasks,
            lines,
            left_out,
            through,
        };
        self.results.push(printed.message(&settings.mac_key), None);
    }

    /// Writes down what runs, before a slot gets it.
    fn note_running(&mut self) {
        let Some(sink) = &mut self.worker.conduct.running else {
            return;
        };
        let running = self.state.running();
        if running != self.noted {
            // Before the frames go out (`carry_out`): a worker that crashes in between leaves a list with a task that
            // has not begun, never one without a task that has.
            sink(&running);
            self.noted = running;
        }
    }

    /// Waits for the next thing to happen. The order of the branches is that of what frees the most: slots that report
    /// come first, so that they are filled before anything else is done.
    async fn wait(&mut self) -> Woken {
        let due = self.due();
        let deadline = self.state.deadline().map_or(due, |at| at.min(due));
        tokio::select! {
            // Polled from top to bottom. Slots first: an idle slot is the dearest thing here. Confirmations next: each lets a
            // batch be acknowledged, and makes room for a pull. Then new work. The tick comes last and needs no more: each step
            // looks at the time, whatever woke it.
            biased;
            _ = self.events.recv_many(&mut self.slot_events, EVENTS) => Woken::Slots,
            receipts = self.results.next() => Woken::Stored(receipts),
            receipts = self.tasks.next() => Woken::Stored(receipts),
            (sent, answer) = pulled(&mut self.pull) => Woken::Pulled(sent, answer),
            (_, answer) = &mut self.control => Woken::Told(answer),
            news = self.keepers_news.recv() => Woken::Keeper(news.unwrap_or_else(News::gone)),
            order = self.orders.recv(), if self.left.is_none() || !self.orders.is_closed() => {
                // The sender of orders was dropped: no result of what runs is needed.
                Woken::Ordered(order.unwrap_or(Order::Stop))
            }
            Some(()) = self.answers.next() => Woken::Answered,
            // Each branch may be dropped unfinished: channels lose nothing, publishers keep their call, and both pulls
            // are fields that the next turn polls on.
            () = sleep_until(deadline) => Woken::Tick,
        }
    }

    fn on_slots(&mut self, now: Instant) {
        let mut events = std::mem::take(&mut self.slot_events);
        for (slot, event) in events.drain(..) {
            self.state.on_slot(now, slot, event, &self.slots);
        }
        self.slot_events = events;
    }
}
