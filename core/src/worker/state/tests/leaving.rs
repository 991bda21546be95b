//! Workers that leave, and slots that are replaced.

use super::*;

#[tokio::test(start_paused = true)]
async fn draining_gives_back_what_has_not_begun_and_lets_the_rest_end() {
    let mut bed = bed(1);
    bed.batch("a", "fast", 0, 2, false);
    bed.batch("b", "fast", 5, 1, false);
    bed.state.drain();
    bed.settle();
    assert_eq!(bed.releases, ["b"]);
    assert_eq!(bed.put_back.len(), 1);
    assert_eq!(bed.state.wants(), 0);
    bed.done(S0, 1, SECOND);
    bed.confirm();
    assert_eq!(bed.acks, ["a"]);
    bed.state.retire_slots(bed.now);
    bed.settle();
    assert!(bed.state.has_no_slots());
}

#[tokio::test(start_paused = true)]
async fn what_a_later_master_has_for_other_programs_is_given_back() {
    let mut bed = bed(1);
    bed.batch("a", "fast", 0, 1, false);
    // A task type that both programs have.
    bed.batch("b", "fast", 1, 1, false);
    assert_eq!(bed.state.outdated(), None);
    bed.batch("c", "renamed", 2, 1, false);
    bed.batch("d", "renamed", 3, 1, false);
    assert_eq!(bed.releases, ["c", "d"]);
    assert!(bed.results.is_empty(), "an answer would be final");
    assert_eq!(bed.state.outdated().unwrap().cause, Cause::Rejected);
    bed.done(S0, 1, SECOND);
    assert_eq!(bed.state.wants(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_the_own_master_has_for_other_programs_is_rejected() {
    let mut bed = bed(1);
    bed.batch("a", "unknown", 0, 1, false);
    assert_eq!(bed.causes(), [(0, Cause::Rejected)]);
    assert!(bed.releases.is_empty() && bed.state.outdated().is_none());
}

#[tokio::test(start_paused = true)]
async fn stopping_interrupts_and_the_batch_goes_back_at_once() {
    let mut bed = bed(1);
    bed.batch("a", "fast", 0, 1, false);
    bed.state.stop(bed.now);
    bed.settle();
    assert_eq!(bed.kills, [S0]);
    bed.exit(S0, Exit::Signal(9), None);
    assert_eq!(bed.causes(), [(0, Cause::Interrupted)]);
    assert_eq!(bed.releases, ["a"]);
    bed.confirm();
    assert!(bed.acks.is_empty() && bed.state.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_worn_slot_is_replaced() {
    let mut bed = bed(1);
    bed.state.settings.max_tasks_per_slot = Some(2);
    for n in 0..5 {
        bed.batch("a", "fast", n, 1, false);
        let slot = SlotId(bed.busy()[0].0);
        bed.done(slot, 1, SECOND);
        bed.confirm();
    }
    assert_eq!(bed.started, 3);
}
