//! Open files: how many the slots of a pool need, and the process's limit on them.
//!
//! Many systems give a process 1,024 and let it raise that far: a soft limit below a hard one. A pool that needs more
//! raises the soft limit. Slots get the limit that the program was started with, for what their tasks run may rely on
//! it (`select` takes descriptors below 1,024 only).

#[cfg(unix)]
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(unix)]
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[cfg(unix)]
use crate::lock::lock;

/// Descriptors that the worker holds of each slot: two sockets, two pipes, the cell of its progress, the watch over its
/// process.
const PER_PROCESS: u64 = 6;
/// Descriptors of a slot that is a thread: what the runtime of its async tasks opens.
const PER_THREAD: u64 = 5;
/// What the rest of the program gets at least: sockets and files of its own, and what a start needs for a moment.
// A start alone holds both ends of two sockets and of two pipes for a moment. With much less, a pool at its limit would
// leave the program no file to open.
const REST: u64 = 64;
/// The share of a small limit that the rest gets instead.
const REST_SHARE: u64 = 8;
/// What is taken to be open where the system does not report it.
const OPEN: u64 = 64;

/// What all pools of this process may need.
// Relaxed: a sum alone, each pool adds and subtracts its own part.
static PROMISED: AtomicU64 = AtomicU64::new(0);

/// The soft limit as the program had it, and what it was raised to; `None` inside is no limit.
#[cfg(unix)]
static RAISED: Mutex<Option<Raised>> = Mutex::new(None);

#[cfg(unix)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Raised {
    from: u64,
    to: Option<u64>,
}

/// The descriptors of a pool's slots. They count until this is dropped.
#[derive(Debug)]
pub struct Provision {
    slots: u32,
    wanted: u32,
    each: u64,
    limit: Option<u64>,
    promised: u64,
}

impl Provision {
    /// Raises the limit on open files where so many slots need it.
    #[must_use]
    pub fn of_processes(slots: u32) -> Self {
        Self::of(slots, PER_PROCESS)
    }

    /// The same for slots that are threads.
    #[must_use]
    pub fn of_threads(slots: u32) -> Self {
        Self::of(slots, PER_THREAD)
    }

    fn of(slots: u32, each: u64) -> Self {
        let need = u64::from(slots) * each;
        let promised = PROMISED.fetch_add(need, Ordering::Relaxed) + need;
        let limit = raise(promised);
        Self {
            slots: fitting(limit, open(), slots, each),
            wanted: slots,
            each,
            limit,
            promised: need,
        }
    }

    /// How many of the slots the limit leaves room for; one at least.
    #[must_use]
    pub const fn slots(&self) -> u32 {
        self.slots
    }

    /// Why it is fewer slots than were requested, if it is.
    #[must_use]
    pub fn shortfall(&self) -> Option<String> {
        let limit = self.limit.filter(|_| self.slots < self.wanted)?;
        Some(format!(
            "{} of {} slots will work: a slot takes {} descriptors of this process, which may open {limit} files and no more; raise the hard limit (`ulimit -Hn`), or ask for fewer (`max_workers`)",
            self.slots, self.wanted, self.each
        ))
    }
}

impl Drop for Provision {
    fn drop(&mut self) {
        PROMISED.fetch_sub(self.promised, Ordering::Relaxed);
    }
}

/// Raises the soft limit if this many descriptors for slots do not fit. Gives the limit that holds then.
#[cfg(unix)]
fn raise(promised: u64) -> Option<u64> {
    // Held over read and change of the limit: two pools that are built at once must not undo each other.
    let mut raised = lock(&RAISED);
    let limit = getrlimit(Resource::Nofile);
    let soft = limit.current?;
    // What slots have open already counts twice, in `open` and in `promised`: the limit is raised somewhat early, never
    // late.
    let needed = open() + promised + REST;
    if needed <= soft {
        return Some(soft);
    }
    // Some systems have a hard limit that they do not give: then what is needed has to do.
    for wanted in [limit.maximum, Some(needed)] {
        if wanted.is_some_and(|wanted| wanted <= soft) || above(wanted, limit.maximum) {
            continue;
        }
        let new = Rlimit {
            current: wanted,
            maximum: limit.maximum,
        };
        match setrlimit(Resource::Nofile, new) {
            Ok(()) => {
                // A limit that was raised before was raised for the program that began with less.
                let from = match *raised {
                    Some(before) if before.to == Some(soft) => before.from,
                    _ => soft,
                };
                *raised = Some(Raised { from, to: wanted });
                tracing::debug!(from = soft, to = ?wanted, "the limit on open files is raised for the slots");
                return wanted;
            }
            Err(error) => {
                tracing::debug!(%error, ?wanted, "the limit on open files cannot be raised");
            }
        }
    }
    Some(soft)
}

