//! A pod of the user's, and the user's last word on each pod.

use std::path::PathBuf;

use super::KubernetesOptions;

impl KubernetesOptions {
    /// A YAML or JSON file with a `Pod` or a `PodTemplateSpec`, on top of which podpool puts its own. Its container
    /// `worker` becomes the worker's; other containers and volumes stay as they are. Options count before it; it counts
    /// before their defaults. Or `PODPOOL_POD_TEMPLATE`; in `podpool.toml` its path is relative to that file.
    ///
    /// `build()` refuses a field that Kubernetes does not know, with its path, and what a worker needs to be podpool's:
    /// its command, variables that begin with `PODPOOL_`, the volume `run`, the restart policy, the grace, labels of
    /// podpool. A container beside the worker must end by itself when the worker has ended, else its pod never ends:
    /// make it a sidecar, an init container with `restartPolicy: Always`.
    pub fn pod_template(mut self, path: impl Into<PathBuf>) -> Self {
        self.spec.pod_template = Some(path.into());
        self
    }

    /// Changes each pod, after everything else; may be called more than once. The pod is a
    /// [`Pod`](crate::options::pod::Pod) of `k8s-openapi`, with the template's metadata and the spec of the cohort's
    /// Job. It is called by `build()`, and once for each Job.
    ///
    /// `build()` refuses a change of what podpool needs, as for [`pod_template`](Self::pod_template), and a change of
    /// the image.
    ///
    /// ```
    /// use podpool::options::KubernetesOptions;
    ///
    /// let workers = KubernetesOptions::default().patch_pod(|pod| {
    ///     if let Some(spec) = &mut pod.spec {
    ///         spec.scheduler_name = Some("volcano".to_owned());
    ///     }
    /// });
    /// # drop(workers);
    /// ```
    #[cfg(feature = "kubernetes")]
    pub fn patch_pod(
        mut self,
        change: impl Fn(&mut crate::options::pod::Pod) + Send + Sync + 'static,
    ) -> Self {
        self.spec
            .pod_patches
            .push(crate::fleet::worker_spec::PodPatch::new(change));
        self
    }
}
