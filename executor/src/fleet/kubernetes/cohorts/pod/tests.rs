//! Every transition of a pod's life, as tables.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Every phase, in each form that has transitions of its own.
const PHASES: [&str; 10] = [
    "starting",
    "held",
    "refused",
    "warned",
    "assigned",
    "overdue",
    "running",
    "silent",
    "leaving",
    "leaving untaken",
];

/// The phase after each report in each of [`PHASES`], in their order. `=`: the phase does not change, nor does its
/// time.
const TRANSITIONS: [(&str, [&str; 10]); 13] = [
    (
        "Starting",
        [
            "=", "=", "starting", "=", "starting", "starting", "starting", "starting", "starting",
            "starting",
        ],
    ),
    (
        "Assigned",
        [
            "assigned",
            "held and assigned",
            "assigned",
            "warned and assigned",
            "=",
            "=",
            "assigned",
            "assigned",
            "assigned",
            "overdue",
        ],
    ),
    ("SetUp", ["set up"; 10]),
    ("Waiting", ["held"; 10]),
    (
        "CannotStart",
        [
            "refused", "refused", "=", "=", "refused", "refused", "refused", "refused", "refused",
            "refused",
        ],
    ),
    (
        "CannotStart, longer",
        [
            "unplaced", "unplaced", "unplaced", "unplaced", "unplaced", "unplaced", "unplaced",
            "unplaced", "unplaced", "unplaced",
        ],
    ),
    ("Running", ["running"; 10]),
    ("Silent", ["silent"; 10]),
    (
        "Leaving",
        [
            "leaving",
            "leaving",
            "leaving",
            "leaving",
            "leaving",
            "leaving untaken",
            "leaving",
            "leaving",
            "=",
            "=",
        ],
    ),
    (
        "a warning",
        [
            "warned",
            "warned",
            "=",
            "=",
            "warned and assigned",
            "warned and overdue",
            "=",
            "=",
            "=",
            "=",
        ],
    ),
    (
        "15 s",
        ["=", "=", "=", "=", "overdue", "=", "=", "=", "=", "="],
    ),
    ("14 s", ["=", "=", "=", "=", "=", "=", "=", "=", "=", "="]),
    (
        "Heard",
        [
            "=", "=", "=", "=", "starting", "starting", "=", "=", "=", "leaving",
        ],
    ),
];

const REFUSED: &str = "nodes cannot pull image";

fn starting(trouble: Trouble, taking: Taking) -> Phase {
    Phase::Starting { trouble, taking }
}

fn phase(name: &str, now: Instant) -> Phase {
    let assigned = Taking::Assigned { since: now };
    let none = || Trouble::none(now);
    let held = || Trouble::new(now, None, "held by a gate".to_owned());
    let refused = || Trouble::new(now, Some(Patience::Start), REFUSED.to_owned());
    let unplaced = || Trouble::new(now, Some(Patience::Schedule), REFUSED.to_owned());
    match name {
        "starting" => starting(none(), Taking::NotExpected),
        "set up" => starting(none(), Taking::SetUp),
        "held" => starting(held(), Taking::NotExpected),
        "held and assigned" => starting(held(), assigned),
        "refused" => starting(refused(), Taking::NotExpected),
        "unplaced" => starting(unplaced(), Taking::NotExpected),
        "warned" => starting(refused().by_warning(), Taking::NotExpected),
        "warned and assigned" => starting(refused().by_warning(), assigned),
        "warned and overdue" => starting(refused().by_warning(), Taking::Overdue),
        "assigned" => starting(none(), assigned),
        "overdue" => starting(none(), Taking::Overdue),
        "running" => Phase::Running,
        "silent" => Phase::NodeSilent,
        "leaving" => Phase::Leaving { untaken: false },
        "leaving untaken" => Phase::Leaving { untaken: true },
        _ => unreachable!("no such phase: {name}"),
    }
}

fn report(name: &str) -> Report {
    let cannot_start = |patience| {
        Report::Status(Verdict::CannotStart {
            reason: REFUSED.to_owned(),
            patience,
        })
    };
    match name {
        "Starting" => Report::Status(Verdict::Starting),
        "SetUp" => Report::Status(Verdict::SetUp),
        "Assigned" => Report::Status(Verdict::Assigned),
        "Waiting" => Report::Status(Verdict::Waiting {
            word: "held by a gate".to_owned(),
        }),
        "CannotStart" => cannot_start(Patience::Start),
        "CannotStart, longer" => cannot_start(Patience::Schedule),
        "Running" => Report::Status(Verdict::Running),
        "Silent" => Report::Status(Verdict::Silent),
        "Leaving" => Report::Status(Verdict::Leaving),
        "a warning" => Report::Warning {
            reason: REFUSED.to_owned(),
            patience: Patience::Start,
        },
        "15 s" | "14 s" => Report::Time,
        "Heard" => Report::Heard,
        _ => unreachable!("no such report: {name}"),
    }
}

/// A life in this phase, and in its first state otherwise.
fn life(phase: Phase, now: Instant) -> Life {
    Life {
        phase,
        ..Life::new(now)
    }
}

/// The same phase, without its times.
fn timeless(mut phase: Phase, now: Instant) -> Phase {
    if let Phase::Starting { trouble, taking } = &mut phase {
        trouble.since = now;
        if let Taking::Assigned { since } = taking {
            *since = now;
        }
    }
    phase
}

