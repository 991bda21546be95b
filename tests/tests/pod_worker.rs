//! The worker of a pod as a process, without a cluster.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use podpool::RunId;
use podpool::pubsub::{RunNames, TAG};
use podpool_core::envelope::VERSION;
use podpool_tests::scratch::Scratch;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::net::unix::pipe;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

/// The longest wait for one event of these tests.
const LIMIT: Duration = Duration::from_secs(20);
/// The time that a busy machine may add.
const SLACK: Duration = Duration::from_secs(4);
/// From one try to open the pipe to the next: an open without a reader fails at once and gives no event to wait for.
const PAUSE: Duration = Duration::from_millis(10);

#[tokio::test]
async fn sigterm_is_handled_before_the_run_is_read() {
    let dir = Scratch::new();
    let key = dir.path().join("key");
    let made = Command::new("mkfifo").arg(&key).status().await;
    assert!(made.unwrap().success());
    let worker = Command::new(env!("CARGO_BIN_EXE_pod-worker"))
        .env("PODPOOL_ROLE", "worker")
        .env("PODPOOL_RUN_DIR", dir.path())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    // A named pipe opens for writing only when a reader opens it: the worker has begun, and is reading its key.
    let open = async {
        loop {
            match pipe::OpenOptions::new().open_sender(&key) {
                Ok(sender) => break sender,
                Err(_) => sleep(PAUSE).await,
            }
        }
    };
    let sender = timeout(LIMIT, open).await.expect("the worker reads no key");
    let pid = Pid::from_raw(i32::try_from(worker.id().unwrap()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    // The end of the pipe gives the worker an empty key, so it goes on to the next step after the signal.
    drop(sender);
    let ended = timeout(LIMIT, worker.wait_with_output()).await;
    let ended = ended.expect("it hangs").unwrap();
    // Process 1 of a container has no default action for signals, so without a handler it would run until SIGKILL.
    assert_eq!(ended.status.signal(), None, "SIGTERM was not handled");
    assert_eq!(ended.status.code(), Some(78));
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("the run's key has 0 bytes"), "{said}");
}

/// A run's directory, as its master writes it: one whose emulator is at this address.
fn write_run(dir: &Path, emulator: &str, start_timeout: Duration, idle: Duration) {
    let run = RunId::new("nightly").expect("a run's id");
    let key = [7; 32];
    let lease = Duration::from_secs(10);
    let queues = json!({
        "project": "demo",
        "emulator": emulator,
        "names": RunNames::own("podpool", &run).expect("names"),
        "owner": null,
        "ack_deadline": lease,
    });
    let body = json!({
        "run": run,
        "queues": { "tag": TAG, "body": queues.to_string() },
        "wire": VERSION,
        "lease": lease,
        "grace": Duration::from_secs(5),
        "start_timeout": start_timeout,
        "termination": Duration::from_secs(30),
        "idle": idle,
        "slots": 1,
        "max_tasks_per_slot": null,
        "memory": null,
        "initializer": null,
        "payload_store": null,
        "tasks": [],
        "build": "test",
    })
    .to_string();
    let hash = blake3::keyed_hash(&key, body.as_bytes()).to_hex();
    let descriptor = format!("podpool descriptor 2\n{hash}\n{body}");
    std::fs::write(dir.join("key"), key).expect("a file");
    std::fs::write(dir.join("descriptor"), descriptor).expect("a file");
}

#[tokio::test]
async fn a_worker_that_never_reaches_pubsub_ends_within_its_start_timeout_with_the_reason() {
    let dir = Scratch::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let emulator = listener.local_addr().unwrap().to_string();
    // The port has no listener any more, so connections are refused.
    drop(listener);
    let (start_timeout, idle) = (Duration::from_secs(6), Duration::from_secs(300));
    write_run(dir.path(), &emulator, start_timeout, idle);
    let began = Instant::now();
    let ended = Command::new(env!("CARGO_BIN_EXE_pod-worker"))
        .env("PODPOOL_ROLE", "worker")
        .env("PODPOOL_RUN_DIR", dir.path())
        .env_remove("PUBSUB_EMULATOR_HOST")
        .kill_on_drop(true)
        .output();
    let ended = timeout(LIMIT, ended).await.expect("it stays").unwrap();
    let took = began.elapsed();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(75), "{said}");
    assert!(took < start_timeout + SLACK, "{took:?}");
    for words in [&*emulator, "refused", "PODPOOL_WORKER_EMULATOR_HOST"] {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }
}
