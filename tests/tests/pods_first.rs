//! Whole pools on a cluster: the first steps.

use podpool_tests::pods::Pods;
use podpool_tests::pods::left::nothing_is_left;
use podpool_tests::tasks;

podpool::test_slots!();

fn pods() -> Option<Pods> {
    Pods::find(env!("CARGO_BIN_EXE_pod-worker"))
}

#[tokio::test]
async fn calls_give_their_results_and_nothing_is_left() {
    let Some(pods) = pods() else { return };
    let pool = pods.builder(2).build().await.unwrap();
    let futures: Vec<_> = (0..100).map(|n| pool.submit(tasks::echo(n))).collect();
    for (n, future) in (0..).zip(futures) {
        assert_eq!(future.await.unwrap(), n);
    }
    pool.shutdown().await.unwrap();
    nothing_is_left(pool.run_id()).await;
}
