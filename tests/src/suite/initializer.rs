//! The initializer: once in each slot, before its first task; when it fails, the pool gives the reason.

use std::collections::BTreeSet;

use futures_util::future::{join_all, try_join_all};
use podpool::TaskErrorKind;
use podpool::error::ShutdownError;

use crate::bed::{Bed, built};
use crate::run::within;
use crate::tasks;

/// The initializer runs once in each slot.
pub async fn an_initializer_runs_once_in_each_slot(bed: Bed) {
    let gate = bed.gate();
    let journal = bed.journal();
    let pool = built(bed.builder(2).initializer(tasks::set_up(journal.address()))).await;
    let held: Vec<_> = (0..2)
        .map(|n| pool.submit(tasks::hold(gate.address(), n)))
        .collect();
    // Both tasks have arrived before one is released: a slot that got free would take the other task, and the second
    // slot might never start.
    drop([gate.arrival().await, gate.arrival().await]);
    within("both slots", try_join_all(held)).await.unwrap();
    let counts: Vec<_> = (0..100)
        .map(|_| pool.submit(tasks::count_set_ups()))
        .collect();
    let counts = within("the counts", try_join_all(counts)).await.unwrap();
    assert!(counts.iter().all(|count| *count == 1), "{counts:?}");
    assert_eq!(journal.lines(), ["set up"; 2]);
}

/// The initializer runs before the first task of a slot, with queues that misbehave too.
pub async fn an_initializer_runs_before_the_first_task(bed: Bed) {
    let journal = bed.journal();
    let pool = built(bed.builder(2).initializer(tasks::set_up(journal.address()))).await;
    let counts: Vec<_> = (0..20)
        .map(|_| pool.submit(tasks::count_set_ups()))
        .collect();
    let counts = within("the counts", try_join_all(counts)).await.unwrap();
    assert!(counts.iter().all(|count| *count == 1), "{counts:?}");
    assert!(journal.lines().len() <= 2, "two slots are set up once each");
}

/// Slots start when there is work, and no more of them than there is work for.
pub async fn slots_start_lazily(bed: Bed) {
    let journal = bed.journal();
    let pool = built(bed.builder(4).initializer(tasks::set_up(journal.address()))).await;
    assert_eq!(journal.lines(), [""; 0]);
    for n in 0..10 {
        within("a result", pool.submit(tasks::echo(n)))
            .await
            .unwrap();
    }
    within("the shutdown", pool.shutdown()).await.unwrap();
    assert_eq!(
        journal.lines(),
        ["set up"],
        "one task at a time needs one slot"
    );
}

/// A failure in one slot is not final: the next slot works.
pub async fn one_failure_is_tolerated(bed: Bed) {
    let journal = bed.journal();
    let call = tasks::set_up_at_second_try(journal.address());
    let pool = built(bed.builder(1).initializer(call)).await;
    assert_eq!(
        within("a result", pool.submit(tasks::echo(5)))
            .await
            .unwrap(),
        5
    );
    assert_eq!(journal.lines(), ["set up"; 2]);
    within("the shutdown", pool.shutdown()).await.unwrap();
}

/// Three failures in a row break the pool, and every future has the reason.
pub async fn three_failures_break_the_pool(bed: Bed) {
    let pool = built(bed.builder(2).initializer(tasks::refuse_to_set_up())).await;
    let futures: Vec<_> = (0..20).map(|n| pool.submit(tasks::echo(n))).collect();
    for result in within("all", join_all(futures)).await {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), TaskErrorKind::PoolBroken);
        assert!(
            error.to_string().contains("the licence has expired"),
            "{error}"
        );
    }
    let error = within("a later one", pool.submit(tasks::echo(1)))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), TaskErrorKind::PoolBroken);
    match within("the shutdown", pool.shutdown()).await {
        Err(ShutdownError::Broken { reason }) => {
            assert!(reason.contains("the licence has expired"), "{reason}");
        }
        other => panic!("the shutdown of a broken pool gave {other:?}"),
    }
}

/// A panic of the initializer counts as a failure.
pub async fn a_panic_breaks_the_pool_too(bed: Bed) {
    let pool = built(bed.builder(1).initializer(tasks::panic_at_set_up())).await;
    let error = within("the result", pool.submit(tasks::echo(1)))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), TaskErrorKind::PoolBroken);
    assert!(
        error.to_string().contains("the model is not there"),
        "{error}"
    );
}

/// Arguments that cannot be encoded are refused when the pool is built.
pub async fn bad_arguments_are_refused_at_build(bed: Bed) {
    let call = tasks::take_stubborn(tasks::Stubborn(-1));
    let error = bed.builder(1).initializer(call).build().await.unwrap_err();
    assert!(error.to_string().contains("initializer"), "{error}");
    assert!(error.to_string().contains("it is negative"), "{error}");
}

/// A slot is replaced after so many tasks, and the new one is set up again.
pub async fn recycled_slots_are_set_up_again(bed: Bed) {
    let journal = bed.journal();
    let builder = bed.builder(1).max_tasks_per_slot(5);
    let pool = built(builder.initializer(tasks::set_up(journal.address()))).await;
    let mut pids = BTreeSet::new();
    for _ in 0..20 {
        pids.insert(
            within("a process id", pool.submit(tasks::pid()))
                .await
                .unwrap(),
        );
    }
    assert_eq!(pids.len(), 4, "20 tasks, 5 for each process");
    let count = within("a count", pool.submit(tasks::count_set_ups())).await;
    assert_eq!(count.unwrap(), 1);
    // Four slots for the 20 tasks, and a fifth one for the last count.
    assert_eq!(journal.lines().len(), 5);
}
