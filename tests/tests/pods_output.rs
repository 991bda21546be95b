//! Lines that tasks print in pods: their order with the ends of tasks, and a worker whose own streams are not read.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::fs;
use std::future::Future;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use podpool::RunId;
use podpool::kubernetes::client::Cluster;
use podpool::kubernetes::job::secret_name;
use podpool_tests::pods::Pods;
use podpool_tests::pods::desk::{BOUND, Desk};
use podpool_tests::pods::known::KnownRun;
use podpool_tests::pods::left::nothing_is_left;
use podpool_tests::pods::tasks::call_at;
use podpool_tests::tasks::{panicking, print_much};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::timeout;

podpool::test_slots!();

/// Tasks, and lines that each prints to either stream: far more than a pipe holds.
const TASKS: u64 = 20;
const LINES: u32 = 1000;

async fn within<F: Future>(what: &str, step: F) -> F::Output {
    match timeout(BOUND, step).await {
        Ok(output) => output,
        Err(_) => panic!("waited {BOUND:?} in vain for {what}"),
    }
}

/// Writes the files that the pods of a run mount into a directory.
async fn put_run(run: &RunId, dir: &Path) {
    let secrets = Cluster::connect(None).await.unwrap().secrets();
    let secret = secrets.get(&secret_name(run)).await.unwrap();
    for (name, value) in secret.data.unwrap() {
        fs::write(dir.join(name), value.0).unwrap();
    }
}

/// A worker of the run on this machine. Its streams are pipes, which are not read.
fn unread_worker(dir: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_pod-worker"))
        .env("PODPOOL_ROLE", "worker")
        .env("PODPOOL_RUN_DIR", dir)
        .env("PODPOOL_POD", "unread")
        .env("RUST_LOG", "trace")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn a_worker_whose_streams_are_not_read_runs_its_tasks_and_ends() {
    let Some(pods) = Pods::find(env!("CARGO_BIN_EXE_pod-worker")) else {
        return;
    };
    let desk = Desk::open(&pods).await;
    let known = KnownRun::default();
    let pool = known.builder(&pods, 1, 1).build().await.unwrap();
    // The only pod is busy, so the tasks run in the worker of this machine.
    let held = pool.submit(call_at(desk.address(), 1));
    let caller = desk.caller().await;
    let dir = tempfile::tempdir().unwrap();
    put_run(&known.run, dir.path()).await;
    let mut worker = unread_worker(dir.path());
    let printing: Vec<_> = (0..TASKS)
        .map(|n| pool.submit(print_much(n, LINES)))
        .collect();
    for (n, future) in (0..).zip(printing) {
        assert_eq!(within("a task that prints", future).await.unwrap(), n);
    }
    let pid = Pid::from_raw(i32::try_from(worker.id().unwrap()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let ended = within("the worker's end", worker.wait()).await.unwrap();
    assert_eq!(ended.code(), Some(143));
    caller.let_go().await;
    assert_eq!(within("the held task", held).await.unwrap(), 1);
    within("the shutdown", pool.shutdown()).await.unwrap();
    nothing_is_left(&known.run).await;
}

/// Tasks that panic one after another: the master has removed the earlier ones from its table by then.
const PANICS: u32 = 10;

#[tokio::test]
async fn the_lines_of_a_panic_come_before_its_error_and_bear_its_key() {
    let Some(pods) = Pods::find(env!("CARGO_BIN_EXE_pod-worker")) else {
        return;
    };
    let known = KnownRun::default();
    let told = Arc::<Mutex<Vec<String>>>::default();
    let keep = told.clone();
    let builder = known.builder(&pods, 1, 1).output(move |line| {
        let (name, key) = (line.name.unwrap_or("?"), line.key.unwrap_or("?"));
        let text = format!("{name} {key}: {}", line.line);
        keep.lock().unwrap().push(text);
    });
    let pool = builder.build().await.unwrap();
    for n in 0..PANICS {
        let call = panicking(1).key(format!("key {n}"));
        let error = within("an error", pool.submit(call)).await.unwrap_err();
        let start = format!("{} key {n}: ", error.task());
        let told = told.lock().unwrap().clone();
        let is_panic = |line: &String| line.starts_with(&start) && line.contains("panicked at");
        assert!(told.iter().any(is_panic), "{error}: {told:?}");
    }
    let last = pool.submit(print_much(7, 1).key("last"));
    assert_eq!(within("the last task", last).await.unwrap(), 7);
    within("the shutdown", pool.shutdown()).await.unwrap();
    let told = told.lock().unwrap().clone();
    let lasts = told.iter().filter(|line| line.contains(" last: line 0"));
    assert_eq!(lasts.count(), 2, "one for each stream: {told:?}");
    nothing_is_left(&known.run).await;
}
