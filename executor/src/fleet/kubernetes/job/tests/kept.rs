//! What a template and a change of the program may not take away, and what they may.

use std::path::Path;

use k8s_openapi::api::core::v1::{Container, EnvVar, Pod, PodSpec, Volume, VolumeMount};

use super::*;
use crate::fleet::kubernetes::spec::Template;
use crate::fleet::worker_spec::{PodPatch, Qos};

fn patched(change: impl Fn(&mut Pod) + Send + Sync + 'static) -> Result<Job, SpecError> {
    let spec = WorkerSpec {
        pod_patches: vec![PodPatch::new(change)],
        ..WorkerSpec::of_image("prices:1")
    };
    job(&spec, &cohort(&run()))
}

fn of_template(text: &str) -> Result<Job, SpecError> {
    let spec = WorkerSpec {
        template: Some(Template::parse(Path::new("pod.yaml"), text).unwrap()),
        ..WorkerSpec::of_image("prices:1")
    };
    job(&spec, &cohort(&run()))
}

fn spec(pod: &mut Pod) -> &mut PodSpec {
    pod.spec.as_mut().unwrap()
}

fn worker(pod: &mut Pod) -> &mut Container {
    &mut spec(pod).containers[0]
}

/// A change of a pod.
type Change = fn(&mut Pod);

/// The path of what a change takes away, and the change.
const CHANGES: [(&str, Change); 17] = [
    ("metadata.labels", |pod| {
        let labels = pod.metadata.labels.as_mut().unwrap();
        labels.remove(RUN_LABEL);
    }),
    ("metadata.labels", |pod| pod.metadata.labels = None),
    ("metadata.annotations", |pod| {
        pod.metadata.annotations = None;
    }),
    ("metadata.namespace", |pod| {
        pod.metadata.namespace = Some("other".to_owned());
    }),
    ("spec.restartPolicy", |pod| {
        spec(pod).restart_policy = Some("OnFailure".to_owned());
    }),
    ("spec.restartPolicy", |pod| pod.spec = None),
    ("spec.terminationGracePeriodSeconds", |pod| {
        spec(pod).termination_grace_period_seconds = Some(0);
    }),
    ("spec.containers[worker]", |pod| {
        worker(pod).name = "other".to_owned();
    }),
    ("spec.containers[worker].image", |pod| {
        worker(pod).image = Some("other:1".to_owned());
    }),
    ("spec.containers[worker].command", |pod| {
        worker(pod).command = Some(vec!["sh".to_owned()]);
    }),
    ("spec.containers[worker].command", |pod| {
        worker(pod).args = Some(vec!["-c".to_owned()]);
    }),
    ("spec.containers[worker].env", |pod| {
        worker(pod).env.as_mut().unwrap().push(EnvVar {
            name: "PODPOOL_COHORT".to_owned(),
            value: Some("7".to_owned()),
            value_from: None,
        });
    }),
    ("spec.containers[worker].volumeMounts", |pod| {
        worker(pod).volume_mounts.as_mut().unwrap().remove(0);
    }),
    ("spec.containers[worker].volumeMounts", |pod| {
        worker(pod)
            .volume_mounts
            .as_mut()
            .unwrap()
            .push(VolumeMount {
                name: "tmp".to_owned(),
                mount_path: "/etc/podpool".to_owned(),
                ..VolumeMount::default()
            });
    }),
    ("spec.containers[worker].restartPolicy", |pod| {
        worker(pod).restart_policy = Some("Always".to_owned());
    }),
    ("spec.containers[worker].terminationMessage", |pod| {
        worker(pod).termination_message_path = Some("/tmp/log".to_owned());
    }),
    ("spec.volumes[run]", |pod| {
        spec(pod).volumes.as_mut().unwrap()[0] = Volume {
            name: "run".to_owned(),
            ..Volume::default()
        };
    }),
];

#[test]
fn a_change_of_what_podpool_needs_is_refused_with_its_path() {
    for (path, change) in CHANGES {
        let error = patched(change).expect_err(path);
        assert_eq!(error.setting, "patch_pod", "{error}");
        assert!(error.value.starts_with(path), "{path}: {error}");
        assert!(error.reason.contains("must stay"), "{error}");
    }
}

#[test]
fn everything_else_may_be_changed() {
    let made = patched(|pod| {
        pod.metadata
            .labels
            .get_or_insert_default()
            .insert("a".to_owned(), "b".to_owned());
        let spec = spec(pod);
        spec.scheduler_name = Some("volcano".to_owned());
        spec.automount_service_account_token = Some(true);
        spec.containers.push(Container {
            name: "beside".to_owned(),
            ..Container::default()
        });
        let worker = &mut spec.containers[0];
        worker.working_dir = Some("/work".to_owned());
        worker.security_context = None;
        // The same as no path.
        worker.termination_message_path = Some("/dev/termination-log".to_owned());
    });
    let template = made.unwrap().spec.unwrap().template;
    assert_eq!(template.metadata.unwrap().labels.unwrap()["a"], "b");
    let spec = template.spec.unwrap();
    assert_eq!(spec.scheduler_name.as_deref(), Some("volcano"));
    assert_eq!(spec.containers.len(), 2);
}

#[test]
fn changes_are_made_in_their_order_and_the_last_one_that_is_wrong_is_found() {
    let host = |name: &'static str| {
        PodPatch::new(move |pod: &mut Pod| {
            let hostname = &mut spec(pod).hostname;
            *hostname = Some(hostname.take().unwrap_or_default() + name);
        })
    };
    let worker_spec = WorkerSpec {
        pod_patches: vec![host("a"), host("b")],
        ..WorkerSpec::of_image("prices:1")
    };
    let made = job(&worker_spec, &cohort(&run())).unwrap();
    let made = made.spec.unwrap().template.spec.unwrap();
    assert_eq!(made.hostname.as_deref(), Some("ab"));
    assert_eq!(
        worker_spec.clone(),
        worker_spec,
        "a clone has the same changes"
    );
    let others = WorkerSpec {
        pod_patches: vec![host("a"), host("b")],
        ..WorkerSpec::of_image("prices:1")
    };
    assert_ne!(others, worker_spec, "two functions are never equal");
}

