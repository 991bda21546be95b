//! The namespace: that it exists, is not being removed, and which Pod Security Standard it enforces.

use k8s_openapi::api::core::v1::Namespace;
use kube::Api;

use super::super::client::Cluster;
use crate::doctor::{Line, bounded};
use crate::error::start::chain;

pub(super) const NAMESPACE: &str = "kubernetes.namespace";
pub(super) const POD_SECURITY: &str = "kubernetes.pod-security";

/// The label of the standard that a namespace enforces.
/// <https://kubernetes.io/docs/concepts/security/pod-security-admission/#pod-security-admission-labels-for-namespaces>
const ENFORCE: &str = "pod-security.kubernetes.io/enforce";

pub(super) async fn look(cluster: &Cluster) -> Vec<Line> {
    let late = |why| Line::fail(NAMESPACE, why, command(cluster.namespace()));
    bounded(late, ask(cluster)).await
}

async fn ask(cluster: &Cluster) -> Vec<Line> {
    let name = cluster.namespace();
    let all: Api<Namespace> = Api::all(cluster.client().clone());
    match all.get(name).await {
        Ok(found) => judge(name, &found),
        Err(kube::Error::Api(status)) if status.is_not_found() => {
            let seen = format!("there is no namespace {name}");
            let fix = format!("kubectl create namespace {name}");
            vec![Line::fail(NAMESPACE, seen, fix), unread(POD_SECURITY)]
        }
        Err(kube::Error::Api(status)) if status.is_forbidden() => {
            let read = unread(NAMESPACE).with_fix(command(name));
            vec![read, unread(POD_SECURITY)]
        }
        Err(error) => vec![Line::fail(NAMESPACE, chain(error), command(name))],
    }
}

/// A dry run tells of a namespace that is not there, and of a standard that pods do not meet, all the same.
fn unread(id: &'static str) -> Line {
    Line::skipped(id, "the namespace may not be read")
}

fn command(name: &str) -> String {
    format!("kubectl get namespace {name} --show-labels")
}

fn judge(name: &str, found: &Namespace) -> Vec<Line> {
    let phase = found.status.as_ref().and_then(|it| it.phase.as_deref());
    let ending = found.metadata.deletion_timestamp.is_some() || phase == Some("Terminating");
    let state = if ending {
        let seen = format!("namespace {name} is being removed, so nothing can be started in it");
        let fix = format!(
            "kubectl wait --for=delete namespace/{name} --timeout=5m && kubectl create namespace {name}; or set PODPOOL_NAMESPACE to another one"
        );
        Line::fail(NAMESPACE, seen, fix)
    } else {
        Line::pass(NAMESPACE, format!("{name} exists"))
    };
    let labels = found.metadata.labels.as_ref();
    let standard = labels.and_then(|labels| labels.get(ENFORCE));
    let security = match standard {
        Some(standard) => format!("{standard} is enforced; workers meet restricted"),
        None => "none is enforced; workers meet restricted".to_owned(),
    };
    vec![state, Line::pass(POD_SECURITY, security)]
}
