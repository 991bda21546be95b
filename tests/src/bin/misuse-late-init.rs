//! A program that builds a pool of processes before its call of `init()`: that `build()` must fail.
#![expect(clippy::print_stdout, reason = "the program prints its output")]

use podpool::PodPoolExecutor;
use podpool::options::{Isolation, LocalOptions};
use podpool_tests::faults::tasks::echo;

#[tokio::main]
async fn main() {
    println!("main");
    let early = PodPoolExecutor::builder()
        .local(LocalOptions::default().isolation(Isolation::Process))
        .build()
        .await;
    assert!(early.is_err(), "it was built without init()");
    podpool::init();
    let pool = PodPoolExecutor::builder()
        .max_workers(1)
        .build()
        .await
        .expect("a pool");
    match pool.submit(echo(5)).await {
        Ok(result) => println!("result {result}"),
        Err(error) => println!("{:?}", error.kind()),
    }
}
