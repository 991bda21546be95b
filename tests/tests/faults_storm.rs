//! Every slot is killed again and again while many tasks run. The test has its process for itself: all its children
//! are slots.

use std::collections::{HashMap, HashSet};

use podpool::{TaskErrorKind, as_completed};
use podpool_tests::faults::processes::{children, signal};
use podpool_tests::faults::tasks::echo_with_process;
use podpool_tests::faults::{built, describe, end, within};
use rustix::process::Signal;

podpool::test_slots!();

const TASKS: u64 = 10_000;
/// Results of slots that were not killed yet, between one kill of all slots and the next.
const CALM: usize = 200;

/// Slots are killed only after results have shown that they run: a pool whose slots end before they are ready, three in
/// a row, is broken by contract.
#[tokio::test]
async fn ten_thousand_tasks_resolve_while_every_slot_is_killed_in_a_loop() {
    let pool = built(describe(2)).await;
    let futures: Vec<_> = (0..TASKS)
        .map(|n| pool.submit(echo_with_process(n)))
        .collect();
    let expected: HashMap<_, _> = futures
        .iter()
        .map(podpool::TaskFuture::id)
        .zip(0..)
        .collect();
    let mut ended = as_completed(futures);
    let mut killed = HashSet::new();
    let (mut seen, mut alive, mut crashed) = (0, 0, 0);
    while let Some(future) = within("the next end", ended.next()).await {
        seen += 1;
        let id = future.id();
        match future.await {
            Ok((n, slot)) => {
                assert_eq!(Some(&n), expected.get(&id));
                alive += usize::from(!killed.contains(&slot));
            }
            Err(error) => {
                assert_eq!(error.kind(), TaskErrorKind::Crashed, "{error}");
                crashed += 1;
            }
        }
        if alive >= CALM {
            alive = 0;
            let slots = children(std::process::id()).into_iter();
            killed.extend(slots.filter(|slot| signal(*slot, Signal::KILL)));
        }
    }
    assert_eq!(seen, TASKS);
    assert!(
        killed.len() >= 10,
        "{} slots were killed: that is no storm",
        killed.len()
    );
    // A task crashes after three charged attempts, so each crashed task needs three slots that were killed.
    assert!(
        crashed <= killed.len() / 3,
        "{crashed} tasks crashed by {} killings",
        killed.len()
    );
    end(pool).await;
}
