//! Whether a node is large enough for a worker.

use k8s_openapi::api::core::v1::{Node, PodSpec};
use kube::Api;
use kube::api::ListParams;

use super::super::client::Cluster;
use super::quantity::{Amounts, amounts, of_pod};
use crate::doctor::{Line, bounded};
use crate::error::start::chain;

pub(super) const NODE: &str = "kubernetes.node";

/// Nodes that are looked at: some suffice to find one that is large enough.
const NODES: u32 = 500;
const COMMAND: &str = "kubectl get nodes -o custom-columns=NAME:.metadata.name,CPU:.status.allocatable.cpu,MEMORY:.status.allocatable.memory";

pub(super) async fn look(cluster: &Cluster, pod: Option<&PodSpec>) -> Vec<Line> {
    let Some(pod) = pod else { return Vec::new() };
    bounded(|why| Line::skipped(NODE, why), ask(cluster, pod)).await
}

async fn ask(cluster: &Cluster, pod: &PodSpec) -> Vec<Line> {
    let nodes: Api<Node> = Api::all(cluster.client().clone());
    match nodes.list(&ListParams::default().limit(NODES)).await {
        Ok(found) => vec![judge(&found.items, pod)],
        Err(kube::Error::Api(status)) if status.is_forbidden() => {
            vec![Line::skipped(NODE, "nodes may not be listed").with_fix(COMMAND)]
        }
        Err(error) => vec![Line::skipped(NODE, chain(error)).with_fix(COMMAND)],
    }
}

/// Never a failure: an autoscaler may add a node of another size.
fn judge(nodes: &[Node], pod: &PodSpec) -> Line {
    let command = COMMAND.to_owned();
    let selected: Vec<&Node> = nodes
        .iter()
        .filter(|node| takes_pods(node) && is_selected(node, pod))
        .collect();
    if selected.is_empty() {
        let seen = "no node takes workers: none is there, is schedulable, and has the labels that are selected; unless an autoscaler adds one, workers wait";
        return Line::warn(NODE, seen, command);
    }
    let (requests, _) = of_pod(pod);
    let fits = |node: &&&Node| {
        let has = allocatable(node);
        let enough = |(name, needed): (&String, &i128)| {
            has.get(name).copied().unwrap_or_default() >= *needed
        };
        requests.iter().all(enough)
    };
    let fitting = selected.iter().filter(fits).count();
    if fitting > 0 {
        let seen = format!(
            "{fitting} of {} nodes are large enough for a worker",
            selected.len()
        );
        return Line::pass(NODE, seen);
    }
    let largest = |name: &str| {
        let quantity = |node: &&Node| {
            let map = node.status.as_ref()?.allocatable.as_ref()?;
            let quantity = map.get(name)?.0.clone();
            Some((super::quantity::nano(&quantity)?, quantity))
        };
        let most = selected.iter().filter_map(quantity).max();
        most.map_or_else(|| "none".to_owned(), |(_, text)| text)
    };
    let most: Vec<_> = requests
        .keys()
        .map(|name| format!("{name} {}", largest(name)))
        .collect();
    let seen = format!(
        "no node is large enough for a worker; the most that one has: {}; unless an autoscaler adds a larger one, workers wait",
        most.join(", ")
    );
    let smaller = "ask for less by KubernetesOptions::cpu and KubernetesOptions::memory (PODPOOL_CPU, PODPOOL_MEMORY)";
    Line::warn(NODE, seen, smaller.to_owned())
}

fn allocatable(node: &Node) -> Amounts {
    let status = node.status.as_ref();
    let map = status.and_then(|it| it.allocatable.as_ref());
    map.map(amounts).unwrap_or_default()
}

fn takes_pods(node: &Node) -> bool {
    let spec = node.spec.as_ref();
    spec.and_then(|it| it.unschedulable) != Some(true)
}

fn is_selected(node: &Node, pod: &PodSpec) -> bool {
    let labels = node.metadata.labels.as_ref();
    let has =
        |(key, value): (&String, &String)| labels.and_then(|labels| labels.get(key)) == Some(value);
    pod.node_selector.iter().flatten().all(has)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::doctor::Outcome;

    fn pod(cpu: &str) -> PodSpec {
        let requests = json!({"cpu": cpu, "memory": "2Gi"});
        let container = json!({"name": "worker", "resources": {"requests": requests}});
        serde_json::from_value(json!({"containers": [container], "nodeSelector": {"pool": "a"}}))
            .unwrap()
    }

    fn node(cpu: &str, unschedulable: bool) -> Node {
        serde_json::from_value(json!({
            "metadata": {"name": "n", "labels": {"pool": "a"}},
            "spec": {"unschedulable": unschedulable},
            "status": {"allocatable": {"cpu": cpu, "memory": "3Gi"}},
        }))
        .unwrap()
    }

    #[test]
    fn one_node_that_is_large_enough_suffices() {
        let nodes = [node("900m", false), node("4", false)];
        assert_eq!(judge(&nodes, &pod("2")).outcome, Outcome::Pass);
        let small = judge(&nodes, &pod("5"));
        assert_eq!(small.outcome, Outcome::Warn);
        assert!(small.seen.contains("cpu 4, memory 3Gi"), "{small:?}");
        assert!(small.fix.unwrap().contains("PODPOOL_CPU"));
    }

    #[test]
    fn nodes_that_take_no_worker_do_not_count() {
        let mut other = node("8", false);
        other.metadata.labels = None;
        for nodes in [vec![], vec![node("8", true)], vec![other]] {
            assert_eq!(judge(&nodes, &pod("1")).outcome, Outcome::Warn);
        }
    }
}
