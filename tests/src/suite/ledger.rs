//! Runs that are remembered: what a second start of the same run computes, and what it finds.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures_util::future::join_all;
use podpool::error::{BuildError, LedgerError, ShutdownError};
use podpool::options::{Isolation, LocalOptions, Reprocess};
use podpool::testing::Builder as _;
use podpool::{Builder, PodPoolExecutor, TaskErrorKind, TaskFuture};
use podpool_core::ledger::memory::MemoryLedger;
use podpool_core::ledger::{Ledger, Listed, Status, Why};

use crate::bed::{Bed, built};
use crate::journal::Journal;
use crate::refusing::Refusing;
use crate::run::within;
use crate::tasks;

/// The name of every run here.
const NAME: &str = "nightly";

/// A pool's description, with a run that this ledger remembers.
fn builder(bed: &Bed, ledger: &MemoryLedger) -> Builder {
    let builder = bed.builder(bed.room_for(2)).run(NAME);
    builder.remembered_in(Arc::new(ledger.clone()))
}

async fn pool(bed: &Bed, ledger: &MemoryLedger) -> PodPoolExecutor {
    built(builder(bed, ledger)).await
}

async fn end(pool: PodPoolExecutor) {
    within("the shutdown", pool.shutdown()).await.unwrap();
}

/// Writes these lines, each as a task of its own with itself as the key, and returns which of them were stored.
async fn write(pool: &PodPoolExecutor, journal: &Journal, lines: &[&str]) -> Vec<bool> {
    let submit = |line: &&str| {
        let call = tasks::write_line(journal.address(), (*line).to_owned());
        pool.submit(call.key(*line))
    };
    let mut futures: Vec<_> = lines.iter().map(submit).collect();
    for result in within("the lines", join_all(&mut futures)).await {
        result.unwrap();
    }
    futures.iter().map(TaskFuture::was_stored).collect()
}

/// A second start of a run computes what is missing, and nothing else.
pub async fn done_tasks_do_not_run_again(bed: Bed) {
    let (ledger, journal) = (MemoryLedger::new(), bed.journal());
    let first = pool(&bed, &ledger).await;
    let run = first.run_id().clone();
    assert_eq!(write(&first, &journal, &["a", "b"]).await, [false, false]);
    end(first).await;
    let second = pool(&bed, &ledger).await;
    assert_eq!(*second.run_id(), run, "it is the same run");
    let stored = write(&second, &journal, &["a", "c", "b"]).await;
    assert_eq!(stored, [true, false, true]);
    let stats = second.stats();
    assert_eq!((stats.submitted, stats.done, stats.stored), (3, 3, 2));
    end(second).await;
    // One is written for each of the three, however often queues deliver a task.
    assert_eq!(journal.distinct(), ["a", "b", "c"]);
}

/// Each result is that of its own call, whatever its size, and numbers go on where the first start ended.
pub async fn stored_results_are_those_of_their_calls(bed: Bed) {
    let ledger = MemoryLedger::new();
    let bytes = |n: u8| vec![n; usize::from(n) * 700];
    let submit = |pool: &PodPoolExecutor| -> Vec<_> {
        let submit = |n| pool.submit(tasks::reverse(bytes(n)));
        (0..100).map(submit).collect()
    };
    let first = pool(&bed, &ledger).await;
    let before = submit(&first);
    let newest = before.iter().map(TaskFuture::id).max();
    within("the first start", join_all(before)).await;
    end(first).await;
    let second = pool(&bed, &ledger).await;
    let mut after = submit(&second);
    for (n, future) in (0..).zip(&mut after) {
        assert_eq!(
            within("a stored result", &mut *future).await.unwrap(),
            bytes(n)
        );
        assert!(future.was_stored() && Some(future.id()) <= newest);
    }
    let fresh = second.submit(tasks::echo(1));
    assert!(Some(fresh.id()) > newest, "a number is used once");
    within("a fresh task", fresh).await.unwrap();
    end(second).await;
}

