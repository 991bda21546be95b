//! A fleet on the cluster that `KUBECONFIG` names, and what the fleet's tests see of the cluster.
//!
//! Without a cluster a test prints that and passes, except where `CI=true`. `PODPOOL_TEST_LOAD_IMAGE` is a command that
//! puts a program on the nodes as an image: `TAG ENTRYPOINT SOURCE=DESTINATION…`.

pub mod bed;
pub mod namespace;
pub mod notices;
pub mod sight;

use std::env;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

/// The longest wait for one event; on a sound cluster no event takes so long.
pub const BOUND: Duration = Duration::from_secs(90);

/// The image of `fleet-pod`.
pub const IMAGE: &str = "localhost/podpool-fleet-pod:test";

/// Loads the program onto the nodes, once. False if there is no cluster to test with.
///
/// # Panics
/// If the image cannot be loaded, or a cluster is missing where `CI=true`.
#[expect(clippy::print_stderr, reason = "what is left out must be seen")]
pub fn ready(program: &str) -> bool {
    static LOADED: OnceLock<()> = OnceLock::new();
    let (Ok(_), Ok(load)) = (env::var("KUBECONFIG"), env::var("PODPOOL_TEST_LOAD_IMAGE")) else {
        let why = "KUBECONFIG and PODPOOL_TEST_LOAD_IMAGE name no cluster to test with";
        assert!(env::var("CI").as_deref() != Ok("true"), "{why}");
        eprintln!("left out: {why}");
        return false;
    };
    LOADED.get_or_init(|| run_load(&load, IMAGE, "/fleet-pod", program));
    true
}

/// Loads an image with this entrypoint onto the nodes; the file at `source` is its `/fleet-pod`. After [`ready`].
///
/// # Panics
/// If the image cannot be loaded.
pub fn load(image: &str, entrypoint: &str, source: &str) {
    let load = env::var("PODPOOL_TEST_LOAD_IMAGE").unwrap();
    run_load(&load, image, entrypoint, source);
}

fn run_load(load: &str, image: &str, entrypoint: &str, source: &str) {
    let file = format!("{source}=/fleet-pod");
    let loaded = Command::new(load).args([image, entrypoint, &file]).status();
    let loaded = loaded.unwrap();
    assert!(loaded.success(), "the image was not loaded: {loaded}");
}
