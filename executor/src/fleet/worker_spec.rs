//! What users set for their workers on a cluster. Compiled with and without the cluster's feature, so that a program that
//! sets it compiles either way.

use std::collections::BTreeMap;
use std::time::Duration;

/// The settings of users for their workers. The environment, and then the defaults, fill the settings that are left
/// out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerSpec {
    /// The workers' image, which holds this very program. Needed; `PODPOOL_IMAGE`.
    pub image: Option<String>,
    /// When nodes pull the image. Default: the cluster's own (`IfNotPresent`, or `Always` for the tag `latest`);
    /// `PODPOOL_PULL_POLICY`.
    pub pull_policy: Option<PullPolicy>,
    /// Secrets with which nodes pull the image; `PODPOOL_PULL_SECRETS`, with commas.
    pub pull_secrets: Vec<String>,
    /// The namespace of everything that is made. Default: the one of the kubeconfig's context, or the master's own;
    /// `PODPOOL_NAMESPACE`.
    pub namespace: Option<String>,
    /// The workers' service account, for the cloud's identity; they get no token of it. Default: the namespace's;
    /// `PODPOOL_SERVICE_ACCOUNT`.
    pub service_account: Option<String>,
    /// CPU that a worker requests, in thousandths of a core; there is no limit. Default 1,000; `PODPOOL_CPU`, such as
    /// `2` or `500m`.
    pub cpu: Option<u64>,
    /// Memory of a worker, its request and its limit, in bytes. Default 2 GiB; `PODPOOL_MEMORY`, such as `4Gi`.
    pub memory: Option<u64>,
    /// Variables of the workers; `PODPOOL_WORKER_ENV`, as `NAME=value,NAME=value`. Names that begin with `PODPOOL_` are
    /// the fleet's.
    pub env: Vec<(String, String)>,
    /// Secrets of the namespace whose every key becomes a variable of the workers; `PODPOOL_ENV_FROM_SECRETS`.
    pub env_from_secrets: Vec<String>,
    /// Keys of secrets that workers see as files.
    pub secret_files: Vec<SecretFile>,
    /// Labels for Jobs and pods, beside those of the fleet; `PODPOOL_LABELS`, as `key=value,key=value`.
    pub labels: BTreeMap<String, String>,
    /// Tasks that a worker runs at a time. Default 1; `PODPOOL_SLOTS_PER_WORKER`.
    pub slots_per_worker: Option<u32>,
    /// From a worker's SIGTERM to its SIGKILL. Default 30 s; `PODPOOL_GRACE`.
    pub grace: Option<Duration>,
    /// How long the run may last; then its workers are stopped, even if no master runs. Default 7 days, at most
    /// 30 days; `PODPOOL_RUN_DEADLINE`.
    pub deadline: Option<Duration>,
    /// A worker without work and without a master leaves after this. Default 5 min; `PODPOOL_IDLE_TIMEOUT`.
    pub idle_timeout: Option<Duration>,
    /// How long an image or a setting may be refused before the pool breaks, and how long a worker may take to greet
    /// and a slot to be ready. Default 60 s; `PODPOOL_START_TIMEOUT`.
    pub start_timeout: Option<Duration>,
    /// How long workers may wait for a node, a quota or a slow start before the pool breaks. Default 5 min;
    /// `PODPOOL_SCHEDULE_TIMEOUT`.
    pub schedule_timeout: Option<Duration>,
    /// A registry, to which an image of this program is pushed where none is named; `PODPOOL_REGISTRY`.
    pub registry: Option<String>,
    /// The base of that image, by its digest; `PODPOOL_BASE_IMAGE`.
    pub base_image: Option<String>,
    /// Hosts of registries that are spoken to by plain http; `PODPOOL_REGISTRY_INSECURE`, with commas.
    pub registry_insecure: Vec<String>,
}

/// One key of a secret, as a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFile {
    /// The secret, in the workers' namespace.
    pub secret: String,
    /// The key in it.
    pub key: String,
    /// Where workers find it: an absolute path.
    pub path: String,
}

/// When nodes pull an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PullPolicy {
    /// For every pod.
    Always,
    /// When the node has none of that name.
    IfNotPresent,
    /// Never: it must be there.
    Never,
}

impl PullPolicy {
    /// Its name in Kubernetes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }

    /// The policy of this name, in any case.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn parse(word: &str) -> Result<Self, String> {
        [Self::Always, Self::IfNotPresent, Self::Never]
            .into_iter()
            .find(|policy| policy.as_str().eq_ignore_ascii_case(word))
            .ok_or_else(|| "use Always, IfNotPresent or Never".to_owned())
    }
}
