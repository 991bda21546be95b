//! A directory as podpool's queue. Takers read the directory every few milliseconds: no notification of a new file is
//! used.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use podpool_core::queue::{Delivery, LeaseId, Queue, QueueError, QueueLimits};
use tokio::time::{Instant, sleep};

use super::files::{Files, last, names};

/// Largest message.
pub(super) const MESSAGE_BYTES: usize = 64 << 20;
/// The pause between two looks while the queue is empty.
const LOOK: Duration = Duration::from_millis(5);
/// The pause between two looks for leases that are over.
// A quarter of the shortest lease of the broker, and ten looks at the queue: a look reads the metadata of every lease.
const EXPIRED: Duration = Duration::from_millis(50);

/// The queues into which messages are put.
#[derive(Debug)]
enum Target {
    /// In this queue.
    Queue(Files),
    /// In each queue of this directory.
    Each(PathBuf),
}

/// A queue of files.
pub struct DirectoryQueue {
    target: Target,
    /// The files from which messages are taken; None for a queue that is only put to.
    source: Option<Files>,
    limits: QueueLimits,
    seen: Mutex<Seen>,
}

/// The result of the last look at the directory.
#[derive(Default)]
struct Seen {
    /// Messages that no taker had leased.
    waiting: VecDeque<String>,
    /// When leases were looked at.
    leases: Option<Instant>,
}

impl DirectoryQueue {
    /// The queue in this directory, whose messages are leased for so long.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, lease: Duration) -> Self {
        let files = Files::new(path);
        Self::of(Target::Queue(files.clone()), Some(files), lease)
    }

    /// Puts into each queue that this directory holds by then.
    pub(super) fn to_each(path: PathBuf, lease: Duration) -> Self {
        Self::of(Target::Each(path), None, lease)
    }

    /// Makes the directory of the queue.
    ///
    /// # Errors
    /// The system's error.
    pub fn make(&self) -> io::Result<()> {
        self.source.as_ref().map_or(Ok(()), Files::make)
    }

    fn of(target: Target, source: Option<Files>, lease: Duration) -> Self {
        Self {
            target,
            source,
            limits: QueueLimits::remote(MESSAGE_BYTES, lease),
            seen: Mutex::default(),
        }
    }

    fn name(&self) -> String {
        match &self.target {
            Target::Queue(files) => format!("directory {}", last(files.path())),
            Target::Each(path) => format!("directory {}", last(path)),
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, error: &io::Error) -> QueueError {
        let (queue, reason) = (self.name(), error.to_string());
        match error.kind() {
            ErrorKind::NotFound => QueueError::Vanished { queue, reason },
            ErrorKind::PermissionDenied => QueueError::Denied { queue, reason },
            _ => QueueError::Unavailable { queue, reason },
        }
    }

    fn source(&self) -> Result<&Files, QueueError> {
        self.source.as_ref().ok_or_else(|| QueueError::Gone {
            queue: self.name(),
            reason: "this queue is only put to".to_owned(),
        })
    }

    fn put_one(&self, body: &[u8]) -> Result<(), QueueError> {
        if body.len() > MESSAGE_BYTES {
            return Err(QueueError::TooLarge {
                size: body.len(),
                limit: MESSAGE_BYTES,
                queue: self.name(),
            });
        }
        let put = match &self.target {
            Target::Queue(files) => files.put(body),
            Target::Each(path) => put_to_each(path, body),
        };
        put.map_err(|error| self.failed(&error))
    }

    /// Takes the messages that can be taken now, `max` at most.
    fn take_now(&self, files: &Files, max: usize) -> io::Result<Vec<Delivery>> {
        // The names of the last look are used up first: to list and sort the directory for each message would make the
        // cost of a queue quadratic. A name that another taker has leased meanwhile is skipped.
        let mut seen = self.seen();
        let mut taken = Vec::new();
        let mut looked = false;
        while taken.len() < max {
            let Some(name) = seen.waiting.pop_front() else {
                if looked {
                    break;
                }
                looked = true;
                seen.look(files)?;
                continue;
            };
            if let Some((lease, body)) = files.lease(&name, self.limits.lease)? {
                let lease = LeaseId::new(lease);
                taken.push(Delivery { lease, body });
            }
        }
        Ok(taken)
    }

    /// Answers for leases, one by one.
    fn answer(
        &self,
        leases: &[LeaseId],
        done: impl Fn(&Files, &str) -> io::Result<bool>,
    ) -> Vec<Result<(), QueueError>> {
        let one = |lease: &LeaseId| match done(self.source()?, lease.as_str()) {
            Ok(true) => Ok(()),
            Ok(false) => Err(QueueError::LeaseLost(lease.clone())),
            Err(error) => Err(self.failed(&error)),
        };
        leases.iter().map(one).collect()
    }
}

impl Seen {
    fn look(&mut self, files: &Files) -> io::Result<()> {
        let now = Instant::now();
        if self.leases.is_none_or(|at| now >= at + EXPIRED) {
            files.give_back_expired()?;
            self.leases = Some(now);
        }
        self.waiting = files.waiting()?.into();
        Ok(())
    }
}

/// Puts a message into each queue of a directory. A queue that is removed meanwhile needs no message any more.
fn put_to_each(directory: &std::path::Path, body: &[u8]) -> io::Result<()> {
    for name in names(directory)? {
        let files = Files::new(directory.join(name));
        match files.put(body) {
            Err(error) if files.are_there() => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

#[async_trait]
impl Queue for DirectoryQueue {
    async fn put(&self, messages: Vec<Bytes>) -> Vec<Result<(), QueueError>> {
        messages.iter().map(|body| self.put_one(body)).collect()
    }

    async fn take(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
        let files = self.source()?;
        let start = Instant::now();
        loop {
            let taken = self.take_now(files, max);
            let taken = taken.map_err(|error| self.failed(&error))?;
            let left = wait.saturating_sub(start.elapsed());
            if !taken.is_empty() || left.is_zero() || max == 0 {
                return Ok(taken);
            }
            sleep(LOOK.min(left)).await;
        }
    }

    async fn extend(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        let time = self.limits.lease;
        self.answer(leases, |files, lease| files.renew(lease, time))
    }

    async fn ack(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        self.answer(leases, Files::remove)
    }

    async fn release(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        self.answer(leases, Files::give_back)
    }

    fn limits(&self) -> QueueLimits {
        self.limits
    }
}

impl fmt::Debug for DirectoryQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirectoryQueue")
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}
