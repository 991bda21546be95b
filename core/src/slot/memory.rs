//! How much memory a slot's process uses, the stop that the kernel enforces, and whether a process ended for want of
//! it.

use std::fs;
use std::path::Path;

use crate::outcome::Exit;

use super::OutOfMemory;

/// What a process may claim beyond its limit before the kernel refuses: the sampler should be first, and for the kernel
/// stacks of threads and pages that were never touched count as data. It is room for the stacks of 500 threads of std's,
/// which may start between two looks; [`widen`] makes room for more.
const SLACK: u64 = 1 << 30;

const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;

/// Whether this system reports how much memory a process uses: else no limit can be kept.
pub fn memory_is_readable() -> bool {
    own_resident().is_some()
}

/// What a process takes now, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Usage {
    /// In memory.
    pub(super) resident: u64,
    /// Writable and its own, whether it was ever touched or not: what the kernel's limit counts.
    pub(super) data: u64,
}

/// What a process takes; `None` where the system does not report it.
pub(super) fn usage(pid: i32) -> Option<Usage> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    usage_in_pages(&statm, rustix::param::page_size() as u64)
}

/// Bytes of this process that are resident; `None` where the system does not report them.
pub(super) fn own_resident() -> Option<u64> {
    let pid = rustix::process::getpid().as_raw_nonzero().get();
    usage(pid).map(|usage| usage.resident)
}

fn usage_in_pages(statm: &str, page: u64) -> Option<Usage> {
    let mut fields = statm.split_ascii_whitespace();
    let mut bytes = |nth| Some(fields.nth(nth)?.parse::<u64>().ok()?.saturating_mul(page));
    Some(Usage {
        // Fields are taken by `nth` from one iterator: the second field, then the fourth after it.
        // <https://man7.org/linux/man-pages/man5/proc_pid_statm.5.html>
        resident: bytes(1)?,
        data: bytes(3)?,
    })
}

/// The highest number of resident bytes since the process began; `None` where the system does not report it.
pub(super) fn peak(pid: i32) -> Option<u64> {
    status_field(
        &fs::read_to_string(format!("/proc/{pid}/status")).ok()?,
        "VmHWM:",
    )
}

fn status_field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    // The kernel writes "kB" and means 1,024 bytes.
    Some(kib << 10)
}

/// Makes the kernel refuse allocations of this process far beyond `limit`. For the slot's process.
pub(super) fn set_stop(limit: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    // `VmData` holds what was claimed and never touched, such as stacks of threads: it counts for the kernel's limit and is
    // no memory. <https://man7.org/linux/man-pages/man2/getrlimit.2.html>, RLIMIT_DATA
    let before = fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| status_field(&status, "VmData:"))
        .unwrap_or(0);
    let stop = stop_for(limit, before);
    let old = getrlimit(Resource::Data);
    // The soft limit alone, and within the hard one: the worker can move the former (`widen`), and no unprivileged
    // process can raise the latter.
    let stop = old.maximum.map_or(stop, |maximum| maximum.min(stop));
    let new = Rlimit {
        current: Some(stop),
        maximum: old.maximum,
    };
    if let Err(error) = setrlimit(Resource::Data, new) {
        tracing::debug!(%error, "the kernel takes no limit for data; the sampler alone watches the memory");
    }
}

/// Where the kernel stops a process whose `unused` bytes count and are no memory.
const fn stop_for(limit: u64, unused: u64) -> u64 {
    // A quarter above the limit: the sampler kills at the limit and names it, the kernel only where memory grows faster
    // than one look in 50 ms can follow.
    let memory = limit.saturating_add(limit / 4);
    memory.saturating_add(SLACK).saturating_add(unused)
}

/// Moves the stop of a slot's process away by what it has claimed and not touched since, such as stacks of threads.
/// `last` is where the stop was put last; what the slot's process chose itself is taken for it at the first look.
pub(super) fn widen(pid: rustix::process::Pid, limit: u64, usage: Usage, last: &mut Option<u64>) {
    let wanted = stop_for(limit, usage.data.saturating_sub(usage.resident));
    // One system call for each 256 MiB of claims, which are the stacks of 128 threads: three quarters of the slack are
    // left at that moment.
    if last.is_none_or(|last| wanted <= last.saturating_add(SLACK / 4)) {
        last.get_or_insert(wanted);
        return;
    }
    *last = Some(wanted);
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, prlimit};
        // The slot inherited this process's hard limit.
        let maximum = getrlimit(Resource::Data).maximum;
        let new = Rlimit {
            current: Some(maximum.map_or(wanted, |maximum| maximum.min(wanted))),
            maximum,
        };
        if let Err(error) = prlimit(Some(pid), Resource::Data, new) {
            tracing::debug!(%error, "the stop of a slot's memory cannot be moved");
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = pid;
}

/// How often the kernel has killed for want of memory in this process's control group; of either version.
pub(super) fn kernel_kills() -> Option<u64> {
    let group = fs::read_to_string("/proc/self/cgroup").ok()?;
    let counts = kill_counts(&group);
    counts
        .iter()
        .find_map(|path| read_kills(&fs::read_to_string(path).ok()?))
}

