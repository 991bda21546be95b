//! Options of the nodes that workers run on.

use super::KubernetesOptions;
use crate::fleet::worker_spec::{NodeAffinity, PodAffinity, Spot, Spread, Toleration};

impl KubernetesOptions {
    /// A label that the workers' nodes must have; or `PODPOOL_NODE_SELECTOR`, as `key=value,key=value`.
    pub fn node_selector(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.spec.node_selector.insert(key.into(), value.into());
        self
    }

    /// A taint that the workers' nodes may have; may be called more than once. Or `PODPOOL_TOLERATIONS`, as
    /// `key=value:Effect,key:Effect`.
    pub fn toleration(mut self, toleration: Toleration) -> Self {
        self.spec.tolerations.push(toleration);
        self
    }

    /// What the labels of the workers' nodes must be, or should be; may be called more than once. Or
    /// `PODPOOL_NODE_AFFINITY`, as a JSON list.
    pub fn node_affinity(mut self, rule: NodeAffinity) -> Self {
        self.spec.node_affinity.push(rule);
        self
    }

    /// Pods beside which, or apart from which, workers run; may be called more than once. Or `PODPOOL_POD_AFFINITY`, as
    /// a JSON list.
    pub fn pod_affinity(mut self, rule: PodAffinity) -> Self {
        self.spec.pod_affinity.push(rule);
        self
    }

    /// Domains over which workers are spread, such as zones; may be called more than once. Or `PODPOOL_SPREAD`, as
    /// `key,key=max skew`.
    pub fn spread(mut self, rule: Spread) -> Self {
        self.spec.spread.push(rule);
        self
    }

    /// Workers run on spot nodes alone, of whichever cloud: a node needs the label of GKE's, Karpenter's, EKS' or AKS'
    /// spot nodes, and may have the taint of them. Or `PODPOOL_SPOT=any`.
    pub const fn spot(self) -> Self {
        self.spot_of(Spot::Any)
    }

    /// The same for one cloud, whose label alone is then asked for; or `PODPOOL_SPOT`, as `gke`, `karpenter`, `eks` or
    /// `aks`.
    pub const fn spot_of(mut self, cloud: Spot) -> Self {
        self.spec.spot = Some(cloud);
        self
    }

    /// GKE's compute class of the workers' nodes; or `PODPOOL_COMPUTE_CLASS`.
    /// <https://cloud.google.com/kubernetes-engine/docs/concepts/about-custom-compute-classes>
    pub fn compute_class(mut self, name: impl Into<String>) -> Self {
        self.spec.compute_class = Some(name.into());
        self
    }

    /// The pods' priority class, which must exist; or `PODPOOL_PRIORITY_CLASS`.
    /// <https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/>
    pub fn priority_class(mut self, name: impl Into<String>) -> Self {
        self.spec.priority_class = Some(name.into());
        self
    }

    /// The pods' runtime class, such as `gvisor`; or `PODPOOL_RUNTIME_CLASS`.
    /// <https://kubernetes.io/docs/concepts/containers/runtime-class/>
    pub fn runtime_class(mut self, name: impl Into<String>) -> Self {
        self.spec.runtime_class = Some(name.into());
        self
    }
}
