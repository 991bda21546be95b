//! From a spec to the objects of a run: one indexed Job for each cohort, and one Secret.
//!
//! Pure: the same spec gives the same objects, and a test compares them with what is checked in.

mod kept;
mod pod;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement,
    PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use podpool_core::broker::ClassId;
use podpool_core::id::{RunId, RunName};

use self::pod::{Made, Marks};
use super::spec::{SpecError, WorkerSpec};

/// The label of everything that a fleet makes, with its value.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "podpool");
/// The label that holds the run's id.
pub const RUN_LABEL: &str = "podpool.dev/run";
/// The label that holds the run's name, if it has one. Other runs may have the same.
pub const NAME_LABEL: &str = "podpool.dev/run-name";
/// The label that holds the cohort's number.
pub const COHORT_LABEL: &str = "podpool.dev/cohort";
/// The label that names the class of a cohort. Without it the cohort is of the default class.
pub const CLASS_LABEL: &str = "podpool.dev/class";
/// The annotation that holds the end of the run, in seconds since 1970.
pub const DEADLINE_ANNOTATION: &str = "podpool.dev/deadline";
/// The annotation that distinguishes the Jobs and pods of one master from another's: a hash of the Secret.
pub const SECRET_ANNOTATION: &str = "podpool.dev/secret";
/// The workers' container.
pub const CONTAINER: &str = "worker";
/// Where workers find the Secret.
pub const RUN_DIR: &str = "/etc/podpool/run";

/// Exit codes of a worker that cannot do its work, before its first pull: usage, wire or shape, permission, settings.
/// Another pod of the same Job would fail in the same way, so the Job ends.
// The numbers are those of `sysexits.h`, which interpreters and shells do not use on their own. In ascending order and
// without duplicates, as the API requires.
pub const FATAL_EXITS: [i32; 4] = [64, 65, 77, 78];
/// Exit codes of a worker that exited for a temporary reason: it could not reach the queue, is to be replaced, or
/// received SIGTERM.
pub const PASSING_EXITS: [i32; 3] = [75, 83, 143];

/// Failures of pods that a Job tolerates: all of them. The master itself limits crash loops; a run without a master
/// must not end because some pods were lost.
///
/// Not `backoffLimitPerIndex`: with it the controller keeps its finalizer on a failed pod until another pod of the same
/// index exists, and a namespace that is being removed refuses every new pod, so its removal would never end.
/// <https://github.com/kubernetes/kubernetes/blob/v1.34.4/pkg/controller/job/job_controller.go>, `canRemoveFinalizer`.
const BACKOFF_LIMIT: i32 = i32::MAX;
/// The files that workers of a run read in [`RUN_DIR`]: the run's identity, and the key of its MACs.
#[derive(Clone, PartialEq, Eq)]
pub struct RunSecret {
    /// The run's description, in the form that workers read.
    pub descriptor: Vec<u8>,
    /// The key of the MACs.
    pub key: Vec<u8>,
}

impl fmt::Debug for RunSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunSecret")
            .field("descriptor", &self.descriptor.len())
            .finish_non_exhaustive()
    }
}

impl RunSecret {
    /// A hash of these bytes that reveals none of them.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut hash = blake3::Hasher::new_derive_key("podpool 2026 name of a run's secret");
        // The length separates key and descriptor: no two pairs have the same bytes.
        hash.update(&(self.key.len() as u64).to_le_bytes());
        hash.update(&self.key).update(&self.descriptor);
        // 128 bits: enough that two masters never share a fingerprint, and short enough to read in an annotation.
        hash.finalize().to_hex()[..32].to_owned()
    }
}

