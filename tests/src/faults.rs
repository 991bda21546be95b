//! What the tests of faults and misuse share: tasks that go wrong, programs that are controlled by lines, and a view of
//! the system's processes.

pub mod processes;
pub mod reshaped;
pub mod tasks;

use std::path::Path;
use std::process::{ExitStatus, Stdio};

use podpool::options::Isolation;
use podpool::{Builder, PodPoolExecutor};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::bed::Bed;
pub use crate::bed::{built, goes_on};
pub use crate::limits::{STEP_LIMIT as LIMIT, within};
pub use crate::meeting;

/// The description of a pool of processes with so many slots. What tasks print is dropped.
pub fn describe(slots: usize) -> Builder {
    Bed::process().builder(slots)
}

/// The same with slots of this kind. What threads print is not captured, so nothing is set for it.
pub fn describe_in(isolation: Isolation, slots: usize) -> Builder {
    match isolation {
        Isolation::InProcess => Bed::in_process().builder(slots),
        _ => describe(slots),
    }
}

/// Ends a pool whose tasks have all ended.
///
/// # Panics
/// When the pool does not end in time, or reports that it broke.
pub async fn end(pool: PodPoolExecutor) {
    let ended = within("the end of the pool", pool.shutdown()).await;
    assert_eq!(ended, Ok(()));
}

/// A program of these tests that runs as a process of its own and is controlled by lines on its standard input. The
/// process is killed when this value is dropped.
#[derive(Debug)]
pub struct Program {
    child: Child,
    pid: u32,
    ears: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Program {
    /// Starts the executable at `path`. Needs a tokio runtime.
    ///
    /// # Panics
    /// When the executable cannot be started.
    #[must_use]
    pub fn start(path: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(path);
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => panic!("{} cannot be started: {error}", path.display()),
        };
        let (pid, ears, mouth) = (child.id(), child.stdin.take(), child.stdout.take());
        let (Some(pid), Some(ears), Some(mouth)) = (pid, ears, mouth) else {
            panic!(
                "{} has no process id, standard input or output",
                path.display()
            );
        };
        let lines = BufReader::new(mouth).lines();
        Self {
            child,
            pid,
            ears,
            lines,
        }
    }

    /// The program's process id.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// What follows `word` on the next line of output, which must begin with `word`.
    ///
    /// # Panics
    /// When the line begins otherwise, or no line comes in time.
    pub async fn hear(&mut self, word: &str) -> String {
        match within("a line of the program", self.lines.next_line()).await {
            Ok(Some(line)) => match line.strip_prefix(word) {
                Some(rest) => rest.trim().to_owned(),
                None => panic!("expected {word:?}, read {line:?}"),
            },
            other => panic!("expected {word:?}, read {other:?}"),
        }
    }

    /// Sends a line to the program's standard input.
    ///
    /// # Panics
    /// When the program has closed its input.
    pub async fn say(&mut self, word: &str) {
        let line = format!("{word}\n");
        let told = self.ears.write_all(line.as_bytes()).await;
        assert!(told.is_ok(), "{word:?} cannot be sent: {told:?}");
    }

    /// Waits for the program's end.
    ///
    /// # Panics
    /// When the program does not end in time.
    pub async fn wait(&mut self) -> ExitStatus {
        match within("the end of the program", self.child.wait()).await {
            Ok(status) => status,
            Err(error) => panic!("the program's end cannot be waited for: {error}"),
        }
    }
}
