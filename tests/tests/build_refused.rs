//! `build()` of a pool whose cluster or Pub/Sub is not there: it ends within seconds, and names what to set.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]
#![expect(clippy::print_stdout, reason = "how long things took is worth knowing")]

use std::process::Stdio;
use std::time::{Duration, Instant};

use podpool_tests::api::{api, nobody, write_kubeconfig};
use podpool_tests::scratch::Scratch;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::time::timeout;

/// Within this time a wrong address is reported.
const SOON: Duration = Duration::from_secs(5);
/// Within this time a server is reported that accepts a connection and sends nothing.
const MUTE: Duration = Duration::from_secs(10);
/// The time that a busy machine may add.
const SLACK: Duration = Duration::from_secs(3);

/// The error of `build()` with this API server and these variables beside it, and how long it took.
async fn refused(server: &str, variables: &[(&str, &str)]) -> (String, Duration) {
    let dir = Scratch::new();
    let kubeconfig = dir.path().join("kubeconfig");
    write_kubeconfig(&kubeconfig, server);
    let began = Instant::now();
    let master = Command::new(env!("CARGO_BIN_EXE_pod-master"))
        .env_remove("PUBSUB_EMULATOR_HOST")
        .env_remove("GOOGLE_CLOUD_PROJECT")
        .env_remove("GOOGLE_APPLICATION_CREDENTIALS")
        .env("KUBECONFIG", &kubeconfig)
        .env("HOME", dir.path())
        .env("PODPOOL_IMAGE", "registry.example/none:1")
        .envs(variables.iter().copied())
        .kill_on_drop(true)
        .stderr(Stdio::inherit())
        .output();
    let master = timeout(Duration::from_secs(30), master).await;
    let took = began.elapsed();
    let said = String::from_utf8(master.expect("build() hangs").unwrap().stdout).unwrap();
    println!("after {took:.1?}: {said}");
    assert!(said.starts_with("not built: "), "{said}");
    (said, took)
}

#[track_caller]
fn says(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "{word:?} is not in {said:?}");
    }
}

#[tokio::test]
async fn an_emulator_that_is_not_there_is_named_with_its_variable() {
    let (server, _serving) = api().await;
    let emulator = nobody().await;
    let variables = [
        ("PUBSUB_EMULATOR_HOST", &*emulator),
        ("PODPOOL_WORKER_EMULATOR_HOST", "10.0.0.1:8085"),
    ];
    let (said, took) = refused(&server, &variables).await;
    says(&said, &[&emulator, "PUBSUB_EMULATOR_HOST", "refused"]);
    assert!(took < SOON + SLACK, "{took:?}");
}

#[tokio::test]
async fn missing_credentials_are_named_with_their_variable() {
    let (server, _serving) = api().await;
    let metadata = nobody().await;
    let variables = [
        ("PODPOOL_PROJECT", "demo"),
        ("GCE_METADATA_HOST", &metadata),
    ];
    let (said, took) = refused(&server, &variables).await;
    says(&said, &["GOOGLE_APPLICATION_CREDENTIALS"]);
    assert!(took < SOON + SLACK, "{took:?}");
}

#[tokio::test]
async fn a_missing_project_is_named_with_its_variables() {
    let (server, _serving) = api().await;
    let (said, took) = refused(&server, &[]).await;
    says(&said, &["PODPOOL_PROJECT", "GOOGLE_CLOUD_PROJECT"]);
    assert!(took < SOON + SLACK, "{took:?}");
}

#[tokio::test]
async fn an_emulator_of_this_machine_alone_is_refused_with_the_options_name() {
    let variables = [("PUBSUB_EMULATOR_HOST", "localhost:8085")];
    let (said, took) = refused(&nobody().await, &variables).await;
    let options = ["worker_emulator_host", "PODPOOL_WORKER_EMULATOR_HOST"];
    says(&said, &options);
    assert!(took < SOON, "{took:?}");
}