/// One Job to be made.
#[derive(Clone, Debug)]
pub struct Cohort<'a> {
    /// The run it belongs to.
    pub run: &'a RunId,
    /// Its number within the run, from 0.
    pub number: u32,
    /// The class of the tasks that its workers run.
    pub class: ClassId,
    /// How many workers it has; it never changes.
    pub size: u32,
    /// How long it may last.
    pub lasts: Duration,
    /// The end of the run in seconds since 1970, for people and for `gc`.
    pub deadline: i64,
    /// [`RunSecret::fingerprint`].
    pub secret: &'a str,
    /// Its owner, if the master itself runs in the cluster: it is deleted with its owner.
    pub owner: Option<&'a OwnerReference>,
    /// Whether it waits for the Secret before it creates pods.
    pub suspended: bool,
}

/// The name of a cohort's Job.
#[must_use]
pub fn job_name(run: &RunId, cohort: u32) -> String {
    format!("pp-{run}-c{cohort}")
}

/// The name of a run's Secret.
#[must_use]
pub fn secret_name(run: &RunId) -> String {
    format!("pp-{run}")
}

/// The selector of everything that belongs to a run.
#[must_use]
pub fn run_selector(run: &RunId) -> String {
    format!("{}={},{RUN_LABEL}={run}", MANAGED_BY.0, MANAGED_BY.1)
}

/// The selector of everything that belongs to the runs of a name.
#[must_use]
pub fn name_selector(name: &RunName) -> String {
    format!("{}={},{NAME_LABEL}={name}", MANAGED_BY.0, MANAGED_BY.1)
}

/// Checks what the Job of these settings would be, as [`job`] does, before there is a run.
///
/// # Errors
/// [`SpecError`]: the template or a change of the program takes away what podpool needs.
pub fn check(spec: &WorkerSpec) -> Result<(), SpecError> {
    let run = RunId::random();
    let cohort = Cohort {
        run: &run,
        number: 0,
        class: ClassId::DEFAULT,
        size: 1,
        lasts: spec.run_deadline(),
        deadline: 0,
        secret: "",
        owner: None,
        suspended: true,
    };
    job(spec, &cohort).map(drop)
}

/// The Job of a cohort.
///
/// # Errors
/// [`SpecError`]: the template or a change of the program takes away what podpool needs.
pub fn job(spec: &WorkerSpec, cohort: &Cohort<'_>) -> Result<Job, SpecError> {
    let size = i32::try_from(cohort.size).unwrap_or(i32::MAX);
    let mut labels = labels(&BTreeMap::new(), cohort.run, Some(cohort.number));
    if cohort.class != ClassId::DEFAULT {
        labels.insert(CLASS_LABEL.to_owned(), cohort.class.to_string());
    }
    let ours = (SECRET_ANNOTATION.to_owned(), cohort.secret.to_owned());
    let deadline = (DEADLINE_ANNOTATION.to_owned(), cohort.deadline.to_string());
    // Pods need the annotation too: the watch of pods decides by it whether a pod is a worker of this master.
    let annotations = BTreeMap::from([ours.clone()]);
    let marks = Marks {
        labels,
        annotations,
    };
    let made = pod::pod(spec, cohort, &marks)?;
    let Made {
        pod,
        labels: mut of_job,
        annotations: mut notes,
        ttl,
    } = made;
    of_job.extend(marks.labels);
    notes.extend([deadline, ours]);
    Ok(Job {
        metadata: ObjectMeta {
            name: Some(job_name(cohort.run, cohort.number)),
            labels: Some(of_job),
            annotations: Some(notes),
            owner_references: cohort.owner.map(|owner| vec![owner.clone()]),
            ..ObjectMeta::default()
        },
        spec: Some(job_spec(cohort, size, ttl, pod)),
        status: None,
    })
}

