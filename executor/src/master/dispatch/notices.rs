//! What the dispatcher says of attempts that failed and of queues that refuse: pure, told the time.
//!
//! A thousand attempts may fail in a second, and a queue refuses each of many calls. One line is said at once; what
//! follows soon after is counted.

use std::time::Duration;

use podpool_core::instant::after;
use tokio::time::Instant;

/// Attempts that fail so soon after one that was told are told together.
const TOGETHER: Duration = Duration::from_secs(5);
/// How long a queue must refuse until it is told: a short outage is repeated by itself, and seen by nobody.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most characters of a task's own message in a line.
const MESSAGE: usize = 200;

/// Attempts that failed and whose tasks are tried again.
#[derive(Debug, Default)]
pub(super) struct Retries {
    /// Until then those that fail are held.
    until: Option<Instant>,
    /// How many are held, and the line of the first.
    held: u64,
    first: String,
    /// Lines to be said.
    lines: Vec<String>,
}

impl Retries {
    /// An attempt failed; `line` says which and why.
    pub(super) fn failed(&mut self, now: Instant, line: impl FnOnce() -> String) {
        self.on_tick(now);
        if self.until.is_none() {
            self.lines.push(line());
            self.until = Some(after(now, TOGETHER));
            return;
        }
        if self.held == 0 {
            self.first = line();
        }
        self.held += 1;
    }

    /// When held ones are told.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.until.filter(|_| self.held > 0)
    }

    pub(super) fn on_tick(&mut self, now: Instant) {
        if self.until.is_none_or(|until| now < until) {
            return;
        }
        let first = std::mem::take(&mut self.first);
        self.until = (self.held > 0).then(|| after(now, TOGETHER));
        match std::mem::take(&mut self.held) {
            0 => {}
            1 => self.lines.push(first),
            more => self.lines.push(format!(
                "{} more attempts failed in {TOGETHER:?} and are made again; {first}",
                more - 1
            )),
        }
    }

    /// Lines to be said now.
    pub(super) fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines)
    }
}

/// The first line of what a task said, cut.
pub(super) fn brief(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    match line.char_indices().nth(MESSAGE) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line.to_owned(),
    }
}

/// A queue that may refuse what it is asked.
#[derive(Debug)]
pub(super) struct QueueTrouble {
    /// What it is called, and what it does not do: "the tasks' queue", "takes nothing".
    queue: &'static str,
    what: &'static str,
    told: Option<Instant>,
}

/// Something to be said of a queue.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    Trouble(String),
    Relief(String),
}

impl QueueTrouble {
    pub(super) const fn new(queue: &'static str, what: &'static str) -> Self {
        Self {
            queue,
            what,
            told: None,
        }
    }

    /// Looks at a queue that has been refusing since then, for this reason, and breaks the pool after `timeout`.
    pub(super) fn look(
        &mut self,
        now: Instant,
        refusing: Option<(Instant, &dyn std::fmt::Display)>,
        timeout: Duration,
    ) -> Option<Said> {
        match (refusing, self.told) {
            (Some((since, reason)), None) if now >= after(since, PATIENCE) => {
                self.told = Some(since);
                let lasted = now.saturating_duration_since(since);
                let end = match timeout {
                    Duration::MAX => String::new(),
                    _ => format!(
                        ", and given up in {}",
                        seconds(timeout.saturating_sub(lasted))
                    ),
                };
                Some(Said::Trouble(format!(
                    "{} {} for {}: {reason}; it is tried again{end}",
                    self.queue,
                    self.what,
                    seconds(lasted)
                )))
            }
            (None, Some(since)) => {
                self.told = None;
                let lasted = now.saturating_duration_since(since);
                Some(Said::Relief(format!(
                    "{} answers again after {}",
                    self.queue,
                    seconds(lasted)
                )))
            }
            _ => None,
        }
    }

    /// When a queue that has been refusing since then must be looked at.
    pub(super) fn deadline(&self, refusing: Option<Instant>) -> Option<Instant> {
        let since = refusing.filter(|_| self.told.is_none())?;
        Some(after(since, PATIENCE))
    }
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_first_failure_is_told_at_once_and_those_after_it_together() {
        let start = Instant::now();
        let mut retries = Retries::default();
        retries.failed(start, || "a".to_owned());
        assert_eq!(retries.take(), ["a"]);
        assert_eq!(retries.deadline(), None, "nothing is held");
        for (n, line) in ["b", "c", "d"].into_iter().enumerate() {
            retries.failed(start + SECOND * n as u32, || line.to_owned());
        }
        assert_eq!(retries.take(), [""; 0]);
        let until = retries.deadline().unwrap();
        assert_eq!(until, start + TOGETHER);
        retries.on_tick(until);
        assert_eq!(
            retries.take(),
            ["2 more attempts failed in 5s and are made again; b"]
        );
        retries.failed(until + SECOND, || "e".to_owned());
        retries.on_tick(until + TOGETHER);
        assert_eq!(retries.take(), ["e"]);
        retries.on_tick(until + 2 * TOGETHER);
        retries.failed(until + 3 * TOGETHER, || "f".to_owned());
        assert_eq!(retries.take(), ["f"], "at once after a pause");
    }

    #[test]
    fn a_queue_is_told_after_some_seconds_of_refusals_and_when_it_answers() {
        let start = Instant::now();
        let mut queue = QueueTrouble::new("the tasks' queue", "takes nothing");
        let refusing = || Some((start, &"connection refused" as &dyn std::fmt::Display));
        let timeout = 600 * SECOND;
        assert_eq!(queue.deadline(Some(start)), Some(start + PATIENCE));
        assert_eq!(queue.look(start + SECOND, refusing(), timeout), None);
        let told = queue.look(start + 6 * SECOND, refusing(), timeout).unwrap();
        let expected = "the tasks' queue takes nothing for 6 s: connection refused; it is tried again, and given up in 594 s";
        assert_eq!(told, Said::Trouble(expected.to_owned()));
        assert_eq!(queue.deadline(Some(start)), None);
        assert_eq!(queue.look(start + 30 * SECOND, refusing(), timeout), None);
        let expected = "the tasks' queue answers again after 42 s";
        let ended = queue.look(start + 42 * SECOND, None, timeout).unwrap();
        assert_eq!(ended, Said::Relief(expected.to_owned()));
        assert_eq!(queue.look(start + 43 * SECOND, None, timeout), None);
    }

    #[test]
    fn of_a_long_message_the_first_line_is_told() {
        assert_eq!(brief("one\ntwo"), "one");
        assert_eq!(brief(""), "");
        let long = "é".repeat(300);
        assert_eq!(brief(&long).chars().count(), MESSAGE + 1);
    }
}
