//! The notice about runs that nobody goes on with, when a program begins another one.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use podpool_core::ledger::{Unfinished, UnfinishedRun};

use crate::named_run::is_elsewhere;

/// Most runs that are named.
const NAMED: usize = 3;

/// The places of which this process has told. A program that begins many runs does not tell of the same ones each time.
static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Whether this process begins its first run in a place.
pub(super) fn is_first_in(place: &str) -> bool {
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    told.insert(place.to_owned())
}

/// The notice; none where there is nothing to tell. Runs past their deadline are over: nobody is to pick them up.
pub(super) fn notice(found: &Unfinished, now: SystemTime) -> Option<String> {
    let goes_on = |it: &&UnfinishedRun| it.deadline().is_none_or(|deadline| now < deadline);
    let runs: Vec<_> = found.runs.iter().filter(goes_on).collect();
    let first = runs.first()?;
    let named = runs.iter().take(NAMED).map(|it| describe(it, now));
    let mut named: Vec<_> = named.collect();
    let others = runs.len().saturating_sub(NAMED) + found.left_out;
    if others > 0 {
        // What was not looked at may be finished.
        let least = if found.left_out > 0 { "up to " } else { "" };
        named.push(format!("and {least}{others} more"));
    }
    let name = first.run.name.as_str();
    let which = match runs.len() + found.left_out {
        1 => "the same program",
        _ => "the program of a run",
    };
    let elsewhere = runs.iter().any(|it| is_elsewhere(&it.run));
    let removal = match elsewhere {
        true => "podpool::gc::remove_run removes it from cluster, queues and ledger",
        false => "podpool::ledger::Ledger::delete removes it",
    };
    Some(format!(
        "unended tasks without a master: {}; {which} with `run({name:?})` picks it up, and {removal}",
        named.join(", ")
    ))
}

/// `run year-2013 (stopped 3 hours ago, 1204 tasks unended)`.
fn describe(it: &UnfinishedRun, now: SystemTime) -> String {
    let tasks = if it.unended == 1 { "task" } else { "tasks" };
    // A clock that was set back has it stop now.
    let age = now.duration_since(it.stopped).unwrap_or_default();
    format!(
        "run {} (stopped {}, {} {tasks} unended)",
        it.run.name,
        ago(age),
        it.unended
    )
}

/// A time that is over, in one unit.
fn ago(age: Duration) -> String {
    let seconds = age.as_secs();
    let (number, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3_600 => (seconds / 60, "minute"),
        3_600..86_400 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {unit}{plural} ago")
}

#[cfg(test)]
mod tests {
    use podpool_core::id::{RunId, RunName};
    use podpool_core::ledger::{ENDS_AFTER, Holder, Master, RunRecord};

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn run(name: &str, settings: &[(&str, &str)]) -> UnfinishedRun {
        let settings = settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let newest = Holder {
            epoch: 1,
            master: Master {
                settings: settings.collect(),
                ..Master::default()
            },
            since: at(100),
            until: None,
        };
        UnfinishedRun {
            run: RunRecord {
                run: RunId::new(&format!("{name}-0")).unwrap(),
                name: RunName::new(name).unwrap(),
                created: at(0),
                masters: vec![newest],
                held: false,
            },
            unended: 1_204,
            stopped: at(200),
        }
    }

    fn told(runs: Vec<UnfinishedRun>, left_out: usize, now: u64) -> Option<String> {
        notice(&Unfinished::of(runs, left_out), at(now))
    }

    #[test]
    fn one_run_is_told_with_the_ways_to_pick_it_up_and_to_remove_it() {
        let text = told(
            vec![run("year", &[("back-end", "local")])],
            0,
            200 + 3 * 3_600,
        );
        assert_eq!(
            text.unwrap(),
            "unended tasks without a master: run year (stopped 3 hours ago, 1204 tasks unended); the same program with \
             `run(\"year\")` picks it up, and podpool::ledger::Ledger::delete removes it"
        );
        let text = told(vec![run("year", &[("back-end", "kubernetes")])], 0, 260).unwrap();
        assert!(
            text.contains("1 minute ago") && text.contains("podpool::gc::remove_run"),
            "{text}"
        );
    }

    #[test]
    fn three_runs_are_named_and_the_others_are_counted() {
        let runs = |count: usize| (0..count).map(|it| run(&format!("r{it}"), &[])).collect();
        let text = told(runs(3), 0, 201).unwrap();
        assert_eq!(text.matches("run r").count(), 3);
        assert!(!text.contains("more"), "{text}");
        let text = told(runs(5), 0, 201).unwrap();
        assert_eq!(text.matches("run r").count(), 3);
        assert!(text.contains("and 2 more;"), "{text}");
        let text = told(runs(5), 4, 201).unwrap();
        assert!(text.contains("and up to 6 more;"), "{text}");
    }

    #[test]
    fn nothing_is_told_of_nothing_and_of_runs_past_their_deadline() {
        assert_eq!(told(Vec::new(), 0, 201), None);
        let deadline = || vec![run("year", &[(ENDS_AFTER, "500 s")])];
        assert!(told(deadline(), 0, 599).is_some());
        assert_eq!(told(deadline(), 0, 600), None);
    }

    #[test]
    fn an_age_is_in_one_unit() {
        for (seconds, text) in [
            (0, "0 seconds ago"),
            (1, "1 second ago"),
            (119, "1 minute ago"),
            (7_199, "1 hour ago"),
            (200_000, "2 days ago"),
        ] {
            assert_eq!(ago(Duration::from_secs(seconds)), text);
        }
    }
}
