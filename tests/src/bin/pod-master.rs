//! A master with an environment of its own: the program submits three tasks, and prints how each of them ended.

#![expect(clippy::print_stdout, reason = "the program prints its output")]

use podpool::{Backend, PodPoolExecutor};
use podpool_tests::tasks::echo;

#[podpool::main]
async fn main() {
    let builder = PodPoolExecutor::builder().backend(Backend::Kubernetes);
    let pool = match builder.max_workers(2).signals(false).build().await {
        Ok(pool) => pool,
        Err(error) => return println!("not built: {error:?}"),
    };
    println!("run {}", pool.run_id());
    let futures = [0, 1, 2].map(|n| pool.submit(echo(n)));
    for future in futures {
        match future.await {
            Ok(n) => println!("result {n}"),
            Err(error) => println!("{:?} {}", error.kind(), error.message()),
        }
    }
    match pool.shutdown().await {
        Ok(()) => println!("shut down"),
        Err(error) => println!("shut down: {error}"),
    }
}
