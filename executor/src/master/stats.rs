//! Counts of a run: what the executor's thread writes after each turn, and any thread reads.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use crate::lock::lock;
use crate::master::cell::TaskState;
use crate::master::events::TaskInfo;
use crate::master::mailbox::Submitted;

/// The time over which [`Stats::rate`] is measured.
// Long enough to hold several ends of tasks that take seconds, short enough that a lost worker shows within it.
const RATE: Duration = Duration::from_secs(10);
/// Shortest time between two samples of the rate.
const SAMPLE: Duration = Duration::from_secs(1);

/// Counts of a run at one moment, by [`PodPoolExecutor::stats`](crate::PodPoolExecutor::stats).
///
/// `submitted` is always `pending + running + done + failed + cancelled`. A task that was refused because the executor
/// had been shut down, or had broken, is in none of them.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Tasks that were submitted so far, with those that were rejected. A map submits what its window allows, so this
    /// number grows during the map. Calls that joined a task of the same run are that task. Tasks that an earlier master
    /// of the run left on a cluster are among them.
    pub submitted: u64,
    /// Tasks that wait: for a worker, a slot, or their next attempt.
    pub pending: u64,
    /// Tasks that a worker has reported as begun, as [`TaskState::Running`](crate::TaskState::Running): some of them may
    /// wait there for a free slot, so they may be more than [`Workers::slots`]. A worker reports a batch of 10 ms of work or
    /// more; tasks of shorter batches are pending until they end.
    pub running: u64,
    /// Tasks with a result.
    pub done: u64,
    /// Those of them whose results a ledger had: nothing was computed for them.
    pub stored: u64,
    /// Tasks that ended without a result, but for cancelled ones: also those that `Abort` or a broken pool ended.
    pub failed: u64,
    /// Tasks that were cancelled.
    pub cancelled: u64,
    /// Attempts that were followed by another one.
    pub retried: u64,
    /// Executions that were lost with their worker, and came again.
    pub lost: u64,
    /// Tasks that ended for each second, over the last ten seconds.
    pub rate: f64,
    /// The workers.
    pub workers: Workers,
    /// The oldest task that has not ended, of those that the executor has taken in.
    pub oldest: Option<Oldest>,
}

impl Stats {
    /// Tasks that have ended.
    #[must_use]
    pub const fn ended(&self) -> u64 {
        self.done + self.failed + self.cancelled
    }
}

/// One line: `120 of 365 tasks ended (2 failed), 8 running, 3.1 per second; 4 workers with 8 slots`.
impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} tasks ended", self.ended(), self.submitted)?;
        match (self.failed, self.cancelled) {
            (0, 0) => {}
            (failed, 0) => write!(f, " ({failed} failed)")?,
            (0, cancelled) => write!(f, " ({cancelled} cancelled)")?,
            (failed, cancelled) => write!(f, " ({failed} failed, {cancelled} cancelled)")?,
        }
        write!(f, ", {} running, {:.1} per second", self.running, self.rate)?;
        write!(f, "; {}", self.workers)
    }
}

/// The workers of a run by state. On this machine there is one, called `local`, and its slots are the child processes;
/// on a cluster each pod is one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Workers {
    /// How many the tasks that have not ended can use: `max_workers` at most on a cluster, 1 at most on this machine.
    pub wanted: u32,
    /// Those that run or are starting, and are not ready: they have not greeted, send no messages, or their slots do not
    /// start.
    pub starting: u32,
    /// Those that have greeted and whose messages come.
    pub ready: u32,
    /// Slots of those that are ready: how many tasks run at once.
    pub slots: usize,
    /// Why the others do not run, as the fleet reports it: `no node has enough memory for a worker (…)`.
    pub reason: Option<Arc<str>>,
}

/// `4 workers with 8 slots, 2 starting (…)`.
impl fmt::Display for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let workers = if self.ready == 1 { "worker" } else { "workers" };
        let slots = if self.slots == 1 { "slot" } else { "slots" };
        write!(f, "{} {workers} with {} {slots}", self.ready, self.slots)?;
        if self.starting > 0 {
            write!(f, ", {} starting", self.starting)?;
        }
        match &self.reason {
            Some(reason) => write!(f, " ({reason})"),
            None => Ok(()),
        }
    }
}

/// The oldest task that has not ended.
// Its state is that of its future: a task of a batch that a worker has begun is `Running`, though it may wait there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Oldest {
    /// Which task.
    pub task: TaskInfo,
    /// Whether a worker has reported it as begun.
    pub state: TaskState,
    /// Why it waits; none while it runs.
    pub waits: Option<Waits>,
}

