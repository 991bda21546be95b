//! A gate that tasks wait at, in whatever process they run: no test sleeps to see whether a task has begun.
//!
//! A task connects to the gate's socket and says its name; the test sees it arrive, lets it go when it likes, and
//! sees it vanish when it is dropped or killed.

use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use crate::run::within;

/// A directory that is removed with its owner.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// A new directory.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("podpool-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        if let Err(error) = std::fs::create_dir_all(&path) {
            panic!("{} cannot be made: {error}", path.display());
        }
        Self(path)
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A process that still writes here only leaves an empty directory behind.
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// Where tasks wait until the test lets them go. When it is dropped, all go, and later ones do not wait.
///
/// A task may run more than once. Executions with the name of one that was let go pass without stopping; those that
/// come while it waits wait with it, unseen.
#[derive(Debug)]
pub struct Gate {
    scratch: Scratch,
    book: Arc<Mutex<Book>>,
    arrivals: tokio::sync::Mutex<UnboundedReceiver<u32>>,
    porter: JoinHandle<()>,
}

/// Who waits and who may pass.
#[derive(Debug, Default)]
struct Book {
    waiting: HashMap<u32, Vec<UnixStream>>,
    passed: HashSet<u32>,
}

impl Gate {
    /// A closed gate. It needs a tokio runtime.
    ///
    /// # Panics
    /// When its socket cannot be made.
    #[must_use]
    pub fn new() -> Self {
        let scratch = Scratch::new();
        let listener = match UnixListener::bind(scratch.path().join("gate")) {
            Ok(listener) => listener,
            Err(error) => panic!("a gate cannot be made: {error}"),
        };
        let book = Arc::new(Mutex::new(Book::default()));
        let (announce, arrivals) = unbounded_channel();
        let porter = tokio::spawn(receive(listener, Arc::clone(&book), announce));
        Self {
            scratch,
            book,
            arrivals: tokio::sync::Mutex::new(arrivals),
            porter,
        }
    }

    /// The gate's address, for tasks.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.scratch.path().join("gate")
    }

    /// The next task that comes to the gate.
    ///
    /// # Panics
    /// When none comes in time.
    pub async fn arrival(&self) -> Guest {
        let next = async { self.arrivals.lock().await.recv().await };
        match within("a task at the gate", next).await {
            Some(name) => Guest {
                name,
                book: Arc::clone(&self.book),
            },
            None => panic!("the gate's socket broke"),
        }
    }

    /// Lets the next so many tasks go as they come.
    ///
    /// # Panics
    /// When they do not come in time.
    pub async fn pass(&self, tasks: usize) {
        for _ in 0..tasks {
            drop(self.arrival().await);
        }
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.porter.abort();
        open(&self.book).waiting.clear();
    }
}

fn open(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes tasks in, and announces each name once.
async fn receive(listener: UnixListener, book: Arc<Mutex<Book>>, announce: UnboundedSender<u32>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut name = [0; 4];
        // A task that was killed on its way is no guest.
        if stream.read_exact(&mut name).await.is_err() {
            continue;
        }
        let name = u32::from_le_bytes(name);
        let mut book = open(&book);
        if book.passed.contains(&name) {
            continue;
        }
        let streams = book.waiting.entry(name).or_default();
        streams.push(stream);
        if streams.len() == 1 {
            // Nobody listens any more when the test ends.
            announce.send(name).ok();
        }
    }
}

/// A task that waits at a gate. When it is dropped, the task goes.
#[derive(Debug)]
pub struct Guest {
    /// The name that the task gave.
    pub name: u32,
    book: Arc<Mutex<Book>>,
}

impl Guest {
    /// Lets the task go.
    pub fn let_go(self) {}

    /// Waits until the task is there no more: its future was dropped, or its process killed.
    ///
    /// # Panics
    /// When it is still there after a while.
    pub async fn vanished(self) {
        for mut stream in self.open() {
            let mut byte = [0];
            let gone = within("the end of a task at the gate", stream.read(&mut byte)).await;
            assert!(
                !matches!(gone, Ok(1..)),
                "a task talks at the gate instead of going"
            );
        }
    }

    /// Lets later executions of the task pass. Those that wait go when their streams are dropped.
    fn open(&self) -> Vec<UnixStream> {
        let mut book = open(&self.book);
        book.passed.insert(self.name);
        book.waiting.remove(&self.name).unwrap_or_default()
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        drop(self.open());
    }
}

/// Waits at a gate; for tasks.
pub async fn wait_at(gate: &Path, name: u32) {
    let Ok(mut stream) = UnixStream::connect(gate).await else {
        // The gate is open.
        return;
    };
    if stream.write_all(&name.to_le_bytes()).await.is_ok() {
        stream.read_u8().await.ok();
    }
}

/// The same, blocking the thread.
pub fn block_at(gate: &Path, name: u32) {
    let Ok(mut stream) = BlockingStream::connect(gate) else {
        return;
    };
    if stream.write_all(&name.to_le_bytes()).is_ok() {
        stream.read_exact(&mut [0]).ok();
    }
}
