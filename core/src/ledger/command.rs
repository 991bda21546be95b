//! What another process asks of a run's master.

use std::fmt;
use std::time::SystemTime;

/// What the master of a run is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// Take no more tasks, cancel those that have not begun, and end when the rest has ended.
    Stop,
    /// End every task, and the run.
    StopNow,
    /// Have so many workers at most from now on.
    Scale(u32),
    /// Let the worker with this name finish its running tasks, take no more, and exit.
    Drain(String),
    /// Submit every task again that failed.
    RetryFailed,
    /// Submit the tasks with these keys again, whether they have results or not.
    Retry(Vec<String>),
}

/// For people: `stop`, `scale to 5 workers`.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stop => f.write_str("stop"),
            Self::StopNow => f.write_str("stop now"),
            Self::Scale(workers) => write!(f, "scale to {workers} workers"),
            Self::Drain(worker) => write!(f, "drain worker {worker}"),
            Self::RetryFailed => f.write_str("retry what failed"),
            Self::Retry(keys) => write!(f, "retry {}", keys.join(", ")),
        }
    }
}

/// The number of a command in its run. A later command has a higher one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommandId(pub u64);

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A command, with what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "stores make it, column by column"
)]
pub struct CommandRecord {
    /// Its number.
    pub id: CommandId,
    /// What was asked.
    pub command: Command,
    /// The master that it was given to. No other carries it out.
    pub epoch: u64,
    /// The process that asked, in words.
    pub by: String,
    /// When, by that process's wall clock.
    pub at: SystemTime,
    /// What the master answered, in words. None while it has not, and where it ended before.
    pub answer: Option<String>,
}
