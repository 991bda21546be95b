//! The dispatcher: the one actor that completes futures.
//!
//! [`MasterState`] decides; the loop passes it every input (submissions, results, reports of fleet and broker) and
//! carries out its [`Effect`]s. The loop runs on the executor's own thread.

mod admission;
mod after_lines;
mod asked;
mod batches;
mod classes;
mod commits;
mod effect;
mod ending;
mod failed;
#[cfg(test)]
mod fake;
mod history;
mod ledger;
mod lines;
mod notices;
mod outages;
mod outbox;
mod ranges;
mod remembered;
mod results;
#[cfg(test)]
mod simulation;
mod state;
mod table;
mod task_queues;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use podpool_core::broker::BrokerEvent;
use podpool_core::envelope::TaskType;
use podpool_core::fleet::{FleetEvent, FleetOrder};
use podpool_core::notice;
use podpool_core::panics::caught;
use podpool_core::queue::publisher::Publisher;
use podpool_core::queue::{Delivery, QueueError};
use podpool_core::registry::Registry;
use podpool_core::wall;
use podpool_core::worker::{KeptLine, OutputSink};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::broker::run_payloads::Payloads;
use crate::error::ShutdownError;
use crate::master::cell::Wakers;
use crate::master::command::{Command, ShutdownBehavior};
use crate::master::events::EventKind;
use crate::master::ledger::{Answer, LedgerLink};
use crate::master::mailbox::{Closed, Inbox, Submission};
use crate::master::observed::Observed;
use crate::master::stats::Waits;
use crate::report::outlet::Gauge;

use self::commits::{Commits, Held};
use self::effect::Effect;
use self::lines::Lines;
use self::outages::Outages;
pub(crate) use self::remembered::{LeftTask, Memory};
pub(crate) use self::state::{MAX_RANGES, MasterState, Settings};
pub(crate) use self::task_queues::MasterQueues;
use self::task_queues::TaskQueues;

/// Tasks in the outbox above which submissions stay in the mailbox while enough is out: to move them early would only
/// cost both threads their caches.
// A batch takes `waiting / (4 × slots)` tasks at most: 64 tasks for 64 slots, so that batches of short tasks stay
// large. At half they would be half as large on such a machine; at double only table and outbox would grow.
const PLENTY: usize = 16 * 1024;

/// What a dispatcher is made of.
pub(crate) struct Dispatch {
    pub(crate) settings: Settings,
    pub(crate) inbox: Inbox,
    pub(crate) queues: MasterQueues,
    pub(crate) fleet: FleetHandle,
    /// Reports about the queues; none where queues cannot vanish.
    pub(crate) broker: Option<mpsc::UnboundedReceiver<BrokerEvent>>,
    /// Shows the lines that tasks printed in other processes.
    pub(crate) printed: Option<OutputSink>,
    /// The buffer that holds lines which are not shown yet.
    pub(crate) lines: Option<Gauge<KeptLine>>,
    pub(crate) observed: Arc<Observed>,
    /// Deleted at the end.
    pub(crate) payloads: Payloads,
    /// For how long a queue may refuse everything.
    pub(crate) broker_timeout: Duration,
    /// The ledger, and what it remembers of the run; none without one.
    pub(crate) ledger: Option<(Memory, LedgerLink)>,
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
    state: MasterState,
    inbox: Inbox,
    queues: MasterQueues,
    fleet: FleetHandle,
    broker: Option<mpsc::UnboundedReceiver<BrokerEvent>>,
    lines: Lines,
    outages: Outages,
    observed: Subscribed,
    payloads: Payloads,
    tasks: TaskQueues,
    control: Publisher<()>,
    pull: Pull,
    acks: FuturesUnordered<BoxFuture<'static, ()>>,
    commits: Commits,
    submissions: Vec<Submission>,
    commands: Vec<Command>,
    /// Callers that wait for the end.
    done: Vec<oneshot::Sender<Result<(), ShutdownError>>>,
    effects: Vec<Effect>,
    /// What happened in this turn, for subscribers.
    events: Vec<EventKind>,
    wakers: Wakers,
}

/// What the loop writes for others. Dropped, it ends the streams of events: whatever ends the loop, no subscriber waits.
struct Subscribed(Arc<Observed>);

