//! The fleet of one machine: a single worker, on the executor's own thread.

use std::io;
use std::pin::pin;
use std::sync::Arc;

use async_trait::async_trait;
use podpool_core::broker::ClassId;
use podpool_core::envelope::MacKey;
use podpool_core::fleet::{FleetEvent, FleetOrder};
use podpool_core::panics::caught;
use podpool_core::slot::{Program, Provision};
use podpool_core::worker::{Conduct, Left, Order, Worker};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tracing::warn;

use super::{Fleet, FleetRun, ReachedFleet};
use crate::error::BuildError;
#[cfg(unix)]
use crate::error::start::failed;
use crate::worker::settings::{Site, WorkerSettings};

/// A worker in this process.
pub(crate) struct LocalFleet {
    program: Program,
    /// The descriptors of the worker's slots, which count against the limit until this is dropped.
    provision: Provision,
}

impl LocalFleet {
    /// A worker whose slots are child processes. Sets the number of slots that the limits of this system allow.
    ///
    /// # Errors
    /// [`BuildError`]: this program's executable is not found, or its system cannot keep a memory limit or start slots.
    pub(crate) fn of_processes(worker: &mut WorkerSettings) -> Result<Self, BuildError> {
        let program = this_program()?;
        #[cfg(unix)]
        check_memory(worker)?;
        Ok(Self::provided(
            worker,
            program,
            Provision::of_processes(worker.slots),
        ))
    }

    /// A worker whose slots are threads of this process. Sets the number of slots that the limits of this system allow.
    pub(crate) fn of_threads(worker: &mut WorkerSettings) -> Self {
        let provision = Provision::of_threads(worker.slots);
        Self::provided(worker, Program::InProcess, provision)
    }

    fn provided(worker: &mut WorkerSettings, program: Program, provision: Provision) -> Self {
        worker.slots = provision.slots();
        if let Some(shortfall) = provision.shortfall() {
            warn!("{shortfall}");
        }
        Self { program, provision }
    }
}

#[async_trait]
impl Fleet for LocalFleet {
    fn classes(&self) -> Vec<(ClassId, String)> {
        let slots = self.provision.slots();
        let slots = match self.program {
            Program::InProcess => format!("{slots} threads of the master's process"),
            Program::Process { .. } => format!("{slots} processes of this program"),
        };
        vec![(ClassId::DEFAULT, slots)]
    }

    async fn reach(self: Box<Self>) -> Result<Box<dyn ReachedFleet>, BuildError> {
        Ok(self)
    }
}

#[async_trait]
impl ReachedFleet for LocalFleet {
    /// However the worker ends, the dispatcher is notified, with a reason if the worker ended by itself. The dispatcher
    /// decides whether an end was requested.
    async fn run(
        self: Box<Self>,
        run: FleetRun,
        orders: UnboundedReceiver<FleetOrder>,
        events: UnboundedSender<FleetEvent>,
    ) {
        let Self { program, provision } = *self;
        let left = caught("the local worker", run_worker(worker(run, program), orders)).await;
        // Only now: slots hold their descriptors until the worker has ended.
        drop(provision);
        // The dispatcher may have ended before.
        if let Some(reason) = reason(left) {
            events.send(FleetEvent::Broken(reason)).ok();
        }
        let leftovers = Vec::new();
        events.send(FleetEvent::Ended { leftovers }).ok();
    }
}

/// Runs the worker until it ends, and translates the fleet's orders into the worker's.
async fn run_worker(
    worker: Result<Worker, String>,
    mut fleet_orders: UnboundedReceiver<FleetOrder>,
) -> io::Result<Left> {
    let worker = worker.map_err(io::Error::other)?;
    let (orders, worker_orders) = mpsc::unbounded_channel();
    let mut running = pin!(worker.run(worker_orders));
    // Once the channel of orders is closed, its `recv` returns None at once: without `open` the loop would never pause.
    let mut open = true;
    loop {
        // Not `biased`: the worker is polled often, and an order that waits for one turn is not late.
        tokio::select! {
            left = &mut running => return left,
            order = fleet_orders.recv(), if open => match order {
                Some(FleetOrder::Needed { .. } | FleetOrder::Missed(_) | FleetOrder::Present(_)) => {}
                // The control queue carries the end of the run too, but that queue may be the one that refuses every
                // call. A worker that has left needs no orders.
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

/// Why the worker ended by itself; none for an end that was requested.
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

/// The worker, or why this program cannot run one.
fn worker(run: FleetRun, program: Program) -> Result<Worker, String> {
    run.worker.worker(Site {
        run: run.run,
        worker: "local".into(),
        node: hostname(),
        program,
        mac_key: MacKey::Absent,
        queues: run.queues,
        output: run.output,
        class: ClassId::DEFAULT,
        build: env!("CARGO_PKG_VERSION").to_owned(),
        conduct: Conduct {
            broker_timeout: run.broker_timeout,
            ..Conduct::default()
        },
        types: None,
    })
}

/// Refuses a memory limit on a system that does not report the memory of a process.
#[cfg(unix)]
fn check_memory(worker: &WorkerSettings) -> Result<(), BuildError> {
    if let Some(memory) = worker.memory
        && !podpool_core::slot::memory_is_readable()
    {
        return Err(BuildError::Setting {
            name: "slot_memory".to_owned(),
            value: memory.to_string(),
            reason: "this system does not tell how much memory a process uses (/proc cannot be read), so no limit can \
                     be kept; leave it out"
                .to_owned(),
        });
    }
    Ok(())
}

#[cfg(unix)]
fn this_program() -> Result<Program, BuildError> {
    Program::this_executable().map_err(failed("find the program's own executable"))
}

/// The error of a system without slots as processes.
#[cfg(not(unix))]
fn this_program() -> Result<Program, BuildError> {
    Err(BuildError::Setting {
        name: "LocalOptions::isolation".to_owned(),
        value: "Process".to_owned(),
        reason: podpool_core::slot::StartError::NoProcesses.to_string(),
    })
}

/// The host's name, for people.
#[cfg(unix)]
pub(super) fn hostname() -> Arc<str> {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into()
}

/// The host's name, for people.
#[cfg(not(unix))]
fn hostname() -> Arc<str> {
    std::env::var("COMPUTERNAME").unwrap_or_default().into()
}
