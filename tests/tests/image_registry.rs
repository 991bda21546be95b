//! Images that masters push to a real registry: what is in them, what is uploaded again, and logins. The cluster is an
//! API server that only has a version, so a run goes no further than its image: the queue that comes next is not there.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use podpool_core::id::RunId;
use podpool_tests::api::{api, nobody, write_kubeconfig};
use podpool_tests::registry::{TestRegistry, changed};
use podpool_tests::scratch::Scratch;
use tokio::process::Command;
use tokio::time::timeout;

/// The longest that a master may take; it hashes and packs a program without optimisation.
const BOUND: Duration = Duration::from_secs(120);
const PROGRAM: &str = env!("CARGO_BIN_EXE_pod-master");

/// What a master printed: on its standard output why it went no further, on standard error its notices.
struct Said {
    out: String,
    notices: String,
}

/// Starts a master that pushes to a place of this registry.
async fn push(
    registry: &TestRegistry,
    place: &str,
    program: &Path,
    docker: &Path,
    more: &[(&str, &str)],
) -> Said {
    let dir = Scratch::new();
    let (server, serving) = api().await;
    let kubeconfig = dir.path().join("kubeconfig");
    write_kubeconfig(&kubeconfig, &server);
    let master = Command::new(program)
        .env_remove("GOOGLE_APPLICATION_CREDENTIALS")
        .env_remove("PODPOOL_IMAGE")
        .env("PUBSUB_EMULATOR_HOST", nobody().await)
        .env("PODPOOL_WORKER_EMULATOR_HOST", "10.0.0.1:8085")
        .env("KUBECONFIG", &kubeconfig)
        .env("HOME", dir.path())
        .env("XDG_CACHE_HOME", docker)
        .env("DOCKER_CONFIG", docker)
        .env("PODPOOL_REGISTRY", format!("{}/{place}", registry.host))
        .env("PODPOOL_REGISTRY_INSECURE", &registry.host)
        .envs(more.iter().copied())
        .kill_on_drop(true)
        .stderr(Stdio::piped())
        .output();
    let output = timeout(BOUND, master)
        .await
        .expect("build() hangs")
        .unwrap();
    serving.abort();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said {
        out: text(output.stdout),
        notices: text(output.stderr),
    }
}

/// A part of the registry's names that no other test and no earlier run has.
fn fresh() -> String {
    format!("test-{}", RunId::random())
}

#[track_caller]
fn says(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "{word:?} is not in {said:?}");
    }
}

/// The image is there, and the run has failed at what comes after it.
#[track_caller]
fn went_on(said: &Said) {
    says(&said.out, &["not built: ", "PUBSUB_EMULATOR_HOST"]);
}

#[tokio::test]
async fn an_image_is_pushed_once_and_its_program_runs() {
    let Some(registry) = TestRegistry::open() else {
        return;
    };
    let (place, dir) = (fresh(), Scratch::new());
    let repository = format!("{place}/pod-master");
    let first = push(&registry, &place, Path::new(PROGRAM), dir.path(), &[]).await;
    went_on(&first);
    let notice = format!("to {}/{repository}", registry.host);
    says(&first.notices, &["pushed ", " MiB ", &notice]);
    let tags = registry.tags(&repository).await;
    assert_eq!(tags.len(), 1, "{tags:?}");
    let second = push(&registry, &place, Path::new(PROGRAM), dir.path(), &[]).await;
    went_on(&second);
    assert!(!second.notices.contains("pushed "), "{}", second.notices);
    assert_eq!(registry.tags(&repository).await, tags);

    let image = registry.image(&repository, &tags[0]).await;
    assert_eq!(image.config["config"]["User"], "65532:65532");
    let root = dir.path().join("root");
    std::fs::create_dir(&root).unwrap();
    registry.unpack(&repository, &image, &root).await;
    runs(&root, &image.config).await;
}

