//! The texts against the files that are checked in, and against the types of the API. `PODPOOL_BLESS=1` writes the files.

use std::fs;
use std::path::Path;

use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim, PodTemplate, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::*;

fn plain() -> Manifest {
    Manifest::new("backfill", "etl", "registry.example/backfill:1.4")
}

fn everything() -> Manifest {
    let workers = WorkerSpec {
        pull_secrets: vec!["registry".to_owned()],
        env: vec![("REGION".to_owned(), "no".to_owned())],
        ..WorkerSpec::default()
    };
    plain()
        .namespace_too()
        .master_account("prices-master")
        .worker_account("prices-worker")
        .arg("--year")
        .arg("2026")
        .arg("a: b # \"c\" 'd' \n and a text that is longer than eighty characters, so that it could be folded")
        .env("RUST_LOG", "info,podpool=debug")
        .env("PODPOOL_CPU", "2")
        .env_from_secret("prices-api")
        .schedule("15 2 * * *")
        .time_zone("Europe/Berlin")
        .project("my-project")
        .emulator("172.18.0.1:8085")
        .ledger("10Gi")
        .storage_class("premium-rwo")
        .label("team", "prices")
        .with_workers(workers)
}

type Text = fn(&Manifest) -> Result<String, ManifestError>;
const TEXTS: [(&str, Text); 5] = [
    ("rbac", rbac),
    ("job", job),
    ("cronjob", cronjob),
    ("networkpolicy", networkpolicy),
    ("template", template),
];

/// Every text of both manifests, by its name.
fn texts() -> Vec<(String, String)> {
    let mut texts = Vec::new();
    for (name, text) in TEXTS {
        let plain = plain().schedule("*/5 * * * *");
        texts.push((format!("{name}-plain.yaml"), text(&plain).unwrap()));
        texts.push((
            format!("{name}-everything.yaml"),
            text(&everything()).unwrap(),
        ));
    }
    texts
}

#[test]
fn each_text_equals_its_file() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/fleet/kubernetes/manifest/golden");
    for (name, made) in texts() {
        let path = golden.join(&name);
        if std::env::var_os("PODPOOL_BLESS").is_some() {
            fs::write(&path, &made).unwrap();
        }
        let known = fs::read_to_string(&path).unwrap();
        assert_eq!(
            made, known,
            "{name} has changed; look at it, then PODPOOL_BLESS=1"
        );
    }
}

/// Reads a document as this type: what the type does not know would be dropped.
fn known<T: DeserializeOwned + Serialize>(document: &Value) {
    let read: T = serde_json::from_value(document.clone()).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), *document);
}

#[test]
fn each_document_is_one_object_that_the_api_knows_completely() {
    let mut kinds = std::collections::BTreeSet::new();
    for (name, text) in texts() {
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        assert!(!documents.is_empty(), "{name}");
        assert_eq!(
            documents.len(),
            text.matches("apiVersion: ").count(),
            "{name}"
        );
        for document in &documents {
            let kind = document["kind"].as_str().unwrap();
            kinds.insert(kind.to_owned());
            match kind {
                "Namespace" => known::<Namespace>(document),
                "ServiceAccount" => known::<ServiceAccount>(document),
                "Role" => known::<Role>(document),
                "RoleBinding" => known::<RoleBinding>(document),
                "Job" => known::<Job>(document),
                "CronJob" => known::<CronJob>(document),
                "PersistentVolumeClaim" => known::<PersistentVolumeClaim>(document),
                "NetworkPolicy" => known::<NetworkPolicy>(document),
                "PodTemplate" => known::<PodTemplate>(document),
                other => panic!("{name} has a {other}"),
            }
            let labels = &document["metadata"]["labels"];
            assert_eq!(labels["app.kubernetes.io/name"], "backfill", "{name}");
            assert!(document["metadata"]["name"].is_string(), "{name}");
            assert!(document["metadata"]["generateName"].is_null(), "{name}");
        }
        assert!(!text.contains("{{"), "{name}");
    }
    assert_eq!(kinds.len(), 9, "{kinds:?}");
}

#[test]
fn values_come_back_as_they_were_given() {
    let documents: Vec<Value> = serde_saphyr::from_multiple(&job(&everything()).unwrap()).unwrap();
    let container = &documents[1]["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["args"][1], "2026");
    assert_eq!(container["args"][2], everything().args[2].as_str());
    let env = container["env"].as_array().unwrap();
    let value = |name: &str| {
        let found = env.iter().find(|it| it["name"] == name);
        found.and_then(|it| it["value"].as_str())
    };
    assert_eq!(value("PODPOOL_LEDGER"), Some("/var/lib/podpool"));
    assert_eq!(value("PODPOOL_SERVICE_ACCOUNT"), Some("prices-worker"));
    assert_eq!(value("PUBSUB_EMULATOR_HOST"), Some("172.18.0.1:8085"));
    assert_eq!(value("PODPOOL_CPU"), Some("2"));
    let template: Value = serde_saphyr::from_str(&template(&everything()).unwrap()).unwrap();
    let worker = &template["template"]["spec"]["containers"][0];
    let region = worker["env"][0]["value"].as_str();
    assert_eq!(region, Some("no"), "{worker}");
}

#[test]
fn a_users_variable_replaces_the_manifests_and_is_there_once() {
    let text = job(&plain().env("PODPOOL_BACKEND", "local")).unwrap();
    assert_eq!(text.matches("PODPOOL_BACKEND").count(), 1);
}

#[test]
fn a_master_is_started_again_only_where_its_run_is_remembered() {
    let spec = |manifest: &Manifest| -> Value {
        let text = job(manifest).unwrap();
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        documents.last().unwrap()["spec"].clone()
    };
    let once = spec(&plain());
    assert_eq!(once["backoffLimit"], 0);
    assert!(once["podFailurePolicy"].is_null());
    let again = spec(&plain().ledger("1Gi"));
    assert_eq!(again["backoffLimit"], 6);
    assert_eq!(again["podReplacementPolicy"], "Failed");
    assert_eq!(again["podFailurePolicy"]["rules"][0]["action"], "Ignore");
}

#[test]
fn a_cronjob_needs_a_schedule() {
    assert_eq!(cronjob(&plain()).unwrap_err().setting, "schedule");
}

#[test]
fn no_text_holds_what_helm_would_read() {
    let mut workers = WorkerSpec::default();
    workers.secret_files.push(super::super::spec::SecretFile {
        secret: "db".to_owned(),
        key: "password".to_owned(),
        path: "/etc/{{x}}".to_owned(),
    });
    let refused = template(&plain().with_workers(workers)).unwrap_err();
    assert!(refused.to_string().contains("Helm"), "{refused}");
}

#[test]
fn a_template_names_nothing_of_a_run() {
    let text = template(&everything()).unwrap();
    for of_run in [
        "pp-run",
        "podpool.dev/",
        "PODPOOL_COHORT",
        "mountPath: /etc/podpool/run",
    ] {
        assert!(!text.contains(of_run), "{of_run} is in\n{text}");
    }
}
