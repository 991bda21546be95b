//! Options of the labels and annotations of everything that is made.

use super::KubernetesOptions;

impl KubernetesOptions {
    /// A label for Jobs and pods; or `PODPOOL_LABELS`, as `key=value,key=value`. Keys of podpool and of Kubernetes are
    /// refused.
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.spec.labels.insert(key.into(), value.into());
        self
    }

    /// An annotation for Jobs and pods; or `PODPOOL_ANNOTATIONS`, as `key=value,key=value`. Keys of podpool are
    /// refused.
    pub fn annotation(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.spec.annotations.insert(key.into(), value.into());
        self
    }
}
