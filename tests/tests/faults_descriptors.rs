//! Tasks that close what is not theirs, and tasks that leave children behind.

use std::time::Duration;

use podpool::TaskErrorKind;
use podpool_tests::faults::meeting::Meeting;
use podpool_tests::faults::processes::Watched;
use podpool_tests::faults::tasks::{close_descriptors, leave_a_child, meet};
use podpool_tests::faults::{built, describe, end, goes_on, within};

podpool::test_slots!();

#[tokio::test]
async fn a_task_that_closes_every_descriptor_crashed_alone() {
    let pool = built(describe(2)).await;
    let meeting = Meeting::new();
    let mut beside = pool.submit(meet(meeting.path(), 1));
    let other = meeting.guest().await;
    let error = within(
        "the end of the mute slot",
        pool.submit(close_descriptors(0, 255)),
    )
    .await;
    let error = error.expect_err("nobody can hear of its result");
    assert_eq!(error.kind(), TaskErrorKind::Crashed, "{error}");
    goes_on(&pool).await;
    other.let_go().await;
    assert_eq!(
        within("the other task", &mut beside)
            .await
            .expect("a result"),
        1
    );
    assert!(beside.attempts().is_empty());
    end(pool).await;
}

#[tokio::test]
async fn a_task_that_closes_its_streams_gives_its_result() {
    let pool = built(describe(1)).await;
    for _ in 0..3 {
        let result = within("the silent task", pool.submit(close_descriptors(0, 2))).await;
        assert_eq!(result.expect("a result"), 0);
    }
    end(pool).await;
}

#[tokio::test]
async fn a_child_that_a_task_leaves_delays_nothing_and_ends_with_the_pool() {
    let pool = built(describe(1)).await;
    let child = within("the result", pool.submit(leave_a_child()))
        .await
        .expect("a result");
    let child = Watched::new(child);
    goes_on(&pool).await;
    assert!(
        !child.ends_within(Duration::ZERO).await,
        "the child of a task ended before its slot"
    );
    end(pool).await;
    assert!(
        child.ends_within(Duration::from_secs(2)).await,
        "the child of a task outlives the pool"
    );
}
