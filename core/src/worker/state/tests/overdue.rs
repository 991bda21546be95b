//! Slots that do not carry out a request.

use super::*;

/// How long a slot that was requested to exit keeps its place.
const PLACE: Duration = Duration::from_millis(500);

/// Goes from deadline to deadline until the slot is killed. Gives how long that took.
fn until_killed(bed: &mut Bed, id: SlotId) -> Duration {
    let began = bed.now;
    while !bed.kills.contains(&id) {
        bed.wait();
    }
    bed.now - began
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_does_not_exit_is_killed_after_the_grace() {
    let mut bed = bed(1);
    bed.batch("a", "fast", 0, 1, false);
    bed.done(S0, 1, SECOND);
    bed.confirm();
    bed.deaf = true;
    bed.state.retire_slots(bed.now);
    bed.settle();
    assert_eq!(until_killed(&mut bed, S0), GRACE);
    assert_eq!(bed.kills, [S0], "once");
    bed.exit(S0, Exit::Signal(9), None);
    assert!(bed.state.has_no_slots());
    assert_eq!(bed.causes(), [], "no task is charged");
}

#[tokio::test(start_paused = true)]
async fn a_worn_slot_that_does_not_exit_gives_its_place_up_soon() {
    let mut bed = bed(1);
    bed.state.settings.max_tasks_per_slot = Some(1);
    bed.batch("a", "fast", 0, 1, false);
    bed.deaf = true;
    bed.done(S0, 1, SECOND);
    bed.confirm();
    bed.deaf = false;
    bed.batch("b", "fast", 1, 1, false);
    assert_eq!(bed.started, 1, "most exit at once, with their memory");
    assert_eq!(bed.wait(), PLACE);
    assert_eq!(
        bed.busy(),
        [(1, 1)],
        "the next task does not wait for the grace"
    );
    assert_eq!(until_killed(&mut bed, S0), GRACE - PLACE);
}

#[tokio::test(start_paused = true)]
async fn slots_that_do_not_exit_are_as_many_as_the_others_at_most() {
    let mut bed = bed(2);
    bed.state.settings.max_tasks_per_slot = Some(1);
    bed.deaf = true;
    for task in 0..8 {
        bed.batch("a", "fast", task, 1, false);
    }
    let mut most = 0;
    for _ in 0..200 {
        for id in bed.starting() {
            bed.state
                .on_slot(bed.now, id, SlotEvent::Ready, &bed.script);
            bed.settle();
        }
        for (id, _) in bed.busy() {
            bed.done(SlotId(id), 1, SECOND);
        }
        bed.confirm();
        most = most.max(bed.state.slots.len());
        if bed.results.len() == 8 {
            break;
        }
        bed.wait();
        for id in std::mem::take(&mut bed.kills) {
            bed.exit(id, Exit::Signal(9), None);
        }
    }
    assert_eq!(bed.results.len(), 8, "all tasks end");
    assert_eq!(most, 4);
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_is_not_ready_in_time_breaks_a_worker_that_had_none() {
    let mut bed = bed(1);
    bed.deaf = true;
    bed.batch("a", "fast", 0, 1, false);
    assert_eq!(until_killed(&mut bed, S0), START);
    assert_eq!(bed.causes(), [], "not before it has ended");
    bed.exit(S0, Exit::Signal(9), None);
    assert_eq!(bed.causes(), [(0, Cause::Broken)]);
    assert_eq!(bed.started, 1, "each further try would take as long");
}

#[tokio::test(start_paused = true)]
async fn a_late_start_is_tried_again_where_one_has_worked() {
    let mut bed = bed(1);
    bed.batch("a", "fast", 0, 1, false);
    bed.done(S0, 1, SECOND);
    bed.confirm();
    bed.exit(S0, Exit::Signal(11), None);
    bed.deaf = true;
    bed.batch("b", "fast", 1, 1, false);
    assert_eq!(until_killed(&mut bed, SlotId(1)), START);
    bed.deaf = false;
    bed.exit(SlotId(1), Exit::Signal(9), None);
    assert_eq!(bed.causes(), []);
    assert_eq!(bed.busy(), [(2, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_ready_slot_has_no_deadline() {
    let mut bed = bed(1);
    bed.batch("a", "fast", 0, 1, false);
    bed.done(S0, 1, SECOND);
    bed.confirm();
    assert_eq!(bed.state.deadline(), None);
}

#[tokio::test(start_paused = true)]
async fn a_killed_process_that_does_not_end_is_given_up_with_its_tasks_judged() {
    let mut bed = bed(1);
    bed.batch("a", "slow", 0, 1, false);
    assert_eq!(until_killed(&mut bed, S0), SECOND, "its timeout");
    let running = bed.flight(S0).unwrap();
    bed.script.running.insert(S0, running);
    assert_eq!(bed.wait(), Duration::from_secs(10));
    assert_eq!(bed.causes(), [(0, Cause::TimedOut)]);
    assert!(bed.state.has_no_slots());
    // It ends at last.
    bed.exit(S0, Exit::Signal(9), Some(running));
    assert_eq!(bed.causes().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn time_without_end_is_no_deadline() {
    let mut bed = bed(1);
    bed.state.settings.start_timeout = Duration::MAX;
    bed.deaf = true;
    bed.batch("a", "fast", 0, 1, false);
    // What waits is put back after two seconds only once it has begun.
    assert_eq!(bed.state.deadline(), None);
}

/// A slot with task 0, which takes long, and task 1 behind it, which was just requested back.
fn asked_back() -> Bed {
    let mut bed = warm(1);
    bed.batch("a", "fast", 0, 1, false);
    bed.batch("b", "fast", 1, 1, false);
    assert_eq!(bed.busy(), [(0, 2)]);
    while bed.reclaims.is_empty() {
        bed.wait();
    }
    bed
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_does_not_give_tasks_back_is_killed_and_they_run_elsewhere() {
    let mut bed = asked_back();
    assert_eq!(until_killed(&mut bed, S0), Duration::from_secs(60));
    let running = bed.flight(S0).or_else(|| {
        let frame = &bed.state.slots[0].frames[0];
        let since = frame.since.unwrap();
        let (frame, index) = (frame.number, frame.done);
        Some(Running {
            frame,
            index,
            first: false,
            since,
        })
    });
    bed.exit(S0, Exit::Signal(9), running);
    assert_eq!(bed.causes(), [(0, Cause::Suspect)]);
    assert_eq!(bed.busy(), [(1, 1)], "the other task runs in a new slot");
}

#[tokio::test(start_paused = true)]
async fn a_slot_whose_tasks_have_ended_needs_no_answer() {
    let mut bed = asked_back();
    bed.done(S0, 1, SECOND);
    bed.done(S0, 1, SECOND);
    bed.confirm();
    for _ in 0..10 {
        if bed.state.deadline().is_none() {
            break;
        }
        bed.wait();
    }
    assert_eq!(bed.kills, []);
    assert_eq!(bed.acks, ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_was_killed_by_what_watches_it_is_given_up_too() {
    let mut bed = bed(1);
    bed.batch("a", "fast", 0, 1, false);
    let running = bed.flight(S0).unwrap();
    bed.script.running.insert(S0, running);
    bed.state
        .on_slot(bed.now, S0, SlotEvent::Killed, &bed.script);
    bed.settle();
    bed.batch("b", "fast", 1, 1, false);
    assert_eq!(bed.busy(), [(0, 1)], "it gets nothing more");
    assert_eq!(bed.wait(), Duration::from_secs(10));
    assert_eq!(bed.causes(), [(0, Cause::Crashed)]);
    assert_eq!(bed.busy(), [(1, 1)]);
}

/// Its last message was on its way when it was killed.
#[tokio::test(start_paused = true)]
async fn a_late_start_that_reports_its_reason_counts_once() {
    let mut bed = bed(1);
    bed.batch("a", "fast", 0, 1, false);
    bed.done(S0, 1, SECOND);
    bed.confirm();
    bed.exit(S0, Exit::Signal(11), None);
    bed.deaf = true;
    bed.batch("b", "fast", 1, 1, false);
    for slot in [SlotId(1), SlotId(2)] {
        assert_eq!(until_killed(&mut bed, slot), START);
        let failed = SlotEvent::SetupFailed(Failure::new(Cause::Failed, "no licence"));
        bed.state.on_slot(bed.now, slot, failed, &bed.script);
        bed.settle();
        bed.exit(slot, Exit::Signal(9), None);
    }
    assert_eq!(bed.causes(), [], "three in a row would break the worker");
    assert_eq!(bed.started, 4);
}

#[tokio::test(start_paused = true)]
async fn a_kill_keeps_its_deadline_whatever_the_slot_reports_afterwards() {
    for says in [
        SlotEvent::Ready,
        SlotEvent::SetupFailed(Failure::new(Cause::Failed, "no licence")),
    ] {
        let mut bed = bed(1);
        bed.state.settings.grace = Duration::MAX;
        bed.deaf = true;
        bed.batch("a", "fast", 0, 1, false);
        for event in [SlotEvent::Killed, says] {
            bed.state.on_slot(bed.now, S0, event, &bed.script);
            bed.settle();
        }
        assert_eq!(bed.busy(), [], "it gets nothing");
        let before = bed.started;
        while bed.state.slots.iter().any(|slot| slot.id == S0) {
            bed.wait();
        }
        assert!(bed.started > before, "another starts");
    }
}
