//! Tasks that an earlier master left on a cluster.

use podpool_core::ledger::{Folded, Identity, Status, TaskRecord, TypeId, Why};

use super::super::super::remembered::{LeftTask, Memory};
use super::*;
use crate::error::AttemptReport;

/// A task of an earlier master.
struct Left {
    task: u64,
    status: Status,
    published: Option<u32>,
    attempts: Vec<AttemptReport>,
}

fn left(task: u64, published: Option<u32>) -> Left {
    Left {
        task,
        status: Status::Unended,
        published,
        attempts: Vec::new(),
    }
}

fn ended(task: u64) -> Left {
    Left {
        status: Status::Done,
        ..left(task, Some(1))
    }
}

fn failed(attempt: u32) -> AttemptReport {
    let mut report = AttemptReport::new(Attempt(attempt), Failure::new(Cause::Failed, "once"));
    report.execution = Some(Bed::execution());
    report
}

fn identity(task: u64) -> Identity {
    Identity([u8::try_from(task).unwrap(); 16])
}

impl Bed {
    fn picks_up(&mut self, spec: &'static TaskSpec, tasks: Vec<Left>) {
        let mut memory = Memory::default();
        for task in tasks {
            let id = TaskId(task.task);
            memory.add(&Folded {
                task: id,
                task_type: TypeId(0),
                identity: identity(task.task),
                content: podpool_core::ledger::Content([0; 16]),
                status: task.status,
                published: task.published.map(Attempt),
                attempts: 0,
                why: Why::First,
            });
            if task.status == Status::Unended {
                memory.add_left(LeftTask {
                    spec,
                    record: TaskRecord {
                        task: id,
                        task_type: TypeId(0),
                        identity: identity(task.task),
                        content: podpool_core::ledger::Content([0; 16]),
                        class: ClassId::DEFAULT,
                        arguments: Bytes::from_static(b"x"),
                        options: None,
                        why: Why::First,
                    },
                    published: task.published.map(Attempt),
                    attempts: task.attempts,
                });
            }
        }
        self.state.remember_run(self.now, memory);
        self.apply();
    }

