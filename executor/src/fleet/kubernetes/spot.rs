//! Spot nodes: machines that their provider may take away at any time.

use crate::fleet::worker_spec::Spot;

/// The label of each cloud's spot nodes, which is the taint's key and value too.
// The pages that `Spot` links describe them.
pub(super) const LABELS: [(Spot, &str, &str); 4] = [
    (Spot::Gke, "cloud.google.com/gke-spot", "true"),
    (Spot::Karpenter, "karpenter.sh/capacity-type", "spot"),
    (Spot::Eks, "eks.amazonaws.com/capacityType", "SPOT"),
    (Spot::Aks, "kubernetes.azure.com/scalesetpriority", "spot"),
];
