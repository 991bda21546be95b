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
use podpool_core::envelope::{Kind, Message, RunState, Seal};
use podpool_core::queue::publisher::Publisher;
use podpool_core::queue::{Delivery, LeaseId, Queue, QueueError};
use podpool_core::registry::Registry;
use podpool_core::worker::{Order, Queues};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, warn};

use crate::error::ShutdownError;
use crate::mailbox::{Closed, Command, Inbox, ShutdownBehavior, Submission};

pub(crate) use self::state::{Settings, State};

/// How long one pull of results waits.
const PULL_WAIT: Duration = Duration::from_secs(30);
/// Delay before a failed pull is tried again.
const PULL_AGAIN: Duration = Duration::from_millis(200);
/// Most messages of results taken at once.
const PULL_MOST: usize = 64;
/// The master's heartbeat.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Shortest time between two changes that the workers are told.
const CONTROL_PAUSE: Duration = Duration::from_millis(20);
/// Tasks in the outbox above which submissions stay where they are while enough is out: moving them early would
/// only cost both threads their caches.
const PLENTY: usize = 16 * 1024;

/// How long a queue may take nothing before the pool is broken.
pub(crate) const BROKER_TIMEOUT: Duration = Duration::from_secs(600);

/// What a dispatcher is made of.
#[derive(Debug)]
pub(crate) struct Dispatch {
    pub(crate) settings: Settings,
    pub(crate) inbox: Inbox,
    pub(crate) queues: Queues,
    /// Orders to the local worker.
    pub(crate) orders: mpsc::UnboundedSender<Order>,
    /// Ends when the local worker has.
    pub(crate) worker: oneshot::Receiver<()>,
    pub(crate) measured: Arc<crate::measured::Measured>,
}

impl Dispatch {
    /// Runs until the pool is shut down and its worker has ended.
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
    orders: mpsc::UnboundedSender<Order>,
    worker: oneshot::Receiver<()>,
    worker_ended: bool,
    measured: Arc<crate::measured::Measured>,
    tasks: Publisher<()>,
    control: Publisher<()>,
    pull: Pull,
    acks: FuturesUnordered<BoxFuture<'static, ()>>,
    heartbeat: Instant,
    /// Before this, a changed control waits for more changes.
    control_after: Instant,
    submissions: Vec<Submission>,
    commands: Vec<Command>,
    shutdown: Option<ShutdownBehavior>,
    done: Vec<oneshot::Sender<Result<(), ShutdownError>>>,
}

/// What woke the loop.
enum Woken {
    Results(Result<Vec<Delivery>, QueueError>),
    Mail,
    Stored,
    WorkerEnded,
    Tick,
}

impl RunningDispatch {
    fn new(dispatch: Dispatch) -> Self {
        let Dispatch {
            settings,
            inbox,
            queues,
            orders,
            worker,
            measured,
        } = dispatch;
        Self {
            seal: settings.seal.clone(),
            state: State::new(settings),
            inbox,
            orders,
            worker,
            worker_ended: false,
            measured,
            tasks: Publisher::new(queues.tasks.clone()),
            control: Publisher::new(queues.control.clone()),
            pull: pull(queues.results.clone()),
            acks: FuturesUnordered::new(),
            heartbeat: Instant::now() + HEARTBEAT,
            control_after: Instant::now(),
            submissions: Vec::new(),
            commands: Vec::new(),
            shutdown: None,
            done: Vec::new(),
            queues,
        }
    }

    /// Shut down, every future settled, and the worker gone.
    fn is_over(&self) -> bool {
        self.shutdown.is_some() && self.state.unfinished() == 0 && self.worker_ended
    }

