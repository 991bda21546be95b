//! Containers that run out of memory.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]
#![expect(clippy::print_stdout, reason = "what was told is worth knowing")]

use std::collections::BTreeMap;
use std::time::Duration;

use podpool::error::{AttemptReport, Cause};
use podpool::{TaskError, TaskErrorKind};
use podpool_tests::pods::Pods;
use podpool_tests::pods::scene::{Lives, Scene};
use podpool_tests::pods::visits::Desk;
use podpool_tests::pods::work::{take_all_memory, toil, visit};

podpool::test_slots!();

fn pods() -> Option<Pods> {
    Pods::find(env!("CARGO_BIN_EXE_pod-worker"))
}

/// Attempts of this cause, each in another container, which the kernel ended.
async fn died(scene: &mut Scene, attempts: &[AttemptReport], cause: Cause) -> usize {
    let died = attempts.iter().filter(|attempt| attempt.cause == cause);
    let workers: BTreeMap<_, _> = died
        .map(|one| (one.worker.clone().unwrap(), one.node.clone().unwrap()))
        .collect();
    let ended = |lives: &Lives| {
        let mut all = workers.keys();
        all.all(|worker| lives[&**worker].exit.is_some())
    };
    let lives = scene.until("their ends", ended).await;
    for (worker, node) in &workers {
        let life = &lives[&**worker];
        assert_eq!(life.exit, Some(137), "{life:?}");
        assert_eq!(life.reason.as_deref(), Some("OOMKilled"), "{life:?}");
        assert_eq!(life.node, **node);
    }
    workers.len()
}

fn tell(error: &TaskError) {
    println!("{error}");
    for attempt in error.attempts() {
        println!("  {attempt}: {}", attempt.message);
    }
}

#[tokio::test]
async fn a_task_that_kills_its_container_alone_is_charged() {
    let Some(pods) = pods() else { return };
    let mut desk = Desk::open(pods.host()).await;
    let options = pods.options().memory(96 << 20);
    let mut scene = Scene::open(pods.builder(1).kubernetes(options)).await;
    let hog = scene.pool.submit(take_all_memory(desk.address(), 0));
    let innocent = scene.pool.submit(toil(1, Duration::ZERO));
    // The first attempt and the one retry at the same size.
    for _ in 0..2 {
        desk.next().await.let_go().await;
    }
    let error = hog.await.unwrap_err();
    scene.print();
    tell(&error);
    assert_eq!(error.kind(), TaskErrorKind::OutOfMemory);
    let killed = died(&mut scene, error.attempts(), Cause::OutOfMemory).await;
    assert_eq!((killed, error.attempts().len()), (2, 2));
    assert_eq!(innocent.await.unwrap().n, 1);
    scene.close().await;
}

#[tokio::test]
async fn of_four_busy_slots_only_the_one_that_takes_all_memory_fails() {
    let Some(pods) = pods() else { return };
    let mut desk = Desk::open(pods.host()).await;
    let options = pods.options().slots_per_worker(4).memory(128 << 20);
    let mut scene = Scene::open(pods.builder(1).kubernetes(options)).await;
    let hog = scene.pool.submit(take_all_memory(desk.address(), 0));
    let others: Vec<_> = (1..4)
        .map(|n| scene.pool.submit(visit(desk.address(), n)))
        .collect();
    let mut all = desk.gather(4).await;
    let others_there = all.split_off(1);
    all.remove(0).let_go().await;
    for visit in others_there {
        visit.gone().await;
    }
    // The four tasks are suspects now, and each runs alone in its worker. The one that takes all memory runs once more
    // after its first charge.
    let others = tokio::spawn(futures_util::future::join_all(others));
    let mut hogs = 1;
    let mut hog = hog;
    let error = loop {
        tokio::select! {
            visit = desk.next() => {
                hogs += u32::from(visit.n == 0);
                visit.let_go().await;
            }
            result = &mut hog => break result.unwrap_err(),
        }
    };
    tell(&error);
    assert_eq!(error.kind(), TaskErrorKind::OutOfMemory);
    let mut others = others;
    let others = loop {
        tokio::select! {
            visit = desk.next() => visit.let_go().await,
            others = &mut others => break others.unwrap(),
        }
    };
    for (n, other) in (1..).zip(others) {
        assert_eq!(other.unwrap().n, n);
    }
    scene.print();
    assert_eq!(hogs, 3, "once among others, then twice alone");
    let suspect = died(&mut scene, error.attempts(), Cause::Suspect).await;
    let charged = died(&mut scene, error.attempts(), Cause::OutOfMemory).await;
    assert_eq!((suspect, charged), (1, 2));
    scene.close().await;
}
