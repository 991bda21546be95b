//! A worker in a process of its own: what a pod runs.
//!
//! It takes nothing before it has verified the run's descriptor. Its exit code is a word to Kubernetes: 0 it was
//! drained or the run is over, 65 another shape or wire, 75 try again, 77 rights are missing, 78 it is set up wrongly,
//! 143 it was told to end.

mod last_words;
mod other_runs;
mod vanished;
mod way;

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use podpool_core::envelope::{MacKey, VERSION};
use podpool_core::init::Role;
use podpool_core::queue::Queue;
use podpool_core::registry::Registry;
use podpool_core::slot::{Program, Provision};
use podpool_core::worker::{Conduct, Left, Order, OutputSink, Queues, Worker};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::broker::pubsub::{Ownership, PubSubQueue, Signs};
use crate::broker::run_payloads::Payloads;
use crate::report::notices::Notices;
use crate::report::reporting::{Reporting, write_elsewhere};
use crate::variables;
use crate::worker::build_id;
use crate::worker::descriptor::Descriptor;
use crate::worker::settings::Site;

use self::last_words::LastWords;

/// Where the run's secret is mounted.
pub(crate) const RUN_DIR: &str = "PODPOOL_RUN_DIR";
/// The pod's name, its node, and the number of its cohort.
const POD: &str = "PODPOOL_POD";
const NODE: &str = "PODPOOL_NODE";
const COHORT: &str = "PODPOOL_COHORT";
/// The pod's index in its Job; Kubernetes sets it.
/// <https://kubernetes.io/docs/concepts/workloads/controllers/job/#completion-mode>
const INDEX: &str = "JOB_COMPLETION_INDEX";

/// How long the first pull waits for the master to have heard the greeting.
const GREETING: Duration = Duration::from_secs(10);
/// How long a worker that was never served is refused before it leaves.
const REFUSAL: Duration = Duration::from_secs(60);

/// Why a worker cannot work, with its exit code.
struct Refusal {
    code: i32,
    reason: String,
}

