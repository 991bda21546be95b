//! Tests of which topics and subscriptions are deleted.

use std::time::{Duration, UNIX_EPOCH};

use super::*;

fn labels(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    pairs.iter().map(own).collect()
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn takes(which: &Which, labels: &Labels, now: u64) -> bool {
    let taken = taken(which, "path".to_owned(), labels, at(now));
    taken.is_some_and(|it| it.path == "path" && it.run.as_str().starts_with('a'))
}

#[test]
fn only_labels_past_their_deadline_are_taken() {
    let old = labels(&[("podpool-run", "a"), ("podpool-deadline", "100")]);
    assert!(takes(&Which::PastDeadline, &old, 101));
    assert!(!takes(&Which::PastDeadline, &old, 100));
    assert!(!takes(&Which::PastDeadline, &old, 99));
}

#[test]
fn only_the_named_run_is_taken_before_its_deadline_too() {
    let run = |run| Which::Run(RunId::new(run).unwrap());
    let young = labels(&[("podpool-run", "a"), ("podpool-deadline", "1000")]);
    assert!(takes(&run("a"), &young, 1));
    assert!(!takes(&run("b"), &young, 2_000));
    let named = labels(&[("podpool-run", "a-0"), ("podpool-run-name", "a")]);
    let name = |name| Which::Named(RunName::new(name).unwrap());
    assert!(takes(&name("a"), &named, 1));
    assert!(!takes(&name("a-0"), &named, 1));
    assert!(!takes(&name("a"), &young, 1));
    let undated = labels(&[("podpool-run", "a")]);
    assert!(takes(&run("a"), &undated, 1));
}

#[test]
fn resources_are_taken_by_run_id_and_creation_time() {
    let found = labels(&[("podpool-run", "a"), ("podpool-created", "7")]);
    let made = |run, created: Option<u64>| Made {
        run: RunId::new(run).unwrap(),
        created: created.map(at),
    };
    assert!(made("a", Some(7)).takes(&found) && made("a", None).takes(&found));
    assert!(!made("a", Some(8)).takes(&found), "another master's");
    assert!(!made("b", None).takes(&found));
    let (undated, strange) = (labels(&[("podpool-run", "a")]), labels(&[]));
    assert!(made("a", None).takes(&undated) && !made("a", Some(7)).takes(&undated));
    assert!(!made("a", None).takes(&strange));
    let paths = ["mine", "theirs", "gone", "hidden"].map(ToOwned::to_owned);
    let missing = || AdminError::Missing {
        what: String::new(),
    };
    let hidden = || AdminError::Refused {
        action: "read",
        what: String::new(),
        reason: String::new(),
    };
    let read = [Ok(found), Ok(strange), Err(missing()), Err(hidden())];
    let (own, unread) = made("a", None).sort(paths.into(), read.into());
    assert_eq!(own, ["mine"]);
    assert_eq!(unread, [("hidden".to_owned(), hidden())]);
}

#[test]
fn labels_that_are_missing_or_unreadable_are_never_taken() {
    for strange in [
        labels(&[]),
        labels(&[("podpool-deadline", "1")]),
        labels(&[("podpool-run", "a")]),
        labels(&[("podpool-run", "a"), ("podpool-deadline", "yesterday")]),
        labels(&[("podpool-run", "A B"), ("podpool-deadline", "1")]),
    ] {
        assert!(
            !takes(&Which::PastDeadline, &strange, 1 << 40),
            "{strange:?}"
        );
    }
}
