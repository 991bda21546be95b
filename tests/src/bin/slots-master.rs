//! A master whose slots do not become ready, or which is stopped. The first argument chooses the part; the ends of the
//! tasks are printed.
#![expect(clippy::print_stdout, reason = "the program prints its output")]
#![expect(clippy::print_stderr, reason = "so does a slot that ends early")]

use std::io::BufRead;
use std::time::Duration;

use podpool::{PodPoolExecutor, TaskErrorKind};
use podpool_tests::faults::tasks::{echo, note_and_meet};

fn main() {
    let is_slot = std::env::var("PODPOOL_ROLE").is_ok();
    let part = if is_slot {
        part_of(std::os::unix::process::parent_id())
    } else {
        std::env::args().nth(1).unwrap_or_default()
    };
    match (part.as_str(), is_slot) {
        ("stdin", true) => {
            eprintln!("please enter a number");
            std::io::stdin().lock().read_line(&mut String::new()).ok();
        }
        ("early", true) => {
            eprintln!("libfoo.so.1: cannot open shared object file");
            std::process::exit(127);
        }
        _ => {}
    }
    podpool::init();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        match part.as_str() {
            "stopped" => be_stopped().await,
            _ => never_ready().await,
        }
    });
}

/// The part that a master was started with. Slots are started without the master's arguments, so a slot reads the
/// command line of its parent.
fn part_of(master: u32) -> String {
    let arguments = std::fs::read_to_string(format!("/proc/{master}/cmdline"));
    let arguments = arguments.unwrap_or_default();
    arguments.split('\0').nth(1).unwrap_or_default().to_owned()
}

/// A task for which no slot is ready.
async fn never_ready() {
    let pool = PodPoolExecutor::builder()
        .max_workers(2)
        .start_timeout(Duration::from_secs(1))
        .build()
        .await
        .expect("a pool");
    let error = pool.submit(echo(1)).await.expect_err("no slot is ready");
    assert_eq!(error.kind(), TaskErrorKind::PoolBroken);
    println!("broken {}", error.to_string().replace('\n', " "));
}

/// Tasks that end while this process is stopped for longer than their lease.
async fn be_stopped() {
    let meeting = std::env::args().nth(2).expect("a meeting");
    let journal = std::env::args().nth(3).expect("a journal");
    let pool = PodPoolExecutor::builder()
        .max_workers(2)
        .lease(Duration::from_secs(1))
        .build()
        .await
        .expect("a pool");
    let tasks = (0..4).map(|n| {
        pool.submit(note_and_meet(
            journal.clone().into(),
            meeting.clone().into(),
            n,
        ))
    });
    let tasks: Vec<_> = tasks.collect();
    println!("submitted");
    for task in tasks {
        println!("result {}", task.await.expect("a result"));
    }
    pool.shutdown().await.expect("an end");
    println!("ended");
}
