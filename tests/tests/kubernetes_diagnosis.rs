//! Failures of a cluster, and how many seconds it takes until the fleet says what is wrong: rows of the table of
//! ARCHITECTURE.md that two nodes without a cloud can produce, beside those of `kubernetes_broken`.
//!
//! The timeouts of workers are the defaults, so that a bound shows that no timeout was waited for.

#![cfg(feature = "kubernetes")]

use std::fs;
use std::time::{Duration, Instant};

use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::api::core::v1::{LimitRange, Pod, Secret, ServiceAccount};
use kube::ResourceExt;
use kube::api::{DeleteParams, EvictParams, Patch, PatchParams, PostParams};
use podpool::kubernetes::spec::{PullPolicy, SecretFile, WorkerSpec};
use podpool_core::fleet::End;
use podpool_core::outcome::Exit;
use podpool_tests::kubernetes::bed::{Bed, spec, spec_with_words};
use podpool_tests::kubernetes::namespace::Own;
use podpool_tests::kubernetes::{BOUND, load, ready};
use serde_json::{Value, json};
use tokio::time::{interval, timeout};

const PROGRAM: &str = env!("CARGO_BIN_EXE_fleet-pod");

/// What no time heals is said in less than this: a pod is made, scheduled and refused.
const AT_ONCE: Duration = Duration::from_secs(12);
/// What may be about to be made is said in less than this: a second look of the node comes after 16 s.
const SECOND_LOOK: Duration = Duration::from_secs(32);

/// Workers with the default timeouts.
fn patient(order: &str) -> WorkerSpec {
    WorkerSpec {
        start_timeout: None,
        schedule_timeout: None,
        ..spec(order)
    }
}

/// The same, in a namespace of the test's own.
fn inside(own: &Own, order: &str) -> WorkerSpec {
    WorkerSpec {
        namespace: Some(own.name.clone()),
        ..patient(order)
    }
}

/// Breaks a fleet of such workers, whose reason must have these words and come in time.
#[expect(
    clippy::print_stdout,
    reason = "how long it took is what these tests are about"
)]
async fn breaks(spec: WorkerSpec, words: &[&str], within: Duration) {
    let mut bed = Bed::start(spec, 2).await;
    let began = Instant::now();
    bed.needed(10);
    let reason = bed.broken().await;
    let took = began.elapsed();
    println!("said after {took:?}");
    for word in words {
        assert!(reason.contains(word), "{word:?} is not in {reason:?}");
    }
    assert!(took < within, "{took:?}: {reason}");
    bed.stop().await;
}

/// Whether a container of the pod waits for this reason.
fn waits(pod: &Pod, reason: &str) -> bool {
    let status = pod.status.as_ref();
    let mut all = status
        .into_iter()
        .flat_map(|status| status.container_statuses.iter().flatten());
    all.any(|one| {
        let waiting = one.state.as_ref().and_then(|state| state.waiting.as_ref());
        waiting.is_some_and(|waiting| waiting.reason.as_deref() == Some(reason))
    })
}

#[tokio::test]
async fn an_image_that_may_not_be_pulled_and_one_with_an_invalid_name_are_named_at_once() {
    if !ready(PROGRAM) {
        return;
    }
    let absent = "localhost/podpool-absent:1";
    let never = WorkerSpec {
        image: Some(absent.to_owned()),
        ..patient("hang")
    };
    breaks(never, &[absent, "pull_policy"], AT_ONCE).await;
    let misnamed = "localhost/Podpool:1";
    let misnamed_spec = WorkerSpec {
        image: Some(misnamed.to_owned()),
        pull_policy: Some(PullPolicy::IfNotPresent),
        ..patient("hang")
    };
    breaks(
        misnamed_spec,
        &[misnamed, "KubernetesOptions::image"],
        AT_ONCE,
    )
    .await;
}

#[tokio::test]
async fn a_worker_larger_than_every_node_is_said_so_without_the_schedule_timeout() {
    if !ready(PROGRAM) {
        return;
    }
    let spec = WorkerSpec {
        memory: Some(1 << 50),
        ..patient("hang")
    };
    let words = [
        "1048576 GiB",
        "the largest node has",
        "KubernetesOptions::memory",
    ];
    // An autoscaler has 20 s to answer where nodes have the id of a provider, as on kind.
    breaks(spec, &words, AT_ONCE + Duration::from_secs(20)).await;
}

