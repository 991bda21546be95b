//! Services that are away for a while, in the middle of a run on a cluster that is remembered: the API server, Pub/Sub,
//! and Pub/Sub that comes back without anything that was in it.
//!
//! `PODPOOL_TEST_OUTAGE` is how many seconds they are away: 5 by default.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]
#![expect(
    clippy::print_stdout,
    reason = "how long things took is worth knowing when a test fails"
)]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use podpool::RunId;
use podpool::ledger::{Ledger, Status};
use podpool::pubsub::{Admin, Connection, RunNames};
use podpool_tests::outage::{HOST, Relay};
use podpool_tests::pods::Pods;
use podpool_tests::pods::left::nothing_is_left;
use podpool_tests::scratch::Scratch;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{sleep, timeout};

podpool::test_slots!();

/// The longest wait for one event; on a sound cluster no event takes so long.
const BOUND: Duration = Duration::from_secs(180);

/// How long a service is away.
fn outage() -> Duration {
    let seconds = std::env::var("PODPOOL_TEST_OUTAGE").ok();
    Duration::from_secs(seconds.map_or(5, |seconds| seconds.parse().unwrap()))
}

/// How many tasks of 0.4 s two workers have: the run lasts longer than the outage. One that ends while the cluster is away
/// cannot remove what it made, and its error says so.
fn tasks() -> u64 {
    outage().as_secs() * 5 + 35
}

async fn within<F: Future>(what: &str, step: F) -> F::Output {
    match timeout(BOUND, step).await {
        Ok(output) => output,
        Err(_) => panic!("waited {BOUND:?} in vain for {what}"),
    }
}

/// A master in a process of its own.
struct Master {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    ledger: PathBuf,
    _scratch: Scratch,
}

impl Master {
    /// Starts it, with these variables in its environment.
    fn start(pods: &Pods, name: &str, variables: &[(&str, String)]) -> Self {
        let scratch = Scratch::new();
        let ledger = scratch.path().join("runs");
        let mut process = Command::new(env!("CARGO_BIN_EXE_outage-master"))
            .args([&ledger.display().to_string(), name, &tasks().to_string()])
            .env("PODPOOL_BACKEND", "kubernetes")
            .env("PODPOOL_IMAGE", pods.image())
            .env("PODPOOL_PULL_POLICY", "Never")
            .env("PODPOOL_CPU", "50m")
            .env("PODPOOL_MEMORY", "256Mi")
            .env("PODPOOL_WORKER_EMULATOR_HOST", pods.emulator())
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self {
            process,
            lines,
            ledger,
            _scratch: scratch,
        }
    }

    /// The rest of the next line that begins so.
    async fn says(&mut self, what: &str) -> String {
        loop {
            let line = within(what, self.lines.next_line()).await.unwrap();
            let line = line.unwrap_or_else(|| panic!("the master ended before {what:?}"));
            if let Some(rest) = line.strip_prefix(what) {
                return rest.trim().to_owned();
            }
        }
    }

    /// It ends well, everything is done and remembered, and nothing is left.
    async fn ends(mut self, run: &RunId) {
        let back = Instant::now();
        assert_eq!(self.says("done").await, tasks().to_string());
        println!("the run ended {:.1?} after the outage", back.elapsed());
        let status = within("the end", self.process.wait()).await;
        assert!(status.unwrap().success(), "the run failed");
        let mut remembered = Ledger::open(&self.ledger).run(run.as_str()).unwrap();
        let all = remembered.tasks().unwrap();
        let done = all.iter().filter(|task| task.status == Status::Done);
        let expected = usize::try_from(tasks()).unwrap();
        assert_eq!((done.count(), all.len()), (expected, expected));
        nothing_is_left(run).await;
    }
}

/// A copy of the kubeconfig, whose cluster is behind a relay.
async fn behind_a_relay(directory: &Path) -> (PathBuf, Relay) {
    let path = std::env::var("KUBECONFIG").unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    let server = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("server: https://"));
    let server = server.expect("the kubeconfig names a server").to_owned();
    let host = server.split(':').next().unwrap();
    let relay = Relay::open(server.clone()).await;
    let own = format!("https://{}\n    tls-server-name: {host}", relay.address());
    let path = directory.join("kubeconfig");
    std::fs::write(&path, text.replace(&format!("https://{server}"), &own)).unwrap();
    (path, relay)
}

async fn away(relay: &Relay) {
    relay.close().await;
    println!("away for {:?}", outage());
    // The sleep is the outage.
    sleep(outage()).await;
    relay.reopen().await;
}

fn pods() -> Option<Pods> {
    Pods::find(env!("CARGO_BIN_EXE_pod-worker"))
}

#[tokio::test]
async fn the_cluster_is_away() {
    let Some(pods) = pods() else { return };
    let scratch = Scratch::new();
    let (config, relay) = behind_a_relay(scratch.path()).await;
    let config = config.display().to_string();
    let mut master = Master::start(&pods, "no-cluster", &[("KUBECONFIG", config)]);
    let run = RunId::new(&master.says("run").await).unwrap();
    master.says("under way").await;
    away(&relay).await;
    master.ends(&run).await;
}

#[tokio::test]
async fn the_queue_is_away() {
    let Some(pods) = pods() else { return };
    let relay = Relay::open(std::env::var(HOST).unwrap()).await;
    let mut master = Master::start(&pods, "no-queue", &[(HOST, relay.address())]);
    let run = RunId::new(&master.says("run").await).unwrap();
    master.says("under way").await;
    away(&relay).await;
    master.ends(&run).await;
}

#[tokio::test]
async fn the_queue_comes_back_empty() {
    let Some(pods) = pods() else { return };
    let relay = Relay::open(std::env::var(HOST).unwrap()).await;
    let mut master = Master::start(&pods, "empty-queue", &[(HOST, relay.address())]);
    let run = RunId::new(&master.says("run").await).unwrap();
    master.says("under way").await;
    relay.close().await;
    let names = RunNames::own("podpool", &run).unwrap();
    let admin = Admin::new(&Connection::builder().open().unwrap());
    let gone = admin.delete_run(&names, &run).await;
    assert!(gone.deleted.len() >= 7, "{gone:?}");
    sleep(outage()).await;
    relay.reopen().await;
    master.ends(&run).await;
}
