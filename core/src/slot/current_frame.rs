//! What the threads of a slot share: the task that runs, the results that wait, and the way up to the worker.
//!
//! One thread runs tasks, one reads revocations and cancellations, one sends results that wait too long behind a
//! long task. A task costs two uncontended locks.

use std::collections::HashSet;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};
use std::thread::{self, Thread};
use std::time::Duration;

use tokio::time::Instant;

use crate::cancellation::Cancellation;
use crate::id::{Attempt, TaskId};
use crate::lock::lock;

use super::wire::RESULTS_HEAD;

/// Results older than this do not wait for the end of their frame.
// A little less than a frame is worth (4 ms): a frame of short tasks sends one message, and a result behind a long task
// waits 6 ms at most, for the flusher looks every 3 ms.
const FLUSH_AFTER: Duration = Duration::from_millis(3);
/// Results past this many bytes are sent before the frame ends.
// A quarter of the requested size of the socket's buffer (1 MiB): such a message goes out without a wait for the
// reader.
const AT_ONCE: usize = 256 * 1024;
/// A buffer past this many bytes is not kept for the next results.
const KEPT: usize = 4 << 20;

/// The way up to the worker.
pub(super) trait Uplink: Send + 'static {
    /// Sends results. `bytes` begins with [`RESULTS_HEAD`] bytes to fill; it may be taken or left for the next.
    fn results(&mut self, frame: u64, count: u32, bytes: &mut Vec<u8>);

    /// Answers a revocation.
    fn reclaimed(&mut self, frame: u64, kept: u32);
}

/// Whether the next task of the frame runs.
#[derive(Debug)]
pub(super) enum Claim {
    /// It runs with this token.
    Run(Cancellation),
    /// It was cancelled before it began.
    Cancelled,
    /// It and all after it were reclaimed.
    Reclaimed,
}

/// What runs now.
#[derive(Debug, Default)]
struct Current {
    /// The frame that began last; numbers grow.
    frame: Option<u64>,
    /// Whether that frame still runs.
    running: bool,
    /// Tasks of it that began.
    begun: u32,
    reclaimed: bool,
    task: Option<(TaskId, Attempt, Cancellation)>,
    /// Reclaimed frames that have not begun.
    early: Vec<u64>,
    /// Cancelled tasks of this frame and later ones that have not begun.
    cancelled: HashSet<(u64, TaskId, Attempt)>,
}

/// Results that wait; `bytes` begins with room for the message's head.
#[derive(Debug)]
struct Done {
    frame: u64,
    count: u32,
    bytes: Vec<u8>,
    since: Instant,
}

/// See the module.
#[derive(Debug)]
pub(super) struct CurrentFrame<U> {
    current: Mutex<Current>,
    done: Mutex<Done>,
    // Order of locks: `uplink`, then `done`. `current` is never held together with another.
    uplink: Mutex<U>,
    /// Whether a frame of several tasks runs.
    packed: AtomicBool,
    flusher: OnceLock<Thread>,
    flusher_sleeps: AtomicBool,
    retired: AtomicBool,
}

impl<U: Uplink> CurrentFrame<U> {
    pub(super) fn new(uplink: U) -> Self {
        Self {
            current: Mutex::default(),
            done: Mutex::new(Done {
                frame: 0,
                count: 0,
                bytes: empty_results(),
                since: Instant::now(),
            }),
            uplink: Mutex::new(uplink),
            packed: AtomicBool::new(false),
            flusher: OnceLock::new(),
            flusher_sleeps: AtomicBool::new(false),
            retired: AtomicBool::new(false),
        }
    }

    /// A frame begins. False when it was reclaimed before.
    pub(super) fn begin(&self, frame: u64, count: u32) -> bool {
        {
            let mut current = lock(&self.current);
            current.frame = Some(frame);
            // Numbers grow, so cancellations of earlier frames can match no task any more; without this they would stay
            // for the life of the slot.
            if !current.cancelled.is_empty() {
                current.cancelled.retain(|(its, ..)| *its >= frame);
            }
            if let Some(at) = current.early.iter().position(|early| *early == frame) {
                current.early.swap_remove(at);
                return false;
            }
            current.running = true;
            current.begun = 0;
            current.reclaimed = false;
        }
        // No results of the frame before are left: `end` has flushed them, so none is sent under this number.
        lock(&self.done).frame = frame;
        if count > 1 {
            // Stored before `wake_flusher` reads the other flag, see `sleep`.
            self.packed.store(true, Ordering::SeqCst);
            self.wake_flusher();
        }
        true
    }

