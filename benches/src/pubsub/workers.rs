//! Workers of the Pub/Sub path in processes of their own: they stand for pods, without a cluster.
//!
//! A worker is this program with a variable that names its run and its number. It ends with the run, with its standard
//! input, or with its parent.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use async_trait::async_trait;
use bytes::Bytes;
use podpool::RunId;
use podpool::pubsub::{Connection, PubSubQueue, RunNames};
use podpool_core::broker::ClassId;
use podpool_core::envelope::{MacKey, TaskType};
use podpool_core::id::WorkerId;
use podpool_core::outcome::{Cause, Failure};
use podpool_core::queue::{Delivery, LeaseId, Queue, QueueError, QueueLimits};
use podpool_core::registry::Registry;
use podpool_core::slot::{Launch, OutputLimits, Program, Setup};
use podpool_core::task::Place;
use podpool_core::worker::frame::TaskTypeInfo;
use podpool_core::worker::state::Lookup;
use podpool_core::worker::{Conduct, Left, Order, Queues, Settings, Worker};
use tokio::sync::mpsc;

use super::{LEASE, PREFIX, control_queue, on_a_runtime, queue};

/// Set in the environment of a worker: its run and its number, with a colon between them.
const ROLE: &str = "PODPOOL_BENCHES_WORKER";

/// Slots of one worker.
const SLOTS: u32 = 1;

/// From a cancelled token to the kill.
const GRACE: Duration = Duration::from_secs(1);

/// From the start of a slot until it must be ready.
const START: Duration = Duration::from_secs(20);

/// Works until the run is over, if the environment says that this process is a worker. Returns whether it did; `main`
/// then ends.
///
/// # Errors
/// The queues cannot be opened, or the worker left for another reason than the end of its run.
pub fn serve_if_worker() -> anyhow::Result<bool> {
    let Some(role) = std::env::var_os(ROLE) else {
        return Ok(false);
    };
    let role = role.to_str().and_then(|role| role.split_once(':'));
    let (run, index) = role.context("a worker without its run and number")?;
    on_a_runtime(serve(RunId::new(run)?, index.parse()?))?;
    Ok(true)
}

async fn serve(run: RunId, index: u32) -> anyhow::Result<()> {
    let connection = Connection::builder().open()?;
    let names = RunNames::own(PREFIX, &run)?;
    let queues = Queues {
        tasks: queue(&connection, &names.tasks())?,
        results: queue(&connection, &names.results())?,
        control: control_queue(&connection, &names, index)?,
    };
    let place = Place {
        run: run.clone(),
        worker: format!("worker-{index}").into(),
        node: "here".into(),
    };
    let worker = Worker {
        settings: Settings {
            run,
            worker: WorkerId::random(),
            mac_key: MacKey::Absent,
            slots: SLOTS,
            max_tasks_per_slot: None,
            grace: GRACE,
            start_timeout: START,
            message_bytes: queues.results.limits().message_bytes,
            shared_memory: None,
            types: None,
        },
        launch: Launch {
            program: Program::this_executable()?,
            env: Vec::new(),
            setup: Setup {
                place,
                initializer: None,
                memory_limit: None,
            },
            output: OutputLimits::default(),
        },
        class: ClassId::DEFAULT,
        queues,
        lookup: Arc::new(Known),
        output: Arc::new(|_| {}),
        build: env!("CARGO_PKG_VERSION").to_owned(),
        conduct: Conduct::default(),
    };
    match worker.run(stop_with_stdin()).await? {
        Left::Ended | Left::Drained | Left::Stopped => Ok(()),
        left => bail!("the worker left: {left:?}"),
    }
}

/// The end of standard input is the end of the parent.
fn stop_with_stdin() -> mpsc::UnboundedReceiver<Order> {
    let (orders, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        // The end of the input and an error of the read both mean that the parent has ended.
        drop(std::io::stdin().read_to_end(&mut Vec::new()));
        orders.send(Order::Stop).ok();
    });
    receiver
}

/// The tasks of this program.
#[derive(Debug)]
struct Known;

impl Lookup for Known {
    fn look_up(&self, task_type: &TaskType) -> Result<TaskTypeInfo, Failure> {
        let registry = Registry::global().map_err(|error| rejected(&error))?;
        let spec = registry
            .find(&task_type.name)
            .map_err(|error| rejected(&error))?;
        Ok(TaskTypeInfo {
            index: spec.index.get().copied().unwrap_or(u32::MAX),
            ..TaskTypeInfo::UNKNOWN
        })
    }
}

fn rejected(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Cause::Rejected, error.to_string())
}

/// The workers of one run, which end when this is dropped.
#[derive(Debug)]
pub(super) struct Workers(Vec<Child>);

impl Workers {
    /// Starts so many.
    pub(super) fn start(program: &Path, run: &RunId, count: u32) -> anyhow::Result<Self> {
        let mut workers = Self(Vec::new());
        for index in 1..=count {
            let child = Command::new(program)
                .env(ROLE, format!("{run}:{index}"))
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .spawn();
            workers.0.push(child.context("cannot start a worker")?);
        }
        Ok(workers)
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // An error here means that the process has ended already, which is what the calls are for.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// The tasks' queue of a master whose tasks run in other processes: its own worker receives no message.
#[derive(Debug)]
pub(super) struct PutOnly(pub(super) Arc<PubSubQueue>);

#[async_trait]
impl Queue for PutOnly {
    async fn put(&self, messages: Vec<Bytes>) -> Vec<Result<(), QueueError>> {
        self.0.put(messages).await
    }

    async fn take(&self, _: usize, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
        tokio::time::sleep(wait).await;
        Ok(Vec::new())
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
        QueueLimits::remote(self.0.limits().message_bytes, LEASE)
    }
}
