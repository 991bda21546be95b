//! The cluster back-end: Pub/Sub carries tasks, results and control; the pods of a Kubernetes fleet are the workers.
//!
//! The topics are made before the executor's thread starts, so that wrong names, missing rights and a missing project
//! are errors of `build()`. Whatever the run made is removed when it ends, also when it could not start.

mod join;
mod parts;

use std::fmt;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use podpool_core::broker::BrokerEvent;
use podpool_core::envelope::{MacKey, VERSION};
use podpool_core::fleet::{FleetEvent, FleetOrder};
use podpool_core::notice;
use podpool_core::panics::caught;
use podpool_core::queue::Queue;
use podpool_core::queue::refusals::BROKER_TIMEOUT;
use podpool_core::worker::Queues;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::broker::pubsub::connect::connect;
use crate::broker::pubsub::control_queues::ControlQueues;
use crate::broker::pubsub::guard::Guard;
use crate::broker::pubsub::sweep::sweep;
use crate::broker::pubsub::{
    Admin, Connection, Made, Owner, PubSubQueue, QueueNames, RESULTS_LEASE, RunLabels, RunNames,
    Signs,
};
use crate::broker::run_payloads::Payloads;
use crate::broker::silent::SilentQueue;
use crate::client::at_exit;
use crate::client::builder::WorkerEmulator;
use crate::client::signals;
use crate::error::BuildError;
use crate::error::start::{chain, refused};
use crate::fleet::kubernetes::client;
use crate::fleet::kubernetes::fleet::{self, Fleet};
use crate::fleet::kubernetes::job::RunSecret;
use crate::fleet::kubernetes::spec::WorkerSpec;
use crate::master::dispatch::{self, Dispatch, FleetHandle};
use crate::master::handle::Handle;
use crate::master::home::{Home, failed};
use crate::master::mailbox::Inbox;
use crate::master::measured::Measured;
use crate::master::settings::RunSettings;
use crate::worker::descriptor::Descriptor;

use self::parts::{FLEET, GUARD, Parts};

/// How long a lease lasts by default: what a killed worker had comes back after it.
const LEASE: Duration = Duration::from_secs(60);
/// Shortest time between two changes of the control: at most five a second.
const CONTROL_PAUSE: Duration = Duration::from_millis(200);
/// How long what was made may take to go again where the rest could not be made.
const UNMAKE: Duration = Duration::from_secs(10);
/// Bytes of arguments that may be out, as a second copy beside the table's.
const BYTES_OUT: usize = 256 << 20;

/// A cluster executor's description, checked.
pub(crate) struct Cluster {
    pub(crate) settings: RunSettings,
    pub(crate) workers: u32,
    pub(crate) spec: WorkerSpec,
    pub(crate) project: Option<String>,
    /// Where workers find the emulator, unless their own environment says.
    pub(crate) worker_emulator: Option<WorkerEmulator>,
    pub(crate) names: RunNames,
    pub(crate) key: [u8; 32],
    pub(crate) epoch: u64,
    pub(crate) payload_store: Option<String>,
    pub(crate) build: String,
    pub(crate) same_build: bool,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("run", &self.settings.run)
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
    met: Met,
    signs: Signs,
    /// The tasks' queue, where it outlives the run.
    given: Option<PubSubQueue>,
    secret: RunSecret,
    payloads: Payloads,
    place: client::Cluster,
}

/// The run as its messages name it, and other runs that are met.
type Met = (Owner, mpsc::UnboundedReceiver<Owner>);

