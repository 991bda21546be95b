//! A gate: a meeting for tasks that may run more than once. Each name is announced once; after its release every
//! execution with that name passes.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use crate::address::Address;
use crate::limits::within;
use crate::meeting::{self, Meeting};

/// Where tasks wait until the test releases them. When the gate is dropped, all waiting tasks are released, and later
/// tasks do not wait.
///
/// A task may run more than once. Executions with a name that was released pass without a wait. Executions that come
/// while another one of the same name waits are not announced, and are released together with that one.
#[derive(Debug)]
pub struct Gate {
    address: Address,
    book: Arc<Mutex<Book>>,
    arrivals: tokio::sync::Mutex<UnboundedReceiver<u32>>,
    porter: JoinHandle<()>,
}

/// The executions that wait, by name, and the names that may pass.
#[derive(Debug, Default)]
struct Book {
    waiting: HashMap<u32, Vec<meeting::Guest>>,
    passed: HashSet<u32>,
}

impl Gate {
    /// A closed gate on this machine. Needs a tokio runtime.
    ///
    /// # Panics
    /// When its socket cannot be made.
    #[must_use]
    pub fn new() -> Self {
        Self::of(Meeting::new())
    }

    /// A closed gate that pods reach under this host. Needs a tokio runtime.
    ///
    /// # Panics
    /// When its socket cannot be made.
    #[must_use]
    pub fn at(host: &str) -> Self {
        Self::of(Meeting::at(host))
    }

    fn of(meeting: Meeting) -> Self {
        let address = meeting.address();
        let book = Arc::new(Mutex::new(Book::default()));
        let (announce, arrivals) = unbounded_channel();
        let porter = tokio::spawn(receive(meeting, Arc::clone(&book), announce));
        Self {
            address,
            book,
            arrivals: tokio::sync::Mutex::new(arrivals),
            porter,
        }
    }

    /// The gate's address, for tasks.
    #[must_use]
    pub fn address(&self) -> Address {
        self.address.clone()
    }

    /// The next task that arrives at the gate.
    ///
    /// # Panics
    /// When no task arrives in time.
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

    /// Releases the next so many tasks, each when it arrives.
    ///
    /// # Panics
    /// When the tasks do not arrive in time.
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

/// Accepts executions, and announces each name once.
async fn receive(meeting: Meeting, book: Arc<Mutex<Book>>, announce: UnboundedSender<u32>) {
    while let Ok(guest) = meeting.accept().await {
        let name = guest.name;
        let mut book = open(&book);
        // The guest is dropped, which closes its stream: the execution ends as if the meeting were over.
        if book.passed.contains(&name) {
            continue;
        }
        let guests = book.waiting.entry(name).or_default();
        guests.push(guest);
        if guests.len() == 1 {
            // The receiver is gone when the test ends.
            announce.send(name).ok();
        }
    }
}

/// A task that waits at a gate. When this value is dropped, the task is released.
#[derive(Debug)]
pub struct Guest {
    /// The name that the task gave.
    pub name: u32,
    book: Arc<Mutex<Book>>,
}

impl Guest {
    /// Releases the task.
    pub fn let_go(self) {}

    /// Waits until no execution of the task is left: its future was dropped, or its process killed.
    ///
    /// # Panics
    /// When an execution is still there at the limit of a step.
    pub async fn vanished(self) {
        for guest in self.open() {
            guest.vanished().await;
        }
    }

    /// Lets later executions of the task pass. The waiting ones are returned, and are released when they are dropped.
    fn open(&self) -> Vec<meeting::Guest> {
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
