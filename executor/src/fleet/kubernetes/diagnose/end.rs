//! Pods that have ended: lost, drained, crashed, or out of memory.

use std::time::{Duration, SystemTime};

use k8s_openapi::api::core::v1::ContainerStateTerminated;
use podpool_core::fleet::End;
use podpool_core::outcome::Exit;
use podpool_core::size::size;

use super::super::job::FATAL_EXITS;
use super::super::termination_message::TerminationMessage;
use super::{Gone, View, waiting};

/// A worker that ends this soon after its start counts as an early end.
// Longer than a program needs to load, reach its queue and greet; the default start timeout has the same length.
const BRIEF: Duration = Duration::from_secs(60);
/// The exit code of a worker that could not reach its queue, or whose slots do not start: another node may be better.
const TEMPORARY: i32 = 75;
/// Exit codes with which a worker exits on its own decision.
const LEAVES: [i32; 4] = [0, TEMPORARY, 83, 143];
/// Container runtimes report a signal as 128 plus its number, as shells do.
const BY_SIGNAL: i32 = 128;

/// How the pod ended, if it did.
pub(super) fn gone(view: &View<'_>) -> Option<Gone> {
    let state = view.container.and_then(|one| one.state.as_ref());
    if let Some(ended) = state.and_then(|state| state.terminated.as_ref()) {
        return Some(terminated(view, ended));
    }
    // No container has ever run, or its state is not known: the node rejected the pod, or the pod was deleted.
    let phase = view.phase();
    let over = phase == "Failed" || phase == "Succeeded" || view.context.removed;
    // The end of a container on a silent node is never reported, and the deletion proves that the cluster has given the
    // pod up: by default it deletes the pods of a node 300 s after the node became unreachable.
    // <https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/#taint-based-evictions>
    let given_up = view.context.silent && view.pod.metadata.deletion_timestamp.is_some();
    (over || given_up).then(|| Gone {
        end: End::Lost,
        reason: loss(view).unwrap_or_else(|| "it ended, and its exit status is unknown".to_owned()),
        node: view.node(),
        at: None,
        running: Vec::new(),
        fatal: false,
        brief: false,
        by_itself: false,
    })
}

fn terminated(view: &View<'_>, ended: &ContainerStateTerminated) -> Gone {
    let words = TerminationMessage::read(ended.message.as_deref().unwrap_or_default());
    let (end, what) = judge(view, ended);
    let message = if words.text.is_empty() {
        String::new()
    } else {
        format!(": {}", words.text)
    };
    let at = ended
        .finished_at
        .as_ref()
        .map(|time| SystemTime::from(time.0));
    // A worker's own exit code counts only without a disruption: a pod that is evicted also exits with 143.
    let by_itself = match end {
        End::Died(_) | End::OutOfMemory(_) => true,
        _ => LEAVES.contains(&ended.exit_code) && loss(view).is_none(),
    };
    Gone {
        fatal: matches!(end, End::Died(Exit::Code(code)) if FATAL_EXITS.contains(&code)),
        end,
        reason: format!("{what}{message}"),
        node: view.node(),
        at,
        running: words.running,
        brief: brief(ended),
        by_itself,
    }
}

/// Whether the container ran for less than [`BRIEF`]. Both times are of one node's clock. A container that never
/// started has no time to compare, and counts as brief.
fn brief(ended: &ContainerStateTerminated) -> bool {
    match (&ended.started_at, &ended.finished_at) {
        (Some(start), Some(end)) if start.0.as_second() > 0 => {
            end.0.duration_since(start.0).unsigned_abs() < BRIEF
        }
        _ => true,
    }
}

fn judge(view: &View<'_>, ended: &ContainerStateTerminated) -> (End, String) {
    let code = ended.exit_code;
    let word = ended.reason.as_deref().unwrap_or_default();
    let out_of_memory = word == "OOMKilled";
    // If the kernel kills a child of the worker alone, the container is marked OOMKilled although the worker may exit
    // with 0. With cgroup v2 the kubelet makes the kernel kill all processes together, unless `singleProcessOOMKill` is
    // set.
    // <https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/>
    if code == 0 && !out_of_memory {
        return (End::Left, "it left (exit code 0)".to_owned());
    }
    // Before everything else: a disrupted pod may show any exit code, 137 or OOMKilled among them, without the task
    // being at fault. <https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions>
    if let Some(reason) = loss(view) {
        return (End::Lost, format!("{reason} ({})", exit(code)));
    }
    if out_of_memory {
        let limit = memory_limit(view);
        let at = limit.map_or_else(String::new, |bytes| {
            format!(" at its limit of {}", size(bytes))
        });
        let reason = format!("it ran out of memory{at} (OOMKilled, exit code {code})");
        return (End::OutOfMemory(limit), reason);
    }
    by_code(word, code, ended.message.as_deref().unwrap_or_default())
}

