//! The end of a fleet: what it created is removed, and what cannot be is reported with the command that removes it.

use std::collections::HashSet;
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use kube::runtime::watcher::Event;
use podpool_core::instant::after;
use podpool_core::notice;
use tokio::pin;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::error::leftover::advice;

use super::super::client::{ClusterError, Refused};
use super::super::cohorts::Cohorts;
use super::super::job;
use super::open::Opener;
use super::{Work, list, remove, watch};

/// How long workers may take to leave by themselves at the end of a run.
// At the end of a run no worker has a task to run. The request to end reaches a worker at once, or with the next
// control message, 10 s later at most.
const LEAVE: Duration = Duration::from_secs(10);
/// How long a cohort that is being opened may hold up the end.
// Twice the longest request, which is repeated; a Job that is created after the end would have no owner to remove it.
pub(super) const OPENING: Duration = Duration::from_secs(30);
/// Longest wait for the removal of queues.
// Control subscriptions that are left have the run's deadline as a label, and `podpool::gc` removes them.
const RETIRE: Duration = Duration::from_secs(30);
/// Longest wait for the removal of pods; never less than their grace.
// The kubelet reports a killed container within seconds; the grace of the pods comes on top of this.
const REMOVAL: Duration = Duration::from_secs(30);
/// Pause between two looks at pods that may not be watched.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// A request that takes longer is reported.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pods that take longer are reported; most end sooner. Less than [`LEAVE`].
const LONG: Duration = Duration::from_secs(7);

/// The cohorts whose Jobs are removed: the cluster deletes their pods.
enum Removed {
    /// All except these.
    AllBut(HashSet<u32>),
    Nothing,
}

/// What became of the Jobs, the first refusal of one with what stays, and that of the Secret.
type Deleted = (
    Removed,
    Option<(ClusterError, String)>,
    Option<ClusterError>,
);

impl Removed {
    fn has(&self, cohort: u32) -> bool {
        match self {
            Self::AllBut(kept) => !kept.contains(&cohort),
            Self::Nothing => false,
        }
    }
}

impl Work {
    /// Removes what was made. Returns what is left, a line for each.
    // The order: first the cohort that is being opened, so that its Job exists before the Jobs are listed; then workers
    // exit by themselves; then Jobs and Secret are deleted; then the pods are awaited; last the queues are removed,
    // which workers need until they have ended.
    pub(super) async fn end(&mut self, wait: bool) -> Vec<String> {
        self.touched |= self.opening.is_some() || self.state.names_left(|_| true).next().is_some();
        let mut notice_at = Some(after(Instant::now(), LONG));
        if let Some(opening) = self.opening.take() {
            let opened = timeout(OPENING, opening);
            let waits = "the shutdown waits for a Job that is being created: the cluster or Pub/Sub has not answered so far";
            // The future is dropped after the timeout. Its request may be carried out nevertheless: the Job then ends
            // by its deadline, or `podpool::gc` removes it.
            if let Ok(opened) = or_report(waits, opened).await {
                self.on_opened(opened);
            }
        }
        let mut leftovers = Vec::new();
        if self.touched || !self.state.unretired().is_empty() {
            if wait {
                let end = after(Instant::now(), LEAVE);
                let next = |seconds| {
                    format!("have not ended so far; their Jobs are deleted in {seconds} s")
                };
                self.wait_for(end, &mut notice_at, next, Cohorts::pods_left)
                    .await;
            }
            leftovers = self.remove(&mut notice_at).await;
        }
        for cohort in self.state.unretired() {
            self.retire(cohort);
        }
        self.perform();
        leftovers.extend(self.wait_for_queues().await);
        for left in &leftovers {
            notice::trouble(format_args!("left behind: {left}"));
        }
        leftovers
    }

    async fn wait_for_queues(&mut self) -> Option<String> {
        let retired = async { while self.retiring.join_next().await.is_some() {} };
        let retired = timeout(RETIRE, retired);
        let waits = "the shutdown waits for Pub/Sub: it has not removed the workers' control subscriptions so far";
        or_report(waits, retired).await.err().map(|_| {
            format!(
                "control subscriptions of some workers were not removed within {RETIRE:?}; {}",
                advice(&self.opener.fleet.run)
            )
        })
    }

