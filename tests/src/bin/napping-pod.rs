//! A master that runs in a pod, and its workers: tasks that sleep until the tasks are ended. With `NAPPING_POD=deaf`
//! the master ignores SIGTERM.

use std::time::Duration;

use podpool::prelude::*;
use podpool_tests::tasks;

const NAP: Duration = Duration::from_secs(3_600);

#[podpool::main]
async fn main() -> anyhow::Result<()> {
    let mut builder = PodPoolExecutor::builder().max_workers(2);
    // Process 1 of a container has no default action for SIGTERM, so without podpool's handler the signal is ignored.
    if std::env::var("NAPPING_POD").as_deref() == Ok("deaf") {
        builder = builder.signals(false);
    }
    let pool = builder.build().await?;
    let mut naps = pool.map(0..4, |n| tasks::slow(n, NAP));
    while let Some(nap) = naps.next().await {
        nap?;
    }
    Ok(pool.shutdown().await?)
}
