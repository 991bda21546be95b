//! Tests of the worker's record of a slot's frames.

use std::time::Duration;

use super::*;

#[test]
fn the_front_frame_runs_and_the_cell_says_where() {
    let start = Instant::now();
    let later = start + Duration::from_secs(1);
    let mut sent = SentFrames::default();
    assert_eq!(sent.running(None), None);
    sent.sent(7, 3, true, start);
    sent.sent(8, 1, true, start);
    let at = |frame, index, since| {
        Some(Progress {
            frame,
            index,
            since,
        })
    };
    let running = sent.running(None).unwrap();
    assert_eq!((running.frame, running.index, running.first), (7, 0, true));
    let running = sent.running(at(7, 2, later)).unwrap();
    assert_eq!(
        (running.index, running.first, running.since),
        (2, false, later)
    );
    assert!(!sent.answered(7, 2, later));
    assert!(sent.answered(7, 1, later));
    let running = sent.running(at(7, 2, start)).unwrap();
    assert_eq!((running.frame, running.index, running.first), (8, 0, false));
    assert_eq!(running.since, later);
    assert!(sent.answered(8, 1, later));
    assert!(sent.is_empty());
}

#[test]
fn a_limit_counts_while_its_frame_is_the_first() {
    let now = Instant::now();
    let mut sent = SentFrames::default();
    sent.sent(1, 1, false, now);
    sent.sent(2, 1, false, now);
    sent.limit_last(77);
    sent.sent(3, 1, false, now);
    let mut seen = vec![(sent.limit(), sent.has_limit())];
    for frame in [1, 2, 3] {
        sent.answered(frame, 1, now);
        seen.push((sent.limit(), sent.has_limit()));
    }
    let none = (None, false);
    assert_eq!(seen, [(None, true), (Some(77), true), none, none]);
}

#[test]
fn a_reclaimed_frame_ends_with_what_was_kept() {
    let now = Instant::now();
    let mut sent = SentFrames::default();
    sent.sent(1, 10, true, now);
    sent.sent(2, 5, true, now);
    assert_eq!(sent.reclaimed(2, 0, now), 0);
    assert!(!sent.answered(1, 4, now));
    assert_eq!(sent.reclaimed(1, 4, now), 4);
    assert!(sent.is_empty());
    assert_eq!(sent.reclaimed(1, u32::MAX, now), u32::MAX);
}

#[test]
fn a_frame_with_another_behind_it_is_not_the_only_one() {
    let now = Instant::now();
    let mut sent = SentFrames::default();
    assert_eq!(sent.sole(), None);
    sent.sent(1, 1, true, now);
    assert_eq!(sent.sole(), Some(1));
    sent.sent(2, 1, true, now);
    assert_eq!((sent.sole(), sent.front()), (None, Some(1)));
    sent.answered(1, 1, now);
    assert_eq!(sent.sole(), Some(2));
}
