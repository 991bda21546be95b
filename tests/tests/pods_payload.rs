//! Large arguments and results between this machine and pods, through a bucket of an S3 server and without one.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]
#![expect(
    clippy::print_stdout,
    reason = "what is left out, and how long things took"
)]

use std::env;
use std::future::Future;
use std::time::{Duration, Instant};

use podpool::{Builder, TaskErrorKind};
use podpool_core::id::RunId;
use podpool_tests::pods::Pods;
use podpool_tests::pods::left::{nothing_is_left, nothing_is_stored};
use podpool_tests::pods::tasks::{lengthy, shout};

podpool::test_slots!();

/// The longest that one result takes, behind the others of its kind.
const BOUND: Duration = Duration::from_secs(150);
const MB: usize = 1_000_000;

fn pods() -> Option<Pods> {
    Pods::find(env!("CARGO_BIN_EXE_pod-worker"))
}

async fn within<F: Future>(what: &str, step: F) -> F::Output {
    match tokio::time::timeout(BOUND, step).await {
        Ok(output) => output,
        Err(_) => panic!("waited {BOUND:?} in vain for {what}"),
    }
}

/// A place of its own in the bucket, and a pool that keeps its payloads there; `None` where there is no server.
fn stored(pods: &Pods, workers: usize, memory: u64) -> Option<(String, Builder)> {
    let Ok(endpoint) = env::var("AWS_ENDPOINT") else {
        let ci = env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!ci, "AWS_ENDPOINT is not set, and CI leaves nothing out");
        println!("left out: AWS_ENDPOINT names no S3 server");
        return None;
    };
    let url = format!("s3://test-bucket/pods-{}", RunId::random());
    let endpoint = endpoint.replace("127.0.0.1", pods.host());
    let options = pods.options().memory(memory);
    let mut options = options.env("AWS_ENDPOINT", endpoint);
    for name in [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_REGION",
        "AWS_ALLOW_HTTP",
    ] {
        options = options.env(name, env::var(name).unwrap_or_default());
    }
    let builder = pods.builder(workers).payload_store(&url);
    Some((url, builder.kubernetes(options)))
}

/// So many bytes that no other task has.
fn text(task: usize, bytes: usize) -> String {
    let line = format!("line of task {task:05}, ");
    let mut text = line.repeat(bytes / line.len() + 1);
    text.truncate(bytes);
    text
}

/// Sends texts to pods, which return them; each text must arrive whole.
async fn there_and_back(pool: &podpool::PodPoolExecutor, tasks: usize, bytes: usize) {
    let began = Instant::now();
    let futures: Vec<_> = (0..tasks)
        .map(|task| pool.submit(shout(text(task, bytes))))
        .collect();
    for (task, future) in futures.into_iter().enumerate() {
        let result = within("a result", future).await.unwrap();
        let sent = text(task, bytes).to_ascii_uppercase();
        assert!(result == sent, "the bytes of task {task} changed");
    }
    println!("{tasks} × {bytes} bytes took {:?}", began.elapsed());
}

#[tokio::test]
async fn small_and_large_payloads_arrive_whole_and_nothing_stays() {
    let Some(pods) = pods() else { return };
    // A worker has several copies of a task's arguments and result in memory: encoded, in transfer, and in its slot.
    let Some((url, builder)) = stored(&pods, 3, 1 << 30) else {
        return;
    };
    let pool = builder.build().await.unwrap();
    there_and_back(&pool, 300, 50_000).await;
    there_and_back(&pool, 20, 30 * MB).await;
    within("the shutdown", pool.shutdown()).await.unwrap();
    nothing_is_left(pool.run_id()).await;
    nothing_is_stored(&url, pool.run_id()).await;
}

#[tokio::test]
async fn without_a_store_what_no_message_carries_is_rejected_with_the_settings_name() {
    let Some(pods) = pods() else { return };
    let options = pods.options().memory(1 << 29);
    let pool = pods.builder(1).kubernetes(options).build().await.unwrap();
    let argument = pool.submit(shout(text(0, 30 * MB)));
    let result = pool.submit(lengthy(30 * MB));
    for (what, future) in [("arguments", argument), ("result", result)] {
        let error = within(what, future).await.expect_err("it is too large");
        println!("{error}");
        assert_eq!(error.kind(), TaskErrorKind::Rejected, "{error}");
        for word in [what, "payload_store", "PODPOOL_PAYLOAD_STORE"] {
            assert!(error.message().contains(word), "{word:?}: {error}");
        }
    }
    // The pool continues.
    let small = within("a small task", pool.submit(shout("a".to_owned()))).await;
    assert_eq!(small.unwrap(), "A");
    within("the shutdown", pool.shutdown()).await.unwrap();
    nothing_is_left(pool.run_id()).await;
}
