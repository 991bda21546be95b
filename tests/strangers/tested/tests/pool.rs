//! Tests of the library from outside, each with a pool of its own.

use podpool::options::{Isolation, LocalOptions};
use podpool::{PodPoolExecutor, TaskErrorKind};

podpool::test_slots!();

#[podpool::task]
fn crash(crashes: bool) -> u32 {
    if crashes {
        std::process::abort();
    }
    std::process::id()
}

#[tokio::test]
async fn a_crash_is_its_own_tasks() {
    let pool = PodPoolExecutor::builder()
        .max_workers(1)
        .build()
        .await
        .unwrap();
    let error = pool.submit(crash(true)).await.unwrap_err();
    assert_eq!(error.kind(), TaskErrorKind::Crashed);
    let process = pool.submit(crash(false)).await.unwrap();
    assert_ne!(process, std::process::id());
    pool.shutdown().await.unwrap();
}

#[tokio::test]
async fn threads_need_no_slots() {
    let threads = LocalOptions::default().isolation(Isolation::InProcess);
    let pool = PodPoolExecutor::builder()
        .local(threads)
        .build()
        .await
        .unwrap();
    let process = pool.submit(crash(false)).await.unwrap();
    assert_eq!(process, std::process::id());
    assert_eq!(tested::doubled(&pool, vec![21]).await.unwrap(), [42]);
    pool.shutdown().await.unwrap();
}
