//! How an execution ended, as the worker reports it and the master judges it.

mod words;

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use tokio::time::Instant;

pub(crate) use self::words::{LINKS, MESSAGE, displayed};
pub use self::words::{cut, cut_all};

/// Why an execution did not give a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Cause {
    /// The task returned an error.
    Failed,
    /// The task panicked.
    Panicked,
    /// The attempt outlived its timeout; its slot was killed.
    TimedOut,
    /// The slot ended: a signal, an abort, an exit.
    Crashed,
    /// The slot passed its memory limit, or could not allocate below it.
    OutOfMemory,
    /// The slot ended while this task ran, and another may be the cause: it must run alone.
    Suspect,
    /// The worker or its lease went away: the attempt comes back by itself, nothing is charged.
    Interrupted,
    /// The worker's program does not have the task, has another shape, or cannot read the arguments.
    Rejected,
    /// The task was cancelled while it ran.
    Cancelled,
    /// The slot could not be made ready: the initializer failed or the process did not start.
    Broken,
}

impl Cause {
    /// The cause as a phrase, to follow "the task".
    #[must_use]
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Panicked => "panicked",
            Self::TimedOut => "timed out",
            Self::Crashed => "crashed its process",
            Self::OutOfMemory => "ran out of memory",
            Self::Suspect => "was running when its process died",
            Self::Interrupted => "was interrupted",
            Self::Rejected => "was rejected",
            Self::Cancelled => "was cancelled",
            Self::Broken => "could not start",
        }
    }
}

/// How a slot's process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Exit {
    /// It exited with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl Exit {
    /// The code of a process whose status is not known.
    pub const UNKNOWN: i32 = -1;
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(Self::UNKNOWN) => f.write_str(
                "an unknown exit status: the program ignores SIGCHLD, or waits for children that are not its own",
            ),
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => match signal_name(*signal) {
                Some(name) => write!(f, "signal {signal} ({name})"),
                None => write!(f, "signal {signal}"),
            },
        }
    }
}

/// The names of common signals; others go by number.
const fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        15 => "SIGTERM",
        _ => return None,
    })
}

/// Where and when a failed execution ran: for users, nothing is decided by it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ran {
    /// When it began, by the wall clock of its host.
    pub started: Option<SystemTime>,
    /// The process id of the slot, on that host; none for a slot that is a thread.
    pub pid: Option<u32>,
    /// Its CPU time; reported for executions that ended by themselves and took 10 ms or more.
    pub cpu: Option<Duration>,
}

/// A reported failure of one execution. On the wire it is the payload of a result that is not `Done`; its texts are
/// [`cut`](Failure::cut) then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// Why there is no result.
    pub cause: Cause,
    /// What happened, in one sentence; the task's own text for `Failed` and `Panicked`.
    pub message: String,
    /// The causes of the task's error, outermost first.
    pub chain: Vec<String>,
    /// False when the task marked the error as permanent, or its `retry_on` returned false.
    pub retryable: bool,
    /// How the slot's process ended, where it did.
    pub exit: Option<Exit>,
    /// Highest resident set of the slot's process since its start, in bytes, as far as it was looked at: when a failure
    /// is reported, before a kill, at the slot's first frame, and every 50 ms under a limit. A process that dies by
    /// itself takes what came after the last look with it.
    pub peak_rss: Option<u64>,
    /// What is known of the execution itself; none when it did not begin. Boxed: results carry failures by value.
    pub ran: Option<Box<Ran>>,
    /// The last lines that the task printed.
    pub output: Vec<String>,
}

impl Failure {
    /// A failure with a cause and a sentence, and nothing else known.
    #[must_use]
    pub fn new(cause: Cause, message: impl Into<String>) -> Self {
        Self {
            cause,
            message: message.into(),
            chain: Vec::new(),
            retryable: true,
            exit: None,
            peak_rss: None,
            ran: None,
            output: Vec::new(),
        }
    }
}

/// The wall clock's time at an instant of this process; `None` where that clock stands before 1970, which does not
/// travel.
#[expect(
    clippy::disallowed_methods,
    reason = "people read when an attempt began"
)]
pub(crate) fn wall_clock(at: Instant) -> Option<SystemTime> {
    let time = SystemTime::now().checked_sub(at.elapsed())?;
    (time >= SystemTime::UNIX_EPOCH).then_some(time)
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the task {}: {}", self.cause.phrase(), self.message)?;
        for cause in &self.chain {
            write!(f, ": {cause}")?;
        }
        if let Some(exit) = self.exit {
            write!(f, " ({exit})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}
