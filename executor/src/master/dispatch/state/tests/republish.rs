//! Batches that the queue lost are published again.

use super::*;

/// Three leases go by, with a heartbeat of a worker that pulls in vain each third of a lease.
fn starve(bed: &mut Bed, held: &[TaskRun]) -> Vec<Published> {
    let mut republished = Vec::new();
    for _ in 0..9 {
        bed.alive(1, 1, 1, held.to_vec());
        bed.pass(LEASE / 3);
        republished.extend(bed.republished());
    }
    republished
}

#[tokio::test(start_paused = true)]
async fn a_lost_batch_is_published_again_while_workers_pull_in_vain() {
    let mut bed = bed();
    bed.submit_many(&PLAIN, 2);
    bed.batches();
    bed.done(&[(1, 1)], Duration::ZERO);
    bed.alive(1, 1, 1, vec![]);
    bed.pass(LEASE * 3 - Duration::from_millis(1));
    bed.alive(1, 1, 1, vec![]);
    bed.on_tick(bed.now);
    assert_eq!(bed.republished(), [], "it may still be under way");
    assert_eq!(
        starve(&mut bed, &[]),
        [packed(&[(0, 1)])],
        "the same attempt"
    );
    assert_eq!(bed.batches(), []);
    bed.done(&[(0, 1)], Duration::ZERO);
    assert_eq!(bed.revoked(), [(0, 0, 1)], "the other envelope may exist");
    for _ in 0..9 {
        bed.pass(LEASE);
        bed.alive(1, 1, 1, vec![]);
    }
    bed.pass(LEASE);
    assert_eq!(bed.republished(), []);
    assert_eq!(bed.revoked(), [], "it does not");
    assert_eq!(bed.state.work_deadline(), None, "nothing is out");
    bed.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn a_lost_batch_is_not_held_by_a_task_that_has_left_it() {
    let mut bed = bed();
    bed.submit_many(&PLAIN, 1);
    bed.batches();
    bed.done(&[(0, 1)], Duration::from_millis(1));
    bed.submit_many(&PLAIN, 8 * SLOTS);
    let first = packed(&[(1, 1), (2, 1)]);
    assert_eq!(bed.batches()[0], first);
    bed.fail(1, 1, Cause::Crashed);
    assert!(bed.batches().contains(&packed(&[(1, 2)])));
    let republished = starve(&mut bed, &[run(1, 1, 2)]);
    assert!(republished.contains(&packed(&[(2, 1)])), "{republished:?}");
    assert!(!republished.contains(&packed(&[(1, 2)])), "a worker has it");
}

#[tokio::test(start_paused = true)]
async fn when_the_queues_were_lost_everything_that_is_out_is_published_again() {
    let mut bed = bed();
    bed.submit_many(&PLAIN, 3);
    let sent = bed.sent();
    for (batch, _) in &sent[..2] {
        bed.on_stored(bed.now, *batch);
    }
    bed.done(&[(1, 1)], Duration::ZERO);
    let number = sent[2].0;
    bed.republish_all(bed.now);
    assert_eq!(
        bed.republished(),
        [packed(&[(0, 1)])],
        "what is under way follows"
    );
    assert_eq!(bed.republished(), []);
    bed.on_stored(bed.now, number);
    assert_eq!(
        bed.republished(),
        [packed(&[(2, 1)])],
        "it may have been lost"
    );
    bed.on_stored(bed.now, number);
    assert_eq!(bed.republished(), [], "once is enough");
    bed.done(&[(0, 1), (2, 1)], Duration::ZERO);
    assert_eq!(
        bed.revoked(),
        [(0, 0, 1), (2, 2, 1)],
        "their first envelopes may exist"
    );
    bed.republish_all(bed.now);
    assert_eq!(bed.republished(), [], "nothing is out");
    bed.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_not_republished_before_it_was_stored() {
    let mut bed = bed();
    bed.submit(&PLAIN);
    let number = bed.sent()[0].0;
    assert_eq!(starve(&mut bed, &[]), [], "its payload is still uploaded");
    assert_eq!(starve(&mut bed, &[]), []);
    bed.on_stored(bed.now, number);
    bed.alive(1, 1, 1, vec![]);
    bed.pass(LEASE * 3 - Duration::from_millis(1));
    assert_eq!(bed.republished(), [], "workers may have it since");
    assert_eq!(starve(&mut bed, &[]), [packed(&[(0, 1)])]);
    bed.done(&[(0, 1)], Duration::ZERO);
    bed.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_not_republished_while_workers_are_busy_or_hold_it_or_report_it() {
    let mut bed = bed();
    bed.submit(&PLAIN);
    bed.batches();
    bed.pass(LEASE * 9);
    assert_eq!(bed.republished(), [], "no worker is known");
    for _ in 0..9 {
        bed.alive(1, 0, 0, vec![]);
        bed.alive(2, 2, 0, vec![]);
        bed.pass(LEASE);
    }
    assert_eq!(
        bed.republished(),
        [],
        "one is busy, the other's pulls bring batches"
    );
    assert_eq!(starve(&mut bed, &[run(0, 1, 1)]), [], "one holds it");
    bed.started(0, 1, 1);
    bed.pass(LEASE * 2);
    bed.alive(1, 1, 1, vec![]);
    bed.on_tick(bed.now);
    assert_eq!(bed.republished(), [], "a message about it just came");
}

#[tokio::test(start_paused = true)]
async fn the_last_heartbeat_of_a_dead_worker_holds_no_batch_for_ever() {
    let mut bed = bed();
    bed.submit(&PLAIN);
    bed.batches();
    bed.alive(9, 0, 0, vec![run(0, 1, 1)]);
    let republished = (0..3).flat_map(|_| starve(&mut bed, &[])).count();
    assert!(
        republished >= 1,
        "worker 9 is silent, and the message was lost with it"
    );
}

#[tokio::test(start_paused = true)]
async fn a_worker_stays_idle_between_two_empty_pulls() {
    let mut bed = bed();
    bed.submit(&PLAIN);
    bed.batches();
    let mut republished = 0;
    for beat in 0..36 {
        // A pull waits as long as three heartbeats, and the master always looks after the third.
        bed.alive(1, 1, u32::from(beat % 3 == 0), vec![]);
        bed.now += LEASE / 3;
        if beat % 3 == 2 {
            bed.on_tick(bed.now);
        }
        republished += bed.republished().len();
    }
    assert!((1..=4).contains(&republished), "{republished}");
}

#[tokio::test(start_paused = true)]
async fn a_lost_suspect_is_republished_alone() {
    let mut bed = bed();
    bed.submit(&PLAIN);
    bed.batches();
    bed.fail(0, 1, Cause::Suspect);
    assert_eq!(bed.batches(), [alone(0, 2)]);
    assert_eq!(starve(&mut bed, &[]), [alone(0, 2)]);
}
