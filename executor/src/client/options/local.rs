//! Options of this machine.

use crate::error::BuildError;

/// Options of a pool on this machine.
///
/// ```
/// use podpool::PodPoolExecutor;
/// use podpool::options::{Isolation, LocalOptions};
///
/// let threads = LocalOptions::default().isolation(Isolation::InProcess);
/// let pool = PodPoolExecutor::builder().local(threads);
/// # drop(pool);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "options have no effect until `Builder::local` is given them"]
pub struct LocalOptions {
    pub(crate) isolation: Isolation,
    memory: Option<u64>,
}

impl LocalOptions {
    /// Where tasks run. Default: in child processes. `build()` refuses [`InProcess`](Isolation::InProcess) where the
    /// back-end is a cluster.
    pub const fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = isolation;
        self
    }

    /// Bytes that the tasks which run at a time share: a task that declares `memory`, by its attribute or its
    /// [call](crate::Call::memory), waits until so many bytes are free, and one that declares more than this is
    /// `Rejected`. A task that declares none takes none. Default: the memory of this machine, or of its container where
    /// that is less; where the system does not report it, nothing is shared. `build()` refuses 0.
    ///
    /// A task counts for what it declares, rounded up to a sixteenth of the next power of two; of more than 31 sizes at
    /// a time some count for the next larger one. Tasks that need less may pass one that waits for ten seconds; then
    /// none may that comes after it, by priority or age. A slot that has grown by more than an eighth of what its task
    /// declared, and by more than 64 MiB, is replaced when the task has ended, and until its process has ended what it
    /// keeps is not free.
    ///
    /// It limits no process: see the [table](crate::options#memory) of all options on memory.
    pub const fn memory(mut self, bytes: u64) -> Self {
        self.memory = Some(bytes);
        self
    }

    /// The bytes that tasks share, as far as they are known.
    ///
    /// # Errors
    /// [`BuildError::Setting`]: none is left to share.
    pub(crate) fn shared_memory(&self) -> Result<Option<u64>, BuildError> {
        match self.memory {
            Some(0) => Err(BuildError::Setting {
                name: "LocalOptions::memory".to_owned(),
                value: "0".to_owned(),
                reason: "no task that declares memory could run; give the bytes that they share, or leave it out"
                    .to_owned(),
            }),
            Some(bytes) => Ok(Some(bytes)),
            None => Ok(machine_memory()),
        }
    }
}

/// The memory of this machine, or of its container where that is less.
fn machine_memory() -> Option<u64> {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    let machine = Some(system.total_memory()).filter(|bytes| *bytes > 0)?;
    // sysinfo reads the limit at the root of the mount alone: not that of a systemd unit, for example.
    #[cfg(unix)]
    let machine = podpool_core::slot::group_memory_limit().map_or(machine, |it| it.min(machine));
    Some(machine)
}

/// Where tasks run on this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Isolation {
    /// In child processes of the same executable, so that a crash, a limit or a kill hits one task only.
    #[default]
    Process,
    /// In threads of this process: for tests and tiny containers. A timeout or a cancel drops an async task and
    /// abandons a blocking one. A crash ends the whole program, and there is neither memory limit nor capture of
    /// output. It needs neither `init()` nor `test_slots!`.
    InProcess,
}
