//! What the pod's processes may do. The defaults satisfy the restricted Pod Security Standard; without its fields an
//! enforcing namespace refuses the pod.
//! <https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted>

use k8s_openapi::api::core::v1::{Capabilities, SeccompProfile};

use super::super::draft::Draft;
use super::super::given::{fill, fill_list, flag, number, seccomp, words};
use super::super::row::{Check, Row, Wrong, list, one};
use crate::fleet::worker_spec::{Seccomp, WorkerSpec};

/// The user that workers run as. A number, so that a node can prove that it is not root.
// The user `nonroot` of distroless images.
// <https://github.com/GoogleContainerTools/distroless/blob/main/common/variables.bzl>
const USER: i64 = 65_532;
/// The largest number of a user or a group, as the API has it: `IsValidUserID` and `IsValidGroupID`.
// <https://github.com/kubernetes/apimachinery/blob/v0.34.0/pkg/util/validation/validation.go>
const MOST: u32 = i32::MAX as u32;

pub(super) const ROWS: [Row; 7] = [
    Row::new(
        "run_as_user",
        "PODPOOL_RUN_AS_USER",
        "run_as_user",
        |spec, given| fill(&mut spec.run_as_user, given, number),
    )
    .or("65532")
    .at("/spec/securityContext/runAsUser")
    .check(|spec| identity(spec.run_as_user))
    .shown(|spec| one(spec.run_as_user.as_ref(), u32::to_string))
    .write(write_user),
    Row::new(
        "run_as_group",
        "PODPOOL_RUN_AS_GROUP",
        "run_as_group",
        |spec, given| fill(&mut spec.run_as_group, given, number),
    )
    .or("65532")
    .at("/spec/securityContext/runAsGroup")
    .check(|spec| identity(spec.run_as_group))
    .shown(|spec| one(spec.run_as_group.as_ref(), u32::to_string))
    .write(|spec, draft| {
        let pod = draft.pod_security();
        match spec.run_as_group {
            Some(group) => pod.run_as_group = Some(i64::from(group)),
            None => {
                pod.run_as_group.get_or_insert(USER);
            }
        }
    }),
    Row::new("fs_group", "PODPOOL_FS_GROUP", "fs_group", |spec, given| {
        fill(&mut spec.fs_group, given, number)
    })
    .at("/spec/securityContext/fsGroup")
    .check(|spec| identity(spec.fs_group))
    .shown(|spec| one(spec.fs_group.as_ref(), u32::to_string))
    .write(write_fs_group),
    Row::new(
        "read_only_root",
        "PODPOOL_READ_ONLY_ROOT",
        "read_only_root",
        |spec, given| fill(&mut spec.read_only_root, given, flag),
    )
    .or("true")
    .at("/spec/containers/worker/securityContext/readOnlyRootFilesystem")
    .shown(|spec| one(spec.read_only_root.as_ref(), bool::to_string))
    .write(|spec, draft| {
        let worker = draft.worker_security();
        // A user's program that asks for more than it was given fails at once, and not when it is attacked.
        worker.allow_privilege_escalation.get_or_insert(false);
        match spec.read_only_root {
            Some(set) => worker.read_only_root_filesystem = Some(set),
            // Tasks write to /tmp, which is a volume of the pod.
            None => {
                worker.read_only_root_filesystem.get_or_insert(true);
            }
        }
    }),
    Row::new("seccomp", "PODPOOL_SECCOMP", "seccomp", |spec, given| {
        fill(&mut spec.seccomp, given, seccomp)
    })
    .or("RuntimeDefault")
    .at("/spec/securityContext/seccompProfile/type")
    .check(|spec| match &spec.seccomp {
        // The kubelet looks below its own directory alone.
        Some(Seccomp::Localhost(path))
            if path.is_empty() || path.starts_with('/') || path.split('/').any(|it| it == "..") =>
        {
            let reason =
                "use a relative path without '..', below the kubelet's directory of profiles";
            Err(Wrong::new(path, reason))
        }
        _ => Ok(()),
    })
    .shown(|spec| {
        one(spec.seccomp.as_ref(), |profile| {
            let SeccompProfile {
                type_,
                localhost_profile,
            } = seccomp_profile(profile);
            localhost_profile.map_or(type_, |path| format!("Localhost/{path}"))
        })
    })
    .write(|spec, draft| {
        let pod = draft.pod_security();
        match &spec.seccomp {
            Some(profile) => pod.seccomp_profile = Some(seccomp_profile(profile)),
            None => {
                let default = || seccomp_profile(&Seccomp::RuntimeDefault);
                pod.seccomp_profile.get_or_insert_with(default);
            }
        }
    }),
    Row::new(
        "drop_capabilities",
        "PODPOOL_DROP_CAPABILITIES",
        "drop_capabilities",
        |spec, given| fill(&mut spec.drop_capabilities, given, words),
    )
    .or("ALL")
    .at("/spec/containers/worker/securityContext/capabilities/drop")
    .check(|spec| capabilities(spec.drop_capabilities.as_deref().unwrap_or_default()))
    .shown(|spec| one(spec.drop_capabilities.as_ref(), |names| names.join(",")))
    .write(|spec, draft| {
        let worker = draft.worker_security().capabilities.get_or_insert_default();
        match &spec.drop_capabilities {
            Some(names) => worker.drop = Some(names.clone()).filter(|names| !names.is_empty()),
            None => {
                worker.drop.get_or_insert_with(|| vec!["ALL".to_owned()]);
            }
        }
    }),
    Row::new(
        "add_capability",
        "PODPOOL_ADD_CAPABILITIES",
        "add_capabilities",
        |spec, given| fill_list(&mut spec.add_capabilities, given, words),
    )
    .at("/spec/containers/worker/securityContext/capabilities/add")
    .check(|spec| capabilities(&spec.add_capabilities))
    .shown(|spec| list(&spec.add_capabilities, Clone::clone))
    .write(|spec, draft| {
        if !spec.add_capabilities.is_empty() {
            let worker = draft.worker_security();
            let Capabilities { add, .. } = worker.capabilities.get_or_insert_default();
            add.get_or_insert_default()
                .extend(spec.add_capabilities.iter().cloned());
        }
    }),
];