    async fn step(&mut self) {
        let woken = self.wait().await;
        let now = Instant::now();
        let mail = matches!(woken, Woken::Mail);
        match woken {
            Woken::Results(answer) => self.on_pulled(now, answer),
            Woken::WorkerEnded => self.on_worker_ended(),
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
        self.state.wake();
    }

    /// Waits for the next thing to happen. Results come first: they free places for what waits.
    async fn wait(&mut self) -> Woken {
        let control = self.state.control_changed().then_some(self.control_after);
        let soonest = [self.state.deadline(), control].into_iter().flatten().min();
        let deadline = soonest.map_or(self.heartbeat, |at| at.min(self.heartbeat));
        let saturated = self.is_saturated();
        tokio::select! {
            biased;
            answer = &mut self.pull => Woken::Results(answer),
            _ = self.tasks.next() => Woken::Stored,
            _ = self.control.next() => Woken::Stored,
            Some(()) = self.acks.next() => Woken::Stored,
            () = self.inbox.changed(), if !saturated => Woken::Mail,
            () = self.inbox.commanded(), if saturated => Woken::Mail,
            _ = &mut self.worker, if !self.worker_ended => Woken::WorkerEnded,
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
                self.tasks.push(parcel, None);
            }
            for parcel in self.state.take_redriven() {
                self.tasks.push(parcel, None);
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
                self.state.abort();
                // The worker may have ended by itself.
                self.orders.send(Order::Stop).ok();
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
        let mut leases = Vec::with_capacity(deliveries.len());
        for Delivery { lease, body } in deliveries {
            leases.push(lease);
            self.on_message(now, body);
        }
        self.state.tell_measured(&self.measured);
        if !leases.is_empty() {
            self.acks
                .push(Box::pin(acknowledge(self.queues.results.clone(), leases)));
        }
    }

    fn on_message(&mut self, now: Instant, body: bytes::Bytes) {
        match Message::read(body, &self.seal) {
            Ok(Message::Results(results, entries)) => {
                self.state.on_results(now, &results, &entries)
            }
            Ok(Message::Started(started)) => self.state.on_started(now, &started),
            Ok(Message::Alive(alive)) => self.state.on_alive(now, alive),
            Ok(Message::Hello(hello)) => self.state.on_hello(now, hello),
            Ok(other) => warn!(?other, "a message on the results' queue was dropped"),
            Err(error) => warn!(%error, "a message on the results' queue was dropped"),
        }
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

    fn on_worker_ended(&mut self) {
        self.worker_ended = true;
        if self.state.unfinished() > 0 {
            self.break_pool("the worker ended before its tasks did");
        }
    }

    fn break_pool(&mut self, reason: &str) {
        self.inbox.close(Closed::Broken(reason.into()));
        self.state.break_pool(reason);
    }

    /// Sends the run's state: at once when it changed, else every ten seconds.
    fn tell_workers(&mut self, now: Instant) {
        if let Some(reason) = self.state.broken() {
            self.inbox.close(Closed::Broken(reason.into()));
        }
        if self.shutdown.is_some() && self.state.unfinished() == 0 {
            self.state.set_run_state(RunState::Ended);
        } else if self.shutdown.is_some() {
            self.state.set_run_state(RunState::Closing);
        }
        let due = now >= self.heartbeat;
        if due {
            self.heartbeat = now + HEARTBEAT;
        }
        // A burst of cancels is one message, not one each.
        let settled = now >= self.control_after;
        if (settled || due)
            && let Some(control) = self.state.control(due)
        {
            self.control_after = now + CONTROL_PAUSE;
            self.control.push(control.message(&self.seal), None);
        }
    }

    fn answer_shutdowns(&mut self, outcome: &Result<(), ShutdownError>) {
        for done in self.done.drain(..) {
            // Whoever waited may have gone.
            done.send(outcome.clone()).ok();
        }
    }

    /// Tells those who wait for the shutdown.
    async fn finish(mut self) {
        debug!(
            late_results = self.state.late_results(),
            "the executor ends"
        );
        self.state.wake();
        let reason = self.state.broken().map(ToOwned::to_owned);
        let outcome = reason.map_or(Ok(()), |reason| Err(ShutdownError::Broken { reason }));
        self.answer_shutdowns(&outcome);
        // Shutdowns that came meanwhile are answered too, then the mailbox closes for good.
        self.drain();
        self.answer_shutdowns(&outcome);
        while self.acks.next().await.is_some() {}
    }
}

fn pull(queue: Arc<dyn Queue>) -> Pull {
    Box::pin(async move { queue.take(PULL_MOST, PULL_WAIT).await })
}

/// Results that cannot be acknowledged come again and change nothing.
async fn acknowledge(queue: Arc<dyn Queue>, leases: Vec<LeaseId>) {
    queue.ack(&leases).await;
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
