//! Tests of results, lines and heartbeats as they are pulled.

use std::future::poll_fn;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use podpool_core::broker::ClassId;
use podpool_core::envelope::entry::{put_done, put_failed};
use podpool_core::envelope::{Alive, Hello, MacKey, Printed, PrintedLine, Results};
use podpool_core::fleet::{FleetEvent, FleetOrder};
use podpool_core::id::{Attempt, ExecutionId, RunId, TaskId, WorkerId};
use podpool_core::outcome::{Cause, Failure};
use podpool_core::queue::QueueLimits;
use podpool_core::queue::memory::MemoryQueue;
use podpool_core::task::{Body, TaskOptions, TaskSpec};
use podpool_core::wall::WallTime;
use podpool_core::worker::Queues;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;

use super::super::Dispatch;
use super::super::fake::idle;
use super::*;
use crate::lock::lock;
use crate::master::cell::{Cell, CellGuard};
use crate::master::command::{Command, ShutdownBehavior};
use crate::master::mailbox::{Mailbox, Submission};

static TASK: TaskSpec = TaskSpec {
    name: "tests::task",
    version: None,
    file: file!(),
    line: line!(),
    signature: podpool_core::signature::Signature::EMPTY,
    options: TaskOptions::DEFAULT,
    body: Body::Sync(|_, _, _| Ok(())),
    shape: || Ok(podpool_core::shape::Shape(String::new())),
    traced: OnceLock::new(),
    index: OnceLock::new(),
};
const WORKER: WorkerId = WorkerId(7);
const BOUND: Duration = Duration::from_secs(60);

fn run() -> RunId {
    RunId::new("test").unwrap()
}

/// A worker reports that a task failed, and that so many lines had been printed by then.
fn failed(task: u64, lines: u64) -> bytes::Bytes {
    let mut body = Vec::new();
    let failure = Failure::new(Cause::Failed, "set by the test");
    let task = TaskId(task);
    put_failed(&mut body, task, Attempt::FIRST, Duration::ZERO, &failure);
    said(&body, lines)
}

/// The same of a task that returned.
fn done(task: u64, lines: u64) -> bytes::Bytes {
    let mut body = Vec::new();
    let output = |_: &mut Vec<u8>| Ok::<_, ()>(Duration::ZERO);
    put_done(&mut body, TaskId(task), Attempt::FIRST, output).unwrap();
    said(&body, lines)
}

fn said(body: &[u8], lines: u64) -> bytes::Bytes {
    let results = Results {
        run: run(),
        execution: ExecutionId {
            worker: WORKER,
            number: 0,
        },
        epoch: 1,
        count: 1,
        lines,
        at: WallTime::default(),
    };
    results.message(body, &MacKey::Absent)
}

/// The last of so many lines of a worker.
fn line(text: &str, through: u64) -> bytes::Bytes {
    let printed = Printed {
        run: run(),
        worker: WORKER,
        epoch: 1,
        tasks: Vec::new(),
        lines: vec![PrintedLine {
            task: None,
            error: true,
            text: text.to_owned(),
        }],
        left_out: 0,
        through,
    };
    printed.message(&MacKey::Absent)
}

fn queues() -> Queues {
    let queue = |name: &str| Arc::new(MemoryQueue::local(name)) as Arc<dyn Queue>;
    Queues {
        tasks: queue("tasks"),
        results: queue("results"),
        control: queue("control"),
    }
}

/// The lines that this dispatcher shows from now on.
fn keep_lines(dispatch: &mut Dispatch) -> Arc<Mutex<Vec<String>>> {
    let shown = Arc::<Mutex<Vec<String>>>::default();
    let keep = shown.clone();
    dispatch.printed = Some(Arc::new(move |line| {
        lock(&keep).push(line.line.to_owned());
    }));
    shown
}

/// A task that a worker has.
async fn taken(mailbox: &Mailbox, tasks: &dyn Queue) -> Arc<Cell> {
    TASK.index.get_or_init(|| 0);
    let cell = Arc::new(Cell::new(&TASK));
    mailbox.submit(Submission {
        cell: CellGuard::new(cell.clone()),
        spec: &TASK,
        arguments: vec![1].into(),
        options: None,
    });
    assert_eq!(tasks.take(1, BOUND).await.unwrap().len(), 1);
    cell
}

async fn end(cell: &Cell) {
    let settled = poll_fn(|cx| cell.poll(cx.waker()));
    let settled = timeout(BOUND, settled).await.expect("the task's end");
    assert!(settled.is_err(), "it failed");
}

