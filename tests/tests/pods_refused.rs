//! Pools whose workers cannot start: every pending future, or `build()`, has the reason within its bound, and no object
//! of the run is left.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]
#![expect(clippy::print_stdout, reason = "how long things took is worth knowing")]

use std::error::Error;
use std::process::Stdio;
use std::time::{Duration, Instant};

use podpool::error::ShutdownError;
use podpool::options::{GivenNames, KubernetesOptions, PubSubOptions};
use podpool::testing::Builder as _;
use podpool::{Builder, TaskErrorKind};
use podpool_core::id::RunId;
use podpool_tests::kubernetes::namespace::Own;
use podpool_tests::pods::Pods;
use podpool_tests::pods::desk::BOUND;
use podpool_tests::pods::left::{nothing_is_left, nothing_is_left_in};
use podpool_tests::tasks::echo;
use tokio::process::Command;
use tokio::time::timeout;

podpool::test_slots!();

/// How long an image or a setting may be refused, and workers wait for a place.
const START: Duration = Duration::from_secs(5);
/// What a busy machine may add to a bound.
const SLACK: Duration = Duration::from_secs(30);

fn pods() -> Option<Pods> {
    Pods::find(env!("CARGO_BIN_EXE_pod-worker"))
}

fn impatient(pods: &Pods) -> Builder {
    impatient_with(pods, |options| options)
}

fn impatient_with(
    pods: &Pods,
    change: impl FnOnce(KubernetesOptions) -> KubernetesOptions,
) -> Builder {
    let options = change(pods.options().schedule_timeout(START));
    pods.builder(2).start_timeout(START).kubernetes(options)
}

/// Builds a pool whose workers cannot work; returns the reason, the same for all its futures and its shutdown.
async fn refused(builder: Builder) -> String {
    let pool = builder.build().await.unwrap();
    let run = pool.run_id().clone();
    let began = Instant::now();
    let futures = [0, 1, 2].map(|n| pool.submit(echo(n)));
    let mut reasons = Vec::new();
    for future in futures {
        let ended = timeout(BOUND, future).await.expect("a future hangs");
        let error = ended.expect_err("nothing can have run");
        assert_eq!(error.kind(), TaskErrorKind::PoolBroken, "{error}");
        reasons.push(error.message().to_owned());
    }
    let took = began.elapsed();
    println!("broken after {took:?}: {}", reasons[0]);
    assert!(took < START + SLACK, "{took:?}");
    reasons.dedup();
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    let reason = reasons.remove(0);
    let late = pool.submit(echo(3)).await.expect_err("the pool is broken");
    assert_eq!(late.kind(), TaskErrorKind::PoolBroken, "{late}");
    let shutdown = timeout(BOUND, pool.shutdown()).await;
    let told = ShutdownError::Broken {
        reason: reason.clone(),
    };
    assert_eq!(shutdown.expect("the shutdown hangs"), Err(told));
    nothing_is_left(&run).await;
    reason
}

#[track_caller]
fn says(reason: &str, words: &[&str]) {
    for word in words {
        assert!(reason.contains(word), "{word:?} is not in {reason:?}");
    }
}

#[tokio::test]
async fn an_image_that_does_not_exist_is_named() {
    let Some(pods) = pods() else { return };
    let absent = "localhost/podpool-absent:1";
    let reason = refused(impatient_with(&pods, |options| options.image(absent))).await;
    says(&reason, &[absent, "pull_policy"]);
}

#[tokio::test]
async fn an_image_whose_task_has_another_shape_is_refused_by_the_tasks_name() {
    let Some(pods) = pods() else { return };
    let image = pods.load("pod-reshaped", env!("CARGO_BIN_EXE_pod-reshaped"));
    let reason = refused(impatient_with(&pods, |options| options.image(image))).await;
    says(
        &reason,
        &["podpool_tests::tasks::echo", "another shape", "same source"],
    );
}

/// An address in a pod at whose port no program listens.
const NOWHERE: &str = "127.0.0.1:1";

#[tokio::test]
async fn workers_that_do_not_reach_the_queue_report_it_within_the_start_timeout() {
    let Some(pods) = pods() else { return };
    let builder = impatient_with(&pods, |options| {
        options.env("PUBSUB_EMULATOR_HOST", NOWHERE)
    });
    let reason = refused(builder.start_timeout(2 * START)).await;
    says(
        &reason,
        &[
            "did not start",
            "exit code 75",
            NOWHERE,
            "PODPOOL_WORKER_EMULATOR_HOST",
        ],
    );
}

#[tokio::test]
async fn more_memory_than_any_node_has_is_reported_as_such() {
    let Some(pods) = pods() else { return };
    let reason = refused(impatient_with(&pods, |options| options.memory(1 << 50))).await;
    says(&reason, &["Insufficient memory", "ask for less"]);
}

#[tokio::test]
async fn a_missing_secret_is_named() {
    let Some(pods) = pods() else { return };
    let reason = refused(impatient_with(&pods, |options| {
        options.env_from_secret("podpool-absent")
    }))
    .await;
    says(&reason, &["podpool-absent", "PODPOOL_ENV_FROM_SECRETS"]);
}

#[tokio::test]
async fn names_that_do_not_exist_are_an_error_of_build() {
    let Some(pods) = pods() else { return };
    let run = RunId::random();
    let named = |what: &str| format!("administered-{run}-{what}");
    let names = GivenNames::new(
        (named("tasks"), named("tasks")),
        (named("results"), named("results")),
    );
    let options = PubSubOptions::default().names(names);
    let builder = impatient(&pods).exact_run_id(run.clone()).pubsub(options);
    let built = timeout(BOUND, builder.build()).await.expect("build hangs");
    let error = built.expect_err("there are no such topics");
    let cause = error.source().unwrap().to_string();
    println!("{error}: {cause}");
    says(&cause, &[&named("tasks"), "topic", "does not exist"]);
    nothing_is_left(&run).await;
}

#[tokio::test]
async fn a_namespace_without_rights_is_named_with_what_to_grant() {
    let Some(pods) = pods() else { return };
    let own = Own::new().await;
    let scratch = tempfile::tempdir().unwrap();
    let kubeconfig = scratch.path().join("kubeconfig");
    std::fs::write(&kubeconfig, own.kubeconfig("podpool-nobody")).unwrap();
    let began = Instant::now();
    let master = Command::new(env!("CARGO_BIN_EXE_pod-master"))
        .env("KUBECONFIG", &kubeconfig)
        .env("PODPOOL_NAMESPACE", &own.name)
        .env("PODPOOL_IMAGE", pods.image())
        .env("PODPOOL_PULL_POLICY", "Never")
        .env("PODPOOL_WORKER_EMULATOR_HOST", pods.emulator())
        .kill_on_drop(true)
        .stderr(Stdio::inherit())
        .output();
    let master = timeout(BOUND, master).await.expect("the master hangs");
    let said = String::from_utf8(master.unwrap().stdout).unwrap();
    println!("after {:?}:\n{said}", began.elapsed());
    let lines: Vec<_> = said.lines().collect();
    let run = lines[0].strip_prefix("run ").expect("it was built");
    let (futures, shutdown) = (&lines[1..4], lines[4]);
    for line in futures {
        says(line, &["PoolBroken", "podpool-nobody", "grant", &own.name]);
        assert_eq!(line, &futures[0], "one reason for all");
    }
    says(shutdown, &["shut down: the pool broke"]);
    nothing_is_left_in(&own.cluster, &RunId::new(run).unwrap()).await;
    own.remove().await;
}
