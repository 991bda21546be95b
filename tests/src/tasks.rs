//! The tasks that the suite runs.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anyhow::Context as _;
use podpool::error::{BuildError, CommitError};
use podpool::{Committed, PodPoolExecutor, TaskContext};
use serde::{Deserialize, Serialize, Serializer};

use crate::address::Address;
use crate::journal::note;
use crate::meeting::{meet_at, wait_at};

/// Gives its argument back.
#[podpool::task]
pub fn echo(n: u64) -> u64 {
    n
}

/// As [`echo`], async.
#[podpool::task]
pub async fn echo_async(n: u64) -> u64 {
    n
}

/// The sum of the counts.
#[podpool::task]
pub fn total(counts: BTreeMap<String, u64>) -> u64 {
    counts.values().sum()
}

/// As [`total`], of a map without an order.
#[podpool::task]
#[expect(clippy::implicit_hasher, reason = "a task is not generic")]
pub fn total_hashed(counts: HashMap<String, u64>) -> u64 {
    counts.values().sum()
}

/// Returns nothing.
#[podpool::task]
pub fn nothing() {}

/// Gives bytes back in reverse.
#[podpool::task]
pub fn reverse(bytes: Vec<u8>) -> Vec<u8> {
    bytes.into_iter().rev().collect()
}

/// Takes a while, and gives its argument back.
#[podpool::task]
pub async fn slow(n: u64, time: Duration) -> u64 {
    tokio::time::sleep(time).await;
    n
}

/// Waits at a gate, and gives its name back.
#[podpool::task]
pub async fn hold(gate: Address, name: u32) -> u32 {
    // An error means that the gate is open or gone: the task then continues, and returns its result.
    wait_at(&gate, name).await.ok();
    name
}

/// Waits at a gate with its thread blocked.
#[podpool::task]
pub fn block(gate: Address, name: u32) -> u32 {
    meet_at(gate, name).ok();
    name
}

/// Waits at a gate, then fails.
#[podpool::task]
pub async fn hold_and_fail(gate: Address, name: u32) -> anyhow::Result<u32> {
    wait_at(&gate, name).await.ok();
    anyhow::bail!("task {name} was told to fail")
}

/// Waits at a gate until the task is cancelled, and writes the cancellation to a journal.
#[podpool::task]
pub async fn hold_until_cancelled(ctx: &TaskContext, gate: Address, journal: Address) -> u32 {
    tokio::select! {
        () = ctx.cancelled() => {
            note(&journal, "cancelled").ok();
        }
        _ = wait_at(&gate, 0) => {}
    }
    std::process::id()
}

/// Writes a line.
#[podpool::task]
pub fn write_line(journal: Address, line: String) -> anyhow::Result<()> {
    note(&journal, &line).context("the journal refused")?;
    Ok(())
}

/// Fails until its attempt is above `failures`, and returns which attempt gave the result.
#[podpool::task(backoff = "10ms..20ms")]
pub fn flaky(ctx: &TaskContext, failures: u32) -> anyhow::Result<u32> {
    let attempt = ctx.attempt().0;
    anyhow::ensure!(attempt > failures, "attempt {attempt} was told to fail");
    Ok(attempt)
}

/// As [`flaky`], with retries of its own.
#[podpool::task(retries = 2, backoff = "10ms..20ms")]
pub fn flaky_twice(ctx: &TaskContext, failures: u32) -> anyhow::Result<u32> {
    let attempt = ctx.attempt().0;
    anyhow::ensure!(attempt > failures, "attempt {attempt} was told to fail");
    Ok(attempt)
}

/// Fails with a text of this many bytes, and a cause as long; or panics with that text, without a line on standard
/// error.
#[podpool::task(retries = 2, backoff = "10ms..20ms")]
pub fn speak_at_length(bytes: usize, panics: bool) -> anyhow::Result<()> {
    let words = "x".repeat(bytes);
    if panics {
        std::panic::resume_unwind(Box::new(words));
    }
    Err(anyhow::Error::msg(words.clone()).context(words))
}

