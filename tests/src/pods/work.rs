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

/// Takes a while.
#[podpool::task]
pub async fn toil(ctx: &TaskContext, n: u64, time: Duration) -> Ran {
    tokio::time::sleep(time).await;
    Ran::here(ctx, n)
}

/// Waits at a desk with its thread blocked, deaf to any request to stop.
#[podpool::task]
pub fn visit(ctx: &TaskContext, desk: String, n: u64) -> anyhow::Result<Ran> {
    visits::wait(ctx, &desk, n)?;
    Ok(Ran::here(ctx, n))
}

/// Takes a while with its thread blocked, deaf to any request to stop.
#[podpool::task]
pub fn toil_deaf(ctx: &TaskContext, n: u64, time: Duration) -> Ran {
    sleep_deaf(time);
    Ran::here(ctx, n)
}

#[expect(clippy::disallowed_methods, reason = "the sleep is the work")]
fn sleep_deaf(time: Duration) {
    std::thread::sleep(time);
}

/// Waits at a desk, then takes memory until its container has no more, and the kernel ends it.
///
/// In control groups of version 2 the whole container ends. In those of version 1 the kernel chooses one process: the
/// memory here is a file's, which is no process's own, and so it chooses the worker, which offers itself first.
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
