//! Tests of the step of each pool at each signal.

use ShutdownBehavior::{Abort, CancelPending};

use super::*;

#[test]
fn signals_form_a_row_only_soon_after_each_other_and_without_an_answer() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut unanswered = Unanswered::new();
    assert!(!unanswered.insists(at(0), 2));
    assert!(!unanswered.insists(at(11), 2), "too late to insist");
    assert!(unanswered.insists(at(21), 2));
    unanswered.clear();
    assert!(
        !unanswered.insists(at(22), 2),
        "a pool answered between them"
    );
    let in_a_row: Vec<_> = (23..27).map(|s| unanswered.insists(at(s), 5)).collect();
    assert_eq!(in_a_row, [false, false, false, true]);
}

const STEPS: &[ShutdownBehavior] = &[CancelPending, Abort];

fn steps(answer: &Answer) -> Vec<ShutdownBehavior> {
    match answer {
        Answer::Steps(taken) => taken.iter().map(|(_, step)| *step).collect(),
        Answer::Exhausted | Answer::NoPool => Vec::new(),
    }
}

#[test]
fn a_pool_that_comes_later_takes_its_own_first_step() {
    let mut pools = Pools::new();
    let (first, _first_inbox) = Mailbox::new();
    pools.add(&first);
    assert_eq!(steps(&pools.arrive(STEPS)), [CancelPending]);
    let (second, _second_inbox) = Mailbox::new();
    pools.add(&second);
    assert_eq!(steps(&pools.arrive(STEPS)), [Abort, CancelPending]);
    assert_eq!(steps(&pools.arrive(STEPS)), [Abort]);
    assert!(matches!(pools.arrive(STEPS), Answer::Exhausted));
}

#[test]
fn two_pools_at_once_both_take_their_steps() {
    let mut pools = Pools::new();
    let (first, _first_inbox) = Mailbox::new();
    let (second, _second_inbox) = Mailbox::new();
    pools.add(&first);
    pools.add(&second);
    assert_eq!(steps(&pools.arrive(STEPS)), [CancelPending, CancelPending]);
    assert_eq!(steps(&pools.arrive(STEPS)), [Abort, Abort]);
}

#[test]
fn pools_that_have_ended_do_not_count() {
    let mut pools = Pools::new();
    assert!(matches!(pools.arrive(STEPS), Answer::NoPool));
    let (first, inbox) = Mailbox::new();
    pools.add(&first);
    // Its executor has ended; a future still holds the mailbox.
    inbox.end(Ok(()));
    assert!(matches!(pools.arrive(STEPS), Answer::NoPool));
    let (second, inbox) = Mailbox::new();
    pools.add(&second);
    drop(inbox);
    assert!(matches!(pools.arrive(STEPS), Answer::NoPool));
    let (third, inbox) = Mailbox::new();
    pools.add(&third);
    drop((third, inbox));
    assert!(matches!(pools.arrive(STEPS), Answer::NoPool));
    assert!(pools.0.is_empty());
}
