//! Tasks that must stop: lost leases, revoked attempts.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_lost_lease_stops_its_tasks_and_is_never_acknowledged() {
    let mut bed = bed(1);
    bed.batch("a", "fast", 0, 3, false);
    bed.state.on_lease_lost(&LeaseId::new("a"), bed.now);
    bed.settle();
    assert_eq!(bed.cancels, [TaskId(0)]);
    bed.now += GRACE;
    bed.tick();
    assert_eq!(bed.kills, [S0]);
    bed.exit(S0, Exit::Signal(9), None);
    assert_eq!(bed.causes(), [(0, Cause::Interrupted)]);
    bed.confirm();
    assert!(bed.acks.is_empty() && bed.releases.is_empty());
    assert!(bed.state.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_result_after_a_lost_lease_counts_and_a_failure_is_an_interruption() {
    let mut bed = bed(2);
    bed.batch("a", "fast", 0, 2, false);
    bed.state.on_lease_lost(&LeaseId::new("a"), bed.now);
    bed.settle();
    bed.done(S0, 1, SECOND);
    let mut entries = Vec::new();
    let failure = Failure::new(Cause::Failed, "told to stop");
    put_failed(&mut entries, TaskId(1), Attempt::FIRST, SECOND, &failure);
    let frame = bed.frames[&S1][0].number;
    let event = SlotEvent::Results {
        frame,
        entries: entries.into(),
        count: 1,
    };
    bed.state.on_slot(bed.now, S1, event, &bed.script);
    bed.settle();
    assert_eq!(bed.results.len(), 2);
    assert_eq!(bed.causes(), [(1, Cause::Interrupted)]);
}

#[tokio::test(start_paused = true)]
async fn revoked_attempts_are_dropped_and_reported_and_running_ones_are_stopped() {
    let mut bed = bed(1);
    bed.batch("a", "fast", 0, 3, false);
    revoke(&mut bed, 0, 1);
    assert_eq!(bed.cancels, [TaskId(0)]);
    bed.done(S0, 1, SECOND);
    assert_eq!(bed.busy(), [(0, 1)], "task 2 runs, task 1 is gone");
    bed.done(S0, 1, SECOND);
    bed.confirm();
    assert_eq!(bed.acks, ["a"]);
    let told = bed.state.alive().revoked;
    assert_eq!(
        told,
        [TaskRun {
            first: TaskId(1),
            count: 1,
            attempt: Attempt::FIRST
        }]
    );
    bed.batch("b", "fast", 1, 1, false);
    assert_eq!(
        (bed.busy().len(), bed.acks.len()),
        (0, 2),
        "a late envelope is acknowledged unrun"
    );
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_task_that_is_revoked_ends() {
    let mut bed = bed(1);
    bed.batch("a", "fast", 0, 1, false);
    revoke(&mut bed, 0, 0);
    assert_eq!(bed.cancels, [TaskId(0)]);
    cancelled(&mut bed, S0);
    assert_eq!(bed.causes(), [(0, Cause::Cancelled)]);
    bed.confirm();
    assert_eq!(bed.acks, ["a"]);
}
