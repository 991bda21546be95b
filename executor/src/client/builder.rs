//! The settings and the start of an executor. This file alone names all back-ends.

mod backend;
#[cfg(test)]
mod fuzz;
#[cfg(unix)]
mod injected;
mod isolation;
#[cfg(feature = "kubernetes")]
mod kubernetes;
mod ledger;
mod limits;
mod run_key;
mod unfinished;

use std::fmt;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use podpool_core::id::{RunId, RunName, TaskId};
use podpool_core::ledger::{Durability, Ledger};
use podpool_core::registry::Registry;
use podpool_core::slot::OutputLimits;
use podpool_core::task::Call;
use podpool_core::worker::{OutputLine, OutputSink};

use crate::broker::local::MemoryBroker;
use crate::broker::run_payloads::asked_for;
use crate::client::executor::PodPoolExecutor;
use crate::client::join::Run;
use crate::client::options::{Isolation, KubernetesOptions, LocalOptions, PubSubOptions};
use crate::error::BuildError;
use crate::error::start::failed;
use crate::fleet::local::LocalFleet;
use crate::master::handle::Handle;
use crate::master::limits::Limits;
use crate::master::settings::{QueueDecorator, RunSettings};
use crate::report::notices::Notices;
use crate::report::reporting::Reporting;
use crate::variables;
use crate::worker::settings::WorkerSettings;

pub use self::backend::Backend;
use self::isolation::check_role;
#[cfg(feature = "kubernetes")]
pub(crate) use self::kubernetes::cluster_option;

/// The environment variable that names the back-end.
const BACKEND: &str = "PODPOOL_BACKEND";
/// The bytes at which a line may be cut.
const LINE_BYTES: RangeInclusive<usize> = 64..=1 << 20;
/// Least bytes a second that a slot may print.
const LEAST_RATE: u64 = 1 << 10;
/// From asking a task to stop to killing its process.
const GRACE: Duration = Duration::from_secs(5);
/// Smallest memory limit: every process is larger.
// It catches a number that was meant in MiB. A limit that is too small for this program is found by its first slot.
const SMALLEST_MEMORY: u64 = 1 << 20;
/// Shortest lease on this machine.
// The keeper renews each sixth of a lease, and tokio's timers have a resolution of 1 ms.
const SHORTEST_LEASE: Duration = Duration::from_millis(1);
/// From a slot's start until it is ready, on this machine.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// Describes an executor; every setting has a default.
///
/// ```no_run
/// # use std::time::Duration;
/// # use podpool::PodPoolExecutor;
/// # #[podpool::task] fn connect(database: String) {}
/// # async fn start() -> Result<(), podpool::error::BuildError> {
/// let pool = PodPoolExecutor::builder()
///     .run("nightly")
///     .max_workers(8)
///     .retries(2)
///     .initializer(connect("prices".into()))
///     .output(|printed| println!("{:?}: {}", printed.key, printed.line))
///     .build()
///     .await?;
/// # drop(pool);
/// # Ok(())
/// # }
/// ```
///
/// A setting that cannot be used is an error of [`build`](Self::build), with the setting's name; nothing was started
/// then. Variables of the environment count where the program sets nothing.
#[must_use = "an executor starts when it is built"]
#[derive(Default)]
pub struct Builder {
    max_workers: Option<usize>,
    max_tasks_per_slot: Option<u64>,
    backend: Option<Backend>,
    run: Option<String>,
    retries: Option<u32>,
    limits: Limits,
    slot_memory: Option<u64>,
    grace: Option<Duration>,
    start_timeout: Option<Duration>,
    lease: Option<Duration>,
    initializer: Option<Initializer>,
    output: Option<OutputSink>,
    output_buffer: Option<usize>,
    output_limits: OutputLimits,
    leave_signals: bool,
    notices: Notices,
    payload_store: Option<String>,
    ledger: Option<PathBuf>,
    durability: Option<Durability>,
    take_over: bool,
    attached: Option<String>,
    local: LocalOptions,
    pubsub: PubSubOptions,
    kubernetes: KubernetesOptions,
    hooks: Hooks,
    #[cfg(unix)]
    injected: injected::Injected,
}

