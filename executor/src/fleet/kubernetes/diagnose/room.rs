//! Whether any node is large enough for a pod, and whether an autoscaler adds one.
//!
//! The scheduler reports only what nodes lack at the moment. Whether waiting helps follows from the size of the nodes:
//! an empty node offers what it has as *allocatable*.
//! <https://kubernetes.io/docs/tasks/administer-cluster/reserve-compute-resources/#node-allocatable>

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Container, Event, Node, Pod, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::options;
use super::quantity::{shown, thousandths};

/// Amounts by resource, in thousandths of its unit.
type Amounts = BTreeMap<String, u128>;

/// What a pod asks of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    amounts: Amounts,
    /// The scheduler's last words about it.
    pub(super) scheduler: String,
}

impl Needs {
    /// The sum of its containers, those that an admission webhook added included.
    // Init containers run one after the other, and beside the sidecars among them: so the larger of both sums counts.
    // <https://kubernetes.io/docs/concepts/workloads/pods/init-containers/#resource-sharing-within-containers>
    pub(super) fn of(pod: &Pod, scheduler: &str) -> Self {
        let Some(spec) = pod.spec.as_ref() else {
            return Self::default();
        };
        let mut amounts = Amounts::new();
        for container in &spec.containers {
            add(&mut amounts, &requests(container));
        }
        let mut first = Amounts::new();
        let mut sidecars = Amounts::new();
        for container in spec.init_containers.iter().flatten() {
            let mut beside = requests(container);
            if container.restart_policy.as_deref() == Some("Always") {
                add(&mut sidecars, &beside);
                continue;
            }
            add(&mut beside, &sidecars);
            largest(&mut first, &beside);
        }
        add(&mut amounts, &sidecars);
        largest(&mut amounts, &first);
        add(&mut amounts, &read(spec.overhead.as_ref()));
        Self {
            amounts,
            scheduler: scheduler.to_owned(),
        }
    }

    /// Whether both ask for the same.
    #[must_use]
    pub fn equal(&self, other: &Self) -> bool {
        self.amounts == other.amounts
    }
}

fn requests(container: &Container) -> Amounts {
    let of = |resources: &ResourceRequirements| read(resources.requests.as_ref());
    container.resources.as_ref().map(of).unwrap_or_default()
}

fn read(amounts: Option<&BTreeMap<String, Quantity>>) -> Amounts {
    let amounts = amounts.into_iter().flatten();
    // An amount that cannot be read counts as none: then the scheduler's verdict alone counts.
    let read =
        amounts.filter_map(|(name, Quantity(text))| Some((name.clone(), thousandths(text)?)));
    read.filter(|(_, amount)| *amount > 0).collect()
}

fn add(sum: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        let known = sum.entry(name.clone()).or_default();
        *known = known.saturating_add(*amount);
    }
}

fn largest(most: &mut Amounts, others: &Amounts) {
    for (name, amount) in others {
        let known = most.entry(name.clone()).or_default();
        *known = (*known).max(*amount);
    }
}

/// What the nodes of a cluster offer to a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Room {
    /// A node that was empty could take it, or no node was reported.
    Enough,
    /// No node could, even an empty one.
    TooLarge {
        /// Why, and what to do.
        reason: String,
        /// Nodes belong to a cloud, so an autoscaler may add larger ones.
        may_grow: bool,
    },
}

/// The nodes of a cluster, as far as their size matters.
#[derive(Clone, Debug, Default)]
pub struct Nodes {
    /// Each size once: most nodes of a large cluster are alike.
    offers: BTreeSet<Amounts>,
    /// At least one is of a cloud.
    of_provider: bool,
}

impl Nodes {
    /// One more.
    pub fn add(&mut self, node: &Node) {
        self.offers.insert(allocatable(node));
        // An autoscaler knows its nodes by the id that their provider gave them; a node without one is of no cloud.
        // <https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/node-v1/#NodeSpec>
        let id = node
            .spec
            .as_ref()
            .and_then(|spec| spec.provider_id.as_deref());
        self.of_provider |= id.is_some_and(|id| !id.is_empty());
    }
}

