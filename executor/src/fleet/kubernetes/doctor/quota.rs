//! The room that the namespace's quotas leave for workers.

use k8s_openapi::api::core::v1::{PodSpec, ResourceQuota};
use kube::Api;
use kube::api::ListParams;

use super::super::client::Cluster;
use super::Wanted;
use super::quantity::{Amounts, amounts, of_pod};
use crate::doctor::{Line, bounded};
use crate::error::start::chain;

pub(super) const QUOTA: &str = "kubernetes.quota";

/// One object, in the unit of [`quantity`](super::quantity).
const ONE: i128 = 1_000_000_000;

pub(super) async fn look(cluster: &Cluster, wanted: &Wanted) -> Vec<Line> {
    bounded(|why| Line::skipped(QUOTA, why), ask(cluster, wanted)).await
}

async fn ask(cluster: &Cluster, wanted: &Wanted) -> Vec<Line> {
    let namespace = cluster.namespace();
    let quotas: Api<ResourceQuota> = Api::namespaced(cluster.client().clone(), namespace);
    let command = format!("kubectl -n {namespace} describe resourcequota");
    match quotas.list(&ListParams::default()).await {
        Ok(found) => match wanted.pod() {
            Some(pod) => judge(&found.items, pod, wanted.max_workers, namespace),
            None => Vec::new(),
        },
        Err(kube::Error::Api(status)) if status.is_forbidden() => {
            vec![Line::skipped(QUOTA, "quotas may not be listed").with_fix(command)]
        }
        Err(error) => vec![Line::skipped(QUOTA, chain(error)).with_fix(command)],
    }
}

/// A line for each quota.
fn judge(quotas: &[ResourceQuota], pod: &PodSpec, workers: u32, namespace: &str) -> Vec<Line> {
    if quotas.is_empty() {
        return vec![Line::pass(QUOTA, "the namespace has none")];
    }
    let costs = costs(pod);
    let judge = |quota: &ResourceQuota| {
        let name = quota.metadata.name.clone().unwrap_or_default();
        judge_one(quota, &costs, workers, namespace, &name).about(name)
    };
    quotas.iter().map(judge).collect()
}

fn judge_one(
    quota: &ResourceQuota,
    costs: &Amounts,
    workers: u32,
    namespace: &str,
    name: &str,
) -> Line {
    let spec = quota.spec.as_ref();
    let scopes = spec.and_then(|it| it.scopes.as_ref());
    if scopes.is_some_and(|scopes| scopes.iter().any(|it| excludes_workers(it))) {
        return Line::pass(QUOTA, "it does not count workers");
    }
    if spec.is_some_and(|it| it.scope_selector.is_some()) {
        return Line::skipped(QUOTA, "whether it counts workers depends on its scopes");
    }
    let Some((room, resource)) = room(quota, costs) else {
        return Line::pass(QUOTA, "it limits nothing that workers use");
    };
    let fix = format!("kubectl -n {namespace} edit resourcequota {name}");
    if room < 1 {
        let seen = format!("{resource} is used up: there is room for no worker");
        Line::fail(QUOTA, seen, fix)
    } else if room < i128::from(workers) {
        let seen = format!("{resource} leaves room for {room} of {workers} workers");
        Line::warn(QUOTA, seen, fix)
    } else {
        Line::pass(QUOTA, format!("room for all {workers} workers"))
    }
}

/// Pods of workers have requests, and no deadline of their own.
/// <https://kubernetes.io/docs/concepts/policy/resource-quotas/#quota-scopes>
fn excludes_workers(scope: &str) -> bool {
    matches!(scope, "BestEffort" | "Terminating")
}

/// What one worker costs, by the names that quotas have for it.
fn costs(pod: &PodSpec) -> Amounts {
    let (requests, limits) = of_pod(pod);
    let mut costs = Amounts::from([("pods".to_owned(), ONE), ("count/pods".to_owned(), ONE)]);
    for (name, amount) in requests {
        // `cpu` and `memory` without a prefix count requests too.
        costs.insert(format!("requests.{name}"), amount);
        costs.insert(name, amount);
    }
    for (name, amount) in limits {
        costs.insert(format!("limits.{name}"), amount);
    }
    costs
}

