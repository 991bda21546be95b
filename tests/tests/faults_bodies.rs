//! Bodies that do to their slot what a body should not: they fork, throw what cannot be dropped, keep stdout's lock,
//! read the terminal.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a task fails by a panic, and prints to be heard"
)]

use std::panic::{catch_unwind, panic_any, resume_unwind};
use std::process::Stdio;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use fork::{Fork, fork};
use podpool::{Isolation, PodPoolExecutor, TaskErrorKind, TaskFuture};
use podpool_tests::bed::Bed;
use podpool_tests::faults::{built, describe, end, within};
use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Pid, WaitOptions, waitpid};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use tokio::process::Command;

podpool::test_slots!();

/// What a future resolves to, in time.
async fn value<T: serde::de::DeserializeOwned + 'static>(what: &str, future: TaskFuture<T>) -> T {
    within(what, future).await.unwrap()
}

/// The signal that ended a child.
fn end_of(child: i32) -> Option<i32> {
    let ended = waitpid(Pid::from_raw(child), WaitOptions::empty());
    ended.unwrap().unwrap().1.terminating_signal()
}

/// Forks where `n` says so; the child comes back with another value. The parent waits for its end.
fn forked(n: u64, every: u64) -> u64 {
    if n % every != 3 {
        return n;
    }
    match fork().unwrap() {
        Fork::Child => n + 1_000_000,
        Fork::Parent(child) => {
            assert_eq!(end_of(child), Some(9));
            n
        }
    }
}

#[podpool::task]
fn forks(n: u64, every: u64) -> u64 {
    forked(n, every)
}

#[podpool::task]
async fn forks_later(n: u64, every: u64) -> u64 {
    tokio::task::yield_now().await;
    let n = forked(n, every);
    tokio::task::yield_now().await;
    n
}

#[podpool::task]
fn forks_and_panics(n: u64, every: u64) -> u64 {
    let same = forked(n, every);
    assert_eq!(same, n, "the child could not go on");
    n
}

#[podpool::task]
fn forks_first() {
    forked(3, 4);
}

#[tokio::test]
async fn a_child_that_a_task_forks_never_answers_for_it() {
    let pool = built(describe(2).initializer(forks_first())).await;
    for n in 0..8 {
        assert_eq!(value("a task alone", pool.submit(forks(n, 4))).await, n);
    }
    // Packed, with what was measured to be short.
    let mut futures = Vec::new();
    for n in 0..300 {
        futures.push((n, pool.submit(forks(n, 50))));
        futures.push((n, pool.submit(forks_later(n, 50))));
        futures.push((n, pool.submit(forks_and_panics(n, 50))));
    }
    for (n, future) in futures {
        assert_eq!(value("a task", future).await, n);
    }
    end(pool).await;
}

#[tokio::test]
async fn a_child_that_a_callback_or_a_thread_forks_ends() {
    let builder = describe(1).isolation(Isolation::InProcess);
    let pool = built(builder).await;
    assert_eq!(value("a task", pool.submit(forks(3, 4))).await, 3);
    let (tell, told) = mpsc::channel();
    let ran = Arc::new(Mutex::new(tell));
    let future = pool.submit(forks(1, 4));
    for n in 0..3 {
        let ran = ran.clone();
        future.on_done(move |_| {
            if n == 1
                && let Fork::Parent(child) = fork().unwrap()
            {
                ran.lock().unwrap().send((n, end_of(child))).unwrap();
            } else {
                ran.lock().unwrap().send((n, None)).unwrap();
            }
        });
    }
    within("the task", future).await.unwrap();
    for expected in [(0, None), (1, Some(9)), (2, None)] {
        assert_eq!(told.recv_timeout(Duration::from_secs(20)), Ok(expected));
    }
    end(pool).await;
}

/// Panics when it is dropped, and what it throws does so too.
struct Bomb(u32);

impl Drop for Bomb {
    fn drop(&mut self) {
        if self.0 > 0 {
            panic_any(Self(self.0 - 1));
        }
    }
}

#[podpool::task]
fn throws_a_bomb() -> u64 {
    panic_any(Bomb(3))
}

#[podpool::task(timeout = "20s")]
async fn throws_a_bomb_later() -> u64 {
    tokio::task::yield_now().await;
    panic_any(Bomb(3))
}