/// Starts the program of an image in the image's own tree, with nothing of this machine: it must get as far as its own
/// error.
async fn runs(root: &Path, config: &serde_json::Value) {
    let entrypoint = config["config"]["Entrypoint"][0].as_str().unwrap();
    let env = config["config"]["Env"].as_array().unwrap().iter();
    let env = env.map(|pair| pair.as_str().unwrap().split_once('=').unwrap());
    let started = Command::new("unshare")
        .args(["--map-root-user", "chroot"])
        .arg(root)
        .arg(entrypoint)
        .env_clear()
        .envs(env)
        // Of the tools, which are outside of the tree.
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .kill_on_drop(true)
        .output();
    let output = timeout(BOUND, started)
        .await
        .expect("the program hangs")
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(said.starts_with("not built: "), "{said} {errors}");
}

#[tokio::test]
async fn on_a_base_a_changed_program_uploads_its_layer_alone() {
    let Some(registry) = TestRegistry::open() else {
        return;
    };
    let (place, dir) = (fresh(), Scratch::new());
    went_on(&push(&registry, &place, Path::new(PROGRAM), dir.path(), &[]).await);
    let repository = format!("{place}/pod-master");
    let tag = registry.tags(&repository).await.remove(0);
    // What was pushed is a base that has all.
    let (_, manifest) = registry.get(&format!("{repository}/manifests/{tag}")).await;
    let base = format!(
        "{}/{repository}@sha256:{}",
        registry.host,
        sha256(&manifest, dir.path()).await
    );
    let above = format!("{place}/above");
    let program = changed(PROGRAM, dir.path(), "changed");
    let bases = [("PODPOOL_BASE_IMAGE", &*base)];
    let said = push(&registry, &above, &program, dir.path(), &bases).await;
    went_on(&said);
    says(&said.notices, &["pushed "]);
    let repository = format!("{above}/pod-master");
    let tags = registry.tags(&repository).await;
    let image = registry.image(&repository, &tags[0]).await;
    assert_eq!(image.manifest["layers"].as_array().unwrap().len(), 2);
    let root = dir.path().join("root");
    std::fs::create_dir(&root).unwrap();
    registry.unpack(&repository, &image, &root).await;
    runs(&root, &image.config).await;
}

async fn sha256(bytes: &[u8], dir: &Path) -> String {
    let file = dir.join("hashed");
    std::fs::write(&file, bytes).unwrap();
    let output = Command::new("sha256sum").arg(&file).output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split(' ').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_private_registry_takes_the_right_login_alone() {
    let Some(registry) = TestRegistry::private() else {
        return;
    };
    let (place, dir) = (fresh(), Scratch::new());
    let master =
        async |docker: &Path| push(&registry, &place, Path::new(PROGRAM), docker, &[]).await;
    let none = master(dir.path()).await;
    let login = format!("docker login {}", registry.host);
    says(
        &none.out,
        &["not built: ", "401", "no login was found", &login],
    );
    registry.write_login(dir.path(), "nobody", "wrong");
    let wrong = master(dir.path()).await;
    says(
        &wrong.out,
        &["not built: ", "401", "not accepted", "config.json", &login],
    );
    let (user, password) = registry.login();
    registry.write_login(dir.path(), user, password);
    let right = master(dir.path()).await;
    went_on(&right);
    says(&right.notices, &["pushed "]);
    assert_eq!(registry.tags(&format!("{place}/pod-master")).await.len(), 1);
}

#[tokio::test]
async fn masters_that_push_the_same_at_a_time_do_not_disturb_each_other() {
    let Some(registry) = TestRegistry::open() else {
        return;
    };
    let (place, dir) = (fresh(), Scratch::new());
    let master = || push(&registry, &place, Path::new(PROGRAM), dir.path(), &[]);
    let (one, other) = tokio::join!(master(), master());
    went_on(&one);
    went_on(&other);
    assert_eq!(registry.tags(&format!("{place}/pod-master")).await.len(), 1);
}
