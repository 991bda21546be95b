//! The worker of a pod as a process, without a cluster.

use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::Duration;

use podpool_tests::scratch::Scratch;
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::unix::pipe;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(20);
/// From one try to open the pipe to the next.
const PAUSE: Duration = Duration::from_millis(10);

#[tokio::test]
async fn sigterm_is_heard_before_the_run_is_read() {
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
    // The pipe opens when the worker reads its key: it has begun, and knows no run yet.
    let open = async {
        loop {
            match pipe::OpenOptions::new().open_sender(&key) {
                Ok(sender) => break sender,
                Err(_) => sleep(PAUSE).await,
            }
        }
    };
    let sender = timeout(LIMIT, open).await.expect("it reads no key");
    let pid = Pid::from_raw(i32::try_from(worker.id().unwrap()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    drop(sender);
    let ended = timeout(LIMIT, worker.wait_with_output()).await;
    let ended = ended.expect("it hangs").unwrap();
    // As the first process of a container, where nobody hears a signal, it would live on until it is killed.
    assert_eq!(ended.status.signal(), None, "SIGTERM was not heard");
    assert_eq!(ended.status.code(), Some(78));
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("the run's key has 0 bytes"), "{said}");
}