/// The end of a container by the reason that its node reports, and its exit code.
fn by_code(word: &str, code: i32, message: &str) -> (End, String) {
    match (word, code) {
        // The reasons that a node reports for containers whose state it has lost.
        ("ContainerStatusUnknown" | "Unknown", _) => (
            End::Lost,
            format!("its node lost track of it ({word}, {})", exit(code)),
        ),
        ("StartError" | "ContainerCannotRun", _) => {
            let hint = waiting::hint(message);
            (
                End::Died(Exit::Code(code)),
                format!("its program cannot be started{hint}"),
            )
        }
        (_, TEMPORARY) => (
            End::Lost,
            "it could not do its work (exit code 75)".to_owned(),
        ),
        (_, 83) => (
            End::Left,
            "it exited to be replaced (exit code 83)".to_owned(),
        ),
        (_, 143) => (
            End::Lost,
            "it was stopped with SIGTERM (exit code 143)".to_owned(),
        ),
        _ => (End::Died(exit(code)), format!("it died: {}", exit(code))),
    }
}

/// Why the pod is lost rather than dead, if it is.
fn loss(view: &View<'_>) -> Option<String> {
    // The condition is set before the pod is deleted or its containers are killed, so it is in the last status too.
    if let Some(target) = view.condition("DisruptionTarget")
        && target.status == "True"
    {
        let message = target.message.as_deref().unwrap_or_default();
        return Some(match target.reason.as_deref().unwrap_or_default() {
            "PreemptionByScheduler" | "PreemptionByKubeScheduler" => {
                "pre-empted by a pod of higher priority".to_owned()
            }
            "DeletionByTaintManager" => "its node was tainted or not ready".to_owned(),
            "EvictionByEvictionAPI" => "evicted: its node is being drained".to_owned(),
            "DeletionByPodGC" => "its node is gone".to_owned(),
            "TerminationByKubelet" => format!("stopped by its node: {message}"),
            other => format!("disrupted ({other}): {message}"),
        });
    }
    let status = view.pod.status.as_ref();
    let reason = status.and_then(|status| status.reason.as_deref());
    let message = status.and_then(|status| status.message.as_deref());
    let message = message.unwrap_or_default();
    match reason {
        // A node evicts a pod that used more disk than its limit: the pod's own tasks are the cause, so it is no loss.
        // An eviction by pressure on the node may have any pod as its victim.
        // <https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/>
        Some("Evicted") if message.contains("exceeds") => None,
        Some("Evicted") => Some(format!("evicted: {message}")),
        Some("NodeLost") => Some("its node is gone".to_owned()),
        Some("Terminated" | "Shutdown" | "NodeShutdown") => {
            Some(format!("its node was shut down: {message}"))
        }
        // Admission by the kubelet failed (OutOfcpu, NodeAffinity and the like): no container was ever made.
        Some(word) if view.container.is_none() => {
            Some(format!("its node rejected it ({word}): {message}"))
        }
        _ if view.context.silent => Some("its node fell silent".to_owned()),
        _ if view.pod.metadata.deletion_timestamp.is_some() => Some("deleted".to_owned()),
        _ if view.context.removed => Some("removed".to_owned()),
        _ => None,
    }
}

fn exit(code: i32) -> Exit {
    match code - BY_SIGNAL {
        // Linux has the signals 1 to 64; a larger number is an exit code of the program.
        signal @ 1..=64 => Exit::Signal(signal),
        _ => Exit::Code(code),
    }
}

/// The memory limit of the pod, in bytes.
fn memory_limit(view: &View<'_>) -> Option<u64> {
    let spec = view.pod.spec.as_ref()?;
    let container = spec
        .containers
        .iter()
        .find(|one| one.name == super::super::job::CONTAINER)?;
    let limit = container
        .resources
        .as_ref()?
        .limits
        .as_ref()?
        .get("memory")?;
    super::super::spec::parse_bytes(&limit.0).ok()
}
