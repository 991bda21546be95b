//! What a task printed without a line's end: it goes out before its result, unless a thread holds stdout's lock.
//!
//! The standard library has no way to try that lock. So while no thread runs that a task may have started, the slot
//! flushes stdout itself: no other thread can hold the lock. Beside such threads another one flushes, which is waited for
//! a moment only.

use std::io::Write;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use crate::lock::lock;

use super::threads;

/// How long a result waits for a flush. A lock that is held longer is held for long.
// A flush into a pipe that the worker reads takes microseconds. A tenth of a second is waited for once: while a late
// flush is under way, no result waits again.
const FLUSH_WITHIN: Duration = Duration::from_millis(100);
/// Beside other threads the tasks of a frame are flushed together, this often: each flush costs two changes of thread.
// A quarter of a frame's worth (4 ms): at most a few flushes for a frame.
const GATHER: Duration = Duration::from_millis(1);

/// See the module.
#[derive(Debug)]
pub(super) struct Stdout {
    /// Threads of this process that no task started; none where the system does not report them.
    own: Option<u64>,
    /// Whether others run.
    others: bool,
    /// Since when something may wait for a flush.
    since: Option<Instant>,
    flusher: Option<Arc<Flusher>>,
}

impl Stdout {
    /// For a process in which all threads so far are no task's.
    pub(super) fn new() -> Self {
        let own = threads::count();
        Self {
            own,
            others: own.is_none(),
            since: None,
            flusher: None,
        }
    }

    /// A body has ended. `long` is set where it took the time in which a thread can be started.
    pub(super) fn after_body(&mut self, long: bool, now: Instant) {
        if (long || self.others)
            && let Some(own) = self.own
            && let Some(count) = threads::count()
        {
            // Threads from before the first task may have ended: then fewer are the slot's own.
            self.own = Some(own.min(count));
            self.others = count > own;
        }
        if !self.others {
            // An error leaves nothing to do: the line follows at the next flush, or the pipe has no reader any more.
            drop(std::io::stdout().flush());
        } else if now.duration_since(*self.since.get_or_insert(now)) >= GATHER {
            self.before_results();
        }
    }

    /// Results are about to be sent.
    pub(super) fn before_results(&mut self) {
        if self.since.take().is_some()
            && let Some(flusher) = self.flusher()
        {
            // A thread of the task may hold stdout's lock for ever. Its lines may then come late; the slot must not stand still.
            flusher.flush_within(FLUSH_WITHIN);
        }
    }

    /// Starts the thread that flushes. Where it does not start, the open line follows later.
    fn flusher(&mut self) -> Option<Arc<Flusher>> {
        if self.flusher.is_none() {
            let flusher = Arc::new(Flusher::default());
            let its = flusher.clone();
            thread::Builder::new()
                .name("podpool-stdout".to_owned())
                .stack_size(super::SMALL_STACK)
                .spawn(move || its.run(|| drop(std::io::stdout().flush())))
                .ok()?;
            // The flusher itself is no task's thread; uncounted, it would pass for one for ever.
            self.own = self.own.map(|own| own + 1);
            self.flusher = Some(flusher);
        }
        self.flusher.clone()
    }
}

/// The thread that flushes, and the requests to it.
#[derive(Debug, Default)]
struct Flusher {
    asked: Mutex<Asked>,
    changed: Condvar,
}

/// How many flushes were requested, and how many of those are done.
#[derive(Debug, Default)]
struct Asked {
    asked: u64,
    done: u64,
}

impl Flusher {
    /// Requests a flush, and waits for it. False when it did not end in time; one that came late already is not waited
    /// for again.
    fn flush_within(&self, patience: Duration) -> bool {
        let mut state = lock(&self.asked);
        let late = state.asked > state.done;
        state.asked += 1;
        let mine = state.asked;
        self.changed.notify_all();
        if late {
            return false;
        }
        let waited = self
            .changed
            .wait_timeout_while(state, patience, |state| state.done < mine);
        waited.is_ok_and(|(_, waited)| !waited.timed_out())
    }

    /// The body of the thread.
    fn run(&self, mut flush: impl FnMut()) {
        loop {
            let asked = {
                let mut state = lock(&self.asked);
                while state.asked == state.done {
                    state = match self.changed.wait(state) {
                        Ok(state) => state,
                        Err(poisoned) => poisoned.into_inner(),
                    };
                }
                state.asked
            };
            flush();
            // Not `asked` as it is now: requests that came during the flush need another one.
            lock(&self.asked).done = asked;
            self.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{channel, sync_channel};

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn a_flush_that_hangs_is_waited_for_once() {
        let flusher = Arc::new(Flusher::default());
        let its = flusher.clone();
        let (begun, begins) = channel();
        let (free, freed) = sync_channel::<()>(0);
        let flush = move || {
            begun.send(()).unwrap();
            freed.recv().unwrap();
        };
        thread::spawn(move || its.run(flush));
        assert!(!flusher.flush_within(Duration::from_millis(10)));
        begins.recv_timeout(LONG).unwrap();
        // The flush has not ended: no caller waits for it, however long it takes.
        assert!(!flusher.flush_within(LONG));
        free.send(()).unwrap();
        // The requests that came meanwhile are one flush more.
        begins.recv_timeout(LONG).unwrap();
        free.send(()).unwrap();
        let mut state = lock(&flusher.asked);
        while state.done < state.asked {
            state = flusher.changed.wait_timeout(state, LONG).unwrap().0;
        }
        drop(state);
        let freer = thread::spawn(move || free.send(()).unwrap());
        assert!(flusher.flush_within(LONG), "it is waited for again");
        freer.join().unwrap();
    }
}
