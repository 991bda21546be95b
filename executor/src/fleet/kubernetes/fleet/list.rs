//! The objects of a namespace that a selector of labels chooses.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::ListParams;

use super::super::client::{Ask, Cluster, ClusterError};

/// The Jobs that a selector finds.
// In one request without a limit, so the list is one consistent snapshot, however many objects there are.
// <https://kubernetes.io/docs/reference/using-api/api-concepts/#retrieving-large-results-sets-in-chunks>
pub(super) async fn list_jobs(cluster: &Cluster, selector: &str) -> Result<Vec<Job>, ClusterError> {
    let jobs = cluster.jobs();
    let params = ListParams::default().labels(selector);
    let found = cluster
        .call(Ask("list", "jobs"), || jobs.list(&params))
        .await?;
    Ok(found.items)
}

/// The pods that a selector finds.
pub(super) async fn list_pods(cluster: &Cluster, selector: &str) -> Result<Vec<Pod>, ClusterError> {
    let pods = cluster.pods();
    let params = ListParams::default().labels(selector);
    let found = cluster
        .call(Ask("list", "pods"), || pods.list(&params))
        .await?;
    Ok(found.items)
}

/// The metadata of the Secrets that a selector finds, without their contents.
// Asks for `PartialObjectMetadata`, so that no key of a run is transferred. The right to list Secrets is needed all the
// same. <https://kubernetes.io/docs/reference/using-api/api-concepts/>
pub(super) async fn list_secrets(
    cluster: &Cluster,
    selector: &str,
) -> Result<Vec<ObjectMeta>, ClusterError> {
    let secrets = cluster.secrets();
    let params = ListParams::default().labels(selector);
    let list = || secrets.list_metadata(&params);
    let found = cluster.call(Ask("list", "secrets"), list).await?;
    Ok(found
        .items
        .into_iter()
        .map(|secret| secret.metadata)
        .collect())
}