/// Where the kernel counts, by a process's `cgroup` file. A container may see its group at the root of the mount while
/// the file names the path outside.
fn kill_counts(group: &str) -> Vec<String> {
    // <https://docs.kernel.org/admin-guide/cgroup-v2.html>: in version 2 the line of the process begins with `0::`, and
    // `memory.events` counts `oom_kill`; version 1 has `memory.oom_control`.
    let unified = group.lines().find_map(|line| line.strip_prefix("0::"));
    let unified = unified.map(|path| format!("/sys/fs/cgroup{path}/memory.events"));
    let memory = |line: &'_ str| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let controls = controllers.split(',').any(|one| one == "memory");
        controls.then(|| path.to_owned())
    };
    let older = group.lines().find_map(memory).into_iter().flat_map(|path| {
        [path.as_str(), ""].map(|path| format!("/sys/fs/cgroup/memory{path}/memory.oom_control"))
    });
    unified.into_iter().chain(older).collect()
}

/// The memory limit of this process's control group, or of a group around it if that is less: in bytes, if there is one
/// that can be read.
#[must_use]
pub fn group_memory_limit() -> Option<u64> {
    let group = fs::read_to_string("/proc/self/cgroup").ok()?;
    let limit = |path: String| read_limit(&fs::read_to_string(path).ok()?);
    limit_files(&group).into_iter().filter_map(limit).min()
}

/// The files that may hold a limit, of a process's group and of all groups around it, by the process's `cgroup` file.
fn limit_files(group: &str) -> Vec<String> {
    let root = Path::new("/sys/fs/cgroup");
    let mut files = Vec::new();
    for counts in kill_counts(group) {
        let counts = Path::new(&counts);
        let name = if counts.ends_with("memory.events") {
            "memory.max"
        } else {
            "memory.limit_in_bytes"
        };
        // The limit of a group bounds all groups in it. <https://docs.kernel.org/admin-guide/cgroup-v2.html>
        let groups = counts.ancestors().skip(1);
        let groups = groups.take_while(|group| group.starts_with(root));
        files.extend(groups.map(|group| group.join(name).display().to_string()));
    }
    files
}

/// `max`, and what the older version writes in its place, is no limit.
fn read_limit(text: &str) -> Option<u64> {
    let limit = text.trim().parse::<u64>().ok()?;
    // Version 1 writes the largest multiple of a page below 2^63 where there is no limit.
    (limit < 1 << 60).then_some(limit)
}

fn read_kills(events: &str) -> Option<u64> {
    let line = events
        .lines()
        .find_map(|line| line.strip_prefix("oom_kill "))?;
    line.trim().parse().ok()
}

/// What is known about the memory of a process that has ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Death {
    /// The limit for which the sampler killed it.
    pub(super) over: Option<OutOfMemory>,
    /// The frame that ran when the sampler did.
    pub(super) frame_then: Option<u64>,
    /// The frame that ran when the process ended.
    pub(super) frame_now: Option<u64>,
    /// Its allocator reported that it gave up.
    pub(super) allocation_failed: bool,
    /// The worker killed it for another reason.
    pub(super) killed: bool,
    /// The kernel killed for want of memory in this group since the process began.
    pub(super) kernel_killed: bool,
    /// The limit, in bytes.
    pub(super) limit: Option<u64>,
    /// The highest number of resident bytes that was measured.
    pub(super) peak: Option<u64>,
}

impl Death {
    /// Whether the sampler killed it for the sake of a frame that had ended by then: the limit that it passed is not
    /// charged to the present task.
    pub(super) fn is_of_another(&self) -> bool {
        self.over.is_some() && self.frame_then != self.frame_now
    }

    /// Which limit the process met, if it ended for want of memory.
    pub(super) fn out_of_memory(&self, exit: Exit) -> Option<OutOfMemory> {
        let slots = self.limit.map(OutOfMemory::OfSlot);
        // An allocator of another language aborts without the line of Rust's. Within a tenth of the limit the refusal is the
        // likely cause, and a task that aborts there by itself is rare.
        let near = match (self.limit, self.peak) {
            (Some(limit), Some(peak)) => peak >= limit - limit / 10,
            _ => false,
        };
        match exit {
            // The sampler's verdict first: the SIGKILL that follows is its own.
            _ if self.over.is_some() => self.over.filter(|_| !self.is_of_another()),
            Exit::Signal(SIGABRT) if self.allocation_failed || near => {
                Some(slots.unwrap_or(OutOfMemory::Refused))
            }
            // The count is that of the whole control group: another process may have been the victim, so a kill of the
            // worker's own goes first.
            Exit::Signal(SIGKILL) if self.kernel_killed && !self.killed => {
                Some(OutOfMemory::OfGroup(group_memory_limit()))
            }
            Exit::Code(_) | Exit::Signal(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
