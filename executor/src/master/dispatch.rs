//! The dispatcher: the one actor that completes futures.
//!
//! [`State`] decides; this loop takes submissions in, publishes what the state packs, reads results, and tells
//! the workers of the run. It lives on the executor's own thread.

mod after_lines;
mod batches;
mod ending;
#[cfg(test)]
mod fake;
mod history;
mod notices;
mod outbox;
mod ranges;
mod results;
#[cfg(test)]
mod simulation;
mod state;
mod table;
mod telling;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use podpool_core::broker::BrokerEvent;
use podpool_core::envelope::{MacKey, TaskType};
use podpool_core::fleet::{FleetEvent, FleetOrder};
use podpool_core::id::RunId;
use podpool_core::instant::after;
use podpool_core::notice;
use podpool_core::panics::caught;
use podpool_core::queue::publisher::Publisher;
use podpool_core::queue::refusals::Refusals;
use podpool_core::queue::{Delivery, QueueError};
use podpool_core::registry::Registry;
use podpool_core::worker::{KeptLine, OutputSink, Queues};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use crate::broker::run_payloads::Payloads;
use crate::error::ShutdownError;
use crate::master::command::{Command, ShutdownBehavior};
use crate::master::mailbox::{Closed, Inbox, Submission};
use crate::report::outlet::Gauge;

use self::after_lines::AfterLines;
use self::notices::{QueueTrouble, Refusing, Said};
pub(crate) use self::state::{Settings, State};

/// The master's heartbeat.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Tasks in the outbox above which submissions stay where they are while enough is out: moving them early would
/// only cost both threads their caches.
const PLENTY: usize = 16 * 1024;

/// What a dispatcher is made of.
pub(crate) struct Dispatch {
    pub(crate) settings: Settings,
    pub(crate) inbox: Inbox,
    pub(crate) queues: Queues,
    pub(crate) fleet: FleetHandle,
    /// What becomes of the queues; none where nothing can.
    pub(crate) broker: Option<mpsc::UnboundedReceiver<BrokerEvent>>,
    /// Shortest time between two changes that the workers are told.
    pub(crate) control_pause: Duration,
    /// Who shows the lines that tasks printed elsewhere.
    pub(crate) printed: Option<OutputSink>,
    /// The buffer that holds lines which are not shown yet.
    pub(crate) lines: Option<Gauge<KeptLine>>,
    pub(crate) measured: Arc<crate::master::measured::Measured>,
    /// Deleted at the end.
    pub(crate) payloads: Payloads,
    /// Whether the results' queue is there when the run has ended: its workers are heard out then, so that what they say
    /// last does not reach the next run.
    pub(crate) results_outlive: bool,
    /// For how long a queue may refuse everything.
    pub(crate) broker_timeout: Duration,
}

/// What starts the workers of this run.
#[derive(Debug)]
pub(crate) struct FleetHandle {
    pub(crate) orders: mpsc::UnboundedSender<FleetOrder>,
    pub(crate) events: mpsc::UnboundedReceiver<FleetEvent>,
}

impl Dispatch {
    /// Runs until the pool is shut down and its fleet has ended.
    pub(crate) async fn run(self) {
        let mut running = RunningDispatch::new(self);
        while !running.is_over() {
            if let Err(reason) = caught("the executor's thread", running.step()).await {
                return running.fail(&reason).await;
            }
        }
        running.finish().await;
    }
}

type Pull = BoxFuture<'static, Result<Vec<Delivery>, QueueError>>;

