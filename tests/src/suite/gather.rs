//! `gather`: all results in the order of their futures, or the first failure.

use podpool::{TaskErrorKind, TaskState, gather};

use crate::bed::Bed;
use crate::run::within;
use crate::tasks;

/// Results come in the order of the futures, whatever the order of the ends.
pub async fn results_are_gathered_in_order(bed: Bed) {
    let pool = bed.pool(4).await;
    let futures = (0..200).map(|n| pool.submit(tasks::echo(n)));
    let results = within("all", gather(futures)).await.unwrap();
    assert_eq!(results, (0..200).collect::<Vec<_>>());
    let none = within("nothing", gather(Vec::<podpool::TaskFuture<u64>>::new()));
    assert!(none.await.unwrap().is_empty());
}

/// The first failure is returned while others run; they continue.
pub async fn a_failure_is_returned_before_the_others_end(bed: Bed) {
    let gate = bed.gate();
    let pool = bed.pool(bed.room_for(2)).await;
    let held = pool.submit(tasks::hold(gate.address(), 1));
    let handle = held.handle();
    let arrival = gate.arrival().await;
    let failing = pool.submit(tasks::flaky(1));
    let failed = pool.submit(tasks::hold(gate.address(), 2));
    failed.cancel().await;
    let error = within("the failure", gather([held, failed]))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), TaskErrorKind::Cancelled);
    let results = within("both", gather([failing]).return_exceptions()).await;
    assert_eq!(
        results[0].as_ref().unwrap_err().kind(),
        TaskErrorKind::Failed
    );
    assert!(!handle.is_done());
    arrival.let_go();
    within("the shutdown", pool.shutdown()).await.unwrap();
    assert_eq!(handle.state(), TaskState::Done);
}
