//! What waits too long goes to another slot or worker.

use super::*;

#[tokio::test(start_paused = true)]
async fn what_waits_two_seconds_is_put_back_and_the_first_task_never_is() {
    let mut bed = bed(1);
    bed.batch("a", "fast", 0, 5, false);
    bed.now = bed.state.deadline().unwrap();
    bed.tick();
    assert_eq!(
        bed.put_back
            .iter()
            .map(|batch| batch.count)
            .collect::<Vec<_>>(),
        [4]
    );
    bed.done(S0, 1, SECOND);
    assert!(bed.acks.is_empty());
    bed.confirm();
    assert_eq!(
        bed.acks,
        ["a"],
        "the new batch is stored, so the old one may go"
    );
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_waits_behind_a_long_task_is_given_back_and_not_taken_again() {
    let mut bed = warm(1);
    bed.batch("a", "fast", 0, 1, false);
    bed.batch("b", "fast", 1, 1, false);
    bed.batch("c", "fast", 2, 1, false);
    assert_eq!(bed.busy(), [(0, 2)], "a runs, b is behind it, c waits");
    bed.now = bed.state.deadline().unwrap();
    bed.tick();
    assert_eq!(bed.releases, ["c"]);
    assert_eq!(bed.state.wants(), 0, "c would be taken again");
    let (slot, frame) = bed.reclaims.pop().expect("b is reclaimed from the slot");
    let reclaimed = SlotEvent::Reclaimed { frame, kept: 0 };
    bed.state.on_slot(bed.now, slot, reclaimed, &bed.script);
    bed.settle();
    bed.now = bed.state.deadline().unwrap();
    bed.tick();
    assert_eq!(bed.put_back.len(), 1, "b began here: it is published anew");
    bed.confirm();
    assert_eq!(bed.acks, ["b"]);
    bed.done(S0, 1, 9 * SECOND);
    bed.confirm();
    assert_eq!(bed.acks, ["b", "a"]);
    assert!(bed.state.wants() > 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_put_back_runs_here_beside_the_task_that_kept_it_waiting() {
    let mut bed = warm(2);
    bed.batch("a", "fast", 0, 1, false);
    bed.batch("b", "fast", 1, 4, false);
    let newest = bed.newest;
    // What waits behind a long task in a slot comes back, waits, and is put back.
    for _ in 0..10 {
        if !bed.put_back.is_empty() {
            break;
        }
        bed.now = bed.state.deadline().unwrap();
        bed.tick();
        for (slot, frame) in std::mem::take(&mut bed.reclaims) {
            let kept = u32::from(bed.frames[&slot][0].number == frame);
            let reclaimed = SlotEvent::Reclaimed { frame, kept };
            bed.state.on_slot(bed.now, slot, reclaimed, &bed.script);
        }
        bed.settle();
    }
    assert_eq!(bed.state.wants(), 0, "it would come here again at once");
    bed.confirm();
    bed.done(S0, 1, 9 * SECOND);
    assert!(bed.state.wants() > 0, "a slot is free");
    let (batch, entries) = (bed.put_back.remove(0), bed.put_back_entries.remove(0));
    assert_eq!(batch.number, newest);
    let before = bed.state.waiting + u64::from(bed.state.slots[0].left());
    bed.state
        .on_batch(bed.now, LeaseId::new("again"), &batch, entries, &Known)
        .unwrap();
    bed.settle();
    let after = bed.state.waiting + u64::from(bed.state.slots[0].left());
    assert_eq!(
        after - before,
        u64::from(batch.count),
        "it waits for a task of its batch, which may wait for it"
    );
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_waits_for_slots_that_start_stays() {
    let mut bed = bed(2);
    bed.deaf = true;
    bed.batch("a", "fast", 0, 1, false);
    bed.batch("b", "fast", 1, 1, false);
    bed.now += 10 * SECOND;
    bed.tick();
    assert!(bed.releases.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_free_slot_takes_over_what_waits_behind_a_long_task() {
    let mut bed = warm(2);
    bed.batch("a", "fast", 0, 600, false);
    let behind = bed.frames[&S0].len();
    while bed.frames.get(&S1).is_some_and(|frames| !frames.is_empty()) {
        let count = bed.frames[&S1][0].count;
        bed.done(S1, count, Duration::from_micros(1));
    }
    assert!(
        behind >= 1 && bed.state.slots[0].left() > 1,
        "slot 0 is stuck with several"
    );
    bed.now = bed.state.deadline().unwrap();
    bed.tick();
    assert!(!bed.reclaims.is_empty());
    for (id, frame) in std::mem::take(&mut bed.reclaims) {
        let kept = u32::from(bed.frames[&S0][0].number == frame);
        bed.state.on_slot(
            bed.now,
            id,
            SlotEvent::Reclaimed { frame, kept },
            &bed.script,
        );
    }
    bed.settle();
    assert_eq!(bed.state.slots[0].left(), 1);
    assert!(bed.state.slots[1].left() > 0);
}
