//! The default window of `map`, over topics of Google's emulator.

#![cfg(feature = "pubsub")]

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use podpool_tests::bed::Bed;
use podpool_tests::run::{run, within};
use podpool_tests::tasks;

podpool::test_slots!();

const TASKS: u64 = 1500;

/// The window that suffices for four slots without a queue between, with tasks of 1 ms: 50 ms of work.
const NEAR: u64 = 64;

/// A round trip takes many times as long as a task, so with that window slots would wait for calls.
#[test]
fn the_window_of_map_grows_with_the_way_to_the_slots() {
    let beds = Vec::from_iter(Bed::pubsub());
    run("the window of map", beds, &[], async |bed| {
        let pool = bed.pool(4).await;
        let taken = Rc::new(Cell::new(0));
        let count = taken.clone();
        let inputs = (0..TASKS).inspect(move |_| count.set(count.get() + 1));
        let mut results = pool.map(inputs, |n| tasks::slow(n, Duration::from_millis(1)));
        let mut most = 0;
        for n in 0..TASKS {
            let result = within("the next", results.next()).await.unwrap();
            assert_eq!(result.unwrap(), n);
            most = most.max(taken.get() - n);
        }
        assert!(most > NEAR, "{most} calls were under way");
    });
}
