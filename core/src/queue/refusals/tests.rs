//! Tests of pauses and of the end after refusals.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn pauses_double_to_a_cap_and_jitter_halves_them_at_most() {
    let mut refusals = Refusals::default();
    let now = Instant::now();
    let pauses: Vec<_> = (0..8)
        .map(|_| {
            refusals
                .refused(now, BROKER_TIMEOUT, 0.0)
                .unwrap()
                .as_millis()
        })
        .collect();
    assert_eq!(pauses, [200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
    assert_eq!(pause(SECOND, 4 * SECOND, 1, 1.0), SECOND);
    assert_eq!(pause(SECOND, 4 * SECOND, u32::MAX, 0.0), 4 * SECOND);
}

#[test]
fn a_queue_is_given_up_when_refusals_last_too_long_and_an_answer_begins_anew() {
    let mut now = Instant::now();
    let mut refusals = Refusals::default();
    assert!(refusals.refused(now, 10 * SECOND, 0.0).is_some());
    now += 9 * SECOND;
    assert_eq!(refusals.served(now), None, "no line was logged");
    assert!(refusals.refused(now, 10 * SECOND, 0.0).is_some());
    now += 9 * SECOND + Duration::from_millis(900);
    let last = refusals.refused(now, 10 * SECOND, 0.0);
    assert_eq!(
        last,
        Some(Duration::from_millis(100)),
        "no longer than what is left"
    );
    now += Duration::from_millis(100);
    assert_eq!(refusals.refused(now, 10 * SECOND, 0.0), None);
    assert!(refusals.refused(now, Duration::MAX, 0.0).is_some(), "never");
    assert_eq!(Refusals::default().refused(now, Duration::ZERO, 0.0), None);
}

fn unavailable() -> QueueError {
    QueueError::Unavailable {
        queue: "tasks".to_owned(),
        reason: "busy".to_owned(),
    }
}

#[test]
fn an_outage_is_a_line_when_it_lasts_one_each_minute_and_one_at_its_end() {
    let (start, mut outage) = (Instant::now(), Outage::default());
    assert!(!outage.refused(start, &unavailable()), "once is ordinary");
    assert_eq!(outage.served(start), None);
    let said = (0..1_000).filter(|tenth| {
        let now = start + *tenth * SECOND / 10;
        outage.refused(now, &unavailable())
    });
    assert_eq!(said.collect::<Vec<_>>(), [1, 601]);
    assert_eq!(outage.served(start + 100 * SECOND), Some(100 * SECOND));
    assert_eq!(outage.served(start + 101 * SECOND), None, "once");
}

#[test]
fn what_the_master_makes_again_is_logged_by_no_worker() {
    let (start, mut outage) = (Instant::now(), Outage::default());
    let vanished = QueueError::Vanished {
        queue: "tasks".to_owned(),
        reason: "not found".to_owned(),
    };
    for second in 0..200 {
        assert!(!outage.refused(start + second * SECOND, &vanished));
    }
    assert_eq!(outage.served(start + 200 * SECOND), None);
}
