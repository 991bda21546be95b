//! Notices about attempts that failed and about queues that refuse: pure, with the time as a parameter.
//!
//! A thousand attempts may fail in a second, and a queue refuses each of many calls. One line is printed at once;
//! failures soon after it are counted.

use std::fmt::Display;
use std::time::Duration;

use podpool_core::instant::after;
use podpool_core::outcome::Cause;
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
// Apart by their causes: one crash must not vanish behind a thousand failures of another kind.
#[derive(Debug, Default)]
pub(super) struct Retries {
    /// In the order in which the causes came.
    causes: Vec<(Cause, Gathered)>,
    /// Lines to be printed.
    lines: Vec<String>,
}

/// Failures of one cause.
#[derive(Debug, Default)]
struct Gathered {
    /// Until then attempts that fail are held.
    until: Option<Instant>,
    /// How many are held, and the text about the first.
    held: u64,
    first: String,
}

impl Retries {
    /// An attempt failed; `what` tells which and why, and `next` when its task is tried again. A line that is printed
    /// later leaves `next` out: the next attempt is over by then, and may have failed for good.
    // Closures, because a text is made for the first of many failures alone.
    pub(super) fn failed(
        &mut self,
        now: Instant,
        cause: Cause,
        what: impl FnOnce() -> String,
        next: impl FnOnce() -> String,
    ) {
        // A time that is over must not hold this failure: the loop's tick may come after the message.
        self.on_tick(now);
        let at = self.causes.iter().position(|(known, _)| *known == cause);
        let at = at.unwrap_or_else(|| {
            self.causes.push((cause, Gathered::default()));
            self.causes.len() - 1
        });
        let (_, gathered) = &mut self.causes[at];
        if gathered.until.is_none() {
            self.lines.push(what() + &next());
            gathered.until = Some(after(now, TOGETHER));
            return;
        }
        if gathered.held == 0 {
            gathered.first = what();
        }
        gathered.held += 1;
    }

    /// When held failures are reported.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let held = self.causes.iter().filter(|(_, gathered)| gathered.held > 0);
        held.filter_map(|(_, gathered)| gathered.until).min()
    }

    pub(super) fn on_tick(&mut self, now: Instant) {
        for (_, gathered) in &mut self.causes {
            if gathered.until.is_some_and(|until| now >= until) {
                self.lines.extend(gathered.line());
                // While failures go on, each line begins the next time; after a time without any the next failure is a
                // line at once.
                gathered.until =
                    (std::mem::take(&mut gathered.held) > 0).then(|| after(now, TOGETHER));
            }
        }
    }

    /// The run ends: what is held is reported now.
    pub(super) fn end(&mut self) {
        for (_, gathered) in &mut self.causes {
            self.lines.extend(gathered.line());
            gathered.held = 0;
        }
    }

    /// Lines to be printed now.
    pub(super) fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines)
    }
}

impl Gathered {
    /// The line about what is held.
    fn line(&mut self) -> Option<String> {
        let first = std::mem::take(&mut self.first);
        match self.held {
            0 => None,
            1 => Some(first),
            more => Some(format!(
                "{first}; {} more attempts failed like it in the {TOGETHER:?} before this line, and their tasks were tried again",
                more - 1
            )),
        }
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

    /// What is wrong with it, from the notice about it to its end.
    pub(super) fn told_reason(&self, refusing: Option<&Refusing<'_>>) -> Option<String> {
        self.told?;
        let reason = refusing?.reason;
        Some(format!("{} {}: {reason}", self.queue, self.what))
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
mod tests;
