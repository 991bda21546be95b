//! Checks that a run leaves nothing behind.

use std::fs;
use std::time::{Duration, SystemTime};

use kube::api::ListParams;
use kube::{Resource, ResourceExt};
use podpool::RunId;
use podpool::kubernetes::client::Cluster;
use podpool::kubernetes::fleet::{Garbage, gc};
use podpool::kubernetes::job::run_selector;
use podpool::pubsub::{Admin, Collected, Connection, Which};
use tokio::time::{Instant, sleep};

use crate::pubsub::left::left as left_in_pubsub;

/// Longest time in which a run that has ended is removed: pods get a grace.
const LIMIT: Duration = Duration::from_secs(60);
/// From one check to the next. The emulator sends no event when a topic is gone, so there is none to wait for.
const PAUSE: Duration = Duration::from_millis(250);

/// Waits until nothing is left of a run, or fails with the names of what is left.
///
/// # Errors
/// The names of what is left after a while, of whatever kind.
///
/// # Panics
/// When cluster or emulator do not answer.
pub async fn until_nothing_is_left(run: &RunId) -> Result<(), Vec<String>> {
    let cluster = Cluster::connect(None).await.unwrap();
    let end = Instant::now() + LIMIT;
    loop {
        // Topics are removed last, after the end of the fleet. While one is left the cluster need not be queried.
        let mut left = left_in_pubsub(run).await;
        if left.is_empty() {
            left = on_cluster(&cluster, run).await;
        }
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() > end {
            return Err(left);
        }
        sleep(PAUSE).await;
    }
}

/// Jobs, pods and Secrets with the run's label.
async fn on_cluster(cluster: &Cluster, run: &RunId) -> Vec<String> {
    let of_run = ListParams::default().labels(&run_selector(run));
    let jobs = cluster.jobs().list(&of_run).await.unwrap();
    let pods = cluster.pods().list(&of_run).await.unwrap();
    let secrets = cluster.secrets().list(&of_run).await.unwrap();
    let mut names = named("job", &jobs.items);
    names.extend(named("pod", &pods.items));
    names.extend(named("secret", &secrets.items));
    names
}

fn named<K: Resource>(kind: &str, objects: &[K]) -> Vec<String> {
    let name = |object: &K| format!("{kind}/{}", object.name_any());
    objects.iter().map(name).collect()
}

/// Checks that nothing of a run is left: no Job, pod or Secret in the default namespace, no topic or subscription, no
/// worker's process on this machine. What is left is removed all the same.
///
/// # Panics
/// If something is left.
pub async fn nothing_is_left(run: &RunId) {
    nothing_is_left_in(&Cluster::connect(None).await.unwrap(), run).await;
}

/// As [`nothing_is_left`], for a run in another namespace.
///
/// # Panics
/// If something is left.
pub async fn nothing_is_left_in(cluster: &Cluster, run: &RunId) {
    let of_run = ListParams::default().labels(&run_selector(run));
    let pods = cluster.pods().list(&of_run).await.unwrap();
    let pods: Vec<_> = pods.iter().map(ResourceExt::name_any).collect();
    let removed = gc(cluster, &Garbage::Run(run.clone())).await.unwrap();
    let collected = collect(run).await;
    assert_eq!(pods, [""; 0], "pods of run {run} are left");
    assert_eq!(removed, [""; 0], "gc found objects of run {run}");
    assert_eq!(
        collected,
        Collected::default(),
        "gc found queues of run {run}"
    );
    assert_eq!(processes(run), [0; 0], "processes of run {run} are left");
}

async fn collect(run: &RunId) -> Collected {
    let connection = Connection::builder().open().unwrap();
    let admin = Admin::new(&connection);
    // A search by run ignores deadlines, so the time does not matter.
    let which = Which::Run(run.clone());
    admin.collect(SystemTime::UNIX_EPOCH, &which).await.unwrap()
}

/// Checks that a payload store holds nothing of a run.
///
/// # Panics
/// If the store holds something of the run.
#[cfg(feature = "payload")]
pub async fn nothing_is_stored(url: &str, run: &RunId) {
    use podpool::payload::PayloadStore;
    let runs = PayloadStore::runs(url).await.unwrap();
    assert!(!runs.contains(run), "{url} holds payloads of run {run}");
    let store = PayloadStore::open(url, run).unwrap();
    let usage = store.usage().await.unwrap();
    assert_eq!(usage, podpool::payload::Usage::default(), "run {run}");
}

/// Processes of this machine with the name of one of the run's pods in their environment: nodes of a test cluster may
/// be processes of this machine.
fn processes(run: &RunId) -> Vec<u32> {
    let pod = format!("PODPOOL_POD=pp-{run}-");
    let is_worker = |pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let mut variables = environment.split(|byte| *byte == 0);
        variables.any(|variable| variable.starts_with(pod.as_bytes()))
    };
    let Ok(all) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(is_worker).collect()
}