/// Fails once, and waits for ten minutes before its second attempt.
#[podpool::task(retries = 1, backoff = "10m..10m")]
pub fn patient(ctx: &TaskContext) -> anyhow::Result<u32> {
    let attempt = ctx.attempt().0;
    anyhow::ensure!(attempt > 1, "attempt {attempt} was told to fail");
    Ok(attempt)
}

/// Panics until its attempt is above `panics`.
#[podpool::task(backoff = "10ms..20ms")]
pub fn panicking(ctx: &TaskContext, panics: u32) -> u32 {
    let attempt = ctx.attempt().0;
    assert!(attempt > panics, "attempt {attempt} was told to panic");
    attempt
}

/// Panics, async.
#[podpool::task]
pub async fn panicking_async() -> u32 {
    tokio::task::yield_now().await;
    panic!("an async body was told to panic")
}

/// Commits its place as the output `n.txt` of a directory, and returns that place if it has written the output.
#[podpool::task]
pub async fn commit_place(
    ctx: &TaskContext,
    directory: String,
    n: u64,
) -> anyhow::Result<Option<String>> {
    let place = format!("{} of {n} by {}", "x".repeat(10_000), ctx.execution());
    let path = format!("{directory}/{n}.txt");
    let committed = ctx.commit_once(path, place.clone()).await?;
    Ok((committed == Committed::Written).then_some(place))
}

/// Commits the number of its attempt as its output.
#[podpool::task(output = "{directory}/{n}.txt")]
pub fn write_output(ctx: &TaskContext, directory: String, n: u64) -> Result<(), CommitError> {
    ctx.commit_once_blocking(ctx.output()?, format!("{n} of {directory}"))?;
    Ok(())
}

/// Doubles a number. The double of 0 is known without the body, and stated as 100; 13 ends in a panic before the body.
#[podpool::task(skip_if = known_double)]
pub fn double(n: u64) -> u64 {
    n * 2
}

fn known_double(n: &u64) -> Option<u64> {
    assert!(*n != 13, "a function that skips was told to panic");
    (*n == 0).then_some(100)
}

/// Fails with two causes under it.
#[podpool::task]
pub fn chained() -> anyhow::Result<()> {
    let error = std::io::Error::new(std::io::ErrorKind::NotFound, "no such day");
    Err(error)
        .context("the file cannot be read")
        .context("the day failed")
}

/// Fails in a way that another attempt cannot cure.
#[podpool::task(retries = 5, backoff = "10ms..20ms")]
pub fn hopeless() -> anyhow::Result<()> {
    Err(podpool::permanent("bad input").into())
}

/// The error of [`picky`].
#[derive(Debug)]
pub struct Passing(bool);

impl std::fmt::Display for Passing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0 {
            "a passing fault"
        } else {
            "a lasting fault"
        })
    }
}

impl std::error::Error for Passing {}

fn passes(error: &Passing) -> bool {
    error.0
}

/// Fails always; only a passing fault is worth a retry.
#[podpool::task(retries = 2, retry_on = passes, backoff = "10ms..20ms")]
pub fn picky(passing: bool) -> Result<(), Passing> {
    Err(Passing(passing))
}

/// What a task saw of its context.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The run's name.
    pub run: String,
    /// The task's number.
    pub task: u64,
    /// The attempt.
    pub attempt: u32,
    /// The key of the call.
    pub key: Option<String>,
    /// The worker's name.
    pub worker: String,
    /// Whether there was a deadline.
    pub deadline: bool,
    /// Whether it was cancelled before it began.
    pub cancelled: bool,
}

/// Looks at its context.
#[podpool::task]
pub fn look_around(ctx: &TaskContext) -> Seen {
    Seen {
        run: ctx.run().to_string(),
        task: ctx.task().0,
        attempt: ctx.attempt().0,
        key: ctx.key().map(ToOwned::to_owned),
        worker: ctx.worker().to_owned(),
        deadline: ctx.deadline().is_some(),
        cancelled: ctx.is_cancelled(),
    }
}

