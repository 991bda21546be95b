//! Runs the tasks of a frame, one after another, and catches what they throw.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

#[cfg(unix)]
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Runtime;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cancellation::Cancellation;
use crate::codec;
use crate::commit::Skip;
use crate::envelope::EntryOptions;
use crate::envelope::entry::{self, MAX_OUTPUT, TASK_HEAD, TaskHead};
use crate::forked::Origin;
use crate::id::{Attempt, ExecutionId, TaskId, WorkerId};
use crate::instant::{NEVER, after};
use crate::outcome::{Cause, Failure, Ran, wall_clock};
use crate::registry::Registry;
use crate::task::{Body, Place, TaskContext, TaskSpec};

use super::current_frame::{Claim, CurrentFrame, Uplink, empty_results};
use super::panics::Panics;
use super::start_error::{Request, advice, patiently};
use super::stdout::Stdout;
use super::wire::{Garbled, Tasks};

/// CPU time is reported for executions that took at least this long.
// At 10 ms an age of 1 ms is a tenth: shorter executions would be reported with the CPU time of what ran before them.
const CPU_FROM: Duration = Duration::from_millis(10);
/// How old a reading of the CPU clock may be: it costs more than a short task.
const CPU_AGE: Duration = Duration::from_millis(1);
/// A body that took less has neither forked nor started a thread: the system needs several times as long for either.
/// What must be looked up then costs as much as a short task.
const LONG: Duration = Duration::from_micros(1);
/// Room that the heads of a message take from what an output may fill.
const HEADS: usize = 64;

/// The thread that runs tasks: what it keeps from one to the next.
#[derive(Debug)]
pub(super) struct Runner<U> {
    frames: Arc<CurrentFrame<U>>,
    place: Arc<Place>,
    registry: &'static Registry,
    /// Made by the first async task.
    runtime: Option<Runtime>,
    result: Vec<u8>,
    cpu: (Instant, Duration),
    /// Bytes that the process takes before its first task, where some limit needs it.
    resting: Option<u64>,
    /// Drops an async task; only threads need it, processes are killed.
    kill: Option<CancellationToken>,
    origin: Origin,
    panics: Panics,
    /// What tasks print to; only of a process, a thread prints to its program's own.
    stdout: Option<Stdout>,
}

impl<U: Uplink> Runner<U> {
    pub(super) fn new(
        frames: Arc<CurrentFrame<U>>,
        place: Place,
        registry: &'static Registry,
        kill: Option<CancellationToken>,
    ) -> Self {
        Self {
            frames,
            place: Arc::new(place),
            registry,
            runtime: None,
            result: empty_results(),
            cpu: (Instant::now(), cpu_time()),
            resting: None,
            origin: Origin::here(),
            panics: Panics::of_this_thread(kill.is_none()),
            stdout: kill.is_none().then(Stdout::new),
            kill,
        }
    }

    /// Whether an async task ran: dropping its runtime waits for each `spawn_blocking` that has begun.
    pub(super) const fn has_runtime(&self) -> bool {
        self.runtime.is_some()
    }

    /// Takes in what the process takes while it has no task.
    #[cfg(unix)]
    pub(super) fn rest(&mut self, resting: Option<u64>) {
        self.resting = resting;
    }

    /// What the process takes while it has no task, in bytes.
    #[cfg(unix)]
    pub(super) const fn resting(&self) -> Option<u64> {
        self.resting
    }

    /// Runs the initializer: a task like others, whose output is not read.
    pub(super) fn initialize(&mut self, index: u32, arguments: &[u8]) -> Result<(), Failure> {
        let spec = self.spec(Some(index))?;
        let context = self.context(
            TaskId(0),
            Attempt::FIRST,
            ExecutionId {
                worker: WorkerId(0),
                number: 0,
            },
            Cancellation::new(),
        );
        let (_, returned) = self.invoke(spec, &context, arguments, &mut Vec::new(), Instant::now());
        self.before_results();
        returned
    }

    /// Runs a frame; `note` gets the index and the start of each task before it begins.
    ///
    /// # Errors
    /// [`Garbled`] when there are fewer entries than the frame counts: it can never be answered.
    pub(super) fn run_frame(
        &mut self,
        number: u64,
        tasks: &Tasks<'_>,
        mut note: impl FnMut(u32, Instant),
    ) -> Result<(), Garbled> {
        if !self.frames.begin(number, tasks.count) {
            return Ok(());
        }
        let mut entries = tasks.entries;
        let mut began = Instant::now();
        for index in 0..tasks.count {
            let Ok(Some(head)) = entry::task_head(entries) else {
                return Err(Garbled);
            };
            let (this, rest) = entries.split_at(head.length);
            entries = rest;
            match self.frames.claim(head.task, head.attempt) {
                // The tasks behind it are reclaimed too: `claim` answers so until the frame ends.
                Claim::Reclaimed => break,
                Claim::Cancelled => self.put_cancelled(head),
                Claim::Run(token) => {
                    note(index, began);
                    let context = self.context(head.task, head.attempt, tasks.execution, token);
                    // One task's end is the next one's start: a look at the clock costs as much as a short task.
                    began =
                        self.run_task(head, this, tasks.task_type(head.task_type), context, began);
                }
            }
            if index + 1 == tasks.count {
                self.before_results();
            }
            self.frames.finished(&mut self.result, began);
        }
        self.before_results();
        self.frames.end();
        Ok(())
    }

