//! The dispatcher: the one actor that completes futures.
//!
//! [`State`] decides; this loop takes submissions in, publishes what the state packs, reads results, and tells
//! the workers of the run. It lives on the executor's own thread.

mod history;
mod outbox;
mod parcels;
#[cfg(test)]
mod simulation;
mod state;
mod table;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use podpool_core::envelope::{Kind, Message, Printed, RunState, Seal};
use podpool_core::fleet::{FleetEvent, FleetOrder};
use podpool_core::id::RunId;
use podpool_core::queue::publisher::Publisher;
use podpool_core::queue::{Delivery, LeaseId, Queue, QueueError};
use podpool_core::registry::Registry;
use podpool_core::worker::{OutputLine, OutputSink, Queues};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{debug, warn};

use crate::error::ShutdownError;
use crate::mailbox::{Closed, Command, Inbox, ShutdownBehavior, Submission};
use crate::run_payloads::Payloads;

pub(crate) use self::state::{Settings, State};

/// How long one pull of results waits.
const PULL_WAIT: Duration = Duration::from_secs(30);
/// Delay before a failed pull is tried again.
const PULL_AGAIN: Duration = Duration::from_millis(200);
/// Most messages of results taken at once.
const PULL_MOST: usize = 64;
/// How long workers that have ended are heard out, and the silence after which they have said everything.
const HEAR_OUT: Duration = Duration::from_secs(10);
const QUIET: Duration = Duration::from_secs(1);
/// The master's heartbeat.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Tasks in the outbox above which submissions stay where they are while enough is out: moving them early would
/// only cost both threads their caches.
const PLENTY: usize = 16 * 1024;

/// How long a queue may take nothing before the pool is broken.
pub(crate) const BROKER_TIMEOUT: Duration = Duration::from_secs(600);

/// What a dispatcher is made of.
pub(crate) struct Dispatch {
    pub(crate) settings: Settings,
    pub(crate) inbox: Inbox,
    pub(crate) queues: Queues,
    pub(crate) fleet: FleetHandle,
    /// Shortest time between two changes that the workers are told.
    pub(crate) control_pause: Duration,
    /// Who shows the lines that tasks printed elsewhere.
    pub(crate) printed: Option<OutputSink>,
    pub(crate) measured: Arc<crate::measured::Measured>,
    /// Deleted at the end.
    pub(crate) payloads: Payloads,
    /// Whether the results' queue is there when the run has ended: its workers are heard out then, so that what they say
    /// last is no riddle to the next run.
    pub(crate) results_outlive: bool,
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
            running.step().await;
        }
        running.finish().await;
    }
}

type Pull = BoxFuture<'static, Result<Vec<Delivery>, QueueError>>;

struct RunningDispatch {
    state: State,
    inbox: Inbox,
    queues: Queues,
    seal: Seal,
    fleet: FleetHandle,
    fleet_ended: bool,
    /// What the fleet was told last: tasks that have not ended, up to the number of slots, and whether that is all.
    needed: Option<(usize, bool)>,
    /// Whether the fleet was told to end.
    ending: bool,
    leftovers: Vec<String>,
    /// The epoch of the master that took the run over.
    superseded: Option<u64>,
    /// The older run that has the same names.
    older: Option<RunId>,
    /// Messages that were not this run's: a bad seal, or a word that no worker says here.
    dropped: u64,
    slots: usize,
    epoch: u64,
    control_pause: Duration,
    printed: Option<OutputSink>,
    measured: Arc<crate::measured::Measured>,
    payloads: Payloads,
    results_outlive: bool,
    /// Receipts are the parcels' numbers.
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
    /// Parcels, by their numbers, are stored.
    Sent(Vec<u32>),
    Stored,
    Fleet(FleetEvent),
    Tick,
}

impl RunningDispatch {
    fn new(dispatch: Dispatch) -> Self {
        let Dispatch {
            settings,
            inbox,
            queues,
            fleet,
            control_pause,
            printed,
            measured,
            payloads,
            results_outlive,
        } = dispatch;
        Self {
            seal: settings.seal.clone(),
            slots: settings.slots,
            epoch: settings.epoch,
            state: State::new(settings),
            inbox,
            fleet,
            fleet_ended: false,
            needed: None,
            ending: false,
            leftovers: Vec::new(),
            superseded: None,
            older: None,
            dropped: 0,
            control_pause,
            printed,
            measured,
            payloads,
            results_outlive,
            tasks: Publisher::new(queues.tasks.clone()),
            control: Publisher::new(queues.control.clone()),
            pull: pull(queues.results.clone()),
            acks: FuturesUnordered::new(),
            heartbeat: Instant::now() + HEARTBEAT,
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
            Woken::Sent(parcels) => {
                for number in parcels {
                    self.state.on_stored(now, number);
                }
            }
            Woken::Mail | Woken::Stored | Woken::Tick => {}
        }
        self.state.on_tick(now);
        if mail && self.is_saturated() {
            // A command came; it is handed out behind the submissions that were made before it.
            while self.drain() {}
        }
        self.take_mail(now);
        self.check_queue(now);
        self.tell_workers(now);
        self.tell_fleet();
        self.state.wake();
    }