#[tokio::test(start_paused = true)]
async fn an_error_and_the_end_come_after_earlier_lines_whatever_the_order_in_the_queue() {
    let queues = queues();
    let (tasks, results) = (queues.tasks.clone(), queues.results.clone());
    let (mailbox, fleet, mut orders, mut dispatch) = idle(queues);
    let shown = keep_lines(&mut dispatch);
    let master = async {
        let cell = taken(&mailbox, &*tasks).await;
        results.put(vec![failed(0, 2)]).await;
        sleep(Duration::from_millis(500)).await;
        assert!(!cell.is_settled(), "its lines have not come");
        results.put(vec![line("panicked", 2)]).await;
        end(&cell).await;
        assert_eq!(*lock(&shown), ["panicked"]);
        let cell = taken(&mailbox, &*tasks).await;
        let began = Instant::now();
        results.put(vec![failed(1, 2)]).await;
        end(&cell).await;
        assert_eq!(began.elapsed(), Duration::ZERO, "nothing new was printed");
        let cell = taken(&mailbox, &*tasks).await;
        results.put(vec![failed(2, 3)]).await;
        end(&cell).await;
        let waited = began.elapsed();
        assert!(
            waited <= Duration::from_secs(1),
            "a line is lost: {waited:?}"
        );
        let cell = taken(&mailbox, &*tasks).await;
        results.put(vec![done(3, 4)]).await;
        poll_fn(|cx| cell.poll(cx.waker())).await.ok();
        let (done, ended) = oneshot::channel();
        let behavior = ShutdownBehavior::WaitForTasks;
        mailbox.command(Command::Shutdown { behavior, done });
        sleep(Duration::from_millis(300)).await;
        results.put(vec![line("the last", 4)]).await;
        while orders.recv().await != Some(FleetOrder::End) {}
        assert_eq!(*lock(&shown), ["panicked", "the last"]);
        let leftovers = Vec::new();
        fleet.send(FleetEvent::Ended { leftovers }).unwrap();
        assert_eq!(ended.await.unwrap(), Ok(()));
    };
    tokio::join!(dispatch.run(), master);
}

#[tokio::test(start_paused = true)]
async fn an_aborted_run_ends_after_the_lines_of_ended_tasks() {
    let queues = queues();
    let (tasks, results) = (queues.tasks.clone(), queues.results.clone());
    let (mailbox, fleet, _orders, mut dispatch) = idle(queues);
    let shown = keep_lines(&mut dispatch);
    let master = async {
        let cell = taken(&mailbox, &*tasks).await;
        results.put(vec![done(0, 1)]).await;
        poll_fn(|cx| cell.poll(cx.waker())).await.ok();
        let (done, ended) = oneshot::channel();
        let behavior = ShutdownBehavior::Abort;
        mailbox.command(Command::Shutdown { behavior, done });
        sleep(Duration::from_millis(300)).await;
        results.put(vec![line("the last", 1)]).await;
        sleep(Duration::from_millis(300)).await;
        let leftovers = Vec::new();
        fleet.send(FleetEvent::Ended { leftovers }).unwrap();
        assert_eq!(timeout(BOUND, ended).await.unwrap().unwrap(), Ok(()));
        assert_eq!(*lock(&shown), ["the last"]);
    };
    tokio::join!(dispatch.run(), master);
}

/// It gives nothing while it is down.
#[derive(Debug)]
struct Outage {
    queue: MemoryQueue,
    down: AtomicBool,
}

#[async_trait]
impl Queue for Outage {
    async fn put(&self, messages: Vec<bytes::Bytes>) -> Vec<Result<(), QueueError>> {
        self.queue.put(messages).await
    }

    async fn take(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
        if self.down.load(Ordering::Relaxed) {
            return Err(QueueError::Unavailable {
                queue: "results".to_owned(),
                reason: "down".to_owned(),
            });
        }
        self.queue.take(max, wait).await
    }

    async fn extend(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        self.queue.extend(leases).await
    }

    async fn ack(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        self.queue.ack(leases).await
    }

    async fn release(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        self.queue.release(leases).await
    }

    fn limits(&self) -> QueueLimits {
        self.queue.limits()
    }
}

fn heartbeat(sequence: u64) -> bytes::Bytes {
    let alive = Alive {
        run: run(),
        worker: WORKER,
        held: Vec::new(),
        running: 0,
        free: 1,
        empty_pulls: 0,
        revoked: Vec::new(),
        replays: 0,
        epoch: 1,
        sequence,
        at: WallTime::default(),
    };
    alive.message(&MacKey::Absent)
}

/// Heartbeats wait in the queue while it cannot be read: the worker is missed only when they could have been read.
#[tokio::test(start_paused = true)]
async fn no_worker_is_missed_while_results_cannot_be_pulled() {
    const SILENCE: Duration = Duration::from_secs(60);
    let results = Arc::new(Outage {
        queue: MemoryQueue::local("results"),
        down: AtomicBool::new(false),
    });
    let mut queues = queues();
    queues.results = results.clone();
    let (_mailbox, _fleet, mut orders, mut dispatch) = idle(queues);
    dispatch.settings.silence = Some(SILENCE);
    let running = tokio::spawn(dispatch.run());
    let missed = |orders: &mut UnboundedReceiver<FleetOrder>| {
        let all: Vec<_> = std::iter::from_fn(|| orders.try_recv().ok()).collect();
        let missed = |order: &FleetOrder| matches!(order, FleetOrder::Missed(_));
        all.iter().any(missed)
    };
    results.put(vec![hello(), heartbeat(2)]).await;
    sleep(Duration::from_secs(1)).await;
    results.down.store(true, Ordering::Relaxed);
    sleep(4 * SILENCE).await;
    assert!(!missed(&mut orders), "its heartbeats cannot be read");
    results.put(vec![heartbeat(3)]).await;
    results.down.store(false, Ordering::Relaxed);
    sleep(SILENCE / 2).await;
    assert!(!missed(&mut orders), "one was read");
    sleep(2 * SILENCE).await;
    assert!(missed(&mut orders), "none came though all were read");
    running.abort();
}

fn hello() -> bytes::Bytes {
    let hello = Hello {
        run: run(),
        worker: WORKER,
        name: "pod-7".into(),
        node: "node".into(),
        class: ClassId::DEFAULT,
        slots: 1,
        build: String::new(),
        epoch: 1,
        sequence: 1,
    };
    hello.message(&MacKey::Absent)
}