#[test]
fn every_report_changes_every_phase_as_the_table_states() {
    let start = Instant::now();
    for (name, results) in TRANSITIONS {
        let time = if name == "15 s" { 15 } else { 14 };
        let now = start + time * SECOND;
        for (before, expected) in PHASES.iter().zip(results) {
            let known = phase(before, start);
            let after = life(known.clone(), start).after(now, report(name)).phase;
            if expected == "=" {
                assert_eq!(after, known, "{name} in {before}");
            } else {
                let expected = phase(expected, start);
                assert_eq!(timeless(after, start), expected, "{name} in {before}");
            }
        }
    }
}

#[test]
fn the_time_of_one_kind_of_trouble_does_not_restart() {
    let start = Instant::now();
    let now = start + SECOND;
    let since = |before: &str, name: &str| {
        let after = life(phase(before, start), start).after(now, report(name));
        after.trouble().map(|trouble| trouble.since)
    };
    assert_eq!(since("refused", "CannotStart"), Some(start));
    assert_eq!(since("refused", "CannotStart, longer"), Some(now));
    assert_eq!(since("warned", "Starting"), Some(start));
    assert_eq!(since("starting", "Assigned"), Some(start));
    assert_eq!(since("held", "Waiting"), Some(now));
    assert_eq!(since("running", "Starting"), Some(now));
}

/// A warning about a mount may arrive after the mount: the two watches are not ordered.
#[test]
fn no_warning_counts_once_the_node_has_set_the_pod_up() {
    let start = Instant::now();
    let set_up = life(phase("set up", start), start);
    let warned = set_up.clone().after(start, report("a warning"));
    assert_eq!(warned, set_up);
    let refused = set_up.after(start, report("CannotStart"));
    let warned = refused.clone().after(start, report("a warning"));
    assert_eq!(warned, refused, "its image cannot be pulled");
    let renewed = refused.after(start + SECOND, report("SetUp"));
    assert_eq!(renewed.trouble().unwrap().since, start + SECOND);
}

#[test]
fn a_failure_that_is_repeated_without_its_cause_keeps_cause_and_time() {
    let start = Instant::now();
    let told =
        |since, patience, reason: &str| Trouble::new(since, Some(patience), reason.to_owned());
    let repeated = || told(start + SECOND, Patience::AsBefore, "no cause");
    let limited = told(start, Patience::Registry, "429");
    assert_eq!(limited.clone().renewed(repeated()), limited);
    let other = told(start, Patience::Start, "settings");
    assert_eq!(other.renewed(repeated()), repeated());
    // A registry with several addresses: not reached and not found by turns.
    let found = limited.renewed(told(start + SECOND, Patience::Pull, "404"));
    assert_eq!(found, told(start, Patience::Pull, "404"));
}

#[test]
fn a_loss_is_reported_once_and_never_of_a_surplus_worker() {
    use Standing::{Kept, ReportedLost, Surplus};
    let table = [
        (Report::LossTold, [ReportedLost, ReportedLost, Surplus]),
        (Report::ReturnTold, [Kept, Kept, Surplus]),
        (Report::Dismissed, [Surplus, Surplus, Surplus]),
        (Report::Heard, [Kept, ReportedLost, Surplus]),
        (Report::Missed, [Kept, ReportedLost, Surplus]),
        (Report::Time, [Kept, ReportedLost, Surplus]),
        (report("Silent"), [Kept, ReportedLost, Surplus]),
        (report("Running"), [Kept, ReportedLost, Surplus]),
        (report("a warning"), [Kept, ReportedLost, Surplus]),
    ];
    let now = Instant::now();
    for (report, results) in table {
        for (standing, expected) in [Kept, ReportedLost, Surplus].into_iter().zip(results) {
            let before = Life {
                standing,
                ..Life::new(now)
            };
            let after = before.after(now, report.clone());
            assert_eq!(after.standing, expected, "{report:?} in {standing:?}");
        }
    }
}

#[test]
fn contact_changes_with_messages_alone() {
    let now = Instant::now();
    for (name, _) in TRANSITIONS {
        for before in PHASES {
            let missed = life(phase(before, now), now).after(now, Report::Missed);
            assert_eq!(missed.phase, phase(before, now), "{before}");
            let after = missed.after(now, report(name));
            assert_eq!(after.is_missed(), name != "Heard", "{name} in {before}");
        }
    }
}

#[test]
fn a_silence_is_recorded_and_counts_as_over_only_while_the_pod_runs() {
    let now = Instant::now();
    for (name, _) in TRANSITIONS {
        let running = life(Phase::Running, now).after(now, report(name));
        assert_eq!(running.was_on_silent_node(), name == "Silent", "{name}");
        let silent = life(Phase::NodeSilent, now).after(now, report(name));
        assert!(silent.was_on_silent_node(), "{name}");
        assert_eq!(silent.is_on_silent_node(), name != "Running", "{name}");
        let again = silent.after(now, report("Running"));
        let again = again.after(now, report("Leaving"));
        assert!(again.is_on_silent_node(), "{name}");
    }
}

#[test]
fn pods_that_start_or_run_have_contact_and_are_to_stay_are_supply() {
    let now = Instant::now();
    let supplies = [
        true, true, true, true, true, false, true, false, false, false,
    ];
    for (name, expected) in PHASES.iter().zip(supplies) {
        let life = life(phase(name, now), now);
        assert_eq!(life.supplies(), expected, "{name}");
        for report in [Report::Missed, Report::Dismissed] {
            assert!(!life.clone().after(now, report).supplies(), "{name}");
        }
        let told = life.after(now, Report::LossTold);
        assert_eq!(told.supplies(), expected, "{name}");
    }
}

#[test]
fn apply_returns_true_when_a_pod_stops_being_supply() {
    let now = Instant::now();
    let mut pod = Pod::new(now, 0);
    assert!(!pod.apply(now, report("Running")));
    assert!(pod.apply(now, report("Silent")));
    assert!(!pod.apply(now, report("Leaving")));
}
