//! The settings of a run, whatever starts its workers and carries its messages.

use std::sync::Arc;
use std::time::Duration;

use podpool_core::id::{RunId, RunName, TaskId};
use podpool_core::ledger::Ledger;
use podpool_core::queue::Queue;

use crate::master::limits::Limits;
use crate::report::reporting::Reporting;
use crate::worker::settings::WorkerSettings;

/// Wraps a queue, for tests with faults; its argument is the queue's name.
#[cfg_attr(
    not(unix),
    expect(unreachable_pub, reason = "the module `testing` makes it public")
)]
pub type QueueDecorator = Arc<dyn Fn(&str, Arc<dyn Queue>) -> Arc<dyn Queue> + Send + Sync>;

/// A run, as its executor was described: what every back-end receives.
pub(crate) struct RunSettings {
    pub(crate) run: RunId,
    pub(crate) name: Option<RunName>,
    /// Retries of tasks that set none themselves.
    pub(crate) retries: Option<u32>,
    pub(crate) limits: Limits,
    /// How long a lease lasts; each back-end has a default.
    pub(crate) lease: Option<Duration>,
    /// For how long a queue may refuse everything.
    pub(crate) broker_timeout: Option<Duration>,
    /// Whether the run receives signals.
    pub(crate) signals: bool,
    pub(crate) reporting: Reporting,
    pub(crate) decorator: Option<QueueDecorator>,
    pub(crate) worker: WorkerSettings,
    /// Bytes that running tasks share by what they declare; none where workers have memory of their own.
    pub(crate) memory: Option<u64>,
    /// The number of the first task that is submitted.
    pub(crate) first_task: TaskId,
    /// Where it is remembered; none where it is not.
    pub(crate) ledger: Option<Arc<dyn Ledger>>,
    /// Whether workers go on when their master has ended.
    pub(crate) outlives: bool,
}

impl RunSettings {
    /// A queue, wrapped by the decorator if there is one.
    pub(crate) fn decorated(&self, name: &str, queue: Arc<dyn Queue>) -> Arc<dyn Queue> {
        match &self.decorator {
            Some(decorate) => decorate(name, queue),
            None => queue,
        }
    }
}
