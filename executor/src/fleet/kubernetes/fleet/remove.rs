//! Removing what a run made.

use kube::api::{DeleteParams, Preconditions};

use super::super::client::{Ask, Cluster, ClusterError, Refused};
use super::find::{self, Found, Garbage, Kind};

/// Removes Jobs, and with them their pods and Secrets. Returns which objects were removed, as `kind/name`.
///
/// # Errors
/// The first refusal; what was removed before it stays removed.
pub async fn gc(cluster: &Cluster, garbage: &Garbage) -> Result<Vec<String>, ClusterError> {
    let mut removed = Vec::new();
    for found in find::find(cluster, garbage).await? {
        if delete(cluster, &found).await? {
            removed.push(format!("{}/{}", found.kind, found.name));
        }
    }
    Ok(removed)
}

/// Deletes what was found, and nothing else of its name. False for pods that have an owner: the cluster deletes them
/// with their Job.
pub(crate) async fn delete(cluster: &Cluster, found: &Found) -> Result<bool, ClusterError> {
    let Found { name, uid, .. } = found;
    match found.kind {
        Kind::Job => job(cluster, name, uid).await?,
        Kind::Secret => secret(cluster, name, uid).await?,
        Kind::Pod if found.owned => return Ok(false),
        Kind::Pod => {
            let pods = cluster.pods();
            let params = only(DeleteParams::default(), uid);
            let delete = || pods.delete(name, &params);
            gone(cluster.call(Ask("delete", "pods"), delete).await)?;
        }
    }
    Ok(true)
}

/// Deletes this Job, and no later one of the same name; its pods follow. No Job is no failure.
pub(super) async fn job(cluster: &Cluster, name: &str, uid: &str) -> Result<(), ClusterError> {
    let jobs = cluster.jobs();
    // In the background: the Job is gone at once, and the garbage collector then deletes its pods. Through the API a
    // Job without a policy would orphan its pods. In the foreground the Job would stay until its last pod has ended.
    // <https://kubernetes.io/docs/concepts/architecture/garbage-collection/#cascading-deletion>
    let params = only(DeleteParams::background(), uid);
    let delete = || jobs.delete(name, &params);
    gone(cluster.call(Ask("delete", "jobs"), delete).await)
}

/// Deletes this Secret, and no other of the same name. No Secret is no failure.
pub(super) async fn secret(cluster: &Cluster, name: &str, uid: &str) -> Result<(), ClusterError> {
    let secrets = cluster.secrets();
    let params = only(DeleteParams::default(), uid);
    let delete = || secrets.delete(name, &params);
    gone(cluster.call(Ask("delete", "secrets"), delete).await)
}

// The API compares the uid within the deletion, so there is no race with a new object of the same name. A different uid
// is answered with 409. <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#uids>
fn only(params: DeleteParams, uid: &str) -> DeleteParams {
    params.preconditions(Preconditions {
        uid: Some(uid.to_owned()),
        resource_version: None,
    })
}

/// An object that does not exist, or whose name another object has by now, counts as removed.
fn gone<T>(deleted: Result<T, ClusterError>) -> Result<(), ClusterError> {
    match deleted {
        Err(error) if matches!(error.kind, Refused::NotFound | Refused::Another) => Ok(()),
        deleted => deleted.map(drop),
    }
}
