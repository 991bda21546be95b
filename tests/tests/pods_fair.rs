//! Pods of different speed: each pod takes the tasks that it can run soon, and holds no others.

use std::collections::BTreeSet;

use podpool_tests::pods::Pods;
use podpool_tests::pods::scene::Scene;
use podpool_tests::pods::toll::Toll;
use podpool_tests::pods::visits::Desk;
use podpool_tests::pods::work::visit;

podpool::test_slots!();

/// Pods, with one slot each.
const PODS: usize = 4;

/// Tasks behind the first ones: many for each pod that continues, so that pods take more than one at a time.
const TASKS: u64 = 3 * 20;

/// One pod stands still with its task. The others run in rounds: a round ends only when each of them has a task at the
/// desk. So a pod that keeps tasks which it cannot start leaves another pod without a task, and the round never ends.
#[tokio::test]
async fn a_pod_that_stands_still_holds_nothing_but_its_own_task() {
    let Some(pods) = Pods::find(env!("CARGO_BIN_EXE_pod-worker")) else {
        return;
    };
    let mut desk = Desk::open(pods.host()).await;
    let scene = Scene::open(pods.builder(PODS)).await;
    let first: Vec<_> = (0..4)
        .map(|n| scene.pool.submit(visit(desk.address(), n)))
        .collect();
    let mut visits = desk.gather(PODS).await.into_iter();
    let still = visits.next().unwrap();
    for visit in visits {
        visit.let_go().await;
    }
    let submit = |n| scene.pool.submit(visit(desk.address(), n));
    let toll = Toll::new((0..TASKS).map(submit).collect());
    for round in 1..=TASKS / 3 {
        let visits = desk.gather(3).await;
        let here: BTreeSet<_> = visits.iter().map(|visit| visit.worker.as_str()).collect();
        assert_eq!(here.len(), 3, "round {round}: {here:?} had a second slot");
        assert!(!here.contains(still.worker.as_str()), "its slot is held");
        toll.until(usize::try_from(round - 1).unwrap() * 3).await;
        for visit in visits {
            visit.let_go().await;
        }
    }
    let ended = toll.end().await;
    let elsewhere = ended.iter().all(|one| one.ran.worker != still.worker);
    assert!(elsewhere, "the pod that stands still ran another task");
    still.let_go().await;
    for task in first {
        task.await.unwrap();
    }
    scene.close().await;
}