/// Why a task waits.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Waits {
    /// For its next attempt: the last one failed, and the backoff is not over.
    Retry,
    /// For a worker: none of those that can run it is ready. [`Workers::reason`] has the fleet's reason.
    Worker,
    /// For memory: what it declares is more than running tasks leave of what all share. See
    /// [`LocalOptions::memory`](crate::options::LocalOptions::memory).
    Memory,
    /// For the queue: it takes nothing at present, for this reason.
    Queue(Arc<str>),
    /// For the ledger: its result is stored, and is being read; or nothing can be stored at present, for this reason.
    Ledger(Option<Arc<str>>),
    /// For its turn: every slot has work before it, or a worker has it and has not reported it as begun.
    Slot,
}

impl fmt::Display for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retry => f.write_str("waits for its next attempt"),
            Self::Worker => f.write_str("waits for a worker: none is ready"),
            Self::Memory => f.write_str("waits until enough memory is free"),
            Self::Queue(reason) => write!(f, "waits for the queue: {reason}"),
            Self::Ledger(None) => f.write_str("waits until its stored result is read"),
            Self::Ledger(Some(reason)) => write!(f, "waits for the ledger: {reason}"),
            Self::Slot => f.write_str("waits for a free slot"),
        }
    }
}

/// What the executor's thread counts. Each task that has ended is in one of the first three.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) done: u64,
    pub(crate) stored: u64,
    /// Calls that are tasks of other calls.
    pub(crate) joined: u64,
    /// Tasks that no call of this process was, when they were taken in.
    pub(crate) adopted: u64,
    pub(crate) failed: u64,
    pub(crate) cancelled: u64,
    pub(crate) running: u64,
    pub(crate) retried: u64,
    pub(crate) lost: u64,
}

impl Counts {
    pub(crate) const fn ended(&self) -> u64 {
        self.done + self.failed + self.cancelled
    }

    /// A task ended in this state.
    pub(crate) fn end(&mut self, state: TaskState) {
        match state {
            TaskState::Done => self.done += 1,
            TaskState::Cancelled => self.cancelled += 1,
            _ => self.failed += 1,
        }
    }
}

/// The newest counts of a run. The executor's thread writes them, once for each of its turns.
// One short lock for a turn, which takes in a message of many results: counts that belong together are read together,
// and a run in which nobody reads pays some nanoseconds for each message.
#[derive(Debug, Default)]
pub(crate) struct Board(Mutex<Written>);

/// What is written there.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) counts: Counts,
    pub(crate) workers: Workers,
    pub(crate) oldest: Option<Oldest>,
    samples: Samples,
}

impl Written {
    /// Replaces the counts.
    pub(crate) fn set_counts(&mut self, now: Instant, counts: Counts) {
        self.counts = counts;
        self.samples.note(now, counts.ended());
    }
}

impl Board {
    /// Writes. `change` must not wait for anything.
    pub(crate) fn write(&self, change: impl FnOnce(&mut Written)) {
        change(&mut lock(&self.0));
    }

    /// The counts now. The mailbox is read while the counts stand still.
    pub(crate) fn read(&self, now: Instant, mailbox: impl FnOnce() -> Submitted) -> Stats {
        let written = lock(&self.0);
        // After the lock: a task is submitted before it ends, so that no more can have ended than were submitted.
        let Submitted {
            all: submitted,
            rejected,
            gone,
        } = mailbox();
        let mut counts = written.counts;
        counts.failed += rejected;
        let submitted = (submitted + counts.adopted).saturating_sub(counts.joined);
        let left = submitted.saturating_sub(counts.ended());
        // Tasks that were left behind by an executor that has gone were ended with an error.
        let (running, failed) = match gone {
            true => (0, counts.failed + left),
            false => (counts.running.min(left), counts.failed),
        };
        Stats {
            submitted,
            pending: if gone { 0 } else { left - running },
            running,
            done: counts.done,
            stored: counts.stored,
            failed,
            cancelled: counts.cancelled,
            retried: counts.retried,
            lost: counts.lost,
            rate: written.samples.rate(now, written.counts.ended()),
            workers: if gone {
                Workers::default()
            } else {
                written.workers.clone()
            },
            // Written at the end of a turn, and the counts within it: the last task may have ended since.
            oldest: written.oldest.clone().filter(|_| !gone && left > 0),
        }
    }
}

/// How many tasks had ended at some moments of the last [`RATE`], and one before it.
#[derive(Debug, Default)]
struct Samples {
    taken: VecDeque<(Instant, u64)>,
    /// When that number changed last.
    newest: Option<(Instant, u64)>,
}

impl Samples {
    /// So many tasks have ended by now.
    fn note(&mut self, now: Instant, ended: u64) {
        let Some((last, _)) = self.taken.back().copied() else {
            // The rate is measured from the first turn in which the executor has something to count.
            self.taken.push_back((now, ended));
            self.newest = Some((now, ended));
            return;
        };
        if now.saturating_duration_since(last) >= SAMPLE {
            // What ended between two samples counts for the time when it ended, and not for a pause after it.
            self.taken.extend(self.newest.filter(|(at, _)| *at > last));
            self.taken.push_back((now, ended));
            // One that is older than the time stays: the rate is measured from it.
            while let Some((second, _)) = self.taken.get(1)
                && now.saturating_duration_since(*second) >= RATE
            {
                self.taken.pop_front();
            }
        }
        if self.newest.is_none_or(|(_, before)| before != ended) {
            self.newest = Some((now, ended));
        }
    }

