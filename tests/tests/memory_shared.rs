//! Tasks that declare memory share that of their machine.

use podpool::options::LocalOptions;
use podpool::{Builder, TaskErrorKind, TaskState};
use podpool_tests::faults::meeting::Meeting;
use podpool_tests::faults::tasks::{echo, leak, meet, process};
use podpool_tests::faults::{built, describe, end, within};

podpool::test_slots!();

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// A pool with so many slots, whose tasks share 5 GiB.
fn sharing(slots: usize) -> Builder {
    describe(slots).local(LocalOptions::default().memory(5 * GIB))
}

#[tokio::test]
async fn eight_tasks_of_2_gib_on_5_gib_run_two_at_a_time_and_small_ones_beside_them() {
    let pool = built(sharing(4)).await;
    let meeting = Meeting::new();
    let call = |name| meet(meeting.path(), name).memory(2 * GIB);
    let futures: Vec<_> = (1..=8).map(|name| pool.submit(call(name))).collect();
    let mut inside: std::collections::VecDeque<_> = meeting.guests(2).await.into();
    for ended in 0..8 {
        // Two slots are free, so a third large task would run before these.
        for n in 0..5 {
            let small = within("a small task", pool.submit(echo(n)));
            assert_eq!(small.await.expect("a result"), n);
            let modest = pool.submit(echo(n).memory(GIB / 2));
            assert_eq!(within("a modest task", modest).await.expect("a result"), n);
        }
        let running = futures
            .iter()
            .filter(|future| matches!(future.state(), TaskState::Running { .. }))
            .count();
        assert!(running <= 2, "{running} run after {ended} ends");
        let guest = inside.pop_front().expect("one runs");
        guest.let_go().await;
        if ended + 3 <= 8 {
            inside.push_back(meeting.guest().await);
        }
    }
    for future in futures {
        within("a large task", future).await.expect("a result");
    }
    end(pool).await;
}

#[tokio::test]
async fn a_task_that_declares_more_than_the_machine_shares_is_rejected() {
    let pool = built(sharing(1)).await;
    let too_large = within("the refusal", pool.submit(echo(1).memory(6 * GIB)));
    let error = too_large.await.expect_err("it cannot run");
    assert_eq!(error.kind(), TaskErrorKind::Rejected);
    let text = error.to_string();
    assert!(text.contains("6 GiB") && text.contains("5 GiB"), "{text}");
    let nothing = within("the refusal", pool.submit(echo(1).memory(0)));
    let error = nothing.await.expect_err("it cannot run").to_string();
    assert!(error.contains("its memory is zero"), "{error}");
    end(pool).await;
    let refused = describe(1).local(LocalOptions::default().memory(0)).build();
    let error = refused.await.expect_err("nothing is shared").to_string();
    assert!(error.contains("LocalOptions::memory"), "{error}");
    // By default it is the machine's.
    let pool = built(describe(1)).await;
    let endless = within("the refusal", pool.submit(echo(1).memory(u64::MAX)));
    let error = endless.await.expect_err("it cannot run");
    assert_eq!(error.kind(), TaskErrorKind::Rejected, "{error}");
    end(pool).await;
}

#[tokio::test]
async fn a_slot_that_keeps_the_memory_of_its_task_is_replaced() {
    let pool = built(sharing(1)).await;
    let slot = within("the slot", pool.submit(process()))
        .await
        .expect("an id");
    let first = within("a leak", pool.submit(leak(160)))
        .await
        .expect("an id");
    assert_eq!(first, slot, "nothing was declared");
    let declared = pool.submit(leak(160).memory(1_000 * MIB));
    assert_eq!(within("a leak", declared).await.expect("an id"), slot);
    let next = pool.submit(leak(1).memory(1_000 * MIB));
    let next = within("the next", next).await.expect("an id");
    assert_ne!(next, slot, "it kept 320 MiB");
    let last = within("the last", pool.submit(process()))
        .await
        .expect("an id");
    assert_eq!(last, next, "it keeps next to nothing");
    end(pool).await;
}
