//! Batches that are delivered again.

use super::*;

impl Bed {
    /// The batch that came last is delivered once more.
    fn again(&mut self, lease: &str, task_type: &str, first: u64, count: u32) {
        self.newest -= 1;
        self.batch(lease, task_type, first, count, false);
    }

    fn lose(&mut self, lease: &str) {
        self.state.on_lease_lost(&LeaseId::new(lease), self.now);
        self.settle();
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_a_stored_result_is_acknowledged_and_not_run() {
    let mut bed = bed(1);
    bed.batch("a", "fast", 0, 2, false);
    bed.done(S0, 1, SECOND);
    bed.done(S0, 1, SECOND);
    bed.confirm();
    bed.again("b", "fast", 0, 2);
    assert_eq!(bed.acks, ["a", "b"]);
    assert!(bed.busy().is_empty());
    assert_eq!(bed.results.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_ends_after_its_lease_was_lost_does_not_run_again() {
    let mut bed = bed(1);
    bed.batch("a", "fast", 0, 1, false);
    bed.lose("a");
    bed.again("b", "fast", 0, 1);
    assert_eq!(bed.frames[&S0].len(), 1, "never twice at a time");
    bed.done(S0, 1, SECOND);
    assert!(bed.acks.is_empty(), "its result is not stored yet");
    bed.confirm();
    assert_eq!(bed.acks, ["b"]);
    assert!(bed.busy().is_empty() && bed.state.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_was_stopped_as_its_lease_was_lost_runs_again() {
    let mut bed = bed(1);
    bed.batch("a", "fast", 0, 1, false);
    bed.lose("a");
    bed.again("b", "fast", 0, 1);
    cancelled(&mut bed, S0);
    assert_eq!(bed.causes(), [(0, Cause::Interrupted)]);
    bed.confirm();
    assert_eq!(bed.busy(), [(0, 1)]);
    bed.done(S0, 1, SECOND);
    bed.confirm();
    assert_eq!(bed.acks, ["b"]);
}

#[tokio::test(start_paused = true)]
async fn only_the_rest_of_a_batch_runs_again() {
    let mut bed = bed(1);
    bed.batch("a", "fast", 0, 4, false);
    bed.done(S0, 1, SECOND);
    let first: Vec<_> = bed.results.iter().map(|result| result.task.0).collect();
    assert_eq!(first, [0]);
    bed.lose("a");
    // The next task ends its slot: the others wait, and their batch is gone.
    bed.exit(S0, Exit::Signal(9), None);
    bed.confirm();
    bed.again("b", "fast", 0, 4);
    for _ in 0..3 {
        let slot = SlotId(bed.busy()[0].0);
        bed.done(slot, 1, SECOND);
    }
    bed.confirm();
    assert_eq!(bed.acks, ["b"]);
    let done = bed.results.iter().filter(|result| result.outcome.is_ok());
    let mut ended: Vec<_> = done.map(|result| result.task.0).collect();
    ended.sort_unstable();
    assert_eq!(ended, [0, 1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn what_the_master_publishes_again_runs_again() {
    let mut bed = bed(1);
    bed.batch("a", "fast", 0, 1, false);
    bed.done(S0, 1, SECOND);
    bed.confirm();
    bed.batch("b", "fast", 0, 1, false);
    assert_eq!(bed.busy(), [(0, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_leaves_gives_back_what_waited_for_an_execution() {
    let mut bed = bed(1);
    bed.batch("a", "fast", 0, 1, false);
    bed.lose("a");
    bed.again("b", "fast", 0, 1);
    bed.state.drain();
    bed.settle();
    assert_eq!(bed.releases, ["b"]);
    bed.done(S0, 1, SECOND);
    bed.confirm();
    assert!(bed.state.is_empty());
}

fn ended_below(bed: &mut Bed, number: u64) {
    let control = Control {
        run: RunId::new("test").unwrap(),
        epoch: 1,
        sequence: bed.state.control + 1,
        state: RunState::Open,
        ended_below: TaskId(number),
        revoked: vec![],
        drain: vec![],
        greeted: vec![],
    };
    bed.state.on_control(&control, bed.now);
    bed.settle();
}

#[tokio::test(start_paused = true)]
async fn what_has_ended_is_acknowledged_whatever_batch_brings_it_and_counted() {
    let mut bed = bed(1);
    ended_below(&mut bed, 4);
    bed.batch("a", "fast", 0, 3, false);
    assert_eq!(bed.acks, ["a"]);
    assert!(bed.busy().is_empty() && bed.results.is_empty());
    bed.batch("b", "fast", 2, 4, false);
    assert_eq!(bed.frames[&S0].len(), 1, "the rest of the batch runs");
    let alive = bed.state.alive();
    assert_eq!((alive.replays, alive.revoked), (5, vec![]));
    bed.done(S0, 1, SECOND);
    bed.done(S0, 1, SECOND);
    bed.confirm();
    assert_eq!(bed.acks, ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn what_ends_elsewhere_is_dropped_where_it_waits_and_stopped_where_it_runs() {
    let mut bed = bed(1);
    bed.batch("a", "slow", 0, 1, false);
    bed.batch("b", "slow", 1, 2, false);
    ended_below(&mut bed, 2);
    assert_eq!(bed.cancels, [TaskId(0)]);
    cancelled(&mut bed, S0);
    bed.confirm();
    assert_eq!(bed.acks, ["a"]);
    bed.done(S0, 1, SECOND);
    bed.confirm();
    assert_eq!(bed.acks, ["a", "b"]);
    let ran: Vec<_> = bed.results.iter().map(|result| result.task.0).collect();
    assert_eq!(ran, [0, 2]);
    assert_eq!(bed.state.alive().replays, 1);
}

#[tokio::test(start_paused = true)]
async fn a_replay_that_comes_late_is_counted_and_not_run() {
    let mut bed = bed(1);
    bed.batch("a", "fast", 0, 1, false);
    let number = bed.newest;
    bed.done(S0, 1, SECOND);
    bed.confirm();
    for n in 1..300 {
        bed.batch(&format!("{n}"), "fast", n, 1, false);
        bed.done(S0, 1, SECOND);
        bed.confirm();
    }
    bed.newest = number - 1;
    bed.batch("b", "fast", 0, 1, false);
    assert_eq!(bed.acks.last().map(String::as_str), Some("b"));
    assert_eq!(bed.results.len(), 300);
    assert_eq!(bed.state.alive().replays, 1);
}

#[tokio::test(start_paused = true)]
async fn greeting_and_heartbeats_share_one_growing_count() {
    let mut bed = bed(1);
    assert_eq!(bed.state.next_sequence(), 1);
    assert_eq!(bed.state.alive().sequence, 2);
    assert_eq!(bed.state.alive().sequence, 3);
}

#[tokio::test(start_paused = true)]
async fn what_is_put_back_keeps_its_number() {
    let mut bed = bed(1);
    bed.batch("a", "slow", 0, 3, false);
    let number = bed.newest;
    bed.now += Duration::from_secs(3);
    bed.tick();
    for batch in &bed.put_back {
        assert_eq!((batch.epoch, batch.number), (1, number));
    }
    assert!(!bed.put_back.is_empty());
}
