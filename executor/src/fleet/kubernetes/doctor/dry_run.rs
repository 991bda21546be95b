//! A dry run of the run's very objects: the API server validates and admits them, and stores nothing.
//! <https://kubernetes.io/docs/reference/using-api/api-concepts/#dry-run>

use http::Request;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Secret;
use kube::Resource;
use kube::core::Status;
use serde::Serialize;

use super::super::client::{Ask, Cluster, Refused};
use super::Wanted;
use super::ask::{NoAnswer, send};
use crate::doctor::{Line, bounded};

pub(super) const DRY_RUN: &str = "kubernetes.dry-run";

pub(super) async fn look(cluster: &Cluster, wanted: &Wanted) -> Vec<Line> {
    let namespace = cluster.namespace();
    let (job_path, secret_path) = (
        Job::url_path(&(), Some(namespace)),
        Secret::url_path(&(), Some(namespace)),
    );
    let late = |about: &'static str| move |why| Line::fail(DRY_RUN, why, None).about(about);
    let job = create(cluster, &job_path, &wanted.job, Ask("create", "jobs"));
    let secret = create(
        cluster,
        &secret_path,
        &wanted.secret,
        Ask("create", "secrets"),
    );
    let (job, secret) = tokio::join!(bounded(late("job"), job), bounded(late("secret"), secret));
    let named = |about: &'static str| move |line: Line| line.about(about);
    let jobs = job.into_iter().map(named("job"));
    jobs.chain(secret.into_iter().map(named("secret")))
        .collect()
}

/// Strict: a field that this server does not know is refused and not dropped, as it would be by default.
/// <https://kubernetes.io/docs/reference/using-api/api-concepts/#field-validation>
async fn create(cluster: &Cluster, path: &str, object: &impl Serialize, ask: Ask) -> Vec<Line> {
    let body = match serde_json::to_vec(object) {
        Ok(body) => body,
        Err(error) => return vec![Line::fail(DRY_RUN, error.to_string(), None)],
    };
    let request = Request::post(format!("{path}?dryRun=All&fieldValidation=Strict"))
        .header("content-type", "application/json")
        .body(body);
    match send(cluster, request).await {
        Ok(answer) if answer.warnings.is_empty() => {
            vec![Line::pass(
                DRY_RUN,
                "the API server would take it, and stored nothing",
            )]
        }
        Ok(answer) => {
            let seen = format!(
                "the API server would take it, and warns: {}",
                answer.warnings.join("; ")
            );
            vec![Line::warn(DRY_RUN, seen, None)]
        }
        Err(NoAnswer::Refused(status)) => vec![refused(cluster, ask, &status)],
        Err(NoAnswer::Lost(reason)) => vec![Line::fail(DRY_RUN, reason, None)],
    }
}

/// The refusal as the fleet reads it, which names what to change.
fn refused(cluster: &Cluster, ask: Ask, status: &Status) -> Line {
    let error = cluster.refused(ask, status);
    let namespace = cluster.namespace();
    let Ask(verb, resource) = ask;
    let fix = match error.kind {
        Refused::Forbidden => Some(format!(
            "kubectl -n {namespace} auth can-i {verb} {resource}"
        )),
        Refused::NotFound => Some(format!("kubectl create namespace {namespace}")),
        Refused::Passing if status.message.contains("exceeded quota") => {
            Some(format!("kubectl -n {namespace} describe resourcequota"))
        }
        _ => None,
    };
    Line::fail(DRY_RUN, error.to_string(), fix)
}