#[tokio::test]
async fn a_cluster_that_refuses_is_named_with_its_variable() {
    let server = nobody().await;
    let (said, took) = refused(&server, &[("PODPOOL_PROJECT", "demo")]).await;
    says(&said, &[&server, "KUBECONFIG", "refused"]);
    assert!(took < SOON + SLACK, "{took:?}");
}

#[tokio::test]
async fn a_cluster_that_does_not_answer_is_named_with_its_variable() {
    // The kernel accepts connections into the backlog; the test never accepts or reads them.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap().to_string();
    let (said, took) = refused(&server, &[("PODPOOL_PROJECT", "demo")]).await;
    says(&said, &[&server, "KUBECONFIG", "no answer"]);
    assert!(took < MUTE + SLACK, "{took:?}");
}

/// Without the feature the setting is refused by the feature's name, and with it by what it may be.
#[tokio::test]
async fn a_registry_that_is_none_is_refused_with_what_to_do() {
    let variables = [
        ("PODPOOL_PROJECT", "demo"),
        ("PODPOOL_IMAGE", ""),
        ("PODPOOL_REGISTRY", "team"),
    ];
    let (said, took) = refused(&nobody().await, &variables).await;
    match cfg!(feature = "image") {
        true => says(&said, &["PODPOOL_REGISTRY", "registry.example/team"]),
        false => says(&said, &["PODPOOL_REGISTRY", "features = [\"image\"]"]),
    }
    assert!(took < SOON, "{took:?}");
}

#[cfg(feature = "image")]
#[tokio::test]
async fn a_registry_that_is_not_there_is_named_with_its_variable() {
    let (server, _serving) = api().await;
    let registry = nobody().await;
    let variables = [
        ("PODPOOL_PROJECT", "demo"),
        ("PODPOOL_IMAGE", ""),
        ("PODPOOL_REGISTRY", &*registry),
        ("PODPOOL_REGISTRY_INSECURE", &registry),
    ];
    let (said, took) = refused(&server, &variables).await;
    says(
        &said,
        &[&registry, "pod-master", "PODPOOL_REGISTRY", "refused"],
    );
    assert!(took < SOON + SLACK, "{took:?}");
}

/// A push may take minutes. Nothing of the run is made meanwhile, so a signal ends the program at once.
#[cfg(feature = "image")]
#[tokio::test]
async fn a_master_that_is_interrupted_during_a_push_ends_at_once() {
    use rustix::process::{Pid, Signal, kill_process};

    let (server, _serving) = api().await;
    // It accepts connections, and answers nothing.
    let registry = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = registry.local_addr().unwrap().to_string();
    let dir = Scratch::new();
    let kubeconfig = dir.path().join("kubeconfig");
    write_kubeconfig(&kubeconfig, &server);
    let master = Command::new(env!("CARGO_BIN_EXE_napping-pod"))
        .env_remove("PUBSUB_EMULATOR_HOST")
        .env_remove("PODPOOL_IMAGE")
        .env("KUBECONFIG", &kubeconfig)
        .env("HOME", dir.path())
        .env("PODPOOL_BACKEND", "kubernetes")
        .env("PODPOOL_PROJECT", "demo")
        .env("PODPOOL_REGISTRY", &host)
        .env("PODPOOL_REGISTRY_INSECURE", &host)
        .kill_on_drop(true)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let connected = timeout(Duration::from_secs(60), registry.accept()).await;
    let _socket = connected.expect("the registry is not asked").unwrap();
    let began = Instant::now();
    let pid = Pid::from_raw(i32::try_from(master.id().unwrap()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let ended = timeout(Duration::from_secs(30), master.wait_with_output()).await;
    let took = began.elapsed();
    let output = ended.expect("the master goes on").unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    println!("after {took:.1?}: {said}");
    says(&said, &["interrupted before anything of it was made"]);
    assert!(took < SOON, "{took:?}");
}
