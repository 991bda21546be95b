//! What a task is: its static description, a call of it, and the context of its body.

use std::any::type_name;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::cancellation::Cancellation;
use crate::codec::{self, CodecError};
use crate::commit::Skip;
use crate::envelope::Arguments;
use crate::error::TaskError;
use crate::id::{Attempt, ExecutionId, RunId, TaskId};
use crate::json::{self, Json, JsonError};
use crate::ledger::Identity;
use crate::outcome::Failure;
use crate::shape::{Fingerprint, Shape, ShapeError};
use crate::signature::Signature;

/// A future that a task's body returns.
pub type BodyFuture<'a> = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + 'a>>;

/// A body that blocks: context, encoded arguments, and where the encoded output goes.
pub type SyncBody = fn(&TaskContext, &[u8], &mut Vec<u8>) -> Result<(), Failure>;

/// A body that awaits; otherwise like [`SyncBody`].
pub type AsyncBody = for<'a> fn(&'a TaskContext, &'a [u8], &'a mut Vec<u8>) -> BodyFuture<'a>;

/// The erased body of a task: it decodes its arguments, runs, and appends its encoded output.
#[derive(Clone, Copy)]
pub enum Body {
    /// A plain function; it runs on the slot's thread, outside of any runtime.
    Sync(SyncBody),
    /// An async function; the slot's single-threaded runtime drives it.
    Async(AsyncBody),
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sync(_) => "Sync",
            Self::Async(_) => "Async",
        })
    }
}

/// The delays between the attempts at a failing task: exponential, each shortened by a random part of up to one half.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// Delay before the second attempt. Default: 1 s.
    pub initial: Duration,
    /// Longest delay. Default: 60 s. `Duration::MAX`: no bound.
    pub max: Duration,
    /// Growth from one delay to the next. Default: 2. Below 1, and what is no number, counts as 1.
    pub factor: f32,
}

impl Backoff {
    /// 1 s, doubling, at most 60 s.
    pub const DEFAULT: Self = Self {
        initial: Duration::from_secs(1),
        max: Duration::from_secs(60),
        factor: 2.0,
    };
}

impl Default for Backoff {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What the `#[task]` attribute sets for every call of a task. A call may override retries, timeout and priority.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct TaskOptions {
    /// Attempts after the first, when the task itself fails. Default: 0.
    pub retries: u32,
    /// Longest time of one attempt, without queueing. Default: none. `Duration::MAX`: none either. Not zero.
    pub timeout: Option<Duration>,
    /// Delays between attempts.
    pub backoff: Backoff,
    /// Bytes that the slot's whole process may have resident while it runs the task: looked at every 50 ms, and past it
    /// the slot is killed, `OutOfMemory`. Default: no limit. A jump in between is missed; the kernel's stop is set by
    /// the executor's own limit, for every slot. A task whose limit is not more than an idle slot takes is rejected.
    /// Slots that are threads have no limit.
    ///
    /// On one machine it is also the task's share of what the running tasks have together, by default the machine's
    /// memory: the task waits until so many bytes are free. A task that declares nothing takes none of it.
    pub memory: Option<u64>,
    /// Whether several calls may travel in one batch. Default: true.
    pub pack: bool,
    /// Whether an execution goes on when its lease is lost. Default: false.
    pub finish_on_lost_lease: bool,
}

impl TaskOptions {
    /// No retries, no timeout, no limit, packed.
    pub const DEFAULT: Self = Self {
        retries: 0,
        timeout: None,
        backoff: Backoff::DEFAULT,
        memory: None,
        pack: true,
        finish_on_lost_lease: false,
    };

    /// Sets [`retries`](Self::retries).
    #[must_use]
    pub const fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Sets [`timeout`](Self::timeout), in milliseconds.
    #[must_use]
    pub const fn timeout_ms(mut self, timeout: u64) -> Self {
        self.timeout = Some(Duration::from_millis(timeout));
        self
    }

    /// Sets [`backoff`](Self::backoff): the first and the longest delay, in milliseconds.
    #[must_use]
    pub const fn backoff_ms(mut self, initial: u64, max: u64) -> Self {
        self.backoff.initial = Duration::from_millis(initial);
        self.backoff.max = Duration::from_millis(max);
        self
    }

