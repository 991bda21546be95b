//! Workers on spot nodes alone: what their pods ask for and tolerate.

use k8s_openapi::api::core::v1::NodeSelectorRequirement;

use super::super::super::draft::Draft;
use super::tolerated;
use crate::fleet::kubernetes::spot::LABELS;
use crate::fleet::worker_spec::{Spot, TaintEffect, Toleration, WorkerSpec};

pub(super) const CLOUDS: [Spot; 5] = [Spot::Any, Spot::Gke, Spot::Karpenter, Spot::Eks, Spot::Aks];

/// One cloud's label is a plain selector, which GKE's Autopilot understands best. Of several a node has one: these are
/// alternatives of its affinity.
pub(super) fn write(spec: &WorkerSpec, draft: &mut Draft) {
    let Some(spot) = spec.spot else { return };
    let wanted = |one: &&(Spot, &str, &str)| spot == Spot::Any || one.0 == spot;
    let labels: Vec<_> = LABELS.iter().filter(wanted).collect();
    for (_, key, value) in &labels {
        let taint = Toleration::equals(*key, *value).effect(TaintEffect::NoSchedule);
        let all = draft.spec.tolerations.get_or_insert_default();
        all.push(tolerated(&taint));
    }
    if let [(_, key, value)] = labels[..] {
        let selector = draft.spec.node_selector.get_or_insert_default();
        selector.insert((*key).to_owned(), (*value).to_owned());
        return;
    }
    let alternatives: Vec<_> = labels
        .iter()
        .map(|(_, key, value)| {
            vec![NodeSelectorRequirement {
                key: (*key).to_owned(),
                operator: "In".to_owned(),
                values: Some(vec![(*value).to_owned()]),
            }]
        })
        .collect();
    draft.need(&alternatives);
}
