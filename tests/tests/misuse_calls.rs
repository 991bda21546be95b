//! Calls outside a runtime or in a blocked one, and tasks that the worker must refuse.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use podpool::options::Isolation;
use podpool::testing::Builder as _;
use podpool::{PodPoolExecutor, TaskErrorKind, TaskFuture, TaskState};
use podpool_core::registry::Registry;
use podpool_tests::faults::reshaped::reshaped;
use podpool_tests::faults::tasks::{echo, nest, process};
use podpool_tests::faults::{LIMIT, built, describe, describe_in, end, within};

podpool::test_slots!();

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Blocks this thread until the task has ended, without a poll on this thread.
fn block_until_done<T>(future: &TaskFuture<T>) {
    let (done, ended) = channel();
    future.on_done(move |handle| {
        // The receiver is gone where the test has reached its limit.
        done.send(handle.state()).ok();
    });
    assert_eq!(ended.recv_timeout(LIMIT), Ok(TaskState::Done));
}

#[test]
fn a_task_is_submitted_outside_a_runtime() {
    let pool = runtime().block_on(built(describe(2)));
    let future = pool.submit(echo(5));
    block_until_done(&future);
    assert_eq!(runtime().block_on(future).expect("a result"), 5);
    runtime().block_on(end(pool));
}

#[test]
fn a_task_runs_while_a_single_threaded_runtime_is_blocked() {
    runtime().block_on(async {
        let pool = built(describe(2)).await;
        let futures: Vec<_> = (0..20).map(|n| pool.submit(echo(n))).collect();
        futures.iter().for_each(block_until_done);
        for (n, future) in (0..).zip(futures) {
            assert_eq!(future.await.expect("a result"), n);
        }
        end(pool).await;
    });
}

#[tokio::test]
async fn tasks_run_in_other_processes_of_a_libtest_program() {
    let pool = built(describe(1)).await;
    let slot = within("a slot", pool.submit(process()))
        .await
        .expect("a result");
    assert_ne!(slot, std::process::id());
    end(pool).await;
}

#[tokio::test]
async fn a_batch_of_another_shape_is_rejected_and_others_run() {
    // The name as the registry has it: the batches that the tap changes carry the same text.
    let name = Registry::global()
        .expect("sound tasks")
        .find("podpool_tests::faults::tasks::echo");
    let name = name.expect("a task").name;
    for isolation in [Isolation::Process, Isolation::InProcess] {
        let builder =
            describe_in(isolation, 2).decorate_queues(Arc::new(move |queue_name, queue| {
                if queue_name == "tasks" {
                    Arc::new(reshaped(queue, name))
                } else {
                    queue
                }
            }));
        let pool = built(builder).await;
        let error = within("the refusal", pool.submit(echo(5)).into_future()).await;
        let error = error.expect_err("another shape");
        assert_eq!(error.kind(), TaskErrorKind::Rejected, "{error}");
        assert!(error.message().contains("another shape"), "{error}");
        assert_eq!(error.attempts().len(), 1, "{error}");
        assert!(within("another task", pool.submit(process())).await.is_ok());
        end(pool).await;
    }
}

#[tokio::test]
async fn a_task_cannot_build_a_pool_of_processes() {
    let pool = built(describe(1)).await;
    let said = within("the nested pool", pool.submit(nest())).await;
    assert_eq!(said.expect("a result"), "NestedPool");
    end(pool).await;
}

#[tokio::test]
async fn no_workers_are_refused() {
    let refused = PodPoolExecutor::builder().max_workers(0).build().await;
    assert!(refused.is_err_and(|error| error.to_string().contains("max_workers")));
}

/// Each duration of the builder is `Duration::MAX`: no sum of moments overflows, and the pool ends.
#[tokio::test]
async fn durations_without_an_end_are_taken() {
    for isolation in [Isolation::Process, Isolation::InProcess] {
        let builder = describe_in(isolation, 2);
        let builder = builder.lease(Duration::MAX).grace(Duration::MAX);
        let pool = built(builder.start_timeout(Duration::MAX)).await;
        let futures: Vec<_> = (0..100).map(|n| pool.submit(echo(n))).collect();
        for (n, future) in (0..).zip(futures) {
            assert_eq!(within("a task", future).await.expect("a result"), n);
        }
        let cancelled = pool.submit(echo(1).timeout(Duration::MAX));
        within("a cancel", cancelled.cancel()).await;
        end(pool).await;
    }
}
