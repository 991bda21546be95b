//! The master's decisions, driven by hand: workers and queues are played by the test.

mod cost;
mod loss;
mod pace;

use std::sync::OnceLock;

use podpool_core::codec;
use podpool_core::envelope::entry::{next_task, put_done, put_failed};
use podpool_core::envelope::reference::Content;
use podpool_core::envelope::{Arguments, Control, EntryOptions, Message, Reference, TaskRun};
use podpool_core::id::ExecutionId;
use podpool_core::outcome::{Cause, Failure};
use podpool_core::task::{Body, CallOptions, TaskOptions, TaskSpec};

use crate::error::TaskError;
use crate::master::cell::{Cell, CellGuard, TaskState};
use crate::master::command::CancelOutcome;

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
        options,
        body: Body::Sync(|_, _, _| Ok(())),
        shape: || Ok(podpool_core::shape::Shape(String::new())),
        traced: OnceLock::new(),
        // No registry knows it: each bed sees to its index.
        index: OnceLock::new(),
    }
}

static PLAIN: TaskSpec = spec(TaskOptions::DEFAULT);
static LONELY: TaskSpec = spec(TaskOptions::DEFAULT.pack(false));
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

struct Bed {
    state: State,
    now: Instant,
    cells: Vec<Arc<Cell>>,
}

fn settings() -> Settings {
    Settings {
        run: RunId::new("test").unwrap(),
        mac_key: MacKey::Absent,
        slots: SLOTS,
        message_bytes: MESSAGE_BYTES,
        batches_out: 1000,
        bytes_out: 64 << 20,
        lease: LEASE,
        retries: None,
        epoch: 1,
        silence: None,
        out_of_memory: 1,
        build: String::new(),
        same_build: false,
        workers: 1,
        remote: true,
    }
}

fn bed() -> Bed {
    bed_with(settings())
}

