//! Workers of an earlier version of the program, when another version picks the run up.

use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use podpool_core::notice;
use tracing::warn;

use super::super::job;
use super::{Work, list, remove, watch};

impl Work {
    /// Removes Jobs of the run that have another Secret: their workers know other tasks, or other shapes of them, and
    /// would reject what this master publishes.
    // A cluster that does not answer is reported by the watch, which then also finds those Jobs.
    pub(super) async fn replace_workers(&mut self) {
        let opener = self.opener.clone();
        if !opener.fleet.replaces {
            return;
        }
        // Of the earlier masters something may exist, also where this one ends before the watch has shown it.
        self.touched = true;
        let cluster = opener.cluster();
        let jobs = list::list_jobs(cluster, &job::run_selector(&opener.fleet.run)).await;
        let jobs = match jobs {
            Ok(jobs) => jobs,
            Err(error) => return warn!(%error, "Jobs of earlier masters were not looked for"),
        };
        // A Job that an earlier master had not completed when it was killed is suspended: its Secret may be missing, and
        // nothing would ever start its workers.
        let halfway = |job: &Job| job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true);
        let foreign = jobs
            .iter()
            .filter(|job| !opener.is_ours(&job.metadata) || halfway(job));
        let mut replaced = 0;
        for job in foreign {
            if let Some(cohort) = watch::cohort(job) {
                // A cohort of the same number would share its name, and its workers' subscriptions.
                self.state.begin_after(cohort);
            }
            let (name, uid) = (job.name_any(), job.uid().unwrap_or_default());
            match remove::job(cluster, &name, &uid).await {
                Ok(()) => replaced += u32::from(!halfway(job)),
                Err(error) => warn!(%error, job = name, "a Job of an earlier version stays"),
            }
        }
        if replaced > 0 {
            let jobs = if replaced == 1 { "Job" } else { "Jobs" };
            notice::relief(format_args!(
                "workers of an earlier version of this program are replaced ({replaced} {jobs})"
            ));
        }
    }
}
