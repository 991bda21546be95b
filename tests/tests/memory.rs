//! Tasks that take memory without end: only these tasks fail, and the error gives the reason.

use podpool::TaskErrorKind;
use podpool::error::BuildError;
use podpool_tests::faults::meeting::Meeting;
use podpool_tests::faults::tasks::{
    devour, devour_at_once, echo, gather_threads, hoard, hoard_within_limit, meet, too_modest,
};
use podpool_tests::faults::{built, describe, end, within};

podpool::test_slots!();

const MIB: u64 = 1 << 20;

#[tokio::test]
async fn a_task_without_end_of_memory_is_out_of_memory() {
    let pool = built(describe(1).slot_memory(64 * MIB)).await;
    let error = within("the limit", pool.submit(devour()))
        .await
        .expect_err("no memory");
    assert_eq!(error.kind(), TaskErrorKind::OutOfMemory, "{error}");
    // Once more at the same size.
    assert_eq!(error.attempts().len(), 2, "{error}");
    assert_eq!(
        within("another task", pool.submit(echo(5)))
            .await
            .expect("a result"),
        5
    );
    end(pool).await;
}

#[tokio::test]
async fn an_allocation_that_no_machine_can_give_is_out_of_memory() {
    let pool = built(describe(1).slot_memory(64 * MIB)).await;
    let error = within("the limit", pool.submit(devour_at_once()))
        .await
        .expect_err("no memory");
    assert_eq!(error.kind(), TaskErrorKind::OutOfMemory, "{error}");
    end(pool).await;
}

#[tokio::test]
async fn among_four_busy_slots_only_the_greedy_task_fails() {
    let pool = built(describe(4).slot_memory(64 * MIB)).await;
    let meeting = Meeting::new();
    let mut busy: Vec<_> = (1..=3)
        .map(|name| pool.submit(meet(meeting.path(), name)))
        .collect();
    let guests = meeting.guests(3).await;
    let error = within("the limit", pool.submit(devour()))
        .await
        .expect_err("no memory");
    assert_eq!(error.kind(), TaskErrorKind::OutOfMemory, "{error}");
    for guest in guests {
        guest.let_go().await;
    }
    for (name, future) in (1..).zip(&mut busy) {
        let result = within("a busy task", &mut *future).await;
        assert_eq!(result.expect("a result"), name);
        assert!(future.attempts().is_empty(), "{:?}", future.attempts());
    }
    end(pool).await;
}

#[tokio::test]
async fn a_task_over_its_own_limit_is_out_of_memory_and_another_without_one_is_not() {
    let pool = built(describe(2)).await;
    let meeting = Meeting::new();
    let mut beside = pool.submit(hoard(meeting.path(), 160));
    let other = meeting.guest().await;
    // The test never releases this task: only its memory limit can end it. The limit is checked every 50 ms.
    let nowhere = Meeting::new();
    let greedy = pool.submit(hoard_within_limit(nowhere.path(), 160));
    let error = within("the limit", greedy).await.expect_err("no memory");
    assert_eq!(error.kind(), TaskErrorKind::OutOfMemory, "{error}");
    // Once more at the same size.
    assert_eq!(error.attempts().len(), 2, "{error}");
    let seen = |bytes: Option<u64>| bytes.is_some_and(|bytes| bytes > 64 * MIB);
    assert!(
        error
            .attempts()
            .iter()
            .all(|attempt| seen(attempt.peak_rss)),
        "{error}"
    );
    let modest = pool.submit(hoard_within_limit(meeting.path(), 8));
    meeting.guest().await.let_go().await;
    assert_eq!(within("a modest one", modest).await.expect("a result"), 8);
    other.let_go().await;
    let result = within("the other task", &mut beside).await;
    assert_eq!(result.expect("a result"), 160);
    assert!(beside.attempts().is_empty(), "{:?}", beside.attempts());
    end(pool).await;
}

#[tokio::test]
async fn stacks_of_sleeping_threads_are_no_memory() {
    let pool = built(describe(1).slot_memory(64 * MIB)).await;
    // 64 stacks of 8 MiB are 512 MiB of address space, far above the limit; only touched pages count as memory.
    for stack in [2 << 20, 8 << 20] {
        let threads = within("the threads", pool.submit(gather_threads(64, stack))).await;
        assert_eq!(threads.expect("a result"), 64);
    }
    end(pool).await;
}

#[tokio::test]
async fn a_limit_that_no_slot_can_keep_is_refused_by_name() {
    for bytes in [0, 1, MIB - 1] {
        let refused = describe(1).slot_memory(bytes).build().await;
        let error = refused.expect_err("nothing is as small");
        assert!(
            matches!(&error, BuildError::Setting { name, .. } if name == "slot_memory"),
            "{error}"
        );
    }
    let pool = built(describe(1).slot_memory(MIB)).await;
    let error = within("the refusal", pool.submit(echo(1)))
        .await
        .expect_err("an idle slot takes more");
    assert_eq!(error.kind(), TaskErrorKind::PoolBroken, "{error}");
    let said = error.to_string();
    assert!(
        said.contains("1048576 bytes") && said.contains("idle slot"),
        "{said}"
    );
    let ended = within("the end of the pool", pool.shutdown()).await;
    assert!(ended.is_err(), "the shutdown reported no broken pool");
}

#[tokio::test]
async fn a_task_whose_own_limit_no_slot_can_keep_is_rejected_with_both_numbers() {
    let pool = built(describe(1)).await;
    let error = within("the refusal", pool.submit(too_modest()))
        .await
        .expect_err("an idle slot takes more");
    assert_eq!(error.kind(), TaskErrorKind::Rejected, "{error}");
    let said = error.message();
    assert!(
        said.contains("1048576 bytes") && said.contains("idle slot"),
        "{said}"
    );
    assert_eq!(
        within("another", pool.submit(echo(5)))
            .await
            .expect("a result"),
        5
    );
    end(pool).await;
}

#[tokio::test]
async fn a_limit_without_end_is_none() {
    let pool = built(describe(1).slot_memory(u64::MAX)).await;
    assert_eq!(
        within("a task", pool.submit(echo(5)))
            .await
            .expect("a result"),
        5
    );
    end(pool).await;
}
