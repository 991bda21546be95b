//! The cases of the reference pool.

use std::time::Instant;

use anyhow::{Context, bail};

use super::BarePool;
use crate::case::{CHILDREN, Case, HEAVY, WARM_UP, WARM_UP_TRIPS};
use crate::measure::{median_micros, rate};

/// Frames on the way to each child of the reference pool.
// The window that the budgets of the scoreboard refer to.
const WINDOW: usize = 64;

/// The cases of the reference pool.
pub const CASES: [Case; 3] = [
    Case {
        name: "bare-burst",
        run: bare_burst,
    },
    Case {
        name: "bare-trip",
        run: bare_trip,
    },
    Case {
        name: "bare-load",
        run: bare_load,
    },
];

fn bare(window: usize) -> anyhow::Result<BarePool> {
    let program = std::env::current_exe().context("the path of this program is unknown")?;
    BarePool::start(&program, CHILDREN, window)
}

/// Tasks per second: `n` submitted one by one, all answers awaited.
fn bare_burst(n: u64) -> anyhow::Result<f64> {
    let mut pool = bare(WINDOW)?;
    // Children start and buffers grow outside of the measured time, as in the case of podpool.
    burst_through(&mut pool, WARM_UP.min(n))?;
    let start = Instant::now();
    burst_through(&mut pool, n)?;
    Ok(rate(n, start.elapsed()))
}

fn burst_through(pool: &mut BarePool, n: u64) -> anyhow::Result<()> {
    let futures: Vec<_> = (0..n)
        .map(|i| pool.submit(i.to_le_bytes().to_vec()))
        .collect();
    for (i, future) in (0..n).zip(futures) {
        if future.wait()? != i.to_le_bytes() {
            bail!("answer {i} is not its own");
        }
    }
    Ok(())
}

/// Median microseconds of `n` round trips, one at a time.
fn bare_trip(n: u64) -> anyhow::Result<f64> {
    let mut pool = bare(1)?;
    let mut times = Vec::with_capacity(usize::try_from(n)?);
    for i in 0..WARM_UP_TRIPS + n {
        let start = Instant::now();
        let answer = pool.submit(i.to_le_bytes().to_vec()).wait()?;
        let elapsed = start.elapsed();
        if answer != i.to_le_bytes() {
            bail!("answer {i} is not its own");
        }
        if i >= WARM_UP_TRIPS {
            times.push(elapsed);
        }
    }
    Ok(median_micros(&times))
}

/// MiB per second of `n` payloads of 1 MiB that go in and come out, each counted once.
fn bare_load(n: u64) -> anyhow::Result<f64> {
    let mut pool = bare(WINDOW)?;
    burst_through(&mut pool, WARM_UP_TRIPS)?;
    // Made before the clock starts: filling 1 MiB takes about as long as sending it.
    let payloads: Vec<_> = (0..n).map(|i| vec![i as u8; HEAVY]).collect();
    let start = Instant::now();
    let futures: Vec<_> = payloads.into_iter().map(|p| pool.submit(p)).collect();
    let answers = futures.into_iter().map(|future| future.wait());
    let answers = answers.collect::<anyhow::Result<Vec<_>>>()?;
    let speed = rate(n, start.elapsed());
    for (i, answer) in (0..n).zip(&answers) {
        if answer.len() != HEAVY || answer.iter().any(|byte| *byte != i as u8) {
            bail!("payload {i} came back changed");
        }
    }
    Ok(speed)
}
