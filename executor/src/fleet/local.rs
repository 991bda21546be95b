//! The local back-end: memory queues, and a worker on the executor's own thread.

use std::fmt;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use podpool_core::envelope::MacKey;
use podpool_core::fleet::{FleetEvent, FleetOrder};
use podpool_core::id::{RunId, RunName, WorkerId};
use podpool_core::panics::caught;
use podpool_core::queue::memory::MemoryQueue;
use podpool_core::queue::refusals::BROKER_TIMEOUT;
use podpool_core::queue::{Queue, QueueLimits};
use podpool_core::slot::{Launch, OutputLimits, Program, Provision, Setup};
use podpool_core::task::Place;
use podpool_core::worker::{self, Conduct, Left, Order, Queues, Worker};
use tokio::sync::mpsc;
use tracing::warn;

use crate::broker::run_payloads::Payloads;
use crate::client::builder::{Isolation, QueueDecorator};
use crate::client::signals;
use crate::error::BuildError;
use crate::master::dispatch::{self, Dispatch, FleetHandle};
use crate::master::handle::Handle;
use crate::master::home::{Home, failed};
use crate::master::mailbox::Inbox;
use crate::master::measured::Measured;
use crate::report::reporting::Reporting;
use crate::worker::known::KnownTasks;

/// How long a local lease lasts: it only matters when this process is suspended.
const LEASE: Duration = Duration::from_secs(60);
/// Shortest time between two changes of the control.
const CONTROL_PAUSE: Duration = Duration::from_millis(20);
/// Largest message in memory: what an entry's length can say.
const MESSAGE_BYTES: usize = u32::MAX as usize;
/// Batches for each slot that may be out: enough to keep slots busy, few enough to reorder and to cancel.
const BATCHES_FOR_EACH_SLOT: usize = 4;
/// Bytes of arguments that may be out; those of short ones are a second copy beside the table's.
const BYTES_OUT: usize = 64 << 20;

/// A local executor's description, checked.
pub(crate) struct Local {
    pub(crate) run: RunId,
    pub(crate) name: Option<RunName>,
    pub(crate) slots: u32,
    pub(crate) isolation: Isolation,
    pub(crate) max_tasks_per_slot: Option<u64>,
    pub(crate) retries: Option<u32>,
    pub(crate) memory: Option<u64>,
    pub(crate) output_limits: OutputLimits,
    pub(crate) grace: Duration,
    pub(crate) start_timeout: Duration,
    pub(crate) lease: Option<Duration>,
    pub(crate) initializer: Option<(u32, Bytes)>,
    pub(crate) reporting: Reporting,
    pub(crate) signals: bool,
    pub(crate) payloads: Payloads,
    pub(crate) decorator: Option<QueueDecorator>,
    pub(crate) broker_timeout: Option<Duration>,
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local")
            .field("run", &self.run)
            .field("slots", &self.slots)
            .field("isolation", &self.isolation)
            .finish_non_exhaustive()
    }
}

/// Starts the executor's thread.
pub(crate) fn start(mut local: Local) -> Result<Handle, BuildError> {
    let program = local.program()?;
    #[cfg(unix)]
    check_memory(&local)?;
    let provision = match local.isolation {
        Isolation::Process => Provision::of_processes(local.slots),
        Isolation::InProcess => Provision::of_threads(local.slots),
    };
    local.slots = provision.slots();
    if let Some(shortfall) = provision.shortfall() {
        warn!("{shortfall}");
    }
    let home = Home::prepare(
        &local.run,
        local.name.as_ref(),
        local.slots as usize,
        local.reporting.clone(),
    )?;
    if local.signals {
        signals::watch(&home.mailbox()).map_err(failed("start the thread that hears Ctrl-C"))?;
    }
    home.start(move |inbox, measured| async move {
        run(local, program, inbox, measured).await;
        drop(provision);
    })
}

/// Refuses a limit that nobody can keep.
#[cfg(unix)]
fn check_memory(local: &Local) -> Result<(), BuildError> {
    if let (Isolation::Process, Some(memory)) = (local.isolation, local.memory)
        && !podpool_core::slot::memory_is_told()
    {
        return Err(BuildError::Setting {
            name: "memory".to_owned(),
            value: memory.to_string(),
            reason: "this system does not tell how much memory a process uses (/proc cannot be read), so no limit can \
                     be kept; leave it out"
                .to_owned(),
        });
    }
    Ok(())
}

/// The life of the executor's thread: the worker beside the dispatcher.
async fn run(local: Local, program: Program, inbox: Inbox, measured: Arc<Measured>) {
    let queues = local.queues();
    let settings = local.dispatch_settings(&queues);
    let payloads = local.payloads.clone();
    let broker_timeout = local.broker_timeout.unwrap_or(BROKER_TIMEOUT);
    let lines = local.reporting.lines();
    let fleet = start_worker(local.worker(program, queues.clone()));
    Dispatch {
        settings,
        inbox,
        queues,
        fleet,
        results_outlive: false,
        broker_timeout,
        control_pause: CONTROL_PAUSE,
        printed: None,
        lines: Some(lines),
        measured,
        payloads,
    }
    .run()
    .await;
}

