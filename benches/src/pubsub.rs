//! The Pub/Sub path: a pool whose queues are topics, against a bare loop that moves the same messages.
//!
//! Both need an emulator (`PUBSUB_EMULATOR_HOST`). The worker of the pool is a local one, so that a row shows the cost
//! that podpool adds to the queue, without that of a cluster. The rows of `map` have workers in processes of their own.

mod map;
pub mod workers;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, bail};
use bytes::Bytes;
use podpool::RunId;
use podpool::options::{Isolation, LocalOptions};
use podpool::prelude::*;
use podpool::pubsub::{Admin, Connection, PubSubQueue, QueueNames, RunLabels, RunNames};
use podpool::testing::Builder as _;
use podpool_core::queue::{Delivery, LeaseId, Queue, QueueError};

use crate::case::{CHILDREN, Case};
use crate::measure::rate;
use crate::pool::echo;

/// The lease of every queue here: the subscriptions' own, so that nothing is renewed after it is taken.
const LEASE: Duration = Duration::from_secs(60);
/// Bytes of a message of the bare loop: about what one envelope takes.
const MESSAGE: usize = 200;
/// Tasks that run before the clock does: they open the gate and the connections.
const WARM_UP: u64 = 50;
/// Messages that a worker of podpool takes at a time, where they are short work.
const AT_ONCE: usize = 256;
/// Results that its master takes at a time.
const RESULTS: usize = 64;
/// How long one pull waits.
const WAIT: Duration = Duration::from_secs(10);

/// The prefix of the topics' names.
const PREFIX: &str = "bench";

/// The cases of the Pub/Sub path.
pub fn cases() -> impl Iterator<Item = Case> {
    CASES.into_iter().chain(map::CASES)
}

/// The cases of a worker beside its master.
const CASES: [Case; 4] = [
    Case {
        name: "pubsub-single",
        run: |n| on_a_runtime(through_pool(n, lonely)),
    },
    Case {
        name: "pubsub-packed",
        run: |n| on_a_runtime(through_pool(n, echo)),
    },
    Case {
        name: "pubsub-bare",
        run: |n| on_a_runtime(bare(n, CHILDREN)),
    },
    Case {
        name: "pubsub-bare-batched",
        run: |n| on_a_runtime(bare(n, AT_ONCE)),
    },
];

/// Gives its number back, one task a batch.
#[podpool::task(pack = false)]
pub fn lonely(value: u64) -> u64 {
    value
}

/// Whether there is an emulator to measure on.
#[must_use]
pub fn is_available() -> bool {
    std::env::var_os("PUBSUB_EMULATOR_HOST").is_some()
}

fn on_a_runtime<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build();
    runtime.context("no runtime")?.block_on(work)
}

/// Topics of one measurement.
struct Topics {
    connection: Connection,
    admin: Admin,
    names: RunNames,
    run: RunId,
}

impl Topics {
    /// With control subscriptions for so many workers.
    #[expect(clippy::disallowed_methods, reason = "labels hold wall time")]
    async fn make(workers: u32) -> anyhow::Result<Self> {
        let connection = Connection::builder().open()?;
        let admin = Admin::new(&connection);
        let run = RunId::random();
        let names = RunNames::own(PREFIX, &run)?;
        let created = SystemTime::now();
        let labels = RunLabels {
            run: run.clone(),
            name: None,
            created,
            deadline: created + Duration::from_secs(3600),
        };
        admin.create(&names, &labels, LEASE).await?;
        admin
            .create_control(&names, &labels, LEASE, 0, workers)
            .await?;
        Ok(Self {
            connection,
            admin,
            names,
            run,
        })
    }

    fn queue(&self, name: &str) -> anyhow::Result<Arc<PubSubQueue>> {
        match name {
            "tasks" => queue(&self.connection, &self.names.tasks()),
            "results" => queue(&self.connection, &self.names.results()),
            _ => control_queue(&self.connection, &self.names, 0),
        }
    }

    async fn remove(self) -> anyhow::Result<()> {
        let left = self.admin.delete_run(&self.names, &self.run).await.failed;
        match left.first() {
            None => Ok(()),
            Some((name, error)) => bail!("{name} is left over: {error}"),
        }
    }
}

fn queue(connection: &Connection, names: &QueueNames) -> anyhow::Result<Arc<PubSubQueue>> {
    let queue = PubSubQueue::new(connection, names, LEASE, Some(LEASE))?;
    Ok(Arc::new(queue))
}

