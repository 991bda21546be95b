//! The texts of errors, and their kinds.

use super::*;
use crate::id::Attempt;
use crate::outcome::Failure;

fn subject() -> Subject {
    Subject {
        task: "prices::clean",
        id: Some(TaskId(12)),
        key: Some("BTC".into()),
    }
}

#[test]
fn an_error_names_the_failure_the_task_and_what_to_do() {
    let failure = Failure {
        chain: vec!["no such file".to_owned(), "os error 2".to_owned()],
        output: (0..12).map(|line| format!("line {line}")).collect(),
        ..Failure::new(Cause::Failed, "cannot read btc.csv")
    };
    let attempts = [1, 2].map(|n| AttemptReport::new(Attempt(n), failure.clone()));
    let error = TaskError::of_attempts(subject(), attempts.to_vec());
    assert_eq!(error.kind(), TaskErrorKind::Failed);
    let line = "task prices::clean #12 (key \"BTC\") failed after 2 attempts: cannot read btc.csv";
    assert_eq!(error.to_string(), line);
    let text = error.report();
    assert_eq!(text, format!("{error:#}"));
    let head = "task prices::clean #12 (key \"BTC\") failed after 2 attempts: cannot read btc.csv\n  \
                caused by: no such file\n  caused by: os error 2\n  attempt 2 failed\n  the last lines it printed:\n    | line 2\n";
    assert!(text.starts_with(head), "{text}");
    assert!(text.ends_with(
        "| line 11\n  fix the cause and resubmit the task, or allow more attempts with `retries`"
    ));
    let chain: Vec<_> = std::iter::successors(error.source(), |link| (*link).source())
        .map(ToString::to_string)
        .collect();
    assert_eq!(chain, ["no such file", "os error 2"]);
}

#[test]
fn every_cause_has_its_kind_and_every_kind_its_advice() {
    let pairs = [
        (Cause::Failed, TaskErrorKind::Failed),
        (Cause::Panicked, TaskErrorKind::Panicked),
        (Cause::TimedOut, TaskErrorKind::TimedOut),
        (Cause::Crashed, TaskErrorKind::Crashed),
        (Cause::Suspect, TaskErrorKind::Crashed),
        (Cause::OutOfMemory, TaskErrorKind::OutOfMemory),
        (Cause::Interrupted, TaskErrorKind::WorkerLost),
        (Cause::Rejected, TaskErrorKind::Rejected),
        (Cause::Cancelled, TaskErrorKind::Cancelled),
        (Cause::Broken, TaskErrorKind::PoolBroken),
    ];
    for (cause, kind) in pairs {
        let report = AttemptReport::new(Attempt::FIRST, Failure::new(cause, "why"));
        let error = TaskError::of_attempts(subject(), vec![report]);
        assert_eq!(error.kind(), kind);
        let text = error.report();
        assert!(text.contains(kind.phrase()) && text.contains(kind.advice()));
        assert!(error.to_string().contains(&kind.to_string()));
    }
}

#[test]
fn an_error_is_one_pointer_wide() {
    assert_eq!(size_of::<TaskError>(), size_of::<usize>());
    assert_eq!(size_of::<Option<TaskError>>(), size_of::<usize>());
}

#[test]
fn an_error_is_one_line_also_where_its_message_is_not() {
    let error = |message: &str| TaskError::new(TaskErrorKind::Failed, subject(), message);
    let head = "task prices::clean #12 (key \"BTC\") failed";
    for (message, shown) in [
        ("", String::new()),
        ("one", ": one".to_owned()),
        ("one\n", ": one".to_owned()),
        ("one\rtwo\u{1b}[2J", ": one | two\\u{1b}[2J".to_owned()),
        ("one\r\n\n  two\nthree", ": one | two | three".to_owned()),
        (
            &"é\n".repeat(600),
            format!(": {} …", vec!["é"; 500].join(" | ")),
        ),
    ] {
        assert_eq!(error(message).to_string(), format!("{head}{shown}"));
    }
    assert!(error("one\ntwo").report().contains(": one\ntwo\n"));
}