/// Starts the executor's thread, which makes the run's queues before anything is submitted.
///
/// Everything that speaks to a service lives on that thread's runtime: the caller's may be busy or absent.
pub(crate) async fn start(cluster: Cluster) -> Result<Handle, BuildError> {
    let home = Home::prepare(&cluster.settings, cluster.slots())?;
    let (mailbox, heard) = (home.mailbox(), cluster.settings.signals);
    let present = at_exit::begin(&mailbox);
    let (ready, prepared) = oneshot::channel();
    let handle = home.start(move |inbox, measured| async move {
        live(cluster, ready, inbox, measured).await;
        drop(present);
    })?;
    // Before anything is made: a signal in between is the dispatcher's first command, and the run is removed.
    if heard {
        signals::watch(&mailbox).map_err(failed("start the thread that hears Ctrl-C"))?;
        signals::watch_termination(&mailbox)
            .map_err(failed("start the thread that hears SIGTERM"))?;
    }
    let gone = || io::Error::other("the executor's thread ended");
    prepared
        .await
        .map_err(|_| failed("prepare the run")(gone()))??;
    Ok(handle)
}

/// The life of the executor's thread.
async fn live(
    cluster: Cluster,
    ready: oneshot::Sender<Result<(), BuildError>>,
    inbox: Inbox,
    measured: Arc<Measured>,
) {
    let mut preparing = pin!(cluster.prepare());
    let prepared = tokio::select! {
        prepared = &mut preparing => prepared,
        () = inbox.commanded() => {
            // What it makes is made whole, so that it can be removed whole.
            if inbox.signal().is_some() {
                notice::trouble("interrupted while the run is made; it is removed as soon as it is");
            }
            preparing.await
        }
    };
    let prepared = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            // Whoever built may have lost interest.
            ready.send(Err(error)).ok();
            return;
        }
    };
    if ready.send(Ok(())).is_err() {
        // Nobody has a handle: what was made goes again. What stays has a deadline, and `gc::remove` removes it.
        prepared.cohorts.delete_run().await;
        return;
    }
    run(prepared, inbox, measured).await;
}

impl Cluster {
    fn lease(&self) -> Duration {
        self.settings.lease.unwrap_or(LEASE)
    }

    async fn prepare(self) -> Result<Prepared, BuildError> {
        if let Some(emulator) = &self.worker_emulator {
            emulator.check().await?;
        }
        let place = client::Cluster::connect(self.spec.namespace.as_deref())
            .await
            .map_err(chain)
            .map_err(refused("reach the Kubernetes cluster"))?;
        let payloads = Payloads::open(self.payload_store.as_deref(), &self.settings.run).await?;
        let (connection, admin) = connect(self.project.as_deref()).await?;
        let labels = self.labels();
        let ack_deadlines = self.make_names(&admin, &labels).await?;
        let (made, signs) = (self.made(&labels), Signs::default());
        let own = Owner::new(self.settings.run.clone(), labels.created);
        let names = self.names.clone();
        let cohorts = ControlQueues::new(admin, names, labels, made, self.lease(), signs.clone());
        let joined = self.join(&connection, &payloads, ack_deadlines, own, &signs);
        let joined = match joined.await {
            Ok(joined) => joined,
            Err(error) => {
                // What stays has a deadline.
                cohorts.delete_run().await;
                return Err(error);
            }
        };
        Ok(Prepared {
            cluster: self,
            queues: joined.queues,
            cohorts: Arc::new(cohorts),
            met: joined.met,
            signs,
            given: joined.given,
            secret: joined.secret,
            payloads,
            place,
        })
    }

