//! A gate: a meeting for tasks that may run more than once. Each name is announced once, and passes once for all.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use crate::address::Address;
use crate::limits::within;
use crate::meeting::{self, Meeting};

/// Where tasks wait until the test lets them go. When it is dropped, all go, and later ones do not wait.
///
/// A task may run more than once. Executions with the name of one that was let go pass without stopping; those that
/// come while it waits wait with it, unseen.
#[derive(Debug)]
pub struct Gate {
    address: Address,
    book: Arc<Mutex<Book>>,
    arrivals: tokio::sync::Mutex<UnboundedReceiver<u32>>,
    porter: JoinHandle<()>,
}

/// Who waits and who may pass.
#[derive(Debug, Default)]
struct Book {
    waiting: HashMap<u32, Vec<meeting::Guest>>,
    passed: HashSet<u32>,
}

impl Gate {
    /// A closed gate on this machine. It needs a tokio runtime.
    ///
    /// # Panics
    /// When its socket cannot be made.
    #[must_use]
    pub fn new() -> Self {
        Self::of(Meeting::new())
    }

    /// A closed gate that pods reach under this host. It needs a tokio runtime.
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
async fn receive(meeting: Meeting, book: Arc<Mutex<Book>>, announce: UnboundedSender<u32>) {
    while let Ok(guest) = meeting.accept().await {
        let name = guest.name;
        let mut book = open(&book);
        if book.passed.contains(&name) {
            continue;
        }
        let guests = book.waiting.entry(name).or_default();
        guests.push(guest);
        if guests.len() == 1 {
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

    /// Waits until the task is there no more, in any execution: its future was dropped, or its process killed.
    ///
    /// # Panics
    /// When it is still there after a while.
    pub async fn vanished(self) {
        for guest in self.open() {
            guest.vanished().await;
        }
    }

    /// Lets later executions of the task pass. Those that wait go when they are dropped.
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
