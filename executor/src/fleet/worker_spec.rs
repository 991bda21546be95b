//! What users set for their workers on a cluster. Compiled with and without the cluster's feature, so that a program
//! that sets it compiles either way.

mod containers;
mod nodes;
#[cfg(feature = "kubernetes")]
mod patch;
mod source;
mod volumes;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

pub use self::containers::{GpuVendor, PodContainer, Qos, Seccomp};
#[cfg(feature = "kubernetes")]
pub(crate) use self::nodes::NodeOperator;
pub use self::nodes::{NodeAffinity, PodAffinity, Spot, Spread, TaintEffect, Toleration};
#[cfg(feature = "kubernetes")]
pub use self::patch::PodPatch;
pub use self::source::{Setting, Source, Sources};
pub use self::volumes::{Claim, ConfigMapFile, EphemeralVolume, KeyOf, SecretFile, Tmpfs};

/// The settings of users for their workers. Variables, then `podpool.toml`, then a pod template, then the defaults fill
/// the settings that are left out. `fleet/kubernetes/spec/rows.rs` has a row for each field: its names, how it is read
/// and checked, and what it becomes in a pod. The methods of
/// [`KubernetesOptions`](crate::options::KubernetesOptions) describe them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerSpec {
    /// The workers' image, which holds this very program.
    pub image: Option<String>,
    /// When nodes pull the image.
    pub pull_policy: Option<PullPolicy>,
    /// Secrets with which nodes pull the image.
    pub pull_secrets: Vec<String>,
    /// The namespace of everything that is made.
    pub namespace: Option<String>,
    /// The workers' service account, for the cloud's identity; they get no token of it.
    pub service_account: Option<String>,
    /// The pods' priority class.
    pub priority_class: Option<String>,
    /// The pods' runtime class.
    pub runtime_class: Option<String>,

    /// CPU that a worker requests, in thousandths of a core.
    pub cpu: Option<u64>,
    /// Its limit of CPU, in thousandths of a core.
    pub cpu_limit: Option<u64>,
    /// Memory that a worker requests, in bytes; its limit too, where no other is set.
    pub memory: Option<u64>,
    /// Its limit of memory, in bytes.
    pub memory_limit: Option<u64>,
    /// Disk for temporary files that a worker requests, in bytes; its limit too, where no other is set.
    pub scratch: Option<u64>,
    /// Its limit of disk, in bytes.
    pub scratch_limit: Option<u64>,
    /// GPUs of a worker.
    pub gpu: Option<u32>,
    /// Who makes them.
    pub gpu_vendor: Option<GpuVendor>,
    /// Their type, as GKE calls it.
    pub gpu_type: Option<String>,
    /// Other resources of a worker, by their names.
    pub resources: BTreeMap<String, u64>,
    /// The pods' class of service.
    pub qos: Option<Qos>,
    /// Tasks that a worker runs at a time.
    pub slots_per_worker: Option<u32>,

    /// Variables of the workers. Names that begin with `PODPOOL_` are the fleet's.
    pub env: Vec<(String, String)>,
    /// Secrets of the namespace whose every key becomes a variable of the workers.
    pub env_from_secrets: Vec<String>,
    /// Config maps of the namespace whose every key becomes a variable of the workers.
    pub env_from_config_maps: Vec<String>,
    /// Variables with the value of one key of a secret.
    pub secret_env: BTreeMap<String, KeyOf>,
    /// Variables with the value of one key of a config map.
    pub config_map_env: BTreeMap<String, KeyOf>,
    /// Keys of secrets that workers see as files.
    pub secret_files: Vec<SecretFile>,
    /// Keys of config maps that workers see as files.
    pub config_map_files: Vec<ConfigMapFile>,

    /// Claims of persistent volumes.
    pub claims: Vec<Claim>,
    /// Volumes that are made for each worker.
    pub ephemeral_volumes: Vec<EphemeralVolume>,
    /// Directories in memory.
    pub tmpfs: Vec<Tmpfs>,
    /// The size of `/dev/shm`, in bytes.
    pub shm: Option<u64>,

    /// Labels of Jobs and pods, beside those of the fleet.
    pub labels: BTreeMap<String, String>,
    /// Annotations of Jobs and pods, beside those of the fleet.
    pub annotations: BTreeMap<String, String>,

    /// Labels that the workers' nodes must have.
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the workers' nodes may have.
    pub tolerations: Vec<Toleration>,
    /// What the labels of the workers' nodes must be, or should be.
    pub node_affinity: Vec<NodeAffinity>,
    /// Pods beside which, or apart from which, workers run.
    pub pod_affinity: Vec<PodAffinity>,
    /// Domains over which workers are spread.
    pub spread: Vec<Spread>,
    /// Nodes that the cloud may take back.
    pub spot: Option<Spot>,
    /// GKE's compute class.
    pub compute_class: Option<String>,

    /// The user of the processes.
    pub run_as_user: Option<u32>,
    /// Their group.
    pub run_as_group: Option<u32>,
    /// The group that owns files of volumes.
    pub fs_group: Option<u32>,
    /// Whether the image's files are read-only.
    pub read_only_root: Option<bool>,
    /// The profile of system calls.
    pub seccomp: Option<Seccomp>,
    /// Capabilities that the worker's processes lose.
    pub drop_capabilities: Option<Vec<String>>,
    /// Capabilities that the worker's processes get.
    pub add_capabilities: Vec<String>,

    /// Ports of the worker's container, by their names.
    pub ports: BTreeMap<String, u16>,
    /// Names of addresses, by the address.
    pub host_aliases: BTreeMap<String, Vec<String>>,
    /// Containers that run to their end before the worker starts, in this order.
    pub init_containers: Vec<PodContainer>,
    /// Containers that run beside the worker.
    pub sidecars: Vec<PodContainer>,

    /// From a worker's SIGTERM to its SIGKILL.
    pub grace: Option<Duration>,
    /// How long the run may last; then its workers are stopped, even if no master runs.
    pub deadline: Option<Duration>,
    /// How long the cluster keeps an ended Job that was not removed.
    pub keep_finished: Option<Duration>,
    /// A worker without work and without a master leaves after this.
    pub idle_timeout: Option<Duration>,
    /// How long an image or a setting may be refused before the pool breaks, and how long a worker may take to greet
    /// and a slot to be ready.
    pub start_timeout: Option<Duration>,
    /// How long workers may wait for a node, a quota or a slow start before the pool breaks.
    pub schedule_timeout: Option<Duration>,
    /// A registry, to which an image of this program is pushed where none is named; `PODPOOL_REGISTRY`.
    pub registry: Option<String>,
    /// The base of that image, by its digest; `PODPOOL_BASE_IMAGE`.
    pub base_image: Option<String>,
    /// Hosts of registries that are spoken to by plain http; `PODPOOL_REGISTRY_INSECURE`, with commas.
    pub registry_insecure: Vec<String>,

    /// The queue of Kueue that admits the Jobs.
    pub kueue_queue: Option<String>,
    /// The priority of the Jobs in that queue.
    pub kueue_priority: Option<String>,
    /// Bytes a second of printed lines that a worker sends to the master.
    pub output_rate: Option<u64>,
    /// Whether workers of another build are refused.
    pub same_build: Option<bool>,

    /// A file with the pod on top of which podpool puts its own.
    pub pod_template: Option<PathBuf>,
    /// What that file holds, once it was read.
    #[cfg(feature = "kubernetes")]
    pub template: Option<crate::fleet::kubernetes::spec::Template>,
    /// Changes of the program to each pod, in this order.
    #[cfg(feature = "kubernetes")]
    pub pod_patches: Vec<PodPatch>,
    /// The sources of what the program did not set.
    pub sources: Sources,
}

impl WorkerSpec {
    /// The same, without the values of variables, which may be secret.
    pub(crate) fn without_values(&self) -> Self {
        let hide = |all: &mut Vec<(String, String)>| {
            for (_, value) in all {
                "(not shown)".clone_into(value);
            }
        };
        let mut spec = self.clone();
        hide(&mut spec.env);
        let others = spec.init_containers.iter_mut().chain(&mut spec.sidecars);
        for container in others {
            hide(&mut container.env);
        }
        spec
    }
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
}
