//! A program that is built to abort at a panic: a task that panics is reported once, and the next task runs.
//!
//! `.ci/run` builds the program with `panic = "abort"`. Built otherwise, the program prints that and does the same.
#![expect(clippy::print_stdout, reason = "the program prints its output")]

use podpool::TaskErrorKind;
use podpool_tests::faults::tasks::echo;
use podpool_tests::faults::{built, describe, end};

#[podpool::task]
fn panics(n: u64) -> u64 {
    assert_eq!(n, 0, "{n} is too many");
    n
}

#[podpool::main]
async fn main() {
    println!("built to abort: {}", cfg!(panic = "abort"));
    let pool = built(describe(1)).await;
    let error = pool.submit(panics(7)).await.expect_err("it panics");
    assert_eq!(error.kind(), TaskErrorKind::Panicked, "{error}");
    assert!(error.message().contains("7 is too many"), "{error}");
    assert_eq!(error.attempts().len(), 1, "{error}");
    assert_eq!(pool.submit(echo(5)).await.expect("a result"), 5);
    end(pool).await;
    println!("a panic was told once, as what it is");
}
