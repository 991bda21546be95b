//! From a Job's conditions to a verdict.

use k8s_openapi::api::batch::v1::Job;

use super::options::{QUEUE, RUN_DEADLINE};

/// The label by which Kueue puts a Job into a queue. <https://kueue.sigs.k8s.io/docs/tasks/run/jobs/>
const QUEUE_LABEL: &str = "kueue.x-k8s.io/queue-name";

/// Why a run ends whose Jobs are gone.
pub const JOBS_DELETED: &str = "the run's Jobs were deleted, by hand or with their namespace; restart the run if that was unintended";

/// The state of a cohort's Job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobVerdict {
    /// It creates pods.
    Going,
    /// It is suspended: by the fleet for a moment, or by a queue of the cluster that resumes it when there is room. The
    /// cause, for the user.
    Held(String),
    /// Every worker has left.
    Done,
    /// It creates no more pods: a worker exited with a code that holds for all workers. The message is Kubernetes' own.
    Refused(String),
    /// The run's deadline has passed. What to do, for the user.
    Overdue(String),
    /// It creates no more pods, for a reason that does not affect other Jobs.
    Failed(String),
}

/// The indexes whose worker has left with success: the Job makes no pod for them any more, and their old pods may be gone.
// `completedIndexes` is a list of numbers and ranges: `1,3-5,7`.
// <https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/job-v1/#JobStatus>
pub fn completed_indexes(job: &Job) -> impl Iterator<Item = u32> {
    let status = job.status.as_ref();
    let text = status.and_then(|status| status.completed_indexes.as_deref());
    let parts = text.unwrap_or_default().split(',');
    let size = job.spec.as_ref().and_then(|spec| spec.completions);
    let size = size.and_then(|size| u32::try_from(size).ok()).unwrap_or(0);
    parts.flat_map(move |part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        match (first.parse::<u32>(), last.parse::<u32>()) {
            (Ok(first), Ok(last)) => first..last.saturating_add(1).min(size),
            _ => 0..0,
        }
    })
}

/// Judges a Job. Interim conditions count: the final ones are set only when every pod has ended.
// Since Kubernetes 1.31 `Failed` and `Complete` follow `FailureTarget` and `SuccessCriteriaMet`, up to the pods' grace
// later.
// <https://kubernetes.io/docs/concepts/workloads/controllers/job/>
#[must_use]
pub fn judge_job(job: &Job) -> JobVerdict {
    let conditions = job
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_deref())
        .unwrap_or_default();
    let holds = |kinds: [&str; 2]| {
        conditions
            .iter()
            .find(|condition| condition.status == "True" && kinds.contains(&&*condition.type_))
    };
    // Before the suspension: a failed Job keeps its `suspend` field.
    if let Some(failed) = holds(["FailureTarget", "Failed"]) {
        let reason = failed.reason.as_deref().unwrap_or("no reason");
        let message = failed.message.as_deref().unwrap_or_default();
        return match reason {
            "PodFailurePolicy" => JobVerdict::Refused(message.to_owned()),
            "DeadlineExceeded" => JobVerdict::Overdue(format!(
                "the run's deadline has passed and its workers were stopped; set a later one with {RUN_DEADLINE}"
            )),
            _ => JobVerdict::Failed(format!("{reason}: {message}{}", failed_indexes(job))),
        };
    }
    if holds(["SuccessCriteriaMet", "Complete"]).is_some() {
        return JobVerdict::Done;
    }
    let suspended = job.spec.as_ref().and_then(|spec| spec.suspend);
    if suspended.unwrap_or(false) {
        return JobVerdict::Held(held(job));
    }
    JobVerdict::Going
}

/// Who has to resume a Job.
fn held(job: &Job) -> String {
    let labels = job.metadata.labels.as_ref();
    match labels.and_then(|labels| labels.get(QUEUE_LABEL)) {
        Some(queue) => format!(
            "their Job waits in a queue of Kueue: {queue:?} admits it when there is room for all its workers; ask for fewer with max_workers, or set another queue with {QUEUE}"
        ),
        None => "their Job is suspended: a queue of the cluster, or a person, has to resume it"
            .to_owned(),
    }
}

/// The indexes that failed for good, where the Job counts failures by index.
fn failed_indexes(job: &Job) -> String {
    let status = job.status.as_ref();
    let failed = status.and_then(|status| status.failed_indexes.as_deref());
    let failed = failed.filter(|indexes| !indexes.is_empty());
    failed.map_or_else(String::new, |indexes| format!(" (indexes {indexes})"))
}
