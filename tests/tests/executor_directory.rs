//! The executor's suite over a broker made of files: worker processes of this test's own executable, which find the
//! broker by the run's descriptor alone.

use std::fs::File;
use std::path::PathBuf;

use podpool::TaskErrorKind;
use podpool::testing::Builder as _;
use podpool_tests::bed::{Bed, built};
use podpool_tests::directory::DirectoryBroker;
use podpool_tests::run::within;
use podpool_tests::scratch::Scratch;
use rustix::process::{Signal, getppid, kill_process};

podpool::test_slots!();

/// The only test that a worker process runs: the process serves as a worker. Elsewhere the test returns at once.
#[test]
fn podpool_worker() {
    podpool_tests::directory::serve_worker();
}

podpool_tests::executor_suite!(vec![podpool_tests::bed::Bed::directory()]);

/// The only test of a worker process whose program does not know the broker.
#[test]
fn podpool_worker_without_the_broker() {
    podpool::testing::serve_worker();
}

/// The process reports nothing by the queues: the reason comes by its file alone.
async fn end_for_a_reason(bed: Bed) {
    let builder = bed.builder(2).worker_arguments([
        "podpool_worker_without_the_broker",
        "--exact",
        "--nocapture",
    ]);
    let pool = built(builder).await;
    let error = within("the error", pool.submit(podpool_tests::tasks::echo(1))).await;
    let error = error.expect_err("no worker can open the queues");
    assert_eq!(error.kind(), TaskErrorKind::PoolBroken, "{error}");
    for part in ["worker-0", "directory-1", "(exit code 78)"] {
        assert!(error.message().contains(part), "{part}: {error}");
    }
    let ended = within("the end", pool.shutdown()).await;
    assert!(ended.is_err_and(|error| error.to_string().contains("exit code 78")));
}

#[test]
fn a_pool_whose_workers_end_has_the_reason_that_they_wrote() {
    podpool_tests::run::run("a_reason", vec![Bed::directory()], &[], end_for_a_reason);
}

/// Kills the worker process that the task runs in, unless the file `marker` exists: the first execution alone kills.
#[podpool::task]
async fn kill_the_worker_once(marker: PathBuf) -> u32 {
    if File::create_new(marker).is_ok() {
        kill_process(getppid().expect("a worker"), Signal::KILL).expect("it is ours to kill");
        // The slot ends with its worker.
        std::future::pending::<()>().await;
    }
    7
}

async fn kill_one(bed: Bed) {
    let pool = bed.pool(2).await;
    let scratch = Scratch::new();
    let killing = pool.submit(kill_the_worker_once(scratch.path().join("killed")));
    let others: Vec<_> = (0..20)
        .map(|n| pool.submit(podpool_tests::tasks::echo(n)))
        .collect();
    for (n, other) in (0..).zip(others) {
        assert_eq!(
            within("a task beside it", other).await.expect("it is done"),
            n
        );
    }
    let killed = within("the task of the killed worker", killing).await;
    assert_eq!(killed.expect("another worker does it"), 7);
    assert!(
        scratch.path().join("killed").exists(),
        "no worker was killed"
    );
    within("the end", pool.shutdown())
        .await
        .expect("a clean end");
}

#[test]
fn a_killed_worker_is_replaced_and_its_task_is_done() {
    podpool_tests::run::run("a_killed_worker", vec![Bed::directory()], &[], kill_one);
}

/// The queues of a run are deleted while a task runs; the messages that were in them are published again.
async fn delete_its_queues(bed: Bed) {
    let pool = bed.pool(2).await;
    let gate = bed.gate();
    let held = pool.submit(podpool_tests::tasks::hold(gate.address(), 1));
    let guest = gate.arrival().await;
    let broker = DirectoryBroker::new(podpool_tests::directory::root());
    let run = pool.run_id().clone();
    broker.vanish(&run);
    let after = pool.submit(podpool_tests::tasks::echo(3));
    guest.let_go();
    assert_eq!(
        within("the task that was held", held)
            .await
            .expect("it is done"),
        1
    );
    assert_eq!(within("the next task", after).await.expect("it is done"), 3);
    within("the end", pool.shutdown())
        .await
        .expect("a clean end");
    assert!(!broker.path_of(&run).exists(), "run {run} is left");
}

#[test]
fn queues_that_vanish_are_made_again() {
    podpool_tests::run::run("vanished", vec![Bed::directory()], &[], delete_its_queues);
}
