//! Tests of messages with another MAC.

use super::*;

const LEASE: Duration = Duration::from_secs(60);

fn keyed() -> Unauthenticated {
    Unauthenticated::new(&MacKey::Keyed([7; 32]), LEASE)
}

fn lease(number: usize) -> LeaseId {
    LeaseId::new(number.to_string())
}

#[test]
fn a_worker_with_a_proven_key_removes_and_counts_what_has_another_mac() {
    let (mut foreign, now) = (keyed(), Instant::now());
    assert_eq!(foreign.trust(), []);
    let error = WireError::Mac;
    assert_eq!(foreign.unread(now, &lease(1), &error), Disposition::Drop(1));
    let version = WireError::Version(9);
    assert_eq!(
        foreign.unread(now, &lease(2), &version),
        Disposition::Drop(2)
    );
    assert_eq!(foreign.count(), 3);
    let mut local = Unauthenticated::new(&MacKey::Absent, LEASE);
    assert_eq!(local.unread(now, &lease(1), &error), Disposition::Drop(1));
}

#[test]
fn a_worker_whose_key_has_opened_nothing_holds_and_pulls_on_until_its_key_is_proven() {
    let (mut foreign, now) = (keyed(), Instant::now());
    // A message that no key opens belongs to no run.
    let broken = WireError::Truncated;
    assert_eq!(
        foreign.unread(now, &lease(0), &broken),
        Disposition::Drop(1)
    );
    let (mut seen, mut pulls) = (0, 0);
    while seen < 50 {
        assert!(foreign.may_pull(now));
        for _ in 0..foreign.most(1) {
            let disposition = foreign.unread(now, &lease(seen), &WireError::Mac);
            assert_eq!(disposition, Disposition::Hold);
            seen += 1;
        }
        pulls += 1;
    }
    assert_eq!((pulls, foreign.most(1)), (7, 64));
    assert_eq!(foreign.due(now), Some(now + HOLD));
    assert_eq!(foreign.trust(), (0..64).map(lease).collect::<Vec<_>>());
    assert_eq!(foreign.dropped(), 65);
    assert_eq!((foreign.most(1), foreign.due(now)), (1, None));
    assert_eq!(foreign.search_ended(now + HOLD), None);
}

#[test]
fn a_wrong_key_gives_back_what_it_holds_and_pauses_ever_longer() {
    let (mut foreign, mut now) = (keyed(), Instant::now());
    for pause in [4, 8, 16, 30, 30].map(Duration::from_secs) {
        let error = WireError::Mac;
        assert_eq!(foreign.unread(now, &lease(1), &error), Disposition::Hold);
        assert_eq!(foreign.search_ended(now), None);
        now += HOLD;
        let ended = foreign.search_ended(now);
        assert_eq!(ended, Some((vec![lease(1)], pause)));
        // What a pull brings that was under way.
        assert_eq!(
            foreign.unread(now, &lease(2), &error),
            Disposition::GiveBack
        );
        assert!(!foreign.may_pull(now));
        assert_eq!(foreign.due(now), Some(now + pause));
        now += pause;
        assert!(foreign.may_pull(now));
        assert_eq!(foreign.due(now), None);
    }
    assert_eq!(foreign.dropped(), 0);
}

#[test]
fn what_is_held_is_bounded_and_goes_back_before_its_lease_ends() {
    let (mut foreign, now) = (keyed(), Instant::now());
    for number in 0..HELD {
        let disposition = foreign.unread(now, &lease(number), &WireError::Mac);
        assert_eq!(disposition, Disposition::Hold);
    }
    assert_eq!(foreign.most(1), PULL);
    assert!(!foreign.may_pull(now));
    let one_more = foreign.unread(now, &lease(HELD), &WireError::Mac);
    assert_eq!(one_more, Disposition::GiveBack);
    assert_eq!(foreign.give_back().len(), HELD);
    let mut short = Unauthenticated::new(&MacKey::Keyed([7; 32]), Duration::from_secs(1));
    short.unread(now, &lease(1), &WireError::Mac);
    assert_eq!(short.due(now), Some(now + Duration::from_millis(500)));
}
