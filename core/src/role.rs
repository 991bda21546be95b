//! The roles of a process, and how one process gives another its own.

#[cfg(unix)]
use std::ffi::OsString;
use std::sync::OnceLock;

use linkme::distributed_slice;

/// The variable that gives a process its role.
pub const ROLE_VARIABLE: &str = "PODPOOL_ROLE";

/// Its value in a worker process.
pub const WORKER_ROLE: &str = "worker";

/// What the value begins with in a slot. It holds the version: another version of this crate in the same program is not
/// meant. The worker's process id follows, and behind another colon the limit on open files that the slot must have, if its
/// worker has a higher one.
const SLOT_ROLE: &str = concat!("slot:", env!("CARGO_PKG_VERSION"), ":");

/// The role of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// It submits tasks.
    Master,
    /// It holds leases and feeds slots, on a cluster.
    Worker,
    /// It runs tasks.
    Slot,
}

/// The role of this process, once `init()` ran.
pub(crate) static ROLE: OnceLock<Role> = OnceLock::new();

/// The `test_slots!()` of a libtest program.
#[doc(hidden)]
#[distributed_slice]
pub static PODPOOL_TEST_SLOTS_0_1_0: [&'static str];

#[doc(hidden)]
pub use PODPOOL_TEST_SLOTS_0_1_0 as TEST_SLOTS;

/// The role variable's value for a slot of the worker `parent`.
#[cfg(unix)]
pub(crate) fn slot_role(parent: u32, open_files: Option<u64>) -> String {
    let limit = open_files.map_or_else(String::new, |limit| format!(":{limit}"));
    format!("{SLOT_ROLE}{parent}{limit}")
}

/// What the role's value holds for a slot: its worker, and its limit on open files.
pub(crate) fn read_slot_role(value: &str) -> Option<(&str, Option<u64>)> {
    let value = value.strip_prefix(SLOT_ROLE)?;
    Some(match value.split_once(':') {
        Some((parent, limit)) => (parent, limit.parse().ok()),
        None => (value, None),
    })
}

/// The arguments with which this executable becomes a slot.
#[cfg(unix)]
pub(crate) fn slot_args() -> Vec<OsString> {
    // After `init()` the program's own `main` leads to the slot; only libtest, which never calls it, needs the name of
    // a test.
    let test = TEST_SLOTS.first().filter(|_| ROLE.get().is_none());
    let Some((_, test)) = test.and_then(|path| path.split_once("::")) else {
        return Vec::new();
    };
    [test, "--exact", "--nocapture", "--test-threads=1"]
        .map(OsString::from)
        .into()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_slot_reads_the_role_that_its_worker_wrote() {
        assert_eq!(read_slot_role(&slot_role(7, None)), Some(("7", None)));
        let limited = slot_role(7, Some(1024));
        assert_eq!(read_slot_role(&limited), Some(("7", Some(1024))));
        assert_eq!(read_slot_role(WORKER_ROLE), None);
    }

    #[test]
    fn a_role_of_another_version_is_not_meant() {
        assert_eq!(read_slot_role("slot:0.0.0:7"), None);
        assert_eq!(read_slot_role("slot:7"), None);
    }
}
