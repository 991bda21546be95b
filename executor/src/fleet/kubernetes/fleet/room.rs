//! Asks the cluster whether any of its nodes is large enough for a pod, and whether an autoscaler adds one.

use std::time::Duration;

use k8s_openapi::api::core::v1::Event;
use kube::api::ListParams;
use tokio::time::timeout;
use tracing::{debug, info};

use super::super::client::{Ask, Cluster, ClusterError, Refused};
use super::super::cohorts::RoomReport;
use super::super::diagnose::{Autoscaler, Needs, Nodes, Room, autoscaler, room};

/// The longest that the answer may take.
// A cluster of some thousand nodes is listed in some seconds.
const ROOM: Duration = Duration::from_secs(15);
/// Nodes that one request lists.
// A node with its images and conditions has some ten kilobytes, so a page has some megabytes.
const PAGE: u32 = 200;

/// What the cluster has for a pod that asks for this.
pub(super) async fn find_room(cluster: &Cluster, pod: &str, needs: &Needs) -> RoomReport {
    let asked = timeout(ROOM, ask(cluster, pod, needs)).await;
    match asked {
        Ok(Ok(report)) => report,
        Ok(Err(error)) if error.kind == Refused::Forbidden => {
            info!(
                "the master may not list nodes; a ClusterRole that grants it lets it tell a cluster that is full from a worker that is too large"
            );
            RoomReport::Denied
        }
        Ok(Err(error)) => {
            debug!(%error, "the nodes are not known");
            RoomReport::Unknown
        }
        Err(_) => {
            debug!("the nodes were not listed within {ROOM:?}");
            RoomReport::Unknown
        }
    }
}

async fn ask(cluster: &Cluster, pod: &str, needs: &Needs) -> Result<RoomReport, ClusterError> {
    let nodes = nodes(cluster).await?;
    let (reason, may_grow) = match room(needs, &nodes) {
        Room::Enough => return Ok(RoomReport::Enough),
        Room::TooLarge { reason, may_grow } => (reason, may_grow),
    };
    if !may_grow {
        return Ok(RoomReport::TooLarge {
            reason,
            autoscaler: None,
        });
    }
    match events(cluster, pod).await {
        Ok(events) => Ok(RoomReport::TooLarge {
            reason,
            autoscaler: Some(autoscaler(&events)),
        }),
        // What an autoscaler does is not known, so it may add a node: the schedule timeout applies.
        Err(error) if error.kind == Refused::Forbidden => Ok(RoomReport::TooLarge {
            reason,
            autoscaler: Some(Autoscaler::Adds),
        }),
        Err(error) => Err(error),
    }
}

async fn nodes(cluster: &Cluster) -> Result<Nodes, ClusterError> {
    let api = cluster.nodes();
    let mut params = ListParams::default().limit(PAGE);
    let mut nodes = Nodes::default();
    loop {
        let page = cluster
            .call(Ask("list", "nodes"), || api.list(&params))
            .await?;
        for node in &page.items {
            nodes.add(node);
        }
        match page.metadata.continue_ {
            Some(next) if !next.is_empty() => params = params.continue_token(&next),
            _ => return Ok(nodes),
        }
    }
}

/// The events about a pod, those of type `Normal` included: an autoscaler's are of that type.
async fn events(cluster: &Cluster, pod: &str) -> Result<Vec<Event>, ClusterError> {
    let api = cluster.events();
    let about = format!("involvedObject.kind=Pod,involvedObject.name={pod}");
    let params = ListParams::default().fields(&about);
    let list = cluster
        .call(Ask("list", "events"), || api.list(&params))
        .await?;
    Ok(list.items)
}

#[cfg(test)]
mod tests;
