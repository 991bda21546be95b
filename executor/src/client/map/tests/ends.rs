//! The ends of a map: its timeout, a pool that is closed, a panic of its inputs.

use super::*;

#[test]
fn a_timeout_ends_the_whole_whatever_is_done() {
    let mut fake = Fake::new();
    let mut none = map(&fake, 1, 0..10).timeout(Duration::ZERO);
    let error = poll(&mut none).flatten().unwrap().unwrap_err();
    assert_eq!((error.kind(), error.id()), (TaskErrorKind::TimedOut, None));
    assert!(poll(&mut none).unwrap().is_none());

    let mut late = map(&fake, 1, 0..10)
        .timeout(Duration::from_secs(3600))
        .return_exceptions();
    assert!(poll(&mut late).is_none());
    fake.finish(0);
    assert_eq!(poll(&mut late).flatten().unwrap().unwrap(), 0);
    fake.finish(1);
    late.deadline = Deadline::after(Duration::ZERO);
    let error = poll(&mut late).flatten().unwrap().unwrap_err();
    assert_eq!(
        (error.kind(), error.id()),
        (TaskErrorKind::TimedOut, Some(TaskId(1)))
    );
    assert!(poll(&mut late).unwrap().is_none());
    assert_eq!(fake.cancelled(), [1, 2, 3]);
}

/// The executor is always ahead: a result is ready at every call.
#[test]
fn a_timeout_ends_an_endless_map_that_never_waits() {
    let mut fake = Fake::new();
    let mut map = map(&fake, 1, 0..).timeout(Duration::from_secs(3600));
    assert!(poll(&mut map).is_none());
    let mut ready = 0;
    for n in 0..100 {
        if n == 50 {
            map.deadline = Deadline::after(Duration::ZERO);
        }
        fake.pump();
        while ready < fake.tasks.len() {
            fake.finish(ready);
            ready += 1;
        }
        match poll(&mut map).flatten() {
            Some(Ok(value)) => assert!(n < 50 && value == n, "{value} of {n}"),
            Some(Err(error)) => assert_eq!((n, error.kind()), (50, TaskErrorKind::TimedOut)),
            None => assert!(n > 50, "a result was ready"),
        }
    }
}

/// Inputs may be slow, and thousands of them fit the window.
#[test]
fn a_timeout_is_checked_between_inputs() {
    let mut fake = Fake::new();
    let taken = Rc::new(Cell::new(0));
    let inputs = counted(&taken).inspect(|n| {
        if *n == 2 {
            let slow = Instant::now() + Duration::from_millis(20);
            while Instant::now() < slow {
                std::hint::spin_loop();
            }
        }
    });
    let mut map = Map::new(fake.pool(1, None), stream::iter(inputs), echo as Fn1)
        .window(1000)
        .timeout(Duration::from_millis(20));
    let error = poll(&mut map).flatten().unwrap().unwrap_err();
    assert_eq!(error.kind(), TaskErrorKind::TimedOut);
    assert!(taken.get() <= 3, "{} were taken", taken.get());
    fake.pump();
}

#[test]
fn a_map_whose_results_were_all_taken_did_not_time_out() {
    let mut fake = Fake::new();
    let mut map = map(&fake, 1, 0..2)
        .window(1)
        .timeout(Duration::from_secs(3600));
    for n in 0..2 {
        assert!(poll(&mut map).is_none());
        fake.finish(n);
        assert_eq!(poll(&mut map).flatten().unwrap().unwrap(), n as u64);
    }
    map.deadline = Deadline::after(Duration::ZERO);
    assert!(poll(&mut map).unwrap().is_none());
}

