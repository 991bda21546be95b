//! Tests of `map`, with an executor played by hand or on a thread.

use std::cell::Cell;
use std::rc::Rc;
use std::thread::JoinHandle;

use super::*;
use crate::client::future::fake::{Fake, block_on, echo};
use crate::master::command::ShutdownBehavior;
use futures_util::FutureExt;
use futures_util::stream::{self, StreamExt};
use tokio::sync::oneshot;

type Fn1 = fn(u64) -> Call<u64>;
type Mapped<I> = Map<stream::Iter<I>, Fn1, u64>;

fn map<I: Iterator<Item = u64>>(fake: &Fake, slots: usize, inputs: I) -> Mapped<I> {
    Map::new(fake.pool(slots, None), stream::iter(inputs), echo as Fn1)
}

/// Counts what was taken from an endless iterator.
fn counted(taken: &Rc<Cell<u64>>) -> impl Iterator<Item = u64> + use<> {
    let taken = Rc::clone(taken);
    (0..).inspect(move |_| taken.set(taken.get() + 1))
}

fn poll<S, F>(map: &mut Map<S, F, u64>) -> Option<Option<Result<u64, TaskError>>>
where
    S: Stream<Item = u64> + Unpin,
    F: FnMut(u64) -> Call<u64>,
{
    map.next().now_or_never()
}

/// Ends a fake executor that answers on a thread.
pub(crate) fn end(mailbox: &Mailbox, thread: JoinHandle<()>) {
    mailbox.command(Command::Shutdown {
        behavior: ShutdownBehavior::Abort,
        done: oneshot::channel().0,
    });
    thread.join().expect("the fake executor ends well");
}

#[test]
fn results_come_in_order_and_inputs_only_when_there_is_room() {
    let mut fake = Fake::new();
    let taken = Rc::new(Cell::new(0));
    let mut map = map(&fake, 2, counted(&taken));
    assert_eq!(taken.get(), 0, "a map is lazy");
    assert!(poll(&mut map).is_none());
    assert_eq!(taken.get(), 8, "four calls a slot");
    for id in [1, 2, 7] {
        fake.finish(id);
    }
    assert!(poll(&mut map).is_none(), "the first is missing");
    fake.finish(0);
    for n in 0..3 {
        assert_eq!(poll(&mut map).flatten().unwrap().unwrap(), n);
        assert_eq!(taken.get(), 8 + n, "room is made by the results before");
    }
    assert!(poll(&mut map).is_none());
    drop(map);
    assert_eq!(fake.cancelled(), (3..11).collect::<Vec<_>>());
}

#[test]
fn a_given_window_is_exact() {
    for calls in [1, 3, 5000] {
        let mut fake = Fake::new();
        let taken = Rc::new(Cell::new(0));
        let mut map = map(&fake, 2, counted(&taken)).window(calls as usize);
        assert!(poll(&mut map).is_none());
        assert_eq!(taken.get(), calls);
        for n in 0..20_u64.min(calls) {
            fake.finish(n as usize);
            assert_eq!(poll(&mut map).flatten().unwrap().unwrap(), n);
            assert_eq!(taken.get(), calls + n);
        }
    }
}

#[test]
fn short_tasks_widen_the_window() {
    for (typical, widest) in [
        (Duration::from_micros(1), 4096),
        (Duration::from_secs(1), 8),
    ] {
        let fake = Fake::new();
        let mailbox = Arc::clone(&fake.mailbox);
        let pool = fake.pool(2, Some(typical));
        let thread = fake.answer();
        let mut map = Map::new(pool, stream::iter(0..20_000), echo);
        let mut most = 0;
        for n in 0..20_000 {
            assert_eq!(block_on(map.next()).unwrap().unwrap(), n);
            most = most.max(map.in_flight.len());
        }
        assert!(block_on(map.next()).is_none());
        assert!(most < widest && most >= widest - 1 - widest / 8, "{most}");
        end(&mailbox, thread);
    }
}

#[test]
fn large_arguments_hold_a_window_at_its_start() {
    let mut fake = Fake::new();
    let text = "x".repeat(8 << 20);
    let call = |n: u64| Call::<u64>::new(&crate::client::future::fake::TASK, &(n, &text));
    let pool = fake.pool(1, Some(Duration::ZERO));
    let mut map = Map::new(pool, stream::iter(0..), call);
    for n in 0..10 {
        assert!(poll(&mut map).is_none());
        assert_eq!(map.in_flight.len(), 4);
        let cell = fake.cell(n);
        cell.settle(
            Ok(crate::master::cell::Output::from(
                bytes::Bytes::from_static(&[1]),
            )),
            &mut crate::master::cell::Wakers::default(),
        );
        assert!(poll(&mut map).is_some());
    }
}

#[test]
fn an_empty_input_ends_at_once_and_stays_ended() {
    let mut fake = Fake::new();
    let mut empty = map(&fake, 2, std::iter::empty());
    assert!(poll(&mut empty).unwrap().is_none());
    assert!(poll(&mut empty).unwrap().is_none());
    drop(empty);
    fake.pump();
    assert!(fake.commands.is_empty(), "nothing is left to cancel");
}

