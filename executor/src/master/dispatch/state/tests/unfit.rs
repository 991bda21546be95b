//! Workers whose slots do not start.

use super::*;

impl Bed {
    /// This worker reports that none of its slots starts.
    pub(super) fn unfit(&mut self, worker: u64, task: u64, attempt: u32) {
        let failure = Failure::new(Cause::Broken, "a slot ended before it was ready");
        let mut body = Vec::new();
        let (task, attempt) = (TaskId(task), Attempt(attempt));
        put_failed(&mut body, task, attempt, Duration::ZERO, &failure);
        let results = Results {
            run: RunId::new("test").unwrap(),
            execution: ExecutionId {
                worker: WorkerId(worker),
                number: 7,
            },
            epoch: 1,
            count: 1,
            lines: 0,
            at: self.worker_wall,
        };
        for failed in self.state.on_results(self.now, &results, &body.into()) {
            self.state.on_failed(self.now, &failed);
        }
        self.apply();
    }
}

fn bed_of_workers(workers: usize) -> Bed {
    bed_with(Settings {
        workers,
        slots: workers,
        ..settings()
    })
}

/// Its slots do not start: the worker leaves, as long as others work.
#[tokio::test(start_paused = true)]
async fn a_worker_without_slots_leaves_and_its_tasks_go_to_other_workers() {
    let mut bed = bed_of_workers(3);
    bed.submit_many(&PLAIN, 3);
    bed.batches();
    for worker in [1, 2, 3] {
        bed.alive(worker, 1, 0, vec![]);
    }
    bed.unfit(2, 0, 1);
    bed.unfit(2, 1, 1);
    assert_eq!(bed.state.life().broken(), None);
    let mut again: Vec<_> = bed.batches().into_iter().flat_map(|p| p.tasks).collect();
    again.sort_unstable();
    assert_eq!(again, [(0, 2), (1, 2)], "uncharged, and at once");
    let control = bed.state.control(bed.now);
    assert_eq!(control.drain, [WorkerId(2)], "it is named once");
    bed.done(&[(0, 2), (1, 2), (2, 1)], Duration::from_secs(1));
    assert!(bed.cells.iter().all(|cell| cell.state() == TaskState::Done));
    assert_eq!(bed.cells[0].attempts().len(), 1);
    assert_eq!(bed.cells[0].attempts()[0].cause, Cause::Broken);
}

/// Workers that have sent no message yet may be starting.
#[tokio::test(start_paused = true)]
async fn the_pool_ends_when_all_workers_that_could_come_have_no_slots() {
    let mut bed = bed_of_workers(3);
    bed.submit_many(&PLAIN, 30);
    bed.batches();
    for worker in [1, 2] {
        bed.unfit(worker, worker, 1);
        assert_eq!(bed.state.life().broken(), None, "{worker}");
    }
    bed.unfit(1, 5, 1);
    assert_eq!(bed.state.life().broken(), None, "one worker counts once");
    bed.unfit(3, 3, 1);
    assert_eq!(
        bed.state.life().broken(),
        Some("a slot ended before it was ready")
    );
    assert!(
        bed.cells
            .iter()
            .all(|cell| cell.state() == TaskState::Failed)
    );
}

/// In a long run bad nodes come one by one, and tasks end on other nodes in between.
#[tokio::test(start_paused = true)]
async fn workers_without_slots_count_in_a_row_only() {
    let mut bed = bed_of_workers(2);
    bed.submit_many(&PLAIN, 30);
    bed.batches();
    bed.unfit(1, 0, 1);
    bed.done(&[(1, 1)], Duration::from_secs(1));
    bed.unfit(3, 2, 1);
    assert_eq!(bed.state.life().broken(), None);
    bed.unfit(4, 3, 1);
    assert!(bed.state.life().broken().is_some());
}

/// Each worker that leaves is replaced, so that there is always one that has not failed yet.
#[tokio::test(start_paused = true)]
async fn workers_that_are_replaced_one_by_one_and_never_start_a_slot_end_the_pool() {
    for proven in [false, true] {
        let mut bed = bed_of_workers(2);
        bed.submit_many(&PLAIN, 30);
        bed.batches();
        bed.now += Duration::from_secs(1);
        bed.greet(0);
        for worker in 0..6 {
            assert_eq!(bed.state.life().broken(), None, "{worker}");
            bed.greet(worker + 1);
            bed.unfit(worker, worker, 1);
            bed.batches();
            bed.now += Duration::from_secs(1);
            if proven && worker == 0 {
                // It came later than the first that failed.
                bed.greet(99);
                bed.runs(99);
            }
        }
        assert_eq!(bed.state.life().broken().is_none(), proven);
    }
}

/// A task that only such workers receive ends too.
#[tokio::test(start_paused = true)]
async fn a_task_that_went_to_a_hundred_workers_without_slots_is_given_up() {
    let mut bed = bed_of_workers(2);
    bed.submit_many(&PLAIN, 1);
    bed.batches();
    bed.alive(1, 1, 0, vec![]);
    for attempt in 1..=100 {
        assert!(!bed.cells[0].is_settled(), "{attempt}");
        bed.unfit(1000 + u64::from(attempt), 0, attempt);
        bed.batches();
    }
    assert!(bed.cells[0].is_settled());
    assert_eq!(bed.state.life().broken(), None);
}
