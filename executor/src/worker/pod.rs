//! A worker in a process of its own, as a pod runs it.
//!
//! The worker takes no batch before it has verified the run's descriptor. Its exit code is read by the failure policy
//! of its Job: 0 it was drained or the run is over, 65 another shape or wire, 75 try again, 77 rights are missing, 78
//! it is set up wrongly, 143 it received SIGTERM.

mod termination_message;

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

use podpool_core::broker::ClassId;
use podpool_core::broker::openers::{self, WorkerFacts, WorkerQueues};
use podpool_core::envelope::{MacKey, VERSION};
use podpool_core::init::Role;
use podpool_core::registry::Registry;
use podpool_core::slot::{Program, Provision};
use podpool_core::worker::{Conduct, Left, Order, OutputSink, Queues};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::broker::register_openers;
use crate::broker::run_payloads::Payloads;
use crate::report::notices::Notices;
use crate::report::reporting::{Reporting, write_elsewhere};
use crate::variables;
#[cfg(feature = "kubernetes")]
use crate::worker::build_id;
use crate::worker::descriptor::Descriptor;
use crate::worker::settings::Site;

use self::termination_message::TerminationMessage;

/// Where the run's secret is mounted.
pub(crate) const RUN_DIR: &str = "PODPOOL_RUN_DIR";
/// The pod's name, its node, and the number and class of its cohort. Without a class it is the default one.
pub(crate) const POD: &str = "PODPOOL_POD";
pub(crate) const NODE: &str = "PODPOOL_NODE";
pub(crate) const COHORT: &str = "PODPOOL_COHORT";
pub(crate) const CLASS: &str = "PODPOOL_CLASS";
/// The file into which a worker process writes why it ended. A pod's container has one of its own.
pub(crate) const TERMINATION_MESSAGE: &str = "PODPOOL_TERMINATION_MESSAGE";
/// The pod's index in its Job; Kubernetes sets it.
/// <https://kubernetes.io/docs/concepts/workloads/controllers/job/#completion-mode>
pub(crate) const INDEX: &str = "JOB_COMPLETION_INDEX";

/// How long the first pull waits for the control message that acknowledges the greeting.
// The master sends control every 10 s at the latest, also where a change of it was lost.
const GREETING: Duration = Duration::from_secs(10);
/// How long the queues may refuse a worker that has never reached them, before the worker exits.
const REFUSAL: Duration = Duration::from_secs(60);

/// Why a worker cannot work, with its exit code.
struct Exit {
    code: i32,
    reason: String,
}

impl Exit {
    fn new(code: i32, reason: impl Display) -> Self {
        Self {
            code,
            reason: reason.to_string(),
        }
    }

    fn setup(reason: impl Display) -> Self {
        Self::new(78, reason)
    }
}

/// Runs the worker if this process is one, and never returns then.
pub(crate) fn run_if(role: Role) -> Role {
    if role == Role::Worker {
        live()
    }
    role
}

/// Runs the worker, and ends the process with the worker's exit code.
pub(crate) fn live() -> ! {
    // On a thread of its own: the caller may be inside a runtime already, and `block_on` panics there.
    let lived = std::thread::spawn(|| {
        let mut termination_message = TerminationMessage::open();
        // The pod's streams are pipes, whose reader may stop.
        let reporting = Reporting::begin(Notices::Auto, None, None);
        let reporting = reporting.map_err(|error| Exit::new(75, error));
        let ended = reporting.and_then(|reporting| {
            reporting.within(variables::report_unknown);
            let ended = reporting.within(|| work(&mut termination_message, &reporting));
            // Before the exit, which would cut off lines that still wait in the buffers.
            reporting.written().wait_here();
            ended
        });
        // The sentence replaces the running list: the worker has ended what it ran, and no task is charged.
        if let Err(refusal) = &ended {
            termination_message.say(&refusal.reason);
            write_elsewhere(&refusal.reason);
        }
        ended.unwrap_or_else(|refusal| refusal.code)
    });
    // A panic of the worker itself is its own exit code, which counts as a failure of the pod.
    exit(lived.join().unwrap_or(101))
}

#[expect(clippy::exit, reason = "the process was started for this alone")]
fn exit(code: i32) -> ! {
    std::process::exit(code)
}

