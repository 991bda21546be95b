//! A library that uses a pool, and whose tests start one.

use podpool::prelude::*;

#[podpool::task]
fn double(n: u64) -> u64 {
    n * 2
}

/// Doubles numbers on a pool.
///
/// # Errors
/// The first failure.
pub async fn doubled(pool: &PodPoolExecutor, numbers: Vec<u64>) -> Result<Vec<u64>, TaskError> {
    gather(numbers.into_iter().map(|n| pool.submit(double(n)))).await
}

#[cfg(test)]
mod tests {
    use super::*;

    podpool::test_slots!();

    #[tokio::test]
    async fn a_body_runs_without_a_pool() {
        assert_eq!(double(4).run_here().await.unwrap(), 8);
    }

    #[tokio::test]
    async fn numbers_are_doubled() {
        let pool = PodPoolExecutor::builder()
            .max_workers(2)
            .build()
            .await
            .unwrap();
        assert_eq!(doubled(&pool, vec![1, 2]).await.unwrap(), [2, 4]);
        pool.shutdown().await.unwrap();
    }
}
