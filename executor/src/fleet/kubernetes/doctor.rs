//! Whether a run could start on a cluster: its lines of a preflight. Nothing is made: objects are sent as dry runs.
//!
//! Judgements are pure functions of what was read; the checks beside them ask, each within 10 s, and those that do not
//! depend on each other at the same time. What may not be read is skipped: the Role of a master is enough to pass.

mod access;
mod ask;
mod dry_run;
#[cfg(test)]
mod fake;
mod image;
mod namespace;
mod nodes;
mod objects;
mod quantity;
mod quota;
mod references;
mod server;
#[cfg(test)]
mod tests;

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PodSpec, Secret};
use podpool_core::broker::ClassId;
use podpool_core::id::{RunId, RunName};
use tokio::time::timeout;

use super::client::Cluster;
use super::job::{self, NAME_LABEL, RunSecret};
use super::spec::WorkerSpec;
use crate::doctor::{BOUND, Line};

/// The check whether the cluster answers at all.
const REACHED: &str = "kubernetes.reached";

/// The other checks, by their ids: what is skipped where the cluster is not reached.
const OTHERS: [&str; 9] = [
    server::VERSION,
    server::CLOCK,
    namespace::NAMESPACE,
    access::RIGHT,
    dry_run::DRY_RUN,
    objects::OBJECT,
    quota::QUOTA,
    nodes::NODE,
    namespace::POD_SECURITY,
];

/// The run whose start is looked at.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The settings of its workers, with those of the environment; checked.
    pub spec: WorkerSpec,
    /// Its name.
    pub name: Option<RunName>,
    /// Most workers at a time.
    pub max_workers: u32,
}

/// The objects that the run would make.
struct Wanted {
    job: Job,
    secret: Secret,
    max_workers: u32,
}

impl Wanted {
    /// The first cohort of a run that needs all its workers, and its Secret with other bytes.
    fn of(subject: &Subject) -> Self {
        let run = subject.name.as_ref().map_or_else(RunId::random, RunId::of);
        let mut spec = subject.spec.clone();
        if let Some(name) = &subject.name {
            spec.labels.insert(NAME_LABEL.to_owned(), name.to_string());
        }
        let content = RunSecret {
            descriptor: b"a preflight".to_vec(),
            key: vec![0; 32],
        };
        let cohort = job::Cohort {
            run: &run,
            number: 0,
            class: ClassId::DEFAULT,
            size: subject.max_workers,
            lasts: spec.run_deadline().max(Duration::from_secs(1)),
            deadline: 0,
            secret: &content.fingerprint(),
            owner: None,
            suspended: true,
        };
        Self {
            job: job::job(&spec, &cohort),
            secret: job::secret(&spec, &run, &content, Vec::new()),
            max_workers: subject.max_workers,
        }
    }

    fn pod(&self) -> Option<&PodSpec> {
        self.job.spec.as_ref()?.template.spec.as_ref()
    }
}

/// Looks at the cluster that a run of this would use.
pub(crate) async fn examine(subject: &Subject) -> Vec<Line> {
    let connected = Cluster::connect(subject.spec.namespace.as_deref());
    // The fleet's own way to the cluster, which bounds each of its steps; a credential program has a bound besides.
    let connected = timeout(BOUND + BOUND, connected).await;
    let reason = match connected {
        Ok(Ok(cluster)) => return examine_at(&cluster, subject).await,
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {:?}", BOUND + BOUND),
    };
    let mut lines = lost(&reason);
    lines.extend(Wanted::of(subject).pod().map(image::judge));
    lines
}

/// Looks at this cluster.
pub async fn examine_at(cluster: &Cluster, subject: &Subject) -> Vec<Line> {
    let wanted = Wanted::of(subject);
    let (server, user) = tokio::join!(server::look(cluster), access::user(cluster));
    let namespace = cluster.namespace();
    let mut seen = format!("{}, namespace {namespace}", cluster.url());
    if let Some(user) = &user {
        seen = format!("{seen}, as {user}");
    }
    let mut lines = vec![Line::pass(REACHED, seen)];
    lines.extend(server);
    let own = job_secret(&wanted);
    let parts = tokio::join!(
        namespace::look(cluster),
        access::look(cluster, user.as_deref()),
        dry_run::look(cluster, &wanted),
        objects::look(cluster, wanted.pod(), &own),
        quota::look(cluster, &wanted),
        nodes::look(cluster, wanted.pod()),
    );
    let (namespace, rights, dry_runs, objects, quotas, nodes) = parts;
    let rest = [namespace, rights, dry_runs, objects, quotas, nodes];
    lines.extend(rest.into_iter().flatten());
    lines.extend(wanted.pod().map(image::judge));
    lines
}

/// The name of the run's own Secret, which does not exist yet.
fn job_secret(wanted: &Wanted) -> String {
    wanted.secret.metadata.name.clone().unwrap_or_default()
}

/// Without the cluster nothing else can be looked at.
fn lost(reason: &str) -> Vec<Line> {
    let command = "kubectl version".to_owned();
    let others = OTHERS.map(|id| Line::skipped(id, "the cluster is not reached"));
    [Line::fail(REACHED, reason, command)]
        .into_iter()
        .chain(others)
        .collect()
}
