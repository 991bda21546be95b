//! Bodies that do to their slot what a body should not: they fork, throw what cannot be dropped, keep stdout's lock,
//! read the terminal.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a task fails by a panic, and prints to be heard"
)]

use std::io::Write;
use std::panic::{catch_unwind, panic_any, resume_unwind};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use fork::{Fork, fork};
use podpool::options::Isolation;
use podpool::{PodPoolExecutor, TaskErrorKind, TaskFuture};
use podpool_tests::bed::Bed;
use podpool_tests::faults::{built, describe, describe_in, end, within};
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};
use rustix::process::{Pid, WaitOptions, waitpid};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use tokio::process::Command;

podpool::test_slots!();

/// What a future resolves to, in time.
async fn value<T: serde::de::DeserializeOwned + 'static>(what: &str, future: TaskFuture<T>) -> T {
    within(what, future).await.unwrap()
}

/// A sink may fork. The child has a copy of the thread that calls the sink, and must not pass lines on again.
#[tokio::test]
async fn a_child_that_a_sink_forks_ends() {
    let (tell, told) = mpsc::channel();
    let sink = move |line: podpool::options::OutputLine<'_>| {
        if let Fork::Parent(child) = fork().unwrap() {
            tell.send((line.line.to_owned(), end_of(child))).unwrap();
        }
    };
    let pool = built(describe(1).output(sink)).await;
    for n in 0..5 {
        value("a task", pool.submit(prints_much(n))).await;
    }
    end(pool).await;
    let told: Vec<_> = told.iter().collect();
    assert_eq!(told.len(), 15);
    assert!(told.iter().all(|(_, end)| *end == Some(9)));
}

/// The signal that ended a child.
fn end_of(child: i32) -> Option<i32> {
    let ended = waitpid(Pid::from_raw(child), WaitOptions::empty());
    ended.unwrap().unwrap().1.terminating_signal()
}

/// Forks where `n % every` is 3; the child returns another value, and podpool must kill the child before that value is
/// sent. The parent waits for the child's end.
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
    // The first tasks were measured as short, so these are packed: a child then holds the rest of a frame too.
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
    let builder = describe_in(Isolation::InProcess, 1);
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

/// Panics when it is dropped, with a payload that panics when that payload is dropped, and so on.
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
async fn a_panic_from_another_thread_is_reported_with_its_own_place() {
    let pool = built(describe(1)).await;
    assert!(value("a catch", pool.submit(catches_its_own())).await);
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

/// A panic that would leave an `extern "C"` function aborts the process, as it would below a callback from C.
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

/// Writes one line repeatedly, and continues once the named pipe at `path` was written to.
#[podpool::task]
fn makes_progress(path: PathBuf) -> u64 {
    for percent in [10, 20] {
        print!("\r{percent}%");
        std::io::stdout().flush().unwrap();
    }
    std::fs::read(path).unwrap();
    println!("\rdone");
    7
}

#[podpool::task]
fn prints_much(lines: usize) -> u64 {
    println!("{}", "x".repeat(1000));
    for n in 0..lines {
        println!("line {n}");
    }
    7
}

/// A pool of one slot, and the lines that its tasks print.
async fn heard(builder: podpool::Builder) -> (PodPoolExecutor, mpsc::Receiver<String>) {
    let (tell, lines) = mpsc::channel();
    let tell = Mutex::new(tell);
    let sink = move |line: podpool::options::OutputLine<'_>| {
        tell.lock().unwrap().send(line.line.to_owned()).unwrap();
    };
    (built(builder.output(sink)).await, lines)
}

#[tokio::test]
async fn progress_is_seen_while_it_is_made() {
    let (pool, lines) = heard(describe(1)).await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("go");
    mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).unwrap();
    let future = pool.submit(makes_progress(path.clone()));
    let wait = Duration::from_secs(20);
    let seen = tokio::task::spawn_blocking(move || {
        let mut seen = Vec::new();
        while seen.last().is_none_or(|last| last != "20%") {
            seen.push(lines.recv_timeout(wait).expect("progress before the end"));
        }
        (seen, lines)
    });
    let (mut seen, lines) = seen.await.unwrap();
    std::fs::write(path, "").unwrap();
    assert_eq!(value("the end", future).await, 7);
    end(pool).await;
    seen.extend(lines.try_iter());
    assert!(
        seen.iter().eq(["10%", "20%", "done"]) || seen.iter().eq(["20%", "done"]),
        "{seen:?}"
    );
}

#[tokio::test]
async fn what_is_left_out_of_the_output_is_bounded_by_settings_and_counted() {
    let builder = describe(1).output_line_bytes(100).output_rate(8 << 10);
    let (pool, lines) = heard(builder).await;
    assert_eq!(value("the end", pool.submit(prints_much(1000))).await, 7);
    end(pool).await;
    let seen: Vec<_> = lines.try_iter().collect();
    assert_eq!(
        seen[0],
        format!("{} ... (cut: a longer line)", "x".repeat(100))
    );
    let told = |line: &String| {
        let count = line.strip_prefix("podpool: ")?.split_once(" lines (")?;
        assert!(line.contains("Builder::output_rate"), "{line}");
        count.0.parse::<usize>().ok()
    };
    let left_out: usize = seen.iter().filter_map(told).sum();
    let passed = seen.iter().filter(|line| line.starts_with("line ")).count();
    assert!(left_out > 0, "{seen:?}");
    assert_eq!(passed + left_out, 1000);
    for builder in [describe(1).output_line_bytes(0), describe(1).output_rate(0)] {
        let error = builder.build().await.unwrap_err();
        assert!(error.to_string().contains("output_"), "{error}");
    }
}

/// Leaves a thread behind that holds stdout's lock without end; prints before, and leaves the line open.
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
    // A wait of 100 ms for the lock before each of the 200 results would take 20 s.
    assert!(began.elapsed() < Duration::from_secs(10));
    end(pool).await;
}
