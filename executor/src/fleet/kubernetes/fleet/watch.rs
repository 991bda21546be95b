//! What the cluster reports: pods, Jobs and warnings of one run, as inputs of `Cohorts`.

use std::collections::{BTreeMap, HashSet};
use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, StreamExt};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event as Note, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Config, Event, watcher};
use podpool_core::broker::{self, ClassId};
use podpool_core::id::RunId;
use tokio::time::Instant;
use tracing::{debug, info};

use super::super::client::{Ask, Cluster};
use super::super::cohorts::{Cohorts, PodName};
use super::super::diagnose::{Context, JobVerdict, completed_indexes, judge_job, judge_pod};
use super::super::job::{self, CLASS_LABEL, COHORT_LABEL};

type Events<K> = Pin<Box<dyn Stream<Item = Result<Event<K>, watcher::Error>> + Send>>;

/// The three watches of a run.
pub(super) struct Watches {
    run: RunId,
    pods: Events<Pod>,
    jobs: Events<Job>,
    /// None when events may not be read: the reasons of failed starts are less precise then.
    notes: Option<Events<Note>>,
    pods_listed: HashSet<Arc<str>>,
    jobs_listed: HashSet<u32>,
    /// Pods may not be watched.
    denied: bool,
}

/// One event of the cluster.
#[expect(
    clippy::large_enum_variant,
    reason = "it exists for one turn of the loop"
)]
pub(super) enum ClusterEvent {
    Pod(Result<Event<Pod>, watcher::Error>),
    Job(Result<Event<Job>, watcher::Error>),
    Note(Result<Event<Note>, watcher::Error>),
}

impl Watches {
    pub(super) fn new(cluster: &Cluster, run: &RunId) -> Self {
        let of_run = || Config::default().labels(&job::run_selector(run));
        // Events cannot be selected by the run, because they do not get the labels of the object that they are about.
        // So all warnings of the namespace are read; `type` is a field by which events can be selected.
        let warnings = Config::default().fields("type=Warning");
        // `watcher` never ends: after an error it restarts, with a list where the API requires one. `default_backoff`
        // delays each restart, up to 30 s. <https://docs.rs/kube/latest/kube/runtime/fn.watcher.html>
        Self {
            run: run.clone(),
            pods: watcher(cluster.pods(), of_run()).default_backoff().boxed(),
            jobs: watcher(cluster.jobs(), of_run()).default_backoff().boxed(),
            notes: Some(
                watcher(cluster.events(), warnings)
                    .default_backoff()
                    .boxed(),
            ),
            pods_listed: HashSet::new(),
            jobs_listed: HashSet::new(),
            denied: false,
        }
    }

    /// Whether pods cannot be watched, for lack of rights.
    pub(super) const fn is_denied(&self) -> bool {
        self.denied
    }

    /// Waits for the next event. Cancelling it loses nothing.
    pub(super) async fn next(&mut self) -> ClusterEvent {
        let notes = self.notes.as_mut();
        let note = async {
            match notes {
                Some(notes) => notes.next().await,
                None => None,
            }
        };
        // The watches never end by themselves; if one did, its pattern would not match and the others would continue.
        // Not `biased`: with an order, a long list of pods would delay the Jobs and warnings behind it.
        tokio::select! {
            Some(news) = self.pods.next() => ClusterEvent::Pod(news),
            Some(news) = self.jobs.next() => ClusterEvent::Job(news),
            Some(news) = note => ClusterEvent::Note(news),
            else => std::future::pending().await,
        }
    }

