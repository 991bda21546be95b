//! A worker whose behaviour `FLEET_POD` sets, for tests of the fleet: `exit:CODE`, `hang`, `eat`. The worker writes
//! `FLEET_POD_WORDS` as its termination message, prints `FLEET_POD_SAYS`, and exits on SIGTERM as workers do.

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
    // A real worker needs these files and variables. Where the fleet forgets one, this program must fail too.
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
    // 128 + 15: the exit code that a shell shows for a process that SIGTERM ended.
    process::exit(143);
}

/// Allocates and writes memory until the container's limit ends the process; 8,000 MiB at most.
fn eat() {
    let mut all: Vec<Vec<u8>> = Vec::new();
    loop {
        all.push(vec![1; 8 << 20]);
        assert!(all.len() < 1_000, "nothing stopped it");
    }
}
