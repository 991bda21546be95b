//! The master as a Job or a CronJob, and the claim of its ledger's volume.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{
    CronJob, CronJobSpec, Job, JobSpec, JobTemplateSpec, PodFailurePolicy,
    PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyOnPodConditionsPattern,
    PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, EmptyDirVolumeSource, EnvFromSource, EnvVar, EnvVarSource,
    LocalObjectReference, ObjectFieldSelector, PersistentVolumeClaim, PersistentVolumeClaimSpec,
    PersistentVolumeClaimVolumeSource, PodSecurityContext, PodSpec, PodTemplateSpec,
    ResourceRequirements, SeccompProfile, SecretEnvSource, SecurityContext, Volume, VolumeMount,
    VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::yaml::{document, joined};
use super::{Claim, Manifest, ManifestError};

const CONTAINER: &str = "master";
/// The user `nonroot` of distroless images, as the workers'.
const USER: i64 = 65_532;
/// Where the ledger's volume is.
const LEDGER: &str = "/var/lib/podpool";
/// How often a master that was killed is started again.
const AGAIN: i32 = 6;
/// From SIGTERM to SIGKILL: told to end, a master removes its run first.
const GRACE: i64 = 60;
/// How long ended Jobs are kept: a day for one, a week for those of a schedule.
const KEPT: i32 = 86_400;
const KEPT_OF_MANY: i32 = 604_800;
/// How late a start may be, after an outage of the control plane.
const LATE: i64 = 3_600;
/// Exit codes of a program that has ended by itself: an error, wrong arguments, a panic. Another start would end so too.
const ENDED: [i32; 3] = [1, 2, 101];

pub(super) fn job_text(manifest: &Manifest) -> Result<String, ManifestError> {
    let comments = [
        "One run. The workers' Jobs have this Job as their owner: deleting it removes them.",
        again(manifest),
    ];
    let job = Job {
        metadata: manifest.meta(&manifest.name, CONTAINER),
        spec: Some(job_spec(manifest, KEPT)),
        status: None,
    };
    let mut documents = claim(manifest)?;
    documents.push(document(&comments, &job)?);
    Ok(joined(&documents))
}

pub(super) fn cronjob_text(manifest: &Manifest) -> Result<String, ManifestError> {
    let Some(schedule) = &manifest.schedule else {
        let reason = "a CronJob needs one, such as `15 2 * * *`";
        return Err(ManifestError::new("schedule", "", reason));
    };
    let comments = [
        "A run at each time of the schedule; one that comes while the last goes on is left out.",
        "With a ledger, let the program put the date into the run's name: a run whose tasks are done is done.",
        again(manifest),
    ];
    let zone = manifest.time_zone.as_deref().unwrap_or("Etc/UTC");
    let cronjob = CronJob {
        metadata: manifest.meta(&manifest.name, CONTAINER),
        spec: Some(CronJobSpec {
            schedule: schedule.clone(),
            time_zone: Some(zone.to_owned()),
            concurrency_policy: Some("Forbid".to_owned()),
            starting_deadline_seconds: Some(LATE),
            successful_jobs_history_limit: Some(3),
            failed_jobs_history_limit: Some(3),
            suspend: None,
            job_template: JobTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(manifest.labels(CONTAINER)),
                    ..ObjectMeta::default()
                }),
                spec: Some(job_spec(manifest, KEPT_OF_MANY)),
            },
        }),
        status: None,
    };
    let mut documents = claim(manifest)?;
    documents.push(document(&comments, &cronjob)?);
    Ok(joined(&documents))
}

const fn again(manifest: &Manifest) -> &'static str {
    match manifest.ledger {
        Some(_) => {
            "A master that is killed is started again, and picks its run up from the ledger."
        }
        None => {
            "Without a ledger a second master would begin anew, so one that is killed is not started again."
        }
    }
}

fn claim_name(manifest: &Manifest) -> String {
    format!("{}-ledger", manifest.name)
}

/// The claim of the ledger's volume, if there is one.
fn claim(manifest: &Manifest) -> Result<Vec<String>, ManifestError> {
    let Some(Claim { size, class }) = &manifest.ledger else {
        return Ok(Vec::new());
    };
    let comments = [
        "What is remembered of runs. A disk: on a network file system SQLite's locks do not hold, and podpool refuses it.",
    ];
    let size = BTreeMap::from([("storage".to_owned(), Quantity(size.clone()))]);
    let claim = PersistentVolumeClaim {
        metadata: manifest.meta(&claim_name(manifest), "ledger"),
        spec: Some(PersistentVolumeClaimSpec {
            // One node at a time: a second master on another node waits until the first one's pod is gone.
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            resources: Some(VolumeResourceRequirements {
                requests: Some(size),
                limits: None,
            }),
            storage_class_name: class.clone(),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    };
    Ok(vec![document(&comments, &claim)?])
}

fn job_spec(manifest: &Manifest, kept: i32) -> JobSpec {
    let remembers = manifest.ledger.is_some();
    JobSpec {
        backoff_limit: Some(if remembers { AGAIN } else { 0 }),
        pod_failure_policy: remembers.then(failure_policy),
        // The next master starts when the last one's pod has ended: it needs the volume, and the run's lock.
        pod_replacement_policy: remembers.then(|| "Failed".to_owned()),
        ttl_seconds_after_finished: Some(kept),
        template: PodTemplateSpec {
            metadata: Some(ObjectMeta {
                labels: Some(manifest.labels(CONTAINER)),
                ..ObjectMeta::default()
            }),
            spec: Some(pod(manifest)),
        },
        ..JobSpec::default()
    }
}

/// A master that was evicted does not count against the limit; one that ended by itself ends the Job.
fn failure_policy() -> PodFailurePolicy {
    let disrupted = PodFailurePolicyRule {
        action: "Ignore".to_owned(),
        on_exit_codes: None,
        on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
            type_: "DisruptionTarget".to_owned(),
            status: "True".to_owned(),
        }]),
    };
    let ended = PodFailurePolicyRule {
        action: "FailJob".to_owned(),
        on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
            container_name: Some(CONTAINER.to_owned()),
            operator: "In".to_owned(),
            values: ENDED.to_vec(),
        }),
        on_pod_conditions: None,
    };
    PodFailurePolicy {
        rules: vec![disrupted, ended],
    }
}

