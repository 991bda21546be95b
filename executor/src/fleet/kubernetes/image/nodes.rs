//! Whether the cluster has nodes of a program's architecture.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::api::ListParams;
use tokio::time::timeout;
use tracing::debug;

use super::super::client::{Ask, Cluster};
use super::content::target_of;
use super::error::ImageError;

/// More nodes need not be read: one that fits is enough.
const MOST: u32 = 500;
/// How long the question may take; without an answer the run goes on.
const PATIENCE: Duration = Duration::from_secs(10);

/// Refuses a program that no node can run. Nodes belong to the whole cluster, and a master needs no right to read them:
/// one that has none finds out by its workers.
///
/// # Errors
/// The architectures that there are, and how to compile for them.
pub(super) async fn check(
    cluster: &Cluster,
    name: &str,
    architecture: &str,
) -> Result<(), ImageError> {
    let nodes = cluster.nodes();
    let params = ListParams::default().limit(MOST);
    let asked = cluster.call(Ask("list", "nodes"), || nodes.list(&params));
    match timeout(PATIENCE, asked).await {
        Ok(Ok(list)) => judge(&list.items, name, architecture),
        Ok(Err(error)) => {
            debug!(%error, "the architectures of the nodes are not known");
            Ok(())
        }
        Err(_) => Ok(()),
    }
}

fn judge(nodes: &[Node], name: &str, architecture: &str) -> Result<(), ImageError> {
    let infos = nodes
        .iter()
        .filter_map(|node| node.status.as_ref()?.node_info.as_ref());
    let linux = infos.filter(|info| info.operating_system == "linux");
    let there: BTreeSet<_> = linux.map(|info| info.architecture.as_str()).collect();
    if there.is_empty() || there.contains(architecture) {
        return Ok(());
    }
    let targets: Vec<_> = there.iter().filter_map(|it| target_of(it)).collect();
    let all: Vec<_> = there.iter().copied().collect();
    Err(ImageError::new(format_args!(
        "{name} is a program for {architecture}, and the cluster's nodes are {}: compile it for them (cargo build --release --target {}) and start it on such a machine, or name an image that was made there (PODPOOL_IMAGE)",
        all.join(", "),
        targets.join(" or ")
    )))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(os: &str, architecture: &str) -> Node {
        let info = json!({
            "architecture": architecture, "operatingSystem": os, "bootID": "", "containerRuntimeVersion": "",
            "kernelVersion": "", "kubeProxyVersion": "", "kubeletVersion": "", "machineID": "", "osImage": "",
            "systemUUID": "",
        });
        serde_json::from_value(json!({"metadata": {}, "status": {"nodeInfo": info}})).unwrap()
    }

    #[test]
    fn a_program_for_other_nodes_is_refused_with_the_target() {
        let nodes = [node("linux", "arm64"), node("windows", "amd64")];
        let error = judge(&nodes, "flights", "amd64").unwrap_err().to_string();
        for word in ["flights", "amd64", "arm64", "aarch64-unknown-linux-gnu"] {
            assert!(error.contains(word), "{word:?} is not in {error:?}");
        }
        assert!(judge(&nodes, "flights", "arm64").is_ok());
    }

    #[test]
    fn nodes_that_are_not_known_refuse_nothing() {
        assert!(judge(&[], "flights", "amd64").is_ok());
        assert!(judge(&[Node::default()], "flights", "amd64").is_ok());
    }
}