/// For how many workers a quota has room, and the resource that ends first.
fn room(quota: &ResourceQuota, costs: &Amounts) -> Option<(i128, String)> {
    let status = quota.status.as_ref();
    // A quota whose use was not counted yet has no status: then its whole amount counts as free.
    let hard = status
        .and_then(|it| it.hard.as_ref())
        .or_else(|| quota.spec.as_ref()?.hard.as_ref())?;
    let used = status.and_then(|it| it.used.as_ref()).map(amounts);
    let used = used.unwrap_or_default();
    let mut rooms: Vec<(i128, String)> = Vec::new();
    for (name, hard) in amounts(hard) {
        let free = (hard - used.get(&name).copied().unwrap_or_default()).max(0);
        if let Some(cost) = costs.get(&name).filter(|cost| **cost > 0) {
            rooms.push((free / cost, name));
        } else if matches!(
            name.as_str(),
            "count/jobs.batch" | "secrets" | "count/secrets"
        ) && free < ONE
        {
            // A run needs one of each at least, however many workers it has.
            rooms.push((0, name));
        }
    }
    rooms.into_iter().min()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::doctor::Outcome;

    fn pod() -> PodSpec {
        let container = json!({"name": "worker", "resources": {
            "requests": {"cpu": "500m", "memory": "2Gi"}, "limits": {"memory": "2Gi"}}});
        serde_json::from_value(json!({"containers": [container]})).unwrap()
    }

    fn line(spec: &Value, status: &Value) -> Line {
        let quota = json!({"metadata": {"name": "small"}, "spec": spec, "status": status});
        let quota = serde_json::from_value(quota).unwrap();
        judge(&[quota], &pod(), 10, "etl").remove(0)
    }

    #[test]
    fn the_resource_that_ends_first_decides() {
        let status = json!({
            "hard": {"pods": "50", "requests.cpu": "4", "limits.memory": "20Gi"},
            "used": {"pods": "1", "requests.cpu": "2500m", "limits.memory": "0"},
        });
        let warned = line(&json!({}), &status);
        assert_eq!(warned.outcome, Outcome::Warn);
        assert_eq!(warned.seen, "requests.cpu leaves room for 3 of 10 workers");
        let expected = "kubectl -n etl edit resourcequota small";
        assert_eq!(warned.fix.as_deref(), Some(expected));
        let full = line(
            &json!({}),
            &json!({"hard": {"memory": "2Gi"}, "used": {"memory": "1Gi"}}),
        );
        assert_eq!(full.outcome, Outcome::Fail);
        let roomy = line(
            &json!({}),
            &json!({"hard": {"pods": "20"}, "used": {"pods": "10"}}),
        );
        assert_eq!(roomy.outcome, Outcome::Pass);
    }

    #[test]
    fn objects_of_the_run_itself_need_room_too() {
        let none = json!({"hard": {"count/jobs.batch": "3"}, "used": {"count/jobs.batch": "3"}});
        assert_eq!(line(&json!({}), &none).outcome, Outcome::Fail);
        let one = json!({"hard": {"secrets": "4"}, "used": {"secrets": "3"}});
        assert_eq!(line(&json!({}), &one).outcome, Outcome::Pass);
    }

    #[test]
    fn a_quota_that_counts_other_pods_is_left_out() {
        let full = || json!({"hard": {"pods": "0"}, "used": {"pods": "0"}});
        let other = line(&json!({"scopes": ["Terminating"]}), &full());
        assert_eq!(other.outcome, Outcome::Pass);
        let scoped = json!({"scopeSelector": {"matchExpressions": [
            {"scopeName": "PriorityClass", "operator": "Exists"}]}});
        assert_eq!(line(&scoped, &full()).outcome, Outcome::Skipped);
        assert_eq!(judge(&[], &pod(), 1, "etl")[0].outcome, Outcome::Pass);
        assert_eq!(line(&json!({}), &json!({})).outcome, Outcome::Pass);
    }
}