    /// Passes an event to `Cohorts`. True if a watch failed for a reason that may pass.
    pub(super) fn apply(
        &mut self,
        now: Instant,
        event: ClusterEvent,
        cluster: &Cluster,
        is_ours: impl Fn(&ObjectMeta) -> bool,
        state: &mut Cohorts,
    ) -> bool {
        match event {
            ClusterEvent::Pod(Ok(event)) => self.pod(now, event, is_ours, state),
            ClusterEvent::Job(Ok(event)) => self.job(now, event, is_ours, state),
            ClusterEvent::Note(Ok(Event::Apply(note) | Event::InitApply(note))) => {
                self.note(now, &note, state);
            }
            ClusterEvent::Note(Ok(_)) => {}
            ClusterEvent::Pod(Err(error)) => {
                // A 403 repeats until rights change. The fleet must not wait for pods that it can never see.
                self.denied = denied(now, &error, Ask("list and watch", "pods"), cluster, state);
                return !self.denied;
            }
            ClusterEvent::Job(Err(error)) => {
                return !denied(now, &error, Ask("list and watch", "jobs"), cluster, state);
            }
            ClusterEvent::Note(Err(error)) => {
                if status(&error).is_some_and(kube::core::Status::is_forbidden) {
                    info!(
                        "the master may not read events; grant it list and watch on events for better diagnoses"
                    );
                    self.notes = None;
                }
            }
        }
        false
    }

    fn pod(
        &mut self,
        now: Instant,
        event: Event<Pod>,
        is_ours: impl Fn(&ObjectMeta) -> bool,
        state: &mut Cohorts,
    ) {
        match event {
            // Pods with the same run label but another Secret belong to another master, and are no workers of this one.
            Event::Apply(pod) | Event::InitApply(pod) | Event::Delete(pod)
                if !is_ours(&pod.metadata) => {}
            // A watch that breaks in the middle of a list starts again with `Init`, so a half list never counts.
            Event::Init => self.pods_listed.clear(),
            Event::InitDone => {
                self.denied = false;
                state.on_listed(now, &self.pods_listed);
                self.pods_listed.clear();
            }
            Event::InitApply(pod) => {
                if let Some(name) = seen_pod(now, &pod, state) {
                    self.pods_listed.insert(name);
                }
            }
            Event::Apply(pod) => {
                seen_pod(now, &pod, state);
            }
            // The event holds the last state of the object. A pod of a Job has a finalizer of the Job controller until
            // its end is counted, so a pod that ended regularly shows its exit code here, also where no event before
            // did.
            // <https://kubernetes.io/docs/concepts/workloads/controllers/job/#job-tracking-with-finalizers>
            Event::Delete(pod) => {
                let Some(name) = pod_name(&pod) else { return };
                let context = Context {
                    removed: true,
                    ..state.context(&name.name)
                };
                state.on_pod_removed(now, name, judge_pod(&pod, context));
            }
        }
    }

    fn job(
        &mut self,
        now: Instant,
        event: Event<Job>,
        is_ours: impl Fn(&ObjectMeta) -> bool,
        state: &mut Cohorts,
    ) {
        match event {
            Event::Init => self.jobs_listed.clear(),
            Event::InitDone => {
                state.on_jobs_listed(now, &self.jobs_listed);
                self.jobs_listed.clear();
            }
            Event::Apply(job) | Event::InitApply(job) => {
                let Some(cohort) = cohort(&job) else { return };
                if !is_ours(&job.metadata) {
                    // An ended Job of an earlier master with the same run id is only a leftover.
                    if !has_ended(&job) {
                        state.on_denied(now, another_master(&job, &self.run));
                    }
                    return;
                }
                self.jobs_listed.insert(cohort);
                let size = job.spec.as_ref().and_then(|spec| spec.completions);
                let size = size.and_then(|size| u32::try_from(size).ok()).unwrap_or(0);
                let labels = job.metadata.labels.as_ref();
                let cohort = broker::Cohort {
                    number: cohort,
                    class: labels.map_or(ClassId::DEFAULT, class),
                    size,
                };
                state.on_completed(now, cohort, completed_indexes(&job));
                state.on_job(now, cohort, &judge_job(&job));
            }
            Event::Delete(job) => {
                if let Some(cohort) = cohort(&job).filter(|_| is_ours(&job.metadata)) {
                    state.on_job_removed(now, cohort);
                }
            }
        }
    }

