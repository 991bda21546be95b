//! Prints the live heap of a task in bytes.
//!
//! `pending`: one that waits, its payload and the caller's handle apart. Both slots are held, so that nothing ends; then
//! `--n` tasks of eight bytes are submitted, and the executor has moved them to where they wait when the count stands
//! still.
//!
//! `resumed`, with the feature `ledger`: one that is done in a run that is started again. What SQLite allocates is not
//! counted: its cache has 2 MB.

use std::alloc::System;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use podpool_benches::args::{self, Ask};
use podpool_benches::case::CHILDREN;
use podpool_benches::pool::{hold, on_a_runtime, pool, small};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes of a task's payload.
const PAYLOAD: usize = 8;

/// The count stands still when it moves by less than this, in bytes, within [`STILL`].
const NOISE: usize = 64 * 1024;
const STILL: Duration = Duration::from_millis(300);

/// Longest wait until the count stands still, in steps of [`STILL`]: a minute.
const STEPS: u32 = 200;

fn main() -> ExitCode {
    podpool::init();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is no other stream for the error where standard error is closed too.
            drop(writeln!(std::io::stderr(), "pending-heap: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let Ask::Case(asked) = args::parse(std::env::args().skip(1))? else {
        bail!("usage: pending-heap --case pending|resumed --n TASKS");
    };
    let n = usize::try_from(asked.n)?;
    let per_task = match asked.name.as_str() {
        #[cfg(feature = "ledger")]
        "resumed" => on_a_runtime(resumed(n))?,
        _ => on_a_runtime(pending(n))?,
    };
    writeln!(std::io::stdout(), "{per_task}").context("standard output is closed")
}

async fn pending(n: usize) -> anyhow::Result<f64> {
    let pool = pool(CHILDREN as u32).await?;
    let held: Vec<_> = (0..CHILDREN).map(|_| pool.submit(hold())).collect();
    // The vector of the caller's handles is allocated before the count begins, so that it is not counted.
    let mut futures = Vec::with_capacity(n);
    let before = settled().await?;
    for i in 0..n {
        futures.push(pool.submit(small((i as u64).to_le_bytes())));
    }
    let after = settled().await?;
    if let Some(ended) = held
        .iter()
        .chain(&futures)
        .position(|future| future.is_done())
    {
        bail!("task {ended} is not pending");
    }
    // The drop of the pool kills the slots; memory that is freed by the drop is no longer counted.
    Ok((after as f64 - before as f64) / n as f64 - PAYLOAD as f64)
}

#[cfg(feature = "ledger")]
async fn resumed(n: usize) -> anyhow::Result<f64> {
    use podpool::ledger::Durability;
    use podpool_benches::ledger::{Place, map_through};
    let place = Place::new();
    let first = place.pool(Durability::Full).await?;
    map_through(&first, 0..n as u64).await?;
    first.shutdown().await?;
    drop(first);
    let before = settled().await?;
    let second = place.pool(Durability::Full).await?;
    let after = settled().await?;
    second.shutdown().await?;
    Ok((after as f64 - before as f64) / n as f64)
}

/// The live heap once it stands still, in bytes.
async fn settled() -> anyhow::Result<usize> {
    let mut last = live();
    for _ in 0..STEPS {
        tokio::time::sleep(STILL).await;
        let now = live();
        if now.abs_diff(last) < NOISE {
            return Ok(now);
        }
        last = now;
    }
    bail!("the heap does not stand still")
}

fn live() -> usize {
    let stats = COUNTED.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}
