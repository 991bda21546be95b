//! Notices about attempts that failed and about queues that refuse: pure, with the time as a parameter.
//!
//! A thousand attempts may fail in a second, and a queue refuses each of many calls. One line is printed at once;
//! failures soon after it are counted.

use std::fmt::Display;
use std::time::Duration;

use podpool_core::instant::after;
use podpool_core::queue::publisher::Publisher;
use tokio::time::Instant;

/// Attempts that fail so soon after a line about one are reported together.
// Twelve lines a minute at most. At half twice as many; at double a user waits longer for the number of failures.
const TOGETHER: Duration = Duration::from_secs(5);
/// How long a queue must refuse until a notice: calls in a short outage are repeated, and no task fails by it.
// The pause of a publisher doubles from 50 ms: seven calls or more have been refused by then. At half a restart of a
// service gives a line; at double the user sees tasks stand still without one.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long an answer must be missing until a notice: large messages take their time.
// Longer than `PATIENCE`, because a call that has no answer yet may still succeed, which one that was refused has not.
const SILENCE: Duration = Duration::from_secs(10);
/// Most characters of a task's own message in a line.
const MESSAGE: usize = 200;

/// Attempts that failed and whose tasks are tried again.
#[derive(Debug, Default)]
pub(super) struct Retries {
    /// Until then attempts that fail are held.
    until: Option<Instant>,
    /// How many are held, and the text about the first.
    held: u64,
    first: String,
    /// Lines to be printed.
    lines: Vec<String>,
}

impl Retries {
    /// An attempt failed; `what` tells which and why, and `next` when its task is tried again. A line that is printed
    /// later leaves `next` out: the next attempt is over by then, and may have failed for good.
    // Closures, because a text is made for the first of many failures alone.
    pub(super) fn failed(
        &mut self,
        now: Instant,
        what: impl FnOnce() -> String,
        next: impl FnOnce() -> String,
    ) {
        // A time that is over must not hold this failure: the loop's tick may come after the message.
        self.on_tick(now);
        if self.until.is_none() {
            self.lines.push(what() + &next());
            self.until = Some(after(now, TOGETHER));
            return;
        }
        if self.held == 0 {
            self.first = what();
        }
        self.held += 1;
    }

    /// When held failures are reported.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.until.filter(|_| self.held > 0)
    }

    pub(super) fn on_tick(&mut self, now: Instant) {
        if self.until.is_none_or(|until| now < until) {
            return;
        }
        let first = std::mem::take(&mut self.first);
        // While failures go on, each line begins the next time; after a time without any the next failure is a line at
        // once.
        self.until = (self.held > 0).then(|| after(now, TOGETHER));
        match std::mem::take(&mut self.held) {
            0 => {}
            1 => self.lines.push(first),
            more => self.lines.push(format!(
                "{first}; {} more attempts failed in the {TOGETHER:?} before this line, and their tasks were tried again",
                more - 1
            )),
        }
    }

    /// Lines to be printed now.
    pub(super) fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines)
    }
}

/// The first line of a task's message, cut.
pub(super) fn brief(message: &str) -> String {
    // By characters and not by bytes: a cut inside of one would panic.
    let line = message.lines().next().unwrap_or_default();
    match line.char_indices().nth(MESSAGE) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line.to_owned(),
    }
}

/// A queue that refuses, or does not answer.
pub(super) struct Refusing<'a> {
    since: Instant,
    reason: &'a dyn Display,
    /// How long that is not reported.
    patience: Duration,
}

impl<'a> Refusing<'a> {
    /// Messages that are put to a queue, if they are refused or not answered.
    // A refusal first: the message is sent again, so that a call is under way too, whose time is shorter.
    pub(super) fn of_puts<R: Send + 'static>(publisher: &'a Publisher<R>) -> Option<Self> {
        match publisher.failing() {
            Some((since, error)) => Some(Self {
                since: *since,
                reason: error,
                patience: PATIENCE,
            }),
            None => publisher.unanswered().map(|since| Self {
                since,
                reason: &"it has not answered so far",
                patience: SILENCE,
            }),
        }
    }

    /// Pulls that were refused since then, the last of them for this reason.
    pub(super) fn of_pulls((since, reason): (Instant, &'a String)) -> Self {
        Self {
            since,
            reason,
            patience: PATIENCE,
        }
    }

    /// When a notice is due.
    fn due_at(&self) -> Instant {
        after(self.since, self.patience)
    }
}