impl Deref for Subscribed {
    type Target = Observed;

    fn deref(&self) -> &Observed {
        &self.0
    }
}

impl Drop for Subscribed {
    fn drop(&mut self) {
        self.0.hub.end();
    }
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
    Ledger(Answer),
    Tick,
}

impl RunningDispatch {
    fn new(dispatch: Dispatch) -> Self {
        let Dispatch {
            mut settings,
            inbox,
            queues,
            fleet,
            broker,
            printed,
            lines,
            observed,
            payloads,
            broker_timeout,
            ledger,
        } = dispatch;
        settings.elsewhere = printed.is_some();
        let outlives = settings.results_outlive;
        let tasks = TaskQueues::new(&queues.tasks);
        let mut state = MasterState::new(settings, Instant::now());
        let link = ledger.map(|(memory, link)| {
            state.remember_run(Instant::now(), memory);
            link
        });
        Self {
            state,
            commits: Commits::new(link),
            inbox,
            fleet,
            broker,
            lines: Lines::new(printed, lines),
            outages: Outages::new(broker_timeout, &tasks),
            observed: Subscribed(observed),
            payloads,
            tasks,
            control: Publisher::new(queues.control.clone()),
            pull: results::pull(queues.results.clone(), outlives),
            acks: FuturesUnordered::new(),
            submissions: Vec::new(),
            commands: Vec::new(),
            done: Vec::new(),
            effects: Vec::new(),
            events: Vec::new(),
            wakers: Wakers::default(),
            queues,
        }
    }

    /// Shut down, every task ended, the fleet gone, and everything stored.
    fn is_over(&self) -> bool {
        self.state.is_over() && self.commits.is_idle()
    }

    async fn step(&mut self) {
        let woken = self.wait().await;
        let now = Instant::now();
        self.state.set_wall(wall::now());
        self.state
            .set_subscribed(self.observed.hub.has_subscribers());
        let mail = matches!(woken, Woken::Mail);
        match woken {
            Woken::Results(answer) => self.on_pulled(now, answer),
            Woken::Fleet(event) => {
                self.remember_cohort(&event);
                self.state.on_fleet(now, event);
            }
            Woken::Broker(event) => self.state.on_broker(now, event),
            Woken::Sent(batches) => self.on_sent(now, batches),
            Woken::Ledger(answer) => self.on_ledger(now, answer),
            // What these woke the loop for is taken below, in every turn, whatever woke the loop.
            Woken::Mail | Woken::Stored | Woken::Tick => {}
        }
        // In every turn and not only by the timer: the timer is the last branch of the `select!` and may wait long.
        self.lines.look(now, &mut self.state);
        self.answer_judged();
        self.state.on_tick(now);
        if mail && self.is_saturated() {
            // A command came. The inbox passes it on only after the submissions that were made before it, so that these
            // are taken in above the bound.
            while self.drain() {}
        }
        if self.commits.is_used() {
            // Before the records of the tasks that get these numbers.
            self.commits.reserve(self.inbox.next());
        }
        self.take_mail(now);
        // After the mail: a queue in memory stores at once, and the batches that the mail filled are stored here.
        self.take_stored(now);
        if let Some(reason) = self.outages.given_up(now, &self.tasks, &self.control) {
            self.state.break_pool(now, &reason);
        }
        // Last, so that all that this turn revoked is one control message, and the fleet receives the final numbers.
        self.state.conclude(now);
        self.carry_out();
        if !self.state.life().is_ending() {
            // Once the run ends no task waits for a queue.
            self.outages.report(now, &self.tasks, &self.control);
        }
        self.end_of_waiting(now);
        // Before the waiters are woken: they read counts that contain what they waited for.
        self.observe(now);
        // Once for a turn: a waiter runs on another thread at once, and would be woken again for each result of a
        // message.
        self.wakers.wake();
    }