/// Runs the worker until it exits; returns its exit code.
fn work(termination_message: &mut TerminationMessage, reporting: &Reporting) -> Result<i32, Exit> {
    let runtime = reporting
        .runtime()
        .map_err(|error| Exit::new(75, format!("the runtime cannot start: {error}")))?;
    // Before everything that may take time: see there.
    let terminate = handle_sigterm(&runtime)?;
    let (descriptor, key) = read_run(&run_dir()?)?;
    check(&descriptor)?;
    let (left, advice) = runtime.block_on(run(
        &descriptor,
        key,
        terminate,
        termination_message,
        reporting,
    ))?;
    // Only a pull may still be under way in the runtime, and its result is not needed. To drop the runtime would wait
    // for its blocking threads.
    runtime.shutdown_background();
    info!(?left, "the worker leaves");
    match left {
        Left::Terminated => Ok(143),
        Left::Refused(reason) => Err(Exit::new(77, reason)),
        Left::Unreachable(reason) => Err(Exit::new(75, reason)),
        Left::Unreached(reason) => Err(Exit::new(75, format!("{reason}; {advice}"))),
        Left::Unfit(reason) => {
            let reason = format!("its slots do not start: {reason}");
            Err(Exit::new(75, reason))
        }
        _ => {
            // With exit code 0 the list would only be misleading: nothing runs any more.
            termination_message.clear();
            Ok(0)
        }
    }
}

/// Receives SIGTERM from here on. The first process of a container ignores a signal without a handler: a pod that is
/// deleted before that stays for its whole grace. A signal that arrives before `recv` is called is kept.
/// <https://man7.org/linux/man-pages/man7/pid_namespaces.7.html>
fn handle_sigterm(runtime: &Runtime) -> Result<Signal, Exit> {
    let _entered = runtime.enter();
    signal(SignalKind::terminate())
        .map_err(|error| Exit::new(75, format!("SIGTERM cannot be handled: {error}")))
}

fn run_dir() -> Result<PathBuf, Exit> {
    let missing = || {
        Exit::setup(format!(
            "{RUN_DIR} is not set: a worker is started by its master's fleet"
        ))
    };
    std::env::var_os(RUN_DIR)
        .map(PathBuf::from)
        .ok_or_else(missing)
}

fn read_run(dir: &Path) -> Result<(Descriptor, [u8; 32]), Exit> {
    let read = |name: &str| {
        let path = dir.join(name);
        std::fs::read(&path)
            .map_err(|error| Exit::setup(format!("{} cannot be read: {error}", path.display())))
    };
    let key = <[u8; 32]>::try_from(read("key")?).map_err(|key| {
        Exit::setup(format!(
            "the run's key has {} bytes instead of 32",
            key.len()
        ))
    })?;
    let descriptor = Descriptor::open(&read("descriptor")?, &key)
        .map_err(|error| Exit::new(65, format!("the run's descriptor cannot be used: {error}")))?;
    Ok((descriptor, key))
}

/// Whether this program is the master's.
fn check(descriptor: &Descriptor) -> Result<(), Exit> {
    if descriptor.wire != VERSION {
        return Err(Exit::new(
            65,
            format!(
                "the master uses wire version {}, this worker {VERSION}; build both from the same release",
                descriptor.wire
            ),
        ));
    }
    let registry = Registry::global().map_err(Exit::setup)?;
    registry.trace().map_err(Exit::setup)?;
    let reshaped = descriptor.reshaped(&Descriptor::known_tasks());
    if reshaped.is_empty() {
        return Ok(());
    }
    Err(Exit::new(
        65,
        format!(
            "task {} has another shape in this image than in the master; build both from the same source",
            reshaped.join(", ")
        ),
    ))
}