    /// Runs one task and appends its result. Gives when it ended.
    fn run_task(
        &mut self,
        head: TaskHead,
        entry: &[u8],
        task_type: Option<u32>,
        mut context: TaskContext,
        began: Instant,
    ) -> Instant {
        // A system call, once a millisecond at most: short tasks share a reading.
        if began.duration_since(self.cpu.0) > CPU_AGE {
            self.cpu = (began, cpu_time());
        }
        let mut ended = began;
        // Taken out, because the closure below borrows `self`; an empty vector stays and allocates nothing.
        let mut result = std::mem::take(&mut self.result);
        let start = result.len();
        let done: Result<(), Failure> =
            entry::put_done(&mut result, head.task, head.attempt, |output| {
                let spec = self.spec(task_type)?;
                let (options, arguments) = entry[TASK_HEAD..].split_at(head.options);
                let limit = apply(&mut context, spec, options, began)?;
                if let Some(limit) = limit
                    && let Some(failure) = too_low("its", limit, self.resting)
                {
                    return Err(failure);
                }
                let before = output.len();
                let (at, returned) = self.invoke(spec, &context, arguments, output, began);
                ended = at;
                returned?;
                check_length(output.len() - before)?;
                Ok(ended - began)
            });
        if let Err(mut failure) = done {
            let elapsed = ended - began;
            // `put_done` has removed what the body had written: the failure stands alone.
            failure.ran = Some(Box::new(self.ran(began, elapsed)));
            entry::put_failed(&mut result, head.task, head.attempt, elapsed, &failure);
        } else if context.skip.is_skipped() {
            entry::mark_skipped(&mut result[start..]);
        }
        self.result = result;
        ended
    }

    /// What is shown of an execution that failed.
    fn ran(&self, began: Instant, elapsed: Duration) -> Ran {
        let cpu = (elapsed >= CPU_FROM).then(|| cpu_time().saturating_sub(self.cpu.1));
        Ran {
            started: wall_clock(began),
            pid: self.kill.is_none().then(std::process::id),
            cpu,
        }
    }

    fn put_cancelled(&mut self, head: TaskHead) {
        let failure = Failure::new(Cause::Cancelled, "it was cancelled before it began");
        let elapsed = Duration::ZERO;
        entry::put_failed(&mut self.result, head.task, head.attempt, elapsed, &failure);
    }

