//! Opening a cohort: queues first, then the Job, suspended until the Secret is there.

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{Patch, PatchParams, PostParams};
use podpool_core::broker::Cohort;
use serde_json::json;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::super::client::{Ask, Cluster, ClusterError, Refused};
use super::super::cohorts::OpenError;
use super::super::job::{self, RUN_LABEL, RunSecret, SECRET_ANNOTATION};
use super::super::spec::WorkerSpec;
use super::watch::{another_master, has_ended};
use super::{Fleet, remove};

/// The longest that the queues of a cohort may take.
// Each worker of the cohort has a control subscription, so a large cohort needs many calls.
const PREPARE: Duration = Duration::from_secs(60);

/// What opening a cohort needs of the fleet.
#[derive(Debug)]
pub(super) struct Opener {
    pub(super) fleet: Fleet,
    pub(super) fingerprint: String,
    /// The end of the run by this process's monotonic clock.
    pub(super) ends: Instant,
    /// The end of the run in seconds since 1970.
    pub(super) deadline: i64,
}

/// A cohort that exists.
#[derive(Debug)]
pub(super) struct Opened {
    /// The uid of the Secret: what the run deletes at its end.
    pub(super) secret: String,
    pub(super) cohort: Cohort,
}

impl Opener {
    /// Makes the cohort. `secret` is true where this fleet has made the Secret already.
    pub(super) async fn open(&self, cohort: Cohort, secret: bool) -> Result<Opened, OpenError> {
        let Cohort { number, size, .. } = cohort;
        // The queues first: a pod that starts before its control subscription exists would fail its first pull.
        let prepared = timeout(PREPARE, self.fleet.cohorts.prepare(cohort)).await;
        let late = || {
            Err(format!(
                "the queues of cohort {number} were not created within {PREPARE:?}"
            ))
        };
        prepared
            .unwrap_or_else(|_| late())
            .map_err(|reason| OpenError {
                lasting: false,
                over: false,
                reason,
            })?;
        // The first Job is created suspended, because its pods mount the Secret, and the Secret needs the uid of the
        // Job that owns it.
        let (job, made) = self.job(cohort, !secret).await?;
        let name = job::job_name(&self.fleet.run, number);
        // The API sets a uid on every object, so the default is never used.
        let uid = job.metadata.uid.clone().unwrap_or_default();
        let ready = self.ready(&name, &uid, secret).await;
        let secret = match ready {
            Ok(secret) => secret,
            Err(error) => {
                // The Job would stay suspended, or its pods would wait for their Secret.
                // One that was there before has workers.
                if made && let Err(error) = remove::job(self.cluster(), &name, &uid).await {
                    warn!(%error, job = name, "a Job that could not be completed was not removed");
                }
                return Err(error.refusal());
            }
        };
        info!(job = name, workers = size, "opened a cohort");
        Ok(Opened { secret, cohort })
    }

    /// Makes the Job, or takes over an existing one: a request whose answer was lost has made it, or an earlier master
    /// of the run. Whether it was made.
    async fn job(&self, cohort: Cohort, suspended: bool) -> Result<(Job, bool), OpenError> {
        // `activeDeadlineSeconds` counts from the start of each Job, so a later cohort gets the rest of the run's time.
        // Resuming a suspended Job resets that start.
        // <https://kubernetes.io/docs/concepts/workloads/controllers/job/#suspending-a-job>
        let lasts = self.ends.saturating_duration_since(Instant::now());
        let wish = job::job(
            self.spec(),
            &job::Cohort {
                run: &self.fleet.run,
                number: cohort.number,
                class: cohort.class,
                size: cohort.size,
                // Kubernetes refuses a deadline of zero; the fleet ends the run in the same second anyway.
                lasts: lasts.max(Duration::from_secs(1)),
                deadline: self.deadline,
                secret: &self.fingerprint,
                owner: self.cluster().owner(),
                // A queue of the cluster resumes the Job when there is room.
                suspended: suspended || self.spec().is_queued(),
            },
        );
        // `build()` has checked it; but a change of the program may depend on more than the pod.
        let wish = wish.map_err(|error| OpenError {
            lasting: true,
            over: false,
            reason: error.to_string(),
        })?;
        let jobs = self.cluster().jobs();
        let params = PostParams::default();
        let made = self
            .cluster()
            .call(Ask("create", "jobs"), || jobs.create(&params, &wish))
            .await;
        match made {
            // The request is repeated after a lost answer, so the Job may be our own.
            Err(error) if error.kind == Refused::Exists => {
                let found = self.adopt(cohort.number).await?;
                if found.metadata.owner_references != wish.metadata.owner_references {
                    self.take_over(cohort.number).await;
                }
                let suspended = found.spec.as_ref().and_then(|spec| spec.suspend);
                // Suspended: no worker of it was ever started.
                Ok((found, suspended == Some(true)))
            }
            made => made.map(|job| (job, true)).map_err(ClusterError::refusal),
        }
    }

    /// A Job of an earlier master is deleted with this master's Job from now on, and not with the earlier one's.
    pub(super) async fn take_over(&self, cohort: u32) {
        if let Err(error) = self.give(cohort, self.cluster().owner()).await {
            warn!(%error, cohort, "a Job of an earlier master keeps its owner, and is deleted with it");
        }
    }