fn job_spec(cohort: &Cohort<'_>, size: i32, ttl: i32, pod: Pod) -> JobSpec {
    JobSpec {
        // Each worker needs an index: it is part of the name of its control subscription, which a replacing pod
        // inherits. A NonIndexed Job would also stop replacing pods after the first success.
        // <https://kubernetes.io/docs/concepts/workloads/controllers/job/#parallel-jobs>
        completion_mode: Some("Indexed".to_owned()),
        completions: Some(size),
        parallelism: Some(size),
        backoff_limit: Some(BACKOFF_LIMIT),
        // Otherwise the controller starts the replacement while the old pod still ends, and two pods share an index
        // and its subscription. It is required with a failure policy.
        // <https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-replacement-policy>
        pod_replacement_policy: Some("Failed".to_owned()),
        pod_failure_policy: Some(failure_policy()),
        ttl_seconds_after_finished: Some(ttl),
        // Ends the Job also without a master: the controller kills its pods, and marks it with `DeadlineExceeded`.
        // <https://kubernetes.io/docs/concepts/workloads/controllers/job/#job-termination-and-cleanup>
        active_deadline_seconds: Some(seconds(cohort.lasts)),
        suspend: Some(cohort.suspended),
        template: PodTemplateSpec {
            metadata: Some(pod.metadata),
            spec: pod.spec,
        },
        ..JobSpec::default()
    }
}

/// The Secret of a run, owned by the Job that was made first.
#[must_use]
pub fn secret(
    spec: &WorkerSpec,
    run: &RunId,
    content: &RunSecret,
    owners: Vec<OwnerReference>,
) -> Secret {
    let data = BTreeMap::from([
        (
            "descriptor".to_owned(),
            ByteString(content.descriptor.clone()),
        ),
        ("key".to_owned(), ByteString(content.key.clone())),
    ]);
    Secret {
        metadata: ObjectMeta {
            name: Some(secret_name(run)),
            labels: Some(labels(&spec.labels, run, None)),
            owner_references: Some(owners),
            ..ObjectMeta::default()
        },
        data: Some(data),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    }
}

/// The reference that makes the cluster delete an object after this Job, and after all its other owners.
#[must_use]
pub fn owned_by_job(name: &str, uid: &str) -> OwnerReference {
    OwnerReference {
        api_version: "batch/v1".to_owned(),
        kind: "Job".to_owned(),
        name: name.to_owned(),
        uid: uid.to_owned(),
        ..OwnerReference::default()
    }
}

/// The users' labels, and those of the fleet, which take precedence.
fn labels(
    users: &BTreeMap<String, String>,
    run: &RunId,
    cohort: Option<u32>,
) -> BTreeMap<String, String> {
    let mut labels = users.clone();
    labels.insert(MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned());
    labels.insert(RUN_LABEL.to_owned(), run.to_string());
    if let Some(cohort) = cohort {
        labels.insert(COHORT_LABEL.to_owned(), cohort.to_string());
    }
    labels
}

/// The policy for failed pods. The first rule that matches counts. A disruption comes first: a worker that is evicted
/// while it reports why it cannot start must not end the Job of all others.
// `Ignore` does not count the failure, and the controller replaces the pod. Other exit codes match no rule: they count
// against `BACKOFF_LIMIT`, which is never reached.
// <https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-failure-policy>
fn failure_policy() -> PodFailurePolicy {
    let on_exit = |action: &str, values: &[i32]| PodFailurePolicyRule {
        action: action.to_owned(),
        on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
            container_name: Some(CONTAINER.to_owned()),
            operator: "In".to_owned(),
            values: values.to_vec(),
        }),
        on_pod_conditions: None,
    };
    let disrupted = PodFailurePolicyRule {
        action: "Ignore".to_owned(),
        on_exit_codes: None,
        on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
            type_: "DisruptionTarget".to_owned(),
            status: "True".to_owned(),
        }]),
    };
    PodFailurePolicy {
        rules: vec![
            disrupted,
            on_exit("FailJob", &FATAL_EXITS),
            on_exit("Ignore", &PASSING_EXITS),
        ],
    }
}

fn seconds(time: Duration) -> i64 {
    // Kubernetes takes whole seconds, and no zero.
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX).max(1)
}

#[cfg(test)]
mod tests;