/// Compares what a pod asks for with the nodes of its cluster.
#[must_use]
pub fn room(needs: &Needs, nodes: &Nodes) -> Room {
    let has = |offer: &Amounts, name: &str, amount: u128| {
        offer.get(name).copied().unwrap_or_default() >= amount
    };
    let fits = |offer: &Amounts| {
        let mut all = needs.amounts.iter();
        all.all(|(name, amount)| has(offer, name, *amount))
    };
    if nodes.offers.is_empty() || nodes.offers.iter().any(fits) {
        return Room::Enough;
    }
    Room::TooLarge {
        reason: too_large(needs, &nodes.offers),
        may_grow: nodes.of_provider,
    }
}

fn allocatable(node: &Node) -> Amounts {
    let status = node.status.as_ref();
    read(status.and_then(|status| status.allocatable.as_ref()))
}

fn too_large(needs: &Needs, offers: &BTreeSet<Amounts>) -> String {
    let most = |name: &str| {
        let all = offers.iter().filter_map(|offer| offer.get(name));
        all.copied().max().unwrap_or_default()
    };
    let beyond: Vec<(&str, u128)> = needs
        .amounts
        .iter()
        .map(|(name, amount)| (&**name, *amount))
        .filter(|(name, amount)| most(name) < *amount)
        .collect();
    let each = |(name, amount): &(&str, u128)| match most(name) {
        0 => format!("it asks for {}, and no node has any", shown(name, *amount)),
        most => format!(
            "it asks for {}, and the largest node has {}",
            shown(name, *amount),
            shown(name, most)
        ),
    };
    // Each alone fits on some node, and no node has all of them.
    let together = || {
        let all = needs.amounts.iter();
        let all: Vec<String> = all.map(|(name, amount)| shown(name, *amount)).collect();
        format!(
            "it asks for {}, and no node has that together",
            all.join(" and ")
        )
    };
    let what = if beyond.is_empty() {
        together()
    } else {
        let each: Vec<String> = beyond.iter().map(each).collect();
        each.join("; ")
    };
    let lacking = if beyond.is_empty() {
        needs.amounts.keys().map(String::as_str).collect()
    } else {
        beyond.iter().map(|(name, _)| *name).collect::<Vec<_>>()
    };
    let options: Vec<&str> = lacking
        .into_iter()
        .filter_map(options::of_resource)
        .collect();
    let less = if options.is_empty() {
        "add nodes that have it".to_owned()
    } else {
        format!(
            "ask for less with {}, or add larger nodes",
            options.join(" and ")
        )
    };
    format!(
        "no node is large enough for a worker: {what} ({}); {less}",
        needs.scheduler
    )
}

/// What an autoscaler has said about a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Autoscaler {
    /// It adds a node.
    Adds,
    /// It adds none, for this reason.
    Declines(String),
    /// Nothing.
    Silent,
}

/// Reads the events about a pod. The last word counts.
// Cluster Autoscaler and Karpenter report in events alone, and their reasons are no part of the API.
// <https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/FAQ.md#what-events-are-emitted-by-ca>
// <https://karpenter.sh/docs/troubleshooting/>
#[must_use]
pub fn autoscaler(events: &[Event]) -> Autoscaler {
    let mut said: Vec<(Option<jiff::Timestamp>, Autoscaler)> = events
        .iter()
        .filter_map(|event| Some((last_seen(event), word(event)?)))
        .collect();
    said.sort_by_key(|(at, _)| *at);
    said.pop().map_or(Autoscaler::Silent, |(_, word)| word)
}

fn last_seen(event: &Event) -> Option<jiff::Timestamp> {
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    last.or_else(|| event.event_time.as_ref().map(|time| time.0))
}