    /// Waits for the next thing to happen. Results come first: they free places for what waits.
    async fn wait(&mut self) -> Woken {
        let control = self.state.control_changed().then_some(self.control_after);
        let soonest = [self.state.deadline(), control].into_iter().flatten().min();
        let deadline = soonest.map_or(self.heartbeat, |at| at.min(self.heartbeat));
        let saturated = self.is_saturated();
        let listens = !self.ending || self.hears_out();
        tokio::select! {
            biased;
            answer = &mut self.pull, if listens => Woken::Results(answer),
            parcels = self.tasks.next() => Woken::Sent(parcels),
            _ = self.control.next() => Woken::Stored,
            Some(()) = self.acks.next() => Woken::Stored,
            () = self.inbox.changed(), if !saturated => Woken::Mail,
            () = self.inbox.commanded(), if saturated => Woken::Mail,
            event = self.fleet.events.recv(), if !self.fleet_ended => {
                // A fleet that went without a word has ended too.
                Woken::Fleet(event.unwrap_or(FleetEvent::Ended { leftovers: Vec::new() }))
            }
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
            while let Some(parcel) = self.state.next_parcel(now) {
                let number = self.state.newest_parcel();
                self.state.on_sending(number);
                self.tasks.push(parcel, Some(number));
            }
            for (number, parcel) in self.state.take_redriven() {
                self.state.on_sending(number);
                self.tasks.push(parcel, Some(number));
            }
            if !more {
                break;
            }
        }
    }