#[tokio::test]
async fn a_master_that_may_not_list_nodes_waits_for_the_schedule_timeout() {
    if !ready(PROGRAM) {
        return;
    }
    let own = Own::new().await;
    let master = own
        .master(json!([
            {"apiGroups": ["batch"], "resources": ["jobs"],
             "verbs": ["create", "get", "list", "watch", "patch", "delete"]},
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]},
            {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create", "patch", "delete"]},
        ]))
        .await;
    let limit = Duration::from_secs(25);
    let spec = WorkerSpec {
        memory: Some(1 << 50),
        schedule_timeout: Some(limit),
        ..spec("hang")
    };
    let mut bed = Bed::start_as(master, own.cluster.clone(), spec, 1);
    let began = Instant::now();
    bed.needed(1);
    let reason = bed.broken().await;
    let took = began.elapsed();
    println!("said after {took:?}");
    assert!(took >= limit, "{took:?}");
    assert!(reason.contains("Insufficient memory"), "{reason}");
    bed.stop().await;
    own.remove().await;
}

#[tokio::test]
async fn a_missing_secret_and_a_missing_key_are_named_after_a_second_look() {
    if !ready(PROGRAM) {
        return;
    }
    let env = WorkerSpec {
        env_from_secrets: vec!["podpool-absent".to_owned()],
        ..patient("hang")
    };
    breaks(env, &["podpool-absent", "env_from_secret"], SECOND_LOOK).await;
    let own = Own::new().await;
    own.make::<Secret>(json!({"metadata": {"name": "db"}, "stringData": {"user": "u"}}))
        .await;
    let file = WorkerSpec {
        secret_files: vec![SecretFile {
            secret: "db".to_owned(),
            key: "password".to_owned(),
            path: "/etc/db/password".to_owned(),
        }],
        ..inside(&own, "hang")
    };
    let words = ["secret key: password", "KubernetesOptions::secret_file"];
    breaks(file, &words, SECOND_LOOK).await;
    own.remove().await;
}

#[tokio::test]
async fn a_secret_that_is_made_a_moment_after_the_workers_breaks_nothing() {
    if !ready(PROGRAM) {
        return;
    }
    let own = Own::new().await;
    let spec = WorkerSpec {
        env_from_secrets: vec!["late".to_owned()],
        ..inside(&own, "hang")
    };
    let mut bed = Bed::start(spec, 2).await;
    bed.needed(10);
    let missing = |pods: &[Pod]| {
        pods.len() == 2
            && pods
                .iter()
                .all(|pod| waits(pod, "CreateContainerConfigError"))
    };
    bed.sight.until(missing).await;
    let began = Instant::now();
    own.make::<Secret>(json!({"metadata": {"name": "late"}}))
        .await;
    // Were the fleet to give up, it would delete the pods.
    bed.running(2).await;
    println!("runs {:?} after the Secret", began.elapsed());
    bed.stop().await;
    own.remove().await;
}

#[tokio::test]
async fn a_missing_service_account_is_named_after_a_second_look_and_a_late_one_breaks_nothing() {
    if !ready(PROGRAM) {
        return;
    }
    let own = Own::new().await;
    let of = |name: &str| WorkerSpec {
        service_account: Some(name.to_owned()),
        ..inside(&own, "hang")
    };
    let words = ["podpool-absent", "KubernetesOptions::service_account"];
    breaks(of("podpool-absent"), &words, SECOND_LOOK).await;
    let mut bed = Bed::start(of("late"), 1).await;
    bed.needed(1);
    jobs_exist(&bed).await;
    own.make::<ServiceAccount>(json!({"metadata": {"name": "late"}}))
        .await;
    bed.running(1).await;
    bed.stop().await;
    own.remove().await;
}

/// Waits until the first Job exists. The bed shows pods alone, so the Jobs are listed every 100 ms.
async fn jobs_exist(bed: &Bed) {
    let mut pause = interval(Duration::from_millis(100));
    let look = async {
        while bed.jobs().await.is_empty() {
            pause.tick().await;
        }
    };
    timeout(BOUND, look).await.expect("no Job was made");
}

