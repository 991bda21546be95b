//! The pod of a worker: within the restricted Pod Security Standard, without a token, with its identity in its
//! environment.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, Container, EmptyDirVolumeSource, EnvFromSource, EnvVar, EnvVarSource, KeyToPath,
    LocalObjectReference, ObjectFieldSelector, PodSecurityContext, PodSpec, ResourceRequirements,
    SeccompProfile, SecretEnvSource, SecretVolumeSource, SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::super::spec::{SecretFile, WorkerSpec};
use super::{CONTAINER, Cohort, RUN_DIR, seconds, secret_name};

/// The user that workers run as. A number, so that a node can prove that it is not root.
// The user `nonroot` of distroless images.
// <https://github.com/GoogleContainerTools/distroless/blob/main/common/variables.bzl>
const USER: i64 = 65_532;

pub(super) fn pod(spec: &WorkerSpec, cohort: &Cohort<'_>) -> PodSpec {
    let pull: Vec<LocalObjectReference> = spec
        .pull_secrets
        .iter()
        .map(|name| LocalObjectReference { name: name.clone() })
        .collect();
    PodSpec {
        containers: vec![container(spec, cohort)],
        volumes: Some(volumes(spec, cohort)),
        // A Job with a failure policy requires it, and a restarted container would reuse the pod's name, which
        // identifies a worker. <https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-failure-policy>
        restart_policy: Some("Never".to_owned()),
        termination_grace_period_seconds: Some(seconds(spec.grace_time())),
        // Without this every service of the namespace adds several variables to the environment, and a namespace with
        // many services delays the start.
        enable_service_links: Some(false),
        automount_service_account_token: Some(false),
        service_account_name: spec.service_account.clone(),
        image_pull_secrets: Some(pull).filter(|pull| !pull.is_empty()),
        // The restricted standard requires each of these fields; without them an enforcing namespace refuses the pod.
        // <https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted>
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                localhost_profile: None,
            }),
            ..PodSecurityContext::default()
        }),
        ..PodSpec::default()
    }
}

fn container(spec: &WorkerSpec, cohort: &Cohort<'_>) -> Container {
    let env_from: Vec<EnvFromSource> = spec
        .env_from_secrets
        .iter()
        .map(|name| EnvFromSource {
            secret_ref: Some(SecretEnvSource {
                name: name.clone(),
                optional: Some(false),
            }),
            ..EnvFromSource::default()
        })
        .collect();
    Container {
        name: CONTAINER.to_owned(),
        image: spec.image.clone(),
        image_pull_policy: spec.pull_policy.map(|policy| policy.as_str().to_owned()),
        env: Some(env(spec, cohort)),
        env_from: Some(env_from).filter(|from| !from.is_empty()),
        resources: Some(resources(spec)),
        volume_mounts: Some(mounts(spec)),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            // Tasks write to /tmp, which is a volume of the pod.
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".to_owned()]),
                add: None,
            }),
            ..SecurityContext::default()
        }),
        // If the worker wrote no message, as when its program is another one, the end of the log takes its place: 80
        // lines or 2,048 bytes at most, and only after an exit code other than 0.
        // <https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/>
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        ..Container::default()
    }
}

/// The memory limit is the request: a worker that uses more than its request is killed alone, before its node runs out
/// of memory. There is no CPU limit: idle cores may be used.
/// <https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/>
fn resources(spec: &WorkerSpec) -> ResourceRequirements {
    let memory = || ("memory".to_owned(), Quantity(bytes(spec.memory_bytes())));
    let cpu = (
        "cpu".to_owned(),
        Quantity(format!("{}m", spec.cpu_millicores())),
    );
    ResourceRequirements {
        requests: Some(BTreeMap::from([cpu, memory()])),
        limits: Some(BTreeMap::from([memory()])),
        claims: None,
    }
}

/// Whole mebibytes are written as such, so that users recognise their own setting.
fn bytes(bytes: u64) -> String {
    if bytes.is_multiple_of(1 << 20) {
        format!("{}Mi", bytes >> 20)
    } else {
        bytes.to_string()
    }
}

/// The variables of the container. Those of the fleet come last: of two variables with one name the last one counts.
fn env(spec: &WorkerSpec, cohort: &Cohort<'_>) -> Vec<EnvVar> {
    let plain = |name: &str, value: &str| EnvVar {
        name: name.to_owned(),
        value: Some(value.to_owned()),
        value_from: None,
    };
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
    let mut env: Vec<EnvVar> = spec
        .env
        .iter()
        .map(|(name, value)| plain(name, value))
        .collect();
    env.extend([
        plain("PODPOOL_ROLE", "worker"),
        plain("PODPOOL_RUN_DIR", RUN_DIR),
        plain("PODPOOL_COHORT", &cohort.number.to_string()),
        plain("PODPOOL_CLASS", &cohort.class.to_string()),
        field("PODPOOL_POD", "metadata.name"),
        field("PODPOOL_POD_UID", "metadata.uid"),
        field("PODPOOL_NODE", "spec.nodeName"),
    ]);
    env
}

fn volumes(spec: &WorkerSpec, cohort: &Cohort<'_>) -> Vec<Volume> {
    let of_secret = |name: String, secret: String, items| Volume {
        name,
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret),
            items,
            optional: Some(false),
            // Until the Secret exists, the kubelet does not start the container and tries again.
            // The worker is not root, and the files of a Secret belong to root.
            default_mode: Some(0o444),
        }),
        ..Volume::default()
    };
    let run = of_secret("run".to_owned(), secret_name(cohort.run), None);
    let tmp = Volume {
        name: "tmp".to_owned(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    };
    let files = spec.secret_files.iter().enumerate().map(|(number, file)| {
        let item = KeyToPath {
            key: file.key.clone(),
            path: file.key.clone(),
            mode: None,
        };
        of_secret(file_volume(number), file.secret.clone(), Some(vec![item]))
    });
    [run, tmp].into_iter().chain(files).collect()
}

fn mounts(spec: &WorkerSpec) -> Vec<VolumeMount> {
    let mount = |name: &str, path: &str, read_only: bool| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: Some(read_only),
        ..VolumeMount::default()
    };
    let files = spec.secret_files.iter().enumerate();
    let files = files.map(|(number, SecretFile { key, path, .. })| VolumeMount {
        // A file, not a directory that would hide what the image has beside it. Such a mount does not receive later
        // changes of the Secret. <https://kubernetes.io/docs/concepts/storage/volumes/#using-subpath>
        sub_path: Some(key.clone()),
        ..mount(&file_volume(number), path, true)
    });
    [mount("run", RUN_DIR, true), mount("tmp", "/tmp", false)]
        .into_iter()
        .chain(files)
        .collect()
}

fn file_volume(number: usize) -> String {
    format!("file-{number}")
}
