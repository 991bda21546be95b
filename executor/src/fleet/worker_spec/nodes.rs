//! Where the scheduler places workers: taints, nodes, other pods, zones.

/// Lets workers run on nodes with a taint.
/// <https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/>
///
/// As a variable or in `podpool.toml`: `key`, `key=value`, `key:Effect` or `key=value:Effect`; in the file also a table
/// `{ key, value, effect, seconds }`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Toleration {
    pub(crate) key: Option<String>,
    pub(crate) value: Option<String>,
    pub(crate) effect: Option<TaintEffect>,
    pub(crate) seconds: Option<u64>,
}

impl Toleration {
    /// Taints of this key, whatever their value and effect.
    pub fn exists(key: impl Into<String>) -> Self {
        Self {
            key: Some(key.into()),
            ..Self::default()
        }
    }

    /// Taints of this key with this value, whatever their effect.
    pub fn equals(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            value: Some(value.into()),
            ..Self::exists(key)
        }
    }

    /// Every taint.
    #[must_use]
    pub fn everything() -> Self {
        Self::default()
    }

    /// Only taints with this effect.
    #[must_use]
    pub const fn effect(mut self, effect: TaintEffect) -> Self {
        self.effect = Some(effect);
        self
    }

    /// How long a worker may stay after such a taint was added; only for [`TaintEffect::NoExecute`]. Default: without
    /// end.
    #[must_use]
    pub const fn seconds(mut self, seconds: u64) -> Self {
        self.seconds = Some(seconds);
        self
    }
}

/// What a taint does to pods that do not tolerate it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaintEffect {
    /// No new pod.
    NoSchedule,
    /// No new pod where there is another node.
    PreferNoSchedule,
    /// No new pod, and running ones are evicted.
    NoExecute,
}

impl TaintEffect {
    /// Its name in Kubernetes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoSchedule => "NoSchedule",
            Self::PreferNoSchedule => "PreferNoSchedule",
            Self::NoExecute => "NoExecute",
        }
    }
}

/// What the labels of a worker's node must be, or should be. All rules without a weight must hold.
/// <https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#node-affinity>
///
/// In `podpool.toml`: a table `{ key, operator, values, weight }`; as a variable a JSON list of such objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeAffinity {
    pub(crate) key: String,
    pub(crate) operator: NodeOperator,
    pub(crate) values: Vec<String>,
    pub(crate) weight: Option<u32>,
}

impl NodeAffinity {
    fn new(key: impl Into<String>, operator: NodeOperator, values: Vec<String>) -> Self {
        Self {
            key: key.into(),
            operator,
            values,
            weight: None,
        }
    }

    /// The node has the label with one of these values.
    pub fn any_of<V: Into<String>>(
        key: impl Into<String>,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        let values = values.into_iter().map(Into::into).collect();
        Self::new(key, NodeOperator::In, values)
    }

    /// The node has the label with none of these values, or lacks it.
    pub fn none_of<V: Into<String>>(
        key: impl Into<String>,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        let values = values.into_iter().map(Into::into).collect();
        Self::new(key, NodeOperator::NotIn, values)
    }

    /// The node has the label.
    pub fn has(key: impl Into<String>) -> Self {
        Self::new(key, NodeOperator::Exists, Vec::new())
    }

    /// The node lacks the label.
    pub fn lacks(key: impl Into<String>) -> Self {
        Self::new(key, NodeOperator::DoesNotExist, Vec::new())
    }

    /// The label is a number above this.
    pub fn above(key: impl Into<String>, number: i64) -> Self {
        Self::new(key, NodeOperator::Gt, vec![number.to_string()])
    }

    /// The label is a number below this.
    pub fn below(key: impl Into<String>, number: i64) -> Self {
        Self::new(key, NodeOperator::Lt, vec![number.to_string()])
    }

    /// The scheduler prefers such nodes with this weight, 1 to 100, and takes others too.
    #[must_use]
    pub const fn preferred(mut self, weight: u32) -> Self {
        self.weight = Some(weight);
        self
    }
}

