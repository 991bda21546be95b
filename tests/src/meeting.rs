//! A place where tasks wait, in whatever process they run, until the test lets them go: no test sleeps to see
//! whether a task has begun.
//!
//! A task connects to a socket and sends its name and its process; the test sees it come, lets it go or kills its
//! process, and sees it vanish.

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

/// A listener at a port of its own of this host.
///
/// # Errors
/// When the host is not this machine's.
pub(crate) fn listen(host: &str) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind((host, 0))?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

impl Meeting {
    /// A new place. It needs a tokio runtime.
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

    /// A place that pods reach: a port of this machine under the name or address that they know. It needs a tokio
    /// runtime.
    ///
    /// # Panics
    /// When it cannot be made.
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

    /// Its path, for tasks of this machine.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.scratch.path().join("meeting")
    }

    /// Its address, for tasks.
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

    /// The next task that comes.
    ///
    /// # Panics
    /// When none comes in time.
    pub async fn guest(&self) -> Guest {
        match within("a task to meet", self.accept()).await {
            Ok(guest) => guest,
            Err(error) => panic!("the meeting broke up: {error}"),
        }
    }

    /// The next so many tasks, by name.
    ///
    /// # Panics
    /// When they do not come in time.
    pub async fn guests(&self, count: usize) -> Vec<Guest> {
        let mut guests = Vec::new();
        for _ in 0..count {
            guests.push(self.guest().await);
        }
        guests.sort_by_key(|guest| guest.name);
        guests
    }

    /// The next task that comes, without a limit.
    pub(crate) async fn accept(&self) -> io::Result<Guest> {
        loop {
            let mut stream = self.listener.accept().await?;
            // A task that was killed on its way is no guest.
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

/// A task that waits. When it is dropped, the task continues, and learns that the meeting is over.
#[derive(Debug)]
pub struct Guest {
    /// The name that it gave.
    pub name: u32,
    /// Its process.
    pub pid: u32,
    stream: Box<dyn Talk>,
}

impl Guest {
    /// Lets the task continue.
    pub async fn let_go(mut self) {
        // A task whose process was killed does not read it.
        self.stream.write_u8(1).await.ok();
    }

    /// Kills its process, and waits until it is gone.
    ///
    /// # Panics
    /// When there is no such process, or it does not go.
    pub async fn kill(self) {
        let killed = signal(self.pid, Signal::KILL);
        assert!(killed, "process {} cannot be killed", self.pid);
        self.vanished().await;
    }

    /// Waits until the task is there no more: its future was dropped, or its process killed.
    ///
    /// # Panics
    /// When it is still there after a while.
    pub async fn vanished(mut self) {
        let left = within("the end of a task", self.stream.read_u8()).await;
        assert!(left.is_err(), "the task talks instead of going");
    }
}

/// What a task sends when it comes.
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

/// The same, blocking the thread.
///
/// # Errors
/// As [`wait_at`].
pub fn meet_at(meeting: impl Into<Address>, name: u32) -> io::Result<()> {
    let mut stream = meeting.into().connect_blocking()?;
    stream.write_all(&greeting(name))?;
    stream.read_exact(&mut [0])
}