/// What an event says of nodes to come, if anything.
fn word(event: &Event) -> Option<Autoscaler> {
    let source = event
        .source
        .as_ref()
        .and_then(|source| source.component.as_deref());
    let reporter = event
        .reporting_component
        .as_deref()
        .filter(|it| !it.is_empty());
    let declines = || Autoscaler::Declines(event.message.clone().unwrap_or_default());
    match (event.reason.as_deref()?, reporter.or(source)) {
        ("TriggeredScaleUp" | "Nominated", _) => Some(Autoscaler::Adds),
        ("NotTriggerScaleUp", _) | ("FailedScheduling", Some("karpenter")) => Some(declines()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn nodes(allocatable: &[Value]) -> Nodes {
        let mut nodes = Nodes::default();
        for amounts in allocatable {
            let node = json!({"metadata": {"name": "n"}, "status": {"allocatable": amounts}});
            nodes.add(&serde_json::from_value(node).unwrap());
        }
        nodes
    }

    fn needs(spec: &Value) -> Needs {
        let pod = json!({"metadata": {}, "spec": spec});
        Needs::of(
            &serde_json::from_value(pod).unwrap(),
            "0/1 nodes are available: 1 Insufficient cpu.",
        )
    }

    fn plain(requests: &Value) -> Needs {
        needs(&json!({"containers": [{"name": "worker", "resources": {"requests": requests}}]}))
    }

    fn reason(needs: &Needs, nodes: &Nodes) -> Option<String> {
        match room(needs, nodes) {
            Room::Enough => None,
            Room::TooLarge { reason, .. } => Some(reason),
        }
    }

    #[test]
    fn a_pod_is_too_large_only_if_no_empty_node_could_take_it() {
        let two = nodes(&[
            json!({"cpu": "4", "memory": "8Gi"}),
            json!({"cpu": "2", "memory": "64Gi"}),
        ]);
        for (requests, expected) in [
            (json!({"cpu": "4", "memory": "8Gi"}), None),
            (json!({"cpu": "2000m", "memory": "65536Mi"}), None),
            (json!({}), None),
            (
                json!({"cpu": "5"}),
                Some("it asks for 5 cores, and the largest node has 4 cores"),
            ),
            (
                json!({"memory": "65Gi"}),
                Some("it asks for 65 GiB of memory, and the largest node has 64 GiB"),
            ),
            (
                json!({"nvidia.com/gpu": "1"}),
                Some("it asks for 1 nvidia.com/gpu, and no node has any"),
            ),
            (
                json!({"cpu": "3", "memory": "9Gi"}),
                Some("3 cores and 9 GiB of memory, and no node has that together"),
            ),
        ] {
            let reason = reason(&plain(&requests), &two);
            match expected {
                None => assert_eq!(reason, None, "{requests}"),
                Some(words) => assert!(
                    reason.as_ref().is_some_and(|it| it.contains(words)),
                    "{reason:?}"
                ),
            }
        }
        assert_eq!(
            reason(&plain(&json!({"cpu": "5"})), &Nodes::default()),
            None,
            "no node was reported"
        );
    }

    #[test]
    fn the_containers_of_webhooks_count() {
        let of = |requests: &str| json!({"requests": {"cpu": requests}});
        let needs = needs(&json!({
            "containers": [{"name": "worker", "resources": of("1")}, {"name": "proxy", "resources": of("500m")}],
            "initContainers": [
                {"name": "log", "resources": of("250m"), "restartPolicy": "Always"},
                {"name": "unpack", "resources": of("3")},
            ],
            "overhead": {"cpu": "100m"},
        }));
        assert_eq!(reason(&needs, &nodes(&[json!({"cpu": "3350m"})])), None);
        assert!(reason(&needs, &nodes(&[json!({"cpu": "3349m"})])).is_some());
    }

    #[test]
    fn the_last_word_of_an_autoscaler_counts() {
        let event = |reason: &str, source: &str, second: u32| -> Event {
            serde_json::from_value(json!({
                "metadata": {}, "involvedObject": {}, "reason": reason, "message": "why",
                "source": {"component": source}, "lastTimestamp": format!("2026-11-21T08:00:{second:02}Z"),
            }))
            .unwrap()
        };
        let declines = || Autoscaler::Declines("why".to_owned());
        let adds = event("TriggeredScaleUp", "cluster-autoscaler", 30);
        let none = event("NotTriggerScaleUp", "cluster-autoscaler", 20);
        assert_eq!(autoscaler(&[]), Autoscaler::Silent);
        assert_eq!(
            autoscaler(&[event("FailedScheduling", "default-scheduler", 1)]),
            Autoscaler::Silent
        );
        assert_eq!(autoscaler(&[adds.clone(), none.clone()]), Autoscaler::Adds);
        assert_eq!(
            autoscaler(&[none.clone(), event("Nominated", "karpenter", 5)]),
            declines()
        );
        assert_eq!(
            autoscaler(&[event("FailedScheduling", "karpenter", 1)]),
            declines()
        );
    }
}
