//! The report of one attempt that gave no result.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::id::{Attempt, ExecutionId};
use crate::outcome::{Cause, Exit, Failure, Ran, cut, cut_all};
use crate::place::WorkerPlace;
use crate::size::size;

/// Most bytes of a message, of causes and of lines that are kept of an attempt before the last.
const EARLIER: usize = 4 << 10;
/// Most attempts that are kept of a task, and how many of them are its first.
// Bounds the memory of a task that is lost again and again: 64 reports of 3 × 4 KiB are 768 KiB, and the last may have
// 64 KiB.
const KEPT: usize = 64;
const KEPT_FIRST: usize = 16;

/// The known facts of an attempt that gave no result. A field is empty if its value is unknown.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AttemptReport {
    /// Which attempt, from 1.
    pub attempt: Attempt,
    /// The execution that reported or was lost; none when no worker had taken it.
    pub execution: Option<ExecutionId>,
    /// The worker's name: a pod's, or `local`.
    pub worker: Option<Arc<str>>,
    /// The node's name: the worker's host.
    pub node: Option<Arc<str>>,
    /// The process id of the slot, on that host; none when no slot had begun it, or the slot was a thread.
    pub pid: Option<u32>,
    /// Where the worker runs, as its fleet reports it; none on one machine, and while the cluster has not shown its
    /// pod.
    pub place: Option<Arc<WorkerPlace>>,
    /// When it started, for people; none when it did not start, or nobody reported that. By the master's clock: the
    /// worker's time, corrected by the difference of the two clocks that its messages of the last minutes show, so it
    /// is late by the time of the fastest of them. Of an attempt whose result was sent to an earlier master, and of one
    /// that was lost, it is as exact as what is known: the worker's own clock, or when the master read of its begin.
    pub started: Option<SystemTime>,
    /// How long it waited from its publish until it started, with the time of executions of it that were lost before.
    /// None where it did not start, and where an earlier master published it.
    pub queued: Option<Duration>,
    /// How long it ran, by a monotonic clock of its host.
    pub elapsed: Option<Duration>,
    /// Why there is no result.
    pub cause: Cause,
    /// Whether another attempt may succeed: false for an error that [`permanent`](crate::permanent()) or `retry_on` marks
    /// as final, and for what is rejected.
    pub retryable: bool,
    /// The event in one sentence; the task's own message if it failed or panicked, without its causes: those are in
    /// [`chain`](Self::chain). Message, causes and lines are cut to 64 KiB in all, for attempts before the last to 4
    /// KiB each, and marked where they are cut.
    pub message: String,
    /// The causes of the task's error, outermost first: what `anyhow::Context` wrapped, and sources.
    pub chain: Vec<String>,
    /// How the slot's process ended, where it did.
    pub exit: Option<Exit>,
    /// Highest resident set of the slot's process since its start, in bytes, as far as it was sampled: when the
    /// failure was reported, before a kill, every 50 ms under a memory limit. For a slot that crashed it may be no more
    /// than the value at the time when its first task was sent.
    pub peak_rss: Option<u64>,
    /// CPU time of the execution.
    pub cpu: Option<Duration>,
    /// The last lines that the task printed.
    pub output: Vec<String>,
}

impl AttemptReport {
    /// The report of a failure, before anything is known of where it happened.
    #[doc(hidden)]
    #[must_use]
    pub fn new(attempt: Attempt, failure: Failure) -> Self {
        let Ran { started, pid, cpu } = failure.ran.map(|ran| *ran).unwrap_or_default();
        Self {
            attempt,
            execution: None,
            worker: None,
            node: None,
            pid,
            place: None,
            started,
            queued: None,
            elapsed: None,
            cause: failure.cause,
            retryable: failure.retryable,
            message: failure.message,
            chain: failure.chain,
            exit: failure.exit,
            peak_rss: failure.peak_rss,
            cpu,
            output: failure.output,
        }
    }

    /// The pod of the worker.
    #[must_use]
    pub fn pod(&self) -> Option<&str> {
        self.place.as_ref()?.pod.as_deref()
    }

    /// The zone of the worker's node.
    #[must_use]
    pub fn zone(&self) -> Option<&str> {
        self.place.as_ref()?.zone.as_deref()
    }

    /// Whether the worker's node is a spot machine, which the provider may take away at any time.
    #[must_use]
    pub fn is_spot(&self) -> Option<bool> {
        self.place.as_ref()?.spot
    }

    /// The digest of the image that the worker runs.
    #[must_use]
    pub fn image(&self) -> Option<&str> {
        self.place.as_ref()?.image.as_deref()
    }

    /// When the attempt was published, by the master's clock.
    #[must_use]
    pub fn published(&self) -> Option<SystemTime> {
        self.started?.checked_sub(self.queued?)
    }

    /// Adds an attempt to the earlier ones. A task may have many: the report of the attempt before it is shortened, and
    /// those in the middle are not kept.
    #[doc(hidden)]
    pub fn keep(attempts: &mut Vec<Self>, story: Self) {
        if let Some(before) = attempts.last_mut() {
            before.shorten();
        }
        if attempts.len() >= KEPT {
            // The first ones show how the failures began, the last ones how they ended; of those in the middle the
            // oldest is removed. Moving 48 reports is cheap beside the attempt itself.
            attempts.remove(KEPT_FIRST);
        }
        attempts.push(story);
    }

