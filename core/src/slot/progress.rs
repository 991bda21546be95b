//! The cell in which a slot notes the task that it is at, so that its worker can read it after a crash.
//!
//! It is a file in memory that both processes hold: writing it is one system call of about 200 ns, and it outlives the
//! slot. A frame of one task is not noted, because the worker has the same knowledge from the frame itself.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

use super::sent_frames::Progress;
use super::start_error::is_shortage;

/// frame u64 | index u32 | 0 u32 | start in nanoseconds of the monotonic clock u64
// Small enough for one `pwrite`; the four bytes of 0 keep the time at a multiple of 8.
const CELL: usize = 24;

/// Makes the cell. Without a file in memory, for want of the system call or because a sandbox refuses it, it is a file
/// without a name; without a place for that, nothing is noted, and the worker takes the first task that has not ended
/// for the one that runs.
pub(super) fn create() -> std::io::Result<OwnedFd> {
    #[cfg(target_os = "linux")]
    match in_memory() {
        Err(error) if !is_shortage(&error) => {
            tracing::debug!(%error, "a slot's progress is kept in a temporary file instead of one in memory");
        }
        made => return made,
    }
    unnamed().or_else(|error| {
        if is_shortage(&error) {
            return Err(error);
        }
        tracing::debug!(%error, "a slot's progress is not kept: there is no place for a temporary file");
        Ok(std::fs::File::options().read(true).write(true).open("/dev/null")?.into())
    })
}

#[cfg(target_os = "linux")]
fn in_memory() -> std::io::Result<OwnedFd> {
    use rustix::fs::{MemfdFlags, memfd_create};
    Ok(memfd_create("podpool-progress", MemfdFlags::CLOEXEC)?)
}

/// A file without a name: no other process can open it, and it goes with its last descriptor.
fn unnamed() -> std::io::Result<OwnedFd> {
    let name = format!(
        "podpool-progress-{}-{:x}",
        std::process::id(),
        fastrand::u64(..)
    );
    let path = std::env::temp_dir().join(name);
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)?;
    // At once, before anything is written: a crash between here and the end leaves no file behind.
    std::fs::remove_file(&path)?;
    Ok(file.into())
}

/// Ties tokio's clock to the system's, which two processes share, so that one look at the first serves both.
#[derive(Clone, Copy, Debug)]
pub(super) struct Epoch {
    instant: Instant,
    nanos: u64,
}

impl Epoch {
    pub(super) fn now() -> Self {
        Self {
            instant: Instant::now(),
            nanos: monotonic_nanos(),
        }
    }

    /// The monotonic clock's nanoseconds at `instant`.
    pub(super) fn nanos(self, instant: Instant) -> u64 {
        let past = instant.saturating_duration_since(self.instant).as_nanos();
        self.nanos
            .saturating_add(u64::try_from(past).unwrap_or(u64::MAX))
    }
}

/// Notes the task that began at `nanos` of the monotonic clock.
pub(super) fn write(cell: impl AsFd, frame: u64, index: u32, nanos: u64) -> rustix::io::Result<()> {
    let mut bytes = [0; CELL];
    bytes[..8].copy_from_slice(&frame.to_le_bytes());
    bytes[8..12].copy_from_slice(&index.to_le_bytes());
    bytes[16..].copy_from_slice(&nanos.to_le_bytes());
    // By a system call and not by a mapping: no `unsafe`, and the bytes are the kernel's before the task begins, so a
    // crash cannot lose them.
    rustix::io::pwrite(cell, &bytes, 0).map(drop)
}

/// Reads what was noted last; `None` when nothing was. `now` ties the system's clock to tokio's.
pub(super) fn read(cell: impl AsFd, now: Instant) -> Option<Progress> {
    let mut last = read_once(&cell)?;
    // The slot may write while this reads: two readings that agree are a whole one. Four times at most: a slot of very
    // short tasks writes all the time. A note that does not fit the frames in flight is passed over
    // (`SentFrames::running`).
    for _ in 0..4 {
        let again = read_once(&cell)?;
        if again == last {
            break;
        }
        last = again;
    }
    let number = |at: usize| {
        last[at..]
            .first_chunk()
            .map_or(0, |b| u64::from_le_bytes(*b))
    };
    let index = last[8..]
        .first_chunk()
        .map_or(0, |b| u32::from_le_bytes(*b));
    // As an age, by the clock that both processes share: an `Instant` of another process has no meaning here.
    let past = Duration::from_nanos(monotonic_nanos().saturating_sub(number(16)));
    Some(Progress {
        frame: number(0),
        index,
        since: now.checked_sub(past).unwrap_or(now),
    })
}

fn read_once(cell: impl AsFd) -> Option<[u8; CELL]> {
    let mut bytes = [0; CELL];
    let read = rustix::io::pread(cell, &mut bytes, 0).ok()?;
    (read == CELL).then_some(bytes)
}

fn monotonic_nanos() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let part = |n: i64| u64::try_from(n).unwrap_or(0);
    part(now.tv_sec) * 1_000_000_000 + part(now.tv_nsec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cell_keeps_the_last_note() {
        for cell in [create(), unnamed()] {
            keeps_the_last_note(&cell.unwrap());
        }
    }

    fn keeps_the_last_note(cell: &OwnedFd) {
        assert_eq!(read(cell, Instant::now()), None);
        let epoch = Epoch::now();
        write(cell, 7, 3, epoch.nanos(Instant::now())).unwrap();
        write(cell, 8, 4, epoch.nanos(Instant::now())).unwrap();
        let now = Instant::now();
        let progress = read(cell, now).unwrap();
        assert_eq!((progress.frame, progress.index), (8, 4));
        assert!(now - progress.since < Duration::from_secs(60));
    }
}
