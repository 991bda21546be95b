//! Pods that do not run yet: the cause, and whether it may pass.

use k8s_openapi::api::core::v1::{ContainerStatus, PodCondition};

use super::options::{
    CONFIG_MAP_ENV, CPU, ENV_FROM_CONFIG_MAP, ENV_FROM_SECRET, IMAGE, INIT_CONTAINER, MEMORY,
    NODE_SELECTOR, PVC, RUN_AS_USER, SECRET_ENV, SECRET_FILE, SIDECAR, TOLERATION, of_resource,
};
use super::{Needs, Patience, Verdict, View, image};

pub(super) fn judge(view: &View<'_>) -> Verdict {
    if let Some(condition) = view.condition("PodScheduled")
        && condition.status == "False"
    {
        return unscheduled(view, condition);
    }
    let Some((word, message)) = view.container.and_then(waits) else {
        return without_container(view);
    };
    let node = view.node();
    let node = node.as_deref().unwrap_or("of the pod");
    let image = view.container.map_or("", |container| &container.image);
    if let Some(verdict) = by_reason(word, message, image, node) {
        return verdict;
    }
    // A container beside it may keep this one from being made.
    if let Some(verdict) = added(view, node) {
        return verdict;
    }
    set_up(view)
}

/// Why a container waits, and the node's words.
fn waits(container: &ContainerStatus) -> Option<(&str, &str)> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    Some((
        waiting.reason.as_deref().unwrap_or_default(),
        waiting.message.as_deref().unwrap_or_default(),
    ))
}

/// The verdict on a pod that has no node, by the scheduler's condition.
fn unscheduled(view: &View<'_>, condition: &PodCondition) -> Verdict {
    let message = condition.message.as_deref().unwrap_or_default();
    match condition.reason.as_deref() {
        // <https://kubernetes.io/docs/concepts/scheduling-eviction/pod-scheduling-readiness/>
        Some("SchedulingGated") => Verdict::Waiting {
            word: format!(
                "held by a scheduling gate: {}; what set it on the pods has to remove it",
                gates(view).unwrap_or_else(|| message.to_owned())
            ),
        },
        Some("Unschedulable") => unplaced(view, message),
        _ => Verdict::Starting,
    }
}