    fn spec(&self, index: Option<u32>) -> Result<&'static TaskSpec, Failure> {
        index
            .and_then(|index| self.registry.get(index))
            .ok_or_else(|| Failure {
                retryable: false,
                ..Failure::new(
                    Cause::Rejected,
                    "its frame names a task by an index that the slot's program does not have",
                )
            })
    }

    fn context(
        &self,
        task: TaskId,
        attempt: Attempt,
        execution: ExecutionId,
        cancellation: Cancellation,
    ) -> TaskContext {
        TaskContext {
            place: self.place.clone(),
            task,
            attempt,
            execution,
            key: None,
            deadline: None,
            cancellation,
            skip: Skip::default(),
        }
    }

    /// What was printed goes out, as far as it does at once.
    fn before_results(&mut self) {
        if let Some(stdout) = &mut self.stdout {
            stdout.before_results();
        }
    }

    /// Runs a body; whatever it throws becomes a failure. Gives when it ended.
    fn invoke(
        &mut self,
        spec: &TaskSpec,
        context: &TaskContext,
        arguments: &[u8],
        output: &mut Vec<u8>,
        began: Instant,
    ) -> (Instant, Result<(), Failure>) {
        if let Body::Async(_) = spec.body
            && let Err(failure) = self.make_runtime()
        {
            return (began, Err(failure));
        }
        // After the runtime was made: a panic in there is not the task's.
        self.panics.begin(began);
        let returned = self.call(spec.body, context, arguments, output);
        let ended = Instant::now();
        let long = ended.duration_since(began) >= LONG;
        if long {
            // Before anything is written: a child of a task's fork holds its parent's sockets and buffers.
            self.origin.end_copy();
        }
        let returned = returned.unwrap_or_else(|payload| Err(self.panics.failure(payload)));
        // After the failure was made of the panic's note: ending forgets it.
        self.panics.end();
        // The worker must have read what the task printed before its result. Costs 14 ns when it printed nothing.
        if let Some(stdout) = &mut self.stdout {
            stdout.after_body(long, ended);
        }
        (ended, returned)
    }

    /// Calls a body.
    fn call(
        &self,
        body: Body,
        context: &TaskContext,
        arguments: &[u8],
        output: &mut Vec<u8>,
    ) -> thread::Result<Result<(), Failure>> {
        match (body, &self.runtime) {
            (Body::Sync(body), _) => {
                // Unwind-safe in effect: after a panic `output` is cut back by `put_done`, and the context is dropped.
                catch_unwind(AssertUnwindSafe(|| body(context, arguments, output)))
            }
            (Body::Async(body), Some(runtime)) => catch_unwind(AssertUnwindSafe(|| {
                let task = body(context, arguments, output);
                match self.kill.clone() {
                    // A process has no other way to be killed than a signal, so nothing needs to be polled beside the task.
                    None => runtime.block_on(task),
                    Some(kill) => runtime.block_on(until_killed(task, kill)),
                }
            })),
            (Body::Async(_), None) => {
                Ok(Err(Failure::new(Cause::Failed, "its slot has no runtime")))
            }
        }
    }

    /// Makes the runtime of async tasks, if it is not there yet.
    fn make_runtime(&mut self) -> Result<(), Failure> {
        if self.runtime.is_none() {
            let make = || {
                let mut builder = tokio::runtime::Builder::new_current_thread();
                builder.enable_all().build()
            };
            let runtime = patiently(make).map_err(|error| {
                let message = format!("its slot cannot make a runtime: {error}");
                let advice = advice(Request::Other, &error);
                let advice = advice.map_or_else(String::new, |advice| format!("; {advice}"));
                Failure::new(Cause::Failed, message + &advice)
            })?;
            self.runtime = Some(runtime);
        }
        Ok(())
    }
}

/// Drives a task until its slot is killed.
async fn until_killed(
    task: impl Future<Output = Result<(), Failure>>,
    kill: CancellationToken,
) -> Result<(), Failure> {
    tokio::select! {
        biased;
        // First, so that a task that is always ready cannot keep its slot from being killed.
        () = kill.cancelled() => Err(Failure::new(Cause::Interrupted, "its slot was killed")),
        ended = task => ended,
    }
}

/// Puts what the call and its task set into the context, and returns the bytes that the slot may have resident meanwhile.
fn apply(
    context: &mut TaskContext,
    spec: &TaskSpec,
    options: &[u8],
    now: Instant,
) -> Result<Option<u64>, Failure> {
    let (mut timeout, mut memory) = (spec.options.timeout, spec.options.memory);
    if !options.is_empty() {
        let options: EntryOptions =
            codec::decode(options).map_err(|error| Failure::codec(&error))?;
        timeout = options.timeout.or(timeout);
        memory = options.memory.or(memory);
        context.key = options.key;
        context.skip.forced = options.force;
    }
    context.deadline = timeout
        .filter(|timeout| *timeout < NEVER)
        .map(|timeout| after(now, timeout));
    Ok(memory)
}

/// Why nothing can run under a limit: an idle slot takes more by itself. `whose` names the limit.
pub(super) fn too_low(whose: &str, limit: u64, resting: Option<u64>) -> Option<Failure> {
    let resting = resting.filter(|resting| *resting >= limit)?;
    let message = format!(
        "{whose} memory limit of {limit} bytes is not more than the {resting} bytes that an idle slot of this program takes; allow that much and what the tasks need"
    );
    Some(Failure {
        retryable: false,
        ..Failure::new(Cause::Rejected, message)
    })
}

fn check_length(output: usize) -> Result<(), Failure> {
    if output > MAX_OUTPUT - HEADS {
        let message = format!("its output of {output} bytes is larger than a message can be");
        return Err(Failure {
            retryable: false,
            ..Failure::new(Cause::Rejected, message)
        });
    }
    Ok(())
}

/// CPU time of the process.
#[cfg(unix)]
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

/// Not reported on this system.
#[cfg(not(unix))]
const fn cpu_time() -> Duration {
    Duration::ZERO
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_below_an_idle_slot_is_refused_with_both_numbers() {
        assert!(too_low("its", 100, Some(99)).is_none() && too_low("its", 100, None).is_none());
        let failure = too_low("its", 100, Some(7_000)).unwrap();
        assert!(!failure.retryable);
        for number in ["its memory limit of 100 ", "7000 bytes"] {
            assert!(failure.message.contains(number), "{}", failure.message);
        }
    }
}
