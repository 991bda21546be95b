//! A program without `async`.

use podpool::PodPoolExecutor;
use podpool::blocking::as_completed;

#[podpool::task]
fn square(n: u64) -> u64 {
    n * n
}

#[podpool::task(retries = 1, backoff = "1ms..1ms")]
fn even(n: u64) -> Result<u64, String> {
    if n % 2 == 0 {
        Ok(n)
    } else {
        Err(format!("{n} is odd"))
    }
}

#[podpool::main]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pool = PodPoolExecutor::builder().max_workers(2).build_blocking()?;
    let sum: u64 = pool.map(0..100, square).sum::<Result<u64, _>>()?;
    println!("sum {sum}");
    for mut future in as_completed([pool.submit(even(2)), pool.submit(even(3))]) {
        match future.result() {
            Ok(n) => println!("even {n}"),
            Err(error) => println!("{}: {} attempts", error.kind(), error.attempts().len()),
        }
    }
    println!("{} tasks", pool.stats().ended());
    Ok(pool.shutdown()?)
}