struct RunningDispatch {
    state: State,
    inbox: Inbox,
    queues: Queues,
    mac_key: MacKey,
    fleet: FleetHandle,
    fleet_ended: bool,
    broker: Option<mpsc::UnboundedReceiver<BrokerEvent>>,
    /// What the fleet was told last: tasks that have not ended, up to the number of slots, and whether that is all.
    needed: Option<(usize, bool)>,
    /// Whether the fleet was told to end.
    ending: bool,
    leftovers: Vec<String>,
    /// The epoch of the master that took the run over.
    superseded: Option<u64>,
    /// The older run that has the same names.
    older: Option<RunId>,
    /// Messages that were not this run's: a wrong MAC, or what no worker sends here.
    dropped: u64,
    slots: usize,
    epoch: u64,
    control_pause: Duration,
    printed: Option<OutputSink>,
    lines: Option<Gauge<KeptLine>>,
    /// Failures that are told after these lines.
    after_lines: AfterLines,
    /// Tells that lines which a failure waits for are taken.
    lines_taken: Option<oneshot::Receiver<()>>,
    measured: Arc<crate::master::measured::Measured>,
    payloads: Payloads,
    results_outlive: bool,
    broker_timeout: Duration,
    /// Pulls of results that were refused in a row.
    refused_pulls: Refusals,
    /// What the last of them said.
    pull_refusal: Option<String>,
    troubles: [QueueTrouble; 3],
    /// Receipts are the batches' numbers.
    tasks: Publisher<u32>,
    control: Publisher<()>,
    pull: Pull,
    acks: FuturesUnordered<BoxFuture<'static, ()>>,
    heartbeat: Instant,
    /// Before this, a changed control waits for more changes.
    control_after: Instant,
    submissions: Vec<Submission>,
    commands: Vec<Command>,
    shutdown: Option<ShutdownBehavior>,
    /// Whether what runs is of no use any more.
    aborted: bool,
    done: Vec<oneshot::Sender<Result<(), ShutdownError>>>,
}

/// What woke the loop.
enum Woken {
    Results(Result<Vec<Delivery>, QueueError>),
    Mail,
    /// Batches, by their numbers, are stored.
    Sent(Vec<u32>),
    Stored,
    Fleet(FleetEvent),
    Broker(BrokerEvent),
    Tick,
}

impl RunningDispatch {
    fn new(dispatch: Dispatch) -> Self {
        let Dispatch {
            settings,
            inbox,
            queues,
            fleet,
            broker,
            control_pause,
            printed,
            lines,
            measured,
            payloads,
            results_outlive,
            broker_timeout,
        } = dispatch;
        Self {
            mac_key: settings.mac_key.clone(),
            slots: settings.slots,
            epoch: settings.epoch,
            state: State::new(settings),
            inbox,
            fleet,
            fleet_ended: false,
            broker,
            needed: None,
            ending: false,
            leftovers: Vec::new(),
            superseded: None,
            older: None,
            dropped: 0,
            control_pause,
            printed,
            lines,
            after_lines: AfterLines::default(),
            lines_taken: None,
            measured,
            payloads,
            results_outlive,
            broker_timeout,
            refused_pulls: Refusals::default(),
            pull_refusal: None,
            troubles: [
                QueueTrouble::new("the tasks' queue", "takes nothing"),
                QueueTrouble::new("the results' queue", "gives nothing"),
                QueueTrouble::new("the control queue", "takes nothing"),
            ],
            tasks: Publisher::new(queues.tasks.clone()),
            control: Publisher::new(queues.control.clone()),
            pull: results::pull(queues.results.clone(), results_outlive),
            acks: FuturesUnordered::new(),
            heartbeat: after(Instant::now(), HEARTBEAT),
            control_after: Instant::now(),
            submissions: Vec::new(),
            commands: Vec::new(),
            shutdown: None,
            aborted: false,
            done: Vec::new(),
            queues,
        }
    }

    /// Shut down, every future settled, and the fleet gone.
    fn is_over(&self) -> bool {
        self.shutdown.is_some() && self.state.unfinished() == 0 && self.fleet_ended
    }

    async fn step(&mut self) {
        let woken = self.wait().await;
        let now = Instant::now();
        let mail = matches!(woken, Woken::Mail);
        match woken {
            Woken::Results(answer) => self.on_pulled(now, answer),
            Woken::Fleet(event) => self.on_fleet(now, event),
            Woken::Broker(event) => self.on_broker(now, event),
            Woken::Sent(batches) => {
                for number in batches {
                    self.state.on_stored(now, number);
                }
            }
            Woken::Mail | Woken::Stored | Woken::Tick => {}
        }
        self.judge_failures(now);
        self.state.on_tick(now);
        if mail && self.is_saturated() {
            // A command came; it is handed out behind the submissions that were made before it.
            while self.drain() {}
        }
        self.take_mail(now);
        self.take_stored(now);
        self.check_queues(now);
        self.say_what_changed(now);
        self.tell_workers(now);
        self.tell_fleet(now);
        self.state.wake();
    }

