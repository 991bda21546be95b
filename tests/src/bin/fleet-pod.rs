//! A worker that does what `FLEET_POD` says, for tests of the fleet: `exit:CODE`, `hang`, `eat`. It writes
//! `FLEET_POD_WORDS` where the cluster finds it after its end, prints `FLEET_POD_SAYS`, and leaves on SIGTERM as workers do.

#![expect(
    clippy::unwrap_used,
    reason = "a worker that cannot begin fails its test"
)]
#![expect(clippy::exit, reason = "the exit code is what tests ask for")]
#![expect(clippy::print_stderr, reason = "a log is what tests ask for")]

use std::env;
use std::fs;
use std::process;

use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    if let Ok(words) = env::var("FLEET_POD_WORDS") {
        fs::write("/dev/termination-log", words).unwrap();
    }
    // A worker needs these: without them it must not look as if all were well.
    for file in ["descriptor", "key"] {
        fs::metadata(format!("/etc/podpool/run/{file}")).unwrap();
    }
    for name in [
        "PODPOOL_POD",
        "PODPOOL_POD_UID",
        "PODPOOL_NODE",
        "PODPOOL_COHORT",
    ] {
        env::var(name).unwrap();
    }
    if let Ok(line) = env::var("FLEET_POD_SAYS") {
        eprintln!("{line}");
    }
    let order = env::var("FLEET_POD").unwrap();
    match order.split_once(':') {
        Some(("exit", code)) => process::exit(code.parse().unwrap()),
        _ if order == "eat" => eat(),
        _ => wait_for_sigterm().await,
    }
}

async fn wait_for_sigterm() {
    signal(SignalKind::terminate()).unwrap().recv().await;
    process::exit(143);
}

/// Touches memory until the limit ends it.
fn eat() {
    let mut all: Vec<Vec<u8>> = Vec::new();
    loop {
        all.push(vec![1; 8 << 20]);
        assert!(all.len() < 1_000, "nothing stopped it");
    }
}