/// A queue that may refuse calls.
#[derive(Debug)]
pub(super) struct QueueTrouble {
    /// Its name, and what it does not do: "the tasks' queue", "takes nothing".
    queue: String,
    what: &'static str,
    told: Option<Instant>,
}

/// A line about a queue.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum QueueNotice {
    Trouble(String),
    Relief(String),
}

impl QueueTrouble {
    pub(super) fn new(queue: impl Into<String>, what: &'static str) -> Self {
        Self {
            queue: queue.into(),
            what,
            told: None,
        }
    }

    /// Looks at a queue, which breaks the pool when it has been refusing for `timeout`.
    pub(super) fn look(
        &mut self,
        now: Instant,
        refusing: Option<&Refusing<'_>>,
        timeout: Duration,
    ) -> Option<QueueNotice> {
        // A call that was just made may be answered soon. This also ends an outage: a new call under way is no refusal,
        // even if the queue was refusing before it.
        let refusing = refusing.filter(|refusing| refusing.due_at() <= now);
        match (refusing, self.told) {
            (Some(Refusing { since, reason, .. }), None) => {
                self.told = Some(*since);
                let since = *since;
                let lasted = now.saturating_duration_since(since);
                let end = match timeout {
                    Duration::MAX => String::new(),
                    _ => format!(
                        ", and given up in {}",
                        seconds(timeout.saturating_sub(lasted))
                    ),
                };
                Some(QueueNotice::Trouble(format!(
                    "{} {} for {}: {reason}; it is tried again{end}",
                    self.queue,
                    self.what,
                    seconds(lasted)
                )))
            }
            (None, Some(since)) => {
                self.told = None;
                let lasted = now.saturating_duration_since(since);
                Some(QueueNotice::Relief(format!(
                    "{} answers again after {}",
                    self.queue,
                    seconds(lasted)
                )))
            }
            _ => None,
        }
    }

    /// When a queue must be looked at.
    // Only until its line: after that the deadline would lie in the past, and the end of the outage wakes the loop by
    // itself.
    pub(super) fn deadline(&self, refusing: Option<&Refusing<'_>>) -> Option<Instant> {
        let refusing = refusing.filter(|_| self.told.is_none())?;
        Some(refusing.due_at())
    }
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use async_trait::async_trait;
    use bytes::Bytes;
    use futures_util::FutureExt;
    use podpool_core::queue::memory::MemoryQueue;
    use podpool_core::queue::{Delivery, LeaseId, Queue, QueueError, QueueLimits};
    use podpool_core::worker::Queues;

    use super::super::RunningDispatch;
    use super::super::fake::idle;
    use super::*;
    use crate::master::command::ShutdownBehavior;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_first_failure_is_reported_at_once_and_those_after_it_together() {
        let start = Instant::now();
        let mut retries = Retries::default();
        let soon = || "; again soon".to_owned();
        retries.failed(start, || "a".to_owned(), soon);
        assert_eq!(retries.take(), ["a; again soon"]);
        assert_eq!(retries.deadline(), None, "nothing is held");
        for (n, line) in ["b", "c", "d"].into_iter().enumerate() {
            retries.failed(start + SECOND * n as u32, || line.to_owned(), soon);
        }
        assert_eq!(retries.take(), [""; 0]);
        let until = retries.deadline().unwrap();
        assert_eq!(until, start + TOGETHER);
        retries.on_tick(until);
        assert_eq!(
            retries.take(),
            [
                "b; 2 more attempts failed in the 5s before this line, and their tasks were tried again"
            ]
        );
        retries.failed(until + SECOND, || "e".to_owned(), soon);
        retries.on_tick(until + TOGETHER);
        assert_eq!(retries.take(), ["e"]);
        retries.on_tick(until + 2 * TOGETHER);
        retries.failed(until + 3 * TOGETHER, || "f".to_owned(), soon);
        assert_eq!(retries.take(), ["f; again soon"], "at once after a pause");
    }

