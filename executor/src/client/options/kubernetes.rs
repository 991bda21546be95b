//! Options of workers on a Kubernetes cluster: their image, times, and the queue of the cluster. The other groups
//! have a file each.

mod containers;
mod environment;
mod labels;
mod nodes;
mod security;
mod settings;
mod size;
mod template;
mod volumes;

use std::fmt;
use std::time::Duration;

use crate::fleet::worker_spec::{PullPolicy, WorkerSpec};

/// Options of workers on a Kubernetes cluster.
///
/// Each option has a variable and a key in the section `[kubernetes]` of `podpool.toml`. The program's methods count
/// first, then variables, then the file, then the [pod template](Self::pod_template), then the default. Of options that
/// name each value, such as labels and variables, each name counts by itself. `build()` checks all options before it
/// makes anything, and an error names the option. [`settings`](Self::settings) lists what counts and where it comes
/// from.
///
/// The file is the one that `PODPOOL_CONFIG` names, else `podpool.toml` in the current directory, if it is there. Keys
/// that it does not know are errors.
///
/// ```
/// use podpool::PodPoolExecutor;
/// use podpool::options::KubernetesOptions;
///
/// let workers = KubernetesOptions::default()
///     .image("registry.example/team/backfill:1.4")
///     .cpu(2_000)
///     .memory(4 << 30)
///     .env("RUST_LOG", "info");
/// let pool = PodPoolExecutor::builder().max_workers(40).kubernetes(workers);
/// # drop(pool);
/// ```
///
/// The same in `podpool.toml`:
///
/// ```toml
/// [kubernetes]
/// image = "registry.example/team/backfill:1.4"
/// cpu = 2
/// memory = "4Gi"
///
/// [kubernetes.env]
/// RUST_LOG = "info"
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
#[must_use = "options have no effect until `Builder::kubernetes` is given them"]
pub struct KubernetesOptions {
    pub(crate) spec: WorkerSpec,
}

impl KubernetesOptions {
    /// The workers' image, which holds this very program; or `PODPOOL_IMAGE`, or the image of the worker's container in a
    /// pod template. Default: one that podpool makes where a [`registry`](Self::registry) is named, and for a master in
    /// a pod, with the feature `image`, that of its pod.
    pub fn image(mut self, image: impl Into<String>) -> Self {
        self.spec.image = Some(image.into());
        self
    }

    /// When nodes pull the image. Default: the cluster's own (`IfNotPresent`, or `Always` for the tag `latest`); or
    /// `PODPOOL_PULL_POLICY`. <https://kubernetes.io/docs/concepts/containers/images/#image-pull-policy>
    pub const fn pull_policy(mut self, policy: PullPolicy) -> Self {
        self.spec.pull_policy = Some(policy);
        self
    }

    /// A secret with which nodes pull the image; may be called more than once. Or `PODPOOL_PULL_SECRETS`, with commas.
    pub fn pull_secret(mut self, name: impl Into<String>) -> Self {
        self.spec.pull_secrets.push(name.into());
        self
    }

    /// The namespace of everything that is made. Default: the kubeconfig's, or the master's own; or
    /// `PODPOOL_NAMESPACE`.
    pub fn namespace(mut self, name: impl Into<String>) -> Self {
        self.spec.namespace = Some(name.into());
        self
    }

    /// The workers' service account, for the cloud's identity. Default: the namespace's; or
    /// `PODPOOL_SERVICE_ACCOUNT`.
    pub fn service_account(mut self, name: impl Into<String>) -> Self {
        self.spec.service_account = Some(name.into());
        self
    }

    /// Bytes a second of printed lines that one worker sends to the master, all its slots together; four times as
    /// much goes at once after a silence. Lines above the rate are in the pod's own log, and a line reports how many
    /// they were. Default: 64 KiB; or `PODPOOL_WORKER_OUTPUT_RATE`, such as `256Ki`. From 1 KiB to 2 MiB; `build()`
    /// refuses anything else.
    pub const fn output_rate(mut self, bytes: u64) -> Self {
        self.spec.output_rate = Some(bytes);
        self
    }

