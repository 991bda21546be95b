//! Runs that are remembered, in a directory below the system's temporary one: what the ledger costs, what it takes on
//! the disk, and what the next start of a run finds.
//!
//! All with `synchronous=FULL`, the default, unless the case is called otherwise. Every call has a key.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail};
use podpool::ledger::{Durability, SqliteLedger};
use podpool::prelude::*;
use podpool::testing::Builder as _;

use crate::case::{CHILDREN, Case, WARM_UP};
use crate::measure::rate;
use crate::memory::peak_resident;
use crate::pool::{echo, nap, on_a_runtime};

/// Milliseconds of a task that is no no-op.
const NAP: u64 = 10;
/// Of so many tasks of a run that is resumed one is missing.
const MISSING: u64 = 100;

/// The cases with a ledger, and what they are compared with.
pub const CASES: [Case; 9] = [
    Case {
        name: "ledger-burst",
        run: |n| on_a_runtime(burst(n, Some(Durability::Full))),
    },
    Case {
        name: "ledger-burst-normal",
        run: |n| on_a_runtime(burst(n, Some(Durability::Normal))),
    },
    Case {
        name: "keyed-burst",
        run: |n| on_a_runtime(burst(n, None)),
    },
    Case {
        name: "ledger-naps",
        run: |n| on_a_runtime(naps(n, Some(Durability::Full))),
    },
    Case {
        name: "keyed-naps",
        run: |n| on_a_runtime(naps(n, None)),
    },
    Case {
        name: "ledger-disk",
        run: |n| on_a_runtime(disk(n)),
    },
    Case {
        name: "ledger-memory",
        run: |n| on_a_runtime(memory(n)),
    },
    Case {
        name: "ledger-open",
        run: |n| on_a_runtime(open(n)),
    },
    Case {
        name: "ledger-resume",
        run: |n| on_a_runtime(resume(n)),
    },
];

/// A directory for the ledger of one case, removed with its value.
#[derive(Debug)]
pub struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        // What stays is in the system's temporary directory.
        fs::remove_dir_all(&self.0).ok();
    }
}

impl Place {
    /// A place of this process.
    #[must_use]
    pub fn new() -> Self {
        let name = format!("podpool-bench-{}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    /// The next start of the run.
    ///
    /// # Errors
    /// The pool cannot be built.
    pub async fn pool(&self, durability: Durability) -> anyhow::Result<PodPoolExecutor> {
        let ledger = SqliteLedger::new(&self.0).durability(durability);
        let builder = PodPoolExecutor::builder().max_workers(CHILDREN);
        let builder = builder.run("bench").remembered_in(Arc::new(ledger));
        builder.build().await.context("the pool cannot be built")
    }

    /// Bytes of all its files.
    fn bytes(&self) -> anyhow::Result<u64> {
        let mut bytes = 0;
        for entry in fs::read_dir(&self.0)? {
            bytes += entry?.metadata()?.len();
        }
        Ok(bytes)
    }
}

impl Default for Place {
    fn default() -> Self {
        Self::new()
    }
}

/// A pool, with a ledger at this place or without one.
async fn pool(place: &Place, durability: Option<Durability>) -> anyhow::Result<PodPoolExecutor> {
    match durability {
        Some(durability) => place.pool(durability).await,
        None => crate::pool::pool(CHILDREN as u32).await,
    }
}

fn keyed(i: u64) -> Call<u64> {
    echo(i).key(i.to_string())
}

/// Tasks per second: `n` with a key each, submitted one by one, all results awaited.
async fn burst(n: u64, durability: Option<Durability>) -> anyhow::Result<f64> {
    let place = Place::new();
    let pool = pool(&place, durability).await?;
    // Behind the keys of those that count.
    burst_through(&pool, n, WARM_UP.min(n)).await?;
    let start = Instant::now();
    burst_through(&pool, 0, n).await?;
    let speed = rate(n, start.elapsed());
    pool.shutdown().await?;
    Ok(speed)
}

async fn burst_through(pool: &PodPoolExecutor, first: u64, count: u64) -> anyhow::Result<()> {
    let calls = (first..first + count).map(|i| pool.submit(keyed(i)));
    let futures: Vec<_> = calls.collect();
    for (i, future) in (first..).zip(futures) {
        if future.await? != i {
            bail!("answer {i} is not its own");
        }
    }
    Ok(())
}

/// Tasks per second: `n` of 10 ms.
async fn naps(n: u64, durability: Option<Durability>) -> anyhow::Result<f64> {
    let place = Place::new();
    let pool = pool(&place, durability).await?;
    let call = |i: u64| nap(NAP).key(i.to_string());
    // They start the slots, and open the gate of the task type.
    for i in n..n + 2 * CHILDREN as u64 {
        pool.submit(call(i)).await?;
    }
    let start = Instant::now();
    let futures: Vec<_> = (0..n).map(|i| pool.submit(call(i))).collect();
    for future in futures {
        future.await?;
    }
    let speed = rate(n, start.elapsed());
    pool.shutdown().await?;
    Ok(speed)
}

/// Runs the tasks with these numbers through `map`.
///
/// # Errors
/// A task that fails.
pub async fn map_through(
    pool: &PodPoolExecutor,
    numbers: std::ops::Range<u64>,
) -> anyhow::Result<()> {
    let mut rows = pool.map(numbers.clone(), keyed);
    for expected in numbers {
        let row = rows.next().await.context("a row is missing")??;
        if row != expected {
            bail!("row {expected} is not its own");
        }
    }
    Ok(())
}

/// Bytes on the disk for each of `n` tasks, after the run.
async fn disk(n: u64) -> anyhow::Result<f64> {
    let place = Place::new();
    run_before(&place, 0..n).await?;
    Ok(place.bytes()? as f64 / n as f64)
}

/// MiB that the master of `n` tasks has at its peak, through `map`.
async fn memory(n: u64) -> anyhow::Result<f64> {
    let place = Place::new();
    let pool = place.pool(Durability::Full).await?;
    map_through(&pool, 0..n).await?;
    let peak = peak_resident()?;
    pool.shutdown().await?;
    Ok(peak as f64 / (1 << 20) as f64)
}

/// Runs the tasks with these numbers, and leaves.
async fn run_before(place: &Place, numbers: std::ops::Range<u64>) -> anyhow::Result<()> {
    let pool = place.pool(Durability::Full).await?;
    map_through(&pool, numbers).await?;
    pool.shutdown().await?;
    Ok(())
}

/// Milliseconds of `build()` for a run with `n` done tasks.
async fn open(n: u64) -> anyhow::Result<f64> {
    let place = Place::new();
    run_before(&place, 0..n).await?;
    let start = Instant::now();
    let pool = place.pool(Durability::Full).await?;
    let elapsed = start.elapsed();
    pool.shutdown().await?;
    Ok(elapsed.as_secs_f64() * 1e3)
}

/// Milliseconds from the start of a program until its first new result, where of `n` tasks the last hundredth is
/// missing: all the others are asked for before, through `map`.
async fn resume(n: u64) -> anyhow::Result<f64> {
    let place = Place::new();
    let done = n - n / MISSING;
    run_before(&place, 0..done).await?;
    let start = Instant::now();
    let pool = place.pool(Durability::Full).await?;
    map_through(&pool, 0..done + 1).await?;
    let elapsed = start.elapsed();
    let stored = pool.stats().stored;
    if stored != done {
        bail!("{stored} of {done} results were stored");
    }
    pool.shutdown().await?;
    Ok(elapsed.as_secs_f64() * 1e3)
}