    /// How many attempts these are, with those that were not kept, and whether that is exact: executions that were lost
    /// share an attempt's number, so the newest number may be less than the count.
    #[doc(hidden)]
    #[must_use]
    pub fn count(attempts: &[Self]) -> (usize, bool) {
        let kept = attempts.len();
        let newest = attempts.last().filter(|_| kept >= KEPT);
        let number = newest.and_then(|newest| usize::try_from(newest.attempt.0).ok());
        match number {
            Some(number) => (number.max(kept), number > kept),
            None => (kept, true),
        }
    }

    /// Shortens its texts.
    fn shorten(&mut self) {
        cut(&mut self.message, EARLIER);
        cut_all(&mut self.chain, EARLIER);
        cut_all(&mut self.output, EARLIER);
    }

    /// Where it ran: `on worker pool-0 (node n1, zone z1, spot, pid 77)`.
    fn write_place(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(worker) = &self.worker else {
            return Ok(());
        };
        write!(f, " on worker {worker}")?;
        let node = self.node.as_ref().map(|node| format!("node {node}"));
        let place = self.place.as_ref().map(|place| place.to_string());
        let pid = self.pid.map(|pid| format!("pid {pid}"));
        let known = [node, place.filter(|place| !place.is_empty()), pid];
        let known: Vec<_> = known.into_iter().flatten().collect();
        match known.is_empty() {
            true => Ok(()),
            false => write!(f, " ({})", known.join(", ")),
        }
    }
}

/// One line, without the task's own message: `attempt 2 on worker pool-0 (node n1) crashed its process after 1.2s, …`.
impl fmt::Display for AttemptReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attempt {}", self.attempt)?;
        self.write_place(f)?;
        write!(f, " {}", self.cause.phrase())?;
        if let Some(elapsed) = self.elapsed {
            write!(f, " after {elapsed:.1?}")?;
        }
        if let Some(queued) = self.queued {
            write!(f, ", queued for {queued:.1?}")?;
        }
        if let Some(exit) = self.exit {
            write!(f, ", {exit}")?;
        }
        if let Some(bytes) = self.peak_rss {
            // Memory that a process took after its last sample is not known once it has exited.
            let least = if self.exit.is_some() { "at least " } else { "" };
            write!(f, ", peak memory {least}{}", size(bytes))?;
        }
        if let Some(cpu) = self.cpu {
            write!(f, ", CPU {cpu:.1?}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_one_line_of_the_known_facts() {
        let mut report = AttemptReport::new(Attempt(2), Failure::new(Cause::Crashed, "gone"));
        assert_eq!(report.to_string(), "attempt 2 crashed its process");
        report.worker = Some("pool-0".into());
        report.node = Some("n1".into());
        report.pid = Some(77);
        report.elapsed = Some(Duration::from_millis(1240));
        report.exit = Some(Exit::Signal(11));
        report.peak_rss = Some(3 << 20);
        assert_eq!(
            report.to_string(),
            "attempt 2 on worker pool-0 (node n1, pid 77) crashed its process after 1.2s, \
             signal 11 (SIGSEGV), peak memory at least 3 MiB"
        );
        report.queued = Some(Duration::from_millis(3_400));
        report.place = Some(Arc::new(WorkerPlace {
            zone: Some("z1".into()),
            spot: Some(true),
            ..WorkerPlace::default()
        }));
        report.exit = None;
        report.peak_rss = None;
        assert_eq!(
            report.to_string(),
            "attempt 2 on worker pool-0 (node n1, zone z1, spot, pid 77) crashed its process after 1.2s, \
             queued for 3.4s"
        );
        assert_eq!((report.zone(), report.is_spot()), (Some("z1"), Some(true)));
        assert_eq!((report.pod(), report.image()), (None, None));
        assert_eq!(report.published(), None, "it is not known when it started");
        report.started = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(60));
        let published = SystemTime::UNIX_EPOCH + Duration::from_millis(56_600);
        assert_eq!(report.published(), Some(published));
    }

    #[test]
    fn of_many_attempts_the_first_and_the_last_are_kept_and_all_are_counted() {
        let story = |n| AttemptReport::new(Attempt(n), Failure::new(Cause::Failed, "x"));
        let mut attempts = Vec::new();
        for n in 1..=63 {
            AttemptReport::keep(&mut attempts, story(n));
        }
        assert_eq!(AttemptReport::count(&attempts), (63, true));
        for n in 64..=1_000 {
            AttemptReport::keep(&mut attempts, story(n));
        }
        assert_eq!(AttemptReport::count(&attempts), (1_000, true));
        let numbers: Vec<_> = attempts.iter().map(|story| story.attempt.0).collect();
        let kept: Vec<_> = (1..=16).chain(953..=1_000).collect();
        assert_eq!(numbers, kept);
        assert_eq!(AttemptReport::count(&[]), (0, true));
        AttemptReport::keep(&mut attempts, story(20));
        assert_eq!(AttemptReport::count(&attempts), (64, false));
    }
}