/// Runs a worker beside the dispatcher: a fleet of one. However it ends, the dispatcher is told, and why if nobody asked
/// for it: whether it was asked for is the dispatcher's to know.
fn start_worker(worker: Worker) -> FleetHandle {
    let (orders, fleet_orders) = mpsc::unbounded_channel();
    let (fleet_events, events) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let left = caught("the local worker", run_worker(worker, fleet_orders)).await;
        // The dispatcher may have ended before.
        if let Some(reason) = reason(left) {
            fleet_events.send(FleetEvent::Broken(reason)).ok();
        }
        let leftovers = Vec::new();
        fleet_events.send(FleetEvent::Ended { leftovers }).ok();
    });
    FleetHandle { orders, events }
}

/// The worker's life; the fleet's orders become its own.
async fn run_worker(
    worker: Worker,
    mut fleet_orders: mpsc::UnboundedReceiver<FleetOrder>,
) -> io::Result<Left> {
    let (orders, worker_orders) = mpsc::unbounded_channel();
    let mut running = pin!(worker.run(worker_orders));
    let mut open = true;
    loop {
        tokio::select! {
            left = &mut running => return left,
            order = fleet_orders.recv(), if open => match order {
                Some(FleetOrder::Needed { .. } | FleetOrder::Silent(_) | FleetOrder::Heard(_)) => {}
                // The control queue says it too, and may be the one that refuses everything. A worker that has left
                // needs no orders.
                Some(FleetOrder::End) => {
                    orders.send(Order::Drain).ok();
                }
                order => {
                    open = order.is_some();
                    orders.send(Order::Stop).ok();
                }
            },
        }
    }
}

/// Why the worker ended by itself, if it says so.
fn reason(left: Result<io::Result<Left>, String>) -> Option<String> {
    match left {
        Ok(Ok(
            Left::Unreachable(reason)
            | Left::Unreached(reason)
            | Left::Refused(reason)
            | Left::Unfit(reason),
        )) => Some(reason),
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(format!("the local worker cannot run: {error}")),
        Err(panicked) => Some(panicked),
    }
}

impl Local {
    fn queues(&self) -> Queues {
        let limits = QueueLimits::new(MESSAGE_BYTES, self.lease.unwrap_or(LEASE));
        let make = |name: &str| -> Arc<dyn Queue> {
            let queue: Arc<dyn Queue> =
                Arc::new(MemoryQueue::new(name, limits).with_renewing_takers());
            match &self.decorator {
                Some(decorate) => decorate(name, queue),
                None => queue,
            }
        };
        Queues {
            tasks: self.payloads.wrap(make("tasks"), MacKey::Absent),
            results: self.payloads.wrap(make("results"), MacKey::Absent),
            control: make("control"),
        }
    }

    fn dispatch_settings(&self, queues: &Queues) -> dispatch::Settings {
        let limits = queues.tasks.limits();
        dispatch::Settings {
            run: self.run.clone(),
            mac_key: MacKey::Absent,
            slots: self.slots as usize,
            message_bytes: limits.message_bytes,
            batches_out: match limits.remote {
                // A worker far from its queue pulls many at a time, or waits for each.
                true => usize::MAX,
                false => BATCHES_FOR_EACH_SLOT * self.slots as usize,
            },
            bytes_out: BYTES_OUT,
            lease: limits.lease,
            retries: self.retries,
            epoch: 1,
            silence: None,
            workers: 1,
            remote: limits.remote,
            out_of_memory: 1,
            build: String::new(),
            same_build: false,
        }
    }

    fn program(&self) -> Result<Program, BuildError> {
        match self.isolation {
            Isolation::InProcess => Ok(Program::InProcess),
            #[cfg(unix)]
            Isolation::Process => Program::this_executable().map_err(|error| BuildError::Start {
                what: "find the program's own executable".to_owned(),
                source: io::Error::other(error),
            }),
            #[cfg(not(unix))]
            Isolation::Process => Err(no_processes()),
        }
    }

    fn worker(self, program: Program, queues: Queues) -> Worker {
        let place = Place {
            run: self.run.clone(),
            worker: "local".into(),
            node: hostname(),
        };
        Worker {
            settings: worker::Settings {
                run: self.run,
                worker: WorkerId::random(),
                mac_key: MacKey::Absent,
                slots: self.slots,
                max_tasks_per_slot: self.max_tasks_per_slot,
                grace: self.grace,
                start_timeout: self.start_timeout,
                message_bytes: queues.results.limits().message_bytes,
            },
            launch: Launch {
                program,
                env: Vec::new(),
                setup: Setup {
                    place,
                    initializer: self.initializer,
                    memory_limit: self.memory,
                },
                output: self.output_limits,
            },
            queues,
            lookup: Arc::new(KnownTasks),
            output: self.reporting.sink(),
            build: env!("CARGO_PKG_VERSION").to_owned(),
            conduct: Conduct {
                broker_timeout: self.broker_timeout,
                ..Conduct::default()
            },
        }
    }
}

/// The host's name, for people.
#[cfg(unix)]
fn hostname() -> Arc<str> {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into()
}

/// The host's name, for people.
#[cfg(not(unix))]
fn hostname() -> Arc<str> {
    std::env::var("COMPUTERNAME").unwrap_or_default().into()
}

/// What this system cannot do.
#[cfg(not(unix))]
fn no_processes() -> BuildError {
    BuildError::Setting {
        name: "isolation".to_owned(),
        value: "Process".to_owned(),
        reason: podpool_core::slot::StartError::NoProcesses.to_string(),
    }
}