/// What tests replace in a run, by the module `testing`.
#[derive(Default)]
pub(crate) struct Hooks {
    /// Where the run is remembered, in place of a directory.
    pub(crate) ledger: Option<Arc<dyn Ledger>>,
    /// The run's id, in place of a fresh one.
    pub(crate) run_id: Option<RunId>,
    /// Wraps the queues on the master's side.
    pub(crate) decorator: Option<QueueDecorator>,
    /// For how long a queue may refuse everything before the pool is broken.
    pub(crate) broker_timeout: Option<Duration>,
    /// An older master, whose run is taken over: the run, its key, and the new epoch.
    #[cfg(feature = "kubernetes")]
    pub(crate) succession: Option<(RunId, [u8; 32], u64)>,
}

type Initializer = Box<dyn FnOnce() -> Result<(String, Vec<u8>), String> + Send>;

impl Builder {
    /// How many tasks run at a time on this machine, and how many pods a run has on a cluster. `build()` refuses 0.
    ///
    /// On this machine there is one worker, called `local`, whatever the number: it is a part of this program, and has
    /// so many slots. A slot is a child process that runs one task at a time; the default is the number of processors.
    /// Events and statistics count that one worker. A slot whose process ends is replaced; the worker stays.
    ///
    /// On a cluster it is the most workers at a time. A worker is a pod with
    /// [`slots_per_worker`](KubernetesOptions::slots_per_worker) slots, and the default is 10.
    /// [`slots`](PodPoolExecutor::slots) is how many tasks run at once in either place.
    ///
    /// A slot that is a process takes six descriptors of this process. Where they are more than its soft limit on open
    /// files, `build()` raises that to the hard limit for the whole process; slots get the limit that it had. Slots for
    /// which the hard limit has no room do not start: fewer slots work, and a warning reports it.
    pub const fn max_workers(mut self, workers: usize) -> Self {
        self.max_workers = Some(workers);
        self
    }

    /// Replaces a slot's process after so many executions, as `max_tasks_per_child` does. Default: never.
    pub const fn max_tasks_per_slot(mut self, tasks: u64) -> Self {
        self.max_tasks_per_slot = Some(tasks);
        self
    }

    /// The back-end that starts workers. Default: `PODPOOL_BACKEND`, else this machine.
    pub const fn backend(mut self, backend: Backend) -> Self {
        self.backend = Some(backend);
        self
    }

    /// Names the run, for people, labels and `gc`: 1 to 63 lower-case letters, digits and `-`. Default: no name. Every
    /// run has an id of its own besides, [`run_id`](PodPoolExecutor::run_id), which begins with the name and is part of
    /// all that the run makes and sends: two runs of one name share nothing but the name, unless a
    /// [ledger](Self::ledger) remembers them: then they are one run.
    pub fn run(mut self, name: impl Into<String>) -> Self {
        self.run = Some(name.into());
        self
    }

    /// Attempts after the first for every task, in place of its attribute's; a call's own `retries` overrides it.
    ///
    /// They count errors, panics and timeouts of the task. Other ends have budgets of their own: 2 more attempts after
    /// a crash, 1 after a lack of memory, 2 where the task's worker ended while the task alone ran in it. Executions
    /// that are lost for no fault of the task come again, 99 times. Retries wait for the task's `backoff`; attempts by
    /// the other budgets follow at once, or when the lease of the lost one has ended.
    /// [`task`](macro@crate::task#retries) has the table.
    pub const fn retries(mut self, retries: u32) -> Self {
        self.retries = Some(retries);
        self
    }