    /// Sets [`memory`](Self::memory), in bytes.
    #[must_use]
    pub const fn memory(mut self, bytes: u64) -> Self {
        self.memory = Some(bytes);
        self
    }

    /// Sets [`pack`](Self::pack).
    #[must_use]
    pub const fn pack(mut self, pack: bool) -> Self {
        self.pack = pack;
        self
    }

    /// Sets [`finish_on_lost_lease`](Self::finish_on_lost_lease).
    #[must_use]
    pub const fn finish_on_lost_lease(mut self, finish: bool) -> Self {
        self.finish_on_lost_lease = finish;
        self
    }
}

impl Default for TaskOptions {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The static description of a task; `#[task]` writes one for each function.
#[derive(Debug)]
pub struct TaskSpec {
    /// `crate::module::function`, unique in a program.
    pub name: &'static str,
    /// The `version = "…"` of the attribute: part of the fingerprint.
    pub version: Option<&'static str>,
    /// Source file of the function.
    pub file: &'static str,
    /// Line of the function.
    pub line: u32,
    /// Documentation, parameters, and the way from and to JSON.
    pub signature: Signature,
    /// What holds for every call.
    pub options: TaskOptions,
    /// The erased function.
    pub body: Body,
    /// Traces the serde shape of arguments and output.
    pub shape: fn() -> Result<Shape, ShapeError>,
    /// Where the fingerprint is kept once it was traced.
    pub traced: OnceLock<Result<Fingerprint, ShapeError>>,
    /// Where the registry's index is kept once it was built.
    pub index: OnceLock<u32>,
}

impl TaskSpec {
    /// The fingerprint, traced by the first caller and kept.
    ///
    /// # Errors
    /// [`ShapeError`] when the shape cannot be traced and the task states no version.
    pub fn fingerprint(&self) -> Result<Fingerprint, ShapeError> {
        self.traced
            .get_or_init(|| Fingerprint::of(self.name, self.version, (self.shape)()))
            .clone()
    }
}

/// What one call sets beside its arguments; every field overrides the task's own option.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct CallOptions {
    /// The entity that the call is about, for users and for named runs.
    pub key: Option<Arc<str>>,
    /// Attempts after the first.
    pub retries: Option<u32>,
    /// Longest time of one attempt. `Duration::MAX`: none. Not zero.
    pub timeout: Option<Duration>,
    /// Bytes that the slot's process may have resident meanwhile. Not zero.
    pub memory: Option<u64>,
    /// Higher goes first; 0 by default.
    pub priority: i32,
    /// Whether the body runs although the task would be skipped.
    pub force: bool,
    /// Which task of the run the call is, where it is submitted again; else that follows from the call. The executor's own.
    #[doc(hidden)]
    pub identity: Option<Identity>,
}

/// A task with its arguments, ready to be submitted. Calling a `#[task]` function makes one; nothing runs yet.
///
/// Its methods set what counts for this call alone, in place of the task's attribute: `clean(day).key("2013-01-01")
/// .retries(3).timeout(Duration::from_secs(600)).priority(1)`. The last call of a method counts. In a unit test
/// `clean(day).run_here().await` runs the body without a pool.
#[must_use = "a call runs only when it is submitted"]
pub struct Call<T> {
    spec: &'static TaskSpec,
    arguments: Result<Arguments, CodecError>,
    // Boxed: most calls override nothing, and a `map` holds many of them.
    options: Option<Box<CallOptions>>,
    output: PhantomData<fn() -> T>,
}

/// The parts of a [`Call`], for the executor.
#[derive(Debug)]
pub struct CallParts {
    /// The task.
    pub spec: &'static TaskSpec,
    /// Its encoded arguments, or why they could not be encoded.
    pub arguments: Result<Arguments, CodecError>,
    /// What the call overrides.
    pub options: Option<Box<CallOptions>>,
}

impl<T> Call<T> {
    /// Encodes `arguments`, a tuple. For the code that `#[task]` writes.
    #[doc(hidden)]
    pub fn new<A: Serialize>(spec: &'static TaskSpec, arguments: &A) -> Self {
        let arguments = Arguments::encode(arguments);
        Self {
            spec,
            arguments,
            options: None,
            output: PhantomData,
        }
    }