#[tokio::test]
async fn quotas_and_limits_below_one_worker_are_said_at_once() {
    if !ready(PROGRAM) {
        return;
    }
    let own = Own::new().await;
    own.quota_of(json!({"requests.memory": "32Mi"})).await;
    let words = [
        "smaller than one worker",
        "requests.memory=32Mi",
        "KubernetesOptions::memory",
    ];
    breaks(inside(&own, "hang"), &words, AT_ONCE).await;
    own.remove().await;

    let own = Own::new().await;
    own.quota_of(json!({"limits.cpu": "4"})).await;
    let words = ["must specify limits.cpu", "LimitRange"];
    breaks(inside(&own, "hang"), &words, AT_ONCE).await;
    own.remove().await;

    let own = Own::new().await;
    let limits = json!([{"type": "Container", "max": {"memory": "32Mi"}}]);
    own.make::<LimitRange>(json!({"metadata": {"name": "small"}, "spec": {"limits": limits}}))
        .await;
    let words = [
        "maximum memory usage per Container is 32Mi",
        "KubernetesOptions::memory",
    ];
    breaks(inside(&own, "hang"), &words, AT_ONCE).await;
    own.remove().await;
}

/// A policy that refuses every pod of a namespace.
fn policy(namespace: &str) -> (Value, Value) {
    let of_namespace = json!({"matchLabels": {"kubernetes.io/metadata.name": namespace}});
    let policy = json!({
        "metadata": {"name": namespace},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"],
            }]},
            "validations": [{"expression": "false", "message": "no pods on Sundays"}],
        },
    });
    let binding = json!({
        "metadata": {"name": namespace},
        "spec": {
            "policyName": namespace,
            "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": of_namespace},
        },
    });
    (policy, binding)
}

/// Waits until the API refuses pods of the namespace: a policy is in force a moment after it was made. There is no
/// event to wait for, so a pod is tried every 100 ms, without being made.
async fn policy_is_in_force(own: &Own) {
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "probe"},
        "spec": {
            "containers": [{
                "name": "probe", "image": "probe",
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        },
    }))
    .expect("this is a pod");
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let mut pause = interval(Duration::from_millis(100));
    let refused = async {
        while own.cluster.pods().create(&dry, &pod).await.is_ok() {
            pause.tick().await;
        }
    };
    timeout(BOUND, refused)
        .await
        .expect("the policy is not in force");
}

#[tokio::test]
async fn a_policy_that_refuses_pods_is_quoted_at_once() {
    if !ready(PROGRAM) {
        return;
    }
    let own = Own::new().await;
    let (policy, binding) = policy(&own.name);
    own.make_in_cluster::<ValidatingAdmissionPolicy>(policy)
        .await;
    own.make_in_cluster::<ValidatingAdmissionPolicyBinding>(binding)
        .await;
    policy_is_in_force(&own).await;
    let words = ["no pods on Sundays", "policy of the cluster"];
    breaks(inside(&own, "hang"), &words, AT_ONCE).await;
    own.remove_from_cluster::<ValidatingAdmissionPolicyBinding>(&own.name)
        .await;
    own.remove_from_cluster::<ValidatingAdmissionPolicy>(&own.name)
        .await;
    own.remove().await;
}

#[tokio::test]
async fn a_program_that_is_not_in_the_image_and_one_of_another_architecture_are_named() {
    if !ready(PROGRAM) {
        return;
    }
    let image = "localhost/podpool-no-program:test";
    load(image, "/absent", PROGRAM);
    let spec = WorkerSpec {
        image: Some(image.to_owned()),
        ..patient("hang")
    };
    let words = ["/absent", "not in the image", "KubernetesOptions::image"];
    breaks(spec, &words, Duration::from_secs(30)).await;
    // A file that is no program for this processor, nor a script.
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("fleet-pod");
    fs::write(&file, "no program\n").unwrap();
    let image = "localhost/podpool-other-program:test";
    load(image, "/fleet-pod", file.to_str().unwrap());
    let spec = WorkerSpec {
        image: Some(image.to_owned()),
        ..patient("hang")
    };
    let words = ["another architecture", "kubernetes.io/arch"];
    breaks(spec, &words, Duration::from_secs(30)).await;
}

