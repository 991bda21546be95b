//! What `.ci/run long` runs: a soak, loops that kill slots and masters, and an outage of the queue.
#![expect(clippy::print_stdout, reason = "the program prints its output")]
#![expect(clippy::unwrap_used, reason = "a failed run ends by a panic")]

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use podpool::testing::Builder as _;
use podpool::{PodPoolExecutor, RunId, TaskErrorKind};
use podpool_tests::bed::built;
use podpool_tests::faults::processes::{Watched, children, signal};
use podpool_tests::faults::tasks::echo_with_process;
use podpool_tests::faults::{describe, end};
use podpool_tests::outage::{HOST, Relay};
use podpool_tests::pubsub::run::{Topics, delete};
use podpool_tests::run::within;
use podpool_tests::tasks;
use rustix::process::Signal;

/// Tasks of one round of a loop.
const ROUND: u64 = 20_000;
/// The largest growth of a soak's memory after its first tenth, in KiB.
const GROWTH: u64 = 16 * 1024;
/// How long slots may outlive their master.
const FOLLOW: Duration = Duration::from_secs(10);

#[podpool::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let mode = arguments.next().unwrap_or_default();
    let number = arguments.next().and_then(|text| text.parse().ok());
    match (mode.as_str(), number) {
        ("soak", Some(seconds)) => soak(Duration::from_secs(seconds)).await,
        ("kill-slots", Some(seconds)) => kill_slots(Duration::from_secs(seconds)).await,
        ("kill-masters", Some(times)) => kill_masters(times).await,
        ("be-killed", _) => be_killed().await,
        ("outage", Some(seconds)) => outage(Duration::from_secs(seconds)).await,
        ("live-through", _) => live_through().await,
        _ => panic!(
            "usage: long-runs soak SECONDS | kill-slots SECONDS | kill-masters TIMES | outage SECONDS"
        ),
    }
}

/// Results, failures, panics, cancels and lost processes, round after round in one pool: every future ends as expected,
/// and memory and descriptors do not grow.
async fn soak(time: Duration) {
    let pool = built(describe(2)).await;
    let began = Instant::now();
    let (mut rounds, mut first) = (0_u64, None);
    while began.elapsed() < time {
        one_of_everything(&pool).await;
        rounds += 1;
        // The first tenth warms up: allocators, buffers and slots reach their working size before the first reading.
        if first.is_none() && began.elapsed() >= time / 10 {
            first = Some((resident(), descriptors()));
        }
    }
    let (memory, open) = first.expect("a soak has more than one round");
    let (memory_now, open_now) = (resident(), descriptors());
    println!(
        "{rounds} rounds of {ROUND} tasks; memory {memory} → {memory_now} KiB, descriptors {open} → {open_now}"
    );
    assert!(memory_now <= memory + GROWTH, "memory grows");
    assert!(open_now <= open + 8, "descriptors are left open");
    end(pool).await;
}

/// One round of a soak.
async fn one_of_everything(pool: &PodPoolExecutor) {
    let futures: Vec<_> = (0..ROUND).map(|n| pool.submit(tasks::echo(n))).collect();
    let cancelled = pool.submit(tasks::slow(0, Duration::from_secs(3_600)));
    let failing = pool.submit(tasks::flaky_twice(9));
    let panicking = pool.submit(tasks::panicking(9));
    let retried = pool.submit(tasks::flaky_twice(1));
    let crashed = pool.submit(tasks::aborting(1));
    for (n, result) in (0..).zip(within("the results", join_all(futures)).await) {
        assert_eq!(result.unwrap(), n);
    }
    within("the cancel", cancelled.cancel()).await;
    let kind = |result: Result<u32, podpool::TaskError>| result.unwrap_err().kind();
    let cancelled = within("the cancelled one", cancelled).await.unwrap_err();
    assert_eq!(cancelled.kind(), TaskErrorKind::Cancelled);
    let failing = within("the failing one", failing).await;
    assert_eq!(kind(failing), TaskErrorKind::Failed);
    let panicking = within("the panicking one", panicking).await;
    assert_eq!(kind(panicking), TaskErrorKind::Panicked);
    within("the retried one", retried).await.unwrap();
    within("the crashed one", crashed).await.unwrap();
}

