//! Runs on a cluster whose image the master itself made and pushed: to an open registry, to one that wants a login, and
//! of a static program.
//!
//! Beside what all tests of pods need: `PODPOOL_TEST_REGISTRY`, `PODPOOL_TEST_PRIVATE_REGISTRY` with
//! `PODPOOL_TEST_REGISTRY_AUTH`, both reached by that address from this machine and from the nodes, and
//! `PODPOOL_TEST_STATIC_PROGRAM`, `pod-master` for `x86_64-unknown-linux-musl`.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]
#![expect(clippy::print_stdout, reason = "how long things took is worth knowing")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, PostParams};
use podpool::kubernetes::client::Cluster;
use podpool_core::id::RunId;
use podpool_tests::pods::Pods;
use podpool_tests::pods::left::nothing_is_left;
use podpool_tests::registry::{TestRegistry, needed};
use podpool_tests::scratch::Scratch;
use tokio::process::Command;
use tokio::time::timeout;

podpool::test_slots!();

/// The longest that a master may take with its push, its pods and their removal.
const BOUND: Duration = Duration::from_secs(180);
const PROGRAM: &str = env!("CARGO_BIN_EXE_pod-master");

/// The cluster, and a registry.
struct Place {
    pods: Pods,
    registry: TestRegistry,
    repositories: String,
    dir: Scratch,
}

impl Place {
    fn new(pods: Option<Pods>, registry: Option<TestRegistry>) -> Option<Self> {
        Some(Self {
            pods: pods?,
            registry: registry?,
            repositories: format!("test-{}", RunId::random()),
            dir: Scratch::new(),
        })
    }

    /// Runs a master, whose three tasks must succeed; returns its notices.
    async fn run(&self, program: &Path, more: &[(&str, &str)]) -> String {
        let began = Instant::now();
        let emulator = self.pods.emulator();
        let master = Command::new(program)
            .env_remove("PODPOOL_IMAGE")
            .env("DOCKER_CONFIG", self.dir.path())
            .env(
                "PODPOOL_REGISTRY",
                format!("{}/{}", self.registry.host, self.repositories),
            )
            .env("PODPOOL_REGISTRY_INSECURE", &self.registry.host)
            .env("PODPOOL_WORKER_EMULATOR_HOST", &emulator)
            .env("PODPOOL_CPU", "50m")
            .env("PODPOOL_MEMORY", "256Mi")
            .envs(more.iter().copied())
            .kill_on_drop(true)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .output();
        let output = timeout(BOUND, master)
            .await
            .expect("the master hangs")
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let notices = String::from_utf8(output.stderr).unwrap();
        println!("after {:.1?}: {said}{notices}", began.elapsed());
        let lines: Vec<_> = said.lines().collect();
        assert_eq!(
            lines[1..],
            ["result 0", "result 1", "result 2", "shut down"],
            "{said}{notices}"
        );
        let run = lines[0].strip_prefix("run ").unwrap();
        nothing_is_left(&RunId::new(run).unwrap()).await;
        notices
    }

    fn pushed(&self) -> String {
        format!("to {}/{}/pod-master", self.registry.host, self.repositories)
    }
}

fn pods() -> Option<Pods> {
    Pods::find(env!("CARGO_BIN_EXE_pod-worker"))
}

#[tokio::test]
async fn a_master_runs_in_the_image_that_it_pushed_and_the_second_pushes_none() {
    let Some(place) = Place::new(pods(), TestRegistry::open()) else {
        return;
    };
    let first = place.run(Path::new(PROGRAM), &[]).await;
    assert!(
        first.contains("pushed ") && first.contains(&place.pushed()),
        "{first}"
    );
    let second = place.run(Path::new(PROGRAM), &[]).await;
    assert!(!second.contains("pushed "), "{second}");
}

#[tokio::test]
async fn nodes_pull_from_a_private_registry_with_a_secret() {
    let Some(place) = Place::new(pods(), TestRegistry::private()) else {
        return;
    };
    let (user, password) = place.registry.login();
    place.registry.write_login(place.dir.path(), user, password);
    let cluster = Cluster::connect(None).await.unwrap();
    let name = format!("podpool-test-{}", RunId::random());
    let config = place.registry.docker_config(user, password);
    let secret = Secret {
        metadata: kube::core::ObjectMeta {
            name: Some(name.clone()),
            ..kube::core::ObjectMeta::default()
        },
        string_data: Some(BTreeMap::from([(".dockerconfigjson".to_owned(), config)])),
        type_: Some("kubernetes.io/dockerconfigjson".to_owned()),
        ..Secret::default()
    };
    let secrets = cluster.secrets();
    secrets
        .create(&PostParams::default(), &secret)
        .await
        .unwrap();
    let variables = [("PODPOOL_PULL_SECRETS", &*name)];
    let notices = place.run(Path::new(PROGRAM), &variables).await;
    drop(
        secrets
            .delete(&name, &DeleteParams::default())
            .await
            .unwrap(),
    );
    assert!(notices.contains(&place.pushed()), "{notices}");
    assert!(
        !notices.contains("token"),
        "a password does not end: {notices}"
    );
}

#[tokio::test]
async fn a_static_program_runs_without_any_library() {
    let Some(place) = Place::new(pods(), TestRegistry::open()) else {
        return;
    };
    let Some(program) = needed("PODPOOL_TEST_STATIC_PROGRAM") else {
        return;
    };
    let notices = place.run(Path::new(&program), &[]).await;
    assert!(notices.contains(&place.pushed()), "{notices}");
    let repository = format!("{}/pod-master", place.repositories);
    let tag = place.registry.tags(&repository).await.remove(0);
    let image = place.registry.image(&repository, &tag).await;
    let root = place.dir.path().join("root");
    std::fs::create_dir(&root).unwrap();
    place.registry.unpack(&repository, &image, &root).await;
    assert!(root.join("podpool/bin/pod-master").exists());
    for library in ["podpool/lib", "lib", "lib64"] {
        assert!(!root.join(library).exists(), "{library}");
    }
}
