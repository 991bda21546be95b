//! Workers that go: which tasks are charged, and which are not.

use podpool_core::fleet::{Departure, End};
use podpool_core::outcome::Exit;

use super::*;

const SILENCE: Duration = Duration::from_secs(10);

impl Bed {
    /// A worker that holds these tasks goes, and reports that some of them ran.
    pub(super) fn goes(&mut self, end: End, held: &[(u64, u32)], running: &[(u64, u32)]) {
        self.hello();
        let held = held.iter().map(|(task, n)| run(*task, 1, *n)).collect();
        self.alive(1, 0, 0, held);
        let execution = Self::execution();
        let running = running
            .iter()
            .map(|(task, n)| (execution, TaskId(*task), Attempt(*n)));
        let departure = Departure {
            worker: "pod-1".into(),
            node: Some("node-1".into()),
            end,
            reason: "set by the test".to_owned(),
            at: None,
            running: running.collect(),
        };
        self.fleet(FleetEvent::Gone(departure));
    }

    fn published(&mut self) -> Vec<u64> {
        self.submit_many(&PLAIN, 3);
        let batches = self.batches();
        batches.iter().flat_map(|p| &p.tasks).map(|t| t.0).collect()
    }
}

fn silent() -> Bed {
    bed_with(Settings {
        silence: Some(SILENCE),
        ..settings()
    })
}

