//! A worker whose behaviour `FLEET_POD` sets, for tests of the fleet: `exit:CODE`, `hang`, `eat`, `show`. The worker
//! writes `FLEET_POD_WORDS` as its termination message, prints `FLEET_POD_SAYS`, and exits on SIGTERM as workers do.
//! With `leave` and `stay` it is no worker, but a container beside one, which ends at once or on SIGTERM.

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
    match env::var("FLEET_POD").unwrap().as_str() {
        "leave" => return,
        "stay" => wait_for_sigterm().await,
        _ => {}
    }
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
        _ if order == "show" => {
            show();
            wait_for_sigterm().await;
        }
        _ => wait_for_sigterm().await,
    }
}

/// Prints what its options gave it: variables, the files that `FLEET_POD_FILES` names, mounts, and a file that it makes
/// where temporary files go.
fn show() {
    for (name, value) in env::vars() {
        eprintln!("env {name}={value}");
    }
    let files = env::var("FLEET_POD_FILES").unwrap_or_default();
    for path in files.split_whitespace() {
        eprintln!("file {path}={}", fs::read_to_string(path).unwrap());
    }
    for line in fs::read_to_string("/proc/mounts").unwrap().lines() {
        eprintln!("mount {line}");
    }
    let temporary = env::temp_dir().join("made");
    fs::write(&temporary, "x").unwrap();
    eprintln!("made {}", temporary.display());
    for line in fs::read_to_string("/proc/self/status").unwrap().lines() {
        eprintln!("status {line}");
    }
    eprintln!(
        "hosts {}",
        fs::read_to_string("/etc/hosts").unwrap().replace('\n', ";")
    );
    eprintln!("shown");
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
