//! A node is lost with all its pods. Afterwards the cluster must be repaired by the caller.

use std::process::Command;
use std::time::{Duration, Instant};

use podpool_tests::pods::scene::{Lives, Scene};
use podpool_tests::pods::toll::{Toll, only_losses};
use podpool_tests::pods::work::toil;
use podpool_tests::pods::{LEASE, Pods};

podpool::test_slots!();

const KILL: &str = "PODPOOL_TEST_KILL_NODE";

#[tokio::test]
async fn a_lost_node_costs_no_task() {
    let Some(pods) = Pods::find(env!("CARGO_BIN_EXE_pod-worker")) else {
        return;
    };
    let Ok(kill) = std::env::var(KILL) else {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "{KILL} is not set"
        );
        eprintln!("left out: {KILL} names no command that ends a node");
        return;
    };
    let workers = 6;
    let mut scene = Scene::open(pods.builder(workers)).await;
    let submit = |n| scene.pool.submit(toil(n, Duration::from_millis(200)));
    let toll = Toll::new((0..2_000).map(submit).collect());
    let lives = scene.until_well(workers).await;
    let node = lives.values().map(|life| life.node.clone()).max().unwrap();
    let on = |lives: &Lives, there: bool| -> usize {
        let alive = lives.values().filter(|life| life.is_well());
        alive.filter(|life| (life.node == node) == there).count()
    };
    let (lost, left) = (on(&lives, true), on(&lives, false));
    println!("{node} is lost with {lost} of {workers} pods");
    assert!(
        lost > 0 && left > 0,
        "the pods are all on one node: {lives:#?}"
    );
    let killed = Command::new(kill).arg(&node).status().unwrap();
    assert!(killed.success());
    let gone = Instant::now();
    scene
        .until("a replacement elsewhere", |lives| on(lives, false) > left)
        .await;
    let first = gone.elapsed();
    println!("the first replacement ran {first:.1?} after the loss");
    let ended = toll.end().await;
    println!("all tasks ended {:.1?} after the loss", gone.elapsed());
    scene.print();
    let lives = scene.lives();
    only_losses(&ended, &lives);
    let losses = ended.iter().flat_map(|one| &one.attempts);
    let there = losses.filter(|attempt| attempt.node.as_deref() == Some(node.as_str()));
    let there = there.count();
    println!("{there} executions were lost on {node}");
    assert!(there > 0);
    assert!(first < LEASE + Duration::from_secs(15), "{first:?}");
    scene.abandon().await;
}
