//! `stats` and `events`: what a program can watch of its run.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use podpool::TaskState;
use podpool::events::EventKind;
use podpool::stats::Stats;

use crate::bed::Bed;
use crate::run::within;
use crate::tasks;

/// The parts of statistics are the whole.
fn add_up(stats: &Stats) {
    let parts = stats.pending + stats.running + stats.done + stats.failed + stats.cancelled;
    assert_eq!(parts, stats.submitted, "{stats:?}");
}

/// Every task is counted in one state, from its submission to the end of the pool, and a result that was awaited is
/// counted.
pub async fn statistics_count_every_task(bed: Bed) {
    let pool = bed.pool(bed.room_for(2)).await;
    add_up(&pool.stats());
    let mut futures: Vec<_> = (0..200).map(|n| pool.submit(tasks::echo(n))).collect();
    assert_eq!(pool.stats().submitted, 200);
    let failing = pool.submit(tasks::hopeless());
    let rejected = pool.submit(tasks::echo(7).timeout(Duration::ZERO));
    let flaky = pool.submit(tasks::flaky_twice(1));
    for (ended, future) in (1..).zip(futures.drain(..)) {
        within("a result", future).await.unwrap();
        let stats = pool.stats();
        add_up(&stats);
        assert!(stats.done >= ended, "{ended} were awaited: {stats:?}");
    }
    within("the failure", failing).await.unwrap_err();
    within("the refusal", rejected).await.unwrap_err();
    assert_eq!(pool.stats().failed, 2);
    within("the second attempt", flaky).await.unwrap();
    let stats = pool.stats();
    add_up(&stats);
    assert_eq!((stats.done, stats.failed, stats.cancelled), (201, 2, 0));
    assert_eq!((stats.pending, stats.running), (0, 0));
    assert!(stats.retried >= 1, "{stats:?}");
    assert!(stats.rate > 0.0, "{stats:?}");
    assert_eq!(stats.oldest, None);
    within("the shutdown", pool.shutdown()).await.unwrap();
    let last = pool.stats();
    assert_eq!((last.submitted, last.ended()), (203, 203));
    assert_eq!(last.workers.ready, 0, "{last:?}");
}

/// A task that runs is the oldest one, and one behind it waits.
pub async fn statistics_show_what_runs(bed: Bed) {
    let gate = bed.gate();
    let pool = bed.pool(1).await;
    let mut events = pool.events();
    let held = pool.submit(tasks::hold(gate.address(), 1));
    let arrival = gate.arrival().await;
    let behind = pool.submit(tasks::hold(gate.address(), 2));
    let begun = async {
        loop {
            match events.next().await.expect("the pool runs").kind {
                EventKind::Started { task, .. } if task.id == held.id() => return,
                _ => {}
            }
        }
    };
    within("the first to be reported", begun).await;
    let stats = pool.stats();
    add_up(&stats);
    let oldest = stats.oldest.as_ref().expect("it has not ended");
    assert_eq!((oldest.task.id, oldest.task.name), (held.id(), held.task()));
    assert_eq!(stats.workers.wanted, 1, "{stats:?}");
    assert_eq!(behind.state(), TaskState::Pending);
    within("the cancel", behind.cancel()).await;
    assert_eq!(pool.stats().cancelled, 1);
    arrival.let_go();
    within("the first", held).await.unwrap();
    within("the shutdown", pool.shutdown()).await.unwrap();
}

/// Each task is submitted and ends once, in this order; the stream ends with the executor.
pub async fn events_report_each_task_once(bed: Bed) {
    let pool = bed.pool(bed.room_for(2)).await;
    let mut events = pool.events();
    let mut futures: Vec<_> = (0..100)
        .map(|n| pool.submit(tasks::echo(n).key(format!("key-{n}"))))
        .collect();
    futures.push(pool.submit(tasks::echo(7).timeout(Duration::ZERO)));
    let ids: Vec<_> = futures.iter().map(|future| future.id()).collect();
    let failing = pool.submit(tasks::hopeless());
    let failing_id = failing.id();
    within("all", join_all(futures)).await;
    within("the failure", failing).await.unwrap_err();
    within("the shutdown", pool.shutdown()).await.unwrap();
    let mut reported: BTreeMap<_, Vec<_>> = BTreeMap::new();
    while let Some(event) = within("the next event", events.next()).await {
        match event.kind {
            EventKind::Submitted { task, .. } => reported.entry(task.id).or_default().push(None),
            EventKind::Ended {
                task, state, error, ..
            } => {
                assert_eq!(error.is_none(), state == TaskState::Done);
                if state == TaskState::Done {
                    assert_eq!(task.key.as_deref(), Some(&*format!("key-{}", task.id.0)));
                }
                reported.entry(task.id).or_default().push(Some(state));
            }
            EventKind::Dropped { events, .. } => panic!("{events} events were dropped"),
            _ => {}
        }
    }
    let (last, done) = ids.split_last().expect("there are some");
    for id in done {
        assert_eq!(reported[id], [None, Some(TaskState::Done)]);
    }
    assert_eq!(reported[last], [None, Some(TaskState::Failed)]);
    assert_eq!(reported[&failing_id], [None, Some(TaskState::Failed)]);
    assert_eq!(reported.len(), 102);
    assert!(pool.events().next().await.is_none(), "the pool has ended");
}

/// A subscriber that does not read holds nothing up, and reads later how much it missed.
pub async fn a_subscriber_that_does_not_read_holds_nothing_up(bed: Bed) {
    let pool = bed.pool(bed.room_for(2)).await;
    let mut events = pool.events();
    let count = 10_000;
    let futures: Vec<_> = (0..count).map(|n| pool.submit(tasks::echo(n))).collect();
    within("all", join_all(futures)).await;
    within("the shutdown", pool.shutdown()).await.unwrap();
    let (mut read, mut missed) = (0, 0);
    while let Some(event) = within("the next event", events.next()).await {
        match event.kind {
            EventKind::Dropped { events, .. } => missed += events,
            EventKind::Submitted { .. } | EventKind::Ended { .. } => read += 1,
            _ => {}
        }
    }
    // Events of workers and of attempts may be among those that were dropped.
    assert!(missed > 0, "20,000 events do not fit");
    assert!(read + missed >= 2 * count, "{read} and {missed}");
}
