//! Pods of different speed: each takes what it can do, and none holds what it cannot start soon.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use podpool_tests::pods::Pods;
use podpool_tests::pods::scene::Scene;
use podpool_tests::pods::toll::Toll;
use podpool_tests::pods::visits::Desk;
use podpool_tests::pods::work::{toil_unevenly, visit};

podpool::test_slots!();

/// A task in the slow pod. A task that is taken and cannot be started for two seconds is given back.
const SLOW: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_pod_ten_times_slower_takes_a_tenth_of_the_work() {
    let Some(pods) = Pods::find(env!("CARGO_BIN_EXE_pod-worker")) else {
        return;
    };
    let (workers, time, count) = (4, SLOW / 10, 600_u32);
    let mut desk = Desk::open(pods.host()).await;
    let scene = Scene::open(pods.builder(workers)).await;
    // One task holds each pod, so that all four are there before the race begins.
    let here: Vec<_> = (0..4)
        .map(|n| scene.pool.submit(visit(desk.address(), n)))
        .collect();
    let visits = desk.gather(workers).await;
    let slow = visits[0].worker.clone();
    for visit in visits {
        visit.let_go().await;
    }
    for task in here {
        task.await.unwrap();
    }
    let began = Instant::now();
    let submit = |n| scene.pool.submit(toil_unevenly(n, time, slow.clone()));
    let toll = Toll::new((0..u64::from(count)).map(submit).collect());
    let ended = toll.end().await;
    let took = began.elapsed();
    let mut shares: BTreeMap<&str, u32> = BTreeMap::new();
    for one in &ended {
        *shares.entry(&one.ran.worker).or_default() += 1;
    }
    let slow_share = shares.get(slow.as_str()).copied().unwrap_or_default();
    let fast = (count - slow_share) / 3;
    // Three and a tenth of a pod, were nothing lost.
    let ideal = time * count * 10 / 31;
    println!("{shares:?}, slow {slow}: {slow_share} of {fast} in {took:.1?}, ideal {ideal:.1?}");
    assert_eq!(shares.len(), workers);
    assert!((fast / 20..=fast / 5).contains(&slow_share), "{shares:?}");
    let even = |share: &u32| *share == slow_share || share.abs_diff(fast) < fast / 3;
    assert!(shares.values().all(even), "{shares:?}");
    // What the slow pod had taken and could not start would come last, a second each.
    let last = |of_slow: bool| {
        let ran = ended
            .iter()
            .filter(|one| (one.ran.worker == slow) == of_slow);
        ran.map(|one| one.at).max().unwrap()
    };
    let tail = last(true).saturating_duration_since(last(false));
    println!("the slow pod ended {tail:.1?} after the others");
    assert!(tail < SLOW * 5, "it held too much");
    scene.close().await;
}
