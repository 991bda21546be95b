//! A place where tasks wait, in whatever process they run, until the test releases them: no test sleeps to see
//! whether a task has begun.
//!
//! A task connects to a socket and sends its name and its process id. The test receives the connection, then releases
//! the task or kills its process, and sees the end of the connection.

use std::io;
use std::path::PathBuf;

use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};

use crate::address::{Address, Talk};
use crate::faults::processes::signal;
use crate::limits::within;
use crate::scratch::Scratch;

/// Where tasks wait.
#[derive(Debug)]
pub struct Meeting {
    scratch: Scratch,
    listener: Listener,
}

/// What tasks connect to.
#[derive(Debug)]
enum Listener {
    Here(UnixListener),
    Host(TcpListener),
}

impl Listener {
    async fn accept(&self) -> io::Result<Box<dyn Talk>> {
        Ok(match self {
            Self::Here(listener) => Box::new(listener.accept().await?.0),
            Self::Host(listener) => Box::new(listener.accept().await?.0),
        })
    }
}

/// A listener at a free port of this host.
///
/// # Errors
/// When the host is not this machine's.
pub(crate) fn listen(host: &str) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind((host, 0))?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

impl Meeting {
    /// A new place. Needs a tokio runtime.
    ///
    /// # Panics
    /// When its socket cannot be made.
    #[must_use]
    pub fn new() -> Self {
        let scratch = Scratch::new();
        match UnixListener::bind(scratch.path().join("meeting")) {
            Ok(listener) => Self {
                scratch,
                listener: Listener::Here(listener),
            },
            Err(error) => panic!("there is no place to meet: {error}"),
        }
    }

    /// A place that pods reach: a port of this machine under the name or address `host`. Needs a tokio runtime.
    ///
    /// # Panics
    /// When the place cannot be made.
    #[must_use]
    pub fn at(host: &str) -> Self {
        match listen(host) {
            Ok(listener) => Self {
                scratch: Scratch::new(),
                listener: Listener::Host(listener),
            },
            Err(error) => panic!("there is no place to meet at {host}: {error}"),
        }
    }

    /// The path of the socket, for tasks of this machine.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.scratch.path().join("meeting")
    }

    /// The address, for tasks.
    ///
    /// # Panics
    /// When its port cannot be read.
    #[must_use]
    pub fn address(&self) -> Address {
        match &self.listener {
            Listener::Here(_) => self.path().into(),
            Listener::Host(listener) => Address::Host(listener.local_addr().unwrap().to_string()),
        }
    }

    /// The next task that arrives.
    ///
    /// # Panics
    /// When no task arrives in time.
    pub async fn guest(&self) -> Guest {
        match within("a task to meet", self.accept()).await {
            Ok(guest) => guest,
            Err(error) => panic!("the meeting accepts no connection: {error}"),
        }
    }

    /// The next so many tasks, sorted by name.
    ///
    /// # Panics
    /// When the tasks do not arrive in time.
    pub async fn guests(&self, count: usize) -> Vec<Guest> {
        let mut guests = Vec::new();
        for _ in 0..count {
            guests.push(self.guest().await);
        }
        guests.sort_by_key(|guest| guest.name);
        guests
    }

    /// The next task that arrives, without a limit: the caller sets one.
    pub(crate) async fn accept(&self) -> io::Result<Guest> {
        loop {
            let mut stream = self.listener.accept().await?;
            // A connection that ends before the greeting is complete: the task's process was killed meanwhile.
            if let Ok(name) = stream.read_u32().await
                && let Ok(pid) = stream.read_u32().await
            {
                return Ok(Guest { name, pid, stream });
            }
        }
    }
}

impl Default for Meeting {
    fn default() -> Self {
        Self::new()
    }
}

/// A task that waits. When this value is dropped, the task continues with an error: the meeting is over.
#[derive(Debug)]
pub struct Guest {
    /// The name that the task gave.
    pub name: u32,
    /// The task's process id.
    pub pid: u32,
    stream: Box<dyn Talk>,
}

impl Guest {
    /// Lets the task continue.
    pub async fn let_go(mut self) {
        // A task whose process was killed does not read the byte; that is no error of the test.
        self.stream.write_u8(1).await.ok();
    }

    /// Kills the task's process, and waits until its connection has ended.
    ///
    /// # Panics
    /// When there is no such process, or the connection does not end.
    pub async fn kill(self) {
        let killed = signal(self.pid, Signal::KILL);
        assert!(killed, "process {} cannot be killed", self.pid);
        self.vanished().await;
    }

    /// Waits for the end of the task's connection: its future was dropped, or its process killed.
    ///
    /// # Panics
    /// When the connection is still open at the limit of a step.
    pub async fn vanished(mut self) {
        let left = within("the end of a task", self.stream.read_u8()).await;
        assert!(left.is_err(), "the task sent a byte instead of ending");
    }
}

/// What a task sends when it arrives: its name in the high half, its process id in the low half.
fn greeting(name: u32) -> [u8; 8] {
    let words = u64::from(name) << 32 | u64::from(std::process::id());
    words.to_be_bytes()
}

/// Waits at a meeting; for tasks.
///
/// # Errors
/// When the port does not answer, or the meeting is over.
pub async fn wait_at(meeting: &Address, name: u32) -> io::Result<()> {
    let mut stream = meeting.connect().await?;
    stream.write_all(&greeting(name)).await?;
    stream.read_u8().await.map(drop)
}

/// As [`wait_at`], blocking the thread.
///
/// # Errors
/// As [`wait_at`].
pub fn meet_at(meeting: impl Into<Address>, name: u32) -> io::Result<()> {
    let mut stream = meeting.into().connect_blocking()?;
    stream.write_all(&greeting(name))?;
    stream.read_exact(&mut [0])
}
