//! Tasks that return where they ran.

use std::io::Write;
use std::time::Duration;

use podpool::TaskContext;
use serde::{Deserialize, Serialize};

use super::visits;

/// An execution that gave a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ran {
    /// The number that the test gave the task.
    pub n: u64,
    /// The pod.
    pub worker: String,
    /// Its node.
    pub node: String,
    /// The attempt.
    pub attempt: u32,
}

impl Ran {
    fn here(ctx: &TaskContext, n: u64) -> Self {
        Self {
            n,
            worker: ctx.worker().to_owned(),
            node: ctx.node().to_owned(),
            attempt: ctx.attempt().0,
        }
    }
}

/// Sleeps for `time`.
#[podpool::task]
pub async fn toil(ctx: &TaskContext, n: u64, time: Duration) -> Ran {
    tokio::time::sleep(time).await;
    Ran::here(ctx, n)
}

/// Waits at a desk with its thread blocked, so that no request stops the task.
#[podpool::task]
pub fn visit(ctx: &TaskContext, desk: String, n: u64) -> anyhow::Result<Ran> {
    visits::wait(ctx, &desk, n)?;
    Ok(Ran::here(ctx, n))
}

/// Sleeps with its thread blocked, so that no request stops the task.
#[podpool::task]
pub fn toil_deaf(ctx: &TaskContext, n: u64, time: Duration) -> Ran {
    sleep_deaf(time);
    Ran::here(ctx, n)
}

#[expect(clippy::disallowed_methods, reason = "the sleep is the work")]
fn sleep_deaf(time: Duration) {
    std::thread::sleep(time);
}

/// Waits at a desk, then takes memory until the container's limit is reached, and the kernel ends the container.
///
/// In control groups of version 2 the whole container ends. In those of version 1 the kernel chooses one process: the
/// memory here is a file's, which counts for no process, and process 1, the worker, has the highest score.
#[podpool::task]
pub fn take_all_memory(ctx: &TaskContext, desk: String, n: u64) -> anyhow::Result<Ran> {
    visits::wait(ctx, &desk, n)?;
    std::fs::write("/proc/1/oom_score_adj", "1000")?;
    let file = rustix::fs::memfd_create("all", rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut file = std::fs::File::from(file);
    let block = vec![7; 1 << 20];
    for _ in 0..4096 {
        file.write_all(&block)?;
    }
    Ok(Ran::here(ctx, n))
}