fn pod(manifest: &Manifest) -> PodSpec {
    let pull = manifest.workers.pull_secrets.iter();
    let pull: Vec<_> = pull
        .map(|name| LocalObjectReference { name: name.clone() })
        .collect();
    PodSpec {
        containers: vec![container(manifest)],
        volumes: Some(volumes(manifest)),
        restart_policy: Some("Never".to_owned()),
        termination_grace_period_seconds: Some(GRACE),
        enable_service_links: Some(false),
        service_account_name: Some(manifest.master()),
        image_pull_secrets: Some(pull).filter(|pull| !pull.is_empty()),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            // So that this user may write to a fresh volume.
            fs_group: manifest.ledger.as_ref().map(|_| USER),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                localhost_profile: None,
            }),
            ..PodSecurityContext::default()
        }),
        ..PodSpec::default()
    }
}

fn container(manifest: &Manifest) -> Container {
    let secret = |name: &String| EnvFromSource {
        secret_ref: Some(SecretEnvSource {
            name: name.clone(),
            optional: Some(false),
        }),
        ..EnvFromSource::default()
    };
    let secrets: Vec<_> = manifest.env_from_secrets.iter().map(secret).collect();
    let memory = || ("memory".to_owned(), Quantity(manifest.memory.clone()));
    let cpu = ("cpu".to_owned(), Quantity(manifest.cpu.clone()));
    Container {
        name: CONTAINER.to_owned(),
        image: Some(manifest.image.clone()),
        args: Some(manifest.args.clone()).filter(|args| !args.is_empty()),
        env: Some(env(manifest)),
        env_from: Some(secrets).filter(|secrets| !secrets.is_empty()),
        resources: Some(ResourceRequirements {
            requests: Some(BTreeMap::from([cpu, memory()])),
            limits: Some(BTreeMap::from([memory()])),
            claims: None,
        }),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".to_owned()]),
                add: None,
            }),
            ..SecurityContext::default()
        }),
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        volume_mounts: Some(mounts(manifest)),
        ..Container::default()
    }
}

/// The variables: those that make a master of the program, then the user's, which take precedence.
fn env(manifest: &Manifest) -> Vec<EnvVar> {
    let plain = |name: &str, value: &str| EnvVar {
        name: name.to_owned(),
        value: Some(value.to_owned()),
        value_from: None,
    };
    let mut env = vec![
        plain("PODPOOL_BACKEND", "kubernetes"),
        plain("PODPOOL_IMAGE", &manifest.image),
        plain("PODPOOL_SERVICE_ACCOUNT", &manifest.worker()),
    ];
    let pull = manifest.workers.pull_secrets.join(",");
    let perhaps = [
        (
            "PODPOOL_PULL_SECRETS",
            Some(pull).filter(|pull| !pull.is_empty()),
        ),
        (
            "PODPOOL_LEDGER",
            manifest.ledger.as_ref().map(|_| LEDGER.to_owned()),
        ),
        ("GOOGLE_CLOUD_PROJECT", manifest.project.clone()),
        ("PUBSUB_EMULATOR_HOST", manifest.emulator.clone()),
    ];
    let set = perhaps.into_iter();
    env.extend(set.filter_map(|(name, value)| Some(plain(name, &value?))));
    // Its own name, by which a master finds the Job that owns it.
    env.push(EnvVar {
        name: "PODPOOL_POD".to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                api_version: None,
                field_path: "metadata.name".to_owned(),
            }),
            ..EnvVarSource::default()
        }),
    });
    // No name twice: the API takes the last one, and tools that merge lists by name do not.
    for (name, value) in &manifest.env {
        env.retain(|set| set.name != *name);
        env.push(plain(name, value));
    }
    env
}

fn volumes(manifest: &Manifest) -> Vec<Volume> {
    let tmp = Volume {
        name: "tmp".to_owned(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    };
    let ledger = manifest.ledger.as_ref().map(|_| Volume {
        name: "ledger".to_owned(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: claim_name(manifest),
            read_only: None,
        }),
        ..Volume::default()
    });
    [tmp].into_iter().chain(ledger).collect()
}

fn mounts(manifest: &Manifest) -> Vec<VolumeMount> {
    let mount = |name: &str, path: &str| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        ..VolumeMount::default()
    };
    let ledger = manifest.ledger.as_ref().map(|_| mount("ledger", LEDGER));
    [mount("tmp", "/tmp")].into_iter().chain(ledger).collect()
}
