//! A master to which the system refuses something: system calls, descriptors for a moment, descriptors for good.
//!
//! `denied ERRNO CALL,…` · `moment` · `limit SOFT HARD SLOTS` · `in-process SOFT HARD SLOTS`
#![expect(clippy::print_stdout, reason = "the program prints its output")]

use std::collections::BTreeSet;
use std::fs::File;
use std::time::Duration;

use podpool::PodPoolExecutor;
use podpool::options::Isolation;
use podpool_tests::faults::tasks::{abort_once, echo};
use podpool_tests::faults::{built, describe, describe_in, end, within};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Sleeps; returns the id of its process and the process's soft limit on open files.
#[podpool::task]
#[expect(
    clippy::disallowed_methods,
    reason = "a task that takes its time, so that every slot gets one"
)]
fn nap(milliseconds: u64) -> (u32, Option<u64>) {
    std::thread::sleep(Duration::from_millis(milliseconds));
    (std::process::id(), getrlimit(Resource::Nofile).current)
}

#[podpool::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        #[cfg(target_os = "linux")]
        ["denied", errno, calls] => {
            denied::install(number(errno), calls);
            run_with_a_crash().await;
        }
        ["moment"] => moment().await,
        ["limit", soft, hard, slots] => {
            limit(number(soft), number(hard));
            limited(number(slots)).await;
        }
        ["in-process", soft, hard, slots] => {
            limit(number(soft), number(hard));
            in_process(number(slots)).await;
        }
        _ => panic!("unknown part {arguments:?}"),
    }
}

/// Lowers the limits on open files, the soft one and the hard one.
fn limit(soft: u64, hard: u64) {
    let limit = Rlimit {
        current: Some(soft),
        maximum: Some(hard),
    };
    setrlimit(Resource::Nofile, limit).expect("a lower limit");
}

fn number<T: std::str::FromStr>(text: &str) -> T {
    let number = text.parse().ok();
    number.unwrap_or_else(|| panic!("{text:?} is no number"))
}

/// Tasks, one of which aborts its slot at the first attempt.
async fn run_with_a_crash() {
    let pool = built(describe(2)).await;
    let futures: Vec<_> = (0..50).map(|n| pool.submit(echo(n))).collect();
    let crashed = pool.submit(abort_once());
    for (n, future) in (0..).zip(futures) {
        assert_eq!(within("a task", future).await.expect("a result"), n);
    }
    let attempts = within("the crash", crashed).await.expect("a result");
    assert!(attempts > 1, "it did not crash");
    end(pool).await;
    println!("all ran");
}

/// The program has no free descriptor for 300 ms, while slots are to be started.
async fn moment() {
    let pool = built(describe(4)).await;
    limit(256, 256);
    // Opens files until the limit of 256 is reached. The limit is low so that the loop is short; the pool's own
    // descriptors are open already, and each new slot would need sockets and pipes.
    let mut held = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        held.push(file);
    }
    let mut futures: Vec<_> = (0..40).map(|n| pool.submit(echo(n))).collect();
    // No event marks a slot that cannot be started, so a time stands here: a slot starts in much less than 300 ms.
    let early = tokio::time::timeout(Duration::from_millis(300), &mut futures[0]).await;
    assert!(early.is_err(), "it ran without a descriptor: {early:?}");
    drop(held);
    for (n, future) in (0..).zip(futures) {
        assert_eq!(within("a task", future).await.expect("a result"), n);
    }
    end(pool).await;
    println!("all ran");
}

/// Three naps for each slot, so that every slot that can start runs at least one.
async fn limited(slots: usize) {
    tracing_subscriber::fmt()
        .with_writer(std::io::stdout)
        .with_ansi(false)
        .init();
    let pool = built(describe(slots)).await;
    let soft = getrlimit(Resource::Nofile).current;
    let told = naps(&pool, 3 * slots).await;
    let processes: BTreeSet<u32> = told.iter().map(|(process, _)| *process).collect();
    let limits: BTreeSet<Option<u64>> = told.iter().map(|(_, limit)| *limit).collect();
    end(pool).await;
    println!(
        "master {soft:?}, slots {limits:?}, processes {}",
        processes.len()
    );
}

/// Each slot is a thread with a runtime of its own.
async fn in_process(slots: usize) {
    let builder = describe_in(Isolation::InProcess, slots);
    let pool = built(builder).await;
    let futures: Vec<_> = (0..2 * slots as u64)
        .map(|n| pool.submit(later(n)))
        .collect();
    for (n, future) in (0..).zip(futures) {
        assert_eq!(within("a task", future).await.expect("a result"), n);
    }
    end(pool).await;
    println!("all ran");
}

/// Sleeps on its slot's runtime, so that every slot is used at once.
#[podpool::task]
async fn later(n: u64) -> u64 {
    tokio::time::sleep(Duration::from_millis(50)).await;
    n
}

async fn naps(pool: &PodPoolExecutor, count: usize) -> Vec<(u32, Option<u64>)> {
    let futures: Vec<_> = (0..count).map(|_| pool.submit(nap(20))).collect();
    let mut told = Vec::new();
    for future in futures {
        told.push(within("a nap", future).await.expect("a result"));
    }
    told
}

#[cfg(target_os = "linux")]
mod denied {
    //! A filter that refuses system calls, as old kernels and strict containers do.

    use std::collections::BTreeMap;

    use nix::libc;
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

    /// Refuses `calls` to this thread and to every thread and process that the thread starts.
    pub(crate) fn install(errno: u32, calls: &str) {
        let rules: BTreeMap<_, _> = calls
            .split(',')
            .map(|call| (of(call), Vec::new()))
            .collect();
        let here = std::env::consts::ARCH
            .try_into()
            .expect("an architecture with filters");
        let filter = SeccompFilter::new(
            rules,
            SeccompAction::Allow,
            SeccompAction::Errno(errno),
            here,
        );
        let program = filter.and_then(BpfProgram::try_from).expect("a filter");
        apply_filter(&program).expect("a filter that is taken");
    }

    fn of(call: &str) -> i64 {
        match call {
            "pidfd_open" => libc::SYS_pidfd_open,
            "memfd_create" => libc::SYS_memfd_create,
            "prctl" => libc::SYS_prctl,
            "setsockopt" => libc::SYS_setsockopt,
            "getsockopt" => libc::SYS_getsockopt,
            "socketpair" => libc::SYS_socketpair,
            other => panic!("no test knows the number of {other}"),
        }
    }
}
