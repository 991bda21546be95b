//! What statistics and events show.

use podpool_core::fleet::{Departure, End};

use crate::master::mailbox::Submitted;
use crate::master::stats::{Board, Stats, Waits};

use super::*;

impl Bed {
    pub(super) fn stats_while(&mut self, refusal: Option<&str>) -> Stats {
        let board = Board::default();
        // A board of its own: everything is written again.
        self.state.tally.forget_written();
        let refusal = refusal.map(ToOwned::to_owned);
        self.state.write_stats(self.now, &board, || {
            refusal.map(|it| Waits::Queue(it.into()))
        });
        let submitted = self.cells.len() as u64;
        board.read(self.now, || Submitted {
            all: submitted,
            ..Submitted::default()
        })
    }

    pub(super) fn stats(&mut self) -> Stats {
        self.stats_while(None)
    }

    fn waits(&mut self) -> Option<Waits> {
        self.stats().oldest.and_then(|oldest| oldest.waits)
    }

    /// The events since the last call, in short.
    pub(super) fn events(&mut self) -> Vec<String> {
        let short = |kind| match kind {
            EventKind::Submitted { task } => format!("submitted {}", task.id.0),
            EventKind::Started {
                task,
                attempt,
                worker,
            } => format!("started {}.{} on {worker}", task.id.0, attempt.0),
            EventKind::Retried {
                task,
                attempt,
                after,
            } => format!(
                "retried {} after attempt {}: {} {}",
                task.id.0,
                attempt.attempt.0,
                attempt.message,
                if after.is_zero() { "at once" } else { "later" }
            ),
            EventKind::Lost { task, attempt } => {
                format!("lost {}: {}", task.id.0, attempt.message)
            }
            EventKind::Ended {
                task,
                state,
                elapsed,
                skipped,
                error,
                ..
            } => {
                assert_eq!(elapsed.is_some(), error.is_none());
                let skipped = if skipped { ", skipped" } else { "" };
                format!("ended {} {state:?}{skipped}", task.id.0)
            }
            EventKind::WorkerCame {
                worker,
                node,
                slots,
                ..
            } => format!("{worker} on {node} came with {slots}"),
            EventKind::WorkerPlaced { worker, place } => format!("{worker} is in {place}"),
            EventKind::WorkerWent { worker, reason, .. } => format!("{worker} went: {reason}"),
            EventKind::Broken { reason } => format!("broken: {reason}"),
            EventKind::RunLimit { reason } => format!("limit: {reason}"),
            EventKind::Dropped { events } => format!("dropped {events}"),
        };
        std::mem::take(&mut self.events)
            .into_iter()
            .map(short)
            .collect()
    }

    pub(super) fn depart(&mut self, worker: &str) {
        self.fleet(FleetEvent::Gone(Departure {
            worker: worker.into(),
            node: None,
            end: End::Lost,
            reason: "deleted".to_owned(),
            at: None,
            running: Vec::new(),
        }));
    }
}

#[tokio::test(start_paused = true)]
async fn every_task_is_counted_in_one_state() {
    let mut bed = bed();
    assert_eq!(bed.stats().submitted, 0);
    bed.submit_many(&STUBBORN, 5);
    assert_eq!((bed.stats().pending, bed.waits()), (5, Some(Waits::Worker)));
    bed.hello();
    assert_eq!(bed.waits(), Some(Waits::Slot));
    let refused = bed.stats_while(Some("quota")).oldest.unwrap().waits;
    assert_eq!(refused, Some(Waits::Queue("quota".into())));
    bed.batches();
    bed.started(0, 2, 1);
    bed.started(0, 2, 1);
    let stats = bed.stats();
    assert_eq!((stats.pending, stats.running), (3, 2), "reported twice");
    assert_eq!(bed.waits(), None);
    bed.fail(0, 1, Cause::Failed);
    let stats = bed.stats();
    assert_eq!((stats.pending, stats.running, stats.retried), (4, 1, 1));
    assert_eq!(bed.waits(), Some(Waits::Retry));
    bed.done(&[(1, 1)], Duration::ZERO);
    bed.cancel(TaskId(2));
    bed.fail(3, 1, Cause::Rejected);
    let stats = bed.stats();
    assert_eq!((stats.done, stats.cancelled, stats.failed), (1, 1, 1));
    assert_eq!((stats.pending, stats.running), (2, 0));
    bed.done(&[(0, 1)], Duration::ZERO);
    let oldest = bed.stats().oldest.unwrap();
    assert_eq!(oldest.task.to_string(), "task tests::task #4");
    bed.done(&[(4, 1)], Duration::ZERO);
    let stats = bed.stats();
    assert_eq!((stats.ended(), stats.oldest), (5, None));
}

