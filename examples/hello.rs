//! The smallest program: a task, a pool, and results that come from other processes.
#![expect(clippy::print_stdout, reason = "the program prints its output")]

use podpool::prelude::*;

#[podpool::task]
fn greet(name: String) -> String {
    format!("hello {name}, from process {}", std::process::id())
}

#[podpool::main]
async fn main() -> anyhow::Result<()> {
    let pool = PodPoolExecutor::builder().max_workers(2).build().await?;
    let one = pool.submit(greet("Ada".into()));
    println!("{}", one.await?);
    let mut many = pool.map(["Edsger", "Grace"], |name| greet(name.into()));
    while let Some(greeting) = many.next().await {
        println!("{}", greeting?);
    }
    Ok(pool.shutdown().await?)
}
