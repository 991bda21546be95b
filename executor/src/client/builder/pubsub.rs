//! Options of the queue of a cluster's workers. They exist with or without the features, so that a program compiles
//! either way.

use super::Builder;

/// Options of Pub/Sub, for pools whose workers are on a cluster; elsewhere they have no effect.
///
/// ```
/// use podpool::prelude::*;
/// use podpool::PubSubOptions;
///
/// let emulator = PubSubOptions::default().worker_emulator_host("172.18.0.1:8085");
/// let pool = PodPoolExecutor::builder().pubsub(emulator);
/// # drop(pool);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "options do nothing until `Builder::pubsub` is given them"]
pub struct PubSubOptions {
    pub(super) worker_emulator_host: Option<String>,
}

impl PubSubOptions {
    /// Where pods find the emulator, as `host:port`. Default: `PODPOOL_WORKER_EMULATOR_HOST`, then the address at which
    /// this program finds it, which `PUBSUB_EMULATOR_HOST` names. A worker whose own environment has that variable (by
    /// `Builder::worker_env`, for example) uses that address.
    ///
    /// `build()` refuses an address that means the machine itself, such as `localhost:8085` or `127.0.0.1:8085`, for in
    /// a pod that is the pod; and a host for workers where this program uses no emulator.
    pub fn worker_emulator_host(mut self, host: impl Into<String>) -> Self {
        self.worker_emulator_host = Some(host.into());
        self
    }
}

impl Builder {
    /// Options of Pub/Sub. Counts where workers are on a cluster.
    pub fn pubsub(mut self, options: PubSubOptions) -> Self {
        self.pubsub = options;
        self
    }
}
