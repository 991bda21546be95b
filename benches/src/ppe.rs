//! The reference from CPython: `ProcessPoolExecutor`, where `python3` is on the path.

use std::io::Write;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::case::Lines;

/// Longest time of one command, start included.
const DEADLINE: Duration = Duration::from_secs(120);

/// Longest time until the Python program has ended.
const END: Duration = Duration::from_secs(10);

/// The measurements of the Python program; each is a function of `ppe.py`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Tasks per second, submitted one by one.
    Burst,
    /// Tasks per second through `map` in chunks of 100.
    Map,
    /// Median microseconds of a round trip.
    Trip,
    /// MiB per second, in and out, of payloads of 1 MiB.
    Load,
}

/// A running `ProcessPoolExecutor` of two workers. It sleeps on its standard input while others are measured.
#[derive(Debug)]
pub struct Ppe {
    child: Child,
    /// `None` only once the drop has closed it.
    commands: Option<ChildStdin>,
    answers: Lines,
}

impl Ppe {
    /// Starts it and warms its workers up.
    ///
    /// # Errors
    /// `python3` is missing, or its pool cannot start.
    pub fn start() -> anyhow::Result<Self> {
        let mut child = Command::new("python3")
            .args(["-c", include_str!("ppe.py")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("python3 cannot be started")?;
        let (Some(commands), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("python3 came without its pipes");
        };
        let ppe = Self {
            child,
            commands: Some(commands),
            answers: Lines::read(stdout),
        };
        match ppe.answers.next(DEADLINE)?.as_str() {
            "ready" => Ok(ppe),
            other => bail!("python3 said {other:?} in place of ready"),
        }
    }

    /// Measures `n` tasks.
    ///
    /// # Errors
    /// The Python program ended, stalled for two minutes, or answered with something else than a number.
    pub fn run(&mut self, measure: Measure, n: u64) -> anyhow::Result<f64> {
        let name = match measure {
            Measure::Burst => "burst",
            Measure::Map => "mapped",
            Measure::Trip => "trip",
            Measure::Load => "load",
        };
        let commands = self.commands.as_mut().context("python3 has been stopped")?;
        writeln!(commands, "{name} {n}").context("python3 takes no command")?;
        let answer = self.answers.next(DEADLINE)?;
        answer
            .parse()
            .with_context(|| format!("python3 answered {answer:?} to {name}"))
    }
}

impl Drop for Ppe {
    fn drop(&mut self) {
        // The end of its input ends the program and its workers. A kill would leave the workers behind.
        self.commands = None;
        if self.answers.end(END).is_err() {
            drop(self.child.kill());
        }
        drop(self.child.wait());
    }
}
