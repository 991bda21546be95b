//! The loop over queues in memory, on a paused clock.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::envelope::entry::put_task;
use crate::envelope::{Batch, Control, MacKey, Message, RunState, TaskType};
use crate::id::{RunId, WorkerId};
use crate::outcome::{Cause, Failure};
use crate::queue::memory::MemoryQueue;
use crate::queue::{Delivery, LeaseId, QueueError, QueueLimits};
use crate::shape::Fingerprint;
use crate::slot::{Program, Setup, Stream};
use crate::task::Place;
use crate::wall::WallTime;
use crate::worker::effect::{Outgoing, Topic};
use crate::worker::frame::TaskTypeInfo;

const KEY: MacKey = MacKey::Keyed([7; 32]);
const OTHER: MacKey = MacKey::Keyed([8; 32]);
const LEASE: Duration = Duration::from_secs(60);

/// Knows no task: each is rejected, and needs no slot.
struct KnowsNone;

impl Lookup for KnowsNone {
    fn look_up(&self, _: &TaskType) -> Result<TaskTypeInfo, Failure> {
        Err(Failure::new(Cause::Rejected, "unknown"))
    }
}

/// Knows every task.
struct KnowsAll;

impl Lookup for KnowsAll {
    fn look_up(&self, _: &TaskType) -> Result<TaskTypeInfo, Failure> {
        Ok(TaskTypeInfo {
            index: 0,
            ..TaskTypeInfo::UNKNOWN
        })
    }
}

fn run() -> RunId {
    RunId::new("nightly").unwrap()
}

fn queues() -> Queues {
    let queue = |name| Arc::new(MemoryQueue::new(name, QueueLimits::new(1 << 20, LEASE)));
    Queues {
        tasks: queue("tasks"),
        results: queue("results"),
        control: queue("control"),
    }
}

fn worker(queues: Queues) -> Worker {
    let place = Place {
        run: run(),
        worker: "w".into(),
        node: "n".into(),
    };
    Worker {
        settings: Settings {
            run: run(),
            worker: WorkerId(1),
            mac_key: KEY,
            slots: 1,
            max_tasks_per_slot: None,
            grace: Duration::from_secs(5),
            start_timeout: LEASE,
            message_bytes: 1 << 20,
            shared_memory: None,
            types: None,
        },
        queues,
        launch: Launch {
            program: Program::InProcess,
            env: Vec::new(),
            setup: Setup {
                place,
                initializer: None,
                memory_limit: None,
            },
            output: crate::slot::OutputLimits::default(),
        },
        lookup: Arc::new(KnowsNone),
        output: Arc::new(|_| {}),
        class: ClassId::DEFAULT,
        build: String::new(),
        conduct: Conduct::default(),
    }
}

/// A batch of one task.
fn batch(mac_key: &MacKey) -> Bytes {
    authenticated(mac_key, false)
}

fn authenticated(mac_key: &MacKey, alone: bool) -> Bytes {
    let mut body = Vec::new();
    put_task(&mut body, TaskId(0), Attempt::FIRST, 0, &[], &[]).unwrap();
    let batch = Batch {
        run: run(),
        epoch: 1,
        number: 0,
        alone,
        task_types: vec![TaskType {
            name: "any".into(),
            fingerprint: Fingerprint([0; 16]),
        }],
        count: 1,
    };
    batch.message(&body, mac_key)
}

async fn put(queue: &Arc<dyn Queue>, messages: Vec<Bytes>) {
    for answer in queue.put(messages).await {
        answer.unwrap();
    }
}

/// Waits for so many results.
async fn results(queues: &Queues, count: usize) {
    messages(queues, count, |message| {
        matches!(message, Message::Results(..))
    })
    .await;
}

/// Waits for so many such messages of the worker.
async fn messages(queues: &Queues, mut count: usize, such: impl Fn(&Message) -> bool) {
    while count > 0 {
        for delivery in queues.results.take(1, LEASE).await.unwrap() {
            count -= usize::from(Message::read(delivery.body, &KEY).is_ok_and(|m| such(&m)));
        }
    }
}

