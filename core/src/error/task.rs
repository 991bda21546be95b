//! Why a task has no result: a kind to act on, and a report of each attempt.

use std::error::Error;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use super::AttemptReport;
use crate::id::{Attempt, TaskId};
use crate::key::ShownKey;
use crate::outcome::{Cause, Failure};

/// Most lines of the task's output that a report shows; its attempts hold all that were kept.
// With the failure, the attempt and the advice a report stays within a screen of 24 lines.
const LINES_SHOWN: usize = 10;

/// Most characters of a message in an error's one line; the whole is in its report.
// Holds the message of a failed `assert_eq!`, and the lines that a slot printed before its start failed.
const LINE: usize = 1_000;

/// Why a task has no result, by what the caller can do about it.
///
/// `retries` count errors, panics and timeouts. Crashes, memory and lost workers have budgets of their own, which no
/// option changes: 2, 1 and 2 more attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TaskErrorKind {
    /// The task returned an error, as often as its `retries` allow (0 by default); or once, if the error is
    /// [`permanent`](crate::permanent()) or `retry_on` refuses it.
    Failed,
    /// The task panicked, as often as its `retries` allow.
    Panicked,
    /// The attempts exceeded their timeout and were stopped, as often as the task's `retries` allow; or a map's own
    /// timeout is over.
    TimedOut,
    /// The task ended its process by a signal or an exit code, and did so again in 2 more attempts. The end of a
    /// process in which another task may have been the cause is not counted: an attempt alone follows it.
    Crashed,
    /// The task needed more memory than its limit, its container or its machine gave, and did so again in 1 more
    /// attempt with the same limit.
    OutOfMemory,
    /// Its workers were lost repeatedly: while the task alone ran in them, and again in 2 more attempts; or 100 of its
    /// executions were lost with workers, whatever the cause. It may have run in part.
    WorkerLost,
    /// It was cancelled. It may have begun; its result, if any, is dropped.
    Cancelled,
    /// It was refused, and a retry would fail in the same way: bad input, an unknown task, another shape, arguments
    /// that are too large, or a result that is: then the task has run.
    Rejected,
    /// The executor was shut down before the task ended, or before it was submitted. Statistics count the former as
    /// failed.
    ShutDown,
    /// Workers cannot start, the queue is gone, or the executor's thread ended. It may have run.
    PoolBroken,
    /// The run reached a limit that the program had set: its deadline, its number of failures, or its time without
    /// progress. The message states which. The task may have run.
    RunLimit,
}

impl TaskErrorKind {
    /// Whether every later call fails in the same way: the executor accepts no more tasks.
    #[doc(hidden)]
    #[must_use]
    pub const fn is_permanent(self) -> bool {
        matches!(self, Self::ShutDown | Self::PoolBroken | Self::RunLimit)
    }

    /// The failure, as a phrase to follow the task's name.
    const fn phrase(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Panicked => "panicked",
            Self::TimedOut => "timed out",
            Self::Crashed => "crashed its process",
            Self::OutOfMemory => "ran out of memory",
            Self::WorkerLost => "lost its worker",
            Self::Cancelled => "was cancelled",
            Self::Rejected => "was rejected",
            Self::ShutDown => "did not finish because the executor was shut down",
            Self::PoolBroken => "has no result because the pool is broken",
            Self::RunLimit => "has no result because its run reached a limit",
        }
    }

    /// What to do next.
    const fn advice(self) -> &'static str {
        match self {
            Self::Failed | Self::Panicked => {
                "fix the cause and resubmit the task, or allow more attempts with `retries`"
            }
            Self::TimedOut => "set a longer `timeout`, or give the task less work",
            Self::Crashed => {
                "run the task in this process with `run_here()` to find where it crashes"
            }
            Self::OutOfMemory => {
                "allow more memory where the message names the limit, or make the task hold less data at once"
            }
            Self::WorkerLost => "resubmit the task, on workers that are not preempted",
            Self::Cancelled => "resubmit the task if its result is still wanted",
            Self::Rejected => {
                "correct what the reason names and resubmit the task; it is not retried"
            }
            Self::ShutDown => "submit the task to another executor",
            Self::PoolBroken => "fix the reason, build a new executor, and resubmit the task",
            Self::RunLimit => {
                "fix what the reason names or raise the limit, build a new executor, and resubmit the task"
            }
        }
    }
}

/// The failure, as a phrase to follow the task's name: `timed out`, `crashed its process`.
impl fmt::Display for TaskErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.phrase())
    }
}

