//! Waiting without any runtime: a future is polled on the calling thread, which sleeps in between.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// Wakes a thread that is parked.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Drives a future to its end on this thread, without a runtime.
///
/// # Panics
/// When the future has not ended within `limit`; `what` names the future.
pub fn block_on<F: Future>(what: &str, limit: Duration, future: F) -> F::Output {
    let start = Instant::now();
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        // A wake-up between the poll and the park is not lost: `unpark` leaves a token, and the park returns at once.
        let left = limit.saturating_sub(start.elapsed());
        assert!(!left.is_zero(), "{what} was not there within {limit:?}");
        thread::park_timeout(left);
    }
}