    /// Waits for the next thing to happen.
    async fn wait(&mut self) -> Woken {
        let deadline = [
            self.state.deadline(),
            self.outage_deadline(),
            self.commits.deadline(),
        ];
        let deadline = deadline.into_iter().flatten().min();
        let saturated = self.is_saturated();
        let (listens, fleet) = (
            // What cannot be stored would only be delivered again when its lease ends.
            self.state.takes_results()
                && !self.commits.is_full()
                && self.commits.refusal().is_none(),
            !self.state.life().has_no_fleet(),
        );
        // Every branch may lose and be dropped: the pull and the acknowledgements are kept in `self`, publishers keep
        // their calls, and the channels and the mailbox keep what was not taken.
        tokio::select! {
            // In this order, because results free places for what waits, and submissions may come without end.
            biased;
            // First: what waits for it holds up results, and it answers once for a transaction.
            answer = self.commits.answer() => Woken::Ledger(answer),
            answer = &mut self.pull, if listens => Woken::Results(answer),
            batches = self.tasks.next() => Woken::Sent(batches),
            _ = self.control.next() => Woken::Stored,
            Some(()) = self.acks.next() => Woken::Stored,
            () = self.lines.taken() => Woken::Tick,
            // One of the two: while enough waits here, a submission must not wake the loop, but a cancel must.
            () = self.inbox.changed(), if !saturated => Woken::Mail,
            () = self.inbox.commanded(), if saturated => Woken::Mail,
            // Not after the fleet's end: a closed channel is always ready, and would wake the loop without a pause.
            event = self.fleet.events.recv(), if fleet => {
                // A fleet whose channel is closed has ended too.
                Woken::Fleet(event.unwrap_or(FleetEvent::Ended { leftovers: Vec::new() }))
            }
            event = reported(&mut self.broker) => Woken::Broker(event),
            () = until(deadline) => Woken::Tick,
        }
    }

    /// When a queue that refuses must be reported. Once the run ends no queue is reported: the deadline would stay in
    /// the past, and wake the loop without a pause.
    fn outage_deadline(&self) -> Option<Instant> {
        if self.state.life().is_ending() {
            return None;
        }
        self.outages.deadline(&self.tasks, &self.control)
    }

    /// Whether more submissions would only wait in the outbox instead of the mailbox.
    fn is_saturated(&self) -> bool {
        self.commits.is_full() || (self.state.is_full() && self.state.waiting() >= PLENTY)
    }

    /// Takes submissions and commands in, and publishes what may go.
    fn take_mail(&mut self, now: Instant) {
        loop {
            let more = !self.is_saturated() && self.drain();
            // After each chunk of the mailbox: the first batches are on their way while the rest is moved, and what is
            // published counts in the next look at the bound.
            self.state.publish(now);
            self.carry_out();
            if !more {
                break;
            }
        }
    }

    /// Batches that a queue stores at once need no turn of the loop.
    fn take_stored(&mut self, now: Instant) {
        while let Some(batches) = self.tasks.next().now_or_never() {
            self.on_sent(now, batches);
        }
    }

    fn on_sent(&mut self, now: Instant, batches: Vec<u32>) {
        for number in batches {
            self.state.on_stored(now, number);
        }
    }

    fn drain(&mut self) -> bool {
        let more = self.inbox.drain(&mut self.submissions, &mut self.commands);
        // After the mailbox: who subscribed before a submission gets its events.
        self.state
            .set_subscribed(self.observed.hub.has_subscribers());
        self.take_submissions();
        // A shutdown drains the inbox itself, and so adds to the list that is read here: until no command is left.
        while !self.commands.is_empty() {
            for command in std::mem::take(&mut self.commands) {
                self.on_command(command);
            }
        }
        more
    }

    fn take_submissions(&mut self) {
        for submission in self.submissions.drain(..) {
            // A task that was rejected or cancelled in the mailbox has ended. Its number stays free, which the table
            // allows.
            if submission.cell.is_settled() {
                self.state.note_settled(&submission.cell);
            } else {
                self.state.submit(submission);
            }
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Cancel { cell, reply } => {
                // A command overtakes no submission: a task without an entry in the table has ended.
                let outcome = self.state.cancel_call(&cell);
                // Before the reply: the caller that awaits it must find the future settled.
                self.carry_out();
                if let Some(reply) = reply {
                    self.do_after_commit(Held::Reply(reply, outcome));
                }
            }
            Command::CancelMany(cells) => {
                for cell in cells {
                    self.state.cancel_call(&cell);
                }
            }
            Command::Interrupt(behavior) => {
                self.shut_down(behavior);
                // Where workers are elsewhere, a cluster holds objects of the run that must be removed.
                let elsewhere = self.state.settings().elsewhere;
                let text = interrupted(behavior, self.state.unfinished(), elsewhere);
                notice::trouble(text);
            }
            Command::Detach { done } => {
                self.done.push(done);
                self.shut_down(ShutdownBehavior::WaitForTasks);
                self.state.detach();
            }
            Command::Shutdown { behavior, done } => {
                self.done.push(done);
                self.shut_down(behavior);
            }
        }
    }