/// A number that refuses to be encoded when it is negative.
#[derive(Clone, Debug, Deserialize)]
pub struct Stubborn(#[serde(default)] pub i64);

impl Serialize for Stubborn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 < 0 {
            return Err(serde::ser::Error::custom("it is negative"));
        }
        serializer.serialize_newtype_struct("Stubborn", &self.0)
    }
}

/// Takes what may refuse to be encoded.
#[podpool::task]
pub fn take_stubborn(stubborn: Stubborn) -> i64 {
    stubborn.0
}

/// Returns what may refuse to be encoded.
#[podpool::task]
pub fn give_stubborn(n: i64) -> Stubborn {
    Stubborn(n)
}

/// Tries to build a pool of its own, and returns the outcome.
#[podpool::task]
pub async fn nest() -> String {
    match PodPoolExecutor::builder().max_workers(1).build().await {
        Ok(_) => "it was built".to_owned(),
        Err(BuildError::NestedPool) => "NestedPool".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// The process it runs in.
#[podpool::task]
pub fn pid() -> u32 {
    std::process::id()
}

/// Prints lines, then fails.
#[podpool::task]
#[expect(clippy::print_stdout, reason = "that a task prints is what is tested")]
pub fn print_and_fail(lines: u32) -> anyhow::Result<()> {
    for line in 0..lines {
        println!("line {line}");
    }
    anyhow::bail!("it printed and failed")
}

/// Prints so many long lines to both streams.
#[podpool::task]
#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "that a task prints is what is tested"
)]
pub fn print_much(n: u64, lines: u32) -> u64 {
    let rest = "x".repeat(100);
    for line in 0..lines {
        println!("line {line} {rest}");
        eprintln!("line {line} {rest}");
    }
    n
}

/// Ends its process by an abort while its attempt is not above `aborts`.
#[podpool::task]
pub fn aborting(ctx: &TaskContext, aborts: u32) -> u32 {
    if ctx.attempt().0 <= aborts {
        std::process::abort();
    }
    ctx.attempt().0
}

/// Ends its process with a code.
#[podpool::task]
#[expect(clippy::exit, reason = "that a task exits is what is tested")]
pub fn exiting(code: i32) {
    std::process::exit(code)
}

/// Kills its process while its attempt is not above `kills`.
#[podpool::task]
pub fn killed(ctx: &TaskContext, kills: u32) -> u32 {
    if ctx.attempt().0 <= kills {
        let itself = rustix::process::getpid();
        // The signal cannot be caught: what follows never runs.
        rustix::process::kill_process(itself, rustix::process::Signal::KILL).ok();
    }
    ctx.attempt().0
}

/// Recurses so many times, with a frame of at least 4 KiB each.
#[podpool::task]
pub fn overflowing(depth: u64) -> u64 {
    fn deeper(depth: u64) -> u64 {
        let room = std::hint::black_box([depth; 512]);
        if depth == 0 {
            0
        } else {
            deeper(depth - 1) + room[7]
        }
    }
    deeper(depth)
}

/// Takes memory until the process is killed; 4 GiB at most, so that a broken limit does not exhaust the machine.
#[podpool::task]
pub fn greedy() -> usize {
    let mut taken: Vec<Vec<u8>> = Vec::new();
    loop {
        taken.push(std::hint::black_box(vec![7; 1 << 20]));
        if taken.len() > 4096 {
            return taken.len();
        }
    }
}

thread_local! {
    /// How often the initializer ran in this slot; a slot's tasks run on one thread.
    static INITIALISED: Cell<u32> = const { Cell::new(0) };
}

/// An initializer: counts, and writes a line.
#[podpool::task]
pub fn set_up(journal: Address) -> anyhow::Result<()> {
    INITIALISED.set(INITIALISED.get() + 1);
    note(&journal, "set up").context("the journal refused")?;
    Ok(())
}

/// How often the initializer ran in the slot.
#[podpool::task]
pub fn count_set_ups() -> u32 {
    INITIALISED.get()
}

