//! The ends of many tasks: each task resolves once, with its own value, and its attempts show causes and workers.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use podpool::TaskFuture;
use podpool::error::{AttemptReport, Cause};
use tokio::sync::watch;
use tokio::time::timeout;

use super::scene::Lives;
use super::work::Ran;

/// The longest that all tasks may take.
const BOUND: Duration = Duration::from_secs(240);

/// Tasks of one run, numbered from 0.
#[derive(Debug)]
pub struct Toll {
    futures: Vec<TaskFuture<Ran>>,
    settled: Arc<[AtomicU32]>,
    times: mpsc::Receiver<(usize, Instant)>,
    ended: watch::Receiver<usize>,
}

/// A task that has ended well.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The execution that gave the result.
    pub ran: Ran,
    /// The attempts before that execution.
    pub attempts: Vec<AttemptReport>,
    /// When the master called the task's callback.
    pub at: Instant,
}

impl Toll {
    /// Counts how often each task is settled, from now on.
    #[must_use]
    pub fn new(futures: Vec<TaskFuture<Ran>>) -> Self {
        let settled: Arc<[AtomicU32]> = futures.iter().map(|_| AtomicU32::new(0)).collect();
        let (tell, times) = mpsc::channel();
        let (count, ended) = watch::channel(0);
        let count = Arc::new(count);
        for (n, future) in futures.iter().enumerate() {
            let (settled, tell, count) = (settled.clone(), tell.clone(), count.clone());
            future.on_done(move |_| {
                settled[n].fetch_add(1, Ordering::Relaxed);
                // The receiver is gone when the test has failed.
                tell.send((n, Instant::now())).ok();
                count.send_modify(|ended| *ended += 1);
            });
        }
        Self {
            futures,
            settled,
            times,
            ended,
        }
    }

    /// Waits until so many tasks have ended.
    ///
    /// # Panics
    /// If they take longer than all tasks may take.
    pub async fn until(&self, enough: usize) {
        let mut ended = self.ended.clone();
        let wait = timeout(BOUND, ended.wait_for(|ended| *ended >= enough));
        let waited = wait.await.map(|waited| waited.map(drop));
        assert!(
            matches!(waited, Ok(Ok(()))),
            "fewer than {enough} tasks ended"
        );
    }

    /// How many tasks have not ended.
    #[must_use]
    pub fn open(&self) -> usize {
        let open = self.futures.iter().filter(|future| !future.is_done());
        open.count()
    }

    /// Waits for all tasks: each must return its own number, and be settled once.
    ///
    /// # Panics
    /// If a task does not, or the time is over.
    pub async fn end(self) -> Vec<Ended> {
        let handles: Vec<_> = self.futures.iter().map(TaskFuture::handle).collect();
        let all = futures_util::future::join_all(self.futures);
        let Ok(results) = timeout(BOUND, all).await else {
            let open: Vec<_> = handles.iter().filter(|one| !one.is_done()).collect();
            panic!("{} tasks have not ended: {:?}", open.len(), open.first());
        };
        let mut at = vec![None; results.len()];
        for _ in 0..results.len() {
            // Callbacks run on a thread of their own, so a future may resolve a little before its callback has run.
            let told = self.times.recv_timeout(BOUND);
            let (n, time) = told.expect("a task was settled without its callback");
            at[n] = Some(time);
        }
        let mut ended = Vec::with_capacity(results.len());
        for ((n, result), handle) in (0..).zip(results).zip(handles) {
            let ran = result.unwrap_or_else(|error| panic!("task {n}: {error:?}"));
            assert_eq!(ran.n, n, "the result of another task");
            ended.push(Ended {
                ran,
                attempts: handle.attempts(),
                at: at[ended.len()].expect("one callback came twice"),
            });
        }
        for (n, times) in self.settled.iter().enumerate() {
            let times = times.load(Ordering::Relaxed);
            assert_eq!(times, 1, "task {n} was settled {times} times");
        }
        ended
    }
}

/// Losses of pods are reported with pod and node, and none counts as a failure. Returns how many were reported.
///
/// # Panics
/// If an attempt reports anything else.
pub fn only_losses(ended: &[Ended], lives: &Lives) -> usize {
    let mut told = 0;
    for attempt in ended.iter().flat_map(|one| &one.attempts) {
        assert_eq!(attempt.cause, Cause::Interrupted, "{attempt:?}");
        let worker = attempt.worker.as_deref();
        let worker = worker.unwrap_or_else(|| panic!("where was it? {attempt:?}"));
        let life = lives.get(worker);
        let life = life.unwrap_or_else(|| panic!("{worker} was no pod: {attempt:?}"));
        assert_eq!(
            attempt.node.as_deref(),
            Some(life.node.as_str()),
            "{attempt:?}"
        );
        told += usize::from(life.over.is_some());
    }
    told
}