    /// Bytes of memory that each slot's process may use, wherever it runs. It is sampled every 50 ms, and the kernel
    /// refuses allocations far past it; either way the task is out of memory. A task's own `memory` may lower it while
    /// that task runs. It must be more than an idle slot takes, some MiB: else `build()` refuses it, or the pool is
    /// broken with both numbers in the reason. Default: no limit. See the [table](crate::options#memory) of all options
    /// on memory.
    pub const fn slot_memory(mut self, bytes: u64) -> Self {
        self.slot_memory = Some(bytes);
        self
    }

    /// From asking a task to stop, or a slot to exit, to killing its process. Default: 5 s. Zero kills at once,
    /// `Duration::MAX` never.
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.grace = Some(grace);
        self
    }

    /// How long a started slot or worker may take until it is ready. Default: 20 s on this machine, 60 s on a cluster;
    /// there `PODPOOL_START_TIMEOUT` sets it too.
    ///
    /// A slot's time runs from the start of its process to its first task: `main` up to `init()`, and the
    /// [`initializer`](Self::initializer), which must end within it. A slot that is late is killed, its start has
    /// failed, and the reason shows the last lines that it printed. Where no slot was ever ready the pool is broken
    /// then; where one was, starts are tried again with back-off. On a cluster it is also how long an image may be
    /// refused before the pool breaks; what waiting cannot heal, such as an image that may not be pulled or a missing
    /// secret, breaks it within seconds. A worker whose container runs must greet its master within it; one that does not
    /// has failed to start, and the reason shows the end of its log.
    pub const fn start_timeout(mut self, timeout: Duration) -> Self {
        self.start_timeout = Some(timeout);
        self
    }

    /// How long a worker owns a batch before it must renew. Default: 60 s. On this machine 1 ms or more, and
    /// `Duration::MAX` is for ever; on a cluster 10 s to 600 s, in whole seconds. `build()` refuses anything else.
    pub const fn lease(mut self, lease: Duration) -> Self {
        self.lease = Some(lease);
        self
    }

    /// Runs a call once in each slot before its first task, within [`start_timeout`](Self::start_timeout). When it
    /// fails in three fresh slots in a row the pool is broken, and the error of every future has the reason.
    pub fn initializer<T: 'static>(mut self, call: Call<T>) -> Self {
        let parts = call.into_parts();
        // Not evaluated here: a method of the builder has no error, and the registry is complete when `build()` checks
        // it.
        self.initializer = Some(Box::new(move || {
            let arguments = parts.arguments.map_err(|error| error.to_string())?;
            if parts.spec.index.get().is_none() {
                return Err("the task is not registered".to_owned());
            }
            let arguments = bytes::Bytes::from(arguments);
            Ok((parts.spec.name.to_owned(), arguments.into()))
        }));
        self
    }

    /// Takes the lines that tasks print, wherever they run. Default: standard output and standard error of this
    /// program, with the task's name, number and key in front, and on a cluster its pod: `[pod-0 prices::clean #7
    /// "BTC"] …`.
    ///
    /// The sink is called on a thread of its own, in the order in which the lines come. It may block: no task waits for
    /// it. One that panics loses that line, is reported once, and is given the next. `shutdown` and `#[podpool::main]`
    /// wait until it was given all lines, 2 s at the longest.
    ///
    /// The failure of a task is reported after its lines, those of its panic among them: its error, and the notice of
    /// an attempt that is made again, wait until the sink or the streams have taken the lines before them. They wait
    /// 200 ms at the longest, and not at all after such a wait timed out, until the sink has taken all lines. Lines of
    /// a pod may be overtaken on their way; a failure waits 1 s more for them. Lines of a worker that is lost may come
    /// later, and so may lines of a task that succeeds: a result waits for no line.
    pub fn output(mut self, sink: impl Fn(OutputLine<'_>) + Send + Sync + 'static) -> Self {
        self.output = Some(Arc::new(sink));
        self
    }

    /// The receiver of notices about changes: workers that do not start and why, attempts that failed (gathered, one
    /// line in 5 s at most), lost workers. Default: [`Notices::Auto`], lines on standard error where the program has no
    /// tracing subscriber and no logger when the pool is built.
    pub fn notices(mut self, notices: Notices) -> Self {
        self.notices = notices;
        self
    }

    /// Bytes of printed lines that may wait for standard output and standard error, or for the sink. When so many wait,
    /// further lines are left out; a line in their place states how many. One line may always wait. Default: 8 MiB.
    pub const fn output_buffer(mut self, bytes: usize) -> Self {
        self.output_buffer = Some(bytes);
        self
    }

    /// Longest line that a task prints, in bytes; a longer line is cut there, and marked. Default: 16 KiB. From 64
    /// bytes to 1 MiB; `build()` refuses anything else.
    pub const fn output_line_bytes(mut self, bytes: usize) -> Self {
        self.output_limits.line = bytes;
        self
    }

    /// Bytes a second that one slot may print, and at once after a silence; each line counts for 64 bytes more than it
    /// has. Lines above the rate are left out, and a line on standard error reports how many lines and bytes. Default:
    /// 4 MiB. `build()` refuses less than 1 KiB; `u64::MAX` leaves nothing out. Lines that pods send to the master are
    /// bounded besides.
    pub const fn output_rate(mut self, bytes: u64) -> Self {
        self.output_limits.rate = bytes;
        self
    }

    #[doc = include_str!("../../docs/signals.md")]
    pub const fn signals(mut self, heard: bool) -> Self {
        self.leave_signals = !heard;
        self
    }

    /// Where arguments and results over 96 KiB go: `gs://bucket/prefix`, `s3://…`, `az://…` or `file:///directory`.
    /// Each is stored once, under its hash, and deleted when the run ends. Credentials come from the environment, as
    /// the cloud's own tools read them. Default: `PODPOOL_PAYLOAD_STORE`, else no store, and a payload that no message
    /// carries is `Rejected`. Needs the feature `payload`, and `payload-gcs`, `payload-s3` or `payload-azure` for a
    /// cloud's.
    pub fn payload_store(mut self, url: impl Into<String>) -> Self {
        self.payload_store = Some(url.into());
        self
    }

    /// Options of this machine. They count where the back-end is this machine; `build()` refuses those that a cluster
    /// cannot honour. A second call replaces them.
    pub const fn local(mut self, options: LocalOptions) -> Self {
        self.local = options;
        self
    }

    /// Options of Pub/Sub. They count where workers are on a cluster. A second call replaces them.
    pub fn pubsub(mut self, options: PubSubOptions) -> Self {
        self.pubsub = options;
        self
    }

    /// Options of workers on a Kubernetes cluster. They count where the back-end is a cluster, and compile with and
    /// without the feature `kubernetes`. A second call replaces them.
    pub fn kubernetes(mut self, options: KubernetesOptions) -> Self {
        self.kubernetes = options;
        self
    }

    #[cfg(unix)]
    pub(crate) const fn hooks(&mut self) -> &mut Hooks {
        &mut self.hooks
    }

    /// Starts the executor.
    ///
    /// # Errors
    /// [`BuildError`]; nothing was started then.
    pub async fn build(self) -> Result<PodPoolExecutor, BuildError> {
        let backend = self.chosen_backend()?;
        if let Some(bytes) = self.slot_memory.filter(|bytes| *bytes < SMALLEST_MEMORY) {
            let reason =
                "no process is as small; use 1048576 (1 MiB) or more, in bytes, or leave it out";
            return Err(setting("slot_memory", bytes, reason));
        }
        self.limits.check()?;
        let isolation = self.local.isolation;
        if backend != Backend::Local && isolation == Isolation::InProcess {
            let reason = "on a cluster each slot is a process; leave it out, or use the back-end of this machine";
            return Err(setting("LocalOptions::isolation", "InProcess", reason));
        }
        if let (Isolation::InProcess, Some(bytes)) = (isolation, self.slot_memory) {
            let reason = "threads of this process share its memory, so no limit can be kept; leave it out, or use Isolation::Process";
            return Err(setting("slot_memory", bytes, reason));
        }
        if isolation == Isolation::InProcess {
            self.refuse_capture()?;
        }
        // Before everything that starts a process or a thread: in a slot, or without `init()`, nothing may be started.
        check_role(isolation)?;
        let registry = Registry::global().map_err(|error| BuildError::Registry(Box::new(error)))?;
        registry
            .trace()
            .map_err(|error| BuildError::Registry(Box::new(error)))?;
        let started = match backend {
            Backend::Local => self.start_here().await,
            Backend::Kubernetes => self.start_on_cluster().await,
        };
        started.map(PodPoolExecutor::new)
    }

    async fn start_here(mut self) -> Result<Handle, BuildError> {
        #[cfg(unix)]
        if let Some(broker) = self.injected.broker.take() {
            return self.start_injected(broker).await;
        }
        let payload_store = asked_for(self.payload_store.take());
        // Read before `into_local` consumes the builder. An empty variable counts as a choice: it selects this machine.
        let chosen = self.backend.is_some() || std::env::var_os(BACKEND).is_some();
        let isolation = self.local.isolation;
        let memory = self.local.shared_memory()?;
        let wanted = self.wanted_run()?;
        let mut settings = self.into_local()?;
        settings.memory = memory;
        settings.worker.shared_memory = memory;
        if !chosen {
            settings.reporting.within(variables::report_unused);
        }
        let fleet = match isolation {
            Isolation::Process => LocalFleet::of_processes(&mut settings.worker)?,
            Isolation::InProcess => LocalFleet::of_threads(&mut settings.worker),
        };
        let run = Run {
            settings,
            broker: Arc::new(MemoryBroker::default()),
            fleet: Box::new(fleet),
            workers: 1,
            payload_store,
            ledger: None,
            elsewhere: None,
        };
        ledger::start(run, wanted).await
    }

    #[cfg(not(feature = "kubernetes"))]
    #[expect(
        clippy::unused_async,
        reason = "the back-end that is not compiled in would wait"
    )]
    async fn start_on_cluster(self) -> Result<Handle, BuildError> {
        Err(feature_missing())
    }

    /// The back-end, which is compiled in.
    fn chosen_backend(&self) -> Result<Backend, BuildError> {
        let variable = std::env::var(BACKEND).ok();
        let backend = match (self.backend, variable.as_deref()) {
            (Some(backend), _) => backend,
            (None, None | Some("")) => Backend::Local,
            (None, Some(name)) => name.parse()?,
        };
        // First, before the options of that back-end are checked: no other setting would help.
        match backend {
            Backend::Kubernetes if cfg!(not(feature = "kubernetes")) => Err(feature_missing()),
            backend => Ok(backend),
        }
    }

    fn into_local(self) -> Result<RunSettings, BuildError> {
        let workers = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        if let Some(lease) = self.lease.filter(|lease| *lease < SHORTEST_LEASE) {
            let reason = "a worker cannot renew it in time; use 1 ms or more, or leave it out";
            return Err(setting("lease", format_args!("{lease:?}"), reason));
        }
        let (slots, start_timeout) = (self.workers(workers)?, self.slot_start_timeout()?);
        let name = self.run_name()?;
        let run = self.run_id(name.as_ref());
        self.into_settings(run, name, (slots, start_timeout))
    }

    /// The settings of every back-end, with its number of slots for each worker and their start timeout.
    fn into_settings(
        self,
        run: RunId,
        name: Option<RunName>,
        (slots, start_timeout): (u32, Duration),
    ) -> Result<RunSettings, BuildError> {
        let output = self.output_limits()?;
        Ok(RunSettings {
            run,
            name,
            retries: self.retries,
            limits: self.limits,
            lease: self.lease,
            broker_timeout: self.hooks.broker_timeout,
            signals: !self.leave_signals,
            decorator: self.hooks.decorator,
            worker: WorkerSettings {
                slots,
                max_tasks_per_slot: self.max_tasks_per_slot,
                memory: self.slot_memory,
                output,
                grace: self.grace.unwrap_or(GRACE),
                start_timeout,
                initializer: encode(self.initializer)?,
                shared_memory: None,
            },
            memory: None,
            first_task: TaskId(0),
            ledger: None,
            outlives: false,
            reporting: reporting(self.notices, self.output, self.output_buffer)?,
        })
    }

    /// How long a slot of this machine may take to be ready.
    fn slot_start_timeout(&self) -> Result<Duration, BuildError> {
        let timeout = self.start_timeout.unwrap_or(START_TIMEOUT);
        if timeout.is_zero() {
            let reason = "no slot is ready at once; Duration::MAX means without end";
            return Err(setting("start_timeout", "0 s", reason));
        }
        Ok(timeout)
    }

    /// How many workers, with this many by default.
    fn workers(&self, default: usize) -> Result<u32, BuildError> {
        let workers = match self.max_workers {
            Some(0) => return Err(BuildError::ZeroWorkers),
            workers => workers.unwrap_or(default),
        };
        let too_large = |_| setting("max_workers", workers, "it is too large");
        u32::try_from(workers).map_err(too_large)
    }

    /// The checked limits of printed lines.
    fn output_limits(&self) -> Result<OutputLimits, BuildError> {
        let limits = self.output_limits;
        if !LINE_BYTES.contains(&limits.line) {
            let reason = "a line is cut at 64 bytes to 1 MiB";
            return Err(setting("output_line_bytes", limits.line, reason));
        }
        if limits.rate < LEAST_RATE {
            let reason = "a slot may print 1,024 bytes a second at least; to show nothing, give `output` a sink that does nothing";
            return Err(setting("output_rate", limits.rate, reason));
        }
        Ok(limits)
    }

    fn run_name(&self) -> Result<Option<RunName>, BuildError> {
        let name = self.run.as_deref();
        let check = |name: &str| RunName::new(name).map_err(|error| setting("run", name, error));
        name.map(check).transpose()
    }

    fn run_id(&self, name: Option<&RunName>) -> RunId {
        let given = self.hooks.run_id.clone();
        given.unwrap_or_else(|| name.map_or_else(RunId::random, RunId::of))
    }
}

