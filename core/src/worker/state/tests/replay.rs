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
    // Its slot dies of the next one: the others wait, and their batch is gone.
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
