//! A program whose streams, sink or subscriber block. The first argument chooses the part; each step that ends is
//! reported on standard error, one line a step.

#![expect(
    clippy::exit,
    reason = "a part that hangs ends so, and one that may lose its last lines"
)]

use std::future::{Future, pending};
use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, OnceLock, mpsc};
use std::time::Duration;

use podpool::Builder;
use podpool::options::OutputLine;
use podpool::prelude::*;
use tracing_subscriber::filter::LevelFilter;

/// The longest time that one step may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Prints so many lines of about so many bytes to both streams.
#[podpool::task]
fn chatty(lines: u32, bytes: usize) -> u32 {
    let rest = "x".repeat(bytes);
    for line in 0..lines {
        write_both(&format!("line {line} {rest}\n"));
    }
    lines
}

/// Writes as `println!` and `eprintln!` do, without their panic where a stream is closed.
fn write_both(text: &str) {
    io::stdout().write_all(text.as_bytes()).ok();
    io::stderr().write_all(text.as_bytes()).ok();
}

#[podpool::task]
fn quiet(n: u32) -> u32 {
    n
}

#[podpool::task(timeout = "300ms")]
async fn endless() -> u32 {
    pending().await
}

#[podpool::main]
async fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["lock", "stdout"] => hold_the_lock(io::stdout, describe()).await,
        ["lock", "stderr"] => hold_the_lock(io::stderr, describe()).await,
        ["subscriber"] => hold_what_the_subscriber_needs().await,
        ["clogged"] => clogged().await,
        ["sink", kind] => sink(kind).await,
        ["ordinary", end] => ordinary(end).await,
        _ => panic!("unknown part {arguments:?}"),
    }
}

fn describe() -> Builder {
    PodPoolExecutor::builder().max_workers(2)
}

async fn within<T>(what: &str, step: impl Future<Output = T>) -> T {
    match tokio::time::timeout(LIMIT, step).await {
        Ok(value) => {
            writeln!(io::stderr(), "done: {what}").ok();
            value
        }
        Err(_) => {
            // Not by `panic!`: its hook writes to standard error, which may be the stream that hangs.
            writeln!(io::stderr(), "HANGS: {what}").ok();
            std::process::exit(99)
        }
    }
}

/// The program holds the lock of a stream across an await of a task that prints. The executor must not wait for that
/// lock, or the task's result would never come.
async fn hold_the_lock<S: Lockable>(stream: fn() -> S, builder: Builder) {
    let pool = builder.build().await.expect("a pool");
    for n in 1..4 {
        let step = async {
            let mut locked = stream().locked();
            let result = pool.submit(chatty(n, 10)).await.expect("a result");
            writeln!(locked, "result {result}").expect("a stream");
        };
        if tokio::time::timeout(LIMIT, step).await.is_err() {
            std::process::exit(99);
        }
    }
    within("shutdown", pool.shutdown()).await.expect("no fault");
}

/// A stream with a lock for which every other writer of the process waits.
trait Lockable {
    fn locked(self) -> Box<dyn Write>;
}

impl Lockable for io::Stdout {
    fn locked(self) -> Box<dyn Write> {
        Box::new(self.lock())
    }
}

impl Lockable for io::Stderr {
    fn locked(self) -> Box<dyn Write> {
        Box::new(self.lock())
    }
}

/// No task prints, but the subscriber writes events of the executor and of its lease keeper to standard output, whose
/// lock the program holds.
async fn hold_what_the_subscriber_needs() {
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::DEBUG)
        .with_writer(io::stdout)
        .init();
    // A lease of 300 ms makes the lease keeper renew, and log, while the task of 300 ms runs.
    let builder = describe().lease(Duration::from_millis(300));
    let pool = builder.build().await.expect("a pool");
    for n in 0..3 {
        let step = async {
            let mut locked = io::stdout().locked();
            let result = pool.submit(quiet(n)).await.expect("a result");
            let late = pool.submit(endless()).await.expect_err("a timeout");
            writeln!(locked, "result {result} {:?}", late.kind()).expect("a stream");
        };
        within("a step", step).await;
    }
    within("shutdown", pool.shutdown()).await.expect("no fault");
}

