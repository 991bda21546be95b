//! The master's decisions: the test plays workers and queues.

mod adopting;
mod announcing;
mod classes;
mod cost;
mod detaching;
mod failures;
mod identity;
mod limits;
mod loss;
mod memory;
mod pace;
mod placing;
mod publish;
mod remembering;
mod republish;
mod scaling;
mod tally;
mod unfit;

use std::sync::OnceLock;

use bytes::Bytes;
use podpool_core::broker::BrokerEvent;
use podpool_core::codec;
use podpool_core::envelope::entry::{mark_skipped, next_task, put_done, put_failed};
use podpool_core::envelope::reference::Content;
use podpool_core::envelope::{
    Alive, Arguments, Control, EntryOptions, Hello, Message, Reference, Results, Started, TaskRun,
};
use podpool_core::fleet::{FleetEvent, FleetOrder};
use podpool_core::id::{Attempt, ExecutionId};
use podpool_core::ledger::Record;
use podpool_core::outcome::{Cause, Failure};
use podpool_core::task::{Body, CallOptions, TaskOptions, TaskSpec};
use podpool_core::wall::WallTime;

use crate::error::{TaskError, TaskErrorKind};
use crate::master::cell::{Cell, CellGuard, TaskState, Wakers};
use crate::master::command::{CancelOutcome, ShutdownBehavior};
use crate::master::events::EventKind;
use crate::master::mailbox::Submission;

use super::super::outbox;
use super::*;

const SLOTS: usize = 2;
const LEASE: Duration = Duration::from_secs(60);
const MESSAGE_BYTES: usize = 1 << 20;

const fn spec(options: TaskOptions) -> TaskSpec {
    TaskSpec {
        name: "tests::task",
        version: None,
        file: file!(),
        line: line!(),
        signature: podpool_core::signature::Signature::EMPTY,
        options,
        body: Body::Sync(|_, _, _| Ok(())),
        shape: || Ok(podpool_core::shape::Shape(String::new())),
        traced: OnceLock::new(),
        // It is in no registry: each test bed sets the index.
        index: OnceLock::new(),
    }
}

static PLAIN: TaskSpec = spec(TaskOptions::DEFAULT);
static UNPACKED: TaskSpec = spec(TaskOptions::DEFAULT.pack(false));
static STUBBORN: TaskSpec = spec(TaskOptions::DEFAULT.retries(2).backoff_ms(4000, 10_000));

/// A batch as it was published.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Published {
    alone: bool,
    tasks: Vec<(u64, u32)>,
}

fn packed(tasks: &[(u64, u32)]) -> Published {
    Published {
        alone: false,
        tasks: tasks.to_vec(),
    }
}

fn alone(task: u64, attempt: u32) -> Published {
    Published {
        alone: true,
        tasks: vec![(task, attempt)],
    }
}

fn read(message: Bytes) -> Published {
    let Ok(Message::Batch(batch, mut entries)) = Message::read(message, &MacKey::Absent) else {
        panic!("not a batch");
    };
    let mut tasks = Vec::new();
    while let Some(entry) = next_task(&mut entries).unwrap() {
        assert!(usize::from(entry.task_type) < batch.task_types.len());
        tasks.push((entry.task.0, entry.attempt.0));
    }
    assert_eq!(batch.count as usize, tasks.len());
    Published {
        alone: batch.alone,
        tasks,
    }
}

fn read_control(message: Bytes) -> Control {
    match Message::read(message, &MacKey::Absent) {
        Ok(Message::Control(control)) => control,
        other => panic!("{other:?}"),
    }
}

struct Bed {
    /// The newest greeting or heartbeat of any worker.
    sequence: u64,
    state: MasterState,
    now: Instant,
    cells: Vec<Arc<Cell>>,
    /// Batches that are on their way to the queue.
    published: Vec<(u32, Bytes)>,
    controls: Vec<Control>,
    orders: Vec<FleetOrder>,
    events: Vec<EventKind>,
    /// What is to be stored, where the run is remembered.
    records: Vec<Record>,
    /// What the clock of the worker's host shows; the beds of most tests have no clocks.
    worker_wall: WallTime,
}

fn settings() -> Settings {
    Settings {
        run: RunId::new("test").unwrap(),
        mac_key: MacKey::Absent,
        seed: 7,
        classes: vec![ClassId::DEFAULT],
        slots: SLOTS,
        message_bytes: MESSAGE_BYTES,
        batches_out: 1000,
        bytes_out: 64 << 20,
        lease: LEASE,
        retries: None,
        limits: Limits::default(),
        epoch: 1,
        silence: None,
        build: String::new(),
        same_build: false,
        workers: 1,
        remote: true,
        memory: None,
        elsewhere: false,
        control_pause: Duration::ZERO,
        results_outlive: false,
        revoked_ranges: revoked::MAX_RANGES,
    }
}

fn bed() -> Bed {
    bed_with(settings())
}

