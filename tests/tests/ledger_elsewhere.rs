//! Runs that are remembered, and whose queues outlive their master: what the next master finds there.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use podpool::error::{BuildError, DetachError, LedgerError, ShutdownError};
use podpool::testing::Builder as _;
use podpool::{Builder, PodPoolExecutor, ShutdownBehavior, TaskErrorKind};
use podpool_core::ledger::memory::MemoryLedger;
use podpool_core::ledger::{Ledger, Listed, Status};
use podpool_tests::bed::{Bed, built};
use podpool_tests::directory::{self, DirectoryBroker};
use podpool_tests::journal::Journal;
use podpool_tests::run::within;
use podpool_tests::tasks;

podpool::test_slots!();

/// The only test that a worker process runs: the process serves as a worker. Elsewhere the test returns at once.
#[test]
fn podpool_worker() {
    podpool_tests::directory::serve_worker();
}

const NAME: &str = "nightly";
/// Between two looks at a ledger.
const LOOK: Duration = Duration::from_millis(5);

fn builder(bed: &Bed, ledger: &MemoryLedger) -> Builder {
    let builder = bed.builder(2).run(NAME);
    builder.remembered_in(Arc::new(ledger.clone()))
}

fn lines(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("line {n:02}")).collect()
}

fn submit(
    pool: &PodPoolExecutor,
    journal: &Journal,
    lines: &[String],
) -> Vec<podpool::TaskFuture<()>> {
    let submit = |line: &String| {
        let call = tasks::write_line(journal.address(), line.clone());
        pool.submit(call.key(line.as_str()))
    };
    lines.iter().map(submit).collect()
}

fn history(ledger: &MemoryLedger) -> Vec<Listed> {
    let mut tasks = Vec::new();
    let run = ledger.runs().unwrap().remove(0).unwrap().run;
    let mut read = ledger.read(&run).unwrap();
    read.list(&mut |task| tasks.push(task)).unwrap();
    tasks
}

/// Waits until the ledger has so many tasks: what it does not have yet is lost with its master.
async fn remembered(ledger: &MemoryLedger, tasks: usize) {
    let look = async {
        while history(ledger).len() < tasks {
            tokio::time::sleep(LOOK).await;
        }
    };
    within("the ledger", look).await;
}

async fn end(pool: &PodPoolExecutor) {
    within("the shutdown", pool.shutdown()).await.unwrap();
}

/// The next master takes the tasks in under their numbers: what was done is stored, what waits in the queue is done
/// once, and calls join both.
async fn take_over(bed: Bed) {
    let (ledger, journal, gate) = (MemoryLedger::new(), bed.journal(), bed.gate());
    let first = built(builder(&bed, &ledger)).await;
    let held: Vec<_> = (1..=2)
        .map(|n| first.submit(tasks::hold(gate.address(), n).key(n.to_string())))
        .collect();
    let guests = (gate.arrival().await, gate.arrival().await);
    // They wait in the queue: both slots are busy.
    let waiting = submit(&first, &journal, &lines(30));
    remembered(&ledger, 32).await;
    let second = built(builder(&bed, &ledger).take_over(true)).await;
    for future in waiting {
        let error = within("a future of the first", future).await.unwrap_err();
        assert_eq!(error.kind(), TaskErrorKind::PoolBroken);
    }
    let ended = within("the first one's end", first.shutdown()).await;
    assert!(matches!(ended, Err(ShutdownError::Superseded { .. })));
    drop((guests, held, gate));
    let futures = submit(&second, &journal, &lines(30));
    for result in within("the lines", join_all(futures)).await {
        result.unwrap();
    }
    end(&second).await;
    let all = history(&ledger);
    assert_eq!(all.len(), 32, "no task is submitted twice");
    assert!(all.iter().all(|task| task.status == Status::Done));
    assert_eq!(journal.distinct().len(), 30);
}

/// Whoever attaches needs no call of a task: everything that is left is done, and its results can be had.
async fn attach(bed: Bed) {
    let (ledger, journal, gate) = (MemoryLedger::new(), bed.journal(), bed.gate());
    let first = built(builder(&bed, &ledger)).await;
    let _held = [1, 2].map(|n| first.submit(tasks::hold(gate.address(), n)));
    let guests = (gate.arrival().await, gate.arrival().await);
    let _waiting = submit(&first, &journal, &lines(5));
    remembered(&ledger, 7).await;
    // Without a clean end.
    let attaching = || {
        let builder = bed.builder(2).attach(NAME).take_over(true);
        builder.remembered_in(Arc::new(ledger.clone()))
    };
    let second = built(attaching()).await;
    drop((first, guests, gate));
    assert_eq!(second.run(), Some(NAME));
    let futures = within("the tasks that are left", second.resume())
        .await
        .unwrap();
    assert_eq!(futures.len(), 7);
    for result in within("the results", join_all(futures)).await {
        result.unwrap();
    }
    let stats = second.stats();
    assert_eq!((stats.submitted, stats.done, stats.pending), (7, 7, 0));
    end(&second).await;
    let third = built(attaching()).await;
    assert_eq!(third.resume().await.unwrap().len(), 0);
    end(&third).await;
}