    fn drain(&mut self) -> bool {
        let more = self.inbox.drain(&mut self.submissions, &mut self.commands);
        for submission in self.submissions.drain(..) {
            self.state.submit(submission);
        }
        for command in std::mem::take(&mut self.commands) {
            self.on_command(command);
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

    fn on_pulled(&mut self, now: Instant, answer: Result<Vec<Delivery>, QueueError>) {
        let queue = self.queues.results.clone();
        let deliveries = match answer {
            Ok(deliveries) => deliveries,
            Err(error) => {
                warn!(%error, "no results could be pulled; trying again");
                self.pull = Box::pin(async move {
                    sleep(PULL_AGAIN).await;
                    pull(queue).await
                });
                return;
            }
        };
        self.pull = pull(queue);
        self.state.set_caught_up(deliveries.len() < PULL_MOST);
        let mut leases = Vec::with_capacity(deliveries.len());
        for Delivery { lease, body } in deliveries {
            leases.push(lease);
            self.on_message(now, body);
        }
        self.state.tell_measured(&self.measured);
        if leases.is_empty() {
            return;
        }
        let queue = self.queues.results.clone();
        self.acks.push(if self.superseded.is_some() {
            // They may be words to the other master, which would miss them.
            Box::pin(give_back(queue, leases))
        } else {
            Box::pin(acknowledge(queue, leases))
        });
    }

    fn on_message(&mut self, now: Instant, body: bytes::Bytes) {
        let message = Message::read(body, &self.seal);
        let known = message.as_ref().ok().and_then(Message::origin);
        if let Some((run, epoch)) = known {
            if run != self.state.run() {
                self.dropped += 1;
                warn!(%run, dropped = self.dropped, "a message of another run was dropped");
                return;
            }
            if epoch > self.epoch {
                self.supersede(epoch);
                return;
            }
        }
        match message {
            Ok(Message::Results(results, entries)) => {
                self.state.on_results(now, &results, &entries)
            }
            Ok(Message::Started(started)) => self.state.on_started(now, &started),
            Ok(Message::Alive(alive)) => self.state.on_alive(now, alive),
            Ok(Message::Hello(hello)) => self.state.on_hello(now, hello),
            Ok(Message::Printed(printed)) => self.show(&printed),
            Ok(Message::Reference(lost, _)) => self.state.on_lost_results(now, &lost),
            Ok(_) => self.drop_message("it is no worker's"),
            Err(error) => self.drop_message(&error.to_string()),
        }
    }

    /// Whoever put it there proved nothing: it names no task.
    fn drop_message(&mut self, problem: &str) {
        self.dropped += 1;
        warn!(
            problem,
            dropped = self.dropped,
            "a message on the results' queue was dropped"
        );
    }

    /// A queue that takes nothing for so long is gone.
    fn check_queue(&mut self, now: Instant) {
        if let Some((since, error)) = self.tasks.failing()
            && now >= *since + BROKER_TIMEOUT
        {
            let reason = format!("the tasks' queue takes nothing any more: {error}");
            self.break_pool(&reason);
        }
    }

    fn on_fleet(&mut self, now: Instant, event: FleetEvent) {
        match event {
            FleetEvent::Gone(departure) => self.state.on_departure(now, &departure),
            FleetEvent::Surplus(worker) => self.state.on_surplus(worker),
            FleetEvent::Broken(reason) => self.break_pool(&reason),
            FleetEvent::NamesInUse { by } => self.give_way(by),
            FleetEvent::QueuesRestored => self.state.republish(now),
            FleetEvent::Ended { leftovers } => {
                self.fleet_ended = true;
                self.leftovers = leftovers;
                if self.state.unfinished() > 0 {
                    self.break_pool("the workers ended before their tasks did");
                }
            }
            other => debug!(?other, "the fleet said something new"),
        }
    }

    /// Another master has taken the run: this one stops, and leaves everything to it.
    fn supersede(&mut self, epoch: u64) {
        if self.superseded.is_none() {
            self.superseded = Some(epoch);
            self.order(FleetOrder::Abandon);
            self.ending = true;
            let reason = superseded(self.epoch, epoch);
            self.inbox.close(Closed::Broken(reason.clone().into()));
            self.state.break_pool(&reason);
        }
    }

    /// An older run has the names that an administrator gave: this one ends.
    fn give_way(&mut self, by: RunId) {
        if self.older.is_none() {
            let reason = ShutdownError::NamesInUse { by: by.clone() }.to_string();
            self.older = Some(by);
            self.break_pool(&reason);
        }
    }

    /// Every pending future says why, and nothing is left running for nobody.
    fn break_pool(&mut self, reason: &str) {
        self.inbox.close(Closed::Broken(reason.into()));
        self.state.break_pool(reason);
    }

    fn order(&self, order: FleetOrder) {
        // A fleet that has ended by itself needs no orders.
        self.fleet.orders.send(order).ok();
    }

    /// Tells the fleet how much there is to do, and when it is over.
    fn tell_fleet(&mut self) {
        let unfinished = self.state.unfinished();
        for order in self.state.take_fleet_orders() {
            self.order(order);
        }
        if self.state.broken().is_some() && !self.ending {
            self.ending = true;
            self.order(FleetOrder::Stop);
        }
        if self.shutdown.is_some() && unfinished == 0 && !self.ending {
            self.ending = true;
            self.order(FleetOrder::End);
        }
        let needed = Some((unfinished.min(self.slots), self.shutdown.is_some()));
        if !self.ending && needed != self.needed {
            self.needed = needed;
            self.order(FleetOrder::Needed {
                unfinished,
                closing: self.shutdown.is_some(),
            });
        }
    }

    /// Shows the lines that tasks printed elsewhere.
    fn show(&mut self, printed: &Printed) {
        let Some(sink) = &self.printed else {
            return;
        };
        let name = self.state.worker_name(printed.worker).cloned();
        let name = name.unwrap_or_else(|| printed.worker.to_string().into());
        if printed.left_out > 0 {
            warn!(worker = %name, lines = printed.left_out, "more was printed than is shown here; see the worker's own log");
        }
        for line in &printed.lines {
            let task = line.task.and_then(|(task, _)| self.state.task_name(task));
            sink(OutputLine::remote(&name, task, line));
        }
    }

    /// Sends the run's state: at once when it changed, else every ten seconds.
    fn tell_workers(&mut self, now: Instant) {
        if let Some(reason) = self.state.broken() {
            self.inbox.close(Closed::Broken(reason.into()));
        }
        let broken = self.state.broken().is_some() && self.superseded.is_none();
        let closing = self.shutdown.is_some();
        let told = run_state(self.aborted || broken, closing, self.state.unfinished());
        if let Some(told) = told {
            self.state.set_run_state(told);
        }
        if self.ending {
            // The last word is the state above; after it nobody listens.
            self.heartbeat = now + HEARTBEAT;
        }
        let due = now >= self.heartbeat;
        if due {
            self.heartbeat = now + HEARTBEAT;
        }
        // A burst of cancels is one message, not one each.
        let settled = now >= self.control_after;
        if (settled || due)
            && let Some(control) = self.state.control(now, due)
        {
            self.control_after = now + self.control_pause;
            self.control.push(control.message(&self.seal), None);
        }
    }

    fn answer_shutdowns(&mut self, outcome: &Result<(), ShutdownError>) {
        for done in self.done.drain(..) {
            // Whoever waited may have gone.
            done.send(outcome.clone()).ok();
        }
    }

    fn outcome(&self) -> Result<(), ShutdownError> {
        if let Some(epoch) = self.superseded {
            return Err(ShutdownError::Superseded { epoch });
        }
        if let Some(by) = self.older.clone() {
            return Err(ShutdownError::NamesInUse { by });
        }
        if let Some(reason) = self.state.broken().map(ToOwned::to_owned) {
            return Err(ShutdownError::Broken { reason });
        }
        match self.leftovers.as_slice() {
            [] => Ok(()),
            what => Err(ShutdownError::Leftover {
                what: what.join("; "),
            }),
        }
    }

    /// Whether what is still said at the end is listened to. What another run may be there to hear is left to it.
    const fn hears_out(&self) -> bool {
        self.results_outlive && self.superseded.is_none() && self.older.is_none()
    }

    /// The workers are gone: takes what they said last.
    async fn hear_out(&mut self) {
        let end = Instant::now() + HEAR_OUT;
        while Instant::now() < end
            && let Ok(Ok(said)) = timeout(QUIET, &mut self.pull).await
        {
            let quiet = said.is_empty();
            self.on_pulled(Instant::now(), Ok(said));
            if quiet {
                break;
            }
        }
    }

    /// Tells those who wait for the shutdown.
    async fn finish(mut self) {
        if self.hears_out() {
            self.hear_out().await;
        }
        debug!(
            late_results = self.state.late_results(),
            dropped = self.dropped,
            "the executor ends"
        );
        self.state.wake();
        let mut outcome = self.outcome();
        if self.superseded.is_none() {
            // The other master needs them.
            let cleaned = self.payloads.clean().await;
            outcome = outcome.and(cleaned);
        }
        self.answer_shutdowns(&outcome);
        // Shutdowns that came meanwhile are answered too, then the mailbox closes for good.
        self.drain();
        self.answer_shutdowns(&outcome);
        while self.acks.next().await.is_some() {}
    }
}

/// What workers are told of a run that is no longer open. An aborted one's must not wait for what they run: until they
/// go, their pods, and so the master, would wait for the grace.
const fn run_state(aborted: bool, closing: bool, unfinished: usize) -> Option<RunState> {
    match (aborted, closing) {
        (true, _) => Some(RunState::Aborted),
        (false, true) if unfinished == 0 => Some(RunState::Ended),
        (false, true) => Some(RunState::Closing),
        (false, false) => None,
    }
}

/// Why a master stops that another one followed.
fn superseded(own: u64, epoch: u64) -> String {
    format!(
        "superseded: another master has taken this run over (its epoch is {epoch}, this one's {own}); its tasks go on there"
    )
}

fn pull(queue: Arc<dyn Queue>) -> Pull {
    Box::pin(async move { queue.take(PULL_MOST, PULL_WAIT).await })
}

/// Results that cannot be acknowledged come again and change nothing.
async fn acknowledge(queue: Arc<dyn Queue>, leases: Vec<LeaseId>) {
    queue.ack(&leases).await;
}

/// Results that cannot be given back come again when their leases end.
async fn give_back(queue: Arc<dyn Queue>, leases: Vec<LeaseId>) {
    queue.release(&leases).await;
}

/// The name by which parcels call the task of this index.
fn kind(index: u32) -> Kind {
    let spec = Registry::global()
        .ok()
        .and_then(|registry| registry.get(index));
    let name = spec.map_or("", |spec| spec.name);
    let fingerprint = spec.and_then(|spec| spec.fingerprint().ok());
    // A pool is built only when every task has a fingerprint; a worker rejects an empty one by name.
    let fingerprint = fingerprint.unwrap_or(podpool_core::shape::Fingerprint([0; 16]));
    Kind {
        name: name.into(),
        fingerprint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_aborted_run_never_looks_like_one_that_ended() {
        assert_eq!(run_state(false, false, 0), None);
        assert_eq!(run_state(false, true, 1), Some(RunState::Closing));
        assert_eq!(run_state(false, true, 0), Some(RunState::Ended));
        for (closing, unfinished) in [(false, 0), (false, 1), (true, 0), (true, 1)] {
            let told = run_state(true, closing, unfinished);
            assert_eq!(told, Some(RunState::Aborted));
        }
    }
}
