//! Pods that do not run yet: the cause, and whether it may pass.

use k8s_openapi::api::core::v1::PodCondition;

use super::{Patience, Verdict, View};

pub(super) fn judge(view: &View<'_>) -> Verdict {
    if let Some(condition) = view.condition("PodScheduled")
        && condition.status == "False"
    {
        return unscheduled(condition);
    }
    let state = view
        .container
        .and_then(|container| container.state.as_ref());
    let Some(waiting) = state.and_then(|state| state.waiting.as_ref()) else {
        return without_container(view);
    };
    let image = view.container.map(|container| container.image.as_str());
    by_reason(
        waiting.reason.as_deref().unwrap_or_default(),
        waiting.message.as_deref().unwrap_or_default(),
        image.unwrap_or_default(),
    )
}

/// The verdict on a pod that has no node, by the scheduler's condition.
fn unscheduled(condition: &PodCondition) -> Verdict {
    let message = condition.message.as_deref().unwrap_or_default();
    match condition.reason.as_deref() {
        // <https://kubernetes.io/docs/concepts/scheduling-eviction/pod-scheduling-readiness/>
        Some("SchedulingGated") => Verdict::Waiting {
            word: format!("held by a scheduling gate: {message}"),
        },
        Some("Unschedulable") => cannot(
            Patience::Schedule,
            format!(
                "no node has {} for a worker ({message}); ask for less with KubernetesOptions::cpu (PODPOOL_CPU) and memory (PODPOOL_MEMORY), or add nodes",
                lacking(message)
            ),
        ),
        _ => Verdict::Starting,
    }
}

/// Whether the node has begun with a pod of which no container is reported yet.
fn without_container(view: &View<'_>) -> Verdict {
    // The kubelet sets the start time when it takes the pod, before it pulls the image.
    // <https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#PodStatus>
    let status = view.pod.status.as_ref();
    match status.and_then(|status| status.start_time.as_ref()) {
        None if view.is("PodScheduled", "True") => Verdict::Assigned,
        _ => Verdict::Starting,
    }
}

/// The resource that nodes lack, by the scheduler's message.
fn lacking(message: &str) -> &'static str {
    let cpu = message.contains("Insufficient cpu");
    match (cpu, message.contains("Insufficient memory")) {
        (true, true) => "enough cpu and memory",
        (true, false) => "enough cpu",
        (false, true) => "enough memory",
        (false, false) => "room",
    }
}

/// The verdict by the reason that a node reports for a waiting container.
// The API does not define these reasons: the kubelet chooses them, so an unknown one counts as a start.
fn by_reason(word: &str, message: &str, image: &str) -> Verdict {
    match word {
        "ErrImagePull" | "ImagePullBackOff" | "RegistryUnavailable" | "ImageInspectError" => {
            pull(message, image)
        }
        "InvalidImageName" => cannot(
            Patience::Start,
            format!("the image name {image:?} is invalid ({message}); correct image"),
        ),
        "ErrImageNeverPull" => cannot(
            Patience::Start,
            format!(
                "image {image:?} is not on the node and its pull policy is Never ({message}); load it, or change KubernetesOptions::pull_policy"
            ),
        ),
        // A Secret, a key or a variable is missing, or the image runs as root. The kubelet tries again, so the
        // container starts once the object exists.
        "CreateContainerConfigError" => cannot(
            Patience::Start,
            format!(
                "the settings of a worker cannot be read: {message}; create what is missing, or correct KubernetesOptions::env_from_secret (PODPOOL_ENV_FROM_SECRETS), secret_file or image"
            ),
        ),
        "CreateContainerError" | "RunContainerError" | "PostStartHookError" => cannot(
            Patience::Schedule,
            format!(
                "a worker's container cannot be started: {message}{}",
                hint(message)
            ),
        ),
        // ContainerCreating, PodInitializing, and reasons that later versions add.
        _ => Verdict::Starting,
    }
}

fn pull(message: &str, image: &str) -> Verdict {
    // Each runtime and registry spells these words in its own way; the status has no code for them. Passing causes are
    // tested first: to wait too long for an image that is denied costs less than to give up where a pull may succeed.
    let lower = message.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let passing = has(&[
        "toomanyrequests",
        "too many requests",
        "429",
        "timeout",
        "503",
    ]);
    let (patience, advice) = if passing {
        (
            Patience::Schedule,
            "the registry may be reachable again later",
        )
    } else if has(&["unauthorized", "denied", "forbidden", "401", "403"]) {
        (
            Patience::Start,
            "allow the nodes to pull it, or set a secret with KubernetesOptions::pull_secret",
        )
    } else {
        (Patience::Start, "correct image, or push it")
    };
    cannot(
        patience,
        format!("nodes cannot pull image {image:?} ({message}); {advice}"),
    )
}

/// The usual cause of a container that does not start.
pub(super) fn hint(message: &str) -> &'static str {
    if message.contains("exec format error") {
        "; the image is built for another processor than the node's"
    } else if message.contains("no such file") || message.contains("not found") {
        "; the program or one of its libraries is not in the image"
    } else {
        ""
    }
}

/// Judges a warning about a pod that has not started; none if it adds nothing to the status.
#[must_use]
pub fn judge_pod_note(reason: &str, message: &str) -> Option<Verdict> {
    // A Secret that is not found does not appear by itself; a volume that is still attached elsewhere is detached in
    // time.
    let patience = match reason {
        "FailedMount" if message.contains("not found") => Patience::Start,
        "FailedMount" | "FailedAttachVolume" | "FailedCreatePodSandBox" => Patience::Schedule,
        _ => return None,
    };
    let advice = match patience {
        Patience::Start => "; create what is missing, or correct KubernetesOptions::secret_file",
        Patience::Schedule => "",
    };
    Some(cannot(
        patience,
        format!("a worker's pod cannot be set up: {message}{advice}"),
    ))
}

/// Judges a warning about a Job that creates no pods; none if it is about something else.
#[must_use]
pub fn judge_job_note(reason: &str, message: &str) -> Option<Verdict> {
    if reason != "FailedCreate" {
        return None;
    }
    // The quota is free again when other pods of the namespace end.
    if message.contains("exceeded quota") {
        return Some(cannot(
            Patience::Schedule,
            format!(
                "a ResourceQuota allows no more pods ({message}); raise it, or ask for fewer workers with max_workers"
            ),
        ));
    }
    let (patience, advice) =
        if message.contains("service account") || message.contains("serviceaccount") {
            (
                Patience::Start,
                "create it, or correct KubernetesOptions::service_account",
            )
        } else {
            (
                Patience::Start,
                "ask the cluster's administrator what it allows",
            )
        };
    Some(cannot(
        patience,
        format!("the cluster refuses workers' pods: {message}; {advice}"),
    ))
}

fn cannot(patience: Patience, reason: String) -> Verdict {
    Verdict::CannotStart { reason, patience }
}
