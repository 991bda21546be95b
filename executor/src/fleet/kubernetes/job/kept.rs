//! What podpool needs of a pod, and what neither a template nor a change of the program may take away.

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use serde_json::{Value, json};

use super::super::spec::names::{is_ours, is_within};
use super::{CONTAINER, RUN_DIR};

/// Where workers write what the fleet reads of a pod that has ended.
const TERMINATION_LOG: &str = "/dev/termination-log";

/// Something of a pod that must stay as podpool makes it.
pub(super) struct Kept {
    /// Its path in a pod, for people.
    pub(super) path: &'static str,
    /// What it is for, and what to do instead.
    pub(super) why: &'static str,
    /// Whether a template may set it.
    by_template: bool,
    /// Its value.
    value: fn(&Pod) -> Value,
}

const KEPT: [Kept; 14] = [
    Kept {
        path: "metadata.labels",
        why: "labels of podpool.dev and app.kubernetes.io/managed-by tell the fleet its own pods; set other labels",
        by_template: false,
        value: |pod| ours(pod.metadata.labels.as_ref()),
    },
    Kept {
        path: "metadata.annotations",
        why: "annotations of podpool.dev tell the fleet its own pods; set other annotations",
        by_template: false,
        value: |pod| ours(pod.metadata.annotations.as_ref()),
    },
    Kept {
        path: "metadata.namespace",
        why: "pods are in the namespace of their Job; use the option namespace",
        by_template: false,
        value: |pod| json!(pod.metadata.namespace),
    },
    Kept {
        path: "spec.restartPolicy",
        why: "the Job's policy for failures needs Never, and a restarted container would be another worker of the same name",
        by_template: false,
        value: |pod| of_spec(pod, |spec| json!(spec.restart_policy)),
    },
    Kept {
        path: "spec.terminationGracePeriodSeconds",
        why: "workers plan their end by it; use the option grace",
        by_template: false,
        value: |pod| of_spec(pod, |spec| json!(spec.termination_grace_period_seconds)),
    },
    Kept {
        path: "spec.containers[worker]",
        why: "one container of this name is the worker",
        by_template: false,
        value: |pod| of_spec(pod, |spec| json!(workers(spec).count())),
    },
    Kept {
        path: "spec.containers[worker].image",
        why: "use the option image",
        by_template: true,
        value: |pod| of_worker(pod, |worker| json!(worker.image)),
    },
    Kept {
        path: "spec.containers[worker].command",
        why: "the worker is the image's entrypoint, which must be this program; change the image",
        by_template: false,
        value: |pod| of_worker(pod, |worker| json!([worker.command, worker.args])),
    },
    Kept {
        path: "spec.containers[worker].env",
        why: "variables that begin with PODPOOL_ tell the worker its run; set other variables",
        by_template: false,
        value: |pod| of_worker(pod, variables),
    },
    Kept {
        path: "spec.containers[worker].volumeMounts",
        why: "the run's secret is at /etc/podpool/run, and nothing else at or below /etc/podpool; use another path",
        by_template: false,
        value: |pod| of_worker(pod, mounts),
    },
    Kept {
        path: "spec.containers[worker].restartPolicy",
        why: "a restarted container would be another worker of the same name",
        by_template: false,
        value: |pod| {
            of_worker(pod, |it| {
                json!([it.restart_policy, it.restart_policy_rules])
            })
        },
    },
    Kept {
        path: "spec.containers[worker].terminationMessagePath",
        why: "workers write there which tasks they run",
        by_template: false,
        value: |pod| {
            of_worker(pod, |worker| {
                let path = worker.termination_message_path.as_deref();
                json!(path.unwrap_or(TERMINATION_LOG))
            })
        },
    },
    Kept {
        path: "spec.containers[worker].terminationMessagePolicy",
        why: "the end of the log explains a worker that wrote nothing",
        by_template: false,
        value: |pod| of_worker(pod, |worker| json!(worker.termination_message_policy)),
    },
    Kept {
        path: "spec.volumes[run]",
        why: "it is the run's secret; give the other volume another name",
        by_template: false,
        value: |pod| {
            of_spec(pod, |spec| {
                let all = spec.volumes.iter().flatten();
                let run: Vec<_> = all.filter(|volume| volume.name == "run").collect();
                json!(run)
            })
        },
    },
];

/// The first thing that a template took away: `plain` is the pod without it, `made` the pod with it.
pub(super) fn changed_by_template(plain: &Pod, made: &Pod) -> Option<&'static Kept> {
    let mut kept = KEPT.iter().filter(|kept| !kept.by_template);
    kept.find(|kept| (kept.value)(plain) != (kept.value)(made))
}

/// The first thing that a change of the program took away.
pub(super) fn changed_by_patch(before: &Pod, after: &Pod) -> Option<&'static Kept> {
    KEPT.iter()
        .find(|kept| (kept.value)(before) != (kept.value)(after))
}

fn ours(all: Option<&std::collections::BTreeMap<String, String>>) -> Value {
    let all = all.into_iter().flatten();
    json!(
        all.filter(|(key, _)| is_ours(key))
            .collect::<Vec<(&String, &String)>>()
    )
}

fn of_spec(pod: &Pod, value: impl Fn(&PodSpec) -> Value) -> Value {
    pod.spec.as_ref().map_or(Value::Null, value)
}

fn workers(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    spec.containers.iter().filter(|one| one.name == CONTAINER)
}

fn of_worker(pod: &Pod, value: impl Fn(&Container) -> Value) -> Value {
    of_spec(pod, |spec| workers(spec).next().map_or(Value::Null, &value))
}

/// The fleet's variables. Of two with one name the last would count.
fn variables(worker: &Container) -> Value {
    let all = worker.env.iter().flatten();
    let own: Vec<_> = all.filter(|it| it.name.starts_with("PODPOOL_")).collect();
    // A prefix of variables from a secret could make more of them.
    let from = worker.env_from.iter().flatten();
    let prefixes: Vec<_> = from
        .filter_map(|from| from.prefix.as_deref())
        .filter(|prefix| prefix.starts_with("PODPOOL_"))
        .collect();
    json!([own, prefixes])
}

fn mounts(worker: &Container) -> Value {
    let all = worker.volume_mounts.iter().flatten();
    let own: Vec<_> = all
        .filter(|it| {
            is_within(&it.mount_path, "/etc/podpool") || is_within(RUN_DIR, &it.mount_path)
        })
        .collect();
    json!(own)
}
