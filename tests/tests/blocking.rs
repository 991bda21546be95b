//! Pools in programs without `async`: each call blocks its thread until there is an answer.

use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use podpool::blocking::{self, PodPoolExecutor, ReturnWhen, as_completed, gather, wait};
use podpool::events::{Event, EventKind};
use podpool::{CancelOutcome, ShutdownBehavior, TaskErrorKind, TaskState};
use podpool_tests::faults::meeting::Meeting;
use podpool_tests::faults::tasks::{abort_at_start, echo, meet};
use podpool_tests::faults::{LIMIT, describe};

podpool::test_slots!();

/// Runs a test on a thread, and fails where it does not end in time.
fn bounded(test: impl FnOnce() + Send + 'static) {
    let (done, ended) = channel();
    let thread = thread::spawn(move || {
        test();
        done.send(()).ok();
    });
    let late = ended.recv_timeout(LIMIT).is_err() && !thread.is_finished();
    assert!(!late, "the test did not end within {LIMIT:?}");
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

fn pool(slots: usize) -> PodPoolExecutor {
    describe(slots).build_blocking().expect("a pool")
}

#[test]
fn calls_maps_and_waits_give_their_results() {
    bounded(|| {
        let pool = pool(2);
        let events = pool.events();
        let mut future = pool.submit(echo(7).key("seven"));
        assert_eq!(future.key().as_deref(), Some("seven"));
        assert_eq!(future.result().unwrap(), 7);
        assert_eq!(future.result().unwrap(), 7, "it may be asked again");
        let doubled: Result<Vec<_>, _> = pool.map(0..500, echo).window(9).collect();
        assert_eq!(doubled.unwrap(), (0..500).collect::<Vec<_>>());
        let pairs = [("a", 1), ("b", 2)];
        let keyed: Result<Vec<_>, _> = pool.map_keyed(pairs, echo).collect();
        assert_eq!(keyed.unwrap(), [("a".into(), 1), ("b".into(), 2)]);
        let submit = |n| pool.submit(echo(n));
        assert_eq!(
            gather((0..9).map(submit)).unwrap(),
            [0, 1, 2, 3, 4, 5, 6, 7, 8]
        );
        let waited = wait((0..9).map(submit), ReturnWhen::All, None);
        assert_eq!((waited.done.len(), waited.not_done.len()), (9, 0));
        let mut ended: Vec<_> = as_completed(waited.done)
            .map(|mut future| future.result().unwrap())
            .collect();
        ended.sort_unstable();
        assert_eq!(ended, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
        pool.shutdown().unwrap();
        let stats = pool.stats();
        assert_eq!(
            (stats.done, stats.ended()),
            (stats.submitted, stats.submitted)
        );
        let done = |event: &Event| matches!(event.kind, EventKind::Ended { .. });
        assert_eq!(events.filter(done).count() as u64, stats.done);
        let late = pool.submit(echo(1)).result().unwrap_err();
        assert_eq!(late.kind(), TaskErrorKind::ShutDown);
    });
}

#[test]
fn a_wait_has_an_end_and_a_cancel_ends_the_task() {
    bounded(|| {
        // The meeting listens on a runtime; the pool needs none.
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let meeting = runtime.block_on(async { Meeting::new() });
        let pool = pool(1);
        let mut held = pool.submit(meet(meeting.path(), 1));
        let late = held.result_within(Duration::from_millis(1)).unwrap_err();
        assert!(late.to_string().contains("is not done after 1ms"), "{late}");
        let mut waiting = pool.submit(echo(1));
        assert_eq!(waiting.cancel(), CancelOutcome::Dequeued);
        assert_eq!(
            waiting.result().unwrap_err().kind(),
            TaskErrorKind::Cancelled
        );
        let mut within = as_completed([held]).timeout(Duration::from_millis(1));
        assert!(within.next().unwrap().is_err());
        let held = within.into_rest();
        assert_eq!(held.remaining(), 1);
        pool.shutdown_with(ShutdownBehavior::Abort).unwrap();
        let ended: Vec<_> = held.collect();
        assert_eq!(ended[0].state(), TaskState::Failed);
    });
}

#[test]
fn a_pool_may_be_used_on_a_thread_of_a_runtime() {
    bounded(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let pool = pool(1);
            assert_eq!(pool.submit(echo(3)).result().unwrap(), 3);
            assert_eq!(pool.as_async().submit(echo(4)).await.unwrap(), 4);
            pool.shutdown().unwrap();
        });
    });
}

#[test]
fn a_broken_pool_and_a_refused_one_are_errors() {
    bounded(|| {
        let broken: PodPoolExecutor = describe(1)
            .initializer(abort_at_start())
            .build_blocking()
            .expect("a pool");
        let error = broken.submit(echo(1)).result().unwrap_err();
        assert_eq!(error.kind(), TaskErrorKind::PoolBroken, "{error}");
        assert!(broken.shutdown().is_err());
        let refused: Result<blocking::PodPoolExecutor, _> = describe(0).build_blocking();
        assert!(refused.unwrap_err().to_string().contains("max_workers"));
    });
}
