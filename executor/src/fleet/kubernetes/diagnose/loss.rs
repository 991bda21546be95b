//! Pods that are lost without a fault of their tasks: disrupted, evicted, rejected, deleted, on a node that is gone.

use super::View;
use super::options::{MEMORY, RUN_DEADLINE, SCRATCH};

/// Why the pod is lost rather than dead, if it is.
pub(super) fn loss(view: &View<'_>) -> Option<String> {
    if own_disk(view).is_some() {
        return None;
    }
    // The pod's own reason is the most precise, and stands beside the condition.
    by_reason(view)
        .or_else(|| by_condition(view))
        .or_else(|| by_circumstances(view))
}

/// The kubelet's words about a pod that used more disk than its limit.
// A node evicts such a pod, and no condition marks it as disrupted: its own tasks are the cause, so it is no loss. An
// eviction by pressure on the node may have any pod as its victim.
// <https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/>
pub(super) fn own_disk<'a>(view: &View<'a>) -> Option<&'a str> {
    let status = view.pod.status.as_ref()?;
    let message = status.message.as_deref().unwrap_or_default();
    // `Usage of EmptyDir volume "tmp" exceeds the limit "1Gi".`, `Pod ephemeral local storage usage exceeds the total
    // limit of containers 1Gi.`, `Container worker exceeded its local ephemeral storage limit "1Gi".`
    let own = message.contains(" exceeds the ") || message.contains(" exceeded its ");
    (status.reason.as_deref() == Some("Evicted") && own).then_some(message)
}

/// By the reason that the kubelet writes into the pod's status.
fn by_reason(view: &View<'_>) -> Option<String> {
    let status = view.pod.status.as_ref()?;
    let reason = status.reason.as_deref()?;
    let message = status.message.as_deref().unwrap_or_default();
    let message = message.trim().trim_end_matches('.');
    match reason {
        "Evicted" if message.contains("had condition") => Some(format!(
            "its node rejected it: {message}; another node may take the next one"
        )),
        "Evicted" => Some(evicted(message)),
        "NodeLost" => Some("its node is gone".to_owned()),
        // Graceful shutdown: <https://kubernetes.io/docs/concepts/cluster-administration/node-shutdown/>
        "Terminated" | "Shutdown" | "NodeShutdown" => {
            Some(format!("its node was shut down: {message}"))
        }
        "Preempting" => Some(format!(
            "pre-empted by its node for a critical pod: {message}"
        )),
        // podpool sets no deadline of pods: a task is not at fault, whatever the exit code.
        "DeadlineExceeded" => Some(format!(
            "its pod has a deadline that podpool does not set, and it has passed: {message}; a policy of the cluster sets it; the run's own is {RUN_DEADLINE}"
        )),
        // Admission by the kubelet failed (OutOfcpu, NodeAffinity and the like): no container was ever made.
        word if never_ran(view) => Some(format!("its node rejected it: {word}: {message}")),
        _ => None,
    }
}

fn never_ran(view: &View<'_>) -> bool {
    let state = view.container.and_then(|one| one.state.as_ref());
    state.is_none_or(|state| state.running.is_none() && state.terminated.is_none())
}

/// An eviction under pressure of the node.
fn evicted(message: &str) -> String {
    if message.contains("resource: memory") {
        format!(
            "evicted, because its node ran out of memory: {message}; pods there use more than they ask for: if workers do, raise {MEMORY}"
        )
    } else if message.contains("resource: ephemeral-storage") {
        format!(
            "evicted, because its node ran out of disk: {message}; if workers fill it, ask for their share with {SCRATCH}"
        )
    } else {
        format!("evicted: {message}")
    }
}

/// The condition is set before the pod is deleted or its containers are killed, so it is in the last status too.
/// <https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions>
fn by_condition(view: &View<'_>) -> Option<String> {
    let target = view.condition("DisruptionTarget")?;
    if target.status != "True" {
        return None;
    }
    let message = target.message.as_deref().unwrap_or_default();
    Some(match target.reason.as_deref().unwrap_or_default() {
        "PreemptionByScheduler" | "PreemptionByKubeScheduler" => {
            "pre-empted by a pod of higher priority".to_owned()
        }
        "DeletionByTaintManager" => "its node was tainted or not ready".to_owned(),
        "EvictionByEvictionAPI" => "evicted: its node is being drained".to_owned(),
        "DeletionByPodGC" => "its node is gone".to_owned(),
        "TerminationByKubelet" => format!("stopped by its node: {message}"),
        other => format!("disrupted ({other}): {message}"),
    })
}

fn by_circumstances(view: &View<'_>) -> Option<String> {
    if view.context.silent {
        Some("its node fell silent".to_owned())
    } else if view.pod.metadata.deletion_timestamp.is_some() {
        Some("deleted".to_owned())
    } else if view.context.removed {
        Some("removed".to_owned())
    } else {
        None
    }
}