    /// Makes the run's topics and subscriptions, or sees that given ones can be used. Tells the ack deadlines of those of
    /// tasks and results.
    async fn make_names(
        &self,
        admin: &Admin,
        labels: &RunLabels,
    ) -> Result<(Option<Duration>, Option<Duration>), BuildError> {
        if !self.names.are_own() {
            let fitness = admin.check(&self.names).await;
            let fitness = fitness
                .map_err(chain)
                .map_err(refused("use the given topics and subscriptions"))?;
            let (tasks, results) = (fitness.tasks_ack_deadline, fitness.results_ack_deadline);
            return Ok((Some(tasks), Some(results)));
        }
        let made = admin.create(&self.names, labels, self.lease()).await;
        if let Err(error) = made {
            // A service that has gone meanwhile does not hold the error up; what stays has a deadline.
            let own = self.made(labels);
            let deleting = admin.delete_made(&self.names, &own);
            timeout(UNMAKE, deleting).await.ok();
            let what = format!("make the topics of run {}", self.settings.run);
            return Err(refused(what)(chain(error)));
        }
        let lease = self.lease();
        Ok((Some(lease), Some(lease.min(RESULTS_LEASE))))
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "labels tell people and `gc`, days later, when a run began"
    )]
    fn labels(&self) -> RunLabels {
        let created = SystemTime::now();
        RunLabels {
            run: self.settings.run.clone(),
            name: self.settings.name.clone(),
            created,
            deadline: created + self.spec.run_deadline(),
        }
    }

    /// What is this run's to delete. A master that took a run over has what the first one made.
    fn made(&self, labels: &RunLabels) -> Made {
        Made {
            run: self.settings.run.clone(),
            created: (self.epoch == 1).then_some(labels.created),
        }
    }

    /// The queue of results is leased as its subscription leases: nobody chose that for their tasks.
    fn results_queue(
        &self,
        connection: &Connection,
        deadline: Option<Duration>,
    ) -> Result<PubSubQueue, BuildError> {
        let lease = deadline.unwrap_or(RESULTS_LEASE);
        self.queue(connection, &self.names.results(), (lease, deadline))
    }

    fn queue(
        &self,
        connection: &Connection,
        names: &QueueNames,
        (lease, deadline): (Duration, Option<Duration>),
    ) -> Result<PubSubQueue, BuildError> {
        let queue = PubSubQueue::new(connection, names, lease, deadline);
        queue.map_err(|error| BuildError::Setting {
            name: "lease".to_owned(),
            value: format!("{lease:?}"),
            reason: error.to_string(),
        })
    }

    fn queues(
        &self,
        connection: &Connection,
        payloads: &Payloads,
        results: Option<Duration>,
        side: impl Fn(PubSubQueue) -> PubSubQueue,
    ) -> Result<Queues, BuildError> {
        let lease = self.lease();
        let open = |names| -> Result<Arc<dyn Queue>, BuildError> {
            let queue = self.queue(connection, &names, (lease, None))?;
            Ok(Arc::new(side(queue)))
        };
        let decorate = |name: &str, queue| self.settings.decorated(name, queue);
        let wrap = |queue| payloads.wrap(queue, MacKey::Keyed(self.key));
        let control = match self.names.control() {
            Some(names) => open(names)?,
            None => Arc::new(SilentQueue::new(lease)),
        };
        let results = Arc::new(side(self.results_queue(connection, results)?));
        Ok(Queues {
            tasks: wrap(decorate("tasks", open(self.names.tasks())?)),
            results: wrap(decorate("results", results)),
            control: decorate("control", control),
        })
    }

    fn descriptor(
        &self,
        project: &str,
        ack_deadline: Option<Duration>,
        owner: Option<Owner>,
    ) -> Descriptor {
        Descriptor {
            run: self.settings.run.clone(),
            project: project.to_owned(),
            emulator: self.worker_emulator.as_ref().map(|it| it.host.clone()),
            names: self.names.clone(),
            owner,
            wire: VERSION,
            lease: self.lease(),
            ack_deadline,
            termination: self.spec.grace_time(),
            idle: self.spec.idle_time(),
            worker: self.settings.worker.clone(),
            payload_store: self.payload_store.clone(),
            tasks: Descriptor::known_tasks(),
            build: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    fn slots(&self) -> usize {
        self.workers as usize * self.settings.worker.slots as usize
    }

    fn dispatch_settings(&self, queues: &Queues, results_outlive: bool) -> dispatch::Settings {
        let limits = queues.tasks.limits();
        dispatch::Settings {
            run: self.settings.run.clone(),
            mac_key: MacKey::Keyed(self.key),
            seed: fastrand::u64(..),
            slots: self.slots(),
            message_bytes: limits.message_bytes,
            batches_out: usize::MAX,
            bytes_out: BYTES_OUT,
            lease: limits.lease,
            retries: self.settings.retries,
            epoch: self.epoch,
            silence: Some(limits.lease),
            workers: self.workers as usize,
            remote: limits.remote,
            build: self.build.clone(),
            same_build: self.same_build,
            elsewhere: true,
            control_pause: CONTROL_PAUSE,
            results_outlive,
        }
    }
}

/// The fleet beside the dispatcher.
async fn run(prepared: Prepared, inbox: Inbox, measured: Arc<Measured>) {
    let Prepared {
        cluster,
        queues,
        cohorts,
        met,
        signs,
        given,
        secret,
        payloads,
        place,
    } = prepared;
    let results_outlive = given.is_some();
    let settings = cluster.dispatch_settings(&queues, results_outlive);
    let lease = settings.lease;
    let broker_timeout = cluster.settings.broker_timeout.unwrap_or(BROKER_TIMEOUT);
    let fleet = Fleet {
        run: cluster.settings.run,
        spec: cluster.spec,
        max_workers: cluster.workers,
        secret,
        cluster: place,
        cohorts: cohorts.clone(),
    };
    let (broker_tx, broker) = mpsc::unbounded_channel();
    let guard = Guard::new(cohorts.clone(), signs, lease, met, broker_tx.clone());
    Dispatch {
        settings,
        inbox,
        queues,
        fleet: start_fleet(fleet, cohorts, guard, given, broker_tx),
        broker: Some(broker),
        broker_timeout,
        payloads,
        printed: Some(cluster.settings.reporting.sink()),
        lines: Some(cluster.settings.reporting.lines()),
        measured,
    }
    .run()
    .await;
}

/// Runs the fleet with a guard of the run's queues beside it, and removes the queues when it has ended.
fn start_fleet(
    fleet: Fleet,
    cohorts: Arc<ControlQueues>,
    guard: Guard,
    given: Option<PubSubQueue>,
    broker: mpsc::UnboundedSender<BrokerEvent>,
) -> FleetHandle {
    let (orders, orders_rx) = mpsc::unbounded_channel();
    let (events_tx, events) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let work = FleetWork {
            fleet,
            cohorts,
            guard,
            given,
            events: events_tx.clone(),
            broker,
        };
        let ended = caught("the fleet's supervision", work.run(orders_rx)).await;
        let leftovers = ended.unwrap_or_else(|reason| {
            events_tx.send(FleetEvent::Broken(reason.clone())).ok();
            vec![reason]
        });
        // The dispatcher may have ended before.
        events_tx.send(FleetEvent::Ended { leftovers }).ok();
    });
    FleetHandle { orders, events }
}