/// Tasks that nobody calls are done before a shutdown returns.
async fn shut_down(bed: Bed) {
    let (ledger, journal, gate) = (MemoryLedger::new(), bed.journal(), bed.gate());
    let first = built(builder(&bed, &ledger)).await;
    let _held = [1, 2].map(|n| first.submit(tasks::hold(gate.address(), n)));
    let guests = (gate.arrival().await, gate.arrival().await);
    let _waiting = submit(&first, &journal, &lines(5));
    remembered(&ledger, 7).await;
    let second = built(builder(&bed, &ledger).take_over(true)).await;
    drop((first, guests, gate));
    end(&second).await;
    assert!(
        history(&ledger)
            .iter()
            .all(|task| task.status == Status::Done)
    );
}

/// A master that does not know yet that it lost its run removes nothing of it, however it ends.
async fn abort_late(bed: Bed) {
    let (ledger, gate) = (MemoryLedger::new(), bed.gate());
    let first = built(builder(&bed, &ledger)).await;
    let second = built(builder(&bed, &ledger).take_over(true)).await;
    let held = second.submit(tasks::hold(gate.address(), 1));
    let guest = gate.arrival().await;
    let aborted = first.shutdown_with(ShutdownBehavior::Abort);
    let ended = within("the abort", aborted).await;
    assert!(
        matches!(ended, Err(ShutdownError::Superseded { .. })),
        "{ended:?}"
    );
    let queues = DirectoryBroker::new(directory::root()).path_of(second.run_id());
    assert!(queues.exists(), "{} is gone", queues.display());
    drop((guest, gate));
    assert_eq!(within("the task", held).await.unwrap(), 1);
    end(&second).await;
}

/// The queues of a run that was shut down are gone: what it left is published at once.
async fn anew(bed: Bed) {
    let (ledger, journal, gate) = (MemoryLedger::new(), bed.journal(), bed.gate());
    let first = built(builder(&bed, &ledger)).await;
    let _held = [1, 2].map(|n| first.submit(tasks::hold(gate.address(), n)));
    let guests = (gate.arrival().await, gate.arrival().await);
    let _waiting = submit(&first, &journal, &lines(5));
    remembered(&ledger, 7).await;
    let aborted = first.shutdown_with(ShutdownBehavior::Abort);
    within("the abort", aborted).await.unwrap();
    drop((guests, gate));
    let second = built(builder(&bed, &ledger)).await;
    end(&second).await;
    assert_eq!(journal.distinct().len(), 5);
    assert!(
        history(&ledger)
            .iter()
            .all(|task| task.status == Status::Done)
    );
}

/// What cannot be attached to, and what cannot go on by itself, is refused, and nothing changes.
async fn refused(bed: Bed) {
    let ledger = MemoryLedger::new();
    let attach = |run: &str| {
        let builder = bed.builder(2).attach(run);
        builder.remembered_in(Arc::new(ledger.clone())).build()
    };
    let error = within("no run", attach("unknown")).await.unwrap_err();
    let BuildError::Ledger(reason) = &error else {
        panic!("{error:?}");
    };
    assert!(matches!(**reason, LedgerError::NoRun { .. }), "{error:?}");
    assert!(error.to_string().contains("unknown"), "{error}");
    let both = bed.builder(2).run(NAME).attach(NAME);
    let both = both.remembered_in(Arc::new(ledger.clone())).build();
    let error = within("two names", both).await.unwrap_err().to_string();
    assert!(error.contains("attach"), "{error}");
    let nowhere = within("no ledger", bed.builder(2).attach(NAME).build()).await;
    let error = nowhere.unwrap_err().to_string();
    assert!(error.contains("PODPOOL_LEDGER"), "{error}");
    let pool = built(builder(&bed, &ledger)).await;
    let refused = within("the detachment", pool.detach()).await;
    assert!(matches!(refused, Err(DetachError::Local(_))), "{refused:?}");
    podpool_tests::bed::goes_on(&pool).await;
    end(&pool).await;
}

macro_rules! tests {
    ($($name:ident: $row:ident;)*) => {$(
        #[test]
        fn $name() {
            podpool_tests::run::run(stringify!($name), vec![Bed::directory()], &[], $row);
        }
    )*};
}

tests! {
    a_master_that_takes_over_goes_on_with_what_is_in_the_queues: take_over;
    whoever_attaches_needs_no_calls: attach;
    tasks_that_are_not_called_are_done: shut_down;
    what_an_aborted_run_left_is_published_anew: anew;
    a_master_that_lost_its_run_removes_nothing_of_it: abort_late;
    what_cannot_go_on_is_refused: refused;
}