/// Equal calls without a key are tasks of their own: the first of them is the first of the next start.
pub async fn equal_calls_are_counted(bed: Bed) {
    let ledger = MemoryLedger::new();
    for (calls, stored) in [(3, 0), (5, 3), (2, 2)] {
        let pool = pool(&bed, &ledger).await;
        let mut futures: Vec<_> = (0..calls).map(|_| pool.submit(tasks::echo(7))).collect();
        within("all of them", join_all(&mut futures)).await;
        let found = futures.iter().filter(|future| future.was_stored()).count();
        assert_eq!(found, stored, "of {calls} calls");
        end(pool).await;
    }
}

/// A task that failed runs again with the next start.
pub async fn failed_tasks_run_again(bed: Bed) {
    let ledger = MemoryLedger::new();
    for _ in 0..2 {
        let pool = pool(&bed, &ledger).await;
        let future = pool.submit(tasks::hopeless().key("x"));
        let error = within("a failure", future).await.unwrap_err();
        assert_eq!(error.kind(), TaskErrorKind::Failed);
        // In the same process too.
        let mut again = pool.submit(tasks::hopeless().key("x"));
        within("another failure", &mut again).await.unwrap_err();
        assert!(!again.was_stored());
        end(pool).await;
    }
}

/// Two calls of one key are one task: it runs once, and both futures have its result.
pub async fn calls_of_one_key_join(bed: Bed) {
    let (ledger, gate) = (MemoryLedger::new(), bed.gate());
    let pool = pool(&bed, &ledger).await;
    let address = gate.address();
    let call = || tasks::hold(address.clone(), 1).key("one");
    let first = pool.submit(call());
    let arrival = gate.arrival().await;
    let second = pool.submit(call());
    // A task behind it: when it has ended, the executor has taken the second call in.
    within("a task behind", pool.submit(tasks::echo(1)))
        .await
        .unwrap();
    assert_eq!(second.id(), first.id());
    assert_eq!(pool.stats().submitted, 2, "the two and the one behind");
    arrival.let_go();
    drop(gate);
    let (one, other) = (
        within("one", first).await,
        within("the other", second).await,
    );
    assert_eq!((one.unwrap(), other.unwrap()), (1, 1));
    let mut third = pool.submit(call());
    assert_eq!(within("a third", &mut third).await.unwrap(), 1);
    assert!(third.was_stored(), "it had ended");
    end(pool).await;
}

/// A key that is called with other arguments is an error, and the first task keeps its result.
pub async fn a_key_with_other_arguments_is_rejected(bed: Bed) {
    let ledger = MemoryLedger::new();
    let pool = pool(&bed, &ledger).await;
    let first = pool.submit(tasks::echo(1).key("x"));
    assert_eq!(within("the first", first).await.unwrap(), 1);
    let other = pool.submit(tasks::echo(2).key("x"));
    let error = within("the other", other).await.unwrap_err();
    assert_eq!(error.kind(), TaskErrorKind::Rejected);
    assert!(error.to_string().contains("other arguments"), "{error}");
    let again = pool.submit(tasks::echo(1).key("x"));
    assert_eq!(within("the first again", again).await.unwrap(), 1);
    end(pool).await;
}

/// What had not ended when its executor did runs again, and what the program cancelled too, when it is called again.
pub async fn unended_and_cancelled_tasks_run_again(bed: Bed) {
    let (ledger, gate) = (MemoryLedger::new(), bed.gate());
    let address = gate.address();
    let call = |n: u32| tasks::hold(address.clone(), n).key(n.to_string());
    let first = pool(&bed, &ledger).await;
    let held = first.submit(call(1));
    let _arrival = gate.arrival().await;
    let cancelled = first.submit(call(2));
    within("the cancel", cancelled.cancel()).await;
    let abort = first.shutdown_with(podpool::ShutdownBehavior::Abort);
    within("the abort", abort).await.unwrap();
    let error = within("the one that ran", held).await.unwrap_err();
    assert_eq!(error.kind(), TaskErrorKind::ShutDown);
    drop(gate);
    let second = pool(&bed, &ledger).await;
    for n in [1, 2] {
        let mut future = second.submit(call(n));
        assert_eq!(within("the second start", &mut future).await.unwrap(), n);
        assert!(!future.was_stored());
    }
    end(second).await;
}