    /// Gives the Job of a cohort this owner alone, or none: the Job is deleted with its owner.
    // The merge replaces the list, so the owner of an earlier master leaves it.
    pub(super) async fn give(
        &self,
        cohort: u32,
        owner: Option<&OwnerReference>,
    ) -> Result<(), ClusterError> {
        let name = job::job_name(&self.fleet.run, cohort);
        let owners = owner.map(|owner| vec![owner.clone()]);
        let patch = json!({"metadata": {"ownerReferences": owners}});
        self.patch_job(&name, patch).await
    }

    async fn adopt(&self, number: u32) -> Result<Job, OpenError> {
        let name = job::job_name(&self.fleet.run, number);
        let jobs = self.cluster().jobs();
        let found = self
            .cluster()
            .call(Ask("get", "jobs"), || jobs.get(&name))
            .await;
        let found = found.map_err(|error| OpenError {
            // `NotFound` is not lasting here: the Job existed a moment ago, so its deletion was under way.
            lasting: error.kind == Refused::Forbidden,
            ..error.refusal()
        })?;
        let ours = self.is_ours(&found.metadata);
        if has_ended(&found) && !(ours && found.metadata.deletion_timestamp.is_none()) {
            // Not lasting: the next cohort has another number, and so another name.
            return Err(OpenError {
                lasting: false,
                over: false,
                reason: format!("Job {name} of an earlier run is still there"),
            });
        }
        // Whether a Job is ours is decided by its Secret's hash: a run id alone is shared by all masters of a run.
        if ours {
            info!(job = name, "took over a cohort");
            return Ok(found);
        }
        Err(OpenError {
            lasting: true,
            over: false,
            reason: another_master(&found, &self.fleet.run),
        })
    }

    /// Whether a Job or pod is of this run and this master's Secret.
    pub(super) fn is_ours(&self, meta: &ObjectMeta) -> bool {
        let labels = meta.labels.as_ref();
        let notes = meta.annotations.as_ref();
        labels
            .and_then(|labels| labels.get(RUN_LABEL))
            .map(|run| &**run)
            == Some(self.fleet.run.as_str())
            && notes.and_then(|notes| notes.get(SECRET_ANNOTATION)) == Some(&self.fingerprint)
    }

    /// The Secret, owned by the Job; then the Job may begin. Gives the Secret's uid.
    async fn ready(&self, name: &str, uid: &str, secret: bool) -> Result<String, ClusterError> {
        let owner = job::owned_by_job(name, uid);
        let secret = if secret {
            match self.share_secret(&owner).await {
                // All Jobs that owned the Secret were deleted, and the garbage collector has deleted the Secret with
                // the last of them.
                Err(error) if error.kind == Refused::NotFound => self.make_secret(owner).await?,
                shared => shared?,
            }
        } else {
            self.make_secret(owner).await?
        };
        if self.spec().is_queued() {
            // Its queue resumes it. If it did before the Secret was there, the kubelet waits for the Secret.
            return Ok(secret);
        }
        // Also where the Job was created unsuspended: to set `suspend` to false twice changes nothing.
        self.resume(name).await?;
        Ok(secret)
    }

    async fn make_secret(&self, owner: OwnerReference) -> Result<String, ClusterError> {
        let secret = job::secret(self.spec(), &self.fleet.run, self.content(), vec![owner]);
        let secrets = self.cluster().secrets();
        let params = PostParams::default();
        let made = self
            .cluster()
            .call(Ask("create", "secrets"), || {
                secrets.create(&params, &secret)
            })
            .await;
        match made {
            // A leftover, or made by a request whose answer was lost: the patch replaces its data and adds the owner.
            Err(error) if error.kind == Refused::Exists => self.patch_secret(json!(secret)).await,
            made => made.map(uid),
        }
    }

    async fn share_secret(&self, owner: &OwnerReference) -> Result<String, ClusterError> {
        self.patch_secret(json!({"metadata": {"ownerReferences": [owner]}}))
            .await
    }

    /// A strategic merge patch: it merges owners by their uid, so that no right to read the Secret is needed.
    // A JSON merge patch would replace the list, and the Secret would be deleted with the newest Job alone.
    // <https://kubernetes.io/docs/tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/>
    async fn patch_secret(&self, change: serde_json::Value) -> Result<String, ClusterError> {
        let name = job::secret_name(&self.fleet.run);
        let secrets = self.cluster().secrets();
        let (params, patch) = (PatchParams::default(), Patch::Strategic(change));
        self.cluster()
            .call(Ask("patch", "secrets"), || {
                secrets.patch(&name, &params, &patch)
            })
            .await
            .map(uid)
    }

    async fn resume(&self, name: &str) -> Result<(), ClusterError> {
        self.patch_job(name, json!({"spec": {"suspend": false}}))
            .await
    }

    async fn patch_job(&self, name: &str, change: serde_json::Value) -> Result<(), ClusterError> {
        let jobs = self.cluster().jobs();
        let (params, patch) = (PatchParams::default(), Patch::Merge(change));
        self.cluster()
            .call(Ask("patch", "jobs"), || jobs.patch(name, &params, &patch))
            .await
            .map(drop)
    }

    pub(super) fn cluster(&self) -> &Cluster {
        &self.fleet.cluster
    }

    fn spec(&self) -> &WorkerSpec {
        &self.fleet.spec
    }

    fn content(&self) -> &RunSecret {
        &self.fleet.secret
    }
}

fn uid(secret: Secret) -> String {
    secret.metadata.uid.unwrap_or_default()
}
