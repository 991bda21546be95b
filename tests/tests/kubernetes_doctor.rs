//! Preflights on a real cluster: as a service account with exactly the Role that the manifests have, and with less.

#![cfg(feature = "kubernetes")]
#![expect(
    clippy::unwrap_used,
    reason = "what a test cannot go on without ends it"
)]

use k8s_openapi::api::rbac::v1::Role;
use podpool::doctor::{Line, Outcome};
use podpool::kubernetes::doctor::{Subject, examine_at};
use podpool::kubernetes::spec::WorkerSpec;
use podpool::manifest::{self, Manifest};
use podpool_tests::kubernetes::namespace::Own;
use podpool_tests::kubernetes::ready;
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_fleet-pod");

fn subject() -> Subject {
    Subject {
        spec: WorkerSpec {
            cpu: Some(50),
            memory: Some(64 << 20),
            ..WorkerSpec::of_image("registry.example/prices:1.4")
        },
        name: None,
        max_workers: 2,
    }
}

/// The rules of the Role that the manifests have.
fn rules(namespace: &str) -> Vec<Value> {
    let manifest = Manifest::new("podpool", namespace, "registry.example/prices:1.4");
    let text = manifest::rbac(&manifest).unwrap();
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    let role = documents.iter().find(|it| it["kind"] == "Role").unwrap();
    let role: Role = serde_json::from_value(role.clone()).unwrap();
    let rules = role.rules.unwrap().into_iter();
    rules
        .map(|rule| serde_json::to_value(rule).unwrap())
        .collect()
}

fn shown(lines: &[Line]) -> String {
    lines.iter().map(|line| format!("{line:?}\n")).collect()
}

#[tokio::test]
async fn a_master_with_exactly_its_role_passes() {
    if !ready(PROGRAM) {
        return;
    }
    let own = Own::new().await;
    let master = own.master(rules(&own.name).into()).await;
    let lines = examine_at(&master, &subject()).await;
    println!("{}", shown(&lines));
    let bad: Vec<_> = lines
        .iter()
        .filter(|line| !matches!(line.outcome, Outcome::Pass | Outcome::Skipped))
        .collect();
    assert!(bad.is_empty(), "{bad:?}");
    // Objects of the whole cluster are not for a master to read.
    for id in ["kubernetes.namespace", "kubernetes.node"] {
        let line = lines.iter().find(|line| line.id == id).unwrap();
        assert_eq!(line.outcome, Outcome::Skipped, "{line:?}");
    }
    let dry = lines.iter().filter(|line| line.id == "kubernetes.dry-run");
    assert_eq!(
        dry.filter(|line| line.outcome == Outcome::Pass).count(),
        2,
        "{}",
        shown(&lines)
    );
    assert!(
        own.cluster
            .jobs()
            .list(&Default::default())
            .await
            .unwrap()
            .items
            .is_empty()
    );
    own.remove().await;
}

#[tokio::test]
async fn a_master_without_a_right_fails_by_that_line_and_its_command() {
    if !ready(PROGRAM) {
        return;
    }
    let own = Own::new().await;
    let mut rules = rules(&own.name);
    let jobs = rules.iter_mut().find(|rule| rule["resources"][0] == "jobs");
    let verbs = jobs.unwrap()["verbs"].as_array_mut().unwrap();
    verbs.retain(|verb| verb != "patch");
    let master = own.master(rules.into()).await;
    let lines = examine_at(&master, &subject()).await;
    let failed: Vec<_> = lines
        .iter()
        .filter(|line| line.outcome == Outcome::Fail)
        .collect();
    assert_eq!(failed.len(), 1, "{}", shown(&lines));
    assert_eq!(failed[0].about, "patch jobs.batch");
    let fix = failed[0].fix.as_deref().unwrap();
    let account = format!("--serviceaccount={}:podpool-master", own.name);
    assert!(
        fix.contains("--verb=patch") && fix.ends_with(&account),
        "{fix}"
    );
    own.remove().await;
}

#[tokio::test]
async fn a_quota_without_room_fails_by_its_name() {
    if !ready(PROGRAM) {
        return;
    }
    let own = Own::new().await;
    own.quota(0).await;
    let lines = examine_at(&own.cluster, &subject()).await;
    let quota = lines.iter().find(|line| line.id == "kubernetes.quota");
    let quota = quota.unwrap();
    assert_eq!(
        (quota.outcome, &*quota.about),
        (Outcome::Fail, "small"),
        "{quota:?}"
    );
    own.remove().await;
}
