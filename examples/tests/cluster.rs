//! The flights program on a cluster: ten pods make the same files, byte for byte, as processes of this machine.
//!
//! The cluster is the one that `KUBECONFIG` names, the queue Google's emulator at `PUBSUB_EMULATOR_HOST`, the files are
//! in the bucket `test-bucket` of the server at `AWS_ENDPOINT`. `PODPOOL_TEST_LOAD_IMAGE` is a command that puts a
//! program on the nodes as an image, `PODPOOL_TEST_HOST` this machine's address as pods see it. Where one is missing
//! the test prints that and passes, except where `CI=true`.

#![expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]
#![expect(
    clippy::print_stdout,
    reason = "what is left out is said, and how long things took"
)]

use std::collections::BTreeMap;
use std::env;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures_util::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, parse_url_opts};
use podpool::RunId;
use podpool::kubernetes::client::Cluster;
use podpool::kubernetes::job::RUN_LABEL;
use podpool::pubsub::{Admin, Connection, Which};
use podpool_examples::flights::Out;
use serde_json::json;
use tokio::process::Child;
use url::Url;

/// The real input.
const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data");
const TABLES: [&str; 3] = ["flights.csv.gz", "weather.csv.gz", "airlines.csv"];
/// Every day's file, and the summary.
const FILES: usize = 366;
const IMAGE: &str = "localhost/podpool-flights:cluster-test";
const WORKERS: usize = 10;
/// The longest wait for one step; on a sound cluster no step takes so long.
const BOUND: Duration = Duration::from_secs(240);
/// From one look at the pods to the next.
const LOOK: Duration = Duration::from_millis(100);
/// The variables of this machine's environment that a worker needs beside the addresses.
const PASSED_ON: [&str; 4] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_ALLOW_HTTP",
    "AWS_REGION",
];

type Files = BTreeMap<String, Vec<u8>>;

/// The settings of the test, from its environment.
struct Ground {
    load: String,
    host: String,
    emulator: String,
    endpoint: String,
}

fn ground() -> Option<Ground> {
    needed("KUBECONFIG")?;
    Some(Ground {
        load: needed("PODPOOL_TEST_LOAD_IMAGE")?,
        host: needed("PODPOOL_TEST_HOST")?,
        emulator: needed("PUBSUB_EMULATOR_HOST")?,
        endpoint: needed("AWS_ENDPOINT")?,
    })
}

fn needed(name: &str) -> Option<String> {
    let value = env::var(name).ok().filter(|value| !value.is_empty());
    if value.is_none() {
        let ci = env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!ci, "{name} is not set, and CI=true leaves nothing out");
        println!("left out: {name} is not set, so there is no cluster to test with");
    }
    value
}

impl Ground {
    /// An address of this machine as pods see it.
    fn for_pods(&self, address: &str) -> String {
        let port = address.rsplit_once(':').unwrap().1;
        format!("{}:{}", self.host, port.trim_end_matches('/'))
    }

    fn load(&self, program: &Path) {
        let source = format!("{}=/flights", program.display());
        let loaded = Command::new(&self.load)
            .args([IMAGE, "/flights", &source])
            .status();
        assert!(loaded.unwrap().success(), "the image was not loaded");
    }

    /// The Secret whose keys become the workers' environment.
    async fn make_secret(&self, cluster: &Cluster, name: &str) {
        let mut variables = BTreeMap::from([(
            "AWS_ENDPOINT".to_owned(),
            format!("http://{}", self.for_pods(&self.endpoint)),
        )]);
        for name in PASSED_ON {
            variables.extend(env::var(name).ok().map(|value| (name.to_owned(), value)));
        }
        let secret = json!({"metadata": {"name": name}, "stringData": variables});
        let secret = serde_json::from_value(secret).unwrap();
        let secrets = cluster.secrets();
        secrets.create(&Default::default(), &secret).await.unwrap();
    }
}

/// The program, which `cargo test` builds beside this one.
fn flights() -> std::path::PathBuf {
    let here = env::current_exe().unwrap();
    let program = here.ancestors().nth(2).unwrap().join("examples/flights");
    assert!(
        program.exists(),
        "{} is missing: cargo build -p podpool-examples --features aws,kubernetes --example flights",
        program.display()
    );
    program
}

/// The objects below a URL, by name.
async fn below(url: &str) -> Files {
    let settings = env::vars().filter(|(name, _)| name.starts_with("AWS_"));
    let (store, prefix) = parse_url_opts(&Url::parse(url).unwrap(), settings).unwrap();
    let store: Arc<dyn ObjectStore> = store.into();
    let found: Vec<_> = store.list(Some(&prefix)).try_collect().await.unwrap();
    let mut files = Files::new();
    for found in found {
        let bytes = store.get(&found.location).await.unwrap().bytes().await;
        let name = found.location.filename().unwrap().to_owned();
        files.insert(name, bytes.unwrap().to_vec());
        store.delete(&found.location).await.unwrap();
    }
    files
}

fn in_directory(dir: &Path) -> Files {
    let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
    entries
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, std::fs::read(entry.path()).unwrap())
        })
        .collect()
}

