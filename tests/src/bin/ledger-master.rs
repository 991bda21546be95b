//! A master whose run is in a ledger: `ledger-master LEDGER OUT MEETING TASKS [take-over]`.
//!
//! It prints whether it has the run, waits for a line of input, submits its tasks, each of which waits at the meeting
//! and then commits an output, and prints how each of them and the pool ended.
#![expect(clippy::print_stdout, reason = "the program prints its output")]

use std::io::BufRead;
use std::path::PathBuf;

use podpool::{Committed, PodPoolExecutor, TaskContext};
use podpool_tests::faults::within;
use podpool_tests::meeting::meet_at;

/// Waits at the meeting, then commits the id of its master as the output `NAME.txt`; returns whether it wrote that.
#[podpool::task]
fn meet_and_commit(
    ctx: &TaskContext,
    meeting: PathBuf,
    out: PathBuf,
    name: u32,
) -> anyhow::Result<bool> {
    meet_at(meeting, name)?;
    let master = std::os::unix::process::parent_id().to_string();
    let committed = ctx.commit_once_blocking(out.join(format!("{name}.txt")), master)?;
    Ok(committed == Committed::Written)
}

#[podpool::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [ledger, out, meeting, tasks, rest @ ..] = &arguments[..] else {
        panic!("usage: ledger-master LEDGER OUT MEETING TASKS [take-over]");
    };
    let builder = PodPoolExecutor::builder()
        .max_workers(2)
        .run("nightly")
        .ledger(ledger)
        .take_over(rest.first().is_some_and(|it| it == "take-over"));
    let pool = match builder.build().await {
        Ok(pool) => pool,
        Err(error) => return println!("refused {error}"),
    };
    println!("has it");
    // The end of the input is an order too: a test that fails ends its programs so.
    std::io::stdin().lock().read_line(&mut String::new()).ok();
    let tasks: u32 = tasks.parse().expect("a number of tasks");
    let call = |name: u32| {
        let call = meet_and_commit(meeting.into(), out.into(), name);
        pool.submit(call.key(name.to_string()))
    };
    let futures: Vec<_> = (0..tasks).map(call).collect();
    for (name, future) in futures.into_iter().enumerate() {
        match within("a task", future).await {
            Ok(written) => println!("task {name} wrote {written}"),
            Err(error) => println!("task {name} {:?}: {error}", error.kind()),
        }
    }
    match pool.shutdown().await {
        Ok(()) => println!("ended"),
        Err(error) => println!("ended {error}"),
    }
}
