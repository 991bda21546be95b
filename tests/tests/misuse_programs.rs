//! Whole programs that use the library wrongly, or in ways that a slot must tolerate.

use std::process::Output;

use podpool_tests::faults::within;
use tokio::process::Command;

/// Runs a program to its end.
async fn run(program: &str, arguments: &[&str], role: Option<&str>) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).kill_on_drop(true);
    if let Some(role) = role {
        command.env("PODPOOL_ROLE", role);
    }
    let ran = within("the end of the program", command.output()).await;
    ran.expect("a program")
}

fn said(output: &Output) -> Vec<&str> {
    let text = std::str::from_utf8(&output.stdout).expect("words");
    text.lines().collect()
}

#[tokio::test]
async fn a_forgotten_init_starts_no_process_and_names_the_ways() {
    let output = run(env!("CARGO_BIN_EXE_misuse-no-init"), &[], None).await;
    let [first, message] = said(&output)[..] else {
        panic!("one process prints two lines: {output:?}");
    };
    assert_eq!(first, "main");
    for way in [
        "#[podpool::main]",
        "podpool::init()",
        "podpool::test_slots!()",
    ] {
        assert!(message.contains(way), "{message}");
    }
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[tokio::test]
async fn a_pool_before_init_ends_in_a_broken_pool_and_starts_no_chain_of_processes() {
    let output = run(env!("CARGO_BIN_EXE_misuse-late-init"), &[], None).await;
    // The slots' lines go to the master's standard output too; the master's own line about the task comes last.
    assert_eq!(said(&output).last(), Some(&"PoolBroken"), "{output:?}");
}

#[tokio::test]
async fn slots_start_without_the_programs_required_arguments() {
    let output = run(
        env!("CARGO_BIN_EXE_misuse-clap"),
        &["10", "--count", "100"],
        None,
    )
    .await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(said(&output), ["sum 5950"]);
    let refused = run(env!("CARGO_BIN_EXE_misuse-clap"), &[], None).await;
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
}

#[tokio::test]
async fn two_tasks_of_one_name_are_named_with_their_places() {
    let output = run(env!("CARGO_BIN_EXE_misuse-two-of-one-name"), &[], None).await;
    let [message, why] = said(&output)[..] else {
        panic!("one message with one cause: {output:?}");
    };
    assert_eq!(message, "the tasks of this program cannot be used");
    for place in [
        "same",
        "misuse-two-of-one-name.rs:9",
        "misuse-two-of-one-name.rs:12",
    ] {
        assert!(why.contains(place), "{why}");
    }
}

#[tokio::test]
async fn a_grandchild_that_inherits_the_role_is_an_ordinary_program() {
    let output = run(env!("CARGO_BIN_EXE_misuse-grandchild"), &[], None).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(said(&output), ["heard Master, inherited true, result 5"]);
}

#[tokio::test]
async fn a_role_from_the_shell_does_not_make_a_slot() {
    let me = std::process::id().to_string();
    for role in [
        "slot:1",
        "slot:x",
        "slot",
        "nonsense",
        &format!("slot:{me}"),
        &format!("slot:{}:{me}", env!("CARGO_PKG_VERSION")),
    ] {
        let output = run(
            env!("CARGO_BIN_EXE_misuse-clap"),
            &["1", "--count", "3"],
            Some(role),
        )
        .await;
        assert!(output.status.success(), "{role}: {output:?}");
        assert_eq!(said(&output), ["sum 6"], "{role}");
    }
}
