//! Tests of `wait` and `as_completed`, with an executor that the test drives.

use super::*;
use crate::client::future::fake::{Fake, block_on};
use crate::error::TaskErrorKind;
use futures_util::{FutureExt, StreamExt};

const SOON: Option<Duration> = Some(Duration::from_millis(1));

fn ids(futures: &[TaskFuture<u64>]) -> Vec<u64> {
    futures.iter().map(|future| future.id().0).collect()
}

#[test]
fn wait_returns_by_its_rule_and_keeps_the_order() {
    let mut fake = Fake::new();
    let futures = fake.submit_many(5);
    fake.finish(3);
    let seen = block_on(wait(futures, ReturnWhen::FirstCompleted, None));
    assert_eq!(
        (ids(&seen.done), ids(&seen.not_done)),
        (vec![3], vec![0, 1, 2, 4])
    );
    fake.finish(4);
    fake.fail(1, TaskErrorKind::Cancelled);
    let seen = block_on(wait(seen.not_done, ReturnWhen::FirstException, SOON));
    assert_eq!(
        ids(&seen.done),
        [1, 4],
        "a cancel is no exception, so it waited"
    );
    let mut all = Box::pin(wait(seen.not_done, ReturnWhen::FirstException, None));
    assert!((&mut all).now_or_never().is_none());
    fake.fail(2, TaskErrorKind::Failed);
    let seen = block_on(all);
    assert_eq!((ids(&seen.done), ids(&seen.not_done)), (vec![2], vec![0]));
}

#[test]
fn wait_for_all_ends_with_the_last_and_with_none() {
    let mut fake = Fake::new();
    let mut all = Box::pin(wait(fake.submit_many(3), ReturnWhen::All, None));
    for id in [2, 0, 1] {
        assert!((&mut all).now_or_never().is_none());
        fake.finish(id);
    }
    assert_eq!(ids(&block_on(all).done), [0, 1, 2]);
    for when in [
        ReturnWhen::All,
        ReturnWhen::FirstCompleted,
        ReturnWhen::FirstException,
    ] {
        assert!(
            block_on(wait(Vec::<TaskFuture<u64>>::new(), when, None))
                .done
                .is_empty()
        );
    }
}

#[test]
fn a_timeout_of_wait_cancels_nothing() {
    let mut fake = Fake::new();
    let seen = block_on(wait(fake.submit_many(2), ReturnWhen::All, SOON));
    assert_eq!((seen.done.len(), seen.not_done.len()), (0, 2));
    fake.pump();
    assert!(fake.commands.is_empty());
    fake.finish(0);
    fake.finish(1);
    for (n, future) in seen.not_done.into_iter().enumerate() {
        assert_eq!(block_on(future).unwrap(), n as u64);
    }
}

#[test]
fn as_completed_yields_each_future_once_and_ended_ones_first() {
    let mut fake = Fake::new();
    let mut other = Fake::new();
    let mut futures = fake.submit_many(4);
    futures.extend(other.submit_many(1));
    fake.finish(2);
    let mut completed = as_completed(futures);
    other.finish(0);
    fake.finish(3);
    fake.finish(0);
    let order = [2, 0, 3, 0];
    for (place, id) in order.into_iter().enumerate() {
        let future = completed.next().now_or_never().flatten().unwrap();
        assert!(future.is_done());
        assert_eq!((future.id().0, completed.remaining()), (id, 4 - place));
    }
    assert!(completed.next().now_or_never().is_none());
    fake.finish(1);
    assert_eq!(block_on(completed.next()).unwrap().id().0, 1);
    assert!(block_on(completed.next()).is_none());
    completed.add(fake.submit(9));
    fake.finish(4);
    assert_eq!(
        block_on(block_on(StreamExt::next(&mut completed)).unwrap()).unwrap(),
        9
    );
}

#[test]
fn as_completed_within_reports_how_many_are_missing_once() {
    let mut fake = Fake::new();
    let mut completed = as_completed(fake.submit_many(3)).timeout(Duration::from_millis(1));
    fake.finish(1);
    completed.deadline = Deadline::after(Duration::from_secs(3600));
    assert_eq!(block_on(completed.next()).unwrap().unwrap().id().0, 1);
    completed.deadline = Deadline::after(Duration::ZERO);
    let missing = block_on(completed.next()).unwrap().unwrap_err();
    assert_eq!((missing.unfinished(), missing.total()), (2, 3));
    assert_eq!(
        missing.to_string(),
        "2 (of 3) futures unfinished after 1ms; their tasks continue"
    );
    assert!(block_on(completed.next()).is_none());
    fake.finish(0);
    assert_eq!(block_on(completed.into_rest().next()).unwrap().id().0, 0);
}

/// Futures that were done are yielded in any case, those that end later only in time.
#[test]
fn as_completed_within_ends_though_more_are_ready() {
    let mut fake = Fake::new();
    let futures = fake.submit_many(4);
    fake.finish(3);
    let mut completed = as_completed(futures).timeout(Duration::ZERO);
    fake.finish(1);
    assert_eq!(block_on(completed.next()).unwrap().unwrap().id().0, 3);
    let missing = block_on(completed.next()).unwrap().unwrap_err();
    assert_eq!((missing.unfinished(), missing.total()), (3, 4));
    assert!(block_on(completed.next()).is_none());
    let mut rest = completed.into_rest();
    assert_eq!(block_on(rest.next()).unwrap().id().0, 1);

    let future = fake.submit(4);
    fake.finish(4);
    let mut all = as_completed([future]).timeout(Duration::ZERO);
    assert!(block_on(all.next()).unwrap().is_ok());
    assert!(block_on(all.next()).is_none(), "nothing is missing");

    let future = fake.submit(5);
    let pending = as_completed([future]);
    fake.finish(5);
    let mut late = pending.timeout(Duration::ZERO);
    assert!(
        block_on(late.next()).unwrap().is_ok(),
        "it ended before the timeout was set"
    );
}

/// A completion must not look at the other futures again.
#[test]
fn a_hundred_thousand_futures_cost_one_visit_each() {
    let mut fake = Fake::new();
    let count = 100_000;
    let mut completed = as_completed(fake.submit_many(count));
    fake.pump();
    let start = std::time::Instant::now();
    for id in (0..count as usize).rev() {
        assert!(completed.next().now_or_never().is_none());
        fake.finish(id);
        let future = completed.next().now_or_never().flatten().unwrap();
        assert_eq!(future.id().0, id as u64);
    }
    // Quadratic work would be 10^10 visits: minutes.
    assert!(start.elapsed() < Duration::from_secs(20));
    let thread = Fake::new();
    let futures = thread.submit_many(count);
    let mailbox = std::sync::Arc::clone(&thread.mailbox);
    let thread = thread.answer();
    assert_eq!(
        block_on(wait(futures, ReturnWhen::All, None)).done.len(),
        count as usize
    );
    crate::client::map::tests::end(&mailbox, thread);
}
