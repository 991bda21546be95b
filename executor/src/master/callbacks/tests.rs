//! Callbacks on their thread, without one, and in a shutdown.

use super::*;

thread_local! {
    /// Whether the system refuses threads that are started from this one.
    pub(super) static REFUSES: Cell<bool> = const { Cell::new(false) };
}

/// Runs a future to its end; a hang fails.
async fn bounded<T>(future: impl Future<Output = T>) -> T {
    let ended = tokio::time::timeout(Duration::from_secs(10), future).await;
    ended.expect("it does not hang")
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a bomb");
    }
}

#[tokio::test]
async fn callbacks_run_in_order_on_another_thread_and_after_a_panic() {
    let callbacks = Callbacks::default();
    let (sender, seen) = mpsc::channel();
    for n in 0..100 {
        let sender = sender.clone();
        callbacks.queue(Box::new(move || {
            sender.send((n, thread::current().id())).unwrap();
            assert_ne!(n, 50, "callbacks may panic");
            if n == 70 {
                std::panic::panic_any(Bomb);
            }
        }));
    }
    bounded(callbacks.idle()).await;
    let seen: Vec<_> = seen.try_iter().collect();
    assert!(seen.iter().map(|(n, _)| *n).eq(0..100));
    assert!(seen.iter().all(|(_, id)| *id != thread::current().id()));
}

#[test]
fn the_thread_ends_when_the_last_sender_is_dropped() {
    let callbacks = Callbacks::default();
    let (alive, ended) = mpsc::channel::<()>();
    callbacks.queue(Box::new(move || {
        thread_local!(static ALIVE: std::cell::OnceCell<Sender<()>> = const { std::cell::OnceCell::new() });
        ALIVE.with(|cell| cell.set(alive).expect("it runs once"));
    }));
    drop(callbacks);
    let end = ended.recv_timeout(Duration::from_secs(10));
    assert_eq!(end, Err(mpsc::RecvTimeoutError::Disconnected));
}

#[tokio::test]
async fn a_callback_that_waits_for_all_of_them_does_not_wait_for_itself() {
    let callbacks = Callbacks::default();
    let (sender, seen) = mpsc::channel();
    for n in 0..3 {
        let (sender, inner) = (sender.clone(), callbacks.clone());
        callbacks.queue(Box::new(move || {
            crate::client::future::fake::block_on(inner.idle());
            sender.send(n).unwrap();
        }));
    }
    bounded(callbacks.idle()).await;
    assert_eq!(seen.try_iter().collect::<Vec<_>>(), [0, 1, 2]);
}

/// Even a payload that panics while it is dropped does not end the thread.
#[tokio::test]
async fn no_panic_ends_the_thread() {
    struct Malicious;
    impl Drop for Malicious {
        fn drop(&mut self) {
            std::panic::panic_any(Self);
        }
    }
    let callbacks = Callbacks::default();
    let (sender, seen) = mpsc::channel();
    callbacks.queue(Box::new(|| std::panic::panic_any(Malicious)));
    callbacks.queue(Box::new(move || sender.send(()).unwrap()));
    bounded(callbacks.idle()).await;
    seen.try_recv().expect("the next one runs");
}

#[tokio::test]
async fn without_a_thread_callbacks_wait_for_one_and_keep_their_order() {
    let callbacks = Callbacks::default();
    let (sender, seen) = mpsc::channel();
    let here = thread::current().id();
    let queue = |n: u32| {
        let sender = sender.clone();
        callbacks.queue(Box::new(move || {
            sender.send((n, thread::current().id() == here)).unwrap();
        }));
    };
    REFUSES.set(true);
    queue(0);
    queue(1);
    assert!(
        seen.try_recv().is_err(),
        "never on the thread that ends a task"
    );
    REFUSES.set(false);
    queue(2);
    bounded(callbacks.idle()).await;
    let ran: Vec<_> = seen.try_iter().collect();
    assert_eq!(ran, [(0, false), (1, false), (2, false)]);

    let callbacks = Callbacks::default();
    REFUSES.set(true);
    let sender = sender.clone();
    callbacks.queue(Box::new(move || {
        sender.send((3, thread::current().id() == here)).unwrap();
    }));
    bounded(callbacks.idle()).await;
    assert_eq!(
        seen.try_recv(),
        Ok((3, true)),
        "the caller of the shutdown runs them"
    );
}
