//! A view of the system's processes: the children of a process, the end of a process, and the peak of its memory.

use std::fs;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use tokio::net::unix::pipe::Receiver;

/// A process that is watched by a pidfd: its end is seen, and its process id is not mistaken for that of a later one.
/// <https://man7.org/linux/man-pages/man2/pidfd_open.2.html>
#[derive(Debug)]
pub struct Watched {
    /// The process id.
    pub pid: u32,
    /// The pidfd. Nothing is read from it: a pidfd becomes readable when its process ends.
    descriptor: Receiver,
}

impl Watched {
    /// Watches a process that runs, or has not been waited for. Needs a tokio runtime.
    ///
    /// # Panics
    /// When there is no such process.
    #[must_use]
    pub fn new(pid: u32) -> Self {
        match Self::find(pid) {
            Some(watched) => watched,
            None => panic!("there is no process {pid} to watch"),
        }
    }

    /// As [`new`](Self::new), but `None` when there is no such process.
    #[must_use]
    pub fn find(pid: u32) -> Option<Self> {
        let descriptor = pidfd_open(number(pid)?, PidfdFlags::NONBLOCK).ok()?;
        let descriptor = Receiver::from_owned_fd_unchecked(descriptor).ok()?;
        Some(Self { pid, descriptor })
    }

    /// Whether the process ends within `limit`.
    pub async fn ends_within(&self, limit: Duration) -> bool {
        let end = tokio::time::timeout(limit, self.descriptor.readable());
        matches!(end.await, Ok(Ok(_)))
    }
}

fn number(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

/// Sends a signal; false when there is no such process.
#[must_use]
pub fn signal(pid: u32, signal: Signal) -> bool {
    number(pid).is_some_and(|pid| kill_process(pid, signal).is_ok())
}

/// The children of a process that have not ended.
#[must_use]
pub fn children(parent: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| living_parent(*pid) == Some(parent))
        .collect()
}

/// The parent of a process that has not ended.
fn living_parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in parentheses and may hold anything, parentheses too.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    // A zombie has ended, though its entry stays until its parent has waited for it.
    (state != "Z").then_some(parent)
}

/// The highest number of bytes that this process had in memory at once.
///
/// # Panics
/// When the system does not report it.
#[must_use]
pub fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_ascii_whitespace().next()?.parse::<u64>().ok());
    match kib {
        Some(kib) => kib << 10,
        None => panic!("the system does not report this process's memory"),
    }
}
