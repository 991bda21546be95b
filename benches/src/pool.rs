//! The cases of podpool itself: what the reference does, by the calls that a user writes.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use podpool::prelude::*;

use crate::case::{CHILDREN, Case, HEAVY, WARM_UP, WARM_UP_TRIPS};
use crate::measure::{median_micros, rate};
use crate::memory::peak_resident;

/// The number of tasks of the row that Lithops publishes, and a number of slots that divides it.
const NAPS: u64 = 225;
const NAP_SLOTS: u32 = 25;

/// The cases of podpool.
pub const CASES: [Case; 10] = [
    Case {
        name: "pool-burst",
        run: |n| on_a_runtime(burst(n)),
    },
    Case {
        name: "pool-submit",
        run: |n| on_a_runtime(submit(n)),
    },
    Case {
        name: "pool-map",
        run: |n| on_a_runtime(map(n)),
    },
    Case {
        name: "pool-map-memory",
        run: |n| on_a_runtime(map_memory(n)),
    },
    Case {
        name: "pool-trip",
        run: |n| on_a_runtime(trip(n)),
    },
    Case {
        name: "pool-load",
        run: |n| on_a_runtime(load(n)),
    },
    Case {
        name: "pool-load-vec",
        run: |n| on_a_runtime(load_vec(n)),
    },
    Case {
        name: "pool-naps",
        run: |n| on_a_runtime(naps(n)),
    },
    Case {
        name: "pool-cancel",
        run: |n| on_a_runtime(cancel(n)),
    },
    Case {
        name: "hello",
        run: |n| on_a_runtime(hello(n)),
    },
];

/// Gives its number back.
#[podpool::task]
pub fn echo(value: u64) -> u64 {
    value
}

/// Gives its bytes back.
#[podpool::task]
pub fn echo_bytes(payload: Bytes) -> Bytes {
    payload
}

/// Gives its bytes back as a vector of its own, where `Bytes` may be a part of the message that brought them.
#[podpool::task]
pub fn echo_vec(payload: Vec<u8>) -> Vec<u8> {
    payload
}

/// Waits, which needs no core.
#[podpool::task]
pub async fn nap(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

/// Cancels per second: `n` tasks wait, of two types in turn, and the newest is cancelled first.
async fn cancel(n: u64) -> anyhow::Result<f64> {
    let pool = pool(CHILDREN as u32).await?;
    let held: Vec<_> = (0..CHILDREN).map(|_| pool.submit(hold())).collect();
    let waiting: Vec<_> = (0..n)
        .map(|i| match i % 2 {
            0 => pool.submit(echo(i)).handle(),
            _ => pool.submit(small(i.to_le_bytes())).handle(),
        })
        .collect();
    // The newest first is the worst order for a queue that is searched from its front.
    let start = Instant::now();
    let cancels: Vec<_> = waiting
        .iter()
        .rev()
        .map(podpool::TaskHandle::cancel)
        .collect();
    for cancel in cancels {
        cancel.await;
    }
    let speed = rate(n, start.elapsed());
    // With a free slot tasks would have run before their cancels, and the rate would count those as cancelled.
    if held.iter().any(|future| future.is_done()) {
        bail!("a slot was not held");
    }
    Ok(speed)
}

/// Returns a greeting, as the task of the example `hello` does.
#[podpool::task]
pub fn greet(name: String) -> String {
    format!("hello {name}, from process {}", std::process::id())
}

/// The work of the example `hello`, for `n` names. The scoreboard measures the whole process from outside.
async fn hello(n: u64) -> anyhow::Result<f64> {
    let pool = PodPoolExecutor::builder()
        .max_workers(CHILDREN)
        .build()
        .await?;
    let mut greetings = vec![pool.submit(greet("Ada".into())).await?];
    let mut many = pool.map(1..n, |name| greet(name.to_string()));
    while let Some(greeting) = many.next().await {
        greetings.push(greeting?);
    }
    pool.shutdown().await?;
    if greetings.len() as u64 != n {
        bail!("{} greetings for {n} names", greetings.len());
    }
    Ok(n as f64)
}

/// Occupies its slot for ever.
#[podpool::task]
pub async fn hold() {
    std::future::pending::<()>().await;
}

/// Does nothing with eight bytes, which are eight bytes in any encoding.
#[podpool::task]
pub fn small(payload: [u8; 8]) {
    let _nothing = payload;
}

/// Blocks this thread on `work`, as a program's main thread does.
///
/// # Errors
/// The errors of `work`, or of a runtime that cannot be built.
pub fn on_a_runtime<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    // Timers for the cases that wait; without them parking is a futex, as in the reference.
    let runtime = runtime.enable_time().build();
    runtime.context("no runtime")?.block_on(work)
}

/// A pool with as many slots as the reference has children.
///
/// # Errors
/// The pool cannot be built.
pub async fn pool(slots: u32) -> anyhow::Result<PodPoolExecutor> {
    let pool = PodPoolExecutor::builder().max_workers(slots as usize);
    pool.build().await.context("the pool cannot be built")
}

/// Tasks per second: `n` submitted one by one, all results awaited.
async fn burst(n: u64) -> anyhow::Result<f64> {
    let pool = pool(CHILDREN as u32).await?;
    burst_through(&pool, WARM_UP.min(n)).await?;
    let start = Instant::now();
    burst_through(&pool, n).await?;
    let speed = rate(n, start.elapsed());
    pool.shutdown().await?;
    Ok(speed)
}

