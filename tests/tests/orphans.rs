//! No process is left of a master that is killed.

use std::path::Path;
use std::time::Duration;

use podpool_tests::faults::Program;
use podpool_tests::faults::meeting::Meeting;
use podpool_tests::faults::processes::{Watched, children, signal};
use rustix::process::Signal;

/// How long a child of a killed master may run.
const SOON: Duration = Duration::from_secs(2);

/// Ends a busy master by a signal; its three slots and a grandchild must end soon. With `stop` one slot is stopped
/// before: it must be woken to read the end of its control socket.
async fn nothing_is_left_after(fate: Signal, stop: bool) {
    let meeting = Meeting::new();
    let address = meeting.path().display().to_string();
    let executable = Path::new(env!("CARGO_BIN_EXE_faults-master"));
    let mut master = Program::start(executable, &["meet", &address]);
    master.hear("submitted").await;
    let guests = meeting.guests(3).await;
    let grandchild = guests[2].name;
    let mut left: Vec<_> = children(master.pid())
        .into_iter()
        .map(Watched::new)
        .collect();
    assert_eq!(left.len(), 3, "{left:?}");
    assert!(
        guests
            .iter()
            .all(|guest| left.iter().any(|slot| slot.pid == guest.pid))
    );
    // All processes are watched before the master ends: afterwards their ids could belong to other processes.
    left.push(Watched::new(grandchild));
    if stop {
        assert!(signal(guests[0].pid, Signal::STOP));
    }
    assert!(signal(master.pid(), fate));
    for process in left {
        assert!(
            process.ends_within(SOON).await,
            "process {} is left, the grandchild is {grandchild}",
            process.pid
        );
    }
    assert!(!master.wait().await.success());
}

#[tokio::test]
async fn a_terminated_master_leaves_no_child() {
    nothing_is_left_after(Signal::TERM, false).await;
}

#[tokio::test]
async fn a_killed_master_leaves_no_child() {
    nothing_is_left_after(Signal::KILL, false).await;
}

#[tokio::test]
async fn an_aborted_master_leaves_no_child() {
    nothing_is_left_after(Signal::ABORT, false).await;
}

#[tokio::test]
async fn a_stopped_slot_does_not_outlive_a_killed_master() {
    nothing_is_left_after(Signal::KILL, true).await;
}
