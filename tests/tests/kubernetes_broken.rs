//! Workers that cannot start on a real cluster: the fleet reports the reason, within its time, and leaves nothing.

#![cfg(feature = "kubernetes")]

use std::time::{Duration, Instant};

use kube::api::ListParams;
use podpool::kubernetes::client::Cluster;
use podpool::kubernetes::spec::{PullPolicy, SecretFile, WorkerSpec};
use podpool_tests::kubernetes::BOUND;
use podpool_tests::kubernetes::bed::{Bed, spec, spec_with_words};
use podpool_tests::kubernetes::namespace::Own;
use podpool_tests::kubernetes::ready;
use serde_json::json;
use tokio::time::{interval, timeout};

const PROGRAM: &str = env!("CARGO_BIN_EXE_fleet-pod");

/// Breaks a fleet of such workers; returns its reason and the time from the first need until then.
async fn broken(spec: WorkerSpec) -> (String, Duration) {
    let mut bed = Bed::start(spec, 2).await;
    let began = Instant::now();
    bed.needed(10);
    let reason = bed.broken().await;
    let took = began.elapsed();
    bed.stop().await;
    (reason, took)
}

#[track_caller]
fn says(reason: &str, words: &[&str]) {
    for word in words {
        assert!(reason.contains(word), "{word:?} is not in {reason:?}");
    }
}

#[tokio::test]
async fn exit_78_breaks_the_fleet_with_the_workers_message() {
    if !ready(PROGRAM) {
        return;
    }
    let words = "subscription pp-tasks does not exist";
    let (reason, took) = broken(spec_with_words("exit:78", words)).await;
    says(&reason, &[words, "exit code 78"]);
    assert!(took < Duration::from_secs(15), "{took:?}");
}

#[tokio::test]
async fn workers_that_exit_at_once_break_the_fleet_with_the_end_of_their_log() {
    if !ready(PROGRAM) {
        return;
    }
    // `fleet-pod` panics on an exit code that is no number: the exit code of a panic is 101.
    let (reason, _) = broken(spec("exit:never")).await;
    says(
        &reason,
        &["right after their start", "exit code 101", "fleet-pod.rs"],
    );
}

#[tokio::test]
async fn programs_that_end_with_0_before_they_greet_break_the_fleet() {
    if !ready(PROGRAM) {
        return;
    }
    let mut bed = Bed::start_unheard(spec("exit:0"), 10).await;
    let began = Instant::now();
    bed.needed(100);
    let reason = bed.broken().await;
    let took = began.elapsed();
    says(
        &reason,
        &["exit code 0", "before it greeted", "podpool::init()"],
    );
    assert!(took < Duration::from_secs(25), "{took:?}");
    // An exit with 0 is no failure for a Job, so nothing but the missing greeting stops the fleet from making cohorts.
    let cohorts = bed.asked.prepared.lock().unwrap().len();
    assert!(cohorts <= 3, "{cohorts} cohorts");
    bed.stop().await;
}

#[tokio::test]
async fn a_worker_that_runs_and_never_greets_breaks_the_fleet_with_its_last_lines() {
    if !ready(PROGRAM) {
        return;
    }
    let mut spec = spec("hang");
    let said = "no route to the queue".to_owned();
    spec.env.push(("FLEET_POD_SAYS".to_owned(), said.clone()));
    let mut bed = Bed::start_unheard(spec, 2).await;
    bed.needed(10);
    bed.running(2).await;
    let began = Instant::now();
    let reason = bed.broken().await;
    says(&reason, &[&said, "has not greeted within 4s"]);
    assert!(began.elapsed() < Duration::from_secs(15));
    bed.stop().await;
}

#[tokio::test]
async fn an_image_that_does_not_exist_is_named() {
    if !ready(PROGRAM) {
        return;
    }
    let absent = "localhost/podpool-absent:1";
    let never = WorkerSpec {
        image: Some(absent.to_owned()),
        ..spec("hang")
    };
    let pulled = WorkerSpec {
        pull_policy: Some(PullPolicy::IfNotPresent),
        ..never.clone()
    };
    let (reason, _) = broken(never).await;
    says(&reason, &[absent, "pull_policy"]);
    let (reason, _) = broken(pulled).await;
    says(&reason, &[absent, "cannot pull"]);
}

#[tokio::test]
async fn more_memory_than_any_node_has_is_reported_as_such() {
    if !ready(PROGRAM) {
        return;
    }
    let spec = WorkerSpec {
        memory: Some(1 << 50),
        schedule_timeout: Some(Duration::from_secs(5)),
        ..spec("hang")
    };
    let (reason, took) = broken(spec).await;
    says(&reason, &["Insufficient memory", "ask for less"]);
    assert!(took < Duration::from_secs(20), "{took:?}");
}

#[tokio::test]
async fn a_missing_secret_is_named() {
    if !ready(PROGRAM) {
        return;
    }
    let env = WorkerSpec {
        env_from_secrets: vec!["podpool-absent".to_owned()],
        ..spec("hang")
    };
    let (reason, _) = broken(env).await;
    says(&reason, &["podpool-absent", "PODPOOL_ENV_FROM_SECRETS"]);
    let file = WorkerSpec {
        secret_files: vec![SecretFile {
            secret: "podpool-absent".to_owned(),
            key: "password".to_owned(),
            path: "/etc/db/password".to_owned(),
        }],
        ..spec("hang")
    };
    let (reason, _) = broken(file).await;
    says(&reason, &["podpool-absent", "not found"]);
}

