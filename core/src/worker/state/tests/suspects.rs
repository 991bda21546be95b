//! Slots that end: which task is a suspect, and how a suspect runs.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_crash_in_a_used_slot_makes_a_suspect_and_charges_no_other() {
    let mut bed = warm(1);
    bed.batch("a", "fast", 0, 10, false);
    bed.exit(S0, Exit::Signal(6), None);
    assert!(bed.causes().is_empty(), "several may have done it");
    assert!(bed.frames[&S1][0].noted, "they run again, noted");
    let frame = bed.frames[&S1][0].number;
    let running = Running {
        frame,
        index: 2,
        first: false,
        since: bed.now,
    };
    bed.exit(S1, Exit::Signal(6), Some(running));
    assert_eq!(bed.causes(), [(2, Cause::Suspect)]);
    assert_eq!(bed.started, 3, "another slot takes the others");
    while let Some((slot, _)) = bed.busy().first().copied() {
        let count = bed.frames[&SlotId(slot)][0].count;
        bed.done(SlotId(slot), count, Duration::from_micros(1));
    }
    bed.confirm();
    assert_eq!(bed.results.len(), 10);
    assert_eq!(bed.acks, ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_crash_of_the_first_task_of_a_fresh_slot_is_charged_to_it() {
    let mut bed = bed(1);
    bed.batch("a", "fast", 0, 1, false);
    bed.exit(S0, Exit::Signal(11), None);
    assert_eq!(bed.causes(), [(0, Cause::Crashed)]);
    let failure = bed.results[0].outcome.as_ref().unwrap_err();
    assert_eq!(failure.exit, Some(Exit::Signal(11)));
    let ran = failure.ran.clone().unwrap();
    let told = (ran.started, ran.pid);
    assert_eq!(told, (Some(SystemTime::UNIX_EPOCH), Some(77)));
}

#[tokio::test(start_paused = true)]
async fn a_suspect_waits_for_the_others_and_gets_a_fresh_slot() {
    let mut bed = warm(2);
    bed.batch("a", "slow", 0, 1, false);
    bed.batch("b", "fast", 1, 1, true);
    assert_eq!(bed.busy(), [(0, 1)], "the suspect waits");
    assert_eq!(bed.state.wants(), 0, "and nothing more is taken");
    bed.done(S0, 1, SECOND);
    assert_eq!(
        bed.busy(),
        [(2, 1)],
        "a slot that ran something was replaced"
    );
    bed.exit(SlotId(2), Exit::Signal(9), None);
    assert_eq!(bed.causes(), [(1, Cause::Crashed)]);
    bed.confirm();
    assert_eq!(bed.state.wants(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_suspect_of_this_worker_gets_a_fresh_slot_beside_the_others() {
    let mut bed = warm(2);
    bed.batch("a", "slow", 0, 1, false);
    bed.batch("b", "fast", 1, 1, false);
    bed.exit(S1, Exit::Signal(9), None);
    assert_eq!(bed.causes(), [(1, Cause::Suspect)]);
    bed.confirm();
    bed.batch("c", "fast", 5, 1, false);
    bed.done(SlotId(2), 1, Duration::from_micros(1));
    bed.batch("d", "fast", 1, 1, true);
    assert_eq!(
        bed.busy(),
        [(0, 1), (3, 1)],
        "an idle slot was replaced, a busy one goes on"
    );
    bed.exit(SlotId(3), Exit::Signal(9), None);
    assert_eq!(bed.causes()[1..], [(1, Cause::Crashed)]);
    // The same batch is delivered again.
    bed.batch("e", "fast", 1, 1, true);
    bed.done(SlotId(4), 1, Duration::from_micros(1));
    bed.batch("f", "fast", 6, 1, false);
    assert_eq!(bed.busy(), [(0, 1), (4, 1)], "others run as ever");
}

#[tokio::test(start_paused = true)]
async fn a_suspect_of_this_worker_does_not_starve_behind_short_tasks() {
    let mut bed = warm(1);
    bed.batch("a", "fast", 0, 1, false);
    bed.exit(S0, Exit::Signal(9), None);
    bed.batch("b", "fast", 1, 1, false);
    bed.batch("c", "fast", 0, 1, true);
    bed.batch("d", "fast", 2, 1, false);
    assert_eq!(bed.busy(), [(1, 1)], "nothing goes behind what runs");
    bed.done(S1, 1, Duration::from_micros(1));
    let next = &bed.frames[&SlotId(2)];
    assert_eq!(
        task_head(&next[0].entries).unwrap().unwrap().task,
        TaskId(0)
    );
}

#[tokio::test(start_paused = true)]
async fn what_waits_behind_a_task_that_ran_alone_goes_on_with_its_end() {
    let mut bed = bed(1);
    bed.batch("a", "fast", 0, 1, true);
    bed.batch("b", "fast", 1, 1, false);
    bed.done(S0, 1, SECOND);
    assert!(bed.frames[&S0].is_empty(), "until its result is safe");
    bed.confirm();
    assert_eq!(bed.acks, ["a"]);
    assert_eq!(bed.frames[&S0].len(), 1, "nothing else wakes the worker");
}
