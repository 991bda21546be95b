//! Tests of slots that end before they are ready.

use super::*;
use crate::outcome::{Exit, Ran};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn three_failed_starts_in_a_row_are_final_only_without_a_slot_that_is_alive() {
    let now = Instant::now();
    for (alive, end) in [(false, Next::Never), (true, Next::After(SECOND))] {
        let mut startups = Startups::default();
        assert_eq!(
            startups.failed(now, StartupFailure::Died, alive),
            Next::AtOnce
        );
        assert_eq!(
            startups.failed(now, StartupFailure::Died, alive),
            Next::AtOnce
        );
        assert_eq!(startups.room(now, 1, alive), usize::MAX);
        assert_eq!(startups.failed(now, StartupFailure::Died, alive), end);
    }
}

#[test]
fn a_shortage_is_no_death_and_ends_with_a_slot_that_was_started_later() {
    let now = Instant::now();
    let mut startups = Startups::default();
    let short = |id| StartupFailure::Short(SlotId(id));
    let delay = Duration::from_millis(50);
    assert_eq!(startups.failed(now, short(3), false), Next::After(delay));
    for id in 4..40 {
        assert_eq!(startups.failed(now, short(id), false), Next::Quietly(delay));
    }
    assert!(startups.are_held_up());
    assert_eq!(startups.room(now, 0, false), 0);
    let now = startups.due().unwrap();
    assert!(startups.is_due(now) && !startups.is_due(now));
    assert_eq!(
        [0, 1].map(|starting| startups.room(now, starting, true)),
        [1, 0]
    );
    assert!(!startups.are_held_up(), "work is wanted for one more try");
    startups.succeeded(SlotId(2));
    assert_eq!(startups.room(now, 1, true), 0, "it was started before");
    assert_eq!(
        startups.failed(now, StartupFailure::Died, false),
        Next::AtOnce
    );
    startups.succeeded(SlotId(40));
    assert_eq!(startups.room(now, 9, false), usize::MAX);
}

#[test]
fn a_late_start_is_final_where_no_slot_was_ever_ready() {
    let now = Instant::now();
    let mut startups = Startups::default();
    let late = startups.failed(now, StartupFailure::Late, true);
    assert_eq!(late, Next::After(SECOND), "another may still come");
    assert_eq!(
        startups.failed(now, StartupFailure::Late, false),
        Next::Never
    );
    startups.succeeded(SlotId(1));
    for _ in 0..2 {
        assert_eq!(
            startups.failed(now, StartupFailure::Late, false),
            Next::AtOnce
        );
    }
    assert_eq!(
        startups.failed(now, StartupFailure::Late, false),
        Next::Never
    );
}

#[test]
fn a_reason_shows_what_was_printed_and_what_to_do() {
    let ended = |tail: &[&str], reached_init| Ended {
        exit: Exit::Code(127),
        running: None,
        ran: Ran::default(),
        tail: tail.iter().map(ToString::to_string).collect(),
        peak_rss: None,
        out_of_memory: None,
        reached_init,
    };
    let lines: Vec<_> = (0..9).map(|n| format!("line {n}")).collect();
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    let failure = reason(ended(&lines, false), None);
    assert_eq!(failure.cause, Cause::Broken);
    assert_eq!(failure.output.len(), 9);
    for part in [
        "exit code 127",
        "line 4 | line 5",
        "line 8",
        "podpool::init()",
    ] {
        assert!(failure.message.contains(part), "{failure}");
    }
    assert!(!failure.message.contains("line 3"), "{failure}");
    let silent = reason(ended(&[], true), Some(20 * SECOND));
    for part in ["20s", "printed nothing", "initializer", "start_timeout"] {
        assert!(silent.message.contains(part), "{silent}");
    }
}

#[test]
fn an_initializer_that_fails_three_times_is_final_whatever_slots_are_alive() {
    let now = Instant::now();
    let mut startups = Startups::default();
    startups.failed(now, StartupFailure::Refused, true);
    startups.failed(now, StartupFailure::Refused, true);
    startups.succeeded(SlotId(9));
    startups.failed(now, StartupFailure::Refused, true);
    startups.failed(now, StartupFailure::Died, true);
    let third = startups.failed(now, StartupFailure::Refused, true);
    assert_eq!(third, Next::After(SECOND), "two of three refused");
    assert_eq!(
        startups.failed(now, StartupFailure::Refused, true),
        Next::Never
    );
}

#[test]
fn delays_double_up_to_half_a_minute_and_one_slot_is_tried_at_a_time() {
    let mut now = Instant::now();
    let mut startups = Startups::default();
    startups.failed(now, StartupFailure::Died, true);
    startups.failed(now, StartupFailure::Died, true);
    for seconds in [1, 2, 4, 8, 16, 30, 30] {
        let delay = Next::After(seconds * SECOND);
        assert_eq!(startups.failed(now, StartupFailure::Died, true), delay);
        let together = startups.failed(now, StartupFailure::Died, true);
        assert_eq!(together, delay, "those that die together are one try");
        assert_eq!(startups.room(now, 0, true), 0);
        assert_eq!(startups.room(now, 0, false), 1, "no other slot would work");
        now = startups.due().unwrap();
        assert!(startups.is_due(now) && !startups.is_due(now));
        assert_eq!(
            [0, 1].map(|starting| startups.room(now, starting, true)),
            [1, 0]
        );
    }
    startups.succeeded(SlotId(9));
    assert_eq!(startups.due(), None);
    assert_eq!(
        startups.failed(now, StartupFailure::Died, true),
        Next::AtOnce
    );
}