    /// From a worker's SIGTERM to its SIGKILL, from 6 s to an hour. Default: 30 s; or `PODPOOL_GRACE`.
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.spec.grace = Some(grace);
        self
    }

    /// How long the run may last; then everything of it may be removed. From a minute to 30 days. Default: 7 days; or
    /// `PODPOOL_RUN_DEADLINE`. It is the active deadline of the run's Jobs.
    pub const fn run_deadline(mut self, deadline: Duration) -> Self {
        self.spec.deadline = Some(deadline);
        self
    }

    /// How long the cluster keeps a Job that has ended and was not removed, as after a killed master; at most 30 days.
    /// Default: an hour; or `PODPOOL_KEEP_FINISHED`.
    /// <https://kubernetes.io/docs/concepts/workloads/controllers/ttlafterfinished/>
    pub const fn keep_finished(mut self, time: Duration) -> Self {
        self.spec.keep_finished = Some(time);
        self
    }

    /// A worker without work and without a master leaves after this, 10 s at least. Default: 5 min; or
    /// `PODPOOL_IDLE_TIMEOUT`. `Duration::MAX`: not before the run ends.
    pub const fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.spec.idle_timeout = Some(timeout);
        self
    }

    /// How long workers may wait for a node, a quota, or a registry that limits its rate, before the pool breaks, 1 s at
    /// least. Default: 5 min; or
    /// `PODPOOL_SCHEDULE_TIMEOUT`. `Duration::MAX`: until the run's deadline.
    pub const fn schedule_timeout(mut self, timeout: Duration) -> Self {
        self.spec.schedule_timeout = Some(timeout);
        self
    }

    /// The LocalQueue of [Kueue](https://kueue.sigs.k8s.io/docs/tasks/run/jobs/) that admits the workers' Jobs: they
    /// are made suspended, and Kueue resumes them when its quota has room. Or `PODPOOL_KUEUE_QUEUE`.
    pub fn kueue_queue(mut self, name: impl Into<String>) -> Self {
        self.spec.kueue_queue = Some(name.into());
        self
    }

    /// The WorkloadPriorityClass of the Jobs in Kueue's queue; it needs [`kueue_queue`](Self::kueue_queue). Or
    /// `PODPOOL_KUEUE_PRIORITY`.
    pub fn kueue_priority(mut self, name: impl Into<String>) -> Self {
        self.spec.kueue_priority = Some(name.into());
        self
    }

    /// Refuses workers whose program is another build than this one: the pool breaks at the first message of
    /// such a worker, before it runs a task. Default: another build of the same target is a notice; or
    /// `PODPOOL_REQUIRE_SAME_BUILD`. A build is known by the GNU build-id note of its
    /// file, or by a hash of the file; so the image must hold this very file, and not one that was built again from the
    /// same source.
    pub const fn require_same_build(mut self) -> Self {
        self.spec.same_build = Some(true);
        self
    }

    /// A registry, with the beginning of the names of repositories: `registry.example/team`, `docker.io/ada`,
    /// `localhost:5000`; or `PODPOOL_REGISTRY`. Where no [`image`](Self::image) is named, a master outside the cluster
    /// makes an image of its very executable, and pushes it to a repository with the program's name there. Needs the
    /// feature `image`; neither Docker nor another tool.
    ///
    /// The image holds the executable, the loader and the libraries that it links with, the certificates of authorities
    /// of this machine (`SSL_CERT_FILE`, or the system's), `/tmp`, and names for root and user 65532, as which it runs.
    /// There is no shell and no time zone. A library that the program opens by itself at run time (`dlopen`) is named
    /// nowhere in its file and so not found: use a [`base_image`](Self::base_image) that has it. A static program needs
    /// no library. Libraries of other directories than the loader's default ones are in `/podpool/lib`, which the
    /// image's `LD_LIBRARY_PATH` names: a program that sets this variable for its workers adds that directory.
    ///
    /// Its tag is a hash of this content: an unchanged program pushes nothing and starts at once, a changed one uploads
    /// one layer, with a notice. Workers run the image by its digest, so that they are of this very build. Old images
    /// stay until the registry removes them; a rule for tags that begin with `podpool-` does. Use a release build: a
    /// program without optimisation hashes itself at some MB a second.
    ///
    /// Logins are those of Docker's tools: `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`, with its
    /// helpers. Nodes need a right to pull of their own, or a [`pull_secret`](Self::pull_secret). Whoever may push to
    /// the registry decides what workers run.
    ///
    /// All happens in `build()`, before anything of the run is made, and `build()` names what failed: a program that
    /// nodes cannot run (for macOS, for Windows, or for another processor, where the nodes may be listed), a missing
    /// library, a login that is not accepted. A master that itself runs in a pod of the cluster pushes nothing: it uses
    /// the image of its pod.
    pub fn registry(mut self, place: impl Into<String>) -> Self {
        self.spec.registry = Some(place.into());
        self
    }

    /// An image on top of which the executable is put, by its digest: `gcr.io/distroless/cc-debian12@sha256:…`; or
    /// `PODPOOL_BASE_IMAGE`. Its layers are copied to the [`registry`](Self::registry). Default: none.
    ///
    /// The base brings everything but the executable. `build()` refuses one whose glibc is older than the executable
    /// needs, with both versions, and one without a library that it links with, before anything is pushed; for this the
    /// base is downloaded once, and what it has is noted below `$XDG_CACHE_HOME/podpool`, or `~/.cache`.
    pub fn base_image(mut self, image: impl Into<String>) -> Self {
        self.spec.base_image = Some(image.into());
        self
    }

    /// A host of a registry that is spoken to by plain http, with its port: `localhost:5000`; may be called more than
    /// once. Or `PODPOOL_REGISTRY_INSECURE`, with commas. For tests: logins go unencrypted. Nodes decide for themselves
    /// how they pull.
    pub fn registry_insecure(mut self, host: impl Into<String>) -> Self {
        self.spec.registry_insecure.push(host.into());
        self
    }
}

impl fmt::Debug for KubernetesOptions {
    // Values of variables may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KubernetesOptions")
            .field(&self.spec.without_values())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::PodContainer;

    #[test]
    fn no_value_of_a_variable_is_in_the_debug_output() {
        let container = || PodContainer::new("a", "a:1").env("TOKEN", "s3cret");
        let options = KubernetesOptions::default()
            .image("backfill:1")
            .env("TOKEN", "s3cret")
            .init_container(container())
            .sidecar(container());
        let shown = format!("{options:?}");
        assert!(
            shown.contains("backfill:1") && shown.contains("TOKEN"),
            "{shown}"
        );
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}