async fn burst_through(pool: &PodPoolExecutor, n: u64) -> anyhow::Result<Duration> {
    let mut futures = Vec::with_capacity(usize::try_from(n)?);
    let start = Instant::now();
    for i in 0..n {
        futures.push(pool.submit(echo(i)));
    }
    // The clock stops before the results are awaited: the time of the submits alone is measured, while the slots run.
    let submitted = start.elapsed();
    for (i, future) in (0..n).zip(futures) {
        if future.await? != i {
            bail!("answer {i} is not its own");
        }
    }
    Ok(submitted)
}

/// Submits per second while the slots run what was submitted before.
async fn submit(n: u64) -> anyhow::Result<f64> {
    let pool = pool(CHILDREN as u32).await?;
    burst_through(&pool, WARM_UP.min(n)).await?;
    let submitted = burst_through(&pool, n).await?;
    pool.shutdown().await?;
    Ok(rate(n, submitted))
}

/// Tasks per second through `map` with its default window.
async fn map(n: u64) -> anyhow::Result<f64> {
    let pool = pool(CHILDREN as u32).await?;
    map_through(&pool, WARM_UP.min(n)).await?;
    let start = Instant::now();
    map_through(&pool, n).await?;
    let speed = rate(n, start.elapsed());
    pool.shutdown().await?;
    Ok(speed)
}

async fn map_through(pool: &PodPoolExecutor, n: u64) -> anyhow::Result<()> {
    let mut rows = pool.map(0..n, echo);
    let mut expected = 0;
    while let Some(row) = rows.next().await {
        if row? != expected {
            bail!("row {expected} is not its own");
        }
        expected += 1;
    }
    if expected != n {
        bail!("{expected} rows of {n} came");
    }
    Ok(())
}

/// MiB that the process's peak grows by while `map` runs `n` tasks, after it ran a tenth of them.
async fn map_memory(n: u64) -> anyhow::Result<f64> {
    let pool = pool(CHILDREN as u32).await?;
    map_through(&pool, n / 10).await?;
    let before = peak_resident()?;
    map_through(&pool, n).await?;
    // The peak never falls, so what `map` keeps shows even if it was freed again.
    let grown = peak_resident()? - before;
    pool.shutdown().await?;
    Ok(grown as f64 / (1 << 20) as f64)
}

/// Median microseconds of `n` round trips, one at a time.
async fn trip(n: u64) -> anyhow::Result<f64> {
    let pool = pool(CHILDREN as u32).await?;
    let mut times = Vec::with_capacity(usize::try_from(n)?);
    for i in 0..WARM_UP_TRIPS + n {
        let start = Instant::now();
        let answer = pool.submit(echo(i)).await?;
        let elapsed = start.elapsed();
        if answer != i {
            bail!("answer {i} is not its own");
        }
        if i >= WARM_UP_TRIPS {
            times.push(elapsed);
        }
    }
    pool.shutdown().await?;
    Ok(median_micros(&times))
}

/// MiB per second of `n` payloads of 1 MiB that go in and come out, each counted once.
///
/// Both sides begin with vectors that they own and hand over, and end with all the answers in hand: the reference's
/// are vectors that nothing was copied to, ours `Bytes`.
async fn load(n: u64) -> anyhow::Result<f64> {
    load_through(n, |payload| echo_bytes(payload.into()), Bytes::as_ref).await
}

/// As `load`, with plain vectors in and out, which costs one more copy of the answer.
async fn load_vec(n: u64) -> anyhow::Result<f64> {
    load_through(n, echo_vec, Vec::as_slice).await
}

async fn load_through<T>(
    n: u64,
    call: impl Fn(Vec<u8>) -> Call<T>,
    bytes: impl Fn(&T) -> &[u8],
) -> anyhow::Result<f64>
where
    T: serde::de::DeserializeOwned + Send + 'static,
{
    let pool = pool(CHILDREN as u32).await?;
    burst_through(&pool, WARM_UP_TRIPS).await?;
    let payloads: Vec<_> = (0..n).map(|i| vec![i as u8; HEAVY]).collect();
    let start = Instant::now();
    let calls = payloads
        .into_iter()
        .map(|payload| pool.submit(call(payload)));
    let futures: Vec<_> = calls.collect();
    let mut answers = Vec::with_capacity(futures.len());
    for future in futures {
        answers.push(future.await?);
    }
    let speed = rate(n, start.elapsed());
    for (i, answer) in (0..n).zip(&answers) {
        let answer = bytes(answer);
        if answer.len() != HEAVY || answer.iter().any(|byte| *byte != i as u8) {
            bail!("payload {i} came back changed");
        }
    }
    pool.shutdown().await?;
    Ok(speed)
}

/// Percent over the ideal of 225 naps of so many milliseconds on 25 slots, the slots' start included.
async fn naps(milliseconds: u64) -> anyhow::Result<f64> {
    let pool = pool(NAP_SLOTS).await?;
    let start = Instant::now();
    let futures: Vec<_> = (0..NAPS).map(|_| pool.submit(nap(milliseconds))).collect();
    for future in futures {
        future.await?;
    }
    let elapsed = start.elapsed().as_secs_f64();
    pool.shutdown().await?;
    let ideal = NAPS.div_ceil(u64::from(NAP_SLOTS)) as f64 * milliseconds as f64 / 1e3;
    Ok((elapsed / ideal - 1.0) * 100.0)
}