/// There is no such limit here.
#[cfg(not(unix))]
const fn raise(_promised: u64) -> Option<u64> {
    None
}

/// Whether a limit is above another; `None` is no limit.
#[cfg(unix)]
fn above(limit: Option<u64>, other: Option<u64>) -> bool {
    match (limit, other) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(limit), Some(other)) => limit > other,
    }
}

/// How many slots fit beside what is open.
fn fitting(limit: Option<u64>, open: u64, slots: u32, each: u64) -> u32 {
    let Some(limit) = limit else {
        return slots;
    };
    let rest = REST.min(limit / REST_SHARE);
    let room = limit.saturating_sub(open + rest) / each;
    u32::try_from(room).map_or(slots, |room| room.clamp(1, slots.max(1)))
}

/// How many descriptors are open.
fn open() -> u64 {
    let listing = if cfg!(target_os = "linux") {
        "/proc/self/fd"
    } else {
        "/dev/fd"
    };
    let entries = std::fs::read_dir(listing).map(Iterator::count);
    entries
        .ok()
        .and_then(|n| u64::try_from(n).ok())
        .unwrap_or(OPEN)
}

/// The soft limit that a slot must have, if this process has another: the one that the program was started with. One
/// that the program has set since is meant for its children.
#[cfg(unix)]
pub(crate) fn limit_of_slots() -> Option<u64> {
    let raised = (*lock(&RAISED))?;
    (getrlimit(Resource::Nofile).current == raised.to).then_some(raised.from)
}

/// Gives this process, a slot, the soft limit that the program was started with.
#[cfg(unix)]
pub(crate) fn restore(soft: u64) {
    let new = Rlimit {
        current: Some(soft),
        maximum: getrlimit(Resource::Nofile).maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, new) {
        tracing::debug!(%error, soft, "the limit on open files stays raised in this slot");
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn as_many_slots_as_fit_beside_what_is_open() {
        assert_eq!(fitting(None, 10, 250, PER_PROCESS), 250);
        assert_eq!(fitting(Some(1 << 20), 10, 250, PER_PROCESS), 250);
        assert_eq!(fitting(Some(1024), 14, 250, PER_PROCESS), 157);
        assert_eq!(fitting(Some(1024), 14, 100, PER_PROCESS), 100);
        assert_eq!(
            fitting(Some(64), 14, 250, PER_PROCESS),
            7,
            "the rest has an eighth"
        );
        assert_eq!(fitting(Some(64), 200, 250, PER_PROCESS), 1, "one at least");
        assert_eq!(fitting(Some(1024), 14, 180, PER_THREAD), 180);
        assert_eq!(fitting(Some(u64::MAX), 10, u32::MAX, PER_PROCESS), u32::MAX);
    }

    #[test]
    fn no_limit_is_above_every_limit() {
        assert!(above(None, Some(9)) && above(Some(9), Some(8)));
        assert!(!above(None, None) && !above(Some(9), None) && !above(Some(8), Some(8)));
    }

    #[test]
    fn fewer_slots_are_reported_with_the_number_and_the_limit() {
        let provision = |slots| Provision {
            each: PER_PROCESS,
            slots,
            wanted: 250,
            limit: Some(1024),
            promised: 0,
        };
        assert_eq!(provision(250).shortfall(), None);
        let text = provision(157).shortfall().unwrap();
        for word in ["157 of 250", "1024", "ulimit -Hn", "max_workers"] {
            assert!(text.contains(word), "{text}");
        }
    }
}