    fn wake_flusher(&self) {
        // A load first: while it is awake, frames do not fight for the line that it writes.
        if self.flusher_sleeps.load(Ordering::SeqCst)
            && self.flusher_sleeps.swap(false, Ordering::SeqCst)
            && let Some(flusher) = self.flusher.get()
        {
            flusher.unpark();
        }
    }

    /// Lets the thread that flushes end.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::SeqCst);
        self.wake_flusher();
    }

    /// The next task of the frame is due.
    pub(super) fn claim(&self, task: TaskId, attempt: Attempt) -> Claim {
        let mut current = lock(&self.current);
        if current.reclaimed {
            return Claim::Reclaimed;
        }
        // Counted also for a cancelled task: it is answered, so the worker must count it among those that are kept.
        current.begun += 1;
        if !current.cancelled.is_empty()
            && let Some(frame) = current.frame
            && current.cancelled.remove(&(frame, task, attempt))
        {
            return Claim::Cancelled;
        }
        // Fresh for each task: one may keep a clone, and the next must not be cancelled with it.
        let mut token = current
            .task
            .take()
            .map_or_else(Cancellation::new, |(.., token)| token);
        token.renew();
        current.task = Some((task, attempt, token.clone()));
        Claim::Run(token)
    }

    /// A task's result: all of `result` after its head's room. It comes back empty.
    pub(super) fn finished(&self, result: &mut Vec<u8>, now: Instant) {
        let long = {
            let mut done = lock(&self.done);
            // What waits is sent before a long result, which then goes as it is.
            let crowded = done.count > 0 && done.bytes.len() + result.len() > AT_ONCE;
            if crowded {
                drop(done);
                self.flush();
                // Nothing was added since: this thread alone adds results, the flusher only takes them away.
                done = lock(&self.done);
            }
            if done.count == 0 {
                // The first result of a message is moved and not copied: a single large output never is.
                mem::swap(&mut done.bytes, result);
                done.since = now;
            } else {
                done.bytes.extend_from_slice(&result[RESULTS_HEAD..]);
            }
            done.count += 1;
            done.bytes.len() > AT_ONCE
        };
        clear_results(result);
        if long {
            self.flush();
        }
    }

    /// The frame ended: its last results go.
    pub(super) fn end(&self) {
        {
            let mut current = lock(&self.current);
            current.running = false;
            current.task = None;
        }
        // Before the last flush: the flusher may sleep from here on, and finds nothing to send if it does not.
        self.packed.store(false, Ordering::SeqCst);
        self.flush();
    }

    /// Sends what waits. The uplink is locked first, so that results keep their order whichever thread sends them.
    fn flush(&self) {
        let mut uplink = lock(&self.uplink);
        let (frame, count, mut bytes) = {
            let mut done = lock(&self.done);
            if done.count == 0 {
                return;
            }
            let count = mem::take(&mut done.count);
            (done.frame, count, mem::take(&mut done.bytes))
        };
        // The lock on results is not held here: a write to a full socket may block, and the runner must be able to go on.
        uplink.results(frame, count, &mut bytes);
        clear_results(&mut bytes);
        let mut done = lock(&self.done);
        if done.count == 0 {
            done.bytes = bytes;
        }
    }

    /// Answers for the task that runs, which ends with its process; what waits goes with it. False when none runs.
    #[cfg(unix)]
    pub(super) fn fail_running(
        &self,
        failure: &crate::outcome::Failure,
        began: Option<Instant>,
    ) -> bool {
        let Some((task, attempt)) = lock(&self.current)
            .task
            .as_ref()
            .map(|(task, attempt, _)| (*task, *attempt))
        else {
            return false;
        };
        let now = Instant::now();
        let elapsed = began.map_or(Duration::ZERO, |began| now.duration_since(began));
        let mut result = empty_results();
        crate::envelope::entry::put_failed(&mut result, task, attempt, elapsed, failure);
        self.finished(&mut result, now);
        self.flush();
        true
    }

    /// Starts no more tasks of `frame`, and reports how many began.
    pub(super) fn reclaim(&self, frame: u64) {
        let kept = {
            let mut current = lock(&self.current);
            match current.frame {
                Some(last) if frame < last => u32::MAX,
                Some(last) if frame == last && !current.running => u32::MAX,
                Some(last) if frame == last => {
                    current.reclaimed = true;
                    current.begun
                }
                _ => {
                    // The request overtook its frame: control and data are two sockets without an order between them.
                    current.early.push(frame);
                    0
                }
            }
        };
        // After the lock on the frame was let go: the socket may block, and the thread that runs tasks needs that lock
        // for each task.
        lock(&self.uplink).reclaimed(frame, kept);
    }

    /// Cancels a task of `frame` that runs, or will. In a frame that has ended nothing is left to cancel: the same
    /// attempt may come again in another, which was not meant.
    pub(super) fn cancel(&self, frame: u64, task: TaskId, attempt: Attempt) {
        let mut current = lock(&self.current);
        let here = current.frame == Some(frame);
        if current.frame.is_some_and(|last| frame < last) || (here && !current.running) {
            return;
        }
        let token = match &current.task {
            Some((running, its, token)) if here && (*running, *its) == (task, attempt) => {
                token.clone()
            }
            _ => {
                current.cancelled.insert((frame, task, attempt));
                return;
            }
        };
        drop(current);
        // Cancelling wakes the tasks that wait for it: not under this lock.
        token.cancel();
    }

    /// Cancels whatever runs.
    pub(super) fn cancel_running(&self) {
        let token = lock(&self.current)
            .task
            .as_ref()
            .map(|(.., token)| token.clone());
        if let Some(token) = token {
            token.cancel();
        }
    }

    /// Passes something else up, in order with the results.
    #[cfg_attr(
        not(unix),
        expect(dead_code, reason = "slots that are processes need it")
    )]
    pub(super) fn uplink<T>(&self, pass: impl FnOnce(&mut U) -> T) -> T {
        pass(&mut lock(&self.uplink))
    }

    /// The body of the thread that sends results which wait behind a long task. It runs only while frames of several tasks
    /// run, and then every few milliseconds.
    pub(super) fn flush_until_retired(&self) {
        if self.flusher.set(thread::current()).is_err() {
            return;
        }
        while !self.retired.load(Ordering::SeqCst) {
            // Before the pause: the flusher sleeps only when no frame of several tasks ran at either end of it.
            let before = self.packed.load(Ordering::SeqCst);
            thread::park_timeout(FLUSH_AFTER);
            // The lock is let go before the flush, which takes `uplink` first.
            let late = {
                let done = lock(&self.done);
                done.count > 0 && done.since.elapsed() >= FLUSH_AFTER
            };
            if late {
                self.flush();
            }
            // Two looks, so that a run of short frames does not pay for a wake-up each.
            if !before && !self.packed.load(Ordering::SeqCst) {
                self.sleep();
            }
        }
    }

    /// Sleeps until a frame of several tasks begins. Both sides write their flag before they read the other's, so at
    /// least one of them reads the new value.
    fn sleep(&self) {
        // Sequentially consistent on both sides: with weaker orderings both could read the old value of the other's flag, and
        // the flusher would sleep through a whole frame.
        self.flusher_sleeps.store(true, Ordering::SeqCst);
        while self.flusher_sleeps.load(Ordering::SeqCst)
            && !self.packed.load(Ordering::SeqCst)
            && !self.retired.load(Ordering::SeqCst)
        {
            // May return without reason, as the standard library permits, or at once by an `unpark` that came before:
            // hence the loop.
            thread::park();
        }
        self.flusher_sleeps.store(false, Ordering::SeqCst);
    }
}

/// A buffer for results with room for their head.
pub(super) fn empty_results() -> Vec<u8> {
    vec![0; RESULTS_HEAD]
}

/// Empties a buffer of results, and lets a large one go.
fn clear_results(bytes: &mut Vec<u8>) {
    if bytes.capacity() > KEPT || bytes.capacity() < RESULTS_HEAD {
        *bytes = empty_results();
    } else {
        bytes.clear();
        bytes.resize(RESULTS_HEAD, 0);
    }
}

#[cfg(test)]
mod tests;