    /// Names the entity that the call is about: an asset, a sensor, a day. At most 1,024 bytes; a task with a longer key
    /// is rejected. Lines that the task prints, its error and notices about it show the first 80 characters, with control
    /// characters escaped.
    pub fn key(mut self, key: impl Into<Arc<str>>) -> Self {
        self.options_mut().key = Some(key.into());
        self
    }

    /// Allows so many attempts after the first when the task itself fails: by an error, a panic or its timeout.
    /// Crashes, memory and lost workers have budgets of their own, as [`TaskErrorKind`](crate::error::TaskErrorKind)
    /// lists.
    pub fn retries(mut self, retries: u32) -> Self {
        self.options_mut().retries = Some(retries);
        self
    }

    /// Bounds the time of one attempt; queueing does not count. `Duration::MAX` lifts the bound of the task's
    /// attribute. With zero no attempt could do anything: the task is rejected. An attempt that exceeds it is stopped
    /// and counts against `retries`, so the whole task may take longer. A map's own `timeout` bounds all its calls
    /// together.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options_mut().timeout = Some(timeout);
        self
    }

    /// Bytes that the slot's process may have resident while it runs this call, in place of the task's
    /// [`memory`](TaskOptions::memory). On one machine the tasks that run share its memory by what they declare: a call
    /// waits until its bytes are free. With zero the task is rejected, and with more than the machine's tasks share.
    /// The module `podpool::options` has a table of all options on memory.
    pub fn memory(mut self, bytes: u64) -> Self {
        self.options_mut().memory = Some(bytes);
        self
    }

    /// Higher priorities are published first; the default is 0.
    pub fn priority(mut self, priority: i32) -> Self {
        self.options_mut().priority = priority;
        self
    }

    /// Runs the body although the task would be skipped: `skip_if` is not asked, and whether the `output` of the task
    /// exists is not looked at. A body that checks by itself asks [`TaskContext::is_forced`]. A commit replaces nothing
    /// all the same: who wants a new output removes the old one before.
    pub fn force(mut self) -> Self {
        self.options_mut().force = true;
        self
    }

    fn options_mut(&mut self) -> &mut CallOptions {
        self.options.get_or_insert_default()
    }

    /// Takes the call apart. For the executor.
    #[doc(hidden)]
    pub fn into_parts(self) -> CallParts {
        CallParts {
            spec: self.spec,
            arguments: self.arguments,
            options: self.options,
        }
    }
}

impl Call<Json> {
    /// Encodes arguments that are given as JSON: an object with the names of the parameters, or an array in their order.
    ///
    /// # Errors
    /// [`JsonError`], which names the parameter.
    #[doc(hidden)]
    pub fn from_json(spec: &'static TaskSpec, arguments: &str) -> Result<Self, JsonError> {
        let Signature {
            parameters, json, ..
        } = &spec.signature;
        Ok(Self {
            spec,
            arguments: Ok(json.arguments_from(parameters, arguments)?),
            options: None,
            output: PhantomData,
        })
    }
}

impl<T: DeserializeOwned + 'static> Call<T> {
    /// Runs the body in this process, without executor, retries, timeout or memory limit: for unit tests of a task. A
    /// body that uses tokio needs tokio's runtime; others run on any.
    ///
    /// ```text
    /// #[tokio::test]
    /// async fn seven_squared() {
    ///     assert_eq!(square(7).run_here().await.unwrap(), 49);
    /// }
    /// ```
    ///
    /// Arguments and output are encoded and decoded as on the way to a slot. The [`TaskContext`] holds the key that the
    /// call was given; the worker and the node are called `here`, the task's number is 0, the attempt is the first, the
    /// run is a random one. It has no deadline, and is never cancelled. A task is skipped as in a pool, unless the call is
    /// [forced](Self::force).
    ///
    /// # Errors
    /// [`TaskError`], as the future of a submitted call has it, with the one attempt:
    /// [`Failed`](crate::error::TaskErrorKind::Failed) where the task returned an error, and
    /// [`Rejected`](crate::error::TaskErrorKind::Rejected) where arguments or output cannot be encoded.
    ///
    /// # Panics
    /// Where the body panics, with its panic.
    pub async fn run_here(self) -> Result<T, TaskError> {
        let options = self.options.as_deref();
        let key = options.and_then(|options| options.key.clone());
        let context = TaskContext::here(options);
        let ran = run_body(self.spec, &context, self.arguments).await;
        ran.map_err(|failure| TaskError::of_one(self.spec.name, key, failure))
    }
}

