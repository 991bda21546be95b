//! Whole pools on a cluster: what their tests need of it.
//!
//! The cluster is the one that `KUBECONFIG` names, the queue Google's emulator at `PUBSUB_EMULATOR_HOST`. Three
//! variables say how to reach the machinery: `PODPOOL_TEST_LOAD_IMAGE`, a command that puts a program on the nodes as
//! an image (`TAG ENTRYPOINT SOURCE=DESTINATION…`), `PODPOOL_TEST_HOST`, this machine's address as pods see it, and
//! `PODPOOL_TEST_KILL_NODE`, a command that ends the node it is given. Where one is missing a test says so and passes,
//! except where `CI=true`.

use std::env;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use podpool::kubernetes::spec::PullPolicy;
use podpool::{Backend, Builder, PodPoolExecutor};

/// The image of `pod-worker`, which knows the tasks of [`tasks`](crate::tasks).
pub const IMAGE: &str = "localhost/podpool-pod-worker:test";

/// The lease on this cluster: the shortest that Pub/Sub gives.
pub const LEASE: Duration = Duration::from_secs(10);

/// A cluster and a queue to test with.
#[derive(Clone, Debug)]
pub struct Pods {
    host: String,
    emulator_port: String,
}

impl Pods {
    /// The cluster, with the image of `program` loaded, once for each test program; `None` if there is no cluster.
    ///
    /// # Panics
    /// If the image cannot be loaded, or something is missing where `CI=true`.
    pub fn find(program: &str) -> Option<Self> {
        static LOADED: OnceLock<()> = OnceLock::new();
        let load = needed("PODPOOL_TEST_LOAD_IMAGE")?;
        needed("KUBECONFIG")?;
        let host = needed("PODPOOL_TEST_HOST")?;
        let emulator = needed("PUBSUB_EMULATOR_HOST")?;
        LOADED.get_or_init(|| load_image(&load, IMAGE, program, "/pod-worker"));
        let port = emulator.rsplit_once(':').map_or("8085", |(_, port)| port);
        Some(Self {
            host,
            emulator_port: port.to_owned(),
        })
    }

    /// This machine's address, as pods see it.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// A pool of so many small workers. What tasks print is shown as usual.
    pub fn builder(&self, workers: usize) -> Builder {
        PodPoolExecutor::builder()
            .backend(Backend::Kubernetes)
            .max_workers(workers)
            .image(IMAGE)
            .pull_policy(PullPolicy::Never)
            .worker_cpu(50)
            .worker_memory(256 << 20)
            .worker_env(
                "PUBSUB_EMULATOR_HOST",
                format!("{}:{}", self.host, self.emulator_port),
            )
            .lease(LEASE)
            .start_timeout(Duration::from_secs(10))
            .schedule_timeout(Duration::from_secs(40))
            .ignore_ctrl_c()
    }
}

/// Puts a program and its libraries on the nodes.
///
/// # Panics
/// If it cannot be loaded.
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
fn needed(name: &str) -> Option<String> {
    let value = env::var(name).ok().filter(|value| !value.is_empty());
    if value.is_none() {
        let why = format!("{name} is not set, so there is no cluster to test with");
        assert!(env::var("CI").as_deref() != Ok("true"), "{why}");
        eprintln!("left out: {why}");
    }
    value
}