    /// Waits for the next thing to happen. Results come first: they free places for what waits.
    async fn wait(&mut self) -> Woken {
        let control = self.state.control_changed().then_some(self.control_after);
        let lines = self.after_lines.deadline();
        let trouble = self.trouble_deadline();
        let soonest = [self.state.deadline(), control, trouble, lines];
        let soonest = soonest.into_iter().flatten().min();
        let deadline = soonest.map_or(self.heartbeat, |at| at.min(self.heartbeat));
        let saturated = self.is_saturated();
        let listens = !self.ending || self.hears_out();
        tokio::select! {
            biased;
            answer = &mut self.pull, if listens => Woken::Results(answer),
            batches = self.tasks.next() => Woken::Sent(batches),
            _ = self.control.next() => Woken::Stored,
            Some(()) = self.acks.next() => Woken::Stored,
            () = results::told(&mut self.lines_taken) => Woken::Tick,
            () = self.inbox.changed(), if !saturated => Woken::Mail,
            () = self.inbox.commanded(), if saturated => Woken::Mail,
            event = self.fleet.events.recv(), if !self.fleet_ended => {
                // A fleet that went without a word has ended too.
                Woken::Fleet(event.unwrap_or(FleetEvent::Ended { leftovers: Vec::new() }))
            }
            event = told(&mut self.broker) => Woken::Broker(event),
            () = sleep_until(deadline) => Woken::Tick,
        }
    }

    /// Whether more submissions would only wait here instead of there.
    fn is_saturated(&self) -> bool {
        self.state.is_full() && self.state.waiting() >= PLENTY
    }

    /// Takes submissions and commands in, and publishes what may go.
    fn take_mail(&mut self, now: Instant) {
        loop {
            let more = !self.is_saturated() && self.drain();
            while let Some(batch) = self.state.next_batch(now) {
                let number = self.state.newest_batch();
                self.state.on_sending(number);
                self.tasks.push(batch, Some(number));
            }
            for (number, batch) in self.state.take_republished() {
                self.state.on_sending(number);
                self.tasks.push(batch, Some(number));
            }
            if !more {
                break;
            }
        }
    }

    /// Batches that a queue stores at once need no turn of the loop.
    fn take_stored(&mut self, now: Instant) {
        while let Some(batches) = self.tasks.next().now_or_never() {
            for number in batches {
                self.state.on_stored(now, number);
            }
        }
    }

