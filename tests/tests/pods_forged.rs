//! Messages of another key on a run's topics: these messages are dropped and counted, and no task fails.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::fs;
use std::future::Future;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use futures_util::io::AsyncBufReadExt as _;
use futures_util::{StreamExt, pin_mut};
use kube::api::{ListParams, LogParams};
use kube::runtime::wait::await_condition;
use kube::runtime::wait::conditions::is_pod_running;
use podpool::RunId;
use podpool::kubernetes::client::Cluster;
use podpool::kubernetes::job::{run_selector, secret_name};
use podpool_tests::pods::Pods;
use podpool_tests::pods::desk::{BOUND, Desk};
use podpool_tests::pods::forgery::{WRONG, forge};
use podpool_tests::pods::known::KnownRun;
use podpool_tests::pods::left::nothing_is_left;
use podpool_tests::pods::tasks::call_at;
use podpool_tests::tasks::echo;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

podpool::test_slots!();

fn pods() -> Option<Pods> {
    Pods::find(env!("CARGO_BIN_EXE_pod-worker"))
}

async fn within<F: Future>(what: &str, step: F) -> F::Output {
    match timeout(BOUND, step).await {
        Ok(output) => output,
        Err(_) => panic!("waited {BOUND:?} in vain for {what}"),
    }
}

/// What the masters of this process log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// From now on.
    fn taken() -> Self {
        let log = Self::default();
        let writer = log.clone();
        tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .init();
        log
    }

    /// The highest count of dropped messages that was logged.
    fn dropped(&self) -> Option<u64> {
        let bytes = self.0.lock().unwrap();
        let log = String::from_utf8_lossy(&bytes);
        log.lines().filter_map(dropped).max()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The count in a line of a log.
fn dropped(line: &str) -> Option<u64> {
    let (_, rest) = line.split_once(" was dropped")?;
    let (_, count) = rest.split_once("dropped=")?;
    let digits = count.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// Follows the log of a run's only pod until it has dropped so many messages.
async fn pod_dropped(run: &RunId, count: u64) {
    let pods = Cluster::connect(None).await.unwrap().pods();
    let of_run = ListParams::default().labels(&run_selector(run));
    let found = pods.list(&of_run).await.unwrap().items;
    assert_eq!(found.len(), 1, "the worker went on");
    let name = found[0].metadata.name.as_deref().unwrap();
    // A task may connect before the cluster's status shows its container as running, and until then there is no log.
    let runs = await_condition(pods.clone(), name, is_pod_running());
    runs.await.unwrap();
    let params = LogParams {
        follow: true,
        ..LogParams::default()
    };
    let lines = pods.log_stream(name, &params).await.unwrap().lines();
    let counts = lines.filter_map(async |line| dropped(&line.ok()?));
    pin_mut!(counts);
    while let Some(so_far) = counts.next().await {
        if so_far == count {
            return;
        }
    }
    panic!("the pod ended before it had dropped {count} messages");
}

#[tokio::test]
async fn forged_messages_are_dropped_and_counted_and_fail_no_task() {
    let Some(pods) = pods() else { return };
    let log = Log::taken();
    let desk = Desk::open(&pods).await;
    let known = KnownRun::default();
    let pool = known.builder(&pods, 1, 1).build().await.unwrap();
    let held = pool.submit(call_at(desk.address(), 1));
    let caller = desk.caller().await;
    let forged = forge(&known);
    let (to_worker, to_master) = within("the forged messages", forged).await;
    let others: Vec<_> = (0..20).map(|n| pool.submit(echo(n))).collect();
    caller.let_go().await;
    assert_eq!(within("the held task", held).await.unwrap(), 1);
    for (n, future) in (0..).zip(others) {
        assert_eq!(within("a task", future).await.unwrap(), n);
    }
    within("the worker's count", pod_dropped(&known.run, to_worker)).await;
    within("the shutdown", pool.shutdown()).await.unwrap();
    println!("{to_worker} dropped by the worker, {to_master} by the master");
    assert_eq!(log.dropped(), Some(to_master));
    nothing_is_left(&known.run).await;
}

/// The run's descriptor, as its Secret has it.
async fn descriptor(run: &RunId) -> Vec<u8> {
    let secrets = Cluster::connect(None).await.unwrap().secrets();
    let secret = secrets.get(&secret_name(run)).await.unwrap();
    secret.data.unwrap().remove("descriptor").unwrap().0
}

/// The descriptor under another key, as a program would make it that has the format and not the key.
fn authenticated_again(descriptor: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(descriptor).unwrap();
    let lines: Vec<_> = text.splitn(3, '\n').collect();
    let hash = blake3::keyed_hash(&WRONG, lines[2].as_bytes()).to_hex();
    format!("{}\n{hash}\n{}", lines[0], lines[2]).into_bytes()
}

/// A worker on this machine with the wrong key.
fn stranger(dir: &Path, descriptor: &[u8]) -> Child {
    fs::write(dir.join("descriptor"), descriptor).unwrap();
    fs::write(dir.join("key"), WRONG).unwrap();
    Command::new(env!("CARGO_BIN_EXE_pod-worker"))
        .env("PODPOOL_ROLE", "worker")
        .env("PODPOOL_RUN_DIR", dir)
        .env("PODPOOL_POD", "stranger")
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn a_worker_with_a_wrong_key_takes_nothing() {
    let Some(pods) = pods() else { return };
    let desk = Desk::open(&pods).await;
    let known = KnownRun::default();
    let pool = known.builder(&pods, 1, 1).build().await.unwrap();
    let held = pool.submit(call_at(desk.address(), 1));
    let caller = desk.caller().await;
    let waiting = [0, 1, 2].map(|n| pool.submit(echo(n)));
    let descriptor = descriptor(&known.run).await;
    let dir = tempfile::tempdir().unwrap();

    let refused = stranger(dir.path(), &descriptor).wait_with_output();
    let refused = within("the refusal", refused).await.unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(65), "{said}");
    assert!(said.contains("MAC does not fit the key"), "{said}");

    let mut deceived = stranger(dir.path(), &authenticated_again(&descriptor));
    let mut lines = BufReader::new(deceived.stderr.take().unwrap()).lines();
    let began = Instant::now();
    let given_back = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            assert!(!line.contains("was dropped"), "{line}");
            if line.contains("were given back") {
                return line;
            }
        }
        panic!("the worker ended");
    };
    let line = within("a message that is given back", given_back).await;
    println!("after {:?}: {line}", began.elapsed());
    deceived.kill().await.unwrap();
    caller.let_go().await;
    assert_eq!(within("the held task", held).await.unwrap(), 1);
    for (n, future) in (0..).zip(waiting) {
        assert_eq!(within("a task", future).await.unwrap(), n);
    }
    within("the shutdown", pool.shutdown()).await.unwrap();
    nothing_is_left(&known.run).await;
}