#[tokio::test(start_paused = true)]
async fn workers_are_counted_as_they_come_and_go() {
    let mut bed = bed_with(Settings {
        elsewhere: true,
        workers: 3,
        slots: 6,
        ..settings()
    });
    bed.submit_many(&PLAIN, 5);
    let workers = bed.stats().workers;
    assert_eq!((workers.wanted, workers.starting, workers.ready), (3, 0, 0));
    let reason = Some("no node has enough memory".into());
    bed.fleet(FleetEvent::Supply { workers: 2, reason });
    bed.hello();
    let workers = bed.stats().workers;
    assert_eq!((workers.starting, workers.ready, workers.slots), (1, 1, 2));
    assert!(workers.reason.is_some());
    bed.depart("pod-1");
    let reason = None;
    bed.fleet(FleetEvent::Supply { workers: 1, reason });
    let workers = bed.stats().workers;
    assert_eq!((workers.starting, workers.ready, workers.slots), (1, 0, 0));
    assert_eq!(workers.reason, None);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_was_skipped_is_shown_as_such_once_it_has_ended() {
    let mut bed = bed();
    bed.state.set_subscribed(true);
    bed.submit_many(&STUBBORN, 2);
    bed.batches();
    bed.events();
    assert!(!bed.cells[0].was_skipped());
    let mut body = Vec::new();
    for id in 0..2 {
        let start = body.len();
        let output = |_: &mut Vec<u8>| Ok::<_, ()>(Duration::ZERO);
        put_done(&mut body, TaskId(id), Attempt::FIRST, output).unwrap();
        if id == 0 {
            mark_skipped(&mut body[start..]);
        }
    }
    bed.results(body, 2);
    assert_eq!(bed.events(), ["ended 0 Done, skipped", "ended 1 Done"]);
    assert!(bed.cells[0].was_skipped() && !bed.cells[1].was_skipped());
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_receives_what_happens_and_nothing_is_made_for_none() {
    let mut bed = bed();
    bed.submit(&STUBBORN);
    assert!(bed.events().is_empty());
    bed.state.set_subscribed(true);
    bed.submit(&STUBBORN);
    bed.hello();
    bed.batches();
    bed.started(0, 2, 1);
    assert_eq!(
        bed.events(),
        [
            "submitted 1",
            "pod-1 on node-1 came with 2",
            "started 0.1 on pod-1",
            "started 1.1 on pod-1"
        ]
    );
    bed.fail(0, 1, Cause::Failed);
    bed.depart("pod-1");
    bed.depart("pod-1");
    bed.depart("never-greeted");
    assert_eq!(
        bed.events(),
        [
            "retried 0 after attempt 1: set by the test later",
            "pod-1 went: deleted",
            "lost 1: its worker went: deleted",
            "never-greeted went: deleted"
        ]
    );
    assert_eq!(bed.stats().lost, 1);
    bed.done(&[(1, 1)], Duration::ZERO);
    bed.break_pool("no image");
    bed.submit(&PLAIN);
    assert_eq!(
        bed.events(),
        [
            "ended 1 Done",
            "broken: no image",
            "ended 0 Failed",
            "submitted 2",
            "ended 2 Failed"
        ]
    );
}
