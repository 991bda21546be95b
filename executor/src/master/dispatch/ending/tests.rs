//! Tests of how a dispatcher ends.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use podpool_core::id::{RunId, RunName};
use podpool_core::ledger::memory::MemoryLedger;
use podpool_core::ledger::{Ledger, Master, Opening, Which};
use podpool_core::queue::memory::MemoryQueue;
use podpool_core::queue::{Delivery, LeaseId, Queue, QueueError, QueueLimits};
use podpool_core::worker::Queues;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use super::super::Dispatch;
use super::super::fake::idle;
use super::*;
use crate::client::future::fake::TASK;
use crate::error::{TaskError, TaskErrorKind};
use crate::master::cell::{Cell, CellGuard, Wakers};
use crate::master::command::{Command, ShutdownBehavior};
use crate::master::ledger::{Terms, open};
use crate::master::mailbox::{Mailbox, Submission};

/// A pull that is given up stays open, as at a service.
#[derive(Debug)]
struct Lingering(Arc<MemoryQueue>);

#[async_trait]
impl Queue for Lingering {
    async fn put(&self, messages: Vec<Bytes>) -> Vec<Result<(), QueueError>> {
        self.0.put(messages).await
    }

    async fn take(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
        let queue = self.0.clone();
        let answer = tokio::spawn(async move { queue.take(max, wait).await });
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
        self.0.limits()
    }
}

/// The run is shut down, and nothing is left of its fleet.
async fn run_to_its_end(
    mailbox: &Mailbox,
    fleet: &UnboundedSender<FleetEvent>,
    dispatch: Dispatch,
) {
    let (done, ended) = oneshot::channel();
    let behavior = ShutdownBehavior::WaitForTasks;
    mailbox.command(Command::Shutdown { behavior, done });
    let leftovers = Vec::new();
    fleet.send(FleetEvent::Ended { leftovers }).unwrap();
    dispatch.run().await;
    assert_eq!(ended.await.unwrap(), Ok(()));
}

/// How many messages the next run finds of its own two and this run's one, and how long the end took.
async fn next_run(results_outlive: bool) -> (usize, Duration) {
    let results = Arc::new(MemoryQueue::local("results"));
    let queue = |name: &str| Arc::new(MemoryQueue::local(name)) as Arc<dyn Queue>;
    let (mailbox, fleet, _orders, mut dispatch) = idle(Queues {
        tasks: queue("tasks"),
        results: Arc::new(Lingering(results.clone())),
        control: queue("control"),
    });
    dispatch.settings.results_outlive = results_outlive;
    let began = Instant::now();
    run_to_its_end(&mailbox, &fleet, dispatch).await;
    let took = began.elapsed();
    let word = || vec![Bytes::from_static(b"of the next run")];
    for _ in 0..2 {
        results.put(word()).await;
        tokio::task::yield_now().await;
    }
    let found = results.take(10, Duration::ZERO).await.unwrap();
    (found.len(), took)
}

#[tokio::test(start_paused = true)]
async fn a_run_leaves_no_pull_open_on_queues_that_outlive_it() {
    let (found, took) = next_run(true).await;
    assert_eq!(found, 2, "nothing of this run, and all of the next");
    assert!(took <= 2 * QUIET, "{took:?}");
    // On names of its own the messages go with the run, and the end waits for none.
    let (_, took) = next_run(false).await;
    assert_eq!(took, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_was_cancelled_in_the_mailbox_is_not_published() {
    TASK.index.get_or_init(|| 0);
    let queue = |name: &str| Arc::new(MemoryQueue::local(name)) as Arc<dyn Queue>;
    let tasks = queue("tasks");
    let (mailbox, fleet, _orders, dispatch) = idle(Queues {
        tasks: tasks.clone(),
        results: queue("results"),
        control: queue("control"),
    });
    let cell = Arc::new(Cell::new(&TASK));
    mailbox.submit(Submission {
        cell: CellGuard::new(cell.clone()),
        spec: &TASK,
        arguments: Vec::new().into(),
        options: None,
    });
    let error = TaskError::new(TaskErrorKind::Cancelled, cell.subject(), "");
    cell.settle(Err(error), &mut Wakers::default());
    run_to_its_end(&mailbox, &fleet, dispatch).await;
    assert!(tasks.take(1, Duration::ZERO).await.unwrap().is_empty());
}

fn opening() -> Opening {
    let name = RunName::new("nightly").unwrap();
    Opening {
        which: Which::Named {
            fresh: RunId::of(&name),
            name,
            mac_key: [0; 32],
        },
        master: Master::default(),
        take_over: true,
        now: std::time::SystemTime::UNIX_EPOCH,
    }
}

/// The last order that a fleet elsewhere receives, and how the run ends, with or without a second master.
async fn last_order(taken_over: bool) -> (FleetOrder, Result<(), ShutdownError>) {
    let queue = |name: &str| Arc::new(MemoryQueue::local(name)) as Arc<dyn Queue>;
    let (mailbox, fleet, mut orders, mut dispatch) = idle(Queues {
        tasks: queue("tasks"),
        results: queue("results"),
        control: queue("control"),
    });
    dispatch.printed = Some(Arc::new(|_| {}));
    let ledger = MemoryLedger::new();
    let terms = Terms {
        opening: opening(),
        attached: None,
        patience: Duration::ZERO,
        adopts: true,
    };
    let run = open(Arc::new(ledger.clone()), terms).await.unwrap();
    dispatch.ledger = Some((run.memory, run.link));
    // The first master learns of it by nothing but its own next record.
    let second = taken_over.then(|| ledger.open(&opening()).unwrap());
    let (done, ended) = oneshot::channel();
    let behavior = ShutdownBehavior::WaitForTasks;
    mailbox.command(Command::Shutdown { behavior, done });
    let last = async {
        loop {
            match orders.recv().await.expect("an order to end") {
                FleetOrder::Needed { .. } => {}
                order => {
                    let leftovers = Vec::new();
                    fleet.send(FleetEvent::Ended { leftovers }).unwrap();
                    return order;
                }
            }
        }
    };
    let (order, ()) = tokio::join!(last, dispatch.run());
    drop(second);
    let outcome = ended.await.unwrap();
    assert_eq!(mailbox.how_it_ended(), outcome, "a later shutdown");
    (order, outcome)
}

/// Where the end of its tasks is a master's first act after it lost the run, it removes nothing of the run.
#[tokio::test]
async fn a_master_that_has_lost_its_run_orders_no_removal() {
    let (order, outcome) = last_order(false).await;
    assert_eq!((order, outcome), (FleetOrder::End, Ok(())));
    let (order, outcome) = last_order(true).await;
    let superseded = Err(ShutdownError::Superseded { epoch: 2 });
    assert_eq!((order, outcome), (FleetOrder::Abandon, superseded));
}