    #[test]
    fn a_queue_is_reported_after_some_seconds_of_refusals_and_when_it_answers() {
        let start = Instant::now();
        let mut queue = QueueTrouble::new("the tasks' queue", "takes nothing");
        let reason = "connection refused".to_owned();
        let refusing = Refusing::of_pulls((start, &reason));
        let refusing = Some(&refusing);
        let timeout = 600 * SECOND;
        assert_eq!(queue.deadline(refusing), Some(start + PATIENCE));
        assert_eq!(queue.look(start + SECOND, refusing, timeout), None);
        let told = queue.look(start + 6 * SECOND, refusing, timeout).unwrap();
        let expected = "the tasks' queue takes nothing for 6 s: connection refused; it is tried again, and given up in 594 s";
        assert_eq!(told, QueueNotice::Trouble(expected.to_owned()));
        assert_eq!(queue.deadline(refusing), None);
        assert_eq!(queue.look(start + 30 * SECOND, refusing, timeout), None);
        let expected = "the tasks' queue answers again after 42 s";
        let ended = queue.look(start + 42 * SECOND, None, timeout).unwrap();
        assert_eq!(ended, QueueNotice::Relief(expected.to_owned()));
        assert_eq!(queue.look(start + 43 * SECOND, None, timeout), None);
    }

    /// Takes what is put, and never answers.
    #[derive(Debug)]
    struct Mute;

    #[async_trait]
    impl Queue for Mute {
        async fn put(&self, _: Vec<Bytes>) -> Vec<Result<(), QueueError>> {
            std::future::pending().await
        }

        async fn take(&self, _: usize, _: Duration) -> Result<Vec<Delivery>, QueueError> {
            std::future::pending().await
        }

        async fn extend(&self, _: &[LeaseId]) -> Vec<Result<(), QueueError>> {
            std::future::pending().await
        }

        async fn ack(&self, _: &[LeaseId]) -> Vec<Result<(), QueueError>> {
            std::future::pending().await
        }

        async fn release(&self, _: &[LeaseId]) -> Vec<Result<(), QueueError>> {
            std::future::pending().await
        }

        fn limits(&self) -> QueueLimits {
            QueueLimits::new(1 << 20, SECOND)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_that_does_not_answer_is_reported_before_its_calls_fail() {
        let mut publisher = Publisher::<()>::new(Arc::new(Mute));
        let mut queue = QueueTrouble::new("the control queue", "takes nothing");
        let timeout = 600 * SECOND;
        assert!(Refusing::of_puts(&publisher).is_none(), "nothing is put");
        publisher.push(Bytes::new(), None);
        assert!(publisher.next().now_or_never().is_none());
        let sent = Instant::now();
        let waits = Refusing::of_puts(&publisher);
        assert_eq!(queue.deadline(waits.as_ref()), Some(sent + SILENCE));
        assert_eq!(queue.look(sent + 9 * SECOND, waits.as_ref(), timeout), None);
        let told = queue.look(sent + 10 * SECOND, waits.as_ref(), timeout);
        let expected = "the control queue takes nothing for 10 s: it has not answered so far; it is tried again, and given up in 590 s";
        assert_eq!(told, Some(QueueNotice::Trouble(expected.to_owned())));
        // The queue answered meanwhile, and the next message is under way.
        let reason = String::new();
        let next = Refusing::of_pulls((sent + 12 * SECOND, &reason));
        let told = queue.look(sent + 13 * SECOND, Some(&next), timeout);
        let expected = "the control queue answers again after 13 s";
        assert_eq!(told, Some(QueueNotice::Relief(expected.to_owned())));
    }

    #[tokio::test(start_paused = true)]
    async fn once_the_run_ends_a_queue_that_does_not_answer_sets_no_deadline() {
        let memory = || Arc::new(MemoryQueue::new("q", QueueLimits::new(1 << 20, SECOND)));
        let queues = Queues {
            tasks: memory(),
            results: memory(),
            control: Arc::new(Mute),
        };
        let (_mailbox, _fleet, _orders, dispatch) = idle(queues);
        let mut running = RunningDispatch::new(dispatch);
        running.control.push(Bytes::new(), None);
        assert!(running.control.next().now_or_never().is_none());
        assert!(running.outage_deadline().is_some());
        running.state.shut_down(ShutdownBehavior::WaitForTasks);
        running.state.conclude(Instant::now());
        assert_eq!(running.outage_deadline(), None);
    }

    #[test]
    fn of_a_long_message_the_first_line_is_printed() {
        assert_eq!(brief("one\ntwo"), "one");
        assert_eq!(brief(""), "");
        let long = "é".repeat(300);
        assert_eq!(brief(&long).chars().count(), MESSAGE + 1);
    }
}
