//! A program with two tasks of one name.
#![expect(clippy::print_stdout, reason = "the program prints its output")]

use std::error::Error;

use podpool::PodPoolExecutor;

#[podpool::task(name = "same")]
fn one() {}

#[podpool::task(name = "same")]
fn other() {}

#[podpool::main]
async fn main() {
    drop((one(), other()));
    match PodPoolExecutor::builder().build().await {
        Ok(_) => println!("it was built"),
        Err(error) => {
            println!("{error}");
            let why = error.source().map(ToString::to_string).unwrap_or_default();
            println!("{why}");
        }
    }
}