/// Runs a body with these arguments, and decodes what it returns.
async fn run_body<T: DeserializeOwned + 'static>(
    spec: &TaskSpec,
    context: &TaskContext,
    arguments: Result<Arguments, CodecError>,
) -> Result<T, Failure> {
    let arguments = arguments.map_err(|error| Failure::codec(&error))?;
    let mut output = Vec::new();
    match spec.body {
        Body::Sync(body) => body(context, &arguments, &mut output)?,
        Body::Async(body) => body(context, &arguments, &mut output).await?,
    }
    let json = &spec.signature.json;
    json::decode_output(json, &output, || codec::decode(&output))
        .map_err(|error| Failure::codec(&error))
}

impl<T> fmt::Debug for Call<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("task", &self.spec.name)
            .field("output", &type_name::<T>())
            .field(
                "arguments",
                &self.arguments.as_ref().map(|bytes| bytes.len()),
            )
            .field("options", &self.options)
            .finish()
    }
}

/// What every execution in one slot shares.
#[derive(Debug, Clone)]
pub struct Place {
    /// The run.
    pub run: RunId,
    /// The worker's name: a pod's name on a cluster, `local` on a laptop.
    pub worker: Arc<str>,
    /// The node's name: the host.
    pub node: Arc<str>,
}

/// What a running task can look up about itself. A task takes it as its first argument, `ctx: &TaskContext`.
#[derive(Debug, Clone)]
pub struct TaskContext {
    /// Where the execution runs.
    pub(crate) place: Arc<Place>,
    pub(crate) task: TaskId,
    pub(crate) attempt: Attempt,
    pub(crate) execution: ExecutionId,
    pub(crate) key: Option<Arc<str>>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) cancellation: Cancellation,
    pub(crate) skip: Skip,
}

impl TaskContext {
    /// The context of a body that runs without an executor.
    pub(crate) fn here(options: Option<&CallOptions>) -> Self {
        let name: Arc<str> = "here".into();
        Self {
            place: Arc::new(Place {
                run: RunId::random(),
                worker: name.clone(),
                node: name,
            }),
            task: TaskId(0),
            attempt: Attempt::FIRST,
            execution: ExecutionId {
                worker: crate::id::WorkerId::random(),
                number: 0,
            },
            key: options.and_then(|options| options.key.clone()),
            deadline: None,
            cancellation: Cancellation::new(),
            skip: Skip::new(options.is_some_and(|options| options.force)),
        }
    }

    /// The run that the task belongs to.
    #[must_use]
    pub fn run(&self) -> &RunId {
        &self.place.run
    }

    /// The task's sequence number in its run.
    #[must_use]
    pub fn task(&self) -> TaskId {
        self.task
    }

    /// Which attempt this is, from 1.
    #[must_use]
    pub fn attempt(&self) -> Attempt {
        self.attempt
    }

    /// This execution; a redelivered attempt has another.
    #[must_use]
    pub fn execution(&self) -> ExecutionId {
        self.execution
    }

    /// The key that the call was given.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// When the attempt will be ended by its timeout; none without one, and in [`run_here`](Call::run_here).
    #[must_use]
    pub fn deadline(&self) -> Option<std::time::Instant> {
        self.deadline.map(Instant::into_std)
    }

    /// The name of the worker: a pod's name on a cluster, `local` on a laptop, `here` in [`run_here`](Call::run_here).
    #[must_use]
    pub fn worker(&self) -> &str {
        &self.place.worker
    }

    /// The name of the node: the host's.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.place.node
    }

    /// Whether the task was cancelled. After a grace it is stopped.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancellation.is_cancelled()
    }

    /// Resolves when the task is cancelled.
    pub async fn cancelled(&self) {
        self.cancellation.cancelled().await;
    }

    /// The same, for a thread or a future that the task starts.
    #[must_use]
    pub fn cancellation(&self) -> Cancellation {
        self.cancellation.clone()
    }
}
