//! Pods are lost while tasks run: deleted one by one, evicted, all at once, stopped.

use std::time::{Duration, Instant};

use podpool::TaskFuture;
use podpool::error::Cause;
use podpool_tests::pods::Pods;
use podpool_tests::pods::scene::{Lives, Scene};
use podpool_tests::pods::toll::{Toll, only_losses};
use podpool_tests::pods::visits::Desk;
use podpool_tests::pods::work::{Ran, toil, toil_deaf, visit};
use tokio::sync::Mutex;
use tokio::time::interval;

podpool::test_slots!();

/// The tests of this file run one after the other, because they measure how long replacements take.
static QUIET: Mutex<()> = Mutex::const_new(());

/// From the loss of a pod to the start of another.
const REPLACED: Duration = Duration::from_secs(10);

fn pods() -> Option<Pods> {
    Pods::find(env!("CARGO_BIN_EXE_pod-worker"))
}

/// Some tasks block their thread: such tasks are lost where a pod is deleted without a grace.
fn submit_some_deaf(scene: &Scene, count: u64, time: Duration) -> Vec<TaskFuture<Ran>> {
    let submit = |n: u64| {
        let deaf = n.is_multiple_of(25);
        let call = if deaf {
            toil_deaf(n, 15 * time)
        } else {
            toil(n, time)
        };
        scene.pool.submit(call)
    };
    (0..count).map(submit).collect()
}

/// The same numbers from the same seed, on every machine.
fn next(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

#[tokio::test]
async fn pods_deleted_every_second_for_a_minute_cost_no_task() {
    let Some(pods) = pods() else { return };
    let _quiet = QUIET.lock().await;
    let workers = 6;
    let options = pods.options().slots_per_worker(2);
    let options = options.grace(Duration::from_secs(10));
    let mut scene = Scene::open(pods.builder(workers).kubernetes(options)).await;
    let toll = Toll::new(submit_some_deaf(&scene, 2_000, Duration::from_millis(200)));
    scene.until_well(workers).await;
    let mut seed = 0x9e37_79b9_7f4a_7c15;
    let mut second = interval(Duration::from_secs(1));
    let mut deleted = 0;
    for _ in 0..60 {
        second.tick().await;
        let well = scene.well();
        if well.is_empty() {
            continue;
        }
        let victim = &well[next(&mut seed) as usize % well.len()];
        // Half of the pods are deleted without a grace, as on a node that runs out of memory.
        let grace = next(&mut seed).is_multiple_of(2).then_some(0);
        scene.delete(victim, grace).await;
        deleted += 1;
    }
    println!("{deleted} pods deleted, {} tasks left", toll.open());
    let ended = toll.end().await;
    scene.print();
    let told = only_losses(&ended, &scene.lives());
    let mut replaced = scene.replacements(workers);
    replaced.sort_unstable();
    println!("{told} executions lost, replaced after {replaced:.1?}");
    assert!(deleted >= 40 && told > 0);
    // Top-up cohorts are opened at most every 5 s, and this is the time of the slowest of sixty replacements.
    assert!(replaced.iter().all(|time| *time <= 2 * REPLACED));
    scene.close().await;
}

#[tokio::test]
async fn an_evicted_pod_and_all_deleted_at_once_are_replaced_within_seconds() {
    let Some(pods) = pods() else { return };
    let _quiet = QUIET.lock().await;
    let workers = 4;
    let mut scene = Scene::open(pods.builder(workers)).await;
    let submit = |n| scene.pool.submit(toil(n, Duration::from_millis(200)));
    let toll = Toll::new((0..400).map(submit).collect());
    scene.until_well(workers).await;
    // From here on a pod almost always has a task, so a loss of a pod loses a task too.
    toll.until(16).await;
    let evicted = scene.well().swap_remove(0);
    scene.evict(&evicted).await;
    let over = |lives: &Lives, name: &String| lives[name].over.is_some();
    scene
        .until("the eviction", |lives| over(lives, &evicted))
        .await;
    scene.until_well(workers).await;
    let first = scene.well();
    scene.delete_all().await;
    let all_over = |lives: &Lives| first.iter().all(|name| over(lives, name));
    scene.until("the end of all", all_over).await;
    scene.until_well(workers).await;
    let open = toll.open();
    let replaced = scene.replacements(workers);
    println!("{open} tasks left, replaced after {replaced:.1?}");
    assert!(open > 0, "the tasks ended before the test did its work");
    let ended = toll.end().await;
    scene.print();
    let told = only_losses(&ended, &scene.lives());
    println!("{told} executions lost");
    assert!(told > 0);
    assert_eq!(replaced.len(), workers + 1);
    assert!(
        replaced.iter().all(|time| *time <= REPLACED),
        "{replaced:?}"
    );
    scene.close().await;
}

#[tokio::test]
async fn a_pod_that_is_stopped_gives_its_task_back_before_its_grace_ends() {
    let Some(pods) = pods() else { return };
    let _quiet = QUIET.lock().await;
    let (lease, grace) = (Duration::from_secs(60), Duration::from_secs(15));
    let mut desk = Desk::open(pods.host()).await;
    let options = pods.options().grace(grace);
    let builder = pods.builder(2).lease(lease).kubernetes(options).retries(0);
    let mut scene = Scene::open(builder).await;
    let submit = |n| scene.pool.submit(visit(desk.address(), n));
    let (first, second) = (submit(0), submit(1));
    let mut both = desk.gather(2).await;
    let (other, deaf) = (both.pop().unwrap(), both.pop().unwrap());
    // From here on the other pod has a free slot, which can take the returned task.
    let free = other.worker.clone();
    other.let_go().await;
    assert_eq!(second.await.unwrap().worker, free);
    let lost = deaf.worker.clone();
    let told = Instant::now();
    scene.delete(&lost, None).await;
    let again = desk.next().await;
    let back = again.at - told;
    println!("given back {back:.1?} after SIGTERM");
    assert_eq!((again.n, again.worker.as_str()), (0, free.as_str()));
    assert!(back < grace, "{back:?}");
    deaf.gone().await;
    again.let_go().await;
    let handle = first.handle();
    assert_eq!(
        first.await.unwrap().attempt,
        1,
        "it was counted as a failure"
    );
    let [attempt] = &handle.attempts()[..] else {
        panic!("one loss should be reported: {:?}", handle.attempts());
    };
    println!("{attempt}: {}", attempt.message);
    assert_eq!(attempt.cause, Cause::Interrupted);
    assert_eq!(attempt.worker.as_deref(), Some(lost.as_str()));
    let lives = scene
        .until("its end", |lives| lives[&lost].removed.is_some())
        .await;
    let life = &lives[&lost];
    assert_eq!(life.exit, Some(143), "{life:?}");
    assert_eq!(attempt.node.as_deref(), Some(life.node.as_str()));
    scene.close().await;
}
