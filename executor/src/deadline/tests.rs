//! Tests of the thread that wakes timeouts.

use super::*;
use futures_util::FutureExt;
use futures_util::future::{Either, join_all, select};
use std::sync::{Arc, mpsc};

/// Runs a future without a runtime on a thread of its own; a hang fails.
fn bounded<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(crate::client::future::fake::block_on(future)));
    receiver
        .recv_timeout(Duration::from_secs(10))
        .expect("it does not hang")
}

#[test]
fn deadlines_fire_in_order_without_a_runtime() {
    bounded(async {
        // So late that it is not due when this thread polls it, however busy the machine is.
        let late = Deadline::after(Duration::from_secs(3600));
        let soon = Deadline::after(Duration::from_millis(5));
        // The sooner one is polled first: on a busy machine both may be due by then.
        let first = select(soon, late).await;
        assert!(
            matches!(first, Either::Left(_)),
            "the sooner one fires first"
        );
        let same = (0..50).map(|_| Deadline::after(Duration::from_millis(3)));
        join_all(same).await;
    });
}

#[test]
fn zero_is_due_at_once_and_never_is_not() {
    assert!(Deadline::after(Duration::ZERO).now_or_never().is_some());
    assert!(Deadline::after(Duration::MAX).now_or_never().is_none());
    assert!(Deadline::NEVER.now_or_never().is_none());
}

/// One thread keeps the timeouts of the whole process.
#[test]
fn a_waker_that_panics_does_not_end_the_thread() {
    struct Panics;
    impl std::task::Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("this waker was told to panic");
        }
    }
    let waker = Waker::from(Arc::new(Panics));
    let mut bad = Deadline::after(Duration::from_millis(1));
    assert!(
        Pin::new(&mut bad)
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    bounded(Deadline::after(Duration::from_millis(20)));
}

#[test]
fn a_job_runs_after_its_delay() {
    let (done, seen) = mpsc::channel();
    later(Duration::from_millis(1), move || done.send(()).unwrap());
    seen.recv_timeout(Duration::from_secs(10)).unwrap();
}

#[test]
fn a_dropped_deadline_is_forgotten() {
    let mut deadline = Deadline::after(Duration::from_secs(3600));
    assert!((&mut deadline).now_or_never().is_none());
    let key = deadline.key.expect("it is registered");
    assert!(lock(&timer().state).wakers.contains_key(&key));
    drop(deadline);
    assert!(!lock(&timer().state).wakers.contains_key(&key));
}
