//! `podpool.toml`: what it may say, and what is said of it when it is wrong.

use std::path::Path;

use super::*;
use crate::fleet::worker_spec::{Source, Toleration};

fn parse(text: &str) -> Result<ConfigFile, SpecError> {
    ConfigFile::parse(Path::new("some/podpool.toml"), text)
}

fn read(text: &str) -> Result<WorkerSpec, SpecError> {
    WorkerSpec::of_image("backfill:1").or_file(Some(&parse(text)?))
}

#[test]
fn numbers_lists_and_tables_are_read_as_texts_are() {
    let spec = read(
        r#"
        [kubernetes]
        cpu = 1.5
        memory = "4Gi"
        slots_per_worker = 2
        pull_secrets = ["one", "two"]
        node_selector = "disk=ssd,zone=a"
        tolerations = ["gpu:NoSchedule", { key = "team", value = "etl" }]
        read_only_root = false
        [kubernetes.env]
        RUST_LOG = "info"
        WORKERS = 4
        "#,
    )
    .unwrap();
    assert_eq!(spec.cpu, Some(1_500));
    assert_eq!(spec.memory, Some(4 << 30));
    assert_eq!(spec.slots(), 2);
    assert_eq!(spec.pull_secrets, ["one", "two"]);
    assert_eq!(spec.node_selector["zone"], "a");
    assert_eq!(spec.tolerations[1], Toleration::equals("team", "etl"));
    assert_eq!(spec.read_only_root, Some(false));
    let env = [("RUST_LOG", "info"), ("WORKERS", "4")];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(spec.env, env);
    let file = Source::File("some/podpool.toml".into());
    assert_eq!(spec.sources["env.RUST_LOG"], file);
    assert_eq!(spec.check(), Ok(()));
}

#[test]
fn an_empty_file_sets_nothing() {
    for text in ["", "[kubernetes]\n", "# nothing\n"] {
        assert_eq!(read(text).unwrap(), WorkerSpec::of_image("backfill:1"));
    }
}

#[test]
fn what_is_wrong_is_named_with_its_key_and_no_secret() {
    for (text, words) in [
        (
            "[kubernetes]\nmemroy = 1",
            &["kubernetes.memroy", "is memory meant?"][..],
        ),
        ("[kubernetes]\nlabel = 1", &["is labels meant?"]),
        ("[kuberntes]\n", &["kuberntes", "is kubernetes meant?"]),
        ("kubernetes = 1", &["write [kubernetes]"]),
        (
            "[kubernetes]\ncpu = \"many\"",
            &["kubernetes.cpu of some/podpool.toml", "500m"],
        ),
        ("[kubernetes]\ncpu = nan", &["kubernetes.cpu", "finite"]),
        (
            "[kubernetes]\ngrace = 2026-01-01",
            &["kubernetes.grace", "date"],
        ),
        ("[kubernetes]\ngrace = 30", &["kubernetes.grace", "a unit"]),
        (
            "[kubernetes]\nenv = { A = [1] }",
            &["kubernetes.env", "of A", "(not shown)"],
        ),
        ("\n[kubernetes]\ncpu = ", &["line 3", "no TOML"]),
        ("[kubernetes]\ncpu = 1\ncpu = 2", &["no TOML"]),
        ("[kubernetes.env]\nTOKEN = \"s3cret", &["no TOML"]),
        (
            "[[kubernetes.sidecars]]\nname = \"a\"\nimage = \"b\"\nimge = \"c\"",
            &["number 1", "is image meant?"],
        ),
    ] {
        let error = read(text).expect_err(text).to_string();
        for word in words {
            assert!(error.contains(word), "{text}: {error}");
        }
        assert!(!error.contains("s3cret"), "{error}");
    }
}

#[test]
fn the_template_of_a_file_is_beside_that_file() {
    let spec = read("[kubernetes]\npod_template = \"pod.yaml\"").unwrap();
    let path = spec.pod_template.clone();
    assert_eq!(path.as_deref(), Some(Path::new("some/pod.yaml")));
    // That of the program is where the program runs.
    let file = parse("[kubernetes]\npod_template = \"pod.yaml\"").unwrap();
    let own = with(|spec| spec.pod_template = Some("own.yaml".into()));
    let spec = own.or_file(Some(&file)).unwrap();
    let path = spec.pod_template.as_deref();
    assert_eq!(path, Some(Path::new("own.yaml")));
}

#[test]
fn a_named_file_must_be_there_and_another_need_not() {
    let error = ConfigFile::find(|name| (name == "PODPOOL_CONFIG").then(|| "/no/such".to_owned()));
    let error = error.unwrap_err();
    assert_eq!(error.setting, "PODPOOL_CONFIG");
    assert!(error.to_string().contains("/no/such"), "{error}");
    // The directory of this crate has none.
    assert_eq!(ConfigFile::find(|_| None), Ok(None));
}
