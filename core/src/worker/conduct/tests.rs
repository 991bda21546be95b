//! Tests of the times after which a worker leaves.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn limits() -> (WaitLimits, Instant) {
    let now = Instant::now();
    let conduct = Conduct {
        greeting: Some(10 * SECOND),
        idle: Some(300 * SECOND),
        refusal: Some(60 * SECOND),
        ..Conduct::default()
    };
    (WaitLimits::new(&conduct, now), now)
}

#[test]
fn the_first_pull_waits_for_the_greeting_or_its_time() {
    let (mut limits, now) = limits();
    assert!(!limits.may_pull(now + 9 * SECOND));
    assert!(limits.may_pull(now + 10 * SECOND));
    let (mut limits, now) = self::limits();
    limits.greeted();
    assert!(limits.may_pull(now));
}

#[test]
fn only_a_worker_that_was_never_served_leaves_when_it_is_refused() {
    let (mut limits, now) = limits();
    assert!(!limits.refused(now));
    assert!(!limits.refused(now + 59 * SECOND));
    assert!(limits.refused(now + 60 * SECOND));
    limits.served();
    assert!(!limits.refused(now + 61 * SECOND));
    assert!(!limits.refused(now + 999 * SECOND));
}

#[test]
fn a_worker_that_reached_a_queue_once_is_not_given_up() {
    let now = Instant::now();
    let conduct = Conduct {
        reach: Some(50 * SECOND),
        ..Conduct::default()
    };
    let mut limits = WaitLimits::new(&conduct, now);
    limits.served();
    assert_eq!(limits.reach_until(), Some(now + 50 * SECOND));
    limits.reached();
    assert_eq!(limits.reach_until(), None);
    assert_eq!(
        WaitLimits::new(&Conduct::default(), now).reach_until(),
        None
    );
}

#[test]
fn a_message_of_the_master_starts_the_idle_time_again() {
    let (mut limits, now) = limits();
    assert_eq!(limits.idle_until(), Some(now + 300 * SECOND));
    limits.heard(now + SECOND);
    assert_eq!(limits.idle_until(), Some(now + 301 * SECOND));
    assert_eq!(WaitLimits::new(&Conduct::default(), now).idle_until(), None);
}
