//! Options of this machine.

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
}

impl LocalOptions {
    /// Where tasks run. Default: in child processes. `build()` refuses [`InProcess`](Isolation::InProcess) where the
    /// back-end is a cluster.
    pub const fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = isolation;
        self
    }
}

/// Where tasks run on this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Isolation {
    /// In child processes of the same executable, so that a crash, a limit or a kill hits one task only.
    #[default]
    Process,
    /// In threads of this process: for tests and tiny containers. A timeout or a cancel drops an async task and
    /// abandons a blocking one. A crash ends the whole program, and there is neither memory limit nor capture of output.
    InProcess,
}
