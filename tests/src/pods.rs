//! Whole pools on a cluster: what the tests of such pools need of the cluster.
//!
//! The cluster is the one that `KUBECONFIG` names, the queue is Google's emulator at `PUBSUB_EMULATOR_HOST`. Three more
//! variables are read: `PODPOOL_TEST_LOAD_IMAGE`, a command that loads a program onto the nodes as an image
//! (`TAG ENTRYPOINT SOURCE=DESTINATION…`), `PODPOOL_TEST_HOST`, this machine's address as pods see it, and
//! `PODPOOL_TEST_KILL_NODE`, a command that ends the node that its argument names. If a variable is missing, a test
//! prints that and passes, except where `CI=true`.

pub mod desk;
pub mod forgery;
pub mod known;
pub mod left;
pub mod scene;
pub mod tasks;
pub mod toll;
pub mod visits;
pub mod work;

use std::env;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use podpool::options::{KubernetesOptions, PullPolicy};
use podpool::{Backend, Builder, PodPoolExecutor};

/// The lease on this cluster: the shortest that Pub/Sub gives.
pub const LEASE: Duration = Duration::from_secs(10);

/// A cluster and a queue to test with.
#[derive(Clone, Debug)]
pub struct Pods {
    load: String,
    image: String,
    host: String,
    emulator_port: String,
}

impl Pods {
    /// The cluster, with the image of `program` loaded, once for each test program, under a tag of its own; `None` if
    /// there is no cluster.
    ///
    /// # Panics
    /// If the image cannot be loaded, or something is missing where `CI=true`.
    pub fn find(program: &str) -> Option<Self> {
        static LOADED: OnceLock<()> = OnceLock::new();
        let load = needed("PODPOOL_TEST_LOAD_IMAGE")?;
        needed("KUBECONFIG")?;
        let host = needed("PODPOOL_TEST_HOST")?;
        let emulator = needed("PUBSUB_EMULATOR_HOST")?;
        let image = tag_of_test();
        LOADED.get_or_init(|| load_image(&load, &image, program, "/pod-worker"));
        let port = emulator.rsplit_once(':').map_or("8085", |(_, port)| port);
        Some(Self {
            load,
            image,
            host,
            emulator_port: port.to_owned(),
        })
    }

    /// This machine's address, as pods see it.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The emulator's address, as pods see it.
    #[must_use]
    pub fn emulator(&self) -> String {
        format!("{}:{}", self.host, self.emulator_port)
    }

    /// The workers' image.
    #[must_use]
    pub fn image(&self) -> &str {
        &self.image
    }

    /// Loads another program onto the nodes; returns its image.
    ///
    /// # Panics
    /// If the program cannot be loaded.
    #[must_use]
    pub fn load(&self, name: &str, program: &str) -> String {
        let image = format!("localhost/podpool-{name}:test");
        load_image(&self.load, &image, program, &format!("/{name}"));
        image
    }

    /// A pool of so many small workers. What tasks print is shown as usual.
    pub fn builder(&self, workers: usize) -> Builder {
        PodPoolExecutor::builder()
            .backend(Backend::Kubernetes)
            .max_workers(workers)
            .kubernetes(self.options())
            .lease(LEASE)
            .start_timeout(Duration::from_secs(30))
            .signals(false)
    }

    /// The options of these workers.
    pub fn options(&self) -> KubernetesOptions {
        KubernetesOptions::default()
            .image(&self.image)
            .pull_policy(PullPolicy::Never)
            .cpu(50)
            .memory(256 << 20)
            .env("PUBSUB_EMULATOR_HOST", self.emulator())
            .schedule_timeout(Duration::from_secs(40))
    }
}

/// The tag of this test program's image. Several test programs run at once, and each needs an image of its own build.
fn tag_of_test() -> String {
    let program = env::current_exe().unwrap_or_default();
    let stem = program.file_stem().unwrap_or_default().to_string_lossy();
    let name = stem.rsplit_once('-').map_or(&*stem, |(name, _)| name);
    format!("localhost/podpool-{name}:test")
}

/// Loads a program and its libraries onto the nodes.
///
/// # Panics
/// If the program cannot be loaded.
pub fn load_image(load: &str, tag: &str, program: &str, entrypoint: &str) {
    let loaded = Command::new(load)
        .args([tag, entrypoint, &format!("{program}={entrypoint}")])
        .status();
    match loaded {
        Ok(status) if status.success() => {}
        other => panic!("{program} was not loaded as {tag}: {other:?}"),
    }
}

/// A variable without which a test is left out.
#[expect(clippy::print_stderr, reason = "what is left out must be seen")]
pub(crate) fn needed(name: &str) -> Option<String> {
    let value = env::var(name).ok().filter(|value| !value.is_empty());
    if value.is_none() {
        let why = format!("{name} is not set, so there is no cluster to test with");
        assert!(env::var("CI").as_deref() != Ok("true"), "{why}");
        eprintln!("left out: {why}");
    }
    value
}