/// A fleet, the guard of the run's queues beside it, and what is removed at the end.
struct FleetWork {
    fleet: Fleet,
    cohorts: Arc<ControlQueues>,
    guard: Guard,
    given: Option<PubSubQueue>,
    events: mpsc::UnboundedSender<FleetEvent>,
    broker: mpsc::UnboundedSender<BrokerEvent>,
}

impl FleetWork {
    /// Runs until the fleet has ended; tells what is left. A part that ends by itself breaks the pool, with its reason.
    async fn run(self, orders: mpsc::UnboundedReceiver<FleetOrder>) -> Vec<String> {
        let stop_guard = CancellationToken::new();
        let watching = caught(GUARD, self.guard.watch(stop_guard.clone()));
        let (fleet_orders, fleet_orders_rx) = mpsc::unbounded_channel();
        let (fleet_events_tx, fleet_events) = mpsc::unbounded_channel();
        let run = self.fleet.run.clone();
        let fleet = fleet::run(self.fleet, fleet_orders_rx, fleet_events_tx);
        let parts = Parts {
            run,
            guard: tokio::spawn(watching),
            stop_guard,
            fleet: tokio::spawn(caught(FLEET, fleet)),
            orders: fleet_orders,
            events: fleet_events,
        };
        let end = parts.attend(orders, &self.events, &self.broker).await;
        let mut leftovers = end.leftovers;
        if !end.abandoned {
            if let Some(given) = self.given.filter(|_| !end.met_others) {
                sweep(&given).await;
            }
            leftovers.extend(self.cohorts.delete_run().await);
        }
        leftovers
    }
}
