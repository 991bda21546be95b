//! A hundred programs, each from its seed, whose executors end abruptly and are started again: real loops, a ledger of
//! SQLite on the disk, and slots in this process.
//!
//! In the end the ledger has one final result of each task, which a real execution returned, and every result that was
//! given out before is that one. `RESTARTS_SEED` runs one seed alone. Threads decide where exactly an executor ends, so
//! that a seed repeats its program and its ends, and not each step between.

#![cfg(feature = "ledger")]
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use fastrand::Rng;
use futures_util::StreamExt;
use podpool::error::ShutdownError;
use podpool::ledger::{Ledger, Listed, Status};
use podpool::options::{Isolation, LocalOptions};
use podpool::{
    CancelOutcome, PodPoolExecutor, ShutdownBehavior, TaskContext, TaskErrorKind, TaskFuture,
};
use podpool_core::id::TaskId;
use podpool_core::ledger::{Content, Identity};
use podpool_core::task::Call;
use podpool_tests::scratch::Scratch;

podpool::test_slots!();

/// Programs.
const SEEDS: u64 = 100;
/// Programs at a time: each waits for the disk most of its time.
const TOGETHER: usize = 8;
/// Longest time of one program. One takes about a second.
const LIMIT: Duration = Duration::from_secs(50);
/// Calls of each start.
const CALLS: u32 = 30;

/// What a task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Script {
    Quick,
    FailsOnce,
    Fails,
    /// Its program cancels it.
    Endless,
}

/// One execution in a slot: its task, and what it returned.
#[derive(Clone, Copy, Debug)]
struct Execution {
    task: TaskId,
    returned: Option<u64>,
}

/// What ran, by the seed.
static RAN: LazyLock<Mutex<HashMap<u64, Vec<Execution>>>> = LazyLock::new(Mutex::default);

/// Returns a number that no other execution returns.
#[podpool::task(backoff = "1ms..2ms")]
async fn work(ctx: &TaskContext, seed: u64, script: u8, millis: u64) -> anyhow::Result<u64> {
    tokio::time::sleep(Duration::from_millis(millis % 1_000)).await;
    let fails = match script {
        1 => ctx.attempt().0 == 1,
        2 => true,
        _ => false,
    };
    if script == 3 {
        ctx.cancellation().cancelled().await;
    }
    let mut ran = RAN.lock().unwrap();
    let ran = ran.entry(seed).or_default();
    let number = ran.len() as u64;
    ran.push(Execution {
        task: ctx.task(),
        returned: (!fails).then_some(number),
    });
    anyhow::ensure!(!fails, "as its script says");
    Ok(number)
}

/// How an executor ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// It is dropped, without a shutdown.
    Dropped,
    Aborted,
    PendingCancelled,
    /// The next one takes the run while this one works.
    TakenOver,
}

/// A program, and what it has seen.
struct Program {
    seed: u64,
    rng: Rng,
    scripts: Vec<(Script, u64, bool)>,
    scratch: Scratch,
    /// Results that were given out, by the call.
    given: Vec<(usize, u64)>,
    /// Tasks whose cancel was confirmed.
    cancelled: Vec<TaskId>,
    /// Executors whose runs were taken.
    left: Vec<PodPoolExecutor>,
}