#[tokio::test]
async fn a_missing_service_account_is_named() {
    if !ready(PROGRAM) {
        return;
    }
    let spec = WorkerSpec {
        service_account: Some("podpool-absent".to_owned()),
        ..spec("hang")
    };
    let (reason, _) = broken(spec).await;
    says(&reason, &["podpool-absent", "service_account"]);
}

#[tokio::test]
async fn the_rights_that_a_master_lacks_are_named() {
    if !ready(PROGRAM) {
        return;
    }
    let own = Own::new().await;
    let master = own.master(json!([])).await;
    let mut bed = Bed::start_as(master, own.cluster.clone(), spec("hang"), 1);
    bed.needed(1);
    let reason = bed.broken().await;
    // The master may use neither. Which of the two is refused first is a race, and that one is reported.
    let what = ["jobs", "pods"]
        .into_iter()
        .find(|what| reason.contains(what));
    let what = what.unwrap_or("jobs or pods");
    says(&reason, &["podpool-master", what, "grant", &own.name]);
    bed.stop().await;
    own.remove().await;
}

#[tokio::test]
async fn a_master_that_may_not_make_secrets_leaves_no_job() {
    if !ready(PROGRAM) {
        return;
    }
    let own = Own::new().await;
    let master = own
        .master(json!([
            {"apiGroups": ["batch"], "resources": ["jobs"],
             "verbs": ["create", "get", "list", "watch", "patch", "delete"]},
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]},
        ]))
        .await;
    let mut bed = Bed::start_as(master, own.cluster.clone(), spec("hang"), 1);
    bed.needed(1);
    let reason = bed.broken().await;
    says(&reason, &["secrets", "grant"]);
    bed.stop().await;
    own.remove().await;
}

/// The rules of a Role with all rights that a master needs, and no more.
fn enough() -> serde_json::Value {
    json!([
        {"apiGroups": ["batch"], "resources": ["jobs"],
         "verbs": ["create", "get", "list", "watch", "patch", "delete"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]},
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create", "patch", "delete"]},
    ])
}

/// Waits until the API denies the master: its authorizer applies a removed RoleBinding a moment later. There is no
/// event to wait for, so the right is tried every 100 ms.
async fn master_is_denied(master: &Cluster) {
    let mut pause = interval(Duration::from_millis(100));
    let denied = async {
        while master.pods().list(&ListParams::default()).await.is_ok() {
            pause.tick().await;
        }
    };
    timeout(BOUND, denied)
        .await
        .expect("the master keeps its rights");
}

#[tokio::test]
async fn rights_that_are_gone_at_the_end_are_reported_at_once_with_the_line_that_removes_what_stays()
 {
    if !ready(PROGRAM) {
        return;
    }
    let own = Own::new().await;
    let master = own.master(enough()).await;
    let denied = master.clone();
    let mut bed = Bed::start_as(master, own.cluster.clone(), spec("hang"), 2);
    bed.needed(2);
    bed.running(1).await;
    own.revoke().await;
    master_is_denied(&denied).await;
    let began = Instant::now();
    let left = bed.stop_with_leftovers().await;
    let took = began.elapsed();
    println!("{took:?}: {left:#?}");
    assert_eq!(left.len(), 1, "{left:?}");
    let remedy = format!("kubectl -n {} delete jobs,secrets -l ", own.name);
    says(&left[0], &["podpool-master", &remedy, bed.run.as_str()]);
    assert!(!left[0].contains("has not gone"), "{left:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    own.remove().await;
}

#[tokio::test]
async fn a_namespace_that_is_removed_is_reported_as_such_and_goes_although_its_master_is_dead() {
    if !ready(PROGRAM) {
        return;
    }
    let own = Own::new().await;
    let start = || {
        let spec = WorkerSpec {
            namespace: Some(own.name.clone()),
            ..spec("hang")
        };
        Bed::start(spec, 2)
    };
    let mut dead = start().await;
    dead.needed(100);
    dead.running(2).await;
    dead.kill().await;
    let mut bed = start().await;
    bed.needed(100);
    bed.running(2).await;
    let began = Instant::now();
    own.begin_removal().await;
    let reason = bed.broken().await;
    // Two reports are possible: the refusal of a new Job, or the deletion of the present ones. Both name the namespace.
    says(&reason, &["namespace"]);
    assert!(!reason.contains("grant"), "{reason}");
    own.until_gone().await;
    let took = began.elapsed();
    println!("the namespace is gone after {took:?}");
    assert!(took < Duration::from_secs(60), "{took:?}");
    bed.stop().await;
}

#[tokio::test]
async fn a_namespace_that_does_not_exist_is_named() {
    if !ready(PROGRAM) {
        return;
    }
    let spec = WorkerSpec {
        namespace: Some("podpool-absent".to_owned()),
        ..spec("hang")
    };
    let (reason, _) = broken(spec).await;
    says(&reason, &["podpool-absent", "namespace"]);
}
