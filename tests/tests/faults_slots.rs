//! Slots that do not become ready or do not exit, a slot whose end is hidden by output, and a master that is stopped.

use std::path::Path;
use std::time::{Duration, Instant};

use podpool::TaskErrorKind;
use podpool::options::Isolation;
use podpool_core::slot::abandoned;
use podpool_tests::faults::meeting::Meeting;
use podpool_tests::faults::processes::{Watched, signal};
use podpool_tests::faults::tasks::{
    echo, leave_a_printer_and_abort, leave_blocking, load_for_ever, process,
};
use podpool_tests::faults::{LIMIT, Program, built, describe, describe_in, end, within};
use podpool_tests::scratch::Scratch;
use rustix::process::Signal;

podpool::test_slots!();

/// The lease of the program that is stopped.
const LEASE: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_blocking_call_that_a_task_left_behind_does_not_delay_the_pool() {
    let pool = built(describe(1)).await;
    let meeting = Meeting::new();
    let slot = within("a task", pool.submit(leave_blocking(meeting.path(), 1))).await;
    let slot = Watched::new(slot.expect("the result does not wait for the blocking call"));
    let guest = meeting.guest().await;
    end(pool).await;
    assert!(slot.ends_within(LIMIT).await);
    guest.vanished().await;
}

#[tokio::test]
async fn a_worn_slot_that_does_not_exit_is_replaced() {
    let pool = built(describe(1).max_tasks_per_slot(1)).await;
    let meeting = Meeting::new();
    for name in 0..4 {
        let left = pool.submit(leave_blocking(meeting.path(), name));
        within("a task in a fresh slot", left)
            .await
            .expect("a result");
        meeting.guest().await.vanished().await;
    }
    end(pool).await;
}

#[tokio::test]
async fn a_stopped_idle_slot_does_not_delay_the_pool() {
    let pool = built(describe(1)).await;
    let pid = within("a task", pool.submit(process()))
        .await
        .expect("a slot");
    let slot = Watched::new(pid);
    // A stopped process neither reads the request to exit nor ends by it: only the kill after the grace ends the slot.
    assert!(signal(pid, Signal::STOP));
    end(pool).await;
    assert!(slot.ends_within(LIMIT).await);
}

#[tokio::test]
async fn a_thread_that_does_not_end_is_abandoned_and_counted() {
    let pool = built(describe_in(Isolation::InProcess, 1)).await;
    let meeting = Meeting::new();
    let left = pool.submit(leave_blocking(meeting.path(), 1));
    within("a task", left).await.expect("a result");
    let guest = meeting.guest().await;
    let before = abandoned();
    end(pool).await;
    assert_eq!(abandoned(), before + 1);
    guest.let_go().await;
}

#[tokio::test]
async fn an_initializer_that_does_not_end_breaks_the_pool_and_shows_what_it_printed() {
    let meeting = Meeting::new();
    let pool = describe(2)
        .initializer(load_for_ever(meeting.path()))
        .start_timeout(Duration::from_secs(1));
    let pool = built(pool).await;
    let error = within("the start timeout", pool.submit(echo(1)))
        .await
        .expect_err("no slot is ready");
    assert_eq!(error.kind(), TaskErrorKind::PoolBroken, "{error}");
    let words = error.to_string();
    for part in ["loading the model", "initializer", "start_timeout of 1s"] {
        assert!(words.contains(part), "{words}");
    }
    meeting.guest().await.vanished().await;
}

/// The error of a pool in the program `slots-master`, whose slots never become ready.
async fn broken(part: &str) -> String {
    let executable = Path::new(env!("CARGO_BIN_EXE_slots-master"));
    let mut master = Program::start(executable, &[part]);
    let words = master.hear("broken").await;
    assert!(master.wait().await.success());
    words
}

#[tokio::test]
async fn a_main_that_reads_its_input_before_init_breaks_the_pool_with_advice() {
    let words = broken("stdin").await;
    for part in ["please enter a number", "podpool::init()", "standard input"] {
        assert!(words.contains(part), "{words}");
    }
}

#[tokio::test]
async fn a_slot_that_ends_before_it_is_ready_is_quoted() {
    let words = broken("early").await;
    for part in [
        "exit code 127",
        "libfoo.so.1: cannot open",
        "podpool::init()",
    ] {
        assert!(words.contains(part), "{words}");
    }
}

#[tokio::test]
async fn the_end_of_a_slot_is_noticed_at_once_while_its_child_prints() {
    let pool = built(describe(1)).await;
    let begun = Instant::now();
    let attempt = within(
        "the second attempt",
        pool.submit(leave_a_printer_and_abort()),
    )
    .await;
    assert_eq!(attempt.expect("a result"), 2);
    // Some 50 ms on an idle machine. A worker that waited for the end of the pipe would wait as long as the child runs.
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    end(pool).await;
}

#[tokio::test]
async fn tasks_that_ended_while_the_master_was_stopped_do_not_run_again() {
    let (meeting, scratch) = (Meeting::new(), Scratch::new());
    let journal = scratch.path().join("journal");
    let address = meeting.path().display().to_string();
    let arguments = ["stopped", &address, &journal.display().to_string()];
    let executable = Path::new(env!("CARGO_BIN_EXE_slots-master"));
    let mut master = Program::start(executable, &arguments);
    master.hear("submitted").await;
    let guests = meeting.guests(2).await;
    assert!(signal(master.pid(), Signal::STOP));
    for guest in guests {
        guest.let_go().await;
    }
    // No event can come from a stopped process: the sleep lasts until the leases of the two running tasks are over.
    tokio::time::sleep(3 * LEASE).await;
    assert!(signal(master.pid(), Signal::CONT));
    for guest in meeting.guests(2).await {
        guest.let_go().await;
    }
    for name in 0..4 {
        assert_eq!(master.hear("result").await, name.to_string());
    }
    master.hear("ended").await;
    let journal = std::fs::read_to_string(&journal).expect("a journal");
    let mut began: Vec<_> = journal.lines().collect();
    began.sort_unstable();
    assert_eq!(began, ["0", "1", "2", "3"]);
}
