//! Tests of `map`, with an executor that the test drives, or that runs on a thread.

mod ends;

use std::cell::Cell;
use std::rc::Rc;
use std::thread::JoinHandle;

use podpool_core::id::TaskId;

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
    assert_eq!(
        (error.kind(), error.id()),
        (TaskErrorKind::Failed, Some(TaskId(1)))
    );
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
fn inputs_that_are_pending_delay_no_result() {
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