/// An error that no further call can change ends an endless map.
#[test]
fn a_closed_pool_ends_every_endless_map_once() {
    use crate::error::ShutdownError;
    use crate::master::mailbox::Closed;
    let closed = [
        (Closed::ShutDown, TaskErrorKind::ShutDown),
        (
            Closed::Broken("the queue is gone".into()),
            TaskErrorKind::PoolBroken,
        ),
        (
            Closed::Limit(Arc::new(ShutdownError::DeadlinePassed {
                deadline: Duration::from_secs(1),
                unended: 0,
            })),
            TaskErrorKind::RunLimit,
        ),
    ];
    for (reason, kind) in closed {
        let tolerant: [fn(_) -> Mapped<_>; 3] = [
            Map::return_exceptions,
            |map| map.max_failures(1000),
            |map| map.max_failures_percent(100.0),
        ];
        for (n, tolerant) in tolerant.into_iter().enumerate() {
            let mut fake = Fake::new();
            let mut map = tolerant(map(&fake, 1, 0..));
            assert!(poll(&mut map).is_none());
            fake.mailbox.close(reason.clone());
            for n in 0..4 {
                fake.finish(n);
                assert_eq!(poll(&mut map).flatten().unwrap().unwrap(), n as u64);
            }
            let error = poll(&mut map).flatten().unwrap().unwrap_err();
            assert_eq!(error.kind(), kind, "{n}");
            assert!(poll(&mut map).unwrap().is_none(), "{n}");
            assert_eq!(map.failures(), 1);
        }
    }
}

/// Without an order the error comes after the results of the calls that still end by themselves.
#[test]
fn a_closed_pool_ends_an_unordered_map_after_the_running_calls() {
    use crate::master::mailbox::Closed;
    let mut fake = Fake::new();
    let mut map = map(&fake, 1, 0..).unordered().return_exceptions();
    assert!(poll(&mut map).is_none());
    fake.mailbox.close(Closed::ShutDown);
    fake.finish(2);
    assert_eq!(poll(&mut map).flatten().unwrap().unwrap(), 2);
    assert!(poll(&mut map).is_none(), "three still run");
    for n in [3, 0, 1] {
        fake.finish(n);
        assert_eq!(poll(&mut map).flatten().unwrap().unwrap(), n as u64);
    }
    let error = poll(&mut map).flatten().unwrap().unwrap_err();
    assert_eq!(error.kind(), TaskErrorKind::ShutDown);
    assert!(poll(&mut map).unwrap().is_none());
    assert_eq!(map.failures(), 1);

    let mut strict = self::map(&fake, 1, 0..).unordered();
    assert!(poll(&mut strict).flatten().unwrap().is_err());
    assert!(poll(&mut strict).unwrap().is_none());
}

/// The error that ends a map is its last result.
#[test]
fn the_timeout_is_the_last_result_of_a_map_whose_pool_was_closed() {
    use crate::master::mailbox::Closed;
    let mut fake = Fake::new();
    let mut map = map(&fake, 1, 0..)
        .unordered()
        .return_exceptions()
        .timeout(Duration::from_secs(3600));
    assert!(poll(&mut map).is_none());
    fake.mailbox.close(Closed::ShutDown);
    fake.finish(0);
    assert_eq!(poll(&mut map).flatten().unwrap().unwrap(), 0);
    assert!(poll(&mut map).is_none(), "three still run");
    map.deadline = Deadline::after(Duration::ZERO);
    let error = poll(&mut map).flatten().unwrap().unwrap_err();
    assert_eq!(error.kind(), TaskErrorKind::TimedOut);
    assert!(poll(&mut map).unwrap().is_none());
}

#[test]
fn a_panic_of_the_inputs_reaches_the_caller_and_cancels_the_rest() {
    let mut fake = Fake::new();
    let inputs = (0..).inspect(|n| assert_ne!(*n, 3, "no such input"));
    let mut map = map(&fake, 2, inputs);
    let panic = catch_unwind(AssertUnwindSafe(|| poll(&mut map))).unwrap_err();
    assert!(
        panic
            .downcast_ref::<String>()
            .unwrap()
            .contains("no such input")
    );
    assert_eq!(fake.cancelled(), [0, 1, 2]);
    assert!(poll(&mut map).unwrap().is_none());
}
