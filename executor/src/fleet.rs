//! The back-ends that start workers, one folder or file each, behind one trait: the master's own process, worker
//! processes of this machine, a Kubernetes cluster.

#[cfg(feature = "kubernetes")]
pub mod kubernetes;
pub(crate) mod local;
#[cfg(unix)]
pub(crate) mod processes;
#[cfg(any(unix, feature = "kubernetes"))]
mod shares;
#[cfg_attr(
    not(feature = "kubernetes"),
    expect(unreachable_pub, reason = "the feature makes them public")
)]
pub(crate) mod worker_spec;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use podpool_core::broker::{ClassId, CohortQueues};
use podpool_core::fleet::{FleetEvent, FleetOrder};
use podpool_core::id::{RunId, RunName};
use podpool_core::worker::{OutputSink, Queues};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use crate::error::BuildError;
use crate::worker::settings::WorkerSettings;

/// A fleet of one run that was not reached yet.
#[async_trait]
pub(crate) trait Fleet: Send {
    /// What the workers of each class are, in a few words for people.
    fn classes(&self) -> Vec<(ClassId, String)>;

    /// Checks that workers could be started. Nothing is made.
    ///
    /// # Errors
    /// [`BuildError`]: the service that is not reached, and the setting to correct.
    async fn reach(self: Box<Self>) -> Result<Box<dyn ReachedFleet>, BuildError>;
}

/// A fleet of one run that was reached.
#[async_trait]
pub(crate) trait ReachedFleet: Send {
    /// Starts workers as orders require them, until the order to end; then removes what it made, and sends
    /// [`FleetEvent::Ended`] as its last event. A closed channel of orders is a [`FleetOrder::Stop`].
    // Both channels are unbounded: orders and events are few, and neither side may wait for the other, or a slow
    // cluster would stop dispatch.
    async fn run(
        self: Box<Self>,
        run: FleetRun,
        orders: UnboundedReceiver<FleetOrder>,
        events: UnboundedSender<FleetEvent>,
    );
}

/// The facts of a run that its fleet needs.
#[cfg_attr(
    not(unix),
    expect(dead_code, reason = "only Unix systems start worker processes")
)]
pub(crate) struct FleetRun {
    pub(crate) run: RunId,
    /// The run's name.
    #[cfg_attr(
        not(feature = "kubernetes"),
        expect(dead_code, reason = "only objects of a cluster have labels")
    )]
    pub(crate) name: Option<RunName>,
    /// How its workers run tasks.
    pub(crate) worker: WorkerSettings,
    /// The master's queues, for a worker in its process.
    pub(crate) queues: Queues,
    /// Where the lines of a worker in the master's process go.
    pub(crate) output: OutputSink,
    /// For how long a queue may refuse everything to a worker in the master's process.
    pub(crate) broker_timeout: Option<Duration>,
    /// The queues of other workers.
    pub(crate) cohorts: Arc<dyn CohortQueues>,
    /// Whether Jobs of an earlier version of the program are replaced: this is the run's only master.
    #[cfg_attr(
        not(feature = "kubernetes"),
        expect(dead_code, reason = "only Jobs outlive their master")
    )]
    pub(crate) replaces: bool,
    /// The files in the run directory of workers in other processes; None where there are no such workers.
    pub(crate) files: Option<RunFiles>,
}

/// The files of a worker's run directory: `descriptor` and `key`. Secret.
#[cfg_attr(
    not(unix),
    expect(dead_code, reason = "only Unix systems start worker processes")
)]
pub(crate) struct RunFiles {
    /// The run's description, authenticated.
    pub(crate) descriptor: Vec<u8>,
    /// The key of the MACs.
    pub(crate) key: [u8; 32],
}