/// All slots are killed again and again while results come: no result is lost, and none is that of another task.
async fn kill_slots(time: Duration) {
    let pool = built(describe(3)).await;
    let began = Instant::now();
    let (mut killed, mut crashed, mut rounds) = (HashSet::new(), 0, 0_u64);
    while began.elapsed() < time {
        rounds += 1;
        let futures: Vec<_> = (0..ROUND)
            .map(|n| pool.submit(echo_with_process(n)))
            .collect();
        let expected: HashMap<_, _> = futures
            .iter()
            .map(podpool::TaskFuture::id)
            .zip(0..)
            .collect();
        let mut ended = podpool::as_completed(futures);
        let (mut seen, mut calm) = (0, 0);
        while let Some(future) = within("the next end", ended.next()).await {
            seen += 1;
            let id = future.id();
            match future.await {
                Ok((n, slot)) => {
                    assert_eq!(Some(&n), expected.get(&id));
                    // Results of slots that were killed earlier may still arrive; those of new slots show progress.
                    calm += usize::from(!killed.contains(&slot));
                }
                Err(error) => {
                    assert_eq!(error.kind(), TaskErrorKind::Crashed, "{error}");
                    crashed += 1;
                }
            }
            // 500 results between two kills leave time for the retries of a round: a task that loses its slot too often
            // ends as `Crashed`, which the arm above accepts.
            if calm >= 500 {
                calm = 0;
                let slots = children(std::process::id()).into_iter();
                killed.extend(slots.filter(|slot| signal(*slot, Signal::KILL)));
            }
        }
        assert_eq!(seen, ROUND, "a future did not end, or ended twice");
    }
    println!(
        "{rounds} rounds of {ROUND} tasks, {} slots killed, {crashed} tasks crashed",
        killed.len()
    );
    assert!(killed.len() > 20, "only {} slots were killed", killed.len());
    end(pool).await;
}

/// Masters that are killed while their tasks run: the slots of a killed master end too.
async fn kill_masters(times: u64) {
    for time in 1..=times {
        let began = Instant::now();
        let mut master = Command::new(std::env::current_exe().unwrap())
            .arg("be-killed")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(master.stdout.take().unwrap()).lines();
        let slots: Vec<u32> = lines
            .map_while(Result::ok)
            .take(2)
            .map(|line| line.parse().unwrap())
            .collect();
        assert_eq!(slots.len(), 2, "the master ended before its slots began");
        // The descriptors are opened before the kill: afterwards a process id might be that of another process.
        let slots: Vec<_> = slots.into_iter().filter_map(Watched::find).collect();
        master.kill().unwrap();
        master.wait().unwrap();
        for slot in slots {
            let ended = slot.ends_within(FOLLOW).await;
            assert!(ended, "slot {} outlives master {time}", slot.pid);
        }
        println!("master {time}: {:.1?}", began.elapsed());
    }
}

/// A master with two busy slots. The process ids of the slots are printed.
async fn be_killed() {
    let pool = built(describe(2)).await;
    let gate = podpool_tests::gate::Gate::new();
    let mut held = Vec::new();
    let mut guests = Vec::new();
    for name in 0..2 {
        held.push(pool.submit(tasks::hold(gate.address(), name)));
        guests.push(gate.arrival().await);
    }
    for slot in children(std::process::id()) {
        println!("{slot}");
    }
    join_all(held).await;
}

/// The queue's server cannot be reached for a while, in the middle of a run: the run continues after the outage.
async fn outage(time: Duration) {
    let server = std::env::var(HOST).expect("PUBSUB_EMULATOR_HOST names the server");
    let relay = Relay::open(server).await;
    let mut program = tokio::process::Command::new(std::env::current_exe().unwrap())
        .arg("live-through")
        .env(HOST, relay.address())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let lines = tokio::io::BufReader::new(program.stdout.take().unwrap());
    let mut lines = tokio::io::AsyncBufReadExt::lines(lines);
    let heard = within("the first results", lines.next_line())
        .await
        .unwrap();
    assert_eq!(heard.as_deref(), Some("under way"));
    relay.close().await;
    println!("the queue is gone for {} s", time.as_secs());
    // The sleep is the outage: its length is the argument of this run.
    tokio::time::sleep(time).await;
    relay.reopen().await;
    let back = Instant::now();
    let ended = tokio::time::timeout(Duration::from_secs(120), program.wait()).await;
    let status = ended.expect("the run ends within two minutes of the outage's end");
    assert!(status.unwrap().success(), "the run failed");
    println!("the run ended {:.1?} after the outage", back.elapsed());
}

/// The run that survives an outage.
async fn live_through() {
    const TASKS: u64 = 2_000;
    let run = RunId::new(&format!("outage-{}", RunId::random())).unwrap();
    let topics = Topics::make(&run);
    let builder = describe(2)
        .run(run.to_string())
        .decorate_queues(Arc::new(move |name, _| topics.queue(name)));
    let pool = built(builder).await;
    let nap = Duration::from_millis(20);
    let mut futures = (0..TASKS)
        .map(|n| pool.submit(tasks::slow(n, nap)))
        .collect::<Vec<_>>();
    let first = futures.remove(0);
    within("the first result", first).await.unwrap();
    println!("under way");
    for (n, future) in (1..).zip(futures) {
        assert_eq!(future.await.unwrap(), n);
    }
    pool.shutdown().await.unwrap();
    delete(&run).await;
}

/// This process's memory, in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.and_then(|line| line.split_ascii_whitespace().nth(1));
    number.unwrap().parse().unwrap()
}

/// Descriptors that this process has open.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}
