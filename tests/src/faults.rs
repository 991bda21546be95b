//! What the tests of faults and misuse share: tasks that go wrong, a place to meet them, and a look at processes.

pub mod meeting;
pub mod processes;
pub mod reshaped;
pub mod tasks;

use std::future::Future;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use podpool::{Builder, Isolation, PodPoolExecutor};

/// Longest time that a test waits for one thing.
pub const LIMIT: Duration = Duration::from_secs(25);

/// From asking a task to stop to killing its slot, in every pool of these tests.
pub const GRACE: Duration = Duration::from_millis(200);

/// Waits for a step of a test.
///
/// # Panics
/// When it takes too long; `what` names it.
pub async fn within<F: Future>(what: &str, step: F) -> F::Output {
    match tokio::time::timeout(LIMIT, step).await {
        Ok(output) => output,
        Err(_) => panic!("waited {LIMIT:?} in vain for {what}"),
    }
}

/// The description of a pool of processes with so many slots. What tasks print is dropped.
pub fn describe(slots: usize) -> Builder {
    PodPoolExecutor::builder()
        .max_workers(slots)
        .isolation(Isolation::Process)
        .grace(GRACE)
        .output(Arc::new(|_| {}))
        .ignore_ctrl_c()
}

/// The pool that a builder describes.
///
/// # Panics
/// When it cannot be built.
pub async fn built(builder: Builder) -> PodPoolExecutor {
    match builder.build().await {
        Ok(pool) => pool,
        Err(error) => panic!("the pool was not built: {error:?}"),
    }
}

/// Ends a pool whose tasks have all ended.
///
/// # Panics
/// When it does not end in time, or says that it broke.
pub async fn end(pool: PodPoolExecutor) {
    let ended = within("the end of the pool", pool.shutdown()).await;
    assert_eq!(ended, Ok(()));
}

/// A program of these tests that runs as a process of its own and is talked to by lines. It is killed with its owner.
#[derive(Debug)]
pub struct Program {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Program {
    /// Starts the executable at `path`.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(path: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(path);
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => panic!("{} cannot be started: {error}", path.display()),
        };
        let Some(stdout) = child.stdout.take() else {
            panic!("{} has no output", path.display());
        };
        let lines = BufReader::new(stdout).lines();
        Self { child, lines }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What follows `word` on the next line, which must begin with it. The program bounds its own life.
    ///
    /// # Panics
    /// When the line is another, or there is none.
    pub fn hear(&mut self, word: &str) -> String {
        match self.lines.next() {
            Some(Ok(line)) => match line.strip_prefix(word) {
                Some(rest) => rest.trim().to_owned(),
                None => panic!("expected {word:?}, heard {line:?}"),
            },
            other => panic!("expected {word:?}, heard {other:?}"),
        }
    }

    /// Says a line to it.
    ///
    /// # Panics
    /// When it does not listen any more.
    pub fn say(&mut self, word: &str) {
        let told = self.child.stdin.as_mut().map(|its| writeln!(its, "{word}"));
        assert!(
            matches!(told, Some(Ok(()))),
            "nobody hears {word:?}: {told:?}"
        );
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When its end cannot be waited for.
    pub fn wait(&mut self) -> std::process::ExitStatus {
        match self.child.wait() {
            Ok(status) => status,
            Err(error) => panic!("the program's end cannot be waited for: {error}"),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