/// The test does not read standard output: the pipe is full after 64 KiB (man7.org/linux/man-pages/man7/pipe.7.html).
async fn clogged() {
    // The tasks print 800 lines of 1,000 bytes to each stream: more than pipe and output buffer hold together, so
    // lines must be dropped where the pipe is not read, and tasks continue.
    let builder = describe().output_buffer(256 << 10);
    let pool = builder.build().await.expect("a pool");
    let flood = [200, 200, 200, 200].map(|lines| pool.submit(chatty(lines, 1_000)));
    for (result, future) in [200; 4].into_iter().zip(flood) {
        let lines = within("a task that prints", future).await;
        assert_eq!(lines.expect("a result"), result);
    }
    let result = within("a quiet task", pool.submit(quiet(1))).await;
    assert_eq!(result.expect("a result"), 1);
    let late = within("a timeout", pool.submit(endless())).await;
    assert_eq!(late.expect_err("a timeout").kind(), TaskErrorKind::TimedOut);
    let waiting = pool.submit(endless());
    within("a cancel", waiting.cancel()).await;
    let end = pool.shutdown_with(ShutdownBehavior::Abort);
    within("an abort", end).await.expect("no fault");
}

static POOL: OnceLock<PodPoolExecutor> = OnceLock::new();
static OFFERED: AtomicUsize = AtomicUsize::new(0);

/// A sink with a fault, or one that calls the pool.
fn faulty(kind: &str) -> impl Fn(OutputLine<'_>) + Send + Sync + 'static + use<> {
    let (sender, receiver) = mpsc::sync_channel::<String>(1);
    // The receiver exists and never receives: the first line fills the channel, the second one blocks the sink.
    let receiver = Mutex::new(receiver);
    let kind = kind.to_owned();
    move |line: OutputLine<'_>| {
        OFFERED.fetch_add(1, Ordering::Relaxed);
        match kind.as_str() {
            "panic" => panic!("my sink has a bug: {}", line.line),
            "block" => {
                let never = (Mutex::new(()), Condvar::new());
                let held = never.0.lock().expect("a lock");
                drop(never.1.wait_while(held, |()| true));
            }
            "channel" => {
                let _held = &receiver;
                sender.send(line.line.to_owned()).expect("a receiver");
            }
            "submit" => drop(POOL.get().map(|pool| pool.submit(quiet(9)))),
            "shutdown" => drop(POOL.get().map(end_from_the_sink)),
            other => panic!("unknown sink {other:?}"),
        }
    }
}

/// A shutdown waits until the sink has taken all lines. Here the sink itself waits for the shutdown, so that neither
/// would end if that wait had no limit.
fn end_from_the_sink(pool: &PodPoolExecutor) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let ended = runtime.expect("a runtime").block_on(pool.shutdown());
    ended.expect("no fault");
    writeln!(io::stderr(), "done: shutdown in the sink").ok();
}

async fn sink(kind: &str) {
    let pool = describe().output(faulty(kind)).build().await;
    let pool = pool.expect("a pool");
    POOL.set(pool.clone()).ok();
    for n in 1..5 {
        let result = within("a task that prints", pool.submit(chatty(n, 10))).await;
        if kind != "shutdown" {
            assert_eq!(result.expect("a result"), n);
        }
    }
    let result = within("a quiet task", pool.submit(quiet(1))).await;
    assert!(result.is_ok() || kind == "shutdown", "{result:?}");
    let end = pool.shutdown();
    within("shutdown", end).await.expect("no fault");
    let offered = OFFERED.load(Ordering::Relaxed);
    writeln!(io::stderr(), "offered {offered}").ok();
}

/// The streams take everything: no line is lost, whichever way the program ends.
async fn ordinary(end: &str) {
    let pool = describe().max_workers(1).build().await;
    let pool = pool.expect("a pool");
    let futures: Vec<_> = (0..20).map(|_| pool.submit(chatty(500, 40))).collect();
    for future in futures {
        within("a task", future).await.expect("a result");
    }
    match end {
        "shutdown" => {
            pool.shutdown().await.expect("no fault");
            std::process::exit(0)
        }
        "main" => {}
        other => panic!("unknown end {other:?}"),
    }
}