/// How many messages the queue has for others, now.
async fn ready(queue: &Arc<dyn Queue>) -> usize {
    queue.take(usize::MAX, Duration::ZERO).await.unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn forged_messages_before_the_first_task_keep_no_fresh_worker_from_it() {
    let queues = queues();
    put(&queues.tasks, vec![batch(&OTHER); 1_000]).await;
    put(&queues.tasks, vec![batch(&KEY); 3]).await;
    let (orders, orders_rx) = mpsc::unbounded_channel();
    let running = tokio::spawn(worker(queues.clone()).run(orders_rx));
    let began = Instant::now();
    let three = timeout(LEASE, results(&queues, 3)).await;
    three.expect("the forged messages starve the worker");
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    orders.send(Order::Drain).unwrap();
    let left = timeout(LEASE, running).await.expect("an end");
    assert_eq!(left.unwrap().unwrap(), Left::Drained);
    // All are acknowledged: none comes again.
    tokio::time::advance(LEASE * 2).await;
    assert_eq!(ready(&queues.tasks).await, 0);
}

#[tokio::test(start_paused = true)]
async fn what_came_with_a_batch_that_leaves_no_room_goes_back_to_others() {
    let queues = queues();
    let mut batches = vec![authenticated(&KEY, true)];
    batches.extend(vec![batch(&KEY); 3]);
    put(&queues.tasks, batches).await;
    let mut worker = worker(queues.clone());
    worker.settings.slots = 4;
    worker.lookup = Arc::new(KnowsAll);
    let (orders, orders_rx) = mpsc::unbounded_channel();
    let running = tokio::spawn(worker.run(orders_rx));
    messages(&queues, 1, |message| {
        matches!(message, Message::Started(..))
    })
    .await;
    let mut others = 0;
    while others < 3 {
        // What has not begun after 2 s goes back in any case.
        let taken = queues.tasks.take(3, Duration::from_secs(1)).await.unwrap();
        assert!(!taken.is_empty(), "they wait behind a task that runs alone");
        others += taken.len();
    }
    orders.send(Order::Stop).unwrap();
    let left = timeout(LEASE, running).await.expect("an end");
    left.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_worker_with_a_wrong_key_removes_nothing_and_gives_all_back() {
    let queues = queues();
    put(&queues.tasks, vec![batch(&OTHER); 100]).await;
    let (orders, orders_rx) = mpsc::unbounded_channel();
    let running = tokio::spawn(worker(queues.clone()).run(orders_rx));
    // Past the first search, within the pause after it.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let others = queues.tasks.take(200, Duration::ZERO).await.unwrap();
    assert_eq!(others.len(), 100);
    let leases: Vec<_> = others.into_iter().map(|other| other.lease).collect();
    queues.tasks.release(&leases).await;
    // In the middle of a later search: what it holds goes back when it leaves.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(ready(&queues.tasks).await, 0);
    orders.send(Order::Drain).unwrap();
    timeout(LEASE, running)
        .await
        .expect("an end")
        .unwrap()
        .unwrap();
    assert_eq!(ready(&queues.tasks).await, 100);
}

#[tokio::test(start_paused = true)]
async fn a_worker_of_an_earlier_program_leaves_what_it_cannot_run_to_others() {
    let queues = queues();
    put(&queues.tasks, vec![batch(&KEY); 3]).await;
    let mut worker = worker(queues.clone());
    // The master that started the worker has no task of these types.
    worker.settings.types = Some(Vec::new());
    let (_orders, orders_rx) = mpsc::unbounded_channel();
    let left = timeout(LEASE, worker.run(orders_rx)).await;
    assert_eq!(left.expect("it stays").unwrap(), Left::Drained);
    assert_eq!(ready(&queues.tasks).await, 3);
    let told = queues.results.take(64, Duration::ZERO).await.unwrap();
    let answers = told.into_iter().filter(|it| {
        Message::read(it.body.clone(), &KEY).is_ok_and(|it| matches!(it, Message::Results(..)))
    });
    assert_eq!(answers.count(), 0, "an answer would be final");
}

/// A queue elsewhere: its answers take a while to come, and a pull that is given up stays open there.
#[derive(Debug)]
struct Distant(Arc<MemoryQueue>);

const DISTANCE: Duration = Duration::from_millis(100);

#[async_trait]
impl Queue for Distant {
    async fn put(&self, messages: Vec<Bytes>) -> Vec<Result<(), QueueError>> {
        self.0.put(messages).await
    }

    async fn take(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
        let queue = self.0.clone();
        let answer = tokio::spawn(async move {
            let answer = queue.take(max, wait).await;
            sleep(DISTANCE).await;
            answer
        });
        answer.await.unwrap()
    }

    async fn extend(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        self.0.extend(leases).await
    }

    async fn ack(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        self.0.ack(leases).await
    }

    async fn release(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        self.0.release(leases).await
    }

    fn limits(&self) -> QueueLimits {
        QueueLimits {
            remote: true,
            ..self.0.limits()
        }
    }
}

fn distant_queues() -> Queues {
    let queue = MemoryQueue::new("tasks", QueueLimits::new(1 << 20, LEASE));
    Queues {
        tasks: Arc::new(Distant(Arc::new(queue))),
        ..queues()
    }
}

/// A worker is ordered to leave, and ends. A message is put before, so that the answer to a pull is on its way, or
/// afterwards. How many there are for others then, and how long it took.
async fn leaves_a_pull(order: Order, outlives: bool, before: bool) -> (usize, Duration) {
    let queues = distant_queues();
    let (orders, orders_rx) = mpsc::unbounded_channel();
    let mut worker = worker(queues.clone());
    worker.conduct.queue_outlives = outlives;
    let running = tokio::spawn(worker.run(orders_rx));
    sleep(Duration::from_secs(1)).await;
    if before {
        put(&queues.tasks, vec![batch(&KEY)]).await;
        sleep(DISTANCE / 2).await;
    }
    orders.send(order).unwrap();
    let began = Instant::now();
    let left = timeout(LEASE, running).await.expect("an end");
    left.unwrap().unwrap();
    let took = began.elapsed();
    if !before {
        put(&queues.tasks, vec![batch(&KEY)]).await;
    }
    (ready(&queues.tasks).await, took)
}

#[tokio::test(start_paused = true)]
async fn what_a_last_pull_brings_is_given_back_at_once() {
    for (order, outlives) in [(Order::Drain, false), (Order::Stop, true)] {
        let (left, took) = leaves_a_pull(order, outlives, true).await;
        assert_eq!(left, 1, "{order:?}: leased by no worker");
        assert!(took < 2 * DISTANCE, "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_pull_is_left_open_where_others_use_the_queue() {
    for (order, outlives) in [(Order::Drain, false), (Order::Stop, true)] {
        let (left, took) = leaves_a_pull(order, outlives, false).await;
        assert_eq!(left, 1, "{order:?}: the open pull took it");
        assert!(took < LAST_PULL, "{took:?}");
    }
    let grace = Duration::from_secs(2);
    let (_, took) = leaves_a_pull(Order::Terminate(grace), true, false).await;
    assert!(took <= grace, "{took:?}");
    let (_, took) = leaves_a_pull(Order::Stop, false, false).await;
    assert!(took < DISTANCE, "the queue goes with its run: {took:?}");
}

/// A queue that no call reaches: what is put there is refused at once, and a pull is never answered, which looks like
/// an empty queue. One that is there and forbids everything answers both so.
#[derive(Debug)]
struct Nowhere {
    denied: bool,
}

impl Nowhere {
    fn refusal(&self) -> QueueError {
        let (queue, reason) = ("results".to_owned(), "no route to host".to_owned());
        if self.denied {
            QueueError::Denied { queue, reason }
        } else {
            QueueError::Unavailable { queue, reason }
        }
    }
}

#[async_trait]
impl Queue for Nowhere {
    async fn put(&self, messages: Vec<Bytes>) -> Vec<Result<(), QueueError>> {
        messages.iter().map(|_| Err(self.refusal())).collect()
    }

    async fn take(&self, _: usize, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
        if self.denied {
            return Err(self.refusal());
        }
        sleep(wait).await;
        Ok(Vec::new())
    }

    async fn extend(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        leases.iter().map(|_| Ok(())).collect()
    }

    async fn ack(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        leases.iter().map(|_| Ok(())).collect()
    }

    async fn release(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        leases.iter().map(|_| Ok(())).collect()
    }

    fn limits(&self) -> QueueLimits {
        QueueLimits::new(1 << 20, LEASE)
    }
}

/// How such a worker leaves, and when, without an order.
async fn leaves(queues: Queues, conduct: Conduct) -> (Left, Duration) {
    let worker = Worker {
        conduct,
        ..worker(queues)
    };
    let (_orders, orders_rx) = mpsc::unbounded_channel();
    let began = Instant::now();
    let left = timeout(Duration::from_secs(3_600), worker.run(orders_rx)).await;
    let left = left.expect("it stays").expect("it fails");
    (left, began.elapsed())
}

fn nowhere() -> Queues {
    Queues {
        tasks: Arc::new(Nowhere { denied: false }),
        results: Arc::new(Nowhere { denied: false }),
        control: Arc::new(Nowhere { denied: false }),
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_reaches_no_queue_leaves_within_its_time_and_reports_the_last_refusal() {
    let conduct = Conduct {
        reach: Some(Duration::from_secs(50)),
        idle: Some(Duration::from_secs(300)),
        ..Conduct::default()
    };
    let (left, took) = leaves(nowhere(), conduct).await;
    let Left::Unreached(reason) = left else {
        panic!("{left:?}");
    };
    assert!(reason.contains("within 50s") && reason.contains("no route to host"));
    assert!(took < Duration::from_secs(51), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn missing_rights_are_no_missing_queue() {
    let conduct = Conduct {
        reach: Some(Duration::from_secs(50)),
        refusal: Some(Duration::from_secs(60)),
        ..Conduct::default()
    };
    let forbidding = || Arc::new(Nowhere { denied: true });
    let queues = Queues {
        tasks: forbidding(),
        results: forbidding(),
        control: forbidding(),
    };
    let (left, took) = leaves(queues, conduct).await;
    assert!(matches!(left, Left::Refused(_)), "{left:?}");
    assert!(took < Duration::from_secs(80), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_worker_without_a_master_does_not_wait_for_a_queue_that_has_gone_too() {
    let conduct = Conduct {
        idle: Some(Duration::from_secs(300)),
        ..Conduct::default()
    };
    let (left, took) = leaves(nowhere(), conduct).await;
    let Left::Unreachable(reason) = left else {
        panic!("{left:?}");
    };
    assert!(reason.contains("no route to host"), "{reason}");
    assert!(took < Duration::from_secs(310), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_worker_whose_greeting_was_stored_stays_until_it_is_idle() {
    let conduct = Conduct {
        reach: Some(Duration::from_secs(50)),
        idle: Some(Duration::from_secs(300)),
        ..Conduct::default()
    };
    let (left, took) = leaves(queues(), conduct).await;
    assert_eq!(left, Left::Idle);
    assert!(took >= Duration::from_secs(300), "{took:?}");
}

/// A control message of a master.
fn control(epoch: u64, state: RunState) -> Bytes {
    let control = Control {
        run: run(),
        epoch,
        sequence: 1,
        state,
        ended_below: TaskId(0),
        revoked: Vec::new(),
        drain: Vec::new(),
        greeted: vec![WorkerId(1)],
    };
    control.message(&KEY)
}

/// The master that was superseded may be the first to read it.
#[tokio::test(start_paused = true)]
async fn the_greeting_of_a_later_master_names_its_epoch() {
    let queues = queues();
    let (orders, orders_rx) = mpsc::unbounded_channel();
    let running = tokio::spawn(worker(queues.clone()).run(orders_rx));
    let greets = async |expected| {
        let is_it =
            |message: &Message| matches!(message, Message::Hello(it) if it.epoch == expected);
        timeout(LEASE / 2, messages(&queues, 1, is_it))
            .await
            .unwrap();
    };
    greets(0).await;
    for epoch in [1, 2] {
        put(&queues.control, vec![control(epoch, RunState::Open)]).await;
        sleep(HEARTBEAT).await;
    }
    greets(2).await;
    orders.send(Order::Stop).unwrap();
    timeout(LEASE, running).await.unwrap().unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn heartbeats_that_no_master_reads_are_rare_until_one_comes() {
    let queues = queues();
    let (orders, orders_rx) = mpsc::unbounded_channel();
    let running = tokio::spawn(worker(queues.clone()).run(orders_rx));
    put(&queues.control, vec![control(1, RunState::Detached)]).await;
    sleep(LEASE).await;
    ready(&queues.results).await;
    sleep(Duration::from_secs(3_600)).await;
    // What was looked at above comes again by its lease.
    let unread = ready(&queues.results).await;
    assert!((12..=21).contains(&unread), "{unread} messages");
    put(&queues.control, vec![control(2, RunState::Open)]).await;
    let began = Instant::now();
    let is_alive = |message: &Message| matches!(message, Message::Alive(_));
    messages(&queues, 2, is_alive).await;
    let took = began.elapsed();
    assert!(took <= 2 * HEARTBEAT, "{took:?}");
    orders.send(Order::Stop).unwrap();
    timeout(LEASE, running).await.unwrap().unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn lines_that_a_failure_must_follow_are_stored_before_it() {
    let queues = queues();
    let mut worker = worker(queues.clone());
    worker.conduct.forward_output = true;
    let (news, keepers_news) = mpsc::unbounded_channel();
    let keeper = Keeper::start_patiently(&queues.tasks, &news).await.unwrap();
    let (_keep, orders) = mpsc::unbounded_channel();
    let mut running = RunningWorker::new(worker, keeper, keepers_news, orders);
    let results = envelope::Results {
        run: run(),
        execution: ExecutionId {
            worker: WorkerId(1),
            number: 0,
        },
        epoch: 0,
        count: 0,
        lines: 1,
        at: WallTime::default(),
    };
    let line = "panicked".to_owned();
    for effect in [
        Effect::Output(SlotId(0), None, Stream::Stderr, line),
        Effect::SendLines,
        Effect::Publish(Outgoing {
            to: Topic::Results,
            message: results.message(&[], &KEY),
            receipt: None,
        }),
    ] {
        running.effect(Instant::now(), effect, &mut Vec::new(), &mut Vec::new());
    }
    let stored = timeout(LEASE, running.results.next()).await;
    stored.expect("they are stored");
    let taken = queues.results.take(10, Duration::ZERO).await.unwrap();
    let mut taken = taken.into_iter();
    let mut next = || Message::read(taken.next().unwrap().body, &KEY).unwrap();
    let Message::Printed(printed) = next() else {
        panic!("no lines");
    };
    assert_eq!((&*printed.lines[0].text, printed.through), ("panicked", 1));
    assert!(matches!(next(), Message::Results(..)));
}
