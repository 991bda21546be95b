//! The executable file is replaced or removed while the program runs: new slots run the old executable.

use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use podpool_tests::faults::processes::{Watched, signal};
use podpool_tests::faults::{LIMIT, Program};
use podpool_tests::scratch::Scratch;
use rustix::process::Signal;

/// Copies the master and starts the copy, one at a time: a process that another thread forks during the copy holds the
/// file open for writing until its `exec`, and `exec` of such a file fails with ETXTBSY
/// (man7.org/linux/man-pages/man2/execve.2.html).
fn start_copy(executable: &Path) -> Program {
    static ONE: Mutex<()> = Mutex::new(());
    let _turn = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    fs::copy(env!("CARGO_BIN_EXE_faults-master"), executable).expect("a copy of the program");
    Program::start(executable, &["replaced"])
}

/// Starts a copy of the master, calls `replace` with the copy's path, and makes the master start another slot.
async fn slots_start_after(replace: impl FnOnce(&Path)) {
    let directory = Scratch::new();
    let executable = directory.path().join("program");
    let mut master = start_copy(&executable);
    let first: u32 = master.hear("slot ").await.parse().expect("a process id");
    replace(&executable);
    let slot = Watched::new(first);
    assert!(signal(first, Signal::KILL));
    assert!(slot.ends_within(LIMIT).await);
    master.say("go on").await;
    let second: u32 = master.hear("slot ").await.parse().expect("a process id");
    assert_ne!(second, first);
    assert!(master.wait().await.success());
}

#[tokio::test]
async fn a_slot_starts_after_the_executable_was_replaced() {
    slots_start_after(|executable| {
        let newer = executable.with_extension("newer");
        fs::copy("/bin/false", &newer).expect("a newer program");
        fs::rename(newer, executable).expect("the newer program in its place");
    })
    .await;
}

#[tokio::test]
async fn a_slot_starts_after_the_executable_was_removed() {
    slots_start_after(|executable| fs::remove_file(executable).expect("a file to remove")).await;
}