    /// Ends for each second since the newest sample that is old enough, else since the first.
    fn rate(&self, now: Instant, ended: u64) -> f64 {
        let age = |at: Instant| now.saturating_duration_since(at);
        if self.newest.is_none_or(|(at, _)| age(at) >= RATE) {
            return 0.0;
        }
        let old = self.taken.iter().rev().find(|(at, _)| age(*at) >= RATE);
        let Some((at, before)) = old.or_else(|| self.taken.front()) else {
            return 0.0;
        };
        // A shorter time would make a number out of chance. A longer one is a pause, in which nothing ended.
        let time = age(*at).clamp(SAMPLE, RATE + SAMPLE);
        let seconds = time.as_secs_f64();
        #[expect(
            clippy::cast_precision_loss,
            reason = "a rate needs no more than 52 bits"
        )]
        let ended = ended.saturating_sub(*before) as f64;
        ended / seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(done: u64, running: u64) -> Counts {
        Counts {
            done,
            running,
            ..Counts::default()
        }
    }

    fn all(all: u64, gone: bool) -> Submitted {
        Submitted {
            all,
            gone,
            rejected: 0,
        }
    }

    #[test]
    fn the_parts_are_always_the_whole() {
        let now = Instant::now();
        let board = Board::default();
        assert_eq!(board.read(now, || all(0, false)), Stats::default());
        board.write(|it| it.set_counts(now, counts(3, 4)));
        let stats = board.read(now, || all(9, false));
        assert_eq!((stats.pending, stats.running, stats.done), (2, 4, 3));
        // A worker reported tasks as begun that have ended since.
        let stats = board.read(now, || all(5, false));
        assert_eq!((stats.pending, stats.running, stats.done), (0, 2, 3));
        let task = TaskInfo::new(podpool_core::id::TaskId(8), "a::b", None);
        board.write(|it| {
            it.oldest = Some(Oldest {
                task,
                state: TaskState::Pending,
                waits: Some(Waits::Slot),
            });
        });
        assert!(board.read(now, || all(4, false)).oldest.is_some());
        assert_eq!(board.read(now, || all(3, false)).oldest, None);
        let rejected = Submitted {
            rejected: 2,
            ..all(9, false)
        };
        let stats = board.read(now, || rejected);
        assert_eq!((stats.pending, stats.running, stats.failed), (0, 4, 2));
        let stats = board.read(now, || all(9, true));
        assert_eq!((stats.pending, stats.running, stats.failed), (0, 0, 6));
        assert_eq!(stats.ended(), stats.submitted);
    }

    #[test]
    fn the_rate_is_that_of_the_last_ten_seconds() {
        let start = Instant::now();
        let board = Board::default();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let rate = |now| board.read(now, || all(100_000, false)).rate;
        for second in 0..=30 {
            board.write(|it| it.set_counts(at(second), counts(second * 100, 0)));
            if second > 0 {
                assert!((rate(at(second)) - 100.0).abs() < 0.1, "{second}");
            }
        }
        // Nothing ends any more.
        assert!(rate(at(35)) < 60.0);
        assert!(rate(at(40)).abs() < f64::EPSILON);
        // A burst between two samples counts for ten seconds, and so does one task after it.
        let half = Duration::from_millis(500);
        board.write(|it| it.set_counts(at(100), counts(3_000, 0)));
        board.write(|it| it.set_counts(at(100) + half, counts(53_000, 0)));
        assert!(rate(at(109)) > 4_000.0);
        board.write(|it| it.set_counts(at(105), counts(53_001, 0)));
        assert!(rate(at(111)) < 0.2);
        assert!(rate(at(300)).abs() < f64::EPSILON);
        let written = lock(&board.0);
        assert!(written.samples.taken.len() <= 24);
    }

    #[test]
    fn statistics_are_one_line() {
        let mut stats = Stats {
            submitted: 365,
            done: 118,
            failed: 2,
            running: 8,
            rate: 3.12,
            ..Stats::default()
        };
        stats.workers.ready = 1;
        stats.workers.slots = 8;
        let line =
            "120 of 365 tasks ended (2 failed), 8 running, 3.1 per second; 1 worker with 8 slots";
        assert_eq!(stats.to_string(), line);
        stats.workers.starting = 3;
        stats.workers.reason = Some("no node has enough memory".into());
        assert_eq!(
            stats.to_string(),
            format!("{line}, 3 starting (no node has enough memory)")
        );
    }
}
