//! Pod templates: what they may hold.

use std::path::Path;

use super::*;

fn parse(text: &str) -> Result<Template, String> {
    Template::parse(Path::new("pod.yaml"), text)
}

#[test]
fn a_pod_and_a_template_are_read() {
    for text in [
        "apiVersion: v1\nkind: Pod\nmetadata: {name: mine, labels: {team: etl}}\nspec: {containers: [{name: worker, image: a}]}",
        "metadata: {labels: {team: etl}}\nspec: {containers: [{name: worker, image: a}]}",
        r#"{"metadata": {"labels": {"team": "etl"}}, "spec": {"containers": [{"name": "worker", "image": "a"}]}}"#,
    ] {
        let template = parse(text).unwrap();
        assert_eq!(template.worker().unwrap().image.as_deref(), Some("a"));
        let metadata = template.pod.metadata.unwrap();
        assert_eq!(metadata.name, None);
        assert_eq!(metadata.labels.unwrap()["team"], "etl");
    }
    // No container at all: podpool's own is added.
    assert_eq!(
        parse("spec: {priorityClassName: low}").unwrap().worker(),
        None
    );
}

#[test]
fn numbers_of_resources_and_unquoted_words_are_read() {
    let template = parse(
        "spec:\n  containers:\n  - name: worker\n    resources: {requests: {cpu: 2, memory: 1Gi}}",
    );
    let worker = template.unwrap();
    let worker = worker.worker().unwrap();
    let requests = worker
        .resources
        .as_ref()
        .unwrap()
        .requests
        .as_ref()
        .unwrap();
    assert_eq!(requests["cpu"].0, "2");
}

#[test]
fn what_kubernetes_does_not_know_is_refused_with_its_path() {
    for (text, words) in [
        ("spec: {priorityClas: low}", "no field spec.priorityClas"),
        (
            "spec: {containers: [{name: worker}, {name: a, imag: x}]}",
            "no field spec.containers[1].imag",
        ),
        ("speck: {}", "no field speck"),
        ("status: {phase: Running}", "no field status"),
        ("spec: {containers: 7}", "at spec.containers"),
        (
            "spec: {volumes: [{name: a, emptyDir: {sizeLimit: [1]}}]}",
            "at spec.volumes[0].emptyDir.sizeLimit",
        ),
        (
            "kind: Deployment\napiVersion: apps/v1\nspec: {}",
            "it is a Deployment",
        ),
        ("kind: Pod\nspec: {}", "apiVersion: v1"),
        ("apiVersion: v1\nspec: {}", "without kind"),
        ("- a\n- b", "no object"),
        ("a: [", "no YAML"),
        ("spec: {}\n---\nspec: {}", "no YAML"),
        ("spec: {hostname: a, hostname: b}", "no YAML"),
        ("metadata: {namespace: prod}", "the option namespace"),
        (
            "spec: {containers: [{name: worker}, {name: worker}]}",
            "two containers",
        ),
    ] {
        let error = parse(text).expect_err(text);
        assert!(error.contains(words), "{text}: {error}");
    }
}

#[test]
fn its_values_count_where_no_option_does() {
    let text = "spec:\n  containers:\n  - name: worker\n    image: a\n    resources: {requests: {cpu: 2, memory: 8Gi}, limits: {memory: 9Gi}}";
    let spec = WorkerSpec {
        template: Some(parse(text).unwrap()),
        ..WorkerSpec::default()
    };
    assert_eq!(spec.check(), Ok(()), "its image is enough");
    assert_eq!(spec.worker_image(), Some("a"));
    assert_eq!(spec.cpu_millicores(), 2_000);
    assert_eq!(spec.memory_bytes(), 8 << 30);
    assert_eq!(spec.memory_limit_bytes(), 9 << 30);
    let spec = WorkerSpec {
        memory: Some(1 << 30),
        ..spec
    };
    assert_eq!(spec.memory_limit_bytes(), 1 << 30);
}

#[test]
fn its_content_is_not_in_its_debug_output() {
    let text = "spec: {containers: [{name: worker, env: [{name: A, value: s3cret}]}]}";
    let shown = format!("{:?}", parse(text).unwrap());
    assert!(!shown.contains("s3cret"), "{shown}");
}
