//! The local back-end: memory queues, and a worker on the executor's own thread.

use std::fmt;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use podpool_core::envelope::MacKey;
use podpool_core::fleet::{FleetEvent, FleetOrder};
use podpool_core::panics::caught;
use podpool_core::queue::memory::MemoryQueue;
use podpool_core::queue::refusals::BROKER_TIMEOUT;
use podpool_core::queue::{Queue, QueueLimits};
use podpool_core::slot::{Program, Provision};
use podpool_core::worker::{Conduct, Left, Order, Queues, Worker};
use tokio::sync::mpsc;
use tracing::warn;

use crate::broker::run_payloads::Payloads;
use crate::client::builder::Isolation;
use crate::client::signals;
use crate::error::BuildError;
use crate::master::dispatch::{self, Dispatch, FleetHandle};
use crate::master::handle::Handle;
use crate::master::home::{Home, failed};
use crate::master::mailbox::Inbox;
use crate::master::measured::Measured;
use crate::master::settings::RunSettings;
use crate::worker::settings::Site;

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
    pub(crate) settings: RunSettings,
    pub(crate) isolation: Isolation,
    pub(crate) payloads: Payloads,
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local")
            .field("run", &self.settings.run)
            .field("slots", &self.settings.worker.slots)
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
        Isolation::Process => Provision::of_processes(local.settings.worker.slots),
        Isolation::InProcess => Provision::of_threads(local.settings.worker.slots),
    };
    local.settings.worker.slots = provision.slots();
    if let Some(shortfall) = provision.shortfall() {
        warn!("{shortfall}");
    }
    let home = Home::prepare(&local.settings, local.slots())?;
    if local.settings.signals {
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
    if let (Isolation::Process, Some(memory)) = (local.isolation, local.settings.worker.memory)
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
    let broker_timeout = local.settings.broker_timeout.unwrap_or(BROKER_TIMEOUT);
    let lines = local.settings.reporting.lines();
    let fleet = start_worker(local.worker(program, queues.clone()));
    Dispatch {
        settings,
        inbox,
        queues,
        fleet,
        broker: None,
        broker_timeout,
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
fn start_worker(worker: Result<Worker, String>) -> FleetHandle {
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
    worker: Result<Worker, String>,
    mut fleet_orders: mpsc::UnboundedReceiver<FleetOrder>,
) -> io::Result<Left> {
    let worker = worker.map_err(io::Error::other)?;
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
        let lease = self.settings.lease.unwrap_or(LEASE);
        let limits = QueueLimits::new(MESSAGE_BYTES, lease);
        let make = |name: &str| -> Arc<dyn Queue> {
            let queue = MemoryQueue::new(name, limits).with_renewing_takers();
            self.settings.decorated(name, Arc::new(queue))
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
            run: self.settings.run.clone(),
            mac_key: MacKey::Absent,
            seed: fastrand::u64(..),
            slots: self.slots(),
            message_bytes: limits.message_bytes,
            batches_out: match limits.remote {
                // A worker far from its queue pulls many at a time, or waits for each.
                true => usize::MAX,
                false => BATCHES_FOR_EACH_SLOT * self.slots(),
            },
            bytes_out: BYTES_OUT,
            lease: limits.lease,
            retries: self.settings.retries,
            epoch: 1,
            silence: None,
            workers: 1,
            remote: limits.remote,
            build: String::new(),
            same_build: false,
            elsewhere: false,
            control_pause: CONTROL_PAUSE,
            results_outlive: false,
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

    fn slots(&self) -> usize {
        self.settings.worker.slots as usize
    }

    /// The worker, or why this program cannot be one.
    fn worker(self, program: Program, queues: Queues) -> Result<Worker, String> {
        let RunSettings {
            run,
            reporting,
            broker_timeout,
            worker,
            ..
        } = self.settings;
        worker.worker(Site {
            run,
            worker: "local".into(),
            node: hostname(),
            program,
            mac_key: MacKey::Absent,
            queues,
            output: reporting.sink(),
            build: env!("CARGO_PKG_VERSION").to_owned(),
            conduct: Conduct {
                broker_timeout,
                ..Conduct::default()
            },
        })
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
