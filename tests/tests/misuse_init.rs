//! `init()` inside a test: no slot may run the other tests again.

use podpool::error::BuildError;
use podpool::options::{Isolation, LocalOptions};
use podpool::{PodPoolExecutor, Role};
use podpool_tests::faults::tasks::echo;
use podpool_tests::faults::{end, within};

// This file must not have `test_slots!()`: the error under test names that macro as what is missing.

#[tokio::test]
async fn init_inside_a_test_starts_no_process_and_names_what_to_write() {
    for _ in 0..2 {
        assert_eq!(podpool::init(), Role::Master);
    }
    let error = PodPoolExecutor::builder().max_workers(1).build().await;
    let error = error.expect_err("its slots would run this file's tests");
    assert!(matches!(error, BuildError::InitInTest), "{error}");
    assert!(error.to_string().contains("test_slots!()"), "{error}");
}

#[tokio::test]
async fn slots_that_are_threads_need_no_init() {
    let describe = PodPoolExecutor::builder().max_workers(1);
    let pool = describe
        .local(LocalOptions::default().isolation(Isolation::InProcess))
        .build()
        .await;
    let pool = pool.expect("threads are no processes");
    assert_eq!(
        within("a task", pool.submit(echo(3)))
            .await
            .expect("a result"),
        3
    );
    end(pool).await;
}
