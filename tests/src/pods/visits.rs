//! A desk in the test's process where tasks report that they run, and wait until they are released.
//!
//! A test records when an execution begins and when its process is gone by the test's own clock, wherever the
//! execution is.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::Context;
use podpool::TaskContext;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// The longest wait for one event. The slowest one on a sound cluster is a lease, a replacement and its start on a busy
/// machine.
const BOUND: Duration = Duration::from_secs(90);

/// The desk to which tasks connect.
#[derive(Debug)]
pub struct Desk {
    address: String,
    visits: mpsc::UnboundedReceiver<Visit>,
    door: JoinHandle<()>,
}

/// A task that runs and waits.
#[derive(Debug)]
pub struct Visit {
    /// The number that the test gave it.
    pub n: u64,
    /// The task's pod.
    pub worker: String,
    /// The pod's node.
    pub node: String,
    /// When the task's greeting was read.
    pub at: Instant,
    line: tokio::io::BufReader<tokio::net::TcpStream>,
}

impl Desk {
    /// Opens a desk at a free port, which pods reach under the address `host`.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn open(host: &str) -> Self {
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, visits) = mpsc::unbounded_channel();
        let door = tokio::spawn(async move {
            while let Ok((line, _)) = listener.accept().await {
                let tell = tell.clone();
                tokio::spawn(async move {
                    // `None`: the task's process was killed before its greeting was complete.
                    if let Some(visit) = receive(line).await {
                        tell.send(visit).ok();
                    }
                });
            }
        });
        Self {
            address: format!("{host}:{port}"),
            visits,
            door,
        }
    }

    /// The desk's address, for tasks.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.clone()
    }

    /// The next task that runs.
    ///
    /// # Panics
    /// If no task comes within the bound.
    pub async fn next(&mut self) -> Visit {
        let next = timeout(BOUND, self.visits.recv()).await;
        let next = next.unwrap_or_else(|_| panic!("no task came within {BOUND:?}"));
        next.unwrap()
    }

    /// The next `count` tasks, sorted by number.
    pub async fn gather(&mut self, count: usize) -> Vec<Visit> {
        let mut all = Vec::with_capacity(count);
        while all.len() < count {
            all.push(self.next().await);
        }
        all.sort_by_key(|visit| visit.n);
        all
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.door.abort();
    }
}

impl Visit {
    /// Lets the task run to its end.
    pub async fn let_go(mut self) {
        // A task whose process was killed meanwhile receives nothing; that is no error of the test.
        self.line.get_mut().write_all(b"go\n").await.ok();
    }

    /// Waits until the task's process is gone; returns the time of that.
    ///
    /// # Panics
    /// If the process stays.
    pub async fn gone(mut self) -> Instant {
        let mut rest = [0];
        let read = timeout(BOUND, self.line.read(&mut rest)).await;
        assert!(
            !matches!(read, Ok(Ok(1..)) | Err(_)),
            "task {} should be gone",
            self.n
        );
        Instant::now()
    }
}

async fn receive(line: tokio::net::TcpStream) -> Option<Visit> {
    let mut line = tokio::io::BufReader::new(line);
    let mut words = String::new();
    line.read_line(&mut words).await.ok()?;
    let mut words = words.split_whitespace();
    Some(Visit {
        n: words.next()?.parse().ok()?,
        worker: words.next()?.to_owned(),
        node: words.next()?.to_owned(),
        at: Instant::now(),
        line,
    })
}

/// Reports at the desk that a task runs, and blocks its thread until the task is released.
pub(super) fn wait(ctx: &TaskContext, desk: &str, n: u64) -> anyhow::Result<()> {
    let mut line = TcpStream::connect(desk).context("the desk is closed")?;
    writeln!(line, "{n} {} {}", ctx.worker(), ctx.node()).context("the desk hears nothing")?;
    let mut answer = String::new();
    BufReader::new(line)
        .read_line(&mut answer)
        .context("the desk says nothing")?;
    anyhow::ensure!(!answer.is_empty(), "the desk closed");
    Ok(())
}
