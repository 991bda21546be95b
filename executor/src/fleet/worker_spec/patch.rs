//! A change that the program makes to its workers' pods.

use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

/// A function that changes a pod. Two are equal if they are clones of one.
#[derive(Clone)]
pub struct PodPatch(Arc<dyn Fn(&mut Pod) + Send + Sync>);

impl PodPatch {
    /// This function.
    pub fn new(change: impl Fn(&mut Pod) + Send + Sync + 'static) -> Self {
        Self(Arc::new(change))
    }

    /// Changes a pod.
    pub(crate) fn apply(&self, pod: &mut Pod) {
        (self.0)(pod);
    }
}

impl PartialEq for PodPatch {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for PodPatch {}

impl fmt::Debug for PodPatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PodPatch")
    }
}