    /// Events have no labels: those of this run are found by the name of the object that they are about.
    fn note(&self, now: Instant, note: &Note, state: &mut Cohorts) {
        let about = &note.involved_object;
        let (Some(kind), Some(name)) = (about.kind.as_deref(), about.name.as_deref()) else {
            return;
        };
        let reason = note.reason.as_deref().unwrap_or_default();
        let message = note.message.as_deref().unwrap_or_default();
        // Names of Jobs and pods of a run begin with `pp-RUN-c`. The state ignores names that it does not contain, so a
        // run whose id begins in the same way causes no harm.
        let prefix = job::job_name(&self.run, 0);
        let Some(rest) = name.strip_prefix(prefix.trim_end_matches('0')) else {
            return;
        };
        debug!(name, reason, message, "the cluster warns");
        match kind {
            "Pod" => state.on_pod_note(now, name, reason, message),
            "Job" => {
                if let Ok(cohort) = rest.parse() {
                    state.on_job_note(now, cohort, reason, message);
                }
            }
            _ => {}
        }
    }
}

/// Whether a Job makes no more pods, or is being deleted.
pub(super) fn has_ended(job: &Job) -> bool {
    let goes_on = matches!(judge_job(job), JobVerdict::Going | JobVerdict::Held(_));
    !goes_on || job.metadata.deletion_timestamp.is_some()
}

/// The message about another master of the run: a run has one master.
pub(super) fn another_master(job: &Job, run: &RunId) -> String {
    let name = job.metadata.name.as_deref().unwrap_or_default();
    format!(
        "Job {name} belongs to another master of run {run}; wait until that one ends, or {}",
        crate::error::leftover::advice(run)
    )
}

/// Whether a watch fails for lack of rights, so that the workers can never be watched. After other failures the watch
/// is restarted: false.
fn denied(
    now: Instant,
    error: &watcher::Error,
    ask: Ask,
    cluster: &Cluster,
    state: &mut Cohorts,
) -> bool {
    match status(error) {
        // 404: the namespace does not exist. All other errors, 410 and 429 among them, pass.
        Some(status) if status.is_forbidden() || status.is_not_found() => {
            let reason = cluster.refused(ask, status).to_string();
            state.on_denied(now, reason);
            true
        }
        _ => {
            debug!(%error, "a watch is restarted");
            false
        }
    }
}

fn status(error: &watcher::Error) -> Option<&kube::core::Status> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status)) => Some(status),
        _ => None,
    }
}

fn seen_pod(now: Instant, pod: &Pod, state: &mut Cohorts) -> Option<Arc<str>> {
    let name = pod_name(pod)?;
    let known = name.name.clone();
    let verdict = judge_pod(pod, state.context(&name.name));
    state.on_pod(now, name, verdict);
    Some(known)
}

fn pod_name(pod: &Pod) -> Option<PodName> {
    let labels = pod.metadata.labels.as_ref()?;
    Some(PodName {
        name: pod.metadata.name.as_deref()?.into(),
        cohort: labels.get(COHORT_LABEL)?.parse().ok()?,
        class: class(labels),
        index: labels
            .get("batch.kubernetes.io/job-completion-index")?
            .parse()
            .ok()?,
        node: pod
            .spec
            .as_ref()
            .and_then(|spec| Some(spec.node_name.as_deref()?.into())),
    })
}

/// The class of a cohort, as the labels of its Job and pods name it.
fn class(labels: &BTreeMap<String, String>) -> ClassId {
    let class = labels.get(CLASS_LABEL).and_then(|class| class.parse().ok());
    class.map_or(ClassId::DEFAULT, ClassId)
}

/// The cohort that a Job is.
pub(super) fn cohort(job: &Job) -> Option<u32> {
    job.meta().labels.as_ref()?.get(COHORT_LABEL)?.parse().ok()
}

#[cfg(test)]
mod tests;
