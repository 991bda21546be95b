//! The cluster back-end: Pub/Sub carries tasks, results and control; the pods of a Kubernetes fleet are the workers.
//!
//! The topics are made before the executor's thread starts, so that wrong names, missing rights and a missing project
//! are errors of `build()`. Whatever the run made is removed when it ends, also when it could not start.

mod cohorts;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use podpool_core::envelope::{PrintedLine, Seal, VERSION};
use podpool_core::fleet::{FleetEvent, FleetOrder};
use podpool_core::id::RunId;
use podpool_core::queue::Queue;
use podpool_core::registry::Registry;
use podpool_core::worker::Queues;
use tokio::sync::{mpsc, oneshot};

use crate::builder::QueueDecorator;
use crate::ctrl_c;
use crate::descriptor::Descriptor;
use crate::dispatch::{self, Dispatch, FleetHandle, PrintedSink};
use crate::error::BuildError;
use crate::executor::{Handle, PodPoolExecutor};
use crate::farewell;
use crate::kubernetes::client;
use crate::kubernetes::fleet::{self, Fleet};
use crate::kubernetes::job::RunSecret;
use crate::kubernetes::spec::WorkerSpec;
use crate::mailbox::{Inbox, Mailbox};
use crate::measured::Measured;
use crate::output;
use crate::pubsub::{Admin, Connection, PubSubQueue, RunLabels, RunNames};
use crate::run_payloads::Payloads;
use crate::silent::SilentQueue;

use self::cohorts::ControlQueues;

/// How long a lease lasts by default: what a killed worker had comes back after it.
const LEASE: Duration = Duration::from_secs(60);
/// Shortest time between two changes of the control: at most five a second.
const CONTROL_PAUSE: Duration = Duration::from_millis(200);
/// Bytes of arguments that may be out, as a second copy beside the table's.
const BYTES_OUT: usize = 256 << 20;