fn bed_with(settings: Settings) -> Bed {
    for (index, spec) in (0..).zip([&PLAIN, &UNPACKED, &STUBBORN]) {
        spec.index.get_or_init(|| index);
    }
    Bed {
        sequence: 0,
        state: MasterState::new(settings, Instant::now()),
        now: Instant::now(),
        cells: Vec::new(),
        published: Vec::new(),
        controls: Vec::new(),
        orders: Vec::new(),
        events: Vec::new(),
        records: Vec::new(),
        worker_wall: WallTime::default(),
    }
}

impl Bed {
    fn submit_with(
        &mut self,
        spec: &'static TaskSpec,
        bytes: usize,
        options: Option<CallOptions>,
    ) -> u64 {
        self.submit_arguments(spec, vec![7; bytes].into(), options)
    }

    fn submit_arguments(
        &mut self,
        spec: &'static TaskSpec,
        arguments: Arguments,
        options: Option<CallOptions>,
    ) -> u64 {
        let id = self.cells.len() as u64;
        let cell = Arc::new(Cell::new(spec));
        cell.set_id(TaskId(id));
        self.cells.push(cell.clone());
        self.state.submit(Submission {
            cell: CellGuard::new(cell),
            spec,
            arguments,
            options: options.map(Box::new),
        });
        self.apply();
        id
    }

    fn submit(&mut self, spec: &'static TaskSpec) -> u64 {
        self.submit_with(spec, 1, None)
    }

    fn submit_many(&mut self, spec: &'static TaskSpec, count: usize) {
        for _ in 0..count {
            self.submit(spec);
        }
    }

    /// Carries out the effects.
    fn apply(&mut self) {
        let mut effects = Vec::new();
        self.state.take_effects(&mut effects);
        for effect in effects {
            match effect {
                Effect::Settle(ended) => ended.notify(&mut Wakers::default()),
                Effect::Publish { batch, message, .. } => self.published.push((batch, message)),
                Effect::Control(message) => self.controls.push(read_control(message)),
                Effect::Fleet(order) => self.orders.push(order),
                Effect::Event(kind) => self.events.push(*kind),
                Effect::Record(record) => self.records.push(*record),
                Effect::Notice(_) | Effect::Close(_) | Effect::Show(..) | Effect::Fetch { .. } => {}
            }
        }
    }

    /// All that may be published now, on its way to the queue.
    fn sent(&mut self) -> Vec<(u32, Bytes)> {
        self.state.publish(self.now);
        self.apply();
        std::mem::take(&mut self.published)
    }

    /// The same, and the queue has stored it.
    fn messages(&mut self) -> Vec<Bytes> {
        let sent = self.sent();
        for (batch, _) in &sent {
            self.state.on_stored(self.now, *batch);
        }
        self.apply();
        sent.into_iter().map(|(_, message)| message).collect()
    }

    fn batches(&mut self) -> Vec<Published> {
        self.messages().into_iter().map(read).collect()
    }

    fn execution() -> ExecutionId {
        ExecutionId {
            worker: WorkerId(1),
            number: 0,
        }
    }

    fn results(&mut self, body: Vec<u8>, count: u32) {
        let results = Results {
            run: RunId::new("test").unwrap(),
            execution: Self::execution(),
            epoch: 1,
            count,
            lines: 0,
            at: self.worker_wall,
        };
        for failed in self.state.on_results(self.now, &results, &body.into()) {
            self.state.on_failed(self.now, &failed);
        }
        self.apply();
    }

    fn done(&mut self, tasks: &[(u64, u32)], elapsed: Duration) {
        let mut body = Vec::new();
        for (task, attempt) in tasks {
            put_done(&mut body, TaskId(*task), Attempt(*attempt), |body| {
                body.push(*attempt as u8);
                Ok::<_, ()>(elapsed)
            })
            .unwrap();
        }
        self.results(body, tasks.len() as u32);
    }

    fn fail(&mut self, task: u64, attempt: u32, cause: Cause) {
        self.fail_with(task, attempt, &Failure::new(cause, "set by the test"));
    }

    fn fail_with(&mut self, task: u64, attempt: u32, failure: &Failure) {
        let mut body = Vec::new();
        let (task, attempt) = (TaskId(task), Attempt(attempt));
        put_failed(&mut body, task, attempt, Duration::from_millis(3), failure);
        self.results(body, 1);
    }

    fn started(&mut self, first: u64, count: u32, attempt: u32) {
        let tasks = vec![run(first, count, attempt)];
        let started = Started {
            run: RunId::new("test").unwrap(),
            execution: Self::execution(),
            epoch: 1,
            tasks,
        };
        self.state.on_started(self.now, &started);
        self.apply();
    }

    fn alive(&mut self, worker: u64, free: u32, empty_pulls: u32, held: Vec<TaskRun>) {
        self.alive_and_revoked(worker, (free, empty_pulls), held, Vec::new());
    }

