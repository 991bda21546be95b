//! The executable is built again while the program runs: its slots go on with the old one.

use std::fs;
use std::path::Path;

use podpool_tests::faults::meeting::Directory;
use podpool_tests::faults::processes::{Watched, signal};
use podpool_tests::faults::{LIMIT, Program};
use rustix::process::Signal;

/// Starts a copy of the master, lets `replace` have its file, and has it start a slot after that.
async fn slots_start_after(replace: impl FnOnce(&Path)) {
    let directory = Directory::new();
    let executable = directory.path().join("program");
    fs::copy(env!("CARGO_BIN_EXE_faults-master"), &executable).expect("a copy of the program");
    let mut master = Program::start(&executable, &["replaced"]);
    let first: u32 = master.hear("slot ").parse().expect("a process id");
    replace(&executable);
    let slot = Watched::new(first);
    assert!(signal(first, Signal::KILL));
    assert!(slot.ends_within(LIMIT).await);
    master.say("go on");
    let second: u32 = master.hear("slot ").parse().expect("a process id");
    assert_ne!(second, first);
    assert!(master.wait().success());
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
