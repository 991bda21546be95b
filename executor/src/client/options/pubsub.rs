//! Options of Pub/Sub, the queue of a cluster's workers.

use crate::broker::given_names::GivenNames;

/// Options of Pub/Sub, for pools whose workers are on a cluster; elsewhere they have no effect.
///
/// ```
/// use podpool::PodPoolExecutor;
/// use podpool::options::PubSubOptions;
///
/// let emulator = PubSubOptions::default().worker_emulator_host("172.18.0.1:8085");
/// let pool = PodPoolExecutor::builder().pubsub(emulator);
/// # drop(pool);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "options have no effect until `Builder::pubsub` is given them"]
pub struct PubSubOptions {
    pub(crate) project: Option<String>,
    pub(crate) prefix: Option<String>,
    pub(crate) names: Option<GivenNames>,
    pub(crate) worker_emulator_host: Option<String>,
}

impl PubSubOptions {
    /// The project of topics and subscriptions. Default: `PODPOOL_PROJECT`, then `GOOGLE_CLOUD_PROJECT`; with the
    /// emulator `podpool`.
    pub fn project(mut self, project: impl Into<String>) -> Self {
        self.project = Some(project.into());
        self
    }

    /// The prefix of the names of topics and subscriptions: at most 128 lower-case letters, digits and `-`, with a letter
    /// first. Default: `PODPOOL_PREFIX`, then `podpool`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = Some(prefix.into());
        self
    }

    /// Topics and subscriptions that an administrator made, for one run at a time: if two runs use them, the younger
    /// run ends with [`NamesInUse`](crate::error::ShutdownError::NamesInUse). Default: a run makes its own.
    pub fn names(mut self, names: GivenNames) -> Self {
        self.names = Some(names);
        self
    }

    /// Where pods find the emulator, as `host:port`. Default: `PODPOOL_WORKER_EMULATOR_HOST`, then the address at which
    /// this program finds it, which `PUBSUB_EMULATOR_HOST` names. A worker whose own environment has that variable (by
    /// [`KubernetesOptions::env`](super::KubernetesOptions::env), for example) uses that address.
    ///
    /// `build()` refuses an address that means the machine itself, such as `localhost:8085` or `127.0.0.1:8085`, for in
    /// a pod that is the pod; and a host for workers where this program uses no emulator.
    pub fn worker_emulator_host(mut self, host: impl Into<String>) -> Self {
        self.worker_emulator_host = Some(host.into());
        self
    }
}