/// A run has one master: the second start is told who has it, or takes the run over, which ends the first.
pub async fn a_run_has_one_master(bed: Bed) {
    let (ledger, gate) = (MemoryLedger::new(), bed.gate());
    let first = pool(&bed, &ledger).await;
    let address = gate.address();
    let held = first.submit(tasks::hold(address.clone(), 1));
    let _arrival = gate.arrival().await;
    let refused = builder(&bed, &ledger).build().await.unwrap_err();
    let BuildError::Ledger(reason) = &refused else {
        panic!("{refused:?}");
    };
    assert!(matches!(**reason, LedgerError::Held { .. }), "{refused:?}");
    let pid = std::process::id().to_string();
    assert!(reason.to_string().contains(&pid), "{reason}");
    let second = built(builder(&bed, &ledger).take_over(true)).await;
    drop(gate);
    let error = within("the first one's task", held).await.unwrap_err();
    assert_eq!(error.kind(), TaskErrorKind::PoolBroken);
    let ended = within("the first one's end", first.shutdown()).await;
    assert!(
        matches!(ended, Err(ShutdownError::Superseded { .. })),
        "{ended:?}"
    );
    let future = second.submit(tasks::hold(address, 1));
    assert_eq!(within("the second", future).await.unwrap(), 1);
    end(second).await;
}

/// While nothing can be stored, no task begins and no result is given out; then everything goes on.
pub async fn a_full_ledger_holds_results_back(bed: Bed) {
    let (ledger, gate) = (Refusing::default(), bed.gate());
    let pool = built(refusing(&bed, &ledger)).await;
    let held = pool.submit(tasks::hold(gate.address(), 1));
    let arrival = gate.arrival().await;
    ledger.refuse();
    arrival.let_go();
    let mut later = pool.submit(tasks::echo(2));
    let soon = later.result(bed.soon()).await;
    assert!(soon.is_err(), "a task that is not stored does not run");
    assert!(
        !held.is_done(),
        "a result that is not stored is not given out"
    );
    ledger.serve();
    assert_eq!(within("the held result", held).await.unwrap(), 1);
    assert_eq!(within("the later one", later).await.unwrap(), 2);
    end(pool).await;
}

/// A ledger that fails for good breaks the pool, with its reason; no result is given out that it does not have.
pub async fn a_ledger_that_fails_breaks_the_pool(bed: Bed) {
    let (ledger, gate) = (Refusing::default(), bed.gate());
    let pool = built(refusing(&bed, &ledger)).await;
    let held = pool.submit(tasks::hold(gate.address(), 1));
    let arrival = gate.arrival().await;
    ledger.fail();
    arrival.let_go();
    let error = within("the end", held).await.unwrap_err();
    assert_eq!(error.kind(), TaskErrorKind::PoolBroken);
    assert!(error.to_string().contains("the ledger failed"), "{error}");
    let later = within("a later task", pool.submit(tasks::echo(2))).await;
    assert_eq!(later.unwrap_err().kind(), TaskErrorKind::PoolBroken);
    let ended = within("the shutdown", pool.shutdown()).await;
    assert!(
        matches!(ended, Err(ShutdownError::Broken { .. })),
        "{ended:?}"
    );
    ledger.serve();
    drop(gate);
    let pool = built(refusing(&bed, &ledger)).await;
    within("the next start", pool.submit(tasks::echo(2)))
        .await
        .unwrap();
    end(pool).await;
}

