//! A master that tests kill, or whose executable the tests replace. The program ends when its input is closed.
#![expect(clippy::print_stdout, reason = "the program prints its output")]

use std::io::BufRead;
use std::path::PathBuf;

use podpool::PodPoolExecutor;
use podpool_tests::faults::tasks::{leave_a_child_and_meet, meet, process};
use podpool_tests::faults::{built, describe, end};

#[podpool::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let pool = built(describe(3)).await;
    match arguments.next().as_deref() {
        Some("meet") => keep_busy(&pool, arguments.next().unwrap_or_default().into()),
        Some("replaced") => outlive_the_file(&pool).await,
        other => panic!("unknown part {other:?}"),
    }
    end(pool).await;
}

/// Three busy slots, one of which has a child of its own.
fn keep_busy(pool: &PodPoolExecutor, meeting: PathBuf) {
    let _first = pool.submit(meet(meeting.clone(), 1));
    let _second = pool.submit(meet(meeting.clone(), 2));
    let _third = pool.submit(leave_a_child_and_meet(meeting));
    println!("submitted");
    hear();
}

/// A first task in a slot; then, after a line of input, a second task in a slot that must be started anew.
async fn outlive_the_file(pool: &PodPoolExecutor) {
    let first = pool.submit(process()).await.expect("a slot");
    println!("slot {first}");
    hear();
    let second = pool.submit(process()).await.expect("a slot");
    println!("slot {second}");
}

fn hear() {
    let mut line = String::new();
    // The end of the input ends the wait too: a test that fails closes the input, and the program exits.
    std::io::stdin().lock().read_line(&mut line).ok();
}
