//! `map` with its default window, on four workers over Pub/Sub.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use podpool::prelude::*;
use podpool::testing::Builder as _;
use podpool_core::queue::Queue;

use super::workers::{PutOnly, Workers};
use super::{LEASE, Topics, on_a_runtime};
use crate::case::Case;
use crate::measure::rate;
use crate::memory::peak_resident;
use crate::pool::echo;

/// Workers, with one slot each.
const WORKERS: u32 = 4;
/// Tasks of another type that run before the clock does: the workers are up, and of the tasks that are measured nothing
/// is known yet.
const WARM_UP: u64 = 64;
/// A thread wakes about so much later than the end of its sleep.
// The kernel rounds a sleep up by its timer slack of 50 µs and the time to schedule the thread.
// <https://man7.org/linux/man-pages/man2/PR_SET_TIMERSLACK.2const.html>
const SLEEPS_LATE: Duration = Duration::from_micros(80);

/// The window that a row's reference sets: more than there are tasks, or than it takes.
const WIDE: usize = 100_000;

const MS: Duration = Duration::from_millis(1);

/// The cases of `map` over Pub/Sub.
pub(super) const CASES: [Case; 9] = [
    Case {
        name: "pubsub-map-1ms",
        run: |n| on_a_runtime(share_of_ideal(n, MS, None)),
    },
    Case {
        name: "pubsub-wide-1ms",
        run: |n| on_a_runtime(share_of_ideal(n, MS, Some(WIDE))),
    },
    Case {
        name: "pubsub-map-5ms",
        run: |n| on_a_runtime(share_of_ideal(n, 5 * MS, None)),
    },
    Case {
        name: "pubsub-wide-5ms",
        run: |n| on_a_runtime(share_of_ideal(n, 5 * MS, Some(WIDE))),
    },
    Case {
        name: "pubsub-map-50ms",
        run: |n| on_a_runtime(share_of_ideal(n, 50 * MS, None)),
    },
    Case {
        name: "pubsub-wide-50ms",
        run: |n| on_a_runtime(share_of_ideal(n, 50 * MS, Some(WIDE))),
    },
    Case {
        name: "pubsub-map-no-ops",
        run: |n| on_a_runtime(no_ops(n, None)),
    },
    Case {
        name: "pubsub-wide-no-ops",
        run: |n| on_a_runtime(no_ops(n, Some(WIDE))),
    },
    Case {
        name: "pubsub-map-memory",
        run: |n| on_a_runtime(memory(n)),
    },
];

/// Occupies its slot for so long: sleeps, and spins on the clock for the last part.
#[podpool::task]
#[expect(
    clippy::disallowed_methods,
    reason = "a task that takes its time is what is measured"
)]
pub fn nap(time: Duration) {
    let begun = Instant::now();
    std::thread::sleep(time.saturating_sub(SLEEPS_LATE));
    while begun.elapsed() < time {
        // The rest of the time is spun, so that a task of 1 ms takes 1 ms and the ideal is known.
        std::hint::spin_loop();
    }
}

/// A pool whose tasks run in worker processes, and what it consists of.
struct Fleet {
    pool: PodPoolExecutor,
    workers: Workers,
    topics: Topics,
}

impl Fleet {
    async fn start() -> anyhow::Result<Self> {
        // The first control subscription is that of the master's own worker, which gets no task.
        let topics = Topics::make(WORKERS + 1).await?;
        let tasks: Arc<dyn Queue> = Arc::new(PutOnly(topics.queue("tasks")?));
        let queues: [(_, Arc<dyn Queue>); 3] = [
            ("tasks", tasks),
            ("results", topics.queue("results")?),
            ("control", topics.queue("control")?),
        ];
        let pool = PodPoolExecutor::builder()
            .max_workers(WORKERS as usize)
            .exact_run_id(topics.run.clone())
            .lease(LEASE)
            .decorate_queues(Arc::new(move |name, queue| {
                let ours = queues.iter().find(|(own, _)| *own == name);
                ours.map_or(queue, |(_, ours)| ours.clone())
            }))
            .build()
            .await?;
        let workers = Workers::start(&std::env::current_exe()?, &topics.run, WORKERS)?;
        let fleet = Self {
            pool,
            workers,
            topics,
        };
        fleet.echo(WARM_UP, None).await?;
        Ok(fleet)
    }

    /// Maps so many tasks that do nothing.
    async fn echo(&self, n: u64, window: Option<usize>) -> anyhow::Result<()> {
        let mut rows = self.pool.map(0..n, echo);
        if let Some(calls) = window {
            rows = rows.window(calls);
        }
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

    async fn end(self) -> anyhow::Result<()> {
        self.pool.shutdown().await?;
        drop(self.workers);
        self.topics.remove().await
    }
}

/// Percent of the speed at which every slot always has one of `n` tasks, which take so much time each.
async fn share_of_ideal(n: u64, time: Duration, window: Option<usize>) -> anyhow::Result<f64> {
    let fleet = Fleet::start().await?;
    let begun = Instant::now();
    let mut rows = fleet.pool.map(0..n, |_| nap(time));
    if let Some(calls) = window {
        rows = rows.window(calls);
    }
    let mut count = 0;
    while let Some(row) = rows.next().await {
        row?;
        count += 1;
    }
    let elapsed = begun.elapsed();
    drop(rows);
    fleet.end().await?;
    if count != n {
        bail!("{count} rows of {n} came");
    }
    let ideal = time.as_secs_f64() * n as f64 / f64::from(WORKERS);
    Ok(ideal / elapsed.as_secs_f64() * 100.0)
}

/// Tasks per second.
async fn no_ops(n: u64, window: Option<usize>) -> anyhow::Result<f64> {
    let fleet = Fleet::start().await?;
    let begun = Instant::now();
    fleet.echo(n, window).await?;
    let speed = rate(n, begun.elapsed());
    fleet.end().await?;
    Ok(speed)
}

/// MiB that the process's peak grows by while `map` runs `n` tasks, after it ran half of them.
async fn memory(n: u64) -> anyhow::Result<f64> {
    let fleet = Fleet::start().await?;
    fleet.echo(n / 2, None).await?;
    let before = peak_resident()?;
    fleet.echo(n, None).await?;
    let grown = peak_resident()? - before;
    fleet.end().await?;
    Ok(grown as f64 / (1 << 20) as f64)
}
