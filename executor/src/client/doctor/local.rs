//! This machine: memory for its slots, and the limit on open files.

#[cfg(unix)]
use rustix::process::{Resource, getrlimit};

use crate::doctor::Line;

const MEMORY: &str = "local.memory";
const OPEN_FILES: &str = "local.open-files";

/// Descriptors of this process for each slot that is a process, and for the rest of the program; as `podpool_core`'s
/// `slot::descriptors` counts them.
const PER_SLOT: u64 = 6;
const REST: u64 = 128;

/// Slots of this machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slots {
    pub(crate) slots: u32,
    /// Whether they are processes.
    pub(crate) processes: bool,
    /// The memory limit of each, in bytes.
    pub(crate) memory: Option<u64>,
    /// The memory that tasks share, in bytes.
    pub(crate) shared: Option<u64>,
}

pub(crate) fn look(slots: Slots) -> Vec<Line> {
    let mut lines = vec![judge_memory(slots)];
    #[cfg(unix)]
    if slots.processes {
        // The soft limit is raised to the hard one where slots need it.
        lines.push(judge_files(
            slots.slots,
            getrlimit(Resource::Nofile).maximum,
        ));
    }
    lines
}

fn judge_memory(it: Slots) -> Line {
    let count = it.slots;
    let mib = |bytes: u64| format!("{} MiB", bytes >> 20);
    match (it.memory, it.shared) {
        (_, None) => Line::skipped(MEMORY, "the system does not report its memory"),
        (Some(each), Some(shared)) if each.saturating_mul(u64::from(count)) > shared => {
            let seen = format!(
                "{count} slots may use {} each, and {} are there for all",
                mib(each),
                mib(shared)
            );
            let fix = "lower Builder::slot_memory or Builder::max_workers".to_owned();
            Line::warn(MEMORY, seen, fix)
        }
        (_, Some(shared)) => {
            let seen = format!("{} for the tasks of {count} slots", mib(shared));
            Line::pass(MEMORY, seen)
        }
    }
}

/// `limit` is the hard limit; none is no limit.
#[cfg(unix)]
fn judge_files(slots: u32, limit: Option<u64>) -> Line {
    let needed = u64::from(slots) * PER_SLOT + REST;
    match limit {
        Some(limit) if limit < needed => {
            let fit = limit.saturating_sub(REST) / PER_SLOT;
            let seen = format!(
                "this process may open {limit} files, which is enough for {fit} of {slots} slots"
            );
            let fix =
                format!("raise the hard limit: ulimit -Hn {needed}; or lower Builder::max_workers");
            if fit == 0 {
                Line::fail(OPEN_FILES, seen, fix)
            } else {
                Line::warn(OPEN_FILES, seen, fix)
            }
        }
        Some(limit) => Line::pass(OPEN_FILES, format!("{limit} for {slots} slots")),
        None => Line::pass(OPEN_FILES, "no limit"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Outcome;

    fn slots(memory: Option<u64>, shared: Option<u64>) -> Slots {
        Slots {
            slots: 4,
            processes: true,
            memory,
            shared,
        }
    }

    #[test]
    fn slots_that_may_use_more_than_there_is_are_a_warning() {
        let of = |memory, shared| judge_memory(slots(memory, shared)).outcome;
        assert_eq!(of(None, Some(8 << 30)), Outcome::Pass);
        assert_eq!(of(Some(2 << 30), Some(8 << 30)), Outcome::Pass);
        assert_eq!(of(Some(3 << 30), Some(8 << 30)), Outcome::Warn);
        assert_eq!(of(Some(u64::MAX), Some(8 << 30)), Outcome::Warn);
        assert_eq!(of(Some(1), None), Outcome::Skipped);
    }

    #[cfg(unix)]
    #[test]
    fn files_are_counted_for_each_slot() {
        assert_eq!(judge_files(4, Some(1_024)).outcome, Outcome::Pass);
        assert_eq!(judge_files(4, None).outcome, Outcome::Pass);
        let few = judge_files(1_000, Some(1_024));
        assert_eq!(few.outcome, Outcome::Warn);
        assert!(few.seen.contains("149 of 1000 slots"), "{few:?}");
        assert!(few.fix.unwrap().contains("ulimit -Hn 6128"));
        assert_eq!(judge_files(1, Some(64)).outcome, Outcome::Fail);
    }
}