fn refusing(bed: &Bed, ledger: &Refusing) -> Builder {
    let builder = bed.builder(bed.room_for(2)).run(NAME);
    builder.remembered_in(Arc::new(ledger.clone()))
}

/// A run needs a name to be remembered.
pub async fn a_remembered_run_needs_a_name(_: Bed) {
    let threads = LocalOptions::default().isolation(Isolation::InProcess);
    let builder = PodPoolExecutor::builder().local(threads);
    let builder = builder.remembered_in(Arc::new(MemoryLedger::new()));
    let refused = builder.build().await.unwrap_err();
    let named = matches!(&refused, BuildError::Setting { name, .. } if name == "ledger");
    assert!(named, "{refused:?}");
}

/// Tasks that failed are submitted again by one call, and so are those that a user selects, although they have results.
pub async fn remembered_tasks_are_submitted_again(bed: Bed) {
    let (ledger, journal) = (MemoryLedger::new(), bed.journal());
    let first = pool(&bed, &ledger).await;
    write(
        &first,
        &journal,
        &["2013-02-28", "2013-03-01", "2013-03-02"],
    )
    .await;
    let failing = first.submit(tasks::hopeless().key("x"));
    within("a failure", failing).await.unwrap_err();
    end(first).await;
    let second = pool(&bed, &ledger).await;
    let failed = within("the failed ones", second.retry_failed())
        .await
        .unwrap();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].key().as_deref(), Some("x"));
    for result in within("their ends", join_all(failed)).await {
        assert_eq!(result.unwrap_err().kind(), TaskErrorKind::Failed);
    }
    let march = Reprocess::range("2013-03-01".."2013-04-01");
    let again = within("a month", second.reprocess(march)).await.unwrap();
    let keys: Vec<_> = again.iter().filter_map(|future| future.key()).collect();
    assert_eq!(keys, ["2013-03-01".into(), "2013-03-02".into()]);
    for result in within("their results", join_all(again)).await {
        assert_eq!(result.unwrap().as_str(), "null");
    }
    let stored = write(&second, &journal, &["2013-02-28", "2013-03-01"]).await;
    assert_eq!(stored, [true, true], "the newer results are stored in turn");
    end(second).await;
    let run = history(&ledger);
    let march_1: Vec<_> = run
        .iter()
        .filter(|it| it.key.as_deref() == Some("2013-03-01"))
        .collect();
    let whys: Vec<_> = march_1.iter().map(|it| (it.why, it.submitted.0)).collect();
    assert_eq!(whys, [(Why::First, 1), (Why::Reprocessed, 2)]);
    if bed.has(crate::bed::Need::Faultless) {
        let lines = journal.lines();
        let of = |day: &str| lines.iter().filter(|line| *line == day).count();
        assert_eq!((of("2013-02-28"), of("2013-03-01")), (1, 2));
    }
}

/// What an earlier master left unended is submitted without its program.
pub async fn unended_tasks_are_resumed(bed: Bed) {
    let (ledger, gate, journal) = (MemoryLedger::new(), bed.gate(), bed.journal());
    let first = pool(&bed, &ledger).await;
    let held = first.submit(tasks::hold(gate.address(), 1));
    let _arrival = gate.arrival().await;
    let abort = first.shutdown_with(podpool::ShutdownBehavior::Abort);
    within("the abort", abort).await.unwrap();
    within("the one that ran", held).await.unwrap_err();
    drop((first, gate));
    let second = pool(&bed, &ledger).await;
    let resumed = within("what is left", second.resume()).await.unwrap();
    assert_eq!(resumed.len(), 1);
    for result in within("its end", join_all(resumed)).await {
        assert_eq!(result.unwrap().as_str(), "1");
    }
    write(&second, &journal, &["a"]).await;
    assert_eq!(within("nothing", second.resume()).await.unwrap().len(), 0);
    end(second).await;
    let statuses: Vec<_> = history(&ledger).iter().map(|it| it.status).collect();
    assert_eq!(statuses, [Status::Interrupted, Status::Done, Status::Done]);
}