    async fn remove(&mut self, notice_at: &mut Option<Instant>) -> Vec<String> {
        let opener = self.opener.clone();
        let (cluster, run) = (opener.cluster(), &opener.fleet.run);
        let mut leftovers = Vec::new();
        let waits = format!(
            "removing run {run}: the cluster at {} has not answered for {PATIENCE:?}; the request is repeated for some time",
            cluster.url()
        );
        let asked = remove_objects(&opener, self.secret.clone());
        let (removed, refusal, secret) = or_report(&waits, asked).await;
        let remedy = format!(
            "kubectl -n {} delete jobs,secrets -l {}",
            cluster.namespace(),
            job::run_selector(run)
        );
        match (refusal, secret) {
            (Some((error, what)), _) => leftovers.push(format!(
                "{error}; so {what} stay until someone with that right removes them: {remedy}"
            )),
            (None, Some(error)) => leftovers.push(format!(
                "{error}; so Secret {} stays until someone with that right removes it: {remedy}",
                job::secret_name(run)
            )),
            (None, None) => {}
        }
        leftovers.extend(self.wait_for_pods(&removed, notice_at).await);
        leftovers
    }

    /// Waits for the pods of removed Jobs. Returns a line about those that still exist.
    async fn wait_for_pods(
        &mut self,
        removed: &Removed,
        notice_at: &mut Option<Instant>,
    ) -> Option<String> {
        if matches!(removed, Removed::Nothing) {
            return None;
        }
        // Pods use up to their grace, and the kubelet some seconds more.
        let bound = REMOVAL.max(self.opener.fleet.spec.grace_time() + Duration::from_secs(10));
        let end = after(Instant::now(), bound);
        let of = |cohort| removed.has(cohort);
        let awaited = self.wait_until_gone(end, notice_at, of).await;
        let names = self.state.names_left(|cohort| removed.has(cohort));
        let (near, far): (Vec<_>, Vec<_>) = names.partition(|(_, reachable)| *reachable);
        let list = |pods: &[(&std::sync::Arc<str>, bool)]| {
            let names: Vec<&str> = pods.iter().map(|(name, _)| &***name).collect();
            names.join(", ")
        };
        if !far.is_empty() {
            let far = list(&far);
            notice::trouble(format_args!(
                "the node of these pods does not answer, so they are removed when it returns or is removed: {far}"
            ));
        }
        let namespace = self.opener.cluster().namespace();
        (awaited > 0 && !near.is_empty()).then(|| {
            let near = list(&near);
            format!(
                "these pods of namespace {namespace} have not gone within {bound:?} although their Job is deleted: {near}; look at their nodes with: kubectl -n {namespace} get pods -o wide"
            )
        })
    }

    /// Waits until no pod is left of those cohorts, or the time is over. Returns how many are left.
    ///
    /// The watch may not have reported pods that were created a moment ago, so a list has to confirm that nothing is
    /// left.
    // Also the Job controller may create a pod in the moment in which its Job is deleted; the garbage collector deletes
    // that pod, because its owner is absent. A list without a resource version is read from the newest state.
    // <https://kubernetes.io/docs/reference/using-api/api-concepts/#semantics-for-get-and-list>
    async fn wait_until_gone(
        &mut self,
        end: Instant,
        notice_at: &mut Option<Instant>,
        of: impl Fn(u32) -> bool,
    ) -> usize {
        loop {
            let left = |state: &Cohorts| state.objects_left(&of);
            let next = |seconds| {
                format!(
                    "still exist although their Jobs are deleted; the shutdown waits {seconds} s more at most"
                )
            };
            let left = self.wait_for(end, notice_at, next, left).await;
            if Instant::now() >= end {
                return left;
            }
            match self.list_pods().await {
                Ok(()) if self.state.objects_left(&of) == 0 => return 0,
                // Pods may not be watched, so no event reports their removal: they are listed again.
                Ok(()) if self.watches.is_denied() => sleep(LOOK_AGAIN).await,
                Ok(()) => {}
                Err(error) => {
                    notice::trouble(format_args!(
                        "whether pods remain is unknown ({error}); they are removed after their Jobs, which are deleted"
                    ));
                    return 0;
                }
            }
        }
    }

    /// Passes a list of the run's pods to the state, as the watch would.
    async fn list_pods(&mut self) -> Result<(), ClusterError> {
        let opener = self.opener.clone();
        let selector = job::run_selector(&opener.fleet.run);
        let pods = list::list_pods(opener.cluster(), &selector).await?;
        self.apply(watch::ClusterEvent::Pod(Ok(Event::Init)));
        for pod in pods {
            self.apply(watch::ClusterEvent::Pod(Ok(Event::InitApply(pod))));
        }
        self.apply(watch::ClusterEvent::Pod(Ok(Event::InitDone)));
        Ok(())
    }

