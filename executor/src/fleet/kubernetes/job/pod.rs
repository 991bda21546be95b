//! The pod of a worker: within the restricted Pod Security Standard, without a token, with its identity in its
//! environment.
//!
//! The user's template comes first, then each setting by its row, then the fleet's own, and the program's changes at
//! the end. What the fleet needs is compared before and after.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{
    Container, EnvVar, EnvVarSource, ObjectFieldSelector, Pod, PodSpec, SecretVolumeSource, Volume,
};

use super::super::spec::draft::{Draft, mount, plain};
use super::super::spec::{SpecError, WorkerSpec, rows};
use super::kept::{Kept, changed_by_patch, changed_by_template};
use super::{CONTAINER, Cohort, RUN_DIR, seconds, secret_name};
use crate::fleet::worker_spec::Qos;

/// A pod, and what of its settings belongs to the Job.
pub(super) struct Made {
    pub(super) pod: Pod,
    /// Labels of the Job, beside the fleet's.
    pub(super) labels: BTreeMap<String, String>,
    /// Annotations of the Job, beside the fleet's.
    pub(super) annotations: BTreeMap<String, String>,
    /// How long an ended Job is kept, in seconds.
    pub(super) ttl: i32,
}

/// Labels and annotations of the fleet's pods.
pub(super) struct Marks {
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
}

/// The pod of a cohort.
pub(super) fn pod(
    spec: &WorkerSpec,
    cohort: &Cohort<'_>,
    marks: &Marks,
) -> Result<Made, SpecError> {
    let mut made = write(spec, cohort, marks);
    if spec.template.is_some() {
        let without = WorkerSpec {
            template: None,
            ..spec.clone()
        };
        let plain = write(&without, cohort, marks);
        if let Some(kept) = changed_by_template(&plain.pod, &made.pod) {
            return Err(taken("pod_template", kept));
        }
    }
    for patch in &spec.pod_patches {
        let before = made.pod.clone();
        patch.apply(&mut made.pod);
        if let Some(kept) = changed_by_patch(&before, &made.pod) {
            return Err(taken("patch_pod", kept));
        }
    }
    if let Some(twice) = repeated(&made.pod) {
        // Options among each other were checked before.
        let option = if spec.template.is_some() {
            "pod_template"
        } else {
            "patch_pod"
        };
        let reason = "it is there twice in a pod; leave one of them out";
        return Err(SpecError::new(option, twice, reason));
    }
    if spec.qos == Some(Qos::Guaranteed) {
        let containers = made.pod.spec.iter().flat_map(containers);
        if let Some(unbound) = containers.into_iter().find(|one| !is_bound(one)) {
            let reason = format!(
                "container {} has no limits of cpu and memory that equal its requests, which the class needs of every container of the pod",
                unbound.name
            );
            return Err(SpecError::new("qos", "Guaranteed", reason));
        }
    }
    Ok(made)
}

fn taken(option: &str, Kept { path, why, .. }: &Kept) -> SpecError {
    SpecError::new(
        option,
        path,
        format!("it must stay as podpool makes it: {why}"),
    )
}

fn containers(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    spec.containers
        .iter()
        .chain(spec.init_containers.iter().flatten())
}

/// A name or a path that only one part of a pod can have, and that two have.
fn repeated(pod: &Pod) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let names = containers(spec).map(|one| format!("container {}", one.name));
    let volumes = spec.volumes.iter().flatten();
    let volumes = volumes.map(|volume| format!("volume {}", volume.name));
    let worker = spec.containers.iter().find(|one| one.name == CONTAINER);
    let mounts = worker
        .iter()
        .flat_map(|it| it.volume_mounts.iter().flatten());
    let mounts = mounts.map(|mount| format!("the worker's mount at {}", mount.mount_path));
    let mut seen = BTreeSet::new();
    let mut all = names.chain(volumes).chain(mounts);
    all.find(|name| !seen.insert(name.clone()))
}

