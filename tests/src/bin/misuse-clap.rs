//! A program that requires arguments. Its slots are started without arguments, and must not parse any.
#![expect(clippy::print_stdout, reason = "the program prints its output")]

use clap::Parser;
use podpool_tests::faults::tasks::echo;
use podpool_tests::faults::{built, describe, end};

/// Adds numbers up.
#[derive(Debug, Parser)]
struct Arguments {
    /// The first number.
    first: u64,
    /// How many numbers.
    #[arg(long)]
    count: u64,
}

#[podpool::main]
async fn main() {
    let arguments = Arguments::parse();
    let pool = built(describe(2)).await;
    let mut numbers = pool.map(arguments.first..arguments.first + arguments.count, echo);
    let mut sum = 0;
    while let Some(number) = numbers.next().await {
        sum += number.expect("a number");
    }
    drop(numbers);
    println!("sum {sum}");
    end(pool).await;
}