/// How a node's label is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NodeOperator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
    Gt,
    Lt,
}

impl NodeOperator {
    #[cfg(feature = "kubernetes")]
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::In => "In",
            Self::NotIn => "NotIn",
            Self::Exists => "Exists",
            Self::DoesNotExist => "DoesNotExist",
            Self::Gt => "Gt",
            Self::Lt => "Lt",
        }
    }
}

/// Workers beside, or apart from, pods with some labels; without labels these are the workers of the run.
/// <https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#inter-pod-affinity-and-anti-affinity>
///
/// In `podpool.toml`: a table `{ near = "topology key", labels, weight }`, or with `apart`; as a variable a JSON list
/// of such objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodAffinity {
    pub(crate) apart: bool,
    pub(crate) topology: String,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) weight: Option<u32>,
}

impl PodAffinity {
    /// In the same domain as such a pod: on the same node with the key `kubernetes.io/hostname`, in the same zone with
    /// `topology.kubernetes.io/zone`.
    pub fn near(topology_key: impl Into<String>) -> Self {
        Self {
            apart: false,
            topology: topology_key.into(),
            labels: Vec::new(),
            weight: None,
        }
    }

    /// In another domain than every such pod.
    pub fn apart(topology_key: impl Into<String>) -> Self {
        Self {
            apart: true,
            ..Self::near(topology_key)
        }
    }

    /// A label of the other pods; all that are given must be there. Default: that of the workers of the run.
    #[must_use]
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.push((key.into(), value.into()));
        self
    }

    /// The scheduler prefers such places with this weight, 1 to 100, and takes others too.
    #[must_use]
    pub const fn preferred(mut self, weight: u32) -> Self {
        self.weight = Some(weight);
        self
    }
}

/// Spreads the workers of the run evenly over zones, nodes or other domains.
/// <https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/>
///
/// As a variable or in `podpool.toml`: `topology key` or `topology key=max skew`; in the file also a table
/// `{ over, max_skew, strict }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spread {
    pub(crate) topology: String,
    pub(crate) max_skew: u32,
    pub(crate) strict: bool,
}

impl Spread {
    /// Over the domains of this label of nodes, such as `topology.kubernetes.io/zone`.
    pub fn over(topology_key: impl Into<String>) -> Self {
        Self {
            topology: topology_key.into(),
            max_skew: 1,
            strict: false,
        }
    }

    /// How many workers more than the emptiest domain may have. Default: 1.
    #[must_use]
    pub const fn max_skew(mut self, workers: u32) -> Self {
        self.max_skew = workers;
        self
    }

    /// A worker that cannot be placed so waits. Default: it is placed as evenly as possible.
    #[must_use]
    pub const fn strict(mut self) -> Self {
        self.strict = true;
        self
    }
}

/// Nodes that a cloud may take back, and costs less for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Spot {
    /// Those of any of the clouds below: a node that has the label of one of them.
    Any,
    /// GKE: `cloud.google.com/gke-spot`. <https://cloud.google.com/kubernetes-engine/docs/concepts/spot-vms>
    Gke,
    /// Karpenter, on EKS and elsewhere: `karpenter.sh/capacity-type`. <https://karpenter.sh/docs/concepts/scheduling/>
    Karpenter,
    /// Managed node groups of EKS: `eks.amazonaws.com/capacityType`.
    /// <https://docs.aws.amazon.com/eks/latest/userguide/managed-node-groups.html#managed-node-group-capacity-types>
    Eks,
    /// AKS: `kubernetes.azure.com/scalesetpriority`. <https://learn.microsoft.com/azure/aks/spot-node-pool>
    Aks,
}

impl Spot {
    /// Its word in a variable and in `podpool.toml`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Gke => "gke",
            Self::Karpenter => "karpenter",
            Self::Eks => "eks",
            Self::Aks => "aks",
        }
    }
}