#[tokio::test(start_paused = true)]
async fn tasks_of_a_lost_worker_come_back_by_the_lease_with_a_report() {
    let mut bed = bed();
    assert_eq!(bed.published(), [0, 1, 2]);
    bed.goes(End::Lost, &[(0, 1), (1, 1)], &[(0, 1)]);
    assert_eq!(bed.batches(), [], "the message is the retry");
    for task in 0..2 {
        let stories = bed.cells[task].attempts();
        assert_eq!(stories.len(), 1);
        assert_eq!(stories[0].cause, Cause::Interrupted);
        assert_eq!(stories[0].worker.as_deref(), Some("pod-1"));
        assert_eq!(stories[0].node.as_deref(), Some("node-1"));
    }
    assert_eq!(bed.cells[2].attempts().len(), 0);
    bed.done(&[(0, 1), (1, 1), (2, 1)], Duration::ZERO);
    assert_eq!(bed.revoked(), [(0, 1, 1)], "another envelope may exist");
    bed.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn a_loss_that_its_worker_reported_first_is_one_loss() {
    let mut bed = bed();
    bed.published();
    for _ in 0..4 {
        bed.hello();
        bed.fail(0, 1, Cause::Interrupted);
        bed.goes(End::Lost, &[(0, 1)], &[(0, 1)]);
    }
    assert_eq!(bed.cells[0].attempts().len(), 1, "one worker, one loss");
    assert_eq!(bed.batches(), []);
}

#[tokio::test(start_paused = true)]
async fn the_only_task_of_a_dead_worker_is_charged_and_three_crashes_end_it() {
    let mut bed = bed();
    bed.published();
    let died = End::Died(Exit::Signal(11));
    for _ in 0..2 {
        bed.goes(died, &[(0, 1), (1, 1)], &[(0, 1)]);
        assert_eq!(bed.batches(), [], "the lease brings it back");
    }
    bed.goes(died, &[(0, 1), (1, 1)], &[(0, 1)]);
    let error = bed.error(0);
    assert_eq!(error.kind(), TaskErrorKind::Crashed);
    assert_eq!(error.attempts().len(), 3);
    assert_eq!(bed.revoked(), [(0, 0, 1)]);
    assert_eq!(
        bed.state_of(1),
        TaskState::Pending,
        "another task is not charged"
    );
    bed.done(&[(1, 1), (2, 1)], Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_container_that_ran_out_of_memory_is_charged_to_its_only_task() {
    let mut bed = bed();
    bed.published();
    let end = End::OutOfMemory(Some(1 << 20));
    bed.goes(end, &[(0, 1)], &[(0, 1)]);
    assert_eq!(
        bed.batches(),
        [],
        "once more at the same size, by its lease"
    );
    bed.goes(end, &[(0, 1)], &[(0, 1)]);
    assert_eq!(bed.error(0).kind(), TaskErrorKind::OutOfMemory);
}

#[tokio::test(start_paused = true)]
async fn of_several_that_ran_none_is_charged_and_each_runs_alone() {
    let mut bed = bed();
    bed.published();
    let both = [(0, 1), (1, 1)];
    bed.goes(End::OutOfMemory(None), &both, &both);
    let tasks: Vec<_> = bed
        .batches()
        .into_iter()
        .map(|p| (p.alone, p.tasks))
        .collect();
    assert_eq!(tasks, [(true, vec![(0, 2)]), (true, vec![(1, 2)])]);
    assert_eq!(
        bed.revoked(),
        [(0, 1, 1)],
        "before they are published again"
    );
    bed.goes(End::OutOfMemory(None), &[(0, 2)], &[(0, 2)]);
    bed.goes(End::OutOfMemory(None), &[(0, 2)], &[(0, 2)]);
    assert_eq!(bed.error(0).kind(), TaskErrorKind::OutOfMemory);
    assert_eq!(bed.error(0).attempts().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_silent_worker_is_lost_once_and_a_heartbeat_brings_it_back() {
    let mut bed = silent();
    bed.published();
    bed.hello();
    let heard = FleetOrder::Present("pod-1".into());
    assert_eq!(
        std::mem::take(&mut bed.orders),
        std::slice::from_ref(&heard)
    );
    bed.alive(1, 0, 0, vec![run(0, 1, 1)]);
    bed.pass(2 * SILENCE);
    assert_eq!(bed.cells[0].attempts().len(), 0, "results may be behind");
    bed.state.set_caught_up(true);
    assert_eq!(bed.state.work_deadline(), Some(bed.now - SILENCE));
    bed.pass(Duration::ZERO);
    assert_eq!(bed.cells[0].attempts().len(), 1);
    bed.pass(SILENCE);
    assert_eq!(bed.cells[0].attempts().len(), 1, "it is lost once");
    let silent = FleetOrder::Missed("pod-1".into());
    assert_eq!(std::mem::take(&mut bed.orders), [silent]);
    bed.alive(1, 0, 0, vec![run(0, 1, 1)]);
    bed.alive(1, 0, 0, vec![run(0, 1, 1)]);
    assert_eq!(std::mem::take(&mut bed.orders), [heard]);
    bed.pass(SILENCE / 2);
    bed.done(&[(0, 1)], Duration::ZERO);
    assert_eq!(bed.output(0), 1);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_loses_every_worker_runs_alone_and_is_given_up_after_a_hundred() {
    let mut bed = bed();
    bed.submit(&PLAIN);
    let (mut attempt, mut losses) = (1, 0);
    assert_eq!(bed.batches().len(), 1);
    while !bed.cells[0].is_settled() {
        bed.fail(0, attempt, Cause::Interrupted);
        losses += 1;
        let again = bed.batches();
        if let Some(batch) = again.first() {
            assert_eq!(losses % 5, 0, "after five losses in a row");
            attempt += 1;
            assert_eq!((batch.alone, &batch.tasks), (true, &vec![(0, attempt)]));
        }
    }
    assert_eq!(losses, 100);
    assert_eq!(bed.error(0).kind(), TaskErrorKind::WorkerLost);
}

#[tokio::test(start_paused = true)]
async fn a_surplus_worker_is_drained_when_it_greets() {
    let mut bed = bed();
    bed.fleet(FleetEvent::Surplus("pod-1".into()));
    assert_eq!(bed.told().unwrap().drain, []);
    bed.hello();
    let told = bed.told().unwrap();
    assert_eq!(
        (told.drain, told.greeted),
        (vec![WorkerId(1)], vec![WorkerId(1)])
    );
}