fn bed_with(settings: Settings) -> Bed {
    for (index, spec) in (0..).zip([&PLAIN, &LONELY, &STUBBORN]) {
        spec.index.get_or_init(|| index);
    }
    Bed {
        state: State::new(settings),
        now: Instant::now(),
        cells: Vec::new(),
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

    /// All that may be published now.
    fn batches(&mut self) -> Vec<Published> {
        std::iter::from_fn(|| self.state.next_batch(self.now))
            .map(read)
            .collect()
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
        };
        for failed in self.state.on_results(self.now, &results, &body.into()) {
            self.state.on_failed(self.now, &failed);
        }
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
        self.fail_with(task, attempt, &Failure::new(cause, "as the test wants it"));
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
            epoch: 1,
        };
        self.state.on_alive(self.now, alive);
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
            epoch: 1,
        };
        self.state.on_alive(self.now, alive);
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
            slots: 2,
            build: String::new(),
            epoch: 0,
        };
        self.state.on_hello(self.now, hello);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.state.on_tick(self.now);
    }

    fn republished(&mut self) -> Vec<Published> {
        let republished = self.state.take_republished().into_iter();
        republished.map(|(_, message)| read(message)).collect()
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

    fn revoked(&mut self) -> Vec<(u64, u64, u32)> {
        let control = self.state.control(self.now, true).unwrap();
        let range = |r: &podpool_core::envelope::Revoked| (r.first.0, r.last.0, r.attempt.0);
        control.revoked.iter().map(range).collect()
    }

    /// Nothing is left over.
    fn assert_empty(&mut self) {
        assert_eq!(self.state.unfinished(), 0);
        assert_eq!(self.state.waiting(), 0);
        assert_eq!(self.batches(), []);
        let State { batches, .. } = &self.state;
        assert_eq!((batches.out(), batches.bytes()), (0, 0));
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

#[tokio::test(start_paused = true)]
async fn the_gate_lets_four_tasks_for_each_slot_out_until_one_was_measured() {
    let mut bed = bed();
    bed.submit_many(&PLAIN, 100);
    let first = bed.batches();
    let singles: Vec<_> = (0..8).map(|n| packed(&[(n, 1)])).collect();
    assert_eq!(first, singles);
    bed.fail(0, 1, Cause::Failed);
    assert_eq!(
        bed.batches(),
        [packed(&[(8, 1)])],
        "a failure frees a place"
    );
    bed.state.cancel(TaskId(1));
    assert_eq!(bed.batches(), [packed(&[(9, 1)])], "so does a cancel");
    bed.done(&[(2, 1)], Duration::from_micros(10));
    let rest = bed.batches();
    assert_eq!(rest[0].tasks.len(), 90 / 8, "an even share of what waits");
    let mut all = numbers(&rest);
    assert!(
        rest.len() <= publish::CROWD * SLOTS,
        "small ones wait for more tasks"
    );
    assert!(bed.state.outbox.waiting() > 0);
    let ended: Vec<_> = all.iter().map(|task| (*task, 1)).collect();
    bed.done(&ended, Duration::from_micros(10));
    all.extend(numbers(&bed.batches()));
    assert_eq!(all, (10..100).collect::<Vec<_>>());
}

fn numbers(batches: &[Published]) -> Vec<u64> {
    let tasks = batches.iter().flat_map(|batch| &batch.tasks);
    tasks.map(|task| task.0).collect()
}

#[tokio::test(start_paused = true)]
async fn every_attempt_carries_the_arguments_that_the_first_batch_was_made_of() {
    let value = vec!["a large argument"; outbox::ALONE_BYTES];
    let encoded = codec::encode(&value).unwrap();
    let mut options = CallOptions::default();
    options.key = Some("BTC".into());
    for mac_key in [MacKey::Absent, MacKey::Keyed([3; 32])] {
        let mut bed = bed_with(Settings {
            mac_key: mac_key.clone(),
            message_bytes: 1 << 24,
            ..settings()
        });
        let carried = |message: Bytes, attempt: u32| {
            let Ok(Message::Batch(batch, mut entries)) = Message::read(message, &mac_key) else {
                panic!("not a batch");
            };
            let entry = next_task(&mut entries).unwrap().unwrap();
            assert!(entry.payload == encoded, "attempt {attempt}");
            assert_eq!((entry.task, entry.attempt.0), (TaskId(0), attempt));
            let options: EntryOptions = codec::decode(&entry.options).unwrap();
            assert_eq!(options.key.as_deref(), Some("BTC"));
            assert_eq!((batch.count, entries.len()), (1, 0));
        };
        let arguments = Arguments::encode(&value).unwrap();
        bed.submit_arguments(&STUBBORN, arguments, Some(options.clone()));
        let small = bed.submit(&STUBBORN);
        carried(bed.state.next_batch(bed.now).unwrap(), 1);
        assert!(bed.state.next_batch(bed.now).is_some());
        bed.fail(0, 1, Cause::Failed);
        bed.pass(Duration::from_secs(5));
        carried(bed.state.next_batch(bed.now).unwrap(), 2);
        bed.done(&[(small, 1)], Duration::from_micros(1));
        bed.done(&[(0, 2)], Duration::from_micros(1));
        bed.assert_empty();
    }
}

#[tokio::test(start_paused = true)]
async fn long_tasks_large_arguments_and_lonely_kinds_travel_by_themselves() {
    let mut bed = bed();
    for spec in [&PLAIN, &LONELY] {
        let id = bed.submit(spec);
        bed.batches();
        bed.done(&[(id, 1)], Duration::from_micros(1));
    }
    bed.submit_many(&LONELY, 40);
    let lonely = bed.batches();
    assert_eq!(lonely.len(), 40, "they wait for nobody");
    assert!(lonely.iter().all(|batch| batch.tasks.len() == 1));
    let ended: Vec<_> = numbers(&lonely).into_iter().map(|task| (task, 1)).collect();
    bed.done(&ended, Duration::from_micros(1));
    bed.submit_many(&PLAIN, 39);
    let large = bed.submit_with(&PLAIN, outbox::ALONE_BYTES + 1, None);
    bed.submit_many(&PLAIN, 40);
    let batches = bed.batches();
    assert!(batches.iter().any(|batch| batch.tasks.len() > 1));
    assert!(batches.contains(&packed(&[(large, 1)])), "{batches:?}");
    let most = bed.state.outbox.waiting();
    assert_eq!(most, 0);
    let tasks: usize = batches.iter().map(|batch| batch.tasks.len()).sum();
    assert_eq!(tasks, 80);
}

#[tokio::test(start_paused = true)]
async fn batches_and_bytes_that_are_out_are_bounded() {
    let mut bed = bed_with(Settings {
        batches_out: 3,
        bytes_out: 1000,
        ..settings()
    });
    bed.submit_many(&PLAIN, 8);
    assert_eq!(bed.batches().len(), 3);
    assert!(bed.state.is_full());
    bed.fail(1, 1, Cause::Failed);
    assert_eq!(bed.batches(), [packed(&[(3, 1)])]);
    for n in [0, 2, 3] {
        bed.fail(n, 1, Cause::Failed);
    }
    let large = bed.submit_with(&STUBBORN, 2000, Some(priority(1)));
    assert_eq!(bed.batches(), [packed(&[(large, 1)])], "full of bytes now");
    bed.done(&[(large, 1)], Duration::ZERO);
    assert_eq!(bed.batches().len(), 3);
}

fn priority(priority: i32) -> CallOptions {
    let mut options = CallOptions::default();
    options.priority = priority;
    options
}

#[tokio::test(start_paused = true)]
async fn higher_priorities_are_published_first() {
    let mut bed = bed();
    bed.submit(&PLAIN);
    bed.submit_with(&PLAIN, 1, Some(priority(-1)));
    bed.submit_with(&PLAIN, 1, Some(priority(9)));
    let order: Vec<_> = bed.batches().iter().map(|p| p.tasks[0].0).collect();
    assert_eq!(order, [2, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_call_s_key_and_timeout_travel_with_its_envelope() {
    let mut bed = bed();
    let mut options = CallOptions::default();
    options.key = Some("BTC".into());
    options.timeout = Some(Duration::from_secs(3));
    bed.submit_with(&PLAIN, 1, Some(options));
    let message = bed.state.next_batch(bed.now).unwrap();
    let Ok(Message::Batch(_, mut entries)) = Message::read(message, &MacKey::Absent) else {
        panic!("not a batch");
    };
    let entry = next_task(&mut entries).unwrap().unwrap();
    assert_eq!(&*entry.payload, &[7]);
    let expected = EntryOptions {
        key: Some("BTC".into()),
        timeout: Some(Duration::from_secs(3)),
    };
    assert_eq!(codec::decode(&entry.options), Ok(expected));
}

#[tokio::test(start_paused = true)]
async fn done_of_any_attempt_ends_a_task_and_what_comes_later_is_counted() {
    let mut bed = bed();
    bed.submit_many(&STUBBORN, 3);
    bed.batches();
    for n in 0..3 {
        bed.fail(n, 1, Cause::Failed);
    }
    assert_eq!(bed.state.late_results(), 0);
    bed.done(&[(0, 1)], Duration::ZERO);
    assert_eq!(
        bed.output(0),
        1,
        "while its next attempt waits for its delay"
    );
    bed.pass(Duration::from_secs(5));
    assert_eq!(
        bed.state.waiting(),
        2,
        "the delay of a task that ended is over"
    );
    bed.done(&[(1, 1)], Duration::ZERO);
    assert_eq!(
        (bed.output(1), bed.state.waiting()),
        (1, 1),
        "from the outbox"
    );
    assert_eq!(bed.batches(), [packed(&[(2, 2)])]);
    bed.done(&[(2, 1)], Duration::ZERO);
    assert_eq!(bed.output(2), 1, "while its next attempt is out");
    assert_eq!(
        bed.revoked(),
        [(2, 2, 2)],
        "the later envelope must not run"
    );
    bed.done(&[(2, 2), (1, 2)], Duration::ZERO);
    bed.fail(2, 2, Cause::Failed);
    assert_eq!((bed.output(2), bed.state.late_results()), (1, 3));
    assert_eq!(bed.revoked(), [], "it ran, and will not come again");
    bed.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn failed_counts_once_and_for_the_newest_attempt_only() {
    let mut bed = bed();
    bed.submit(&STUBBORN);
    bed.batches();
    bed.fail(0, 1, Cause::Failed);
    bed.fail(0, 1, Cause::Failed);
    bed.fail(0, 2, Cause::Failed);
    assert_eq!(bed.state.late_results(), 2, "attempt 2 is not out yet");
    bed.pass(Duration::from_secs(5));
    assert_eq!(bed.batches(), [packed(&[(0, 2)])]);
    bed.fail(0, 1, Cause::Failed);
    assert_eq!(bed.state.late_results(), 3);
    assert_eq!(bed.cells[0].attempts().len(), 1);
    bed.fail(0, 2, Cause::Panicked);
    bed.pass(Duration::from_secs(9));
    assert_eq!(bed.batches(), [packed(&[(0, 3)])]);
    bed.fail(0, 3, Cause::TimedOut);
    let error = bed.error(0);
    assert_eq!(error.kind(), TaskErrorKind::TimedOut);
    let causes: Vec<_> = error.attempts().iter().map(|a| a.cause).collect();
    assert_eq!(causes, [Cause::Failed, Cause::Panicked, Cause::TimedOut]);
    bed.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn retries_wait_for_their_backoff_shortened_by_half_at_most() {
    for _ in 0..50 {
        let mut bed = bed();
        bed.submit(&STUBBORN);
        for (attempt, longest) in [(1, 4), (2, 8)] {
            assert_eq!(bed.batches(), [packed(&[(0, attempt)])]);
            bed.fail(0, attempt, Cause::Failed);
            let due = bed.state.delayed.peek().unwrap().0.0 - bed.now;
            let longest = Duration::from_secs(longest);
            assert!(due <= longest && due >= longest / 2, "{due:?}");
            assert!(bed.state.deadline().unwrap() <= bed.now + due);
            bed.pass(due - Duration::from_nanos(1));
            assert_eq!(bed.batches(), []);
            assert_eq!(bed.state_of(0), TaskState::Pending);
            bed.pass(Duration::from_nanos(1));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_permanent_failure_is_not_retried_and_a_pool_may_override_retries() {
    let mut bed = bed();
    bed.submit(&STUBBORN);
    bed.batches();
    let permanent = Failure {
        retryable: false,
        ..Failure::new(Cause::Failed, "no such asset")
    };
    bed.fail_with(0, 1, &permanent);
    assert_eq!(bed.error(0).kind(), TaskErrorKind::Failed);

    let mut bed = bed_with(Settings {
        retries: Some(0),
        ..settings()
    });
    bed.submit(&STUBBORN);
    let mut own = CallOptions::default();
    own.retries = Some(1);
    bed.submit_with(&PLAIN, 1, Some(own));
    bed.batches();
    bed.fail(0, 1, Cause::Failed);
    assert_eq!(bed.error(0).attempts().len(), 1);
    bed.fail(1, 1, Cause::Failed);
    assert_eq!(
        bed.state_of(1),
        TaskState::Pending,
        "the call's own retries"
    );
}

#[tokio::test(start_paused = true)]
async fn causes_have_budgets_of_their_own() {
    // (cause, how often it is tried again)
    let budgets = [
        (Cause::Crashed, 2, TaskErrorKind::Crashed),
        (Cause::OutOfMemory, 1, TaskErrorKind::OutOfMemory),
        (Cause::Rejected, 0, TaskErrorKind::Rejected),
        (Cause::Cancelled, 0, TaskErrorKind::Cancelled),
        (Cause::Failed, 0, TaskErrorKind::Failed),
    ];
    for (cause, again, kind) in budgets {
        let mut bed = bed();
        bed.submit(&PLAIN);
        assert_eq!(bed.batches(), [packed(&[(0, 1)])]);
        for attempt in 1..=again {
            bed.fail(0, attempt, cause);
            assert_eq!(bed.batches(), [packed(&[(0, attempt + 1)])], "{cause:?}");
        }
        bed.fail(0, again + 1, cause);
        assert_eq!(bed.error(0).kind(), kind);
        bed.assert_empty();
    }
}

#[tokio::test(start_paused = true)]
async fn a_suspect_runs_alone_ahead_of_others_without_charge() {
    let mut bed = bed();
    let id = bed.submit(&PLAIN);
    bed.batches();
    bed.done(&[(id, 1)], Duration::from_micros(1));
    bed.submit_many(&PLAIN, 2 * 8);
    assert_eq!(bed.batches()[0], packed(&[(1, 1), (2, 1)]));
    bed.submit_many(&PLAIN, 3);
    bed.fail(1, 1, Cause::Suspect);
    bed.fail(2, 1, Cause::Suspect);
    let batches = bed.batches();
    assert_eq!(batches[..2], [alone(1, 2), alone(2, 2)]);
    for attempt in 2..40 {
        bed.fail(1, attempt, Cause::Suspect);
        assert_eq!(bed.batches(), [alone(1, attempt + 1)]);
    }
    // The budget of crashes is whole: what is charged runs among others again, and what dies there is a suspect.
    for attempt in [40, 42] {
        bed.fail(1, attempt, Cause::Crashed);
        let charged = bed.batches();
        let published = charged
            .iter()
            .find(|batch| batch.tasks.contains(&(1, attempt + 1)));
        assert!(published.is_some_and(|batch| !batch.alone), "{charged:?}");
        bed.fail(1, attempt + 1, Cause::Suspect);
        assert_eq!(bed.batches(), [alone(1, attempt + 2)]);
    }
    bed.fail(1, 44, Cause::Crashed);
    assert_eq!(bed.error(1).kind(), TaskErrorKind::Crashed);
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_execution_is_not_published_again() {
    let mut bed = bed();
    bed.submit(&PLAIN);
    bed.batches();
    for _ in 0..4 {
        bed.fail(0, 1, Cause::Interrupted);
        assert_eq!(bed.batches(), [], "the released message is the retry");
    }
    bed.done(&[(0, 1)], Duration::ZERO);
    assert_eq!(bed.output(0), 1);
    bed.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn a_cancel_says_what_it_found_and_tells_the_workers() {
    let mut bed = bed();
    bed.submit_many(&STUBBORN, 12);
    bed.batches();
    bed.state.control(bed.now, true);
    assert_eq!(bed.state.cancel(TaskId(11)), CancelOutcome::Dequeued);
    assert_eq!(
        bed.state.control(bed.now, false),
        None,
        "nobody needs to know"
    );
    assert_eq!(bed.state.cancel(TaskId(3)), CancelOutcome::Signalled);
    let told = bed.state.control(bed.now, false).unwrap();
    assert_eq!(told.revoked.len(), 1);
    assert_eq!(bed.state.cancel(TaskId(3)), CancelOutcome::AlreadyDone);
    assert_eq!(bed.state.cancel(TaskId(99)), CancelOutcome::AlreadyDone);
    bed.fail(4, 1, Cause::Failed);
    assert_eq!(
        bed.state.cancel(TaskId(4)),
        CancelOutcome::Dequeued,
        "between attempts"
    );
    for id in [11, 3, 4] {
        assert_eq!(bed.state_of(id), TaskState::Cancelled);
    }
    assert_eq!(bed.error(4).attempts().len(), 1, "its story is told");
    bed.done(&[(3, 1)], Duration::ZERO);
    assert_eq!(bed.state.late_results(), 1);
    assert_eq!(bed.state_of(3), TaskState::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_backlog_is_one_range_and_acknowledged_envelopes_leave_it() {
    let mut bed = bed();
    let id = bed.submit(&PLAIN);
    bed.batches();
    bed.done(&[(id, 1)], Duration::from_micros(1));
    bed.submit_many(&PLAIN, 100);
    bed.batches();
    for id in 1..=100 {
        assert_eq!(bed.state.cancel(TaskId(id)), CancelOutcome::Signalled);
    }
    assert_eq!(bed.revoked(), [(1, 100, 1)]);
    bed.alive_and_revoked(1, (0, 0), vec![], vec![run(1, 49, 1), run(60, 41, 1)]);
    assert_eq!(bed.revoked(), [(50, 59, 1)]);
    bed.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn control_is_a_growing_state_that_is_told_on_change() {
    let mut bed = bed();
    let told = |bed: &mut Bed| bed.state.control(bed.now, false);
    let Control {
        sequence, state, ..
    } = told(&mut bed).unwrap();
    assert_eq!(state, RunState::Open);
    assert_eq!(told(&mut bed), None);
    assert!(!bed.state.set_run_state(RunState::Open));
    assert_eq!(told(&mut bed), None);
    bed.hello();
    let answer = told(&mut bed).unwrap();
    assert!(answer.sequence > sequence, "the answer to a greeting");
    assert!(bed.state.set_run_state(RunState::Ended));
    assert_eq!(told(&mut bed).unwrap().state, RunState::Ended);
    let again = bed.state.control(bed.now, true).unwrap();
    assert!(again.sequence > answer.sequence, "the heartbeat");
}

#[tokio::test(start_paused = true)]
async fn started_shows_the_newest_attempt_only() {
    let mut bed = bed();
    bed.submit_many(&STUBBORN, 2);
    bed.batches();
    bed.started(0, 2, 1);
    let running = |n| TaskState::Running {
        attempt: Attempt(n),
    };
    assert_eq!(bed.state_of(1), running(1));
    bed.fail(1, 1, Cause::Failed);
    assert_eq!(bed.state_of(1), TaskState::Pending);
    bed.started(0, 2, 1);
    assert_eq!(
        (bed.state_of(0), bed.state_of(1)),
        (running(1), TaskState::Pending)
    );
}

#[tokio::test(start_paused = true)]
async fn a_report_names_the_worker_that_greeted() {
    let mut bed = bed();
    bed.submit_many(&PLAIN, 2);
    bed.batches();
    bed.alive(1, 0, 0, vec![]);
    bed.fail(0, 1, Cause::Failed);
    assert_eq!(
        bed.error(0).attempts()[0].worker,
        None,
        "its greeting was lost"
    );
    bed.hello();
    bed.fail(1, 1, Cause::Failed);
    let error = bed.error(1);
    let story = &error.attempts()[0];
    assert_eq!(story.worker.as_deref(), Some("pod-1"));
    assert_eq!(story.node.as_deref(), Some("node-1"));
    assert_eq!(story.execution, Some(Bed::execution()));
    assert_eq!(story.elapsed, Some(Duration::from_millis(3)));
}

/// Three leases go by, with a heartbeat of a hungry worker each third of one.
fn starve(bed: &mut Bed, held: &[TaskRun]) -> Vec<Published> {
    let mut republished = Vec::new();
    for _ in 0..9 {
        bed.alive(1, 1, 1, held.to_vec());
        bed.pass(LEASE / 3);
        republished.extend(bed.republished());
    }
    republished
}

#[tokio::test(start_paused = true)]
async fn a_lost_batch_is_published_again_for_hungry_workers() {
    let mut bed = bed();
    bed.submit_many(&PLAIN, 2);
    bed.batches();
    bed.done(&[(1, 1)], Duration::ZERO);
    bed.alive(1, 1, 1, vec![]);
    bed.pass(LEASE * 3 - Duration::from_millis(1));
    bed.alive(1, 1, 1, vec![]);
    bed.state.on_tick(bed.now);
    assert_eq!(bed.republished(), [], "it may still be under way");
    assert_eq!(
        starve(&mut bed, &[]),
        [packed(&[(0, 1)])],
        "the same attempt"
    );
    assert_eq!(bed.batches(), []);
    bed.done(&[(0, 1)], Duration::ZERO);
    assert_eq!(
        bed.revoked(),
        [(0, 0, 1)],
        "the other envelope may be about"
    );
    for _ in 0..9 {
        bed.pass(LEASE);
        bed.alive(1, 1, 1, vec![]);
    }
    bed.pass(LEASE);
    assert_eq!(bed.republished(), []);
    assert_eq!(bed.revoked(), [], "it is not");
    assert_eq!(bed.state.deadline(), None, "nothing is out");
    bed.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn when_the_queues_were_lost_everything_that_is_out_is_published_again() {
    let mut bed = bed();
    bed.submit_many(&PLAIN, 3);
    bed.batches();
    bed.done(&[(1, 1)], Duration::ZERO);
    let number = bed.state.newest_batch();
    bed.state.on_sending(number);
    bed.state.republish_all(bed.now);
    assert_eq!(
        bed.republished(),
        [packed(&[(0, 1)])],
        "what is under way follows"
    );
    assert_eq!(bed.republished(), []);
    bed.state.on_stored(bed.now, number);
    assert_eq!(
        bed.republished(),
        [packed(&[(2, 1)])],
        "it may have been lost"
    );
    bed.state.on_stored(bed.now, number);
    assert_eq!(bed.republished(), [], "once is enough");
    bed.done(&[(0, 1), (2, 1)], Duration::ZERO);
    assert_eq!(
        bed.revoked(),
        [(0, 0, 1), (2, 2, 1)],
        "their first envelopes may be about"
    );
    bed.state.republish_all(bed.now);
    assert_eq!(bed.republished(), [], "nothing is out");
    bed.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_not_republished_before_it_is_stored() {
    let mut bed = bed();
    bed.submit(&PLAIN);
    bed.batches();
    let number = bed.state.newest_batch();
    bed.state.on_sending(number);
    assert_eq!(starve(&mut bed, &[]), [], "its payload is still uploaded");
    assert_eq!(starve(&mut bed, &[]), []);
    bed.state.on_stored(bed.now, number);
    bed.alive(1, 1, 1, vec![]);
    bed.pass(LEASE * 3 - Duration::from_millis(1));
    assert_eq!(bed.republished(), [], "workers may have it since");
    assert_eq!(starve(&mut bed, &[]), [packed(&[(0, 1)])]);
    bed.done(&[(0, 1)], Duration::ZERO);
    bed.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_not_republished_while_workers_are_busy_or_hold_it_or_tell_of_it() {
    let mut bed = bed();
    bed.submit(&PLAIN);
    bed.batches();
    bed.pass(LEASE * 9);
    assert_eq!(bed.republished(), [], "no worker is known");
    for _ in 0..9 {
        bed.alive(1, 0, 0, vec![]);
        bed.alive(2, 2, 0, vec![]);
        bed.pass(LEASE);
    }
    assert_eq!(
        bed.republished(),
        [],
        "one is busy, the other's pulls bring batches"
    );
    assert_eq!(starve(&mut bed, &[run(0, 1, 1)]), [], "one holds it");
    bed.started(0, 1, 1);
    bed.pass(LEASE * 2);
    bed.alive(1, 1, 1, vec![]);
    bed.state.on_tick(bed.now);
    assert_eq!(bed.republished(), [], "it was just heard of");
}

#[tokio::test(start_paused = true)]
async fn a_dead_worker_s_last_words_hold_no_batch_for_ever() {
    let mut bed = bed();
    bed.submit(&PLAIN);
    bed.batches();
    bed.alive(9, 0, 0, vec![run(0, 1, 1)]);
    let republished = (0..3).flat_map(|_| starve(&mut bed, &[])).count();
    assert!(
        republished >= 1,
        "worker 9 fell silent, the message was lost with it"
    );
}

#[tokio::test(start_paused = true)]
async fn hunger_is_remembered_between_two_empty_pulls() {
    let mut bed = bed();
    bed.submit(&PLAIN);
    bed.batches();
    let mut republished = 0;
    for beat in 0..36 {
        // A pull waits as long as three heartbeats, and the master always looks after the third.
        bed.alive(1, 1, u32::from(beat % 3 == 0), vec![]);
        bed.now += LEASE / 3;
        if beat % 3 == 2 {
            bed.state.on_tick(bed.now);
        }
        republished += bed.republished().len();
    }
    assert!((1..=4).contains(&republished), "{republished}");
}

#[tokio::test(start_paused = true)]
async fn a_lost_suspect_is_republished_alone() {
    let mut bed = bed();
    bed.submit(&PLAIN);
    bed.batches();
    bed.fail(0, 1, Cause::Suspect);
    assert_eq!(bed.batches(), [alone(0, 2)]);
    assert_eq!(starve(&mut bed, &[]), [alone(0, 2)]);
}

#[tokio::test(start_paused = true)]
async fn a_broken_pool_settles_every_future_and_every_later_one() {
    let mut bed = bed();
    bed.submit_many(&STUBBORN, 20);
    bed.batches();
    bed.fail(2, 1, Cause::Failed);
    bed.fail(3, 1, Cause::Broken);
    assert!(bed.state.broken().is_some());
    bed.submit(&PLAIN);
    bed.state.break_pool("another reason changes nothing");
    for id in 0..=20 {
        let error = bed.error(id);
        assert_eq!(error.kind(), TaskErrorKind::PoolBroken, "{id}");
        assert_eq!(error.message(), "as the test wants it");
    }
    bed.pass(LEASE);
    bed.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn abort_ends_every_task() {
    let mut bed = bed();
    bed.submit_many(&STUBBORN, 20);
    bed.batches();
    bed.fail(2, 1, Cause::Failed);
    bed.state.abort();
    for id in 0..20 {
        assert_eq!(bed.error(id).kind(), TaskErrorKind::ShutDown);
    }
    assert_eq!(bed.error(2).attempts().len(), 1);
    bed.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn cancel_pending_leaves_what_has_begun() {
    let mut bed = bed();
    bed.submit_many(&STUBBORN, 20);
    bed.batches();
    bed.started(0, 2, 1);
    bed.fail(1, 1, Cause::Failed);
    bed.state.cancel_pending();
    assert_eq!(bed.state.unfinished(), 1);
    assert!((1..20).all(|id| bed.state_of(id) == TaskState::Cancelled));
    assert!(!bed.state_of(0).is_done());
    assert_eq!(bed.revoked(), [(2, 7, 1)], "8 to 19 never left");
    bed.done(&[(0, 1)], Duration::ZERO);
    bed.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn arguments_that_no_message_carries_are_rejected_with_the_setting_s_name() {
    let mut bed = bed();
    let fits = bed.submit_with(&PLAIN, MESSAGE_BYTES - 4096, None);
    let large = bed.submit_with(&PLAIN, MESSAGE_BYTES - 4095, None);
    let error = bed.error(large);
    assert_eq!(error.kind(), TaskErrorKind::Rejected);
    assert!(error.message().contains("by reference"), "{error}");
    assert!(error.message().contains("PODPOOL_PAYLOAD_STORE"), "{error}");
    assert_eq!(bed.batches(), [packed(&[(fits, 1)])]);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_too_long_is_rejected_and_holds_nothing_up() {
    let mut bed = bed();
    let keyed = |bytes: usize| {
        let mut options = CallOptions::default();
        options.key = Some("k".repeat(bytes).into());
        options
    };
    let fits = bed.submit_with(&PLAIN, 1, Some(keyed(1024)));
    for bytes in [1025, 70_000] {
        let long = bed.submit_with(&PLAIN, 1, Some(keyed(bytes)));
        let error = bed.error(long);
        assert_eq!(error.kind(), TaskErrorKind::Rejected);
        assert!(
            error.message().contains(&format!("key of {bytes} bytes")),
            "{error}"
        );
    }
    assert_eq!(bed.batches(), [packed(&[(fits, 1)])]);
    bed.done(&[(fits, 1)], Duration::ZERO);
    bed.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn results_whose_payloads_are_lost_fail_their_tasks_once() {
    let mut bed = bed();
    bed.submit_many(&STUBBORN, 3);
    bed.batches();
    let mut lost = Reference {
        run: RunId::new("test").unwrap(),
        of: Content::Results(ExecutionId {
            worker: WorkerId(1),
            number: 1,
        }),
        tasks: vec![TaskRun {
            first: TaskId(0),
            count: 2,
            attempt: Attempt::FIRST,
        }],
        parts: Vec::new(),
        problem: Some("object x is missing".to_owned()),
    };
    bed.state.on_lost_results(bed.now, &lost);
    for task in [0, 1] {
        let error = bed.error(task);
        assert_eq!(error.kind(), TaskErrorKind::Rejected);
        assert!(error.message().contains("object x is missing"), "{error}");
    }
    assert!(!bed.state_of(2).is_done());
    bed.state.on_lost_results(bed.now, &lost);
    assert_eq!(bed.state.late_results(), 2);
    // A batch has no business among results.
    lost.of = Content::Batch;
    lost.tasks[0].first = TaskId(2);
    bed.state.on_lost_results(bed.now, &lost);
    assert!(!bed.state_of(2).is_done());
}

#[tokio::test(start_paused = true)]
async fn results_of_unknown_tasks_and_unreadable_ones_change_nothing() {
    let mut bed = bed();
    bed.submit(&PLAIN);
    bed.batches();
    bed.done(&[(5, 1), (u64::MAX, 1)], Duration::ZERO);
    bed.fail(u64::MAX, 1, Cause::Failed);
    bed.started(u64::MAX - 1, 1, 1);
    assert_eq!(bed.state.late_results(), 3);
    bed.results(vec![1, 2, 3], 1);
    assert_eq!(bed.state.unfinished(), 1);
    bed.done(&[(0, 1)], Duration::ZERO);
    bed.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn what_can_be_read_of_a_message_counts() {
    let mut bed = bed();
    bed.submit_many(&PLAIN, 2);
    bed.batches();
    let mut body = Vec::new();
    put_done(&mut body, TaskId(0), Attempt(1), |body| {
        body.push(1);
        Ok::<_, ()>(Duration::ZERO)
    })
    .unwrap();
    body.extend_from_slice(&[9; 7]);
    bed.results(body, 2);
    assert_eq!((bed.output(0), bed.state.unfinished()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_task_that_was_cancelled_on_its_way_is_not_kept() {
    let mut bed = bed();
    let cell = Arc::new(Cell::new(&PLAIN));
    cell.set_id(TaskId(0));
    let error = TaskError::new(TaskErrorKind::Cancelled, cell.subject(), "");
    cell.settle(Err(error), &mut Wakers::default());
    bed.state.submit(Submission {
        cell: CellGuard::new(cell),
        spec: &PLAIN,
        arguments: Vec::new().into(),
        options: None,
    });
    bed.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn a_dropped_state_settles_every_future() {
    let mut bed = bed();
    bed.submit_many(&STUBBORN, 20);
    bed.batches();
    bed.fail(2, 1, Cause::Failed);
    bed.done(&[(3, 1)], Duration::ZERO);
    let cells = std::mem::take(&mut bed.cells);
    drop(bed);
    for cell in cells {
        match settled(&cell) {
            Ok(_) => assert_eq!(cell.id(), TaskId(3)),
            Err(error) => assert_eq!(error.kind(), TaskErrorKind::PoolBroken),
        }
    }
}

impl Bed {
    /// This worker says that none of its slots starts.
    fn unfit(&mut self, worker: u64, task: u64, attempt: u32) {
        let failure = Failure::new(Cause::Broken, "a slot ended before it was ready");
        let mut body = Vec::new();
        let (task, attempt) = (TaskId(task), Attempt(attempt));
        put_failed(&mut body, task, attempt, Duration::ZERO, &failure);
        let results = Results {
            run: RunId::new("test").unwrap(),
            execution: ExecutionId {
                worker: WorkerId(worker),
                number: 7,
            },
            epoch: 1,
            count: 1,
            lines: 0,
        };
        for failed in self.state.on_results(self.now, &results, &body.into()) {
            self.state.on_failed(self.now, &failed);
        }
    }
}

fn bed_of_workers(workers: usize) -> Bed {
    bed_with(Settings {
        workers,
        slots: workers,
        ..settings()
    })
}

/// Its slots do not start: that is its own fault, as long as others live.
#[tokio::test(start_paused = true)]
async fn a_worker_without_slots_ends_alone_and_its_tasks_go_elsewhere() {
    let mut bed = bed_of_workers(3);
    bed.submit_many(&PLAIN, 3);
    bed.batches();
    for worker in [1, 2, 3] {
        bed.alive(worker, 1, 0, vec![]);
    }
    bed.unfit(2, 0, 1);
    bed.unfit(2, 1, 1);
    assert_eq!(bed.state.broken(), None);
    let mut again: Vec<_> = bed.batches().into_iter().flat_map(|p| p.tasks).collect();
    again.sort_unstable();
    assert_eq!(again, [(0, 2), (1, 2)], "uncharged, and at once");
    let control = bed.state.control(bed.now, true).unwrap();
    assert_eq!(control.drain, [WorkerId(2)], "it is told to leave, once");
    bed.done(&[(0, 2), (1, 2), (2, 1)], Duration::from_secs(1));
    assert!(bed.cells.iter().all(|cell| cell.state() == TaskState::Done));
    assert_eq!(bed.cells[0].attempts().len(), 1);
    assert_eq!(bed.cells[0].attempts()[0].cause, Cause::Broken);
}

/// Those that have not been heard yet may be starting.
#[tokio::test(start_paused = true)]
async fn the_pool_ends_when_all_workers_that_could_come_have_no_slots() {
    let mut bed = bed_of_workers(3);
    bed.submit_many(&PLAIN, 30);
    bed.batches();
    for worker in [1, 2] {
        bed.unfit(worker, worker, 1);
        assert_eq!(bed.state.broken(), None, "{worker}");
    }
    bed.unfit(1, 5, 1);
    assert_eq!(bed.state.broken(), None, "one worker counts once");
    bed.unfit(3, 3, 1);
    assert_eq!(bed.state.broken(), Some("a slot ended before it was ready"));
    assert!(
        bed.cells
            .iter()
            .all(|cell| cell.state() == TaskState::Failed)
    );
}

/// Over a long run bad nodes come one by one, among others that worked.
#[tokio::test(start_paused = true)]
async fn workers_without_slots_count_in_a_row_only() {
    let mut bed = bed_of_workers(2);
    bed.submit_many(&PLAIN, 30);
    bed.batches();
    bed.unfit(1, 0, 1);
    bed.done(&[(1, 1)], Duration::from_secs(1));
    bed.unfit(3, 2, 1);
    assert_eq!(bed.state.broken(), None);
    bed.unfit(4, 3, 1);
    assert!(bed.state.broken().is_some());
}

/// Each that leaves is replaced, so that there is always one that has not said so yet.
#[tokio::test(start_paused = true)]
async fn workers_that_are_replaced_one_by_one_and_never_start_a_slot_end_the_pool() {
    for proven in [false, true] {
        let mut bed = bed_of_workers(2);
        bed.submit_many(&PLAIN, 30);
        bed.batches();
        bed.now += Duration::from_secs(1);
        bed.greet(0);
        for worker in 0..6 {
            assert_eq!(bed.state.broken(), None, "{worker}");
            bed.greet(worker + 1);
            bed.unfit(worker, worker, 1);
            bed.batches();
            bed.now += Duration::from_secs(1);
            if proven && worker == 0 {
                // It came later than the first that failed.
                bed.greet(99);
                bed.runs(99);
            }
        }
        assert_eq!(bed.state.broken().is_none(), proven);
    }
}

/// A task that meets nothing but such workers ends too.
#[tokio::test(start_paused = true)]
async fn a_task_that_meets_a_hundred_workers_without_slots_is_given_up() {
    let mut bed = bed_of_workers(2);
    bed.submit_many(&PLAIN, 1);
    bed.batches();
    bed.alive(1, 1, 0, vec![]);
    for attempt in 1..=100 {
        assert!(!bed.cells[0].is_settled(), "{attempt}");
        bed.unfit(1000 + u64::from(attempt), 0, attempt);
        bed.batches();
    }
    assert!(bed.cells[0].is_settled());
    assert_eq!(bed.state.broken(), None);
}