/// The program on the cluster, with the directory where it keeps its output.
fn on_cluster(program: &Path, secret: &str, url: &str, emulator: &str) -> Child {
    tokio::process::Command::new(program)
        .args(["--backend", "kubernetes", "--workers", &WORKERS.to_string()])
        .args(["--input", &format!("{url}/in")])
        .args(["--out", &format!("{url}/out")])
        .env("PODPOOL_IMAGE", IMAGE)
        .env("PODPOOL_PULL_POLICY", "Never")
        .env("PODPOOL_CPU", "50m")
        .env("PODPOOL_MEMORY", "512Mi")
        .env("PODPOOL_ENV_FROM_SECRETS", secret)
        .env("PODPOOL_WORKER_EMULATOR_HOST", emulator)
        .env("PODPOOL_LABELS", format!("flights-test={secret}"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// The observations of a run by the test's own watch.
#[derive(Debug, Default)]
struct Seen {
    run: Option<RunId>,
    pods: usize,
    first_pod: Option<Duration>,
    first_running: Option<Duration>,
}

/// Follows the pods with the test's label, without end.
async fn follow(cluster: &Cluster, label: &str, seen: &mut Seen) {
    let began = Instant::now();
    loop {
        let pods = cluster.pods().list(&Default::default()).await.unwrap();
        let ours = pods.items.into_iter().filter(|pod| {
            let labels = pod.metadata.labels.iter().flatten();
            labels.into_iter().any(|(_, value)| value == label)
        });
        let mut count = 0;
        for pod in ours {
            count += 1;
            seen.first_pod.get_or_insert_with(|| began.elapsed());
            let labels = pod.metadata.labels.unwrap();
            seen.run = Some(RunId::new(&labels[RUN_LABEL]).unwrap());
            let phase = pod.status.and_then(|status| status.phase);
            if phase.as_deref() == Some("Running") {
                seen.first_running.get_or_insert_with(|| began.elapsed());
            }
        }
        seen.pods = seen.pods.max(count);
        // There is no event: a watch would need more of Kubernetes than this package has.
        tokio::time::sleep(LOOK).await;
    }
}

async fn nothing_is_left(cluster: &Cluster, run: &RunId, secret: &str) {
    let name = format!("pp-{run}");
    let jobs = cluster.jobs().list(&Default::default()).await.unwrap();
    let pods = cluster.pods().list(&Default::default()).await.unwrap();
    let jobs = jobs.items.into_iter().map(|job| job.metadata);
    let pods = pods.items.into_iter().map(|pod| pod.metadata);
    let of_run = |labels: &BTreeMap<String, String>| labels.values().any(|value| value == secret);
    let left: Vec<_> = jobs
        .chain(pods)
        .filter(|found| found.labels.as_ref().is_some_and(of_run))
        .map(|found| found.name.unwrap())
        .collect();
    assert!(left.is_empty(), "left on the cluster: {left:?}");
    let secret = cluster.secrets().get_opt(&name).await.unwrap();
    assert!(secret.is_none(), "the Secret {name} is left");
    let connection = Connection::builder().open().unwrap();
    let admin = Admin::new(&connection).await.unwrap();
    let which = Which::Run(run.clone());
    // Garbage of a named run is collected whatever its deadline.
    let any = SystemTime::UNIX_EPOCH;
    let found = admin.collect(any, &which).await.unwrap();
    assert!(
        found.deleted.is_empty() && found.failed.is_empty(),
        "left in Pub/Sub: {found:?}"
    );
}

#[tokio::test]
async fn ten_pods_make_the_same_files_as_processes_of_this_machine() {
    let Some(ground) = ground() else { return };
    let program = flights();
    ground.load(&program);
    let cluster = Cluster::connect(None).await.unwrap();
    let name = format!("flights-test-{}", RunId::random());
    let url = format!("s3://test-bucket/{name}");
    let input = Out::open(&format!("{url}/in")).unwrap();
    for table in TABLES {
        let bytes = std::fs::read(Path::new(DATA).join(table)).unwrap();
        input.put(table, bytes).await.unwrap();
    }
    ground.make_secret(&cluster, &name).await;

    let mut seen = Seen::default();
    let emulator = ground.for_pods(&ground.emulator);
    let program_run = on_cluster(&program, &name, &url, &emulator).wait_with_output();
    let ended = tokio::select! {
        ended = tokio::time::timeout(BOUND, program_run) => ended,
        () = follow(&cluster, &name, &mut seen) => unreachable!("it has no end"),
    };
    let secrets = cluster.secrets();
    let removed = secrets.delete(&name, &Default::default()).await;
    let ended = ended.expect("the program hangs").unwrap();
    removed.unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{said}");
    let times = said.lines().find(|line| line.starts_with("pool built"));
    let (pod, running) = (seen.first_pod.unwrap(), seen.first_running.unwrap());
    println!("{}", times.expect("the program says how long it took"));
    println!(
        "seen from outside: {} pods, the first after {pod:.2?}, running after {running:.2?}",
        seen.pods
    );
    assert!(seen.pods >= WORKERS, "{seen:?}");
    nothing_is_left(&cluster, &seen.run.unwrap(), &name).await;

    let found = below(&format!("{url}/out")).await;
    below(&format!("{url}/in")).await;
    let dir = tempfile::tempdir().unwrap();
    let local = Command::new(&program)
        .args(["--backend", "local", "--workers", "2", "--input", DATA])
        .arg("--out")
        .arg(dir.path())
        .env_remove("PODPOOL_BACKEND")
        .output()
        .unwrap();
    assert!(
        local.status.success(),
        "{}",
        String::from_utf8_lossy(&local.stderr)
    );
    let wanted = in_directory(dir.path());
    assert_eq!(wanted.len(), FILES);
    assert!(found.keys().eq(wanted.keys()), "other files were written");
    for (name, bytes) in &wanted {
        assert!(found[name] == *bytes, "{name} differs");
    }
}