impl Program {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let script = |number: u32, rng: &mut Rng| {
            let script = match rng.u8(..10) {
                0 => Script::FailsOnce,
                1 => Script::Fails,
                2 => Script::Endless,
                _ => Script::Quick,
            };
            // Different arguments for each call: its number is a part of them.
            let millis = u64::from(number) * 1_000 + rng.u64(..5);
            (script, millis, rng.bool())
        };
        Self {
            seed,
            scripts: (0..CALLS).map(|number| script(number, &mut rng)).collect(),
            rng,
            scratch: Scratch::new(),
            given: Vec::new(),
            cancelled: Vec::new(),
            left: Vec::new(),
        }
    }

    fn name(&self) -> String {
        format!("seed-{}", self.seed)
    }

    fn call(&self, number: usize) -> Call<u64> {
        let (script, millis, keyed) = self.scripts[number];
        let call = work(self.seed, script as u8, millis).retries(2);
        match keyed {
            true => call.key(format!("key-{number}")),
            false => call,
        }
    }

    /// Which task of the run a call is.
    fn identity(&self, number: usize) -> Identity {
        let parts = self.call(number).into_parts();
        let key = parts.options.and_then(|options| options.key);
        match key {
            Some(key) => Identity::keyed(parts.spec.name, &key),
            None => {
                let content = Content::of(&parts.arguments.unwrap());
                Identity::counted(parts.spec.name, content, 0)
            }
        }
    }

    async fn start(&self, again: bool) -> PodPoolExecutor {
        let threads = LocalOptions::default().isolation(Isolation::InProcess);
        let builder = PodPoolExecutor::builder().local(threads).max_workers(3);
        let builder = builder.run(self.name()).ledger(self.scratch.path());
        // One that was dropped may hold the run for a moment.
        builder.take_over(again).build().await.unwrap()
    }

    /// Makes all calls, in order, and cancels those that would never end.
    async fn make_calls(&mut self, pool: &PodPoolExecutor) -> Vec<TaskFuture<u64>> {
        let mut futures = Vec::new();
        for number in 0..self.scripts.len() {
            futures.push(pool.submit(self.call(number)));
            if self.rng.u8(..8) == 0 {
                tokio::time::sleep(Duration::from_millis(self.rng.u64(..4))).await;
            }
        }
        for (future, (script, ..)) in futures.iter().zip(&self.scripts) {
            if *script == Script::Endless && future.cancel().await != CancelOutcome::AlreadyDone {
                self.cancelled.push(future.id());
            }
        }
        futures
    }

    /// The executor ends before its tasks do.
    async fn end(&mut self, pool: PodPoolExecutor, end: End) {
        match end {
            End::Dropped => drop(pool),
            End::Aborted => pool
                .shutdown_with(ShutdownBehavior::Abort)
                .await
                .unwrap_or_else(|error| panic!("the abort: {error}")),
            End::PendingCancelled => pool
                .shutdown_with(ShutdownBehavior::CancelPending)
                .await
                .unwrap_or_else(|error| panic!("the shutdown: {error}")),
            End::TakenOver => self.left.push(pool),
        }
    }

    async fn run(&mut self) {
        let mut unfinished = Vec::new();
        for start in 0..1 + self.rng.usize(..3) {
            let pool = self.start(start > 0).await;
            let futures = self.make_calls(&pool).await;
            let pause = Duration::from_micros(self.rng.u64(..40_000));
            tokio::time::sleep(pause).await;
            let end = [
                End::Dropped,
                End::Aborted,
                End::PendingCancelled,
                End::TakenOver,
            ];
            let end = end[self.rng.usize(..end.len())];
            self.end(pool, end).await;
            unfinished.push(futures);
        }
        let pool = self.start(true).await;
        let futures = self.make_calls(&pool).await;
        for (number, future) in futures.into_iter().enumerate() {
            let script = self.scripts[number].0;
            let kind = match future.await {
                Ok(result) => {
                    self.given.push((number, result));
                    None
                }
                Err(error) => Some(error.kind()),
            };
            let expected = match script {
                Script::Quick | Script::FailsOnce => None,
                Script::Fails => Some(TaskErrorKind::Failed),
                Script::Endless => Some(TaskErrorKind::Cancelled),
            };
            assert_eq!(kind, expected, "call {number}, {script:?}");
        }
        pool.shutdown().await.unwrap();
        for pool in std::mem::take(&mut self.left) {
            let ended = pool.shutdown_with(ShutdownBehavior::Abort).await;
            let superseded = matches!(ended, Err(ShutdownError::Superseded { .. }));
            assert!(superseded, "its run was taken: {ended:?}");
        }
        for futures in unfinished {
            for (number, future) in futures.into_iter().enumerate() {
                if let Ok(result) = future.await {
                    self.given.push((number, result));
                }
            }
        }
    }

    /// The ledger has one history of each call.
    fn check(&self) {
        let mut run = Ledger::open(self.scratch.path()).run(&self.name()).unwrap();
        let ran = RAN.lock().unwrap().remove(&self.seed).unwrap_or_default();
        let mut histories: HashMap<Identity, Vec<Listed>> = HashMap::new();
        for task in run.tasks().unwrap() {
            histories.entry(task.identity).or_default().push(task);
        }
        for (number, (script, ..)) in self.scripts.iter().enumerate() {
            let history = histories.remove(&self.identity(number)).unwrap();
            let (newest, older) = history.split_last().unwrap();
            let expected = match script {
                Script::Quick | Script::FailsOnce => Status::Done,
                Script::Fails => Status::Failed,
                Script::Endless => Status::Cancelled,
            };
            assert_eq!(newest.status, expected, "call {number}: {history:?}");
            for task in older {
                let unended = [Status::Unended, Status::Done].contains(&task.status);
                assert!(!unended, "call {number}: {history:?}");
            }
            let result = run.result::<u64>(newest.task).unwrap();
            let real = |it: &Execution| it.task == newest.task && it.returned == result;
            assert!(
                result.is_none() || ran.iter().any(real),
                "call {number} returned {result:?}"
            );
            let given = self.given.iter().filter(|(call, _)| *call == number);
            for (_, given) in given {
                assert_eq!(Some(*given), result, "call {number} gave another result");
            }
            for task in &history {
                let of = |it: &&Execution| it.task == task.task && it.returned.is_none();
                let failed = ran.iter().filter(of).count();
                let most = if *script == Script::FailsOnce { 1 } else { 3 };
                assert!(failed <= most, "call {number} failed {failed} times");
                let attempts = run.attempts(task.task).unwrap().len();
                assert!(attempts <= most, "call {number} has {attempts} attempts");
                let cancelled = self.cancelled.contains(&task.task);
                assert!(!cancelled || task.status == Status::Cancelled, "{task:?}");
            }
        }
        assert!(histories.is_empty(), "no call made {histories:?}");
    }
}

async fn run_seed(seed: u64) {
    let mut program = Program::new(seed);
    let ended = tokio::time::timeout(LIMIT, program.run()).await;
    assert!(ended.is_ok(), "seed {seed} has not ended after {LIMIT:?}");
    program.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn executors_that_end_abruptly_leave_one_result_of_each_task() {
    let one = std::env::var("RESTARTS_SEED").ok();
    let seeds = match one.and_then(|seed| seed.parse().ok()) {
        Some(seed) => seed..seed + 1,
        None => 0..SEEDS,
    };
    let runs = seeds.map(|seed| async move {
        let run = tokio::spawn(run_seed(seed));
        (seed, run.await.is_ok())
    });
    let failed = futures_util::stream::iter(runs).buffer_unordered(TOGETHER);
    let failed = failed.filter_map(|(seed, passed)| async move { (!passed).then_some(seed) });
    let failed: Vec<_> = failed.collect().await;
    assert!(failed.is_empty(), "these seeds fail: {failed:?}");
}