/// Runs the worker; returns why it exited, and what a person can do where the worker never reached its queues.
async fn run(
    descriptor: &Descriptor,
    key: [u8; 32],
    mut terminate: Signal,
    termination_message: &mut TerminationMessage,
    reporting: &Reporting,
) -> Result<(Left, String), Exit> {
    let store = descriptor.payload_store.as_deref();
    let payloads = Payloads::open(store, &descriptor.run)
        .await
        .map_err(Exit::setup)?;
    let opened = open(descriptor).await?;
    let (orders, orders_rx) = mpsc::unbounded_channel();
    let grace = descriptor.termination;
    let listener = tokio::spawn(async move {
        // The task owns the sender and keeps the channel open: a worker whose channel of orders is closed stops.
        while terminate.recv().await.is_some() {
            info!(
                "SIGTERM: running tasks are requested to stop, the others are returned to the queue"
            );
            orders.send(Order::Terminate(grace)).ok();
        }
    });
    let advice = opened.advice.clone();
    let site = site(
        descriptor,
        key,
        (opened, &payloads),
        termination_message,
        reporting.sink(),
    )?;
    let worker = descriptor.worker.worker(site);
    let mut worker = worker.map_err(|reason| Exit::new(65, reason))?;
    let provision = Provision::of_processes(worker.settings.slots);
    worker.settings.slots = provision.slots();
    if let Some(shortfall) = provision.shortfall() {
        warn!("{shortfall}");
    }
    let left = worker.run(orders_rx).await;
    // Only now: to abort the task drops the sender.
    listener.abort();
    let left = left.map_err(|error| Exit::new(75, format!("the worker cannot run: {error}")))?;
    Ok((left, advice))
}

/// Opens the run's queues with the opener of their description.
async fn open(descriptor: &Descriptor) -> Result<WorkerQueues, Exit> {
    register_openers();
    let worker_facts = WorkerFacts {
        class: class(),
        // Kubernetes sets the index in each pod of an indexed Job; a replacement has the index of the pod before, and
        // so takes over its control subscription.
        place: number(COHORT).zip(number(INDEX)),
        lease: descriptor.lease,
    };
    let opener = openers::find(&descriptor.queues).map_err(Exit::setup)?;
    let opened = opener.open(&descriptor.queues.body, &worker_facts).await;
    opened.map_err(Exit::setup)
}

fn site(
    descriptor: &Descriptor,
    key: [u8; 32],
    (opened, payloads): (WorkerQueues, &Payloads),
    termination_message: &TerminationMessage,
    output: OutputSink,
) -> Result<Site, Exit> {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let mac_key = MacKey::Keyed(key);
    Ok(Site {
        run: descriptor.run.clone(),
        worker: variable(POD).into(),
        node: variable(NODE).into(),
        program: Program::this_executable().map_err(|error| Exit::new(75, error))?,
        queues: Queues {
            tasks: payloads.wrap(opened.tasks, mac_key.clone()),
            results: payloads.wrap(opened.results, mac_key.clone()),
            control: opened.control,
        },
        mac_key,
        output,
        class: class(),
        build: build(),
        conduct: Conduct {
            greeting: Some(GREETING),
            idle: Some(descriptor.idle),
            refusal: Some(REFUSAL),
            reach: Some(reach(descriptor.worker.start_timeout)),
            broker_timeout: None,
            running: termination_message.running_sink(),
            forward_output: true,
            queue_outlives: opened.outlive,
        },
        types: Some(descriptor.tasks.clone()),
    })
}

/// The class of this worker's cohort.
fn class() -> ClassId {
    number(CLASS).map_or(ClassId::DEFAULT, ClassId)
}

/// A number that this worker's fleet gave it.
fn number(variable: &str) -> Option<u32> {
    std::env::var(variable).ok()?.parse().ok()
}

/// The build of this program. A file that cannot be read gives an empty text, which equals no build: a master that
/// requires the same build refuses the worker.
#[cfg(feature = "kubernetes")]
fn build() -> String {
    build_id::of_this_program().unwrap_or_default()
}

/// Without the feature no master compares builds.
#[cfg(not(feature = "kubernetes"))]
const fn build() -> String {
    String::new()
}

/// How long a worker tries to reach its queues: five sixths of the start timeout. The master counts a worker that has
/// not greeted within the start timeout as failed. By then the cluster shows the worker's own reason, which takes a
/// second or two from the exit.
// At least 2 s are left for that, but never more than half of a short timeout.
fn reach(start_timeout: Duration) -> Duration {
    let told = (start_timeout / 6).max(Duration::from_secs(2));
    start_timeout - told.min(start_timeout / 2)
}