    /// The ends that were recorded.
    fn ends(&mut self) -> Vec<(u64, Status)> {
        let end = |record: Record| match record {
            Record::End(it) => Some((it.task.0, it.end.status())),
            _ => None,
        };
        self.records.drain(..).filter_map(end).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_published_is_expected_and_the_rest_is_published() {
    let mut bed = bed();
    bed.picks_up(
        &PLAIN,
        vec![left(0, Some(1)), ended(1), left(2, None), ended(3)],
    );
    assert_eq!(bed.state.unfinished(), 2);
    assert_eq!(bed.batches(), [packed(&[(2, 1)])]);
    let control = bed.told().unwrap();
    assert_eq!(control.ended_below, TaskId(0));
    // Another envelope of those that ended may be there.
    assert_eq!(bed.revoked(), [(1, 1, u32::MAX), (3, 3, u32::MAX)]);
    bed.done(&[(0, 1), (2, 1)], Duration::from_millis(1));
    assert_eq!(bed.ends(), [(0, Status::Done), (2, Status::Done)]);
    bed.assert_empty();
    assert_eq!(bed.told().unwrap().ended_below, TaskId(4));
}

#[tokio::test(start_paused = true)]
async fn a_run_in_which_all_have_ended_refuses_their_envelopes() {
    let mut bed = bed();
    bed.picks_up(&PLAIN, vec![ended(0), ended(1)]);
    assert_eq!(bed.told().unwrap().ended_below, TaskId(2));
    bed.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn a_published_task_of_which_nothing_is_heard_is_published_again() {
    let mut bed = bed();
    bed.picks_up(&PLAIN, (0..3).map(|task| left(task, Some(1))).collect());
    assert_eq!(bed.batches(), []);
    let leases = |bed: &mut Bed| {
        for _ in 0..5 {
            bed.alive(1, 1, 9, vec![]);
            bed.pass(LEASE);
        }
    };
    leases(&mut bed);
    assert_eq!(
        bed.republished(),
        [],
        "what workers reported before is not read yet"
    );
    bed.state.set_caught_up(true);
    leases(&mut bed);
    assert_eq!(bed.republished(), [packed(&[(0, 1), (1, 1), (2, 1)])]);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_failed_goes_on_with_its_next_attempt_and_its_budget() {
    let mut bed = bed();
    let task = Left {
        attempts: vec![failed(1)],
        ..left(0, Some(1))
    };
    bed.picks_up(&STUBBORN, vec![task]);
    assert_eq!(bed.batches(), [packed(&[(0, 2)])]);
    assert_eq!(bed.revoked(), [(0, 0, 1)], "the older attempt must not run");
    bed.fail(0, 2, Cause::Failed);
    bed.pass(Duration::from_secs(10));
    assert_eq!(bed.batches(), [packed(&[(0, 3)])]);
    bed.fail(0, 3, Cause::Failed);
    assert_eq!(bed.ends(), [(0, Status::Failed)], "two retries are spent");
    bed.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn a_late_failure_of_an_older_attempt_changes_nothing() {
    let mut bed = bed();
    let task = Left {
        attempts: vec![failed(1)],
        ..left(0, Some(2))
    };
    bed.picks_up(&STUBBORN, vec![task]);
    assert_eq!(bed.batches(), [], "attempt 2 is in the queue");
    bed.fail(0, 1, Cause::Failed);
    assert_eq!(bed.state.unfinished(), 1);
    // The result of any attempt ends the task.
    bed.done(&[(0, 1)], Duration::from_millis(1));
    bed.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn new_tasks_come_after_those_of_earlier_masters() {
    let mut bed = bed();
    bed.picks_up(&PLAIN, vec![left(0, Some(1)), ended(1)]);
    for _ in 0..2 {
        // Their numbers are taken.
        bed.cells.push(Arc::new(Cell::new(&PLAIN)));
    }
    let fresh = bed.submit(&PLAIN);
    assert_eq!((fresh, bed.batches()), (2, vec![packed(&[(2, 1)])]));
    bed.done(&[(2, 1)], Duration::from_millis(1));
    assert_eq!(bed.state_of(2), TaskState::Done);
    assert_eq!(bed.state.unfinished(), 1);
}

#[tokio::test(start_paused = true)]
async fn batches_are_recorded_when_the_queue_has_them() {
    let mut bed = bed();
    bed.picks_up(&PLAIN, Vec::new());
    bed.submit(&PLAIN);
    let sent = bed.sent();
    let published = |bed: &mut Bed| {
        let of = |record: Record| match record {
            Record::Published(it) => Some((it.task.0, it.attempt.0)),
            _ => None,
        };
        bed.records.drain(..).filter_map(of).collect::<Vec<_>>()
    };
    assert_eq!(published(&mut bed), []);
    bed.on_stored(bed.now, sent[0].0);
    assert_eq!(published(&mut bed), [(0, 1)]);
    // The queue of one machine ends with its master.
    let mut here = bed_with(Settings {
        remote: false,
        ..settings()
    });
    here.picks_up(&PLAIN, Vec::new());
    here.submit(&PLAIN);
    let sent = here.sent();
    here.on_stored(here.now, sent[0].0);
    assert_eq!(published(&mut here), []);
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_shows_which_adopted_tasks_have_begun() {
    let mut bed = bed();
    bed.picks_up(&PLAIN, vec![left(0, Some(1)), left(1, Some(1))]);
    bed.alive(1, 0, 0, vec![run(0, 1, 1)]);
    bed.shut_down(ShutdownBehavior::CancelPending);
    assert_eq!(bed.state.unfinished(), 1, "what runs goes on");
    bed.done(&[(0, 1)], Duration::from_millis(1));
    assert_eq!(bed.ends(), [(0, Status::Done)]);
    bed.assert_empty();
}

/// In which messages they were is not known: a task that a worker holds for long keeps no lost one waiting.
#[tokio::test(start_paused = true)]
async fn adopted_tasks_that_were_lost_do_not_wait_for_one_that_runs() {
    let mut bed = bed();
    let all = (0..4).map(|task| left(task, Some(1))).collect();
    bed.picks_up(&PLAIN, all);
    bed.state.set_caught_up(true);
    let mut republished = Vec::new();
    for _ in 0..12 {
        bed.alive(1, 1, 1, vec![run(1, 1, 1)]);
        bed.pass(LEASE / 3);
        republished.extend(bed.republished());
    }
    assert_eq!(republished, [packed(&[(0, 1), (2, 1), (3, 1)])]);
    bed.done(&[(0, 1), (2, 1), (3, 1)], Duration::from_millis(1));
    bed.done(&[(1, 1)], Duration::from_millis(1));
    assert_eq!(bed.ends().len(), 4);
    bed.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_out_stays_out_whatever_the_budgets_are_now() {
    let mut bed = bed();
    let task = Left {
        attempts: vec![failed(1), failed(2)],
        ..left(0, Some(3))
    };
    // Its first master had retries, this one has none.
    bed.picks_up(&PLAIN, vec![task]);
    assert_eq!(bed.state.unfinished(), 1);
    bed.done(&[(0, 3)], Duration::from_millis(1));
    assert_eq!(bed.ends(), [(0, Status::Done)]);
}