impl From<Cause> for TaskErrorKind {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Panicked => Self::Panicked,
            Cause::TimedOut => Self::TimedOut,
            Cause::Crashed | Cause::Suspect => Self::Crashed,
            Cause::OutOfMemory => Self::OutOfMemory,
            Cause::Interrupted => Self::WorkerLost,
            Cause::Rejected => Self::Rejected,
            Cause::Cancelled => Self::Cancelled,
            Cause::Broken => Self::PoolBroken,
            // `Failed`, and causes that a later version of the wire may add.
            _ => Self::Failed,
        }
    }
}

/// The task that an error is about.
#[doc(hidden)]
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a part of podpool, and not of its users' API"
)]
pub struct Subject {
    /// Its name: `crate::module::function`.
    pub task: &'static str,
    /// Its number; none where it was not submitted.
    pub id: Option<TaskId>,
    /// The key that the call was given.
    pub key: Option<Arc<str>>,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {}", self.task)?;
        if let Some(id) = self.id {
            write!(f, " {id}")?;
        }
        match &self.key {
            Some(key) => write!(f, " (key {})", ShownKey(key)),
            None => Ok(()),
        }
    }
}

/// Why a task has no result. It is one pointer wide and cheap to clone.
///
/// `{}` is one line: the task, the failure, the number of attempts, and the message, whose lines are joined by ` | `
/// and cut at 1,000 characters. `{:#}` and [`report`](Self::report) give the whole of the last attempt: the message,
/// the causes, where it ran, the last lines that the task printed, and what to do next. [`attempts`](Self::attempts)
/// has the earlier attempts too.
///
/// `{}` leaves out the causes of the task's own error. What `anyhow::Context` wraps is such a cause: the message is the
/// outermost context. The causes are in [`source`](Error::source), which `anyhow` and `{:?}` of an `anyhow::Error`
/// follow, in [`AttemptReport::chain`] and in [`report`](Self::report).
///
/// ```
/// # use podpool_core::error::{TaskError, TaskErrorKind};
/// fn show(error: &TaskError) {
///     eprintln!("{error}");
///     if error.kind() == TaskErrorKind::Crashed {
///         eprintln!("{}", error.report());
///     }
/// }
/// # let _ = show;
/// ```
#[derive(Clone)]
// Behind one pointer: a `Result` of a small output stays small, and a future that is awaited again clones no reports.
pub struct TaskError(Arc<Inner>);

struct Inner {
    kind: TaskErrorKind,
    subject: Subject,
    message: Arc<str>,
    attempts: Vec<AttemptReport>,
    source: Option<Link>,
}

impl TaskError {
    /// An error with a sentence of its own.
    #[doc(hidden)]
    pub fn new(kind: TaskErrorKind, subject: Subject, message: impl Into<Arc<str>>) -> Self {
        Self::with_attempts(kind, subject, message, Vec::new())
    }

    /// An error with a sentence of its own, after attempts.
    #[doc(hidden)]
    pub fn with_attempts(
        kind: TaskErrorKind,
        subject: Subject,
        message: impl Into<Arc<str>>,
        attempts: Vec<AttemptReport>,
    ) -> Self {
        // Only the last attempt has a source chain; the earlier ones are in their reports.
        let source = attempts.last().and_then(|last| Link::of(&last.chain));
        Self(Arc::new(Inner {
            kind,
            subject,
            message: message.into(),
            attempts,
            source,
        }))
    }

    /// The error of a task whose budget is spent, with the cause of its last attempt.
    #[doc(hidden)]
    #[must_use]
    pub fn of_attempts(subject: Subject, attempts: Vec<AttemptReport>) -> Self {
        let (kind, message) = match attempts.last() {
            Some(last) => (last.cause.into(), last.message.clone()),
            None => (
                TaskErrorKind::WorkerLost,
                "no attempt was reported".to_owned(),
            ),
        };
        Self::with_attempts(kind, subject, message, attempts)
    }

    /// The error of an attempt that ran without an executor.
    pub(crate) fn of_one(task: &'static str, key: Option<Arc<str>>, failure: Failure) -> Self {
        let subject = Subject {
            task,
            id: None,
            key,
        };
        Self::of_attempts(subject, vec![AttemptReport::new(Attempt::FIRST, failure)])
    }

    /// The kind of the failure, to act on.
    #[must_use]
    pub fn kind(&self) -> TaskErrorKind {
        self.0.kind
    }

