//! The thread of an outlet: it passes items to the consumer, which may block.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::Duration;

use super::Shared;
use crate::deadline::later;
use crate::lock::lock;

/// Most items that are handed over at once: the count of items that are not handed over is exact to within so many.
// One lock for so many items. At double, a report at the end of a program could be wrong by twice as many lines; at
// half, the lock is taken twice as often.
pub(super) const AT_ONCE: usize = 64;
/// How long after a refused thread another one is tried.
// The system is short of threads or memory then; a thread a second does not make that worse.
const ANOTHER_THREAD: Duration = Duration::from_secs(1);

impl<T: Send + 'static> Shared<T> {
    pub(super) fn start(self: &Arc<Self>) -> io::Result<()> {
        {
            let mut state = lock(&self.state);
            // No consumer: the thread has begun, and has taken it. `starting` is true from here until a refusal, so
            // that no second thread is started in between.
            if state.consumer.is_none() || state.starting {
                return Ok(());
            }
            state.starting = true;
        }
        let shared = self.clone();
        let thread = thread::Builder::new().name(self.name.to_owned());
        // Without the lock: a start may take milliseconds, and the executor's thread puts items in meanwhile.
        let started = thread.spawn(move || shared.live());
        if let Err(error) = started {
            lock(&self.state).starting = false;
            return Err(error);
        }
        Ok(())
    }

    /// If the system refuses the thread, the items wait and the start is repeated.
    pub(super) fn start_or_try_again(self: &Arc<Self>) {
        if self.start().is_ok() || std::mem::replace(&mut lock(&self.state).trying, true) {
            return;
        }
        let shared = self.clone();
        later(ANOTHER_THREAD, move || {
            lock(&shared.state).trying = false;
            shared.start_or_try_again();
        });
    }

    /// The body of the thread.
    fn live(&self) {
        let consumer = {
            let mut state = lock(&self.state);
            // Set before the first item, so that a consumer which waits for the buffer is recognised.
            state.thread = Some(thread::current().id());
            state.consumer.take()
        };
        let Some(mut consumer) = consumer else {
            return;
        };
        let mut items = VecDeque::with_capacity(AT_ONCE);
        while let Some(cost) = self.next(&mut items) {
            let count = items.len() as u64;
            // Consumers catch panics of the program's code; this is for panics outside of that. The items are lost
            // then.
            let taken = catch_unwind(AssertUnwindSafe(|| consumer.take(&mut items)));
            if let Err(panic) = taken {
                forget(panic);
            }
            items.clear();
            self.handed_over(cost, count);
        }
        // The consumer owns a sink or a subscriber of the program, which may panic when it is dropped.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(consumer))) {
            forget(panic);
        }
    }

    /// Waits for items, takes some and returns their cost. `None` when no more will come.
    fn next(&self, items: &mut VecDeque<T>) -> Option<usize> {
        let mut state = lock(&self.state);
        while state.queue.is_empty() {
            // A gap at the end, which no further item marks. Before the look at `closed`, or the last gap would be
            // lost.
            if state.unmarked > 0 {
                state.mark(self.gap);
                break;
            }
            // Closed and empty: an outlet that is dropped still hands over its items.
            if state.closed {
                return None;
            }
            state.asleep = true;
            let woken = self.more.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
            state.asleep = false;
        }
        let mut cost = 0_usize;
        while items.len() < AT_ONCE
            && let Some((its, item)) = state.queue.pop_front()
        {
            cost = cost.saturating_add(its);
            items.push_back(item);
        }
        Some(cost)
    }

    fn handed_over(&self, cost: usize, count: u64) {
        let mut state = lock(&self.state);
        // Given back only now: items in the consumer's hands still take their memory, and a blocked consumer keeps
        // them. It saturates because `held` does when it is added to.
        state.held = state.held.saturating_sub(cost);
        state.done += count;
        let done = state.done;
        let due = state.waiters.extract_if(.., |(at, _)| *at <= done);
        let due: Vec<_> = due.collect();
        drop(state);
        for (_, waiter) in due {
            // The receiver may have been dropped.
            waiter.send(()).ok();
        }
        self.less.notify_all();
    }
}

/// Leaks the payload of a panic: its drop may panic too.
fn forget(panic: Box<dyn std::any::Any + Send>) {
    std::mem::forget(panic);
}