    /// Shuts the run down. Tasks that were submitted before are shut down with the rest.
    fn shut_down(&mut self, behavior: ShutdownBehavior) {
        // Closed first: a task that is submitted between the two is refused. The other way round it would be accepted,
        // and come to a state that has decided about all its tasks.
        self.inbox.close(Closed::ShutDown);
        while self.inbox.drain(&mut self.submissions, &mut self.commands) {}
        // As in `drain`.
        let subscribed = self.observed.hub.has_subscribers();
        self.state.set_subscribed(subscribed);
        self.take_submissions();
        self.state.shut_down(behavior);
        self.carry_out();
    }

    /// Writes the counts of this turn, and sends its events.
    fn observe(&mut self, now: Instant) {
        let refusal = || {
            let of_ledger = self
                .commits
                .refusal()
                .map(|reason| Waits::Ledger(Some(reason.into())));
            let of_queue = || self.outages.reason(&self.tasks, &self.control);
            of_ledger.or_else(|| Some(Waits::Queue(of_queue()?.into())))
        };
        self.state.write_stats(now, &self.observed.board, refusal);
        self.observed.hub.send(&mut self.events);
    }

    /// Carries out what the state has decided, in its order. Waiters of futures are woken later, all together.
    fn carry_out(&mut self) {
        // The two lists are swapped, so that both keep their memory: in a steady state no turn allocates one.
        let mut effects = std::mem::take(&mut self.effects);
        self.state.take_effects(&mut effects);
        if !effects.is_empty() {
            // Before a task's owners learn of its end: who has its result finds it counted.
            self.state.write_counts(&self.observed.board);
        }
        for effect in effects.drain(..) {
            match effect {
                Effect::Settle(_) | Effect::Publish { .. } => {
                    self.do_after_commit(Held::Effect(effect));
                }
                Effect::Record(record) => self.commits.record(*record),
                Effect::Fetch { call, task } => self.commits.fetch(call, task),
                Effect::Control(message) => self.control.push(message, None),
                // It removes what the run has on a cluster, which may be another master's by now: only a ledger knows.
                Effect::Fleet(FleetOrder::End | FleetOrder::Stop)
                    if self.state.settings().elsewhere && self.commits.is_used() =>
                {
                    self.commits.fence(self.inbox.next());
                    self.do_after_commit(Held::Effect(effect));
                }
                // A fleet that has ended by itself needs no orders.
                Effect::Fleet(order) => drop(self.fleet.orders.send(order)),
                Effect::Event(kind) => {
                    self.remember_event(&kind);
                    self.events.push(*kind);
                }
                Effect::Notice(line) => {
                    self.remember_that("notice", || line.clone());
                    notice::trouble(line);
                }
                Effect::Close(closed) => {
                    self.remember_end(&closed);
                    self.inbox.close(closed);
                }
                Effect::Show(worker, printed) => self.lines.show(&worker, &printed),
            }
        }
        self.effects = effects;
        self.commits.send();
    }
}

/// Waits for the broker's next report. A broker that has ended reports nothing more: the fleet reports its end.
async fn reported(broker: &mut Option<mpsc::UnboundedReceiver<BrokerEvent>>) -> BrokerEvent {
    if let Some(events) = broker
        && let Some(event) = events.recv().await
    {
        return event;
    }
    // A closed channel answers every poll at once: it must not be polled again.
    *broker = None;
    std::future::pending().await
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// What a signal does to the tasks that have not ended, and to the run's objects on a cluster.
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
