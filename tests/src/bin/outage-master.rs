//! A master with an environment of its own, whose run on a cluster is remembered: tasks that take a while, each with a
//! key. It prints when the first have ended, and what became of all.

#![expect(clippy::print_stdout, reason = "the program prints its output")]

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use podpool::PodPoolExecutor;
use podpool_tests::tasks::slow;

/// Time that each task takes.
const TIME: Duration = Duration::from_millis(400);

#[podpool::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut argument = |what: &str| arguments.next().ok_or(format!("usage: {what} is missing"));
    let (ledger, run) = (argument("the ledger")?, argument("the run's name")?);
    let tasks: u64 = argument("the number of tasks")?.parse()?;
    let builder = PodPoolExecutor::builder().max_workers(2).signals(false);
    let pool = builder.ledger(ledger).run(run).build().await?;
    println!("run {}", pool.run_id());
    let submit = |n: u64| pool.submit(slow(n, TIME).key(n.to_string()));
    let mut futures: FuturesUnordered<_> = (0..tasks).map(submit).collect();
    let mut done = 0;
    while let Some(result) = futures.next().await {
        result?;
        done += 1;
        if done == 4 {
            println!("under way");
        }
    }
    pool.shutdown().await?;
    println!("done {done}");
    Ok(())
}