#[test]
fn an_error_comes_at_its_position_and_cancels_the_rest() {
    let mut fake = Fake::new();
    let mut map = map(&fake, 1, 0..10);
    assert!(poll(&mut map).is_none());
    fake.fail(1, TaskErrorKind::Failed);
    assert!(poll(&mut map).is_none(), "not before its turn");
    fake.finish(0);
    assert_eq!(poll(&mut map).flatten().unwrap().unwrap(), 0);
    let error = poll(&mut map).flatten().unwrap().unwrap_err();
    assert_eq!((error.kind(), error.id().0), (TaskErrorKind::Failed, 1));
    assert_eq!(fake.cancelled(), [2, 3, 4]);
    assert!(poll(&mut map).unwrap().is_none());
    assert_eq!(map.failures(), 1);
    drop(map);
    fake.pump();
    assert!(fake.commands.is_empty(), "the rest is cancelled once");
}

#[test]
fn errors_are_tolerated_as_far_as_it_was_set() {
    let run = |limit: fn(Mapped<std::ops::Range<u64>>) -> Mapped<std::ops::Range<u64>>| {
        let mut fake = Fake::new();
        let mut map = limit(map(&fake, 1, 0..100).window(100));
        assert!(poll(&mut map).is_none());
        (0..100).for_each(|id| fake.fail(id, TaskErrorKind::Panicked));
        let results: Vec<_> = block_on(map.by_ref().collect());
        assert!(results.iter().all(Result::is_err));
        assert_eq!(results.len(), map.failures());
        results.len()
    };
    assert_eq!(run(|map| map), 1);
    assert_eq!(run(|map| map.max_failures(7)), 8);
    assert_eq!(run(|map| map.max_failures_percent(99.0)), 20);
    assert_eq!(run(Map::return_exceptions), 100);
}

#[test]
fn unordered_results_come_as_they_end() {
    let mut fake = Fake::new();
    let mut map = map(&fake, 1, 0..6).unordered();
    assert!(poll(&mut map).is_none());
    for (id, next) in [(2, 4), (0, 5), (4, 5), (5, 5)] {
        fake.finish(id);
        assert_eq!(poll(&mut map).flatten().unwrap().unwrap(), id as u64);
        assert!(poll(&mut map).is_none());
        fake.pump();
        assert_eq!(fake.tasks.len() - 1, next.max(id));
    }
    drop(map);
    let mut cancelled = fake.cancelled();
    cancelled.sort_unstable();
    assert_eq!(cancelled, [1, 3]);
}

#[test]
fn a_timeout_ends_the_whole_whatever_is_done() {
    let mut fake = Fake::new();
    let mut none = map(&fake, 1, 0..10).timeout(Duration::ZERO);
    let error = poll(&mut none).flatten().unwrap().unwrap_err();
    assert_eq!(
        (error.kind(), error.id()),
        (TaskErrorKind::TimedOut, Subject::NO_ID)
    );
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
    assert_eq!((error.kind(), error.id().0), (TaskErrorKind::TimedOut, 1));
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
fn a_timeout_is_looked_at_between_inputs() {
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

/// What no further call can change ends an endless map, with one error.
#[test]
fn a_closed_pool_ends_every_endless_map_once() {
    use crate::master::mailbox::Closed;
    let closed = [
        (Closed::ShutDown, TaskErrorKind::ShutDown),
        (
            Closed::Broken("the queue is gone".into()),
            TaskErrorKind::PoolBroken,
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

/// Without an order the error waits for those that still end by themselves.
#[test]
fn a_closed_pool_ends_an_unordered_map_after_what_runs() {
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

/// Whatever ends it is its last result.
#[test]
fn nothing_follows_the_timeout_of_a_map_whose_pool_was_closed() {
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
fn a_panicking_input_surfaces_and_cancels_the_rest() {
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

#[test]
fn a_stream_that_waits_holds_back_no_result() {
    let mut fake = Fake::new();
    let (sender, inputs) = tokio::sync::mpsc::unbounded_channel();
    let inputs = Box::pin(stream::unfold(inputs, async |mut inputs| {
        inputs.recv().await.map(|n| (n, inputs))
    }));
    let mut map = Map::new(fake.pool(1, None), inputs, echo);
    assert!(poll(&mut map).is_none());
    sender.send(41).unwrap();
    assert!(poll(&mut map).is_none());
    fake.finish(0);
    assert_eq!(poll(&mut map).flatten().unwrap().unwrap(), 41);
    assert!(poll(&mut map).is_none());
    drop(sender);
    assert!(poll(&mut map).unwrap().is_none());
}

/// The map's own side: prints its rate in a release build (`cargo test --release -- rate --nocapture`).
#[test]
fn rate_of_a_million_no_ops() {
    let count = if cfg!(debug_assertions) {
        20_000
    } else {
        1_000_000
    };
    let fake = Fake::new();
    let mailbox = Arc::clone(&fake.mailbox);
    let pool = fake.pool(2, Some(Duration::from_micros(1)));
    let thread = fake.answer();
    let start = Instant::now();
    let mut map = Map::new(pool, stream::iter(0..count), echo);
    let sum = block_on(async {
        let mut sum = 0;
        while let Some(n) = map.next().await {
            sum += n.unwrap();
        }
        sum
    });
    println!(
        "map: {:.2} M/s",
        count as f64 / start.elapsed().as_secs_f64() / 1e6
    );
    assert_eq!(sum, count * (count - 1) / 2);
    end(&mailbox, thread);
}