async fn survives_bombs(pool: PodPoolExecutor) {
    for call in [throws_a_bomb(), throws_a_bomb_later()] {
        let error = within("the bomb", pool.submit(call)).await.unwrap_err();
        assert_eq!(error.kind(), TaskErrorKind::Panicked, "{error}");
        assert!(error.attempts().len() <= 1, "{error}");
        assert!(error.message().contains("faults_bodies.rs:"), "{error}");
    }
    assert_eq!(value("another", pool.submit(forks(1, 4))).await, 1);
    end(pool).await;
}

#[tokio::test]
async fn a_panic_that_panics_when_it_is_dropped_is_a_panic() {
    survives_bombs(built(describe(1)).await).await;
    survives_bombs(built(Bed::in_process().builder(1)).await).await;
}

#[podpool::task]
fn catches_its_own() -> bool {
    catch_unwind(|| panic!("expected, and caught")).is_err()
}

/// The line on which a thread of a task panics.
const UNLUCKY: u32 = line!() + 5;

#[podpool::task]
fn passes_on_a_panic() -> u64 {
    let thread = thread::spawn(|| -> u64 {
        panic!("the thread's own");
    });
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}

#[tokio::test]
async fn a_panic_from_another_thread_is_told_with_its_own_place() {
    let pool = built(describe(1)).await;
    assert_eq!(value("a catch", pool.submit(catches_its_own())).await, true);
    let error = within("a panic", pool.submit(passes_on_a_panic()))
        .await
        .unwrap_err();
    let place = format!("faults_bodies.rs:{UNLUCKY}:");
    assert!(
        error.message().starts_with("the thread's own, at "),
        "{error}"
    );
    assert!(error.message().contains(&place), "{error}");
    end(pool).await;
}

extern "C" fn cannot_unwind(n: u64) -> u64 {
    assert!(n % 50 != 3, "number {n} is unlucky");
    n
}

/// Called from C, say: a panic aborts the process.
#[podpool::task]
fn aborts_by_a_panic(n: u64) -> u64 {
    cannot_unwind(n)
}

#[podpool::task]
fn panics_twice() -> u64 {
    let _second = Bomb(1);
    panic!("the first of two");
}

#[tokio::test]
async fn a_panic_that_aborts_is_reported_once_and_harms_no_other_task() {
    let pool = built(describe(2)).await;
    let calls = (0..400).map(|n| (n, pool.submit(aborts_by_a_panic(n))));
    for (n, mut future) in calls.collect::<Vec<_>>() {
        let ended = within("an end", &mut future).await;
        if n % 50 == 3 {
            let error = ended.unwrap_err();
            assert_eq!(error.kind(), TaskErrorKind::Panicked, "{error}");
            assert_eq!(error.attempts().len(), 1, "{error}");
            let words = format!("number {n} is unlucky, at ");
            assert!(error.message().starts_with(&words), "{error}");
        } else {
            assert_eq!(ended.unwrap(), n);
            assert!(future.attempts().is_empty(), "the task beside it did it");
        }
    }
    let error = within("an end", pool.submit(panics_twice()))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), TaskErrorKind::Panicked, "{error}");
    assert_eq!(error.attempts().len(), 1, "{error}");
    end(pool).await;
}

#[tokio::test]
async fn a_task_that_reads_the_terminal_gets_an_error() {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let terminal = openpt(flags).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let path = ptsname(&terminal, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let its = open(path, flags, Mode::empty()).unwrap();
    let mut master = Command::new(env!("CARGO_BIN_EXE_faults-terminal"));
    master
        .arg("take")
        .stdin(Stdio::from(its))
        .kill_on_drop(true);
    let output = within("the master", master.output()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let no_such_device = "error Some(6)";
    let expected = ["terminal true", "leads true", no_such_device];
    assert!(said.lines().eq(expected), "{output:?}");
}

/// Leaves a thread behind that holds stdout's lock for ever; prints before, and leaves the line open.
#[podpool::task]
fn leaves_a_lock() -> u64 {
    print!("an open line");
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let _lock = std::io::stdout().lock();
        tell.send(()).unwrap();
        loop {
            thread::park();
        }
    });
    told.recv().unwrap();
    7
}

#[tokio::test]
async fn a_lock_that_a_thread_keeps_holds_no_result_back() {
    let pool = built(describe(1)).await;
    assert_eq!(value("a short task", pool.submit(forks(1, 4))).await, 1);
    assert_eq!(value("the lock", pool.submit(leaves_a_lock())).await, 7);
    let began = Instant::now();
    for n in 0..200 {
        assert_eq!(
            value("a task after it", pool.submit(forks(n, 1000))).await,
            n
        );
    }
    // A wait for each would take 20 s.
    assert!(began.elapsed() < Duration::from_secs(10));
    end(pool).await;
}