/// A cluster executor's description, checked.
pub(crate) struct Cluster {
    pub(crate) run: RunId,
    pub(crate) workers: u32,
    pub(crate) spec: WorkerSpec,
    pub(crate) project: Option<String>,
    pub(crate) names: RunNames,
    pub(crate) key: [u8; 32],
    pub(crate) epoch: u64,
    pub(crate) max_tasks_per_slot: Option<u64>,
    pub(crate) retries: Option<u32>,
    pub(crate) memory: Option<u64>,
    pub(crate) grace: Duration,
    pub(crate) lease: Option<Duration>,
    pub(crate) initializer: Option<(u32, Bytes)>,
    pub(crate) payload_store: Option<String>,
    pub(crate) ctrl_c: bool,
    pub(crate) decorator: Option<QueueDecorator>,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("run", &self.run)
            .field("workers", &self.workers)
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

/// What the executor's thread is given.
struct Prepared {
    cluster: Cluster,
    queues: Queues,
    cohorts: Arc<ControlQueues>,
    secret: RunSecret,
    payloads: Payloads,
    place: client::Cluster,
}

/// Starts the executor's thread, which makes the run's queues before anything is submitted.
///
/// Everything that speaks to a service lives on that thread's runtime: the caller's may be busy or absent.
pub(crate) async fn start(cluster: Cluster) -> Result<PodPoolExecutor, BuildError> {
    let (mailbox, inbox) = Mailbox::new();
    let tasks = Registry::global().map_or(0, Registry::len);
    let measured = Arc::new(Measured::new(tasks));
    let handle = Handle {
        mailbox: mailbox.clone(),
        measured: measured.clone(),
        run: cluster.run.clone(),
        slots: cluster.slots(),
    };
    let failed = |what: &str| {
        let what = what.to_owned();
        move |source| BuildError::Start { what, source }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed("start the executor's runtime"))?;
    let ctrl_c = cluster.ctrl_c;
    let (ready, prepared) = oneshot::channel();
    let present = farewell::begin(&mailbox);
    thread::Builder::new()
        .name("podpool".to_owned())
        .spawn(move || {
            runtime.block_on(live(cluster, ready, inbox, measured));
            drop(present);
        })
        .map_err(failed("start the executor's thread"))?;
    let gone = || BuildError::Start {
        what: "prepare the run".to_owned(),
        source: io::Error::other("the executor's thread ended"),
    };
    prepared.await.map_err(|_| gone())??;
    if ctrl_c {
        ctrl_c::watch(&mailbox).map_err(failed("start the thread that hears Ctrl-C"))?;
        ctrl_c::watch_termination(&mailbox)
            .map_err(failed("start the thread that hears SIGTERM"))?;
    }
    Ok(PodPoolExecutor::new(handle))
}

/// The life of the executor's thread.
async fn live(
    cluster: Cluster,
    ready: oneshot::Sender<Result<(), BuildError>>,
    inbox: Inbox,
    measured: Arc<Measured>,
) {
    let prepared = match cluster.prepare().await {
        Ok(prepared) => prepared,
        Err(error) => {
            // Whoever built may have lost interest.
            ready.send(Err(error)).ok();
            return;
        }
    };
    if ready.send(Ok(())).is_err() {
        // Nobody has a handle: what was made goes again. What stays has a deadline, and `gc` removes it.
        prepared.cohorts.delete_run().await;
        return;
    }
    run(prepared, inbox, measured).await;
}

fn refused(what: impl Into<String>) -> impl FnOnce(String) -> BuildError {
    let what = what.into();
    move |reason| BuildError::Start {
        what,
        source: io::Error::other(reason),
    }
}

fn chain(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

impl Cluster {
    fn lease(&self) -> Duration {
        self.lease.unwrap_or(LEASE)
    }

    async fn prepare(self) -> Result<Prepared, BuildError> {
        let place = client::Cluster::connect(self.spec.namespace.as_deref())
            .await
            .map_err(chain)
            .map_err(refused("reach the Kubernetes cluster"))?;
        let payloads = Payloads::open(self.payload_store.as_deref(), &self.run).await?;
        let mut builder = Connection::builder();
        if let Some(project) = &self.project {
            builder = builder.project(project);
        }
        let connection = builder
            .open()
            .map_err(chain)
            .map_err(refused("connect to Pub/Sub"))?;
        let admin = Admin::new(&connection)
            .await
            .map_err(chain)
            .map_err(refused("administer Pub/Sub"))?;
        let labels = self.labels();
        let ack_deadlines = if self.names.are_own() {
            let made = admin.create(&self.names, &labels, self.lease()).await;
            if let Err(error) = made {
                admin.delete_run(&self.names, &self.run).await;
                let what = format!("make the topics of run {}", self.run);
                return Err(refused(what)(chain(error)));
            }
            (Some(self.lease()), Some(self.lease()))
        } else {
            let fitness = admin
                .check(&self.names)
                .await
                .map_err(chain)
                .map_err(refused("use the given topics and subscriptions"))?;
            let (tasks, results) = (fitness.tasks_ack_deadline, fitness.results_ack_deadline);
            (Some(tasks), Some(results))
        };
        let queues = self.queues(&connection, &payloads, ack_deadlines)?;
        let descriptor = self.descriptor(connection.project(), ack_deadlines.0);
        let descriptor = descriptor
            .seal(&self.key)
            .map_err(chain)
            .map_err(refused("describe the run to its workers"))?;
        let secret = RunSecret {
            descriptor,
            key: self.key.to_vec(),
        };
        let (names, run) = (self.names.clone(), self.run.clone());
        let cohorts = ControlQueues::new(admin, names, labels, run, self.lease());
        Ok(Prepared {
            cluster: self,
            queues,
            cohorts: Arc::new(cohorts),
            secret,
            payloads,
            place,
        })
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "labels tell people and gc, days later, when a run began"
    )]
    fn labels(&self) -> RunLabels {
        let created = SystemTime::now();
        RunLabels {
            run: self.run.clone(),
            created,
            deadline: created + self.spec.run_deadline(),
        }
    }

    fn queues(
        &self,
        connection: &Connection,
        payloads: &Payloads,
        (_, results): (Option<Duration>, Option<Duration>),
    ) -> Result<Queues, BuildError> {
        let lease = self.lease();
        let open = |names, deadline| -> Result<Arc<dyn Queue>, BuildError> {
            let queue = PubSubQueue::new(connection, &names, lease, deadline);
            Ok(Arc::new(queue.map_err(|error| BuildError::Setting {
                name: "lease".to_owned(),
                value: format!("{lease:?}"),
                reason: error.to_string(),
            })?))
        };
        let decorate = |name: &str, queue| match &self.decorator {
            Some(decorate) => decorate(name, queue),
            None => queue,
        };
        let wrap = |queue| payloads.wrap(queue, Seal::Keyed(self.key));
        let control = match self.names.control() {
            Some(names) => open(names, None)?,
            None => Arc::new(SilentQueue::new(lease)),
        };
        let results = open(self.names.results(), results)?;
        Ok(Queues {
            tasks: wrap(decorate("tasks", open(self.names.tasks(), None)?)),
            results: wrap(decorate("results", results)),
            control: decorate("control", control),
        })
    }

    fn descriptor(&self, project: &str, ack_deadline: Option<Duration>) -> Descriptor {
        let registry = Registry::global().ok();
        let name = |index: u32| registry.and_then(|registry| Some(registry.get(index)?.name));
        let initializer = self.initializer.as_ref();
        Descriptor {
            run: self.run.clone(),
            project: project.to_owned(),
            names: self.names.clone(),
            wire: VERSION,
            lease: self.lease(),
            ack_deadline,
            grace: self.grace,
            termination: self.spec.grace_time(),
            idle: self.spec.idle_time(),
            slots: self.spec.slots(),
            max_tasks_per_slot: self.max_tasks_per_slot,
            memory: self.memory,
            initializer: initializer.and_then(|(index, arguments)| {
                Some((name(*index)?.to_owned(), arguments.to_vec()))
            }),
            payload_store: self.payload_store.clone(),
            tasks: Descriptor::known_tasks(),
            build: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    fn slots(&self) -> usize {
        self.workers as usize * self.spec.slots() as usize
    }

    fn dispatch_settings(&self, queues: &Queues) -> dispatch::Settings {
        let limits = queues.tasks.limits();
        dispatch::Settings {
            run: self.run.clone(),
            seal: Seal::Keyed(self.key),
            slots: self.slots(),
            message_bytes: limits.message_bytes,
            parcels_out: usize::MAX,
            bytes_out: BYTES_OUT,
            lease: limits.lease,
            retries: self.retries,
            epoch: self.epoch,
            silence: Some(limits.lease),
            out_of_memory: 1,
        }
    }
}

/// The fleet beside the dispatcher.
async fn run(prepared: Prepared, inbox: Inbox, measured: Arc<Measured>) {
    let Prepared {
        cluster,
        queues,
        cohorts,
        secret,
        payloads,
        place,
    } = prepared;
    let settings = cluster.dispatch_settings(&queues);
    let fleet = Fleet {
        run: cluster.run,
        spec: cluster.spec,
        max_workers: cluster.workers,
        secret,
        cluster: place,
        cohorts: cohorts.clone(),
    };
    let printed: PrintedSink = Arc::new(show);
    Dispatch {
        settings,
        inbox,
        queues,
        fleet: start_fleet(fleet, cohorts),
        payloads,
        control_pause: CONTROL_PAUSE,
        printed: Some(printed),
        measured,
    }
    .run()
    .await;
}

/// Runs the fleet, and removes the run's queues when it has ended.
fn start_fleet(fleet: Fleet, cohorts: Arc<ControlQueues>) -> FleetHandle {
    let (orders, mut orders_rx) = mpsc::unbounded_channel();
    let (events_tx, events) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let (fleet_orders, fleet_orders_rx) = mpsc::unbounded_channel();
        let (fleet_events_tx, mut fleet_events) = mpsc::unbounded_channel();
        tokio::spawn(fleet::run(fleet, fleet_orders_rx, fleet_events_tx));
        let (mut open, mut abandoned) = (true, false);
        let mut leftovers = loop {
            tokio::select! {
                order = orders_rx.recv(), if open => {
                    open = order.is_some();
                    abandoned |= order == Some(FleetOrder::Abandon);
                    // A fleet that has ended needs no orders.
                    fleet_orders.send(order.unwrap_or(FleetOrder::Stop)).ok();
                }
                event = fleet_events.recv() => match event {
                    Some(FleetEvent::Ended { leftovers }) => break leftovers,
                    // The dispatcher may have ended before.
                    Some(event) => drop(events_tx.send(event)),
                    None => break vec!["the fleet's loop ended early".to_owned()],
                },
            }
        };
        if !abandoned {
            leftovers.extend(cohorts.delete_run().await);
        }
        events_tx.send(FleetEvent::Ended { leftovers }).ok();
    });
    FleetHandle { orders, events }
}

/// A line that a task printed in a pod, with pod and task in front.
fn show(worker: &str, task: Option<&'static str>, line: &PrintedLine) {
    output::pass_on_remote(worker, task, line);
}