fn identity(number: Option<u32>) -> Check {
    match number {
        Some(number) if number > MOST => Err(Wrong::new(number, "use 0 to 2147483647")),
        _ => Ok(()),
    }
}

/// Capabilities have the names of Linux, without `CAP_`.
/// <https://kubernetes.io/docs/tasks/configure-pod-container/security-context/#set-capabilities-for-a-container>
fn capabilities(names: &[String]) -> Check {
    let sound = |name: &&String| {
        !name.is_empty()
            && !name.starts_with("CAP_")
            && name
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
    };
    match names.iter().find(|name| !sound(name)) {
        Some(wrong) => Err(Wrong::new(
            wrong,
            "use names such as ALL, NET_BIND_SERVICE or SYS_PTRACE, without CAP_",
        )),
        None => Ok(()),
    }
}

fn write_user(spec: &WorkerSpec, draft: &mut Draft) {
    let pod = draft.pod_security();
    match spec.run_as_user {
        Some(user) => {
            pod.run_as_user = Some(i64::from(user));
            // A node refuses root in a pod that claims to have none.
            pod.run_as_non_root = Some(user != 0);
        }
        None => {
            let user = *pod.run_as_user.get_or_insert(USER);
            pod.run_as_non_root.get_or_insert(user != 0);
        }
    }
}

/// A volume that is made for a worker belongs to root, so workers need a group to write to it.
fn write_fs_group(spec: &WorkerSpec, draft: &mut Draft) {
    let own = spec.run_as_group.map_or(USER, i64::from);
    let pod = draft.pod_security();
    match spec.fs_group {
        Some(group) => pod.fs_group = Some(i64::from(group)),
        None if !spec.ephemeral_volumes.is_empty() => {
            pod.fs_group.get_or_insert(own);
        }
        None => return,
    }
    // Otherwise the kubelet changes every file of a large volume at each start.
    // <https://kubernetes.io/docs/tasks/configure-pod-container/security-context/>
    pod.fs_group_change_policy
        .get_or_insert_with(|| "OnRootMismatch".to_owned());
}

fn seccomp_profile(profile: &Seccomp) -> SeccompProfile {
    let (kind, path) = match profile {
        Seccomp::RuntimeDefault => ("RuntimeDefault", None),
        Seccomp::Unconfined => ("Unconfined", None),
        Seccomp::Localhost(path) => ("Localhost", Some(path.clone())),
    };
    SeccompProfile {
        type_: kind.to_owned(),
        localhost_profile: path,
    }
}