/// The names of the gates, which the condition does not repeat.
fn gates(view: &View<'_>) -> Option<String> {
    let gates = view.pod.spec.as_ref()?.scheduling_gates.as_ref()?;
    let names: Vec<&str> = gates.iter().map(|gate| &*gate.name).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

fn unplaced(view: &View<'_>, message: &str) -> Verdict {
    let own = without_preemption(message);
    let (lack, advice) = lacking(own);
    let reason = format!("{lack} ({own}); {advice}");
    if own.contains(INSUFFICIENT) {
        let needs = Box::new(Needs::of(view.pod, own));
        Verdict::Unplaced { reason, needs }
    } else {
        cannot(Patience::Schedule, reason)
    }
}

const INSUFFICIENT: &str = "Insufficient ";

/// The scheduler's message without its end, which repeats it for pre-emption.
// `0/5 nodes are available: 2 Insufficient cpu. no new claims to deallocate, preemption: 0/5 nodes are available: …`
fn without_preemption(message: &str) -> &str {
    let own = message.split(" preemption:").next().unwrap_or_default();
    own.strip_suffix(" no new claims to deallocate,")
        .unwrap_or(own)
}

/// What nodes lack, by the scheduler's message, and what to do.
fn lacking(message: &str) -> (String, String) {
    let short = resources(message);
    if !short.is_empty() {
        let options: Vec<&str> = short.iter().filter_map(|name| of_resource(name)).collect();
        let with = if options.is_empty() {
            String::new()
        } else {
            format!(" with {}", options.join(" and "))
        };
        return (
            format!("no node has enough {} for a worker", short.join(" and ")),
            format!("ask for less{with}, or add nodes"),
        );
    }
    let others = [
        (
            "didn't match Pod's node affinity/selector",
            "no node has the labels that workers ask for",
            format!("correct {NODE_SELECTOR}, or label nodes"),
        ),
        (
            "untolerated taint",
            "every node has a taint that keeps workers off",
            format!("tolerate the taint with {TOLERATION}, or add nodes without it"),
        ),
        (
            "were unschedulable",
            "every node is cordoned",
            "`kubectl uncordon` a node, or add nodes".to_owned(),
        ),
        (
            "Too many pods",
            "no node has a place for one more pod",
            "add nodes, or ask for fewer workers with more slots_per_worker".to_owned(),
        ),
        (
            "persistentvolumeclaim",
            "a volume of the workers is not there",
            format!("create the claim, wait until it is bound, or correct {PVC}"),
        ),
    ];
    let known = others
        .into_iter()
        .find(|(words, ..)| message.contains(words));
    let room = || {
        let advice = format!("ask for less with {CPU} and {MEMORY}, or add nodes");
        ("no node has room for a worker".to_owned(), advice)
    };
    known.map_or_else(room, |(_, lack, advice)| (lack.to_owned(), advice))
}

/// The resources of which nodes have too little, each once, in the order of their names.
fn resources(message: &str) -> Vec<&str> {
    let parts = message.split(INSUFFICIENT).skip(1);
    let names = parts.filter_map(|rest| rest.split([',', ' ']).next());
    let mut names: Vec<&str> = names.map(|name| name.trim_end_matches('.')).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Whether the node has begun with a pod of which no container is reported yet.
fn without_container(view: &View<'_>) -> Verdict {
    // The kubelet sets the start time when it takes the pod, before it pulls the image.
    // <https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#PodStatus>
    let status = view.pod.status.as_ref();
    match status.and_then(|status| status.start_time.as_ref()) {
        None if view.is("PodScheduled", "True") => Verdict::Assigned,
        _ => set_up(view),
    }
}

/// The kubelet mounts all volumes, then makes the pod's network, and then sets this condition.
/// <https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-has-network>
fn set_up(view: &View<'_>) -> Verdict {
    if view.is("PodReadyToStartContainers", "True") {
        Verdict::SetUp
    } else {
        Verdict::Starting
    }
}

/// The verdict by the reason that a node reports for a waiting container; none while nothing is wrong.
// The API does not define these reasons: the kubelet chooses them, so an unknown one counts as a start.
fn by_reason(word: &str, message: &str, image: &str, node: &str) -> Option<Verdict> {
    Some(match word {
        "ErrImagePull"
        | "ImagePullBackOff"
        | "RegistryUnavailable"
        | "SignatureValidationFailed" => image::pull(message, image),
        "InvalidImageName" => image::misnamed(message, image),
        "ErrImageNeverPull" => image::never(message, image, node),
        "ImageInspectError" => image::unreadable(message, image, node),
        "CreateContainerConfigError" => misconfigured(message, image),
        "CreateContainerError"
        | "RunContainerError"
        | "PreCreateHookError"
        | "PreStartHookError"
        | "PostStartHookError" => not_made(message, image, node),
        // ContainerCreating, PodInitializing, and reasons that later versions add.
        _ => return None,
    })
}

/// A Secret, a ConfigMap, a key or a user is missing. The kubelet tries again, so the container starts once the object
/// exists.
fn misconfigured(message: &str, image: &str) -> Verdict {
    let lower = message.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if has(&["runasnonroot", "non-numeric user"]) {
        let reason = format!(
            "the image runs as a user that pods may not have: {image:?} ({message}); give it a USER with a number other than 0 ({IMAGE}), or set {RUN_AS_USER}"
        );
        return cannot(Patience::Final, reason);
    }
    // A key is named by the variable that takes it; an object that is not there, by either kind of option.
    let (what, option) = if has(&["couldn't find key", "non-existent"]) && has(&["configmap"]) {
        ("a key of a ConfigMap is missing", CONFIG_MAP_ENV.to_owned())
    } else if has(&["couldn't find key", "non-existent"]) {
        ("a key of a Secret is missing", SECRET_ENV.to_owned())
    } else if has(&["not found"]) && has(&["configmap"]) {
        let options = format!("{ENV_FROM_CONFIG_MAP} or {CONFIG_MAP_ENV}");
        ("a ConfigMap is missing", options)
    } else if has(&["not found"]) && has(&["secret"]) {
        let options = format!("{ENV_FROM_SECRET} or {SECRET_ENV}");
        ("a Secret is missing", options)
    } else {
        let reason = format!(
            "the settings of a worker cannot be read: {message}; create what is missing, or correct {ENV_FROM_SECRET}, {SECRET_FILE} or {IMAGE}"
        );
        return cannot(Patience::Start, reason);
    };
    cannot(
        Patience::SecondLook,
        format!(
            "{what}: {message}; create it in the namespace of the workers, or correct {option}"
        ),
    )
}

fn not_made(message: &str, image: &str, node: &str) -> Verdict {
    let known = unstartable(message, image, node);
    let patience = if known.is_some() {
        Patience::Final
    } else {
        Patience::Node
    };
    let what = known.unwrap_or_else(|| format!("look at node {node}, or run the image elsewhere"));
    cannot(
        patience,
        format!("a worker's container cannot be started: {message}; {what}"),
    )
}

/// Why no container of this image can start on this node, and what to do; none if the words are of something else.
pub(super) fn unstartable(message: &str, image: &str, node: &str) -> Option<String> {
    let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if has(&["exec format error"]) {
        return Some(format!(
            "the image {image:?} is built for another architecture than that of node {node}, which `kubectl get node {node} -L kubernetes.io/arch` shows: build it for that one too ({IMAGE}), or choose nodes with {NODE_SELECTOR}(\"kubernetes.io/arch\", …)"
        ));
    }
    if has(&["no such file or directory", "executable file not found"]) {
        return Some(format!(
            "the executable, or the loader that it needs, is not in the image {image:?}: correct its ENTRYPOINT, or {IMAGE}"
        ));
    }
    has(&["permission denied"]).then(|| {
        format!("the executable in the image {image:?} may not be run by the workers' user: make it executable for all, or correct {IMAGE}")
    })
}

/// The trouble of a container that is not the worker's: an admission webhook of the cluster, or the user, added it.
// An init container that fails ends the pod, and is judged there.
fn added(view: &View<'_>, node: &str) -> Option<Verdict> {
    let status = view.pod.status.as_ref()?;
    let init = status.init_container_statuses.iter().flatten();
    let mut all = init.chain(status.container_statuses.iter().flatten());
    all.find_map(|container| {
        let (word, message) = waits(container)?;
        let verdict = by_reason(word, message, &container.image, node)?;
        let Verdict::CannotStart { patience, .. } = verdict else {
            return Some(verdict);
        };
        let reason = format!(
            "a container beside the worker's does not start: {:?}: {word}: {message}; a webhook of the cluster adds it, or {SIDECAR} or {INIT_CONTAINER} does",
            container.name
        );
        Some(cannot(patience, reason))
    })
}

pub(super) fn cannot(patience: Patience, reason: String) -> Verdict {
    Verdict::CannotStart { reason, patience }
}
