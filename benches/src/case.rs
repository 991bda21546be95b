//! Cases: what one process measures once, and how a case is run in a process of its own.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// Longest time of one case; the longest that is expected is the naps' 45 s.
// Four times the longest case; a case that hangs must not keep the scoreboard.
const DEADLINE: Duration = Duration::from_secs(180);

/// Children of every pool that is measured.
pub const CHILDREN: usize = 2;

/// Bytes of a heavy payload: 1 MiB.
pub const HEAVY: usize = 1 << 20;

/// Tasks that run before the clock does, so that children are up and buffers have grown.
// Enough to open the gate of a task type and to settle the sizes of batches and frames.
pub const WARM_UP: u64 = 10_000;

/// Round trips before those that count.
pub const WARM_UP_TRIPS: u64 = 200;

/// One thing to measure, in one process, once.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// The name that `--case` takes.
    pub name: &'static str,
    /// Measures with a size, whose meaning is the case's: mostly a number of tasks.
    pub run: fn(u64) -> anyhow::Result<f64>,
}

/// Milliseconds of a case's process, from its start to its end.
///
/// # Errors
/// As [`run_apart`].
pub fn time_apart(program: &Path, arguments: &[OsString]) -> anyhow::Result<f64> {
    let start = Instant::now();
    run_apart(program, arguments)?;
    Ok(start.elapsed().as_secs_f64() * 1e3)
}

/// Runs `program` with `arguments`, which prints one number, and returns the number.
///
/// # Errors
/// The program cannot be started, fails, takes longer than three minutes, or prints something else.
pub fn run_apart(program: &Path, arguments: &[OsString]) -> anyhow::Result<f64> {
    let what = || format!("{} {arguments:?}", program.display());
    // One process for each measurement: heap, threads and caches of one case do not influence the next.
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", what()))?;
    let mut child = KilledOnDrop(child);
    let stdout = child.0.stdout.take().context("a case without its pipe")?;
    let lines = Lines::read(stdout);
    let answer = lines.next(DEADLINE).with_context(what)?;
    // After the number only the end of the case's pool is awaited.
    lines.end(DEADLINE).with_context(what)?;
    let status = child.0.wait().with_context(what)?;
    if !status.success() {
        bail!("{} ended with {status}", what());
    }
    answer
        .parse()
        .with_context(|| format!("{} printed {answer:?}", what()))
}

/// The process of a case. A drop kills the process, so an error leaves no case behind; the case's own children end with
/// the process.
struct KilledOnDrop(Child);

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        // An error here means that the process has ended already, which is what the calls are for.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The lines of a pipe, each waited for with a bound.
#[derive(Debug)]
pub struct Lines(Receiver<std::io::Result<String>>);

impl Lines {
    /// Reads on a thread of its own, which ends with the pipe.
    #[must_use]
    pub fn read(pipe: impl Read + Send + 'static) -> Self {
        // A thread, because a blocking read of a pipe has no timeout.
        let (sender, lines) = sync_channel(16);
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines() {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self(lines)
    }

    /// The next line.
    ///
    /// # Errors
    /// None came within `longest`, or the pipe ended.
    pub fn next(&self, longest: Duration) -> anyhow::Result<String> {
        match self.0.recv_timeout(longest) {
            Ok(line) => line.context("the pipe broke"),
            Err(RecvTimeoutError::Timeout) => bail!("no answer within {longest:?}"),
            Err(RecvTimeoutError::Disconnected) => bail!("ended without an answer"),
        }
    }

    /// Waits for the pipe's end.
    ///
    /// # Errors
    /// Another line came, or no end within `longest`.
    pub fn end(&self, longest: Duration) -> anyhow::Result<()> {
        match self.0.recv_timeout(longest) {
            Err(RecvTimeoutError::Disconnected) => Ok(()),
            Err(RecvTimeoutError::Timeout) => bail!("did not end within {longest:?}"),
            Ok(line) => bail!("went on with {:?}", line.context("the pipe broke")?),
        }
    }
}
