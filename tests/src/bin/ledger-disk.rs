//! A master whose ledger is on a disk of its own, a small one: `ledger-disk full | lasts | starts | read-only DISK`.
//!
//! The test starts it where it may mount. It prints what a user is told, and what became of the tasks.
#![expect(clippy::print_stdout, reason = "the program prints its output")]

use std::error::Error;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use podpool::ledger::{Ledger, Status};
use podpool::testing::Builder as _;
use podpool::{Builder, PodPoolExecutor, TaskFuture};
use podpool_tests::faults::within;
use podpool_tests::tasks::echo;

/// Longer than a task takes where it is stored.
const SOON: Duration = Duration::from_millis(700);

#[podpool::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [part, disk] = &arguments[..] else {
        panic!("usage: ledger-disk PART DISK");
    };
    let disk = Path::new(disk);
    match part.as_str() {
        "full" => is_full_for_a_time(disk).await,
        "lasts" => stays_full(disk).await,
        "starts" => is_full_at_the_start(disk).await,
        "read-only" => is_read_only(disk).await,
        _ => panic!("unknown part {part:?}"),
    }
}

fn builder(disk: &Path) -> Builder {
    let builder = PodPoolExecutor::builder().max_workers(2);
    builder.run("nightly").ledger(disk.join("runs"))
}

async fn built(builder: Builder) -> PodPoolExecutor {
    builder.build().await.expect("a pool")
}

fn submit(pool: &PodPoolExecutor, n: u64) -> TaskFuture<u64> {
    pool.submit(echo(n).key(n.to_string()))
}

async fn result(future: TaskFuture<u64>) -> u64 {
    within("a result", future).await.expect("a result")
}

/// What fills the disk.
#[derive(Debug)]
struct Filler(PathBuf);

impl Filler {
    /// Fills the disk to the last byte.
    fn of(disk: &Path) -> Self {
        let path = disk.join("filler");
        let mut file = File::create(&path).expect("a file");
        // A full kilobyte may not fit where a byte does.
        for size in [64 << 10, 1 << 10, 1] {
            let bytes = vec![7; size];
            let error = loop {
                if let Err(error) = file.write_all(&bytes) {
                    break error;
                }
            };
            assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
        }
        Self(path)
    }

    fn remove(self) {
        fs::remove_file(self.0).expect("a file that is removed");
    }
}

/// While the disk is full, results wait for it; then the run goes on.
async fn is_full_for_a_time(disk: &Path) {
    let pool = built(builder(disk)).await;
    println!("first {}", result(submit(&pool, 1)).await);
    let filler = Filler::of(disk);
    let mut waiting: Vec<_> = (2..50).map(|n| submit(&pool, n)).collect();
    let early = waiting[0].result(SOON).await;
    println!("waits {}", early.is_err());
    filler.remove();
    let mut sum = 0;
    for future in waiting {
        sum += result(future).await;
    }
    println!("sum {sum}");
    println!("ended {:?}", pool.shutdown().await);
    show(disk);
}

/// A disk that stays full for longer than a queue may refuse ends the pool; the next start does what is missing.
async fn stays_full(disk: &Path) {
    let pool = built(builder(disk).broker_timeout(Duration::from_secs(1))).await;
    println!("first {}", result(submit(&pool, 1)).await);
    let filler = Filler::of(disk);
    let error = within("its end", submit(&pool, 2)).await;
    let error = error.expect_err("a full disk");
    println!("task {:?} {}", error.kind(), in_a_line(&error));
    let ended = within("the shutdown", pool.shutdown()).await;
    println!("ended {}", in_a_line(&ended.expect_err("a broken pool")));
    drop(pool);
    filler.remove();
    let pool = built(builder(disk)).await;
    let (first, second) = (submit(&pool, 1), submit(&pool, 2));
    println!("again {} {}", result(first).await, result(second).await);
    println!("stored {}", pool.stats().stored);
    println!("ended {:?}", pool.shutdown().await);
    show(disk);
}

/// A pool on a full disk is not built.
async fn is_full_at_the_start(disk: &Path) {
    let filler = Filler::of(disk);
    let error = builder(disk).build().await.expect_err("a full disk");
    println!("refused {}", in_a_line(&error));
    filler.remove();
    let pool = built(builder(disk)).await;
    println!("first {}", result(submit(&pool, 1)).await);
    println!("ended {:?}", pool.shutdown().await);
    show(disk);
}

/// A pool on a disk that is read-only is not built, and its run is there afterwards.
async fn is_read_only(disk: &Path) {
    let mount = |how: &str| {
        let mut mount = Command::new("mount");
        let mounted = mount.args(["-o", how]).arg(disk).status();
        assert!(mounted.expect("mount").success(), "mount -o {how}");
    };
    mount("remount,ro");
    let error = builder(disk).build().await.expect_err("nothing is there");
    println!("refused {}", in_a_line(&error));
    mount("remount,rw");
    let pool = built(builder(disk)).await;
    println!("first {}", result(submit(&pool, 1)).await);
    println!("ended {:?}", pool.shutdown().await);
    drop(pool);
    mount("remount,ro");
    let error = builder(disk).build().await.expect_err("a run is there");
    println!("refused {}", in_a_line(&error));
    match Ledger::open(disk.join("runs")).run("nightly") {
        Ok(mut run) => println!("read {}", run.tasks().expect("tasks").len()),
        Err(error) => println!("read {}", in_a_line(&error)),
    }
    mount("remount,rw");
    let pool = built(builder(disk)).await;
    println!("again {}", result(submit(&pool, 1)).await);
    println!("stored {}", pool.stats().stored);
    println!("ended {:?}", pool.shutdown().await);
    show(disk);
}

/// The tasks of the run, and how many of them are done.
fn show(disk: &Path) {
    let run = Ledger::open(disk.join("runs")).run("nightly");
    let tasks = run.and_then(|mut run| run.tasks()).expect("tasks");
    let done = tasks.iter().filter(|it| it.status == Status::Done);
    println!("tasks {} done {}", tasks.len(), done.count());
}

/// An error with its causes, in one line.
fn in_a_line(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text.replace('\n', " ")
}