    /// Applies the cluster's events until `left` counts nothing, the time is over, or pods may not be watched. Issues
    /// one notice, at `notice_at`, with the number of pods that are left and what follows when the time is over
    /// (`next`). Returns the number that is left.
    async fn wait_for(
        &mut self,
        end: Instant,
        notice_at: &mut Option<Instant>,
        next: impl Fn(u64) -> String,
        left: impl Fn(&Cohorts) -> usize,
    ) -> usize {
        while left(&self.state) > 0 && !self.watches.is_denied() {
            let until = notice_at.map_or(end, |notice_at| notice_at.min(end));
            match timeout_at(until, self.watches.next()).await {
                Ok(event) => self.apply(event),
                Err(_) if until < end => {
                    *notice_at = None;
                    let seconds = end.saturating_duration_since(Instant::now()).as_secs();
                    let (run, left) = (&self.opener.fleet.run, left(&self.state));
                    notice::relief(format_args!(
                        "removing run {run}: {left} of its pods {}",
                        next(seconds)
                    ));
                }
                Err(_) => break,
            }
        }
        // The run ends, so a cohort is not opened and a loss not reported any more. Only the removal of queues is
        // carried out: a cohort that is marked as retired is not among the `unretired`.
        let late = self.state.take_effects().into_iter();
        for effect in late {
            if let super::Effect::Retire(cohort) = effect {
                self.retire(cohort);
            }
        }
        left(&self.state)
    }
}

/// Deletes the Jobs, and then the Secret of this uid. Returns what is removed, and the refusals.
async fn remove_objects(opener: &Opener, secret: Option<String>) -> Deleted {
    let (cluster, run) = (opener.cluster(), &opener.fleet.run);
    let (removed, refusal) = remove_jobs(opener).await;
    // After one request without an answer a second one would only take its full timeout again. The Secret is deleted
    // with the last Job that owns it in any case; its own deletion is for Jobs that may not be deleted.
    let silent = refusal
        .as_ref()
        .is_some_and(|(error, _)| error.kind == Refused::Passing);
    let name = job::secret_name(run);
    let secret = match secret.filter(|_| !silent) {
        Some(uid) => remove::secret(cluster, &name, &uid).await.err(),
        None => None,
    };
    (removed, refusal, secret)
}

/// Deletes the Jobs. Returns which are removed, and the first refusal with what stays.
async fn remove_jobs(opener: &Opener) -> (Removed, Option<(ClusterError, String)>) {
    let (cluster, run) = (opener.cluster(), &opener.fleet.run);
    let found = match list::list_jobs(cluster, &job::run_selector(run)).await {
        Ok(found) => found,
        Err(error) => {
            let what = format!("the Jobs of run {run}, their pods and their Secret");
            return (Removed::Nothing, Some((error, what)));
        }
    };
    let ours = found.into_iter();
    // Another master of the run may have Jobs with the same labels; the annotation with the Secret's hash separates
    // them.
    let mut ours = ours.filter(|job| opener.is_ours(&job.metadata));
    let (mut kept, mut refusal, mut deleted) = (Vec::new(), None, 0);
    for found in ours.by_ref() {
        let uid = found.uid().unwrap_or_default();
        if let Err(error) = remove::job(cluster, &found.name_any(), &uid).await {
            let silent = error.kind == Refused::Passing;
            refusal.get_or_insert(error);
            kept.push(found);
            if silent {
                break;
            }
        } else {
            deleted += 1;
        }
    }
    kept.extend(ours);
    let what = format!("Jobs {} and their pods", names(&kept));
    let removed = if refusal.is_some() && deleted == 0 {
        Removed::Nothing
    } else {
        Removed::AllBut(kept.iter().filter_map(watch::cohort).collect())
    };
    (removed, refusal.map(|error| (error, what)))
}

/// Does the work, and issues this notice once if the work takes longer than [`PATIENCE`].
async fn or_report<T>(waits: &str, work: impl Future<Output = T>) -> T {
    pin!(work);
    if let Ok(done) = timeout(PATIENCE, &mut work).await {
        return done;
    }
    notice::trouble(waits);
    work.await
}

fn names(jobs: &[Job]) -> String {
    let names: Vec<String> = jobs.iter().map(ResourceExt::name_any).collect();
    names.join(", ")
}
