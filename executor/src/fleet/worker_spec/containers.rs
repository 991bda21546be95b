//! Containers beside the worker's, and what containers may do.

/// A container beside the worker's: one that runs before it, or a sidecar.
///
/// In `podpool.toml`: a table `{ name, image, command, args, env, env_from_secrets, cpu, memory }`; as a variable a
/// JSON list of such objects. Everything else of a container is for a [pod
/// template](crate::options::KubernetesOptions::pod_template).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodContainer {
    pub(crate) name: String,
    pub(crate) image: String,
    pub(crate) command: Vec<String>,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) env_from_secrets: Vec<String>,
    pub(crate) cpu: Option<u64>,
    pub(crate) memory: Option<u64>,
}

impl PodContainer {
    /// A container of this name and image. It runs as the worker's user, without capabilities.
    pub fn new(name: impl Into<String>, image: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            image: image.into(),
            ..Self::default()
        }
    }

    /// The program and its first arguments. Default: the image's entrypoint.
    #[must_use]
    pub fn command<W: Into<String>>(mut self, words: impl IntoIterator<Item = W>) -> Self {
        self.command = words.into_iter().map(Into::into).collect();
        self
    }

    /// The arguments. Default: the image's.
    #[must_use]
    pub fn args<W: Into<String>>(mut self, words: impl IntoIterator<Item = W>) -> Self {
        self.args = words.into_iter().map(Into::into).collect();
        self
    }

    /// A variable of it.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// A secret whose every key becomes a variable of it.
    #[must_use]
    pub fn env_from_secret(mut self, name: impl Into<String>) -> Self {
        self.env_from_secrets.push(name.into());
        self
    }

    /// CPU that it requests, in thousandths of a core; with [`Qos::Guaranteed`](super::Qos::Guaranteed) its limit too.
    #[must_use]
    pub const fn cpu(mut self, millicores: u64) -> Self {
        self.cpu = Some(millicores);
        self
    }

    /// Memory that it requests, in bytes, and its limit.
    #[must_use]
    pub const fn memory(mut self, bytes: u64) -> Self {
        self.memory = Some(bytes);
        self
    }
}

/// The system calls that containers may make. <https://kubernetes.io/docs/tutorials/security/seccomp/>
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Seccomp {
    /// The profile of the container runtime.
    RuntimeDefault,
    /// A profile of the nodes, by its path below the kubelet's directory of profiles.
    Localhost(String),
    /// All of them. The restricted Pod Security Standard refuses it.
    Unconfined,
}

/// The class of service of a worker's pod: which pods a node that runs out of memory ends first.
/// <https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Qos {
    /// Limits equal requests, of CPU too; such pods are ended last.
    Guaranteed,
    /// No limit of CPU, unless one is set.
    Burstable,
}

impl Qos {
    /// Its name in Kubernetes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Guaranteed => "Guaranteed",
            Self::Burstable => "Burstable",
        }
    }
}

/// Who makes the GPUs, and so what the resource is called.
/// <https://kubernetes.io/docs/tasks/manage-gpus/scheduling-gpus/>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GpuVendor {
    /// `nvidia.com/gpu`.
    Nvidia,
    /// `amd.com/gpu`.
    Amd,
    /// `gpu.intel.com/i915`.
    Intel,
}

impl GpuVendor {
    /// Its word in a variable and in `podpool.toml`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nvidia => "nvidia",
            Self::Amd => "amd",
            Self::Intel => "intel",
        }
    }

    /// The resource that a pod requests.
    #[cfg(feature = "kubernetes")]
    pub(crate) const fn resource(self) -> &'static str {
        match self {
            Self::Nvidia => "nvidia.com/gpu",
            Self::Amd => "amd.com/gpu",
            Self::Intel => "gpu.intel.com/i915",
        }
    }
}
