//! The Dockerfile and the manifests of runner-image, for real: masters that run in the cluster, as a Job and as a
//! CronJob, with no rights but those of the manifests' Role, in a namespace with the strictest rules for pods.

use podpool_tests::masters::Masters;

const HELLO: &str = env!("CARGO_BIN_EXE_hello-pod");
const NAPPING: &str = env!("CARGO_BIN_EXE_napping-pod");

/// A suspended CronJob, whose master ignores SIGTERM and is killed soon after that signal.
const DEAF: [&str; 2] = [
    r"apiVersion: batch/v1
kind: CronJob
metadata: {name: podpool-master, namespace: podpool}
spec:
  suspend: true
  jobTemplate:
    spec:
      template:
        spec:
          terminationGracePeriodSeconds: 2",
    r"apiVersion: v1
kind: ConfigMap
metadata: {name: podpool-settings, namespace: podpool}
data: {NAPPING_POD: deaf}",
];

/// Starts a Job of the CronJob.
const BY_HAND: [&str; 5] = [
    "create",
    "job",
    "by-hand",
    "--from",
    "cronjob/podpool-master",
];

#[tokio::test]
async fn a_master_in_a_job_prints_its_results_and_leaves_nothing() {
    let Some(masters) = Masters::find(HELLO, "podpool-hello").await else {
        return;
    };
    masters.apply("master-job.yaml", &[]);
    let output = masters.output("podpool-master").await;
    for name in ["Ada", "Edsger", "Grace"] {
        let greeting = format!("hello {name}, from process ");
        assert!(output.contains(&greeting), "{output}");
    }
    assert_eq!(masters.left_in_cluster().await, Vec::<String>::new());
    assert_eq!(masters.left_in_pubsub().await, Vec::<String>::new());
    masters.remove().await;
}

#[tokio::test]
async fn a_master_that_is_deleted_removes_its_run() {
    let Some(masters) = Masters::find(NAPPING, "podpool-napping").await else {
        return;
    };
    masters.apply("master-job.yaml", &[]);
    masters.workers("podpool-master").await;
    masters.delete("podpool-master").await;
    assert_eq!(masters.left_in_cluster().await, Vec::<String>::new());
    assert_eq!(masters.left_in_pubsub().await, Vec::<String>::new());
    masters.remove().await;
}

#[tokio::test]
async fn the_workers_of_a_master_that_is_killed_go_with_its_job() {
    let Some(masters) = Masters::find(NAPPING, "podpool-napping").await else {
        return;
    };
    masters.apply("master-cronjob.yaml", &DEAF);
    masters.kubectl(&BY_HAND);
    let workers = masters.workers("by-hand").await;
    let master = masters.masters_pod("by-hand").await;
    let masters_job = &master.metadata.owner_references.unwrap()[0];
    for job in &workers {
        let owners = job.metadata.owner_references.as_ref().unwrap();
        assert_eq!(owners.len(), 1, "{owners:?}");
        assert_eq!(
            (&*owners[0].kind, &owners[0].uid),
            ("Job", &masters_job.uid)
        );
    }
    masters.delete("by-hand").await;
    assert_eq!(masters.left_in_cluster().await, Vec::<String>::new());
    // A killed master may leave topics. The collection finds them by their label and deletes them, so that a second
    // one finds none.
    drop(masters.left_in_pubsub().await);
    assert_eq!(masters.left_in_pubsub().await, Vec::<String>::new());
    masters.remove().await;
}