/// An initializer that fails always.
#[podpool::task]
pub fn refuse_to_set_up() -> anyhow::Result<()> {
    anyhow::bail!("the licence has expired")
}

/// An initializer that panics.
#[podpool::task]
pub fn panic_at_set_up() {
    panic!("the model is not there")
}

/// An initializer that fails in the first slot and in no other.
#[podpool::task]
pub fn set_up_at_second_try(journal: Address) -> anyhow::Result<()> {
    let lines = note(&journal, "set up").context("the journal refused")?;
    anyhow::ensure!(lines > 1, "the first slot was told to fail");
    Ok(())
}

/// Waits at a gate, then gives its argument back.
#[podpool::task]
pub async fn echo_behind(gate: Address, n: u64) -> u64 {
    wait_at(&gate, 0).await.ok();
    n
}

/// Waits at a gate, then writes a line.
#[podpool::task]
pub async fn hold_and_write(gate: Address, journal: Address) -> anyhow::Result<()> {
    wait_at(&gate, 0).await.ok();
    note(&journal, "went").context("the journal refused")?;
    Ok(())
}

/// Fails once, and runs again after 300 ms, or half of it.
#[podpool::task(retries = 1, backoff = "300ms..300ms")]
pub fn after_a_delay(ctx: &TaskContext) -> anyhow::Result<u32> {
    let attempt = ctx.attempt().0;
    anyhow::ensure!(attempt > 1, "attempt {attempt} was told to fail");
    Ok(attempt)
}

/// Takes so long at its first two attempts, and none at the third.
#[podpool::task(backoff = "10ms..20ms")]
pub async fn slow_at_first(ctx: &TaskContext, time: Duration) -> u32 {
    if ctx.attempt().0 < 3 {
        tokio::time::sleep(time).await;
    }
    ctx.attempt().0
}

// Thousands of attempts fail in a storm. With RUST_BACKTRACE=1 anyhow and the panic hook would capture the stack of
// each, which takes longer than the storm itself. So the errors are texts, and the panics skip the hook.

/// Fails until its attempt is above `failures`, then gives `n` and the attempt, added.
#[podpool::task(backoff = "5ms..20ms")]
pub fn storm_flaky(ctx: &TaskContext, n: u64, failures: u32) -> Result<u64, String> {
    let attempt = ctx.attempt().0;
    if attempt <= failures {
        return Err(format!("attempt {attempt} was told to fail"));
    }
    Ok(n + u64::from(attempt))
}

/// Panics, without a call of the hook.
#[podpool::task]
pub fn storm_panic(n: u64) -> u64 {
    std::panic::resume_unwind(Box::new(format!("task {n} was told to panic")))
}

/// A value of any depth.
#[derive(Debug, Serialize, Deserialize)]
pub enum Nested {
    /// The innermost.
    Core,
    /// One around another.
    Around(Box<Self>),
}

impl Nested {
    /// So many around a core.
    #[must_use]
    pub fn new(depth: u32) -> Self {
        (0..depth).fold(Self::Core, |inner, _| Self::Around(Box::new(inner)))
    }

    /// How many there are around the core.
    #[must_use]
    pub fn depth(&self) -> u32 {
        let mut depth = 0;
        let mut at = self;
        while let Self::Around(inner) = at {
            depth += 1;
            at = inner;
        }
        depth
    }
}

impl Drop for Nested {
    /// Drops level after level in a loop: a recursive drop would overflow the stack, and only the codec is tested.
    fn drop(&mut self) {
        let Self::Around(first) = self else { return };
        let mut next = std::mem::replace(&mut **first, Self::Core);
        while let Self::Around(inner) = &mut next {
            next = std::mem::replace(&mut **inner, Self::Core);
        }
    }
}

/// Makes a value of this depth.
#[podpool::task]
pub fn nest_deep(depth: u32) -> Nested {
    Nested::new(depth)
}

/// Takes a value of any depth.
#[podpool::task]
pub fn depth_of(nested: Nested) -> u32 {
    nested.depth()
}