/// All tasks of the one run.
fn history(ledger: &MemoryLedger) -> Vec<Listed> {
    let runs = ledger.runs().unwrap();
    let run = runs[0].as_ref().unwrap().run.clone();
    let mut tasks = Vec::new();
    ledger
        .read(&run)
        .unwrap()
        .list(&mut |task| tasks.push(task))
        .unwrap();
    tasks
}

/// A pool without a ledger says so.
pub async fn without_a_ledger_nothing_is_submitted_again(bed: Bed) {
    let builder = PodPoolExecutor::builder();
    let threads = LocalOptions::default().isolation(Isolation::InProcess);
    let pool = built(builder.local(threads)).await;
    let error = within("the answer", pool.retry_failed()).await.unwrap_err();
    assert!(error.to_string().contains("has no ledger"), "{error}");
    within("the shutdown", pool.shutdown()).await.unwrap();
    drop(bed);
}

/// Arguments with a map need a key: without one the next start would not find the task.
pub async fn a_call_with_a_map_needs_a_key(bed: Bed) {
    let ledger = MemoryLedger::new();
    let counts = || BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]);
    for stored in [false, true] {
        let pool = pool(&bed, &ledger).await;
        let refused = within("a refusal", pool.submit(tasks::total(counts()))).await;
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), TaskErrorKind::Rejected);
        assert!(error.to_string().contains("a key"), "{error}");
        let mut keyed = pool.submit(tasks::total(counts()).key("x"));
        assert_eq!(within("a result", &mut keyed).await.unwrap(), 3);
        assert_eq!(keyed.was_stored(), stored);
        // Equal maps, whose entries may come in another order.
        let hashed = HashMap::from_iter(counts());
        let again = pool.submit(tasks::total_hashed(hashed).key("y"));
        assert_eq!(within("a result", again).await.unwrap(), 3);
        end(pool).await;
    }
}

/// One of two calls that are one task is cancelled, and another dropped: the task goes on for the third.
pub async fn a_joined_task_goes_on_for_the_other_calls(bed: Bed) {
    let (ledger, gate) = (MemoryLedger::new(), bed.gate());
    let pool = pool(&bed, &ledger).await;
    let call = || tasks::hold(gate.address(), 1).key("one");
    let first = pool.submit(call());
    let arrival = gate.arrival().await;
    let second = pool.submit(call());
    let third = pool.submit(call()).abort_on_drop();
    within("the cancel", first.cancel()).await;
    let error = within("the cancelled one", first).await.unwrap_err();
    assert_eq!(error.kind(), TaskErrorKind::Cancelled);
    drop(third);
    within("a task behind", pool.submit(tasks::echo(1)))
        .await
        .unwrap();
    assert!(!second.is_done());
    arrival.let_go();
    assert_eq!(within("the second", second).await.unwrap(), 1);
    let stats = pool.stats();
    let parts = stats.pending + stats.running + stats.done + stats.failed + stats.cancelled;
    assert_eq!(parts, stats.submitted, "{stats:?}");
    end(pool).await;
}

/// An abort does not wait for a ledger that stores nothing.
pub async fn an_abort_does_not_wait_for_a_full_ledger(bed: Bed) {
    let (ledger, gate) = (Refusing::default(), bed.gate());
    let pool = built(refusing(&bed, &ledger)).await;
    let held = pool.submit(tasks::hold(gate.address(), 1));
    let arrival = gate.arrival().await;
    ledger.refuse();
    arrival.let_go();
    let waiting = pool.submit(tasks::echo(2));
    let abort = pool.shutdown_with(podpool::ShutdownBehavior::Abort);
    let ended = within("the abort", abort).await;
    assert!(
        matches!(ended, Err(ShutdownError::Broken { .. })),
        "{ended:?}"
    );
    let stats = pool.stats();
    assert_eq!((stats.done, stats.failed), (0, 2), "{stats:?}");
    for kind in [
        within("the held result", held).await.err(),
        within("the waiting one", waiting).await.err(),
    ] {
        let kind = kind.map(|error| error.kind());
        let given_up = [TaskErrorKind::ShutDown, TaskErrorKind::PoolBroken];
        assert!(
            kind.is_some_and(|kind| given_up.contains(&kind)),
            "{kind:?}"
        );
    }
}

