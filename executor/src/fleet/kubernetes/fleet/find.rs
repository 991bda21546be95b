//! What is left of runs in a namespace, by its labels.

use std::collections::BTreeSet;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use podpool_core::id::{RunId, RunName};

use super::super::client::{Cluster, ClusterError, Refused};
use super::super::job::{self, DEADLINE_ANNOTATION, MANAGED_BY, NAME_LABEL, RUN_LABEL};
use super::list::{list_jobs, list_pods, list_secrets};

/// The runs whose objects [`gc`](super::gc) removes. Only labels and annotations of podpool select an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Garbage {
    /// This run, whether it has ended or not.
    Run(RunId),
    /// Every run of this name, whether it has ended or not.
    Named(RunName),
    /// Every run whose deadline is over, at this time in seconds since 1970.
    PastDeadline(i64),
}

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Secret,
    Job,
    Pod,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Secret => "secret",
            Self::Job => "job",
            Self::Pod => "pod",
        })
    }
}

/// An object of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) run: RunId,
    pub(crate) run_name: Option<RunName>,
    /// The end of the run in seconds since 1970. Only Jobs have it, as an annotation.
    pub(crate) deadline: Option<i64>,
    /// The object has an owner, so the cluster deletes the object with it.
    pub(crate) owned: bool,
}

impl Found {
    /// None for what no run of podpool made.
    fn read(kind: Kind, meta: ObjectMeta) -> Option<Self> {
        let labels = meta.labels?;
        let notes = meta.annotations.unwrap_or_default();
        Some(Self {
            kind,
            name: meta.name?,
            uid: meta.uid?,
            run: RunId::new(labels.get(RUN_LABEL)?).ok()?,
            run_name: labels
                .get(NAME_LABEL)
                .and_then(|name| RunName::new(name).ok()),
            deadline: notes
                .get(DEADLINE_ANNOTATION)
                .and_then(|at| at.parse().ok()),
            owned: meta
                .owner_references
                .is_some_and(|owners| !owners.is_empty()),
        })
    }
}

/// Finds Secrets, Jobs and pods, in this order. Secrets are left out where the caller may not list them: they go with
/// their Jobs. By deadline only runs with a Job are found, because only Jobs have the annotation.
///
/// # Errors
/// When Jobs or pods cannot be listed.
pub(crate) async fn find(cluster: &Cluster, garbage: &Garbage) -> Result<Vec<Found>, ClusterError> {
    let selector = match garbage {
        Garbage::Run(run) => job::run_selector(run),
        Garbage::Named(name) => job::name_selector(name),
        Garbage::PastDeadline(_) => format!("{}={}", MANAGED_BY.0, MANAGED_BY.1),
    };
    let read = |kind, metas: Vec<ObjectMeta>| {
        let found = metas
            .into_iter()
            .filter_map(move |meta| Found::read(kind, meta));
        found.collect::<Vec<_>>()
    };
    // Three lists, which are no common snapshot: an object that is created in between is found by the next call.
    let jobs = list_jobs(cluster, &selector).await?;
    let jobs = read(
        Kind::Job,
        jobs.into_iter().map(|job| job.metadata).collect(),
    );
    let secrets = match list_secrets(cluster, &selector).await {
        Err(error) if error.kind == Refused::Forbidden => Vec::new(),
        listed => listed?,
    };
    let pods = list_pods(cluster, &selector).await?;
    let pods = pods.into_iter().map(|pod| pod.metadata).collect();
    let found = [read(Kind::Secret, secrets), jobs, read(Kind::Pod, pods)].concat();
    Ok(chosen(found, garbage))
}

/// The runs that have a Job whose deadline is not over at `now`, in seconds since 1970.
///
/// # Errors
/// When Jobs cannot be listed.
pub(crate) async fn running(cluster: &Cluster, now: i64) -> Result<BTreeSet<RunId>, ClusterError> {
    let selector = format!("{}={}", MANAGED_BY.0, MANAGED_BY.1);
    let jobs = list_jobs(cluster, &selector).await?.into_iter();
    let jobs = jobs.filter_map(|job| Found::read(Kind::Job, job.metadata));
    Ok(go_on(&jobs.collect::<Vec<_>>(), now))
}

fn go_on(found: &[Found], now: i64) -> BTreeSet<RunId> {
    let later = |found: &&Found| found.deadline.is_some_and(|deadline| deadline > now);
    let later = found.iter().filter(later);
    later.map(|it| it.run.clone()).collect()
}

/// The objects that may be removed: of runs past their deadline everything with the run's label.
fn chosen(mut found: Vec<Found>, garbage: &Garbage) -> Vec<Found> {
    if let Garbage::PastDeadline(now) = garbage {
        let is_over = |found: &&Found| found.deadline.is_some_and(|deadline| deadline <= *now);
        let over: BTreeSet<_> = found
            .iter()
            .filter(is_over)
            .map(|it| it.run.clone())
            .collect();
        // One Job with a later deadline keeps the whole run.
        let go_on = go_on(&found, *now);
        found.retain(|it| over.contains(&it.run) && !go_on.contains(&it.run));
    }
    found
}

#[cfg(test)]
mod tests;