    fn drain(&mut self) -> bool {
        let more = self.inbox.drain(&mut self.submissions, &mut self.commands);
        for submission in self.submissions.drain(..) {
            self.state.submit(submission);
        }
        // A shutdown takes in what came meanwhile: its commands are looked at too.
        while !self.commands.is_empty() {
            for command in std::mem::take(&mut self.commands) {
                self.on_command(command);
            }
        }
        more
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Cancel { cell, reply } => {
                let outcome = self.state.cancel(cell.id());
                if let Some(reply) = reply {
                    // Whoever asked may have gone.
                    reply.send(outcome).ok();
                }
            }
            Command::CancelMany(cells) => {
                for cell in cells {
                    self.state.cancel(cell.id());
                }
            }
            Command::Interrupt(behavior) => {
                self.shut_down(behavior);
                // Lines come from workers that are elsewhere, and so does what must be removed.
                let elsewhere = self.printed.is_some();
                let text = interrupted(behavior, self.state.unfinished(), elsewhere);
                notice::trouble(text);
            }
            Command::Shutdown { behavior, done } => {
                self.done.push(done);
                self.shut_down(behavior);
            }
        }
    }

    /// A later, harsher behaviour overrides an earlier one; a milder one changes nothing.
    fn shut_down(&mut self, behavior: ShutdownBehavior) {
        self.inbox.close(Closed::ShutDown);
        while self.inbox.drain(&mut self.submissions, &mut self.commands) {}
        for submission in self.submissions.drain(..) {
            self.state.submit(submission);
        }
        self.shutdown.get_or_insert(behavior);
        match behavior {
            ShutdownBehavior::CancelPending => self.state.cancel_pending(),
            ShutdownBehavior::Abort => {
                self.aborted = true;
                self.state.abort();
                self.order(FleetOrder::Stop);
            }
            _ => {}
        }
    }

    /// A queue that takes nothing for so long is gone.
    fn check_queues(&mut self, now: Instant) {
        let timeout = self.broker_timeout;
        let tasks = self.tasks.given_up(now, timeout, "the tasks' queue");
        let control = || self.control.given_up(now, timeout, "the control queue");
        if let Some(reason) = tasks.or_else(control) {
            self.break_pool(&reason);
        }
    }

    /// When it must be said that a queue refuses.
    fn trouble_deadline(&self) -> Option<Instant> {
        if self.ending {
            // Nothing is said then: a deadline would stay in the past, and wake the loop without a pause.
            return None;
        }
        let pulls = self.refused_pulls.since().zip(self.pull_refusal.as_ref());
        let refusing = Refusing::of_all(&self.tasks, pulls, &self.control);
        let deadlines = self.troubles.iter().zip(&refusing);
        deadlines
            .filter_map(|(trouble, refusing)| trouble.deadline(refusing.as_ref()))
            .min()
    }

    /// Says what a person would ask for. Once the run ends nobody waits for a queue.
    fn say_what_changed(&mut self, now: Instant) {
        self.state.take_notices().iter().for_each(notice::trouble);
        if self.ending {
            return;
        }
        let pulls = self.refused_pulls.since().zip(self.pull_refusal.as_ref());
        let refusing = Refusing::of_all(&self.tasks, pulls, &self.control);
        for (trouble, refusing) in self.troubles.iter_mut().zip(&refusing) {
            match trouble.look(now, refusing.as_ref(), self.broker_timeout) {
                Some(Said::Trouble(text)) => notice::trouble(text),
                Some(Said::Relief(text)) => notice::relief(text),
                None => {}
            }
        }
    }

    fn on_broker(&mut self, now: Instant, event: BrokerEvent) {
        // What a worker said of its tasks comes before what becomes of its queues.
        self.judge_all_failures(now);
        match event {
            BrokerEvent::Restored => self.state.republish_all(now),
            BrokerEvent::NamesInUse { by } => self.give_way(by),
            BrokerEvent::Broken(reason) => self.break_pool(&reason),
            other => debug!(?other, "the broker said something new"),
        }
    }

    fn on_fleet(&mut self, now: Instant, event: FleetEvent) {
        // What a worker said of its tasks comes before what its fleet says of it.
        self.judge_all_failures(now);
        match event {
            FleetEvent::Gone(departure) => self.state.on_departure(now, &departure),
            FleetEvent::Surplus(worker) => self.state.on_surplus(worker),
            FleetEvent::Broken(reason) => self.break_pool(&reason),
            FleetEvent::Ended { leftovers } => {
                self.fleet_ended = true;
                self.leftovers = leftovers;
                // An aborted run listens on after it has told the fleet to stop.
                if !self.ending && !self.aborted {
                    // Whether tasks are pending or not: those that come later would wait for nobody.
                    self.break_pool("the workers ended although nobody asked them to");
                }
            }
            other => debug!(?other, "the fleet said something new"),
        }
    }
}

/// What the broker tells next. One that has ended tells nothing more: its end is the fleet's to report.
async fn told(broker: &mut Option<mpsc::UnboundedReceiver<BrokerEvent>>) -> BrokerEvent {
    if let Some(events) = broker
        && let Some(event) = events.recv().await
    {
        return event;
    }
    *broker = None;
    std::future::pending().await
}

/// What a signal does to the tasks that have not ended, and to what the run made on a cluster.
fn interrupted(behavior: ShutdownBehavior, left: usize, elsewhere: bool) -> String {
    let tasks = if left == 1 { "task" } else { "tasks" };
    match (behavior, left) {
        (ShutdownBehavior::CancelPending, 0) if elsewhere => {
            "interrupted: no task runs; removing the run from the cluster".to_owned()
        }
        (ShutdownBehavior::CancelPending, 0) => "interrupted: no task runs".to_owned(),
        (ShutdownBehavior::CancelPending, _) => format!(
            "interrupted: tasks that have not begun are cancelled; finishing {left} {tasks}; interrupt again to stop now"
        ),
        _ if elsewhere => {
            "interrupted: every task is ended; removing the run from the cluster; interrupt once more to leave it there"
                .to_owned()
        }
        _ => "interrupted: every task is ended".to_owned(),
    }
}

/// The name by which batches call the task of this index.
fn task_type(index: u32) -> TaskType {
    let spec = Registry::global()
        .ok()
        .and_then(|registry| registry.get(index));
    let name = spec.map_or("", |spec| spec.name);
    let fingerprint = spec.and_then(|spec| spec.fingerprint().ok());
    // A pool is built only when every task has a fingerprint; a worker rejects an empty one by name.
    let fingerprint = fingerprint.unwrap_or(podpool_core::shape::Fingerprint([0; 16]));
    TaskType {
        name: name.into(),
        fingerprint,
    }
}