/// A ledger that fails while as much waits for it as may leaves no future behind.
pub async fn a_ledger_that_fails_late_leaves_no_future_behind(bed: Bed) {
    let ledger = Refusing::default();
    let pool = built(refusing(&bed, &ledger)).await;
    within("a task", pool.submit(tasks::echo(1))).await.unwrap();
    ledger.refuse();
    // More than the 64 MiB that may wait.
    let large = || tasks::reverse(vec![1; 4 << 20]);
    let futures: Vec<_> = (0..24).map(|_| pool.submit(large())).collect();
    let mut last = pool.submit(tasks::echo(2));
    assert!(last.result(bed.short()).await.is_err());
    ledger.fail();
    for result in within("the ends", join_all(futures)).await {
        assert_eq!(result.unwrap_err().kind(), TaskErrorKind::PoolBroken);
    }
    let error = within("the last one", last).await.unwrap_err();
    assert_eq!(error.kind(), TaskErrorKind::PoolBroken);
}

/// A pool that could not be built leaves the run to the next one.
pub async fn a_failed_build_leaves_the_run_free(bed: Bed) {
    let ledger = MemoryLedger::new();
    let refused = builder(&bed, &ledger).payload_store("nowhere://x").build();
    within("the refusal", refused).await.unwrap_err();
    let zero = builder(&bed, &ledger).max_workers(0).build();
    within("the refusal", zero).await.unwrap_err();
    let pool = pool(&bed, &ledger).await;
    within("a task", pool.submit(tasks::echo(1))).await.unwrap();
    end(pool).await;
}

/// A master without work learns at its end that another one has the run.
pub async fn an_idle_master_that_lost_its_run_is_superseded(bed: Bed) {
    let ledger = MemoryLedger::new();
    let first = pool(&bed, &ledger).await;
    within("a task", first.submit(tasks::echo(1)))
        .await
        .unwrap();
    let second = built(builder(&bed, &ledger).take_over(true)).await;
    let ended = within("the first one's end", first.shutdown()).await;
    assert!(
        matches!(ended, Err(ShutdownError::Superseded { .. })),
        "{ended:?}"
    );
    end(second).await;
}

/// Calls without a key that follow a resume are the tasks that were resumed.
pub async fn calls_after_a_resume_join_what_was_resumed(bed: Bed) {
    let (ledger, gate) = (MemoryLedger::new(), bed.gate());
    let address = gate.address();
    let call = || tasks::hold(address.clone(), 1);
    let first = pool(&bed, &ledger).await;
    let held = first.submit(call());
    let _arrival = gate.arrival().await;
    let abort = first.shutdown_with(podpool::ShutdownBehavior::Abort);
    within("the abort", abort).await.unwrap();
    within("the one that ran", held).await.unwrap_err();
    drop((first, gate));
    let second = pool(&bed, &ledger).await;
    let resumed = within("what is left", second.resume()).await.unwrap();
    let called = second.submit(call());
    let ids: Vec<_> = within("its end", join_all(resumed)).await;
    assert_eq!(ids.len(), 1);
    assert_eq!(within("the call", called).await.unwrap(), 1);
    end(second).await;
    let tasks = history(&ledger);
    assert_eq!(
        tasks.len(),
        2,
        "one that was interrupted, and one: {tasks:?}"
    );
}