/// Where the master publishes its state, and the worker of this number receives it.
fn control_queue(
    connection: &Connection,
    names: &RunNames,
    worker: u32,
) -> anyhow::Result<Arc<PubSubQueue>> {
    let put = names.control().context("no control topic")?;
    let take = names.control_of(0, worker).context("no control topic")?;
    let names = QueueNames {
        topic: put.topic,
        subscription: take.subscription,
    };
    queue(connection, &names)
}

/// Tasks per second through a pool over Pub/Sub.
async fn through_pool(n: u64, call: fn(u64) -> Call<u64>) -> anyhow::Result<f64> {
    let topics = Topics::make(1).await?;
    let queues = [
        ("tasks", topics.queue("tasks")?),
        ("results", topics.queue("results")?),
        ("control", topics.queue("control")?),
    ];
    let pool = PodPoolExecutor::builder()
        .max_workers(CHILDREN)
        .local(LocalOptions::default().isolation(Isolation::Process))
        .lease(LEASE)
        .decorate_queues(Arc::new(move |name, queue| {
            let ours = queues.iter().find(|(own, _)| *own == name);
            ours.map_or(queue, |(_, ours)| ours.clone())
        }))
        .build()
        .await?;
    submit_all(&pool, WARM_UP, call).await?;
    let start = Instant::now();
    submit_all(&pool, n, call).await?;
    let speed = rate(n, start.elapsed());
    pool.shutdown().await?;
    topics.remove().await?;
    Ok(speed)
}

async fn submit_all(
    pool: &PodPoolExecutor,
    n: u64,
    call: fn(u64) -> Call<u64>,
) -> anyhow::Result<()> {
    let futures: Vec<_> = (0..n).map(|i| pool.submit(call(i))).collect();
    for (i, future) in (0..n).zip(futures) {
        if future.await? != i {
            bail!("answer {i} is not its own");
        }
    }
    Ok(())
}

/// Messages per second of a loop without a pool: a task is published, consumers take `at_once` of them at a time and
/// send results, the master takes the results. There is no `Started`, as podpool sends none for short tasks.
async fn bare(n: u64, at_once: usize) -> anyhow::Result<f64> {
    let topics = Topics::make(1).await?;
    let (tasks, results) = (topics.queue("tasks")?, topics.queue("results")?);
    // On the same runtime: both sides share one core, as the pool's parts do in the other row.
    let consumers = tokio::spawn(serve(tasks.clone(), results.clone(), WARM_UP + n, at_once));
    move_all(&tasks, &results, WARM_UP).await?;
    let start = Instant::now();
    move_all(&tasks, &results, n).await?;
    let speed = rate(n, start.elapsed());
    consumers.await.context("the consumers panicked")??;
    topics.remove().await?;
    Ok(speed)
}

async fn move_all(tasks: &PubSubQueue, results: &PubSubQueue, n: u64) -> anyhow::Result<()> {
    let message = || Bytes::from(vec![7; MESSAGE]);
    let send = async { stored(tasks.put((0..n).map(|_| message()).collect()).await) };
    let receive = async {
        let mut left = n;
        while left > 0 {
            let answers = results.take(RESULTS, WAIT).await?;
            left = left.saturating_sub(answers.len() as u64);
            stored(results.ack(&leases(&answers)).await)?;
        }
        Ok(())
    };
    let (sent, received) = futures_util::join!(send, receive);
    sent.and(received)
}

/// Consumers that answer each message of a take at once.
async fn serve(
    tasks: Arc<PubSubQueue>,
    results: Arc<PubSubQueue>,
    n: u64,
    at_once: usize,
) -> anyhow::Result<()> {
    let mut left = n;
    while left > 0 {
        let taken = tasks.take(at_once, WAIT).await?;
        left = left.saturating_sub(taken.len() as u64);
        let answers = taken.iter().map(|task| task.body.clone()).collect();
        stored(results.put(answers).await)?;
        stored(tasks.ack(&leases(&taken)).await)?;
    }
    Ok(())
}

fn leases(deliveries: &[Delivery]) -> Vec<LeaseId> {
    deliveries.iter().map(|one| one.lease.clone()).collect()
}

fn stored(answers: Vec<Result<(), QueueError>>) -> anyhow::Result<()> {
    answers.into_iter().collect::<Result<(), _>>()?;
    Ok(())
}
