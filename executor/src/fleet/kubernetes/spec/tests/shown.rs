//! What counts, and where it comes from.

use std::path::Path;

use super::*;

#[test]
fn each_setting_has_its_source_and_no_secret() {
    let text = "[kubernetes]\nimage = \"file:1\"\ncpu = 3\nmemory = \"3Gi\"\nlabels = { team = \"file\", stage = \"file\" }\n[kubernetes.env]\nTOKEN = \"s3cret\"";
    let file = ConfigFile::parse(Path::new("podpool.toml"), text).unwrap();
    let template = "spec:\n  priorityClassName: low\n  nodeSelector: {disk: ssd}\n  containers:\n  - name: worker\n    imagePullPolicy: Always\n    env: [{name: A, value: s3cret}]\n    resources: {requests: {memory: 1Gi}}";
    let mut spec = with(|spec| {
        spec.labels.insert("stage".to_owned(), "program".to_owned());
    })
    .or_environment(|name| (name == "PODPOOL_CPU").then(|| "2".to_owned()))
    .unwrap()
    .or_file(Some(&file))
    .unwrap();
    spec.template = Some(Template::parse(Path::new("pod.yaml"), template).unwrap());
    let lines: Vec<String> = spec.settings().iter().map(ToString::to_string).collect();
    for expected in [
        "image = backfill:1 (the program)",
        "cpu = 2000m (PODPOOL_CPU)",
        "memory = 3072Mi (podpool.toml)",
        "label.stage = program (the program)",
        "label.team = file (podpool.toml)",
        "env.TOKEN = (not shown) (podpool.toml)",
        "priority_class = low (pod.yaml)",
        r#"node_selector = {"disk":"ssd"} (pod.yaml)"#,
        "pull_policy = Always (pod.yaml)",
        "grace = 30s (default)",
        "seccomp = RuntimeDefault (default)",
    ] {
        let found = lines.iter().any(|line| line == expected);
        assert!(found, "{expected} is not in {lines:#?}");
    }
    assert!(!lines.iter().any(|line| line.contains("s3cret")));
    assert!(
        !lines.iter().any(|line| line.starts_with("gpu")),
        "it is not set"
    );
}

#[test]
fn defaults_are_what_the_code_uses() {
    let spec = WorkerSpec::default();
    let default = |option: &str| {
        let row = rows().find(|row| row.option == option);
        row.map(|row| row.default).unwrap()
    };
    assert_eq!(parse_cores(default("cpu")), Ok(spec.cpu_millicores()));
    assert_eq!(parse_bytes(default("memory")), Ok(spec.memory_bytes()));
    assert_eq!(parse_duration(default("grace")), Ok(spec.grace_time()));
    assert_eq!(
        parse_duration(default("run_deadline")),
        Ok(spec.run_deadline())
    );
    assert_eq!(
        parse_duration(default("idle_timeout")),
        Ok(spec.idle_time())
    );
    assert_eq!(
        parse_duration(default("start_timeout")),
        Ok(spec.start_time())
    );
    assert_eq!(
        parse_duration(default("schedule_timeout")),
        Ok(spec.schedule_time())
    );
    assert_eq!(
        parse_duration(default("keep_finished")),
        Ok(Duration::from_secs(KEPT as u64))
    );
    assert_eq!(default("slots_per_worker"), spec.slots().to_string());
}

#[test]
fn names_variables_and_keys_are_unique_and_of_one_form() {
    let all: Vec<_> = rows().collect();
    for (number, row) in all.iter().enumerate() {
        for other in &all[..number] {
            assert_ne!(row.option, other.option);
            assert_ne!(row.variable, other.variable);
            assert_ne!(row.key, other.key);
        }
        // Two variables have longer names than their keys, for the builder has options of those names.
        let named = format!("PODPOOL_{}", row.key.to_uppercase());
        let longer = matches!(row.option, "env" | "output_rate");
        assert_eq!(row.variable == named, !longer, "{}", row.variable);
    }
}
