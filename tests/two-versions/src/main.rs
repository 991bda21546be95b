//! A program with two versions of podpool: each runs its own tasks in its own slots.

#[podpool::task]
fn now(n: u64) -> u64 {
    n + 1
}

#[next::task(crate = next)]
fn later(n: u64) -> u64 {
    n + 2
}

#[podpool::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    next::init();
    let pool = podpool::PodPoolExecutor::builder();
    let pool = pool.max_workers(1).build().await?;
    let other = next::PodPoolExecutor::builder();
    let other = other.max_workers(1).build().await?;
    let (one, two) = (pool.submit(now(1)), other.submit(later(1)));
    println!("{} {}", one.await?, two.await?);
    pool.shutdown().await?;
    other.shutdown().await?;
    Ok(())
}