impl Refusal {
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

/// Lives as a worker if this process is one, and never returns then.
pub(crate) fn live_if(role: Role) -> Role {
    if role == Role::Worker {
        live()
    }
    role
}

fn live() -> ! {
    // A runtime may be running here already, in which nothing may block.
    let lived = std::thread::spawn(|| {
        let mut last_words = LastWords::open();
        // The pod's streams are pipes, whose reader may stop.
        let reporting = Reporting::begin(Notices::Auto, None, None);
        let reporting = reporting.map_err(|error| Refusal::new(75, error));
        let ended = reporting.and_then(|reporting| {
            reporting.within(variables::tell_unknown);
            let ended = reporting.within(|| work(&mut last_words, &reporting));
            reporting.written().wait_here();
            ended
        });
        if let Err(refusal) = &ended {
            last_words.say(&refusal.reason);
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

/// Works until the worker leaves; returns its exit code.
fn work(last_words: &mut LastWords, reporting: &Reporting) -> Result<i32, Refusal> {
    let runtime = reporting
        .runtime()
        .map_err(|error| Refusal::new(75, format!("the runtime cannot start: {error}")))?;
    let terminate = hear_sigterm(&runtime)?;
    let (descriptor, key) = read_run(&run_dir()?)?;
    check(&descriptor)?;
    let left = runtime.block_on(run(&descriptor, key, terminate, last_words, reporting))?;
    // What waits in the runtime is a pull that nobody needs.
    runtime.shutdown_background();
    info!(?left, "the worker leaves");
    match left {
        Left::Terminated => Ok(143),
        Left::Refused(reason) => Err(Refusal::new(77, reason)),
        Left::Unreachable(reason) => Err(Refusal::new(75, reason)),
        Left::Unreached(reason) => {
            let advice = way::advice(descriptor.emulator.as_deref());
            Err(Refusal::new(75, format!("{reason}; {advice}")))
        }
        Left::Unfit(reason) => {
            let reason = format!("its slots do not start: {reason}");
            Err(Refusal::new(75, reason))
        }
        _ => {
            last_words.clear();
            Ok(0)
        }
    }
}

/// Hears SIGTERM from here on. The first process of a container ignores what it does not hear: a pod that is deleted
/// before that stays for its whole grace. What comes before somebody listens is kept.
fn hear_sigterm(runtime: &Runtime) -> Result<Signal, Refusal> {
    let _entered = runtime.enter();
    signal(SignalKind::terminate())
        .map_err(|error| Refusal::new(75, format!("SIGTERM cannot be heard: {error}")))
}

fn run_dir() -> Result<PathBuf, Refusal> {
    let missing = || {
        Refusal::setup(format!(
            "{RUN_DIR} is not set: a worker is started by its master's fleet"
        ))
    };
    std::env::var_os(RUN_DIR)
        .map(PathBuf::from)
        .ok_or_else(missing)
}

fn read_run(dir: &Path) -> Result<(Descriptor, [u8; 32]), Refusal> {
    let read = |name: &str| {
        let path = dir.join(name);
        std::fs::read(&path)
            .map_err(|error| Refusal::setup(format!("{} cannot be read: {error}", path.display())))
    };
    let key = <[u8; 32]>::try_from(read("key")?).map_err(|key| {
        Refusal::setup(format!(
            "the run's key has {} bytes instead of 32",
            key.len()
        ))
    })?;
    let descriptor = Descriptor::open(&read("descriptor")?, &key).map_err(|error| {
        Refusal::new(65, format!("the run's descriptor cannot be used: {error}"))
    })?;
    Ok((descriptor, key))
}

/// Whether this program is the master's.
fn check(descriptor: &Descriptor) -> Result<(), Refusal> {
    if descriptor.wire != VERSION {
        return Err(Refusal::new(
            65,
            format!(
                "the master speaks wire version {}, this worker {VERSION}; build both from the same release",
                descriptor.wire
            ),
        ));
    }
    let registry = Registry::global().map_err(Refusal::setup)?;
    registry.trace().map_err(Refusal::setup)?;
    let reshaped = descriptor.reshaped(&Descriptor::known_tasks());
    if reshaped.is_empty() {
        return Ok(());
    }
    Err(Refusal::new(
        65,
        format!(
            "task {} has another shape in this image than in the master; build both from the same source",
            reshaped.join(", ")
        ),
    ))
}

async fn run(
    descriptor: &Descriptor,
    key: [u8; 32],
    mut terminate: Signal,
    last_words: &mut LastWords,
    reporting: &Reporting,
) -> Result<Left, Refusal> {
    let store = descriptor.payload_store.as_deref();
    let payloads = Payloads::open(store, &descriptor.run)
        .await
        .map_err(Refusal::setup)?;
    let queues = queues(descriptor, &payloads, &MacKey::Keyed(key))?;
    let (orders, orders_rx) = mpsc::unbounded_channel();
    let grace = descriptor.termination;
    let listener = tokio::spawn(async move {
        // The channel is kept open: a worker without anybody to give orders stops.
        while terminate.recv().await.is_some() {
            info!("SIGTERM: what runs is asked to stop, the rest is given back");
            orders.send(Order::Terminate(grace)).ok();
        }
    });
    let mut worker = worker(descriptor, key, queues, last_words, reporting.sink())?;
    let provision = Provision::of_processes(worker.settings.slots);
    worker.settings.slots = provision.slots();
    if let Some(shortfall) = provision.shortfall() {
        warn!("{shortfall}");
    }
    let left = worker.run(orders_rx).await;
    listener.abort();
    left.map_err(|error| Refusal::new(75, format!("the worker cannot run: {error}")))
}

fn queues(
    descriptor: &Descriptor,
    payloads: &Payloads,
    mac_key: &MacKey,
) -> Result<Queues, Refusal> {
    let connection = way::connection(&descriptor.project, descriptor.emulator.as_deref());
    let connection = connection.map_err(Refusal::setup)?;
    let (met, met_rx) = mpsc::unbounded_channel();
    let ownership = descriptor.owner.clone();
    let ownership = ownership.map(|own| Ownership::new(own, met));
    let open = |names, deadline| {
        let queue = PubSubQueue::new(&connection, &names, descriptor.lease, deadline);
        queue.map_err(Refusal::setup)
    };
    let signs = Signs::default();
    let repaired = |queue: PubSubQueue| match descriptor.names.are_own() {
        true => queue.repaired(signs.clone()),
        false => queue,
    };
    let owned = |queue: PubSubQueue| {
        Arc::new(match &ownership {
            Some(ownership) => queue.owned(ownership.clone()),
            None => repaired(queue),
        })
    };
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse().ok());
    let place = number(COHORT).zip(number(INDEX));
    let control = place.and_then(|(cohort, index)| descriptor.names.control_of(cohort, index));
    let control: Arc<dyn Queue> = match control {
        // Its subscription may have outlived another run: what that said is dropped by its MAC, and tells nothing of
        // who is there now.
        Some(names) => Arc::new(repaired(open(names, None)?)),
        None => {
            warn!("no control subscription: cancellations and the run's end are not heard here");
            Arc::new(crate::broker::silent::SilentQueue::new(descriptor.lease))
        }
    };
    let tasks = owned(open(descriptor.names.tasks(), descriptor.ack_deadline)?);
    let results = owned(open(descriptor.names.results(), None)?);
    if ownership.is_some() {
        tokio::spawn(other_runs::report(met_rx, results.clone()));
    }
    if descriptor.names.are_own() {
        tokio::spawn(vanished::report(signs.clone(), results.clone()));
    }
    Ok(Queues {
        tasks: payloads.wrap(tasks, mac_key.clone()),
        results: payloads.wrap(results, mac_key.clone()),
        control,
    })
}

fn worker(
    descriptor: &Descriptor,
    key: [u8; 32],
    queues: Queues,
    last_words: &LastWords,
    output: OutputSink,
) -> Result<Worker, Refusal> {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let site = Site {
        run: descriptor.run.clone(),
        worker: variable(POD).into(),
        node: variable(NODE).into(),
        program: Program::this_executable().map_err(|error| Refusal::new(75, error))?,
        mac_key: MacKey::Keyed(key),
        queues,
        output,
        // A file that cannot be read is another build for who requires the same.
        build: build_id::of_this_program().unwrap_or_default(),
        conduct: Conduct {
            greeting: Some(GREETING),
            idle: Some(descriptor.idle),
            refusal: Some(REFUSAL),
            reach: Some(reach(descriptor.worker.start_timeout)),
            broker_timeout: None,
            running: Some(last_words.running_sink()),
            forward_output: true,
            queue_outlives: descriptor.owner.is_some(),
        },
    };
    let worker = descriptor.worker.worker(site);
    worker.map_err(|reason| Refusal::new(65, reason))
}

/// How long a worker looks for Pub/Sub. The master gives a worker up that has not greeted within the start timeout; by
/// then the worker's own reason is with the cluster, which takes a second or two for it, and is shown.
fn reach(start_timeout: Duration) -> Duration {
    let told = (start_timeout / 6).max(Duration::from_secs(2));
    start_timeout - told.min(start_timeout / 2)
}
