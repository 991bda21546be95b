//! A place where tasks wait, in whatever process they run, until the test lets them go.
//!
//! A task says its name and its process; the test sees it come, kills its process or lets it go, and sees it vanish.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use super::within;

/// A directory that is removed with its owner.
#[derive(Debug)]
pub struct Directory(PathBuf);

impl Directory {
    /// A new directory.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("podpool-faults-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        if let Err(error) = std::fs::create_dir_all(&path) {
            panic!("{} cannot be made: {error}", path.display());
        }
        Self(path)
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Default for Directory {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What another process still writes only stays behind in the system's own directory.
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// Where tasks wait.
#[derive(Debug)]
pub struct Meeting {
    directory: Directory,
    listener: UnixListener,
}

impl Meeting {
    /// A new place. It needs a tokio runtime.
    ///
    /// # Panics
    /// When its socket cannot be made.
    #[must_use]
    pub fn new() -> Self {
        let directory = Directory::new();
        match UnixListener::bind(directory.path().join("meeting")) {
            Ok(listener) => Self {
                directory,
                listener,
            },
            Err(error) => panic!("there is no place to meet: {error}"),
        }
    }

    /// Its address, for tasks.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("meeting")
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

    async fn accept(&self) -> io::Result<Guest> {
        loop {
            let (mut stream, _) = self.listener.accept().await?;
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

/// A task that waits.
#[derive(Debug)]
pub struct Guest {
    /// The name that it gave.
    pub name: u32,
    /// Its process.
    pub pid: u32,
    stream: UnixStream,
}

impl Guest {
    /// Lets the task go on.
    pub async fn let_go(mut self) {
        // A task whose process was killed does not read it.
        self.stream.write_u8(1).await.ok();
    }

    /// Kills its process, and waits until it is gone.
    ///
    /// # Panics
    /// When there is no such process, or it does not go.
    pub async fn kill(self) {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let killed = pid.map(|pid| kill_process(pid, Signal::KILL));
        assert_eq!(
            killed,
            Some(Ok(())),
            "process {} cannot be killed",
            self.pid
        );
        self.vanished().await;
    }

    /// Waits until the task is there no more.
    ///
    /// # Panics
    /// When it is still there after a while.
    pub async fn vanished(mut self) {
        let left = within("the end of a task", self.stream.read_u8()).await;
        assert!(left.is_err(), "the task talks instead of going");
    }
}

/// Waits at a meeting, with the thread blocked; for tasks.
///
/// # Errors
/// When nobody is there.
pub fn meet_at(meeting: &Path, name: u32) -> io::Result<()> {
    let mut stream = BlockingStream::connect(meeting)?;
    stream.write_all(&name.to_be_bytes())?;
    stream.write_all(&std::process::id().to_be_bytes())?;
    stream.read_exact(&mut [0])
}
