//! The difference of two clocks, and what a time of a worker's host becomes by it.

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const MILLI: i64 = 1_000;

fn time(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

#[test]
fn the_fastest_message_of_the_last_minutes_gives_the_difference() {
    let began = Instant::now();
    let at = |seconds: u64| podpool_core::instant::after(began, SECOND * seconds as u32);
    let mut clock = ClockDifference::new();
    assert_eq!(clock.micros(), None);
    clock.note(at(0), 90 * MILLI);
    clock.note(at(10), 60_000 * MILLI);
    clock.note(at(20), 40 * MILLI);
    clock.note(at(30), 70 * MILLI);
    assert_eq!(
        clock.micros(),
        Some(40 * MILLI),
        "a late one changes nothing"
    );
    // The clocks drift apart: what is old is forgotten, and not before newer messages are known.
    clock.note(at(310), 80 * MILLI);
    assert_eq!(clock.micros(), Some(40 * MILLI));
    clock.note(at(620), 85 * MILLI);
    assert_eq!(clock.micros(), Some(80 * MILLI));
    clock.note(at(2_000), -7 * MILLI);
    clock.note(at(2_001), 95 * MILLI);
    assert_eq!(clock.micros(), Some(-7 * MILLI));
    clock.note(at(9_000), 95 * MILLI);
    assert_eq!(clock.micros(), Some(95 * MILLI), "after a long silence");
}

#[test]
fn a_time_of_a_host_is_shown_by_the_masters_clock() {
    let made = |micros| Made {
        at: time(1_000).into(),
        micros,
    };
    // The worker's clock is 90 s ahead.
    let ahead = made(Some(-90_000 * MILLI));
    assert_eq!(ahead.began(SECOND * 10), Some(time(900)));
    assert_eq!(ahead.corrected(time(990).into()), Some(time(900)));
    assert_eq!(made(None).began(SECOND), Some(time(999)), "as it is");
}

#[test]
fn no_time_that_a_worker_states_is_a_panic() {
    for at in [0, 1, u64::MAX] {
        for micros in [None, Some(i64::MIN), Some(0), Some(i64::MAX)] {
            let made = Made {
                at: WallTime(at),
                micros,
            };
            for elapsed in [Duration::ZERO, SECOND, Duration::MAX] {
                let began = made.began(elapsed);
                assert!(began.is_none() || at > 0, "{made:?}: {began:?}");
            }
        }
    }
}

#[test]
fn a_clock_that_was_set_back_has_nothing_wait_for_less_than_no_time() {
    assert_eq!(between(time(5), time(7)), SECOND * 2);
    assert_eq!(between(time(7), time(5)), Duration::ZERO);
}