#[test]
fn a_template_that_takes_away_what_podpool_needs_is_refused_with_its_path() {
    let worker = |fields: &str| format!("spec: {{containers: [{{name: worker, {fields}}}]}}");
    for (path, text) in [
        (
            "metadata.labels",
            "metadata: {labels: {podpool.dev/run: mine}}".to_owned(),
        ),
        (
            "metadata.labels",
            "metadata: {labels: {podpool.dev/other: mine}}".to_owned(),
        ),
        (
            "metadata.annotations",
            "metadata: {annotations: {podpool.dev/secret: a}}".to_owned(),
        ),
        (
            "spec.restartPolicy",
            "spec: {restartPolicy: Always}".to_owned(),
        ),
        (
            "spec.terminationGracePeriodSeconds",
            "spec: {terminationGracePeriodSeconds: 5}".to_owned(),
        ),
        (
            "spec.volumes[run]",
            "spec: {volumes: [{name: run, emptyDir: {}}]}".to_owned(),
        ),
        ("spec.containers[worker].command", worker("command: [sh]")),
        ("spec.containers[worker].command", worker("args: [-c]")),
        (
            "spec.containers[worker].env",
            worker("env: [{name: PODPOOL_ROLE, value: worker}]"),
        ),
        (
            "spec.containers[worker].env",
            worker("envFrom: [{prefix: PODPOOL_, secretRef: {name: a}}]"),
        ),
        (
            "spec.containers[worker].volumeMounts",
            worker("volumeMounts: [{name: a, mountPath: /etc/podpool/run}]"),
        ),
        (
            "spec.containers[worker].terminationMessagePolicy",
            worker("terminationMessagePolicy: File"),
        ),
    ] {
        let error = of_template(&text).expect_err(path);
        assert_eq!(error.setting, "pod_template", "{error}");
        assert_eq!(error.value, path, "{error}");
    }
    // The same values are no change.
    let same = "spec: {restartPolicy: Never, terminationGracePeriodSeconds: 30}";
    of_template(same).unwrap();
}

#[test]
fn what_is_in_a_template_and_in_the_options_is_refused_by_its_name() {
    let with = |text: &str| {
        let spec = WorkerSpec {
            template: Some(Template::parse(Path::new("pod.yaml"), text).unwrap()),
            tmpfs: vec![crate::options::Tmpfs::new("/tmp", 1 << 20)],
            sidecars: vec![crate::options::PodContainer::new("proxy", "proxy:1")],
            ..WorkerSpec::of_image("prices:1")
        };
        job(&spec, &cohort(&run()))
    };
    with("{}").unwrap();
    for (words, text) in [
        (
            "mount at /tmp",
            "spec: {containers: [{name: worker, volumeMounts: [{name: a, mountPath: /tmp}]}]}",
        ),
        ("container proxy", "spec: {containers: [{name: proxy}]}"),
        (
            "volume a",
            "spec: {volumes: [{name: a, emptyDir: {}}, {name: a, emptyDir: {}}]}",
        ),
    ] {
        let error = with(text).unwrap_err();
        assert_eq!(error.setting, "pod_template", "{error}");
        assert!(error.value.contains(words), "{error}");
    }
}

#[test]
fn a_guaranteed_pod_has_limits_on_every_container() {
    let guaranteed = |text: &str| {
        let spec = WorkerSpec {
            qos: Some(Qos::Guaranteed),
            template: Some(Template::parse(Path::new("pod.yaml"), text).unwrap()),
            ..WorkerSpec::of_image("prices:1")
        };
        job(&spec, &cohort(&run()))
    };
    let made = guaranteed("{}")
        .unwrap()
        .spec
        .unwrap()
        .template
        .spec
        .unwrap();
    let resources = made.containers[0].resources.clone().unwrap();
    assert_eq!(resources.limits, resources.requests);
    let error = guaranteed("spec: {containers: [{name: helper}]}").unwrap_err();
    assert_eq!(error.setting, "qos");
    assert!(error.reason.contains("helper"), "{error}");
}

#[test]
fn the_default_pod_satisfies_the_restricted_standard() {
    let spec = WorkerSpec {
        init_containers: vec![crate::options::PodContainer::new("a", "a:1")],
        sidecars: vec![crate::options::PodContainer::new("b", "b:1")],
        ..WorkerSpec::of_image("prices:1")
    };
    let made = job(&spec, &cohort(&run())).unwrap();
    let pod = made.spec.unwrap().template.spec.unwrap();
    let security = pod.security_context.unwrap();
    assert_eq!(security.run_as_non_root, Some(true));
    assert_eq!(security.seccomp_profile.unwrap().type_, "RuntimeDefault");
    let names: Vec<_> = pod
        .init_containers
        .iter()
        .flatten()
        .map(|it| &*it.name)
        .collect();
    assert_eq!(names, ["b", "a"], "sidecars first");
    for container in pod
        .containers
        .iter()
        .chain(pod.init_containers.iter().flatten())
    {
        let security = container.security_context.clone().unwrap();
        assert_eq!(security.allow_privilege_escalation, Some(false));
        let drop = security.capabilities.unwrap().drop.unwrap();
        assert_eq!(drop, ["ALL"]);
    }
}