/// Whether the limits of a container equal its requests; a request that is left out is the limit.
/// <https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/#guaranteed>
fn is_bound(container: &Container) -> bool {
    let Some(resources) = &container.resources else {
        return false;
    };
    ["cpu", "memory"].into_iter().all(|resource| {
        let limit = resources.limits.as_ref().and_then(|it| it.get(resource));
        let request = resources.requests.as_ref().and_then(|it| it.get(resource));
        limit.is_some() && request.is_none_or(|request| Some(request) == limit)
    })
}

/// Template, settings, and what is the fleet's own.
fn write(spec: &WorkerSpec, cohort: &Cohort<'_>, marks: &Marks) -> Made {
    let mut draft = spec.begin(cohort.run);
    draft.volume(run_volume(cohort), mount("run", RUN_DIR, true));
    draft.temporary();
    for row in rows() {
        (row.write)(spec, &mut draft);
    }
    finish_spec(&mut draft, spec);
    draft
        .worker
        .env
        .get_or_insert_default()
        .extend(identity(cohort));
    let (ttl, mut labels) = (draft.ttl, draft.labels.clone());
    let annotations = draft.annotations.clone();
    mark(&mut draft.metadata.labels, labels.clone(), &marks.labels);
    mark(
        &mut draft.metadata.annotations,
        annotations.clone(),
        &marks.annotations,
    );
    labels.extend(std::mem::take(&mut draft.job_labels));
    Made {
        pod: draft.finish(),
        labels,
        annotations,
        ttl,
    }
}

/// The settings precede the template; the fleet's own do not replace what a template has in their place, so that it is
/// found.
fn mark(
    all: &mut Option<BTreeMap<String, String>>,
    set: BTreeMap<String, String>,
    own: &BTreeMap<String, String>,
) {
    let all = all.get_or_insert_default();
    all.extend(set);
    for (key, value) in own {
        all.entry(key.clone()).or_insert_with(|| value.clone());
    }
}

fn finish_spec(draft: &mut Draft, spec: &WorkerSpec) {
    let pod = &mut draft.spec;
    // A Job with a failure policy requires it, and a restarted container would reuse the pod's name, which
    // identifies a worker. <https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-failure-policy>
    pod.restart_policy.get_or_insert_with(|| "Never".to_owned());
    pod.termination_grace_period_seconds
        .get_or_insert_with(|| seconds(spec.grace_time()));
    // Without this every service of the namespace adds several variables to the environment, and a namespace with
    // many services delays the start.
    pod.enable_service_links.get_or_insert(false);
    pod.automount_service_account_token.get_or_insert(false);
    // If the worker wrote no message, as when its program is another one, the end of the log takes its place: 80
    // lines or 2,048 bytes at most, and only after an exit code other than 0.
    // <https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/>
    draft
        .worker
        .termination_message_policy
        .get_or_insert_with(|| "FallbackToLogsOnError".to_owned());
}

/// The variables of the fleet. They come last: of two variables with one name the last one counts.
fn identity(cohort: &Cohort<'_>) -> [EnvVar; 7] {
    let field = |name: &str, path: &str| EnvVar {
        name: name.to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                api_version: None,
                field_path: path.to_owned(),
            }),
            ..EnvVarSource::default()
        }),
    };
    [
        plain("PODPOOL_ROLE", "worker"),
        plain("PODPOOL_RUN_DIR", RUN_DIR),
        plain("PODPOOL_COHORT", &cohort.number.to_string()),
        plain("PODPOOL_CLASS", &cohort.class.to_string()),
        field("PODPOOL_POD", "metadata.name"),
        field("PODPOOL_POD_UID", "metadata.uid"),
        field("PODPOOL_NODE", "spec.nodeName"),
    ]
}

fn run_volume(cohort: &Cohort<'_>) -> Volume {
    Volume {
        name: "run".to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret_name(cohort.run)),
            items: None,
            // Until the Secret exists, the kubelet does not start the container and tries again.
            optional: Some(false),
            // The worker is not root, and the files of a Secret belong to root.
            default_mode: Some(0o444),
        }),
        ..Volume::default()
    }
}
