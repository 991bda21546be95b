//! Where the pods of a run run: what the watch shows of a pod, and what the labels of its node tell. Pure.
//!
//! A node is an object of the whole cluster, so the right to read one is no part of the master's Role. Without it, zone and
//! spot are not known; nothing else depends on them. Each node is read once.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use podpool_core::fleet::FleetEvent;
use podpool_core::place::WorkerPlace;
use tracing::debug;

use super::job::CONTAINER;
use super::spot;

/// Most nodes that are read at once.
// A large cohort may come to hundreds of nodes in a second, and nobody waits for the answers.
const MOST_ASKED: usize = 4;
/// <https://kubernetes.io/docs/reference/labels-annotations-taints/#topologykubernetesiozone>
const ZONE: &str = "topology.kubernetes.io/zone";
/// GKE's older kind of spot nodes. <https://cloud.google.com/kubernetes-engine/docs/how-to/preemptible-vms>
const PREEMPTIBLE: (&str, &str) = ("cloud.google.com/gke-preemptible", "true");
/// Labels of nodes whose provider marks those that are spot: without a mark they are not.
const MARKED: [&str; 4] = [
    "cloud.google.com/gke-nodepool",
    "eks.amazonaws.com/capacityType",
    "karpenter.sh/capacity-type",
    "kubernetes.azure.com/agentpool",
];

/// What a node's labels tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct NodePlace {
    zone: Option<Arc<str>>,
    spot: Option<bool>,
}

impl NodePlace {
    fn of(labels: &BTreeMap<String, String>) -> Self {
        let is = |(name, value): (&str, &str)| {
            labels
                .get(name)
                .is_some_and(|it| it.eq_ignore_ascii_case(value))
        };
        let mut all = spot::LABELS.iter().map(|(_, name, value)| (*name, *value));
        let spot = all.any(is) || is(PREEMPTIBLE);
        let known = spot || MARKED.iter().any(|name| labels.contains_key(*name));
        let zone = labels.get(ZONE).filter(|zone| !zone.is_empty());
        Self {
            zone: zone.map(|zone| zone.as_str().into()),
            spot: known.then_some(spot),
        }
    }
}

/// What became of the request for a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Its labels.
    Labels(BTreeMap<String, String>),
    /// Nodes may not be read, for this reason.
    Refused(String),
    /// No answer came, or the node is gone. It is read again for the next pod that comes to it.
    Failed(String),
}

/// A node that a pod is on.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Asked,
    Known(NodePlace),
}

/// What is known of a pod.
#[derive(Debug, Default)]
struct Seen {
    node: Option<Arc<str>>,
    image: Option<Arc<str>>,
    /// What was reported of it.
    told: Option<WorkerPlace>,
}

/// The places of a run's pods.
#[derive(Debug, Default)]
pub(super) struct Places {
    pods: HashMap<Arc<str>, Seen>,
    nodes: HashMap<Arc<str>, Node>,
    /// Nodes that are not asked about yet.
    waiting: VecDeque<Arc<str>>,
    /// Nodes may not be read.
    refused: bool,
    events: Vec<FleetEvent>,
}

impl Places {
    /// A pod as the watch shows it. Nothing is reported before its container has begun: then node and image are known.
    pub(super) fn seen(&mut self, pod: &Pod) {
        let Some(name) = pod.metadata.name.as_deref() else {
            return;
        };
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
        let status = pod.status.as_ref();
        let containers = status.and_then(|status| status.container_statuses.as_ref());
        let container = containers.and_then(|all| all.iter().find(|it| it.name == CONTAINER));
        let (Some(node), Some(container)) = (node, container.filter(|it| has_begun(it))) else {
            return;
        };
        let seen = self.pods.entry(name.into()).or_default();
        seen.node = Some(node.into());
        seen.image = digest(&container.image_id).map(Into::into);
        if !self.refused && !self.nodes.contains_key(node) {
            self.nodes.insert(node.into(), Node::Asked);
            self.waiting.push_back(node.into());
        }
        self.tell(&name.into());
    }

    /// A pod is removed.
    pub(super) fn gone(&mut self, pod: &Pod) {
        if let Some(name) = pod.metadata.name.as_deref() {
            self.pods.remove(name);
        }
    }

    /// The next node to read, while so many are being read.
    pub(super) fn next_question(&mut self, asking: usize) -> Option<Arc<str>> {
        let may = asking < MOST_ASKED && !self.refused;
        may.then(|| self.waiting.pop_front())?
    }

    /// A node was read, or was not.
    pub(super) fn answered(&mut self, node: &Arc<str>, answer: Answer) {
        match answer {
            Answer::Labels(labels) => {
                let known = Node::Known(NodePlace::of(&labels));
                self.nodes.insert(node.clone(), known);
            }
            Answer::Failed(reason) => {
                debug!(%node, reason, "the labels of a node are not known");
                self.nodes.remove(node);
            }
            Answer::Refused(reason) => {
                if !std::mem::replace(&mut self.refused, true) {
                    debug!(
                        reason,
                        "the zones of nodes and whether they are spot are not known; grant the master get on nodes to see them"
                    );
                }
                self.nodes.retain(|_, node| *node != Node::Asked);
                self.waiting.clear();
            }
        }
        let on_known = |(name, seen): (&Arc<str>, &Seen)| {
            let asked = seen.node.as_ref().and_then(|node| self.nodes.get(node));
            (seen.told.is_none() && asked != Some(&Node::Asked)).then(|| name.clone())
        };
        let mut untold: Vec<_> = self.pods.iter().filter_map(on_known).collect();
        untold.sort();
        untold.iter().for_each(|pod| self.tell(pod));
    }

    /// What is to be reported since the last call.
    pub(super) fn take(&mut self) -> Vec<FleetEvent> {
        std::mem::take(&mut self.events)
    }

    /// Reports where a pod runs, once its node was read, and again where more is known.
    fn tell(&mut self, pod: &Arc<str>) {
        let Some(seen) = self.pods.get_mut(pod) else {
            return;
        };
        let node = match seen.node.as_ref().and_then(|node| self.nodes.get(node)) {
            Some(Node::Asked) => return,
            Some(Node::Known(node)) => node.clone(),
            None => NodePlace::default(),
        };
        let place = WorkerPlace {
            pod: Some(pod.clone()),
            zone: node.zone,
            spot: node.spot,
            image: seen.image.clone(),
        };
        if seen.told.as_ref() != Some(&place) {
            seen.told = Some(place.clone());
            self.events.push(FleetEvent::Placed {
                worker: pod.clone(),
                place,
            });
        }
    }
}

/// Whether a container has begun, now or in the past.
fn has_begun(container: &ContainerStatus) -> bool {
    let state = container.state.as_ref();
    let runs = state.is_some_and(|state| state.running.is_some() || state.terminated.is_some());
    runs || !container.image_id.is_empty()
}

/// The digest in the id of an image: `REPOSITORY@sha256:…`, or the digest alone for an image that was loaded on the node.
// <https://kubernetes.io/docs/concepts/containers/images/#image-names>; older runtimes put `docker-pullable://` in front.
fn digest(image_id: &str) -> Option<&str> {
    let digest = image_id.rsplit(['@', '/']).next()?;
    digest.starts_with("sha256:").then_some(digest)
}

#[cfg(test)]
mod tests;
