//! The report as people and programs read it.

use std::future::pending;

use super::*;

fn report() -> Report {
    Report::new(vec![
        Line::pass("settings", "backend kubernetes"),
        Line::fail(
            "kubernetes.right",
            "no right to\n  create jobs.batch",
            "kubectl create role".to_owned(),
        )
        .about("create jobs.batch"),
        Line::warn("kubernetes.image", "no tag", None),
        Line::skipped("ledger.run", "no ledger is set"),
    ])
}

#[test]
fn each_check_is_one_line_and_columns_are_aligned() {
    let text = report().to_string();
    let expected = "\
pass     settings                            backend kubernetes
fail     kubernetes.right create jobs.batch  no right to create jobs.batch; to do: kubectl create role
warn     kubernetes.image                    no tag
skipped  ledger.run                          no ledger is set
";
    assert_eq!(text, expected);
    assert_eq!(Report::default().to_string(), "");
}

#[test]
fn one_failure_is_a_report_that_is_not_ok() {
    let mut report = report();
    assert!(!report.is_ok());
    assert_eq!(report.of(Outcome::Fail).count(), 1);
    report.lines.retain(|line| line.outcome != Outcome::Fail);
    assert!(report.is_ok());
}

#[test]
fn a_report_is_json_with_stable_names() {
    let json = serde_json::to_value(report()).unwrap();
    assert_eq!(json["lines"][1]["id"], "kubernetes.right");
    assert_eq!(json["lines"][1]["about"], "create jobs.batch");
    assert_eq!(json["lines"][1]["outcome"], "fail");
    assert_eq!(json["lines"][1]["fix"], "kubectl create role");
    assert_eq!(json["lines"][3]["outcome"], "skipped");
    assert!(json["lines"][3]["fix"].is_null());
}

/// On a paused clock, which advances while nothing else happens.
#[tokio::test(start_paused = true)]
async fn a_check_without_an_answer_is_a_line_too() {
    let late = |why: String| Line::fail("kubernetes.version", why, None);
    let lines = bounded(late, pending()).await;
    assert_eq!(lines[0].seen, "no answer within 10s");
    assert_eq!(lines[0].outcome, Outcome::Fail);
}
