//! Pinning to one core, for rows whose unpinned number depends on where the scheduler puts two processes.

use anyhow::Context;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Pins the calling thread, and every thread and process it starts from now on, to the first core it may use.
///
/// # Errors
/// The kernel refuses, or names no core.
pub fn to_one_core() -> anyhow::Result<()> {
    let allowed = sched_getaffinity(None).context("the cores cannot be read")?;
    let core = (0..CpuSet::MAX_CPU)
        .find(|core| allowed.is_set(*core))
        .context("no core is allowed")?;
    let mut one = CpuSet::new();
    one.set(core);
    sched_setaffinity(None, &one).with_context(|| format!("cannot be pinned to core {core}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_passes_its_core_on() {
        let count = std::thread::spawn(|| {
            to_one_core().unwrap();
            let heir = std::thread::spawn(|| sched_getaffinity(None).unwrap().count());
            heir.join().unwrap()
        });
        assert_eq!(count.join().unwrap(), 1);
    }
}
