//! Pods that have ended: drained, crashed, or out of memory. `loss` has those that are lost without a fault of theirs.

use std::time::{Duration, SystemTime};

use k8s_openapi::api::core::v1::ContainerStateTerminated;
use podpool_core::fleet::End;
use podpool_core::outcome::Exit;
use podpool_core::size::size;

use super::super::job::{CONTAINER, FATAL_EXITS};
use super::super::termination_message::TerminationMessage;
use super::loss::{loss, own_disk};
use super::options::{INIT_CONTAINER, MEMORY, SCRATCH};
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
    (over || given_up).then(|| {
        let lost = loss(view).or_else(|| own_disk(view).map(disk_full));
        // No task ran. It counts as an early end, because the next pod mostly ends in the same way.
        let failed = if lost.is_none() {
            failed_before(view)
        } else {
            None
        };
        let never_began = failed.is_some();
        let unknown = || "it ended, and its exit status is unknown".to_owned();
        Gone {
            end: End::Lost,
            reason: lost.or(failed).unwrap_or_else(unknown),
            node: view.node(),
            at: None,
            running: Vec::new(),
            fatal: false,
            brief: never_began,
            by_itself: never_began,
        }
    })
}

/// The init container that failed before the worker could begin, if one did.
fn failed_before(view: &View<'_>) -> Option<String> {
    let status = view.pod.status.as_ref()?;
    let mut all = status.init_container_statuses.iter().flatten();
    all.find_map(|container| {
        let ended = container.state.as_ref()?.terminated.as_ref()?;
        let message = TerminationMessage::read(ended.message.as_deref().unwrap_or_default()).text;
        let message = if message.is_empty() { message } else { format!(": {message}") };
        (ended.exit_code != 0).then(|| {
            format!(
                "an init container of the worker's pod failed: {:?} ended with {}{message}; a webhook of the cluster adds it, or {INIT_CONTAINER} does",
                container.name,
                exit(ended.exit_code)
            )
        })
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
    if let Some(message) = own_disk(view) {
        return (
            End::Died(exit(code)),
            format!("{} ({})", disk_full(message), exit(code)),
        );
    }
    if out_of_memory {
        return oom(view, code);
    }
    by_code(view, ended)
}

fn disk_full(message: &str) -> String {
    format!(
        "it used more disk than it may: {}; raise {SCRATCH}, or write less",
        message.trim().trim_end_matches('.')
    )
}

fn oom(view: &View<'_>, code: i32) -> (End, String) {
    let limit = memory_limit(view);
    let at = limit.map_or_else(String::new, |bytes| {
        format!(" at its limit of {}", size(bytes))
    });
    // The kernel killed a slot alone, and the worker ended in order.
    let who = if code == 0 { "a process of it" } else { "it" };
    let reason = format!(
        "{who} ran out of memory{at} (OOMKilled, exit code {code}); raise {MEMORY}, or run fewer tasks at a time with slots_per_worker"
    );
    (End::OutOfMemory(limit), reason)
}

/// The end of a container by the reason that its node reports, and its exit code.
fn by_code(view: &View<'_>, ended: &ContainerStateTerminated) -> (End, String) {
    let code = ended.exit_code;
    let word = ended.reason.as_deref().unwrap_or_default();
    let message = ended.message.as_deref().unwrap_or_default();
    let died = |what: String| (End::Died(exit(code)), what);
    match (word, code) {
        // The reasons that a node reports for containers whose state it has lost.
        ("ContainerStatusUnknown" | "Unknown", _) => (
            End::Lost,
            format!("its node lost track of it ({word}, {})", exit(code)),
        ),
        ("StartError" | "ContainerCannotRun", _) => (
            End::Died(Exit::Code(code)),
            format!("its program cannot be started{}", hint(view, message)),
        ),
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
        (_, 137) => died(format!(
            "it died: {}, and not by its memory limit: its grace was over, a probe failed, or its node ran out of memory",
            exit(code)
        )),
        (_, 101) => died("it died: a panic outside of a task (exit code 101)".to_owned()),
        // Kernels refuse a file of another architecture only when it is executed; the shell or the runtime then exits
        // with 1 or 255, and its words are the end of the log.
        (_, 1 | 126 | 255) if message.contains("exec format error") => died(format!(
            "its program cannot be started{}",
            hint(view, message)
        )),
        (_, 64 | 65 | 77 | 78) => died(format!("it died: {}, {}", exit(code), fatal(code))),
        _ => died(format!("it died: {}", exit(code))),
    }
}

/// What a worker means by an exit code that holds for all workers.
const fn fatal(code: i32) -> &'static str {
    match code {
        64 => "the arguments of the program are wrong",
        65 => "it has other tasks or another wire format than the master",
        77 => "it may not use its queues",
        _ => "its settings are wrong",
    }
}

fn hint(view: &View<'_>, message: &str) -> String {
    let node = view.node();
    let node = node.as_deref().unwrap_or("of the pod");
    let image = view.container.map_or("", |container| &container.image);
    let hint = waiting::unstartable(message, image, node);
    hint.map_or_else(String::new, |hint| format!("; {hint}"))
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
    let container = spec.containers.iter().find(|one| one.name == CONTAINER)?;
    let limit = container
        .resources
        .as_ref()?
        .limits
        .as_ref()?
        .get("memory")?;
    super::super::spec::parse_bytes(&limit.0).ok()
}
