//! Which task is charged when a slot ends, and which is not.

use super::*;

/// A batch of short `slow` tasks in one noted frame: each has a timeout of a second.
fn noted_frame(bed: &mut Bed) -> u64 {
    bed.batch("warm", "slow", 99, 1, false);
    bed.done(S0, 1, Duration::from_micros(1));
    bed.confirm();
    bed.batch("a", "slow", 0, 8, false);
    assert!(bed.frames[&S0][0].noted && bed.frames[&S0][0].count > 2);
    bed.frames[&S0][0].number
}

fn at(bed: &Bed, frame: u64, index: u32) -> Running {
    Running {
        frame,
        index,
        first: false,
        since: bed.now,
    }
}

#[tokio::test(start_paused = true)]
async fn a_kill_that_meets_the_next_task_is_not_charged_to_it() {
    let mut bed = bed(1);
    let frame = noted_frame(&mut bed);
    let late = at(&bed, frame, 0);
    bed.script.running.insert(S0, late);
    bed.now += SECOND;
    bed.tick();
    assert_eq!(bed.kills, [S0], "for task 0");
    bed.done(S0, 1, Duration::from_micros(1));
    let next = at(&bed, frame, 1);
    bed.exit(S0, Exit::Signal(9), Some(next));
    assert_eq!(bed.causes(), [], "task 1 only had the slot after it");
    assert_eq!(bed.busy(), [(1, 7)]);
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_never_reached_its_slot_is_not_charged() {
    for out_of_memory in [false, true] {
        let mut bed = bed(1);
        bed.batch("a", "fast", 0, 1, false);
        bed.done(S0, 1, SECOND);
        bed.results.clear();
        bed.batch("b", "fast", 1, 1, false);
        // The slot was ending when the worker gave it the next frame.
        bed.end(S0, Exit::Signal(9), None, out_of_memory);
        assert_eq!(bed.causes(), []);
        assert_eq!(bed.busy(), [(1, 1)], "it runs in another slot");
    }
}

#[tokio::test(start_paused = true)]
async fn memory_too_is_charged_only_where_nothing_ran_before() {
    let mut bed = warm(1);
    bed.batch("a", "fast", 0, 1, false);
    let running = bed.flight(S0);
    bed.end(S0, Exit::Signal(9), running, true);
    assert_eq!(
        bed.causes(),
        [(0, Cause::Suspect)],
        "others left memory behind"
    );
    bed.confirm();
    bed.batch("b", "fast", 0, 1, true);
    let running = bed.flight(S1);
    bed.end(S1, Exit::Signal(9), running, true);
    assert_eq!(bed.causes()[1..], [(0, Cause::OutOfMemory)]);
}

#[tokio::test(start_paused = true)]
async fn a_stopping_worker_runs_nothing_again() {
    let mut bed = warm(1);
    bed.batch("a", "fast", 0, 300, false);
    assert_eq!(bed.frames[&S0].len(), 2, "two frames of several tasks");
    bed.state.stop(bed.now);
    bed.settle();
    bed.exit(S0, Exit::Signal(9), None);
    assert_eq!(bed.started, 1);
    assert_eq!(bed.releases, ["a"]);
    bed.confirm();
    assert!(bed.state.is_empty(), "{:?}", bed.state);
}

#[tokio::test(start_paused = true)]
async fn every_revoked_task_of_a_frame_is_cancelled_and_the_grace_is_for_the_one_that_runs() {
    let mut bed = bed(1);
    let frame = noted_frame(&mut bed);
    revoke(&mut bed, 1, 2);
    assert_eq!(bed.cancels, [TaskId(1), TaskId(2)]);
    assert_eq!(bed.reclaims, [(S0, frame)]);
    let running = at(&bed, frame, 0);
    bed.script.running.insert(S0, running);
    let late = SlotEvent::Reclaimed { frame, kept: 2 };
    bed.state.on_slot(bed.now, S0, late, &bed.script);
    bed.settle();
    // No revocation names task 0, however long it takes.
    bed.state.slots[0].frames[0].timeout = None;
    bed.now += GRACE;
    bed.tick();
    assert_eq!(bed.kills, []);
    revoke(&mut bed, 1, 2);
    let running = at(&bed, frame, 1);
    bed.script.running.insert(S0, running);
    bed.done(S0, 1, SECOND);
    bed.now += GRACE;
    bed.tick();
    assert_eq!(bed.kills, [S0]);
    bed.exit(S0, Exit::Signal(9), Some(running));
    assert_eq!(bed.causes(), [(1, Cause::Cancelled)]);
}

#[tokio::test(start_paused = true)]
async fn the_grace_of_a_second_frame_begins_when_it_runs() {
    let mut bed = warm(1);
    bed.batch("a", "fast", 0, 300, false);
    let [first, second] = [0, 1].map(|place| bed.frames[&S0][place].count);
    revoke(&mut bed, u64::from(first), u64::from(first + second));
    bed.now += GRACE;
    bed.tick();
    assert_eq!(bed.kills, [], "the first frame runs");
    bed.done(S0, first, Duration::from_micros(1));
    bed.tick();
    assert_eq!(bed.kills, []);
    bed.now += GRACE;
    bed.tick();
    assert_eq!(bed.kills, [S0]);
}

#[tokio::test(start_paused = true)]
async fn the_frame_behind_a_reclaimed_one_has_its_timeout() {
    let mut bed = warm(1);
    bed.batch("a", "slow", 7, 1, false);
    bed.done(S0, 1, Duration::from_micros(1));
    bed.batch("b", "slow", 0, 300, false);
    let first = &bed.frames[&S0][0];
    assert_eq!(bed.frames[&S0].len(), 2);
    let reclaimed = SlotEvent::Reclaimed {
        frame: first.number,
        kept: 0,
    };
    bed.state.on_slot(bed.now, S0, reclaimed, &bed.script);
    bed.settle();
    assert_eq!(bed.state.deadline(), Some(bed.now + SECOND));
}