#[tokio::test]
async fn exit_codes_that_hold_for_all_workers_break_the_fleet_with_the_workers_words() {
    if !ready(PROGRAM) {
        return;
    }
    for code in [64, 65, 77] {
        let said = format!("what {code} means");
        let spec = WorkerSpec {
            start_timeout: None,
            schedule_timeout: None,
            ..spec_with_words(&format!("exit:{code}"), &said)
        };
        let exit = format!("exit code {code}");
        breaks(spec, &[&said, &exit], AT_ONCE).await;
    }
}

#[tokio::test]
async fn crashes_are_told_apart() {
    if !ready(PROGRAM) {
        return;
    }
    for (code, end, words) in [
        (101, End::Died(Exit::Code(101)), "panic"),
        (134, End::Died(Exit::Signal(6)), "SIGABRT"),
        (137, End::Died(Exit::Signal(9)), "not by its memory limit"),
        (139, End::Died(Exit::Signal(11)), "SIGSEGV"),
    ] {
        let mut bed = Bed::start(patient(&format!("exit:{code}")), 1).await;
        let began = Instant::now();
        bed.needed(1);
        let gone = bed.gone().await;
        println!("said after {:?}: {}", began.elapsed(), gone.reason);
        assert_eq!(gone.end, end);
        assert!(gone.reason.contains(words), "{}", gone.reason);
        bed.stop().await;
    }
}

#[tokio::test]
async fn an_eviction_and_a_deadline_that_a_policy_set_are_losses() {
    if !ready(PROGRAM) {
        return;
    }
    let mut bed = Bed::start(patient("hang"), 1).await;
    bed.needed(1);
    let pod = bed.running(1).await.remove(0).name_any();
    let began = Instant::now();
    let pods = bed.cluster.pods();
    pods.evict(&pod, &EvictParams::default()).await.unwrap();
    let gone = bed.gone().await;
    println!("said after {:?}: {}", began.elapsed(), gone.reason);
    assert_eq!((&*gone.worker, gone.end), (&*pod, End::Lost));
    assert!(gone.reason.contains("drained"), "{}", gone.reason);

    let another = |pods: &[Pod]| pods.iter().any(|other| other.name_any() != pod);
    bed.sight.until(another).await;
    let pod = bed.running(1).await.remove(0).name_any();
    let began = Instant::now();
    let change = Patch::Merge(json!({"spec": {"activeDeadlineSeconds": 1}}));
    pods.patch(&pod, &PatchParams::default(), &change)
        .await
        .unwrap();
    let gone = bed.gone().await;
    println!("said after {:?}: {}", began.elapsed(), gone.reason);
    assert_eq!((&*gone.worker, gone.end), (&*pod, End::Lost));
    assert!(
        gone.reason.contains("deadline that podpool does not set"),
        "{}",
        gone.reason
    );
    bed.stop().await;
}

#[tokio::test]
async fn a_deadline_that_passes_and_a_job_that_is_deleted_end_the_run_at_once() {
    if !ready(PROGRAM) {
        return;
    }
    let mut bed = Bed::start(patient("hang"), 1).await;
    bed.needed(1);
    bed.running(1).await;
    let job = bed.jobs().await.remove(0).name_any();
    let began = Instant::now();
    let change = Patch::Merge(json!({"spec": {"activeDeadlineSeconds": 1}}));
    let jobs = bed.cluster.jobs();
    jobs.patch(&job, &PatchParams::default(), &change)
        .await
        .unwrap();
    let reason = bed.broken().await;
    println!("said after {:?}", began.elapsed());
    assert!(
        reason.contains("KubernetesOptions::run_deadline"),
        "{reason}"
    );
    assert!(began.elapsed() < AT_ONCE);
    bed.stop().await;

    let mut bed = Bed::start(patient("hang"), 1).await;
    bed.needed(1);
    bed.running(1).await;
    let job = bed.jobs().await.remove(0).name_any();
    let began = Instant::now();
    bed.cluster
        .jobs()
        .delete(&job, &DeleteParams::background())
        .await
        .unwrap();
    let reason = bed.broken().await;
    println!("said after {:?}", began.elapsed());
    assert!(reason.contains("were deleted"), "{reason}");
    assert!(began.elapsed() < AT_ONCE);
    bed.stop().await;
}
