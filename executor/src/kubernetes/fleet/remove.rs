//! Removing what a run made.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, Preconditions};
use podpool_core::id::{RunId, RunName};

use super::super::client::{Ask, Cluster, ClusterError, Refused};
use super::super::job::{self, DEADLINE_ANNOTATION, MANAGED_BY, RUN_LABEL};

/// What [`gc`] removes. It never guesses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Garbage {
    /// This run, whether it has ended or not.
    Run(RunId),
    /// Every run of this name, whether it has ended or not.
    Named(RunName),
    /// Every run whose deadline is over, at this time in seconds since 1970.
    PastDeadline(i64),
}

/// Removes Jobs, and with them their pods and Secrets. Says which.
///
/// # Errors
/// The first refusal; what was removed before it stays removed.
pub async fn gc(cluster: &Cluster, garbage: &Garbage) -> Result<Vec<String>, ClusterError> {
    let selector = match garbage {
        Garbage::Run(run) => job::run_selector(run),
        Garbage::Named(name) => job::name_selector(name),
        Garbage::PastDeadline(_) => format!("{}={}", MANAGED_BY.0, MANAGED_BY.1),
    };
    let mut removed = Vec::new();
    for found in list_jobs(cluster, &selector).await? {
        if let Garbage::PastDeadline(now) = garbage
            && deadline(&found).is_none_or(|deadline| deadline > *now)
        {
            continue;
        }
        removed.extend(remove_found(cluster, found).await?);
    }
    if let Garbage::Run(run) = garbage
        && secret(cluster, run).await?
    {
        removed.push(format!("secret/{}", job::secret_name(run)));
    }
    Ok(removed)
}

/// The Jobs that a selector finds.
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

async fn remove_found(cluster: &Cluster, found: Job) -> Result<Vec<String>, ClusterError> {
    let (Some(name), Some(uid)) = (found.metadata.name, found.metadata.uid) else {
        return Ok(Vec::new());
    };
    let mut removed = Vec::new();
    let labels = found.metadata.labels.unwrap_or_default();
    if let Some(run) = labels.get(RUN_LABEL).and_then(|run| RunId::new(run).ok()) {
        // Its owner would take it along; a Secret that lost its owner by hand would stay.
        if secret(cluster, &run).await? {
            removed.push(format!("secret/{}", job::secret_name(&run)));
        }
    }
    job(cluster, &name, &uid).await?;
    removed.push(format!("job/{name}"));
    Ok(removed)
}

/// Deletes this Job, and no later one of the same name; its pods follow. No Job is no failure.
pub(super) async fn job(cluster: &Cluster, name: &str, uid: &str) -> Result<(), ClusterError> {
    let jobs = cluster.jobs();
    let params = DeleteParams::background().preconditions(Preconditions {
        uid: Some(uid.to_owned()),
        resource_version: None,
    });
    let deleted = cluster
        .call(Ask("delete", "jobs"), || jobs.delete(name, &params))
        .await;
    match deleted {
        Err(error) if error.kind == Refused::NotFound => Ok(()),
        deleted => deleted.map(drop),
    }
}

/// Deletes the Secret of a run; false if there was none.
pub(super) async fn secret(cluster: &Cluster, run: &RunId) -> Result<bool, ClusterError> {
    let secrets = cluster.secrets();
    let name = job::secret_name(run);
    let params = DeleteParams::default();
    let deleted = cluster
        .call(Ask("delete", "secrets"), || secrets.delete(&name, &params))
        .await;
    match deleted {
        Err(error) if error.kind == Refused::NotFound => Ok(false),
        deleted => deleted.map(|_| true),
    }
}

fn deadline(job: &Job) -> Option<i64> {
    let notes = job.metadata.annotations.as_ref()?;
    notes.get(DEADLINE_ANNOTATION)?.parse().ok()
}