pub(crate) fn feature_missing() -> BuildError {
    let backend = "kubernetes";
    BuildError::FeatureMissing {
        backend: backend.to_owned(),
        feature: backend,
    }
}

/// The thread of a sink starts with its executor.
fn reporting(
    notices: Notices,
    sink: Option<OutputSink>,
    buffer: Option<usize>,
) -> Result<Reporting, BuildError> {
    let failed = failed("start the thread of the output sink");
    let reporting = Reporting::begin(notices, sink, buffer).map_err(failed)?;
    // Within the reporting: these notices go where the user's setting sends them, and `build()` waits for no
    // subscriber.
    reporting.within(variables::report_unknown);
    Ok(reporting)
}

fn setting(name: &str, value: impl fmt::Display, reason: impl fmt::Display) -> BuildError {
    BuildError::Setting {
        name: name.to_owned(),
        value: value.to_string(),
        reason: reason.to_string(),
    }
}

/// The initializer's task and its encoded arguments.
fn encode(initializer: Option<Initializer>) -> Result<Option<(String, Vec<u8>)>, BuildError> {
    let encoded = initializer.map(|initializer| initializer()).transpose();
    encoded.map_err(|reason| setting("initializer", "the call", reason))
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("max_workers", &self.max_workers)
            .field("backend", &self.backend)
            .field("run", &self.run)
            .field("local", &self.local)
            .field("pubsub", &self.pubsub)
            .field("kubernetes", &self.kubernetes)
            .finish_non_exhaustive()
    }
}