    /// The task's name: `crate::module::function`.
    #[must_use]
    pub fn task(&self) -> &'static str {
        self.0.subject.task
    }

    /// The task's number in its run; none where no task was under way when a map's timeout ended, and where the call
    /// was run without an executor.
    #[must_use]
    pub fn id(&self) -> Option<TaskId> {
        self.0.subject.id
    }

    /// The key that the call was given.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.0.subject.key.as_deref()
    }

    /// The failure in one sentence; the task's own message for `Failed` and `Panicked`, which may be empty and is without its
    /// causes: those are in [`source`](Error::source).
    #[must_use]
    pub fn message(&self) -> &str {
        match (self.0.kind, &*self.0.message) {
            // Written so by `Display` already, in front of where the message would be.
            (TaskErrorKind::Cancelled, "") => "it was cancelled",
            (TaskErrorKind::ShutDown, "") => "the executor was shut down before it ended",
            (_, message) => message,
        }
    }

    /// The attempts that gave no result, oldest first; empty when none began. Of more than 64 the first 16 and the last
    /// 48.
    #[must_use]
    pub fn attempts(&self) -> &[AttemptReport] {
        &self.0.attempts
    }

    /// The failure and the last attempt, in several lines: what `{:#}` writes. The attempts before it are in
    /// [`attempts`](Self::attempts).
    #[must_use]
    pub fn report(&self) -> String {
        format!("{self:#}")
    }

    /// The task, the failure, and the number of attempts.
    fn write_head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, subject, .. } = &*self.0;
        write!(f, "{subject} {}", kind.phrase())?;
        match AttemptReport::count(&self.0.attempts) {
            (0, _) => Ok(()),
            (1, _) => f.write_str(" after 1 attempt"),
            (attempts, true) => write!(f, " after {attempts} attempts"),
            (attempts, false) => write!(f, " after {attempts} attempts or more"),
        }
    }

    /// The message, the causes, the last attempt with its lines, and what to do next.
    fn write_rest(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.message.is_empty() {
            write!(f, ": {}", self.0.message)?;
        }
        if let Some(last) = self.0.attempts.last() {
            last.chain
                .iter()
                .try_for_each(|cause| write!(f, "\n  caused by: {cause}"))?;
            write!(f, "\n  {last}")?;
            write_output(f, &last.output)?;
        }
        let last = self.0.attempts.last();
        let is_final = last.is_some_and(|last| last.cause == Cause::Failed && !last.retryable);
        let advice = match is_final {
            true => {
                "the task marked this error as final (`permanent`, or its `retry_on`), so that it was not tried again; fix the cause and resubmit the task"
            }
            false => self.0.kind.advice(),
        };
        write!(f, "\n  {advice}")
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_head(f)?;
        if f.alternate() {
            return self.write_rest(f);
        }
        match self.0.message.trim() {
            "" => Ok(()),
            message => write!(f, ": {}", OneLine(message)),
        }
    }
}

/// A text of several lines as one, cut at [`LINE`] characters.
struct OneLine<'a>(&'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shown, rest) = match self.0.char_indices().nth(LINE) {
            Some((end, _)) => (&self.0[..end], " …"),
            None => (self.0, ""),
        };
        // A carriage return would overwrite the start of the line on a terminal.
        let lines = shown.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']);
        let lines = lines.map(str::trim).filter(|line| !line.is_empty());
        for (at, line) in lines.enumerate() {
            f.write_str(if at > 0 { " | " } else { "" })?;
            line.chars().try_for_each(|char| match char {
                '\t' => f.write_char(char),
                char if char.is_control() => write!(f, "{}", char.escape_default()),
                char => f.write_char(char),
            })?;
        }
        f.write_str(rest)
    }
}

fn write_output(f: &mut fmt::Formatter<'_>, lines: &[String]) -> fmt::Result {
    if lines.is_empty() {
        return Ok(());
    }
    f.write_str("\n  the last lines it printed:")?;
    let shown = lines.len().saturating_sub(LINES_SHOWN);
    lines[shown..]
        .iter()
        .try_for_each(|line| write!(f, "\n    | {line}"))
}

impl fmt::Debug for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskError")
            .field("kind", &self.0.kind)
            .field("task", &self.0.subject.task)
            .field("id", &self.0.subject.id)
            .field("key", &self.0.subject.key)
            .field("message", &self.0.message)
            .field("attempts", &self.0.attempts)
            .finish()
    }
}

impl Error for TaskError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_ref().map(|link| link as _)
    }
}

/// One cause of the task's error, with its own text.
#[derive(Debug)]
struct Link {
    text: String,
    next: Option<Box<Self>>,
}

impl Link {
    fn of(chain: &[String]) -> Option<Self> {
        // From the innermost cause outwards, because each link owns the one behind it.
        chain.iter().rev().fold(None, |next, text| {
            Some(Self {
                text: text.clone(),
                next: next.map(Box::new),
            })
        })
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Link {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.next.as_deref().map(|link| link as _)
    }
}

#[cfg(test)]
mod tests;