    fn alive_and_revoked(
        &mut self,
        worker: u64,
        (free, empty_pulls): (u32, u32),
        held: Vec<TaskRun>,
        revoked: Vec<TaskRun>,
    ) {
        let alive = Alive {
            run: RunId::new("test").unwrap(),
            worker: WorkerId(worker),
            held,
            running: 0,
            free,
            empty_pulls,
            revoked,
            replays: 0,
            epoch: 1,
            sequence: self.next_sequence(),
            at: self.worker_wall,
        };
        self.state.on_alive(self.now, alive);
        self.apply();
    }

    /// A heartbeat of a worker that runs one task.
    fn runs(&mut self, worker: u64) {
        let alive = Alive {
            run: RunId::new("test").unwrap(),
            worker: WorkerId(worker),
            held: Vec::new(),
            running: 1,
            free: 0,
            empty_pulls: 0,
            revoked: Vec::new(),
            replays: 0,
            epoch: 1,
            sequence: self.next_sequence(),
            at: self.worker_wall,
        };
        self.state.on_alive(self.now, alive);
        self.apply();
    }

    fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    fn hello(&mut self) {
        self.greet(1);
    }

    fn greet(&mut self, worker: u64) {
        let hello = Hello {
            run: RunId::new("test").unwrap(),
            worker: WorkerId(worker),
            name: "pod-1".into(),
            node: "node-1".into(),
            class: ClassId::DEFAULT,
            slots: 2,
            build: String::new(),
            epoch: 0,
            sequence: self.next_sequence(),
        };
        self.state.on_hello(self.now, hello);
        self.apply();
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.on_tick(self.now);
    }

    fn on_tick(&mut self, now: Instant) {
        self.state.on_tick(now);
        self.apply();
    }

    fn on_stored(&mut self, now: Instant, batch: u32) {
        self.state.on_stored(now, batch);
        self.apply();
    }

    fn republish_all(&mut self, now: Instant) {
        self.state.on_broker(now, BrokerEvent::Restored);
        self.apply();
    }

    fn cancel(&mut self, task: TaskId) -> CancelOutcome {
        let outcome = self.state.cancel(task);
        self.apply();
        outcome
    }

    fn shut_down(&mut self, behavior: ShutdownBehavior) {
        self.state.shut_down(behavior);
        self.apply();
    }

    fn break_pool(&mut self, reason: &str) {
        self.state.break_pool(self.now, reason);
        self.apply();
    }

    fn fleet(&mut self, event: FleetEvent) {
        self.state.on_fleet(self.now, event);
        self.apply();
    }

    /// The control message that is due now, if there is one.
    fn told(&mut self) -> Option<Control> {
        self.state.announce_to_workers(self.now);
        self.apply();
        self.controls.pop()
    }

    /// Batches that were published again, as the queue has stored them.
    fn republished(&mut self) -> Vec<Published> {
        self.apply();
        let published = std::mem::take(&mut self.published);
        for (batch, _) in &published {
            self.on_stored(self.now, *batch);
        }
        let messages = published.into_iter().map(|(_, message)| message);
        messages.map(read).collect()
    }

    fn state_of(&self, task: u64) -> TaskState {
        self.cells[task as usize].state()
    }

    fn output(&self, task: u64) -> u8 {
        match settled(&self.cells[task as usize]) {
            Ok(output) => output.as_slice()[0],
            Err(error) => panic!("{error}"),
        }
    }

    fn error(&self, task: u64) -> TaskError {
        match settled(&self.cells[task as usize]) {
            Ok(_) => panic!("task {task} gave a result"),
            Err(error) => error,
        }
    }

    fn revoked(&self) -> Vec<(u64, u64, u32)> {
        let range = |r: &podpool_core::envelope::Revoked| (r.first.0, r.last.0, r.attempt.0);
        self.state.revoked.to_vec().iter().map(range).collect()
    }

    /// No task waits, is out or unsettled.
    fn assert_empty(&mut self) {
        assert_eq!(self.state.unfinished(), 0);
        assert_eq!(self.state.waiting(), 0);
        assert_eq!(self.batches(), []);
        let MasterState {
            batches, classes, ..
        } = &self.state;
        for (class, state) in classes.iter() {
            assert_eq!(batches.load(class), Load::default());
            assert_eq!(state.unfinished, 0);
        }
        assert!(self.cells.iter().all(|cell| cell.is_settled()));
    }
}

fn run(first: u64, count: u32, attempt: u32) -> TaskRun {
    TaskRun {
        first: TaskId(first),
        count,
        attempt: Attempt(attempt),
    }
}

fn settled(cell: &Cell) -> crate::master::cell::Settled {
    match cell.poll(std::task::Waker::noop()) {
        std::task::Poll::Ready(settled) => settled,
        std::task::Poll::Pending => panic!("task {} has not ended", cell.id()),
    }
}
