//! Two runs of one name that begin in the same moment, on an emulator: each runs to its end, independent of the other.

#![cfg(feature = "pubsub")]

use std::time::Duration;

use podpool_tests::bed::Bed;
use podpool_tests::tasks::echo;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

podpool::test_slots!();

const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn two_runs_of_one_name_that_begin_together_both_end() {
    let Some(bed) = Bed::pubsub() else { return };
    let begin = || {
        let bed = bed.clone();
        async move {
            let builder = spawn_blocking(move || bed.builder(1).run("nightly"));
            builder.await.unwrap().build().await.unwrap()
        }
    };
    let test = async {
        let (first, second) = tokio::join!(begin(), begin());
        assert_ne!(first.run_id(), second.run_id());
        let submit = |pool: &podpool::PodPoolExecutor| -> Vec<_> {
            (0..20).map(|n| pool.submit(echo(n))).collect()
        };
        let (ends, goes_on) = (submit(&first), submit(&second));
        for (n, future) in (0..).zip(ends) {
            assert_eq!(future.await.unwrap(), n);
        }
        first.shutdown().await.unwrap();
        podpool_tests::pubsub::run::delete(first.run_id()).await;
        for (n, future) in (0..).zip(goes_on) {
            assert_eq!(future.await.unwrap(), n);
        }
        assert_eq!(second.submit(echo(4)).await.unwrap(), 4);
        second.shutdown().await.unwrap();
    };
    timeout(LIMIT, test).await.expect("a run hangs");
    bed.clear().await.unwrap();
}
