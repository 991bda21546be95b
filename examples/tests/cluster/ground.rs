//! What the tests need of the cluster, the queue and the bucket, and what must be left of a run.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use futures_util::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, parse_url_opts};
use podpool::RunId;
use podpool::kubernetes::client::Cluster;
use podpool::pubsub::{Admin, Connection, Which};
use podpool_examples::flights::Out;
use serde_json::json;
use tokio::process::Child;
use tokio::sync::Mutex;
use url::Url;

/// The real input.
const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data");
const TABLES: [&str; 3] = ["flights.csv.gz", "weather.csv.gz", "airlines.csv"];
/// Every day's file, and the summary.
const FILES: usize = 366;
const IMAGE: &str = "localhost/podpool-flights:cluster-test";
pub(crate) const WORKERS: usize = 10;
/// The variables of this machine's environment that a worker needs beside the addresses.
const PASSED_ON: [&str; 4] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_ALLOW_HTTP",
    "AWS_REGION",
];

type Files = BTreeMap<String, Vec<u8>>;

/// One test at a time: each has ten pods, and a machine few processors.
pub(crate) static TURN: Mutex<()> = Mutex::const_new(());
/// What every test must find.
static WANTED: OnceLock<Files> = OnceLock::new();

/// The settings of the tests, from their environment.
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
fn flights() -> PathBuf {
    let here = env::current_exe().unwrap();
    let program = here.ancestors().nth(2).unwrap().join("examples/flights");
    assert!(
        program.exists(),
        "{} is missing: cargo build -p podpool-examples --features aws,kubernetes --example flights",
        program.display()
    );
    program
}

/// An image, a bucket's folder and a Secret for one test.
pub(crate) struct Place {
    program: PathBuf,
    pub(crate) cluster: Cluster,
    /// The value of a label that all its pods have.
    pub(crate) name: String,
    url: String,
    emulator: String,
}

fn store(url: &str) -> (Arc<dyn ObjectStore>, object_store::path::Path) {
    let settings = env::vars().filter(|(name, _)| name.starts_with("AWS_"));
    let (store, prefix) = parse_url_opts(&Url::parse(url).unwrap(), settings).unwrap();
    (store.into(), prefix)
}

/// The objects below a URL, by name. They are deleted.
async fn below(url: &str) -> Files {
    let (store, prefix) = store(url);
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

impl Place {
    /// Loads the image, and puts the input into the bucket; `None` where something is missing.
    pub(crate) async fn make() -> Option<Self> {
        let ground = ground()?;
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
        let emulator = ground.for_pods(&ground.emulator);
        Some(Self {
            program,
            cluster,
            name,
            url,
            emulator,
        })
    }

    /// The program, with its workers on the cluster.
    pub(crate) fn start(&self, more: &[&str]) -> Child {
        let Self {
            program,
            name,
            url,
            emulator,
            ..
        } = self;
        tokio::process::Command::new(program)
            .args(["--backend", "kubernetes", "--workers", &WORKERS.to_string()])
            .args(["--input", &format!("{url}/in")])
            .args(["--out", &format!("{url}/out")])
            .args(more)
            .env_remove("PODPOOL_LEDGER")
            .env("PODPOOL_IMAGE", IMAGE)
            .env("PODPOOL_PULL_POLICY", "Never")
            .env("PODPOOL_CPU", "50m")
            .env("PODPOOL_MEMORY", "512Mi")
            .env("PODPOOL_ENV_FROM_SECRETS", name)
            .env("PODPOOL_WORKER_EMULATOR_HOST", emulator)
            .env("PODPOOL_LABELS", format!("flights-test={name}"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    /// How many files the output has.
    #[cfg(feature = "ledger")]
    pub(crate) async fn count(&self) -> usize {
        let (store, prefix) = store(&format!("{}/out", self.url));
        let found: Vec<_> = store.list(Some(&prefix)).try_collect().await.unwrap();
        found.len()
    }

    /// Removes the Secret of the workers' environment.
    pub(crate) async fn remove_secret(&self) {
        let secrets = self.cluster.secrets();
        let removed = secrets.delete(&self.name, &Default::default()).await;
        removed.unwrap();
    }

    /// The output is that of processes of this machine. Input and output are deleted.
    pub(crate) async fn compare(&self) {
        let found = below(&format!("{}/out", self.url)).await;
        below(&format!("{}/in", self.url)).await;
        let wanted = WANTED.get_or_init(|| wanted(&self.program));
        assert_eq!(wanted.len(), FILES);
        assert!(found.keys().eq(wanted.keys()), "other files were written");
        for (name, bytes) in wanted {
            assert!(found[name] == *bytes, "{name} differs");
        }
    }
}

/// What processes of this machine write.
fn wanted(program: &Path) -> Files {
    let dir = tempfile::tempdir().unwrap();
    let local = Command::new(program)
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
    in_directory(dir.path())
}

pub(crate) async fn nothing_is_left(cluster: &Cluster, run: &RunId, secret: &str) {
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
    let admin = Admin::new(&connection);
    let which = Which::Run(run.clone());
    // Garbage of a named run is collected whatever its deadline.
    let any = SystemTime::UNIX_EPOCH;
    let found = admin.collect(any, &which).await.unwrap();
    assert!(
        found.deleted.is_empty() && found.failed.is_empty(),
        "left in Pub/Sub: {found:?}"
    );
}
