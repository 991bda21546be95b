//! Runs that are remembered by a ledger whose disk is slow, or whose clock is wrong.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use podpool::error::{BuildError, LedgerError};
use podpool::testing::Builder as _;
use podpool::{Builder, TaskFuture};
use podpool_core::ledger::{Ledger, Listed, Status};

use crate::bed::{Bed, built};
use crate::refusing::Refusing;
use crate::run::within;
use crate::tasks;

/// How much longer a transaction takes on the slow disk.
const SLOW: Duration = Duration::from_millis(150);
/// Tasks on the slow disk, and the most transactions that they and their results may need.
const TASKS: u64 = 200;
const APPENDS: u64 = 60;
/// By how much the clock is set back.
const DAY: Duration = Duration::from_secs(86_400);

fn builder(bed: &Bed, ledger: &Refusing) -> Builder {
    let builder = bed.builder(bed.room_for(2)).run("nightly");
    builder.remembered_in(Arc::new(ledger.clone()))
}

/// A slow disk delays tasks and results, and loses none; what waits for it is stored together, so a run of many tasks
/// does not take so much longer for each of them.
pub async fn a_slow_ledger_delays_results_and_stores_them_together(bed: Bed) {
    let ledger = Refusing::default();
    let pool = built(builder(&bed, &ledger)).await;
    within("a task", pool.submit(tasks::echo(TASKS)))
        .await
        .unwrap();
    ledger.delay(SLOW);
    let (began, before) = (Instant::now(), ledger.appends());
    let futures: Vec<_> = (0..TASKS).map(|n| pool.submit(tasks::echo(n))).collect();
    let results = within("the results", join_all(futures)).await;
    // One transaction for a task, before it runs, and one for its result, before that is given out.
    assert!(began.elapsed() >= 2 * SLOW, "{:?}", began.elapsed());
    let appends = ledger.appends() - before;
    assert!(
        (2..=APPENDS).contains(&appends),
        "{appends} transactions for {TASKS} tasks"
    );
    for (n, result) in (0..).zip(results) {
        assert_eq!(result.unwrap(), n);
    }
    within("the shutdown", pool.shutdown()).await.unwrap();
    let tasks = history(&ledger);
    assert_eq!(tasks.len() as u64, TASKS + 1);
    assert!(tasks.iter().all(|it| it.status == Status::Done));
}

/// A clock that is set back while a run goes on, and between two starts, changes neither what is done nor who holds the
/// run. The times that people read are those of the clock.
pub async fn a_clock_that_is_set_back_changes_nothing(bed: Bed) {
    let ledger = Refusing::default();
    let echo = |n: u64| tasks::echo(n).key(format!("{n}"));
    let first = built(builder(&bed, &ledger)).await;
    within("a task", first.submit(echo(1))).await.unwrap();
    ledger.set_back(DAY);
    within("a task after it", first.submit(echo(2)))
        .await
        .unwrap();
    let refused = within("the refusal", builder(&bed, &ledger).build()).await;
    let refused = refused.unwrap_err();
    let BuildError::Ledger(reason) = &refused else {
        panic!("{refused:?}");
    };
    let LedgerError::Held { elapsed, .. } = &**reason else {
        panic!("{refused:?}");
    };
    // The holder began in the future, as the clock has it.
    assert_eq!(*elapsed, Duration::ZERO, "{reason}");
    within("the shutdown", first.shutdown()).await.unwrap();
    ledger.set_back(2 * DAY);
    let second = built(builder(&bed, &ledger)).await;
    let mut futures: Vec<_> = (1..=3).map(|n| second.submit(echo(n))).collect();
    let results = within("all of them", join_all(&mut futures)).await;
    let results: Result<Vec<_>, _> = results.into_iter().collect();
    assert_eq!(results.unwrap(), [1, 2, 3]);
    let stored: Vec<_> = futures.iter().map(TaskFuture::was_stored).collect();
    assert_eq!(stored, [true, true, false]);
    within("the shutdown", second.shutdown()).await.unwrap();
    let tasks = history(&ledger);
    let keys: Vec<_> = tasks.iter().filter_map(|it| it.key.as_deref()).collect();
    assert_eq!(keys, ["1", "2", "3"], "by their numbers");
    let times: Vec<_> = tasks.iter().map(|it| it.submitted.1).collect();
    assert!(times.is_sorted_by(|one, next| one > next), "{times:?}");
    let masters = ledger.runs().unwrap().remove(0).unwrap().masters;
    assert!(masters.is_sorted_by(|one, next| one.epoch < next.epoch && one.since > next.since));
}

/// All tasks of the one run.
fn history(ledger: &Refusing) -> Vec<Listed> {
    let run = ledger.runs().unwrap().remove(0).unwrap().run;
    let mut tasks = Vec::new();
    let mut reader = ledger.read(&run).unwrap();
    reader.list(&mut |task| tasks.push(task)).unwrap();
    tasks
}
