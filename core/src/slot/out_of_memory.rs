//! Which limit a process met that ended for want of memory, and what to raise.

use crate::outcome::Exit;
use crate::size::size;

/// Which limit a slot's process met that ended for want of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OutOfMemory {
    /// The limit that its task has of its own, in bytes.
    OfTask(u64),
    /// The limit of every slot, in bytes.
    OfSlot(u64),
    /// The limit of the control group that it is in with its worker, a container's or a pod's: in bytes, where the system reports it.
    /// The kernel killed it.
    OfGroup(Option<u64>),
    /// Its allocator was refused memory, without a limit of podpool.
    Refused,
}

impl OutOfMemory {
    /// The limit, in bytes, if it is known.
    #[must_use]
    pub const fn limit(self) -> Option<u64> {
        match self {
            Self::OfTask(limit) | Self::OfSlot(limit) => Some(limit),
            Self::OfGroup(limit) => limit,
            Self::Refused => None,
        }
    }

    /// Which limit was met, at which size, and what to raise, as a sentence about the process. `peak` is the highest
    /// number of resident bytes that was measured.
    #[must_use]
    pub fn reason(self, peak: Option<u64>, exit: Exit) -> String {
        let held = peak.map_or_else(String::new, |peak| format!(" (it held {})", size(peak)));
        match self {
            Self::OfTask(limit) => format!(
                "its process passed the task's own limit `memory` of {}{held}: {exit}; raise it, or hold less at once",
                size(limit)
            ),
            Self::OfSlot(limit) => format!(
                "its process passed the limit `Builder::slot_memory` of {}{held}: {exit}; raise it, or hold less at once",
                size(limit)
            ),
            Self::OfGroup(limit) => {
                let limit = limit.map_or_else(String::new, |limit| format!(" of {}", size(limit)));
                format!(
                    "the kernel killed its process at the memory limit{limit} of its worker's container: {exit}; on a cluster raise `KubernetesOptions::memory` (PODPOOL_MEMORY), let a worker run fewer tasks at a time, or hold less at once"
                )
            }
            Self::Refused => format!(
                "the system refused memory to its process{held}: {exit}; hold less at once, or use a machine with more"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_names_the_limit_its_value_and_what_to_raise() {
        let kill = Exit::Signal(9);
        let reason = OutOfMemory::OfTask(512 << 20).reason(Some((600 << 20) + 1), kill);
        assert!(
            reason.contains("`memory` of 512 MiB (it held 600.1 MiB)"),
            "{reason}"
        );
        let reason = OutOfMemory::OfSlot(1 << 30).reason(None, kill);
        assert!(
            reason.contains("`Builder::slot_memory` of 1 GiB: "),
            "{reason}"
        );
        let reason = OutOfMemory::OfGroup(Some(2 << 30)).reason(None, kill);
        for part in ["2 GiB", "PODPOOL_MEMORY", "signal 9"] {
            assert!(reason.contains(part), "{reason}");
        }
        let reason = OutOfMemory::OfGroup(None).reason(None, kill);
        assert!(reason.contains("the memory limit of its"), "{reason}");
    }
}
