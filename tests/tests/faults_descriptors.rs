//! Tasks that close descriptors of their slot, and tasks that leave children behind; descriptors and system calls that
//! the system refuses.

use std::process::Stdio;
use std::time::Duration;

use podpool::TaskErrorKind;
use podpool_tests::faults::meeting::Meeting;
use podpool_tests::faults::processes::Watched;
use podpool_tests::faults::tasks::{close_descriptors, leave_a_child, meet};
use podpool_tests::faults::{built, describe, end, goes_on, within};
use rustix::io::Errno;
use tokio::process::Command;

podpool::test_slots!();

#[tokio::test]
async fn a_task_that_closes_every_descriptor_crashed_alone() {
    let pool = built(describe(2)).await;
    let meeting = Meeting::new();
    let mut beside = pool.submit(meet(meeting.path(), 1));
    let other = meeting.guest().await;
    let error = within(
        "the end of the mute slot",
        pool.submit(close_descriptors(0, 255)),
    )
    .await;
    let error = error.expect_err("its slot cannot send the result");
    assert_eq!(error.kind(), TaskErrorKind::Crashed, "{error}");
    goes_on(&pool).await;
    other.let_go().await;
    assert_eq!(
        within("the other task", &mut beside)
            .await
            .expect("a result"),
        1
    );
    assert!(beside.attempts().is_empty());
    end(pool).await;
}

#[tokio::test]
async fn a_task_that_closes_its_streams_gives_its_result() {
    let pool = built(describe(1)).await;
    for _ in 0..3 {
        let result = within("the silent task", pool.submit(close_descriptors(0, 2))).await;
        assert_eq!(result.expect("a result"), 0);
    }
    end(pool).await;
}

#[tokio::test]
async fn a_child_that_a_task_leaves_delays_nothing_and_ends_with_the_pool() {
    let pool = built(describe(1)).await;
    let child = within("the result", pool.submit(leave_a_child()))
        .await
        .expect("a result");
    let child = Watched::new(child);
    goes_on(&pool).await;
    assert!(
        // The child shares the slot's process group, which is killed with the slot and not with the task.
        !child.ends_within(Duration::ZERO).await,
        "the child of a task ended before its slot"
    );
    end(pool).await;
    assert!(
        child.ends_within(Duration::from_secs(2)).await,
        "the child of a task outlives the pool"
    );
}

/// Runs `faults-scarce` with these arguments; returns whether it succeeded, and what it printed on both streams.
async fn scarce(arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_faults-scarce"));
    command
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let ran = within("the end of the program", command.output()).await;
    let ran = ran.expect("a program that starts");
    let text = [ran.stdout, ran.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (ran.status.success(), text.concat())
}

async fn all_run(arguments: &[&str]) {
    let (good, text) = scarce(arguments).await;
    assert!(good && text.contains("all ran"), "{arguments:?}: {text}");
}

#[tokio::test]
async fn without_descriptors_of_processes_a_thread_waits_for_each_slot() {
    for errno in [Errno::NOSYS, Errno::PERM, Errno::INVAL] {
        all_run(&["denied", &errno.raw_os_error().to_string(), "pidfd_open"]).await;
    }
}

#[tokio::test]
async fn system_calls_that_a_sandbox_refuses_are_replaced() {
    let calls = "pidfd_open,memfd_create,prctl,setsockopt,getsockopt";
    for errno in [Errno::NOSYS, Errno::PERM] {
        all_run(&["denied", &errno.raw_os_error().to_string(), calls]).await;
    }
}

#[tokio::test]
async fn a_system_call_without_a_replacement_is_named_with_advice() {
    let errno = Errno::PERM.raw_os_error().to_string();
    let (good, text) = scarce(&["denied", &errno, "socketpair"]).await;
    assert!(!good, "{text}");
    assert!(
        text.contains("socketpair") && text.contains("sandbox"),
        "{text}"
    );
    assert!(!text.contains("open files"), "{text}");
}

#[tokio::test]
async fn a_moment_without_descriptors_loses_no_task() {
    all_run(&["moment"]).await;
}

#[tokio::test]
async fn the_soft_limit_is_raised_and_slots_get_the_programs_own_limit() {
    let (good, text) = scarce(&["limit", "64", "4096", "24"]).await;
    // 24 slots need more than 64 descriptors: the master's soft limit is raised to the hard one, and slots get the 64.
    let told = "master Some(4096), slots {Some(64)}, processes";
    assert!(good && text.contains(told), "{text}");
    // Where the soft limit suffices, neither limit changes.
    let (good, text) = scarce(&["limit", "1024", "4096", "2"]).await;
    assert!(
        good && text.contains("master Some(1024), slots {Some(1024)}"),
        "{text}"
    );
}

#[tokio::test]
async fn where_the_hard_limit_is_too_low_fewer_slots_work_and_one_warning_gives_the_reason() {
    let (good, text) = scarce(&["limit", "100", "100", "60"]).await;
    let processes = text
        .rsplit_once("processes ")
        .map(|(_, number)| number.trim());
    let processes: u32 = processes.and_then(|n| n.parse().ok()).unwrap_or(0);
    assert!(good && (1..16).contains(&processes), "{text}");
    assert_eq!(text.matches("WARN").count(), 1, "{text}");
    assert!(
        text.contains("of 60 slots") && text.contains("ulimit -Hn"),
        "{text}"
    );
}

#[tokio::test]
async fn slots_that_are_threads_have_the_descriptors_that_they_need_or_are_fewer() {
    all_run(&["in-process", "64", "4096", "60"]).await;
    all_run(&["in-process", "64", "64", "60"]).await;
}
