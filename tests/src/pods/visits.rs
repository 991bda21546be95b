//! A desk in the test's process where tasks report that they run, and wait until they are released.
//!
//! A test learns when an execution begins and when it is gone, all by its own clock, wherever the execution is.

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

/// Nothing on a sound cluster takes longer: a lease, a replacement and its start on a busy machine.
const BOUND: Duration = Duration::from_secs(90);

/// Where tasks come to.
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
    /// Its pod.
    pub worker: String,
    /// Its pod's node.
    pub node: String,
    /// When it came.
    pub at: Instant,
    line: tokio::io::BufReader<tokio::net::TcpStream>,
}

impl Desk {
    /// Opens one at a port of its own of this address.
    ///
    /// # Panics
    /// If the system gives none.
    pub async fn open(host: &str) -> Self {
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, visits) = mpsc::unbounded_channel();
        let door = tokio::spawn(async move {
            while let Ok((line, _)) = listener.accept().await {
                let tell = tell.clone();
                tokio::spawn(async move {
                    // A task that was killed on its way in is none.
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

    /// What tasks must know.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.clone()
    }

    /// The next task that runs.
    ///
    /// # Panics
    /// If none comes.
    pub async fn next(&mut self) -> Visit {
        let next = timeout(BOUND, self.visits.recv()).await;
        let next = next.unwrap_or_else(|_| panic!("no task came within {BOUND:?}"));
        next.unwrap()
    }

    /// The next ones, by number.
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
        // One that was killed meanwhile receives nothing.
        self.line.get_mut().write_all(b"go\n").await.ok();
    }

    /// Waits until its process is gone.
    ///
    /// # Panics
    /// If it stays.
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

/// Says at the desk that a task runs, and blocks its thread until it is let go.
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
