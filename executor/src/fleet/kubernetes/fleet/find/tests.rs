//! Tests of which objects are found by their labels.

use std::collections::BTreeMap;

use super::*;

fn found(kind: Kind, run: &str, deadline: Option<i64>) -> Found {
    Found {
        kind,
        name: format!("{kind}-{run}"),
        uid: "uid".to_owned(),
        run: RunId::new(run).unwrap(),
        run_name: None,
        deadline,
        owned: kind == Kind::Pod,
    }
}

#[test]
fn a_selection_by_deadline_chooses_only_runs_whose_jobs_have_passed_it() {
    let all = vec![
        found(Kind::Secret, "over", None),
        found(Kind::Secret, "lives", None),
        found(Kind::Secret, "says-nothing", None),
        found(Kind::Job, "over", Some(100)),
        found(Kind::Job, "lives", Some(101)),
        found(Kind::Job, "says-nothing", None),
        found(Kind::Job, "both", Some(99)),
        found(Kind::Job, "both", Some(101)),
        found(Kind::Pod, "over", None),
    ];
    let names = |garbage: &Garbage| -> Vec<_> {
        let chosen = chosen(all.clone(), garbage).into_iter();
        chosen.map(|found| found.name).collect()
    };
    let over = names(&Garbage::PastDeadline(100));
    assert_eq!(over, ["secret-over", "job-over", "pod-over"]);
    let go_on: Vec<_> = go_on(&all, 100).into_iter().collect();
    assert_eq!(go_on, ["both", "lives"].map(|run| RunId::new(run).unwrap()));
    let run = Garbage::Run(RunId::new("any").unwrap());
    assert_eq!(names(&run).len(), all.len(), "the selector has chosen");
}

#[test]
fn objects_without_a_run_label_are_not_read() {
    let meta = |run: Option<&str>| ObjectMeta {
        name: Some("pp-x".to_owned()),
        uid: Some("uid".to_owned()),
        labels: run.map(|run| BTreeMap::from([(RUN_LABEL.to_owned(), run.to_owned())])),
        ..ObjectMeta::default()
    };
    assert_eq!(Found::read(Kind::Secret, meta(None)), None);
    assert_eq!(Found::read(Kind::Secret, meta(Some("Not A Run"))), None);
    let read = Found::read(Kind::Secret, meta(Some("nightly-1"))).unwrap();
    assert_eq!((read.run.as_str(), read.deadline), ("nightly-1", None));
}
