//! Tests of futures, handles and cells, with an executor that the test drives.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::task::Wake;

use super::fake::{Fake, TASK, block_on, error, garbage, report};
use super::*;
use crate::master::cell::{Output, Wakers};
use crate::master::command::CancelOutcome;
use crate::master::mailbox::Closed;
use futures_util::FutureExt;
use podpool_core::id::Attempt;

const SOON: Duration = Duration::from_millis(1);

#[test]
fn a_future_is_small_and_can_be_sent_and_shared() {
    const fn anywhere<T: Send + Sync + Unpin>() {}
    anywhere::<TaskFuture<std::rc::Rc<u8>>>();
    anywhere::<TaskHandle>();
    assert_eq!(size_of::<Cell>(), 80, "96 with the counts of its Arc");
    assert_eq!(size_of::<TaskFuture<String>>(), 16);
    assert!(size_of::<Submission>() <= 40);
}

#[test]
fn states_follow_the_task() {
    let mut fake = Fake::new();
    let future = fake.submit(7);
    assert_eq!(future.state(), TaskState::Pending);
    let cell = Arc::clone(future.cell());
    cell.set_running(Attempt(2));
    assert_eq!(
        future.state(),
        TaskState::Running {
            attempt: Attempt(2)
        }
    );
    cell.set_pending();
    assert_eq!(future.handle().state(), TaskState::Pending);
    fake.finish(0);
    cell.set_running(Attempt(3));
    assert_eq!(future.state(), TaskState::Done);
    for (kind, state) in [
        (TaskErrorKind::Crashed, TaskState::Failed),
        (TaskErrorKind::Cancelled, TaskState::Cancelled),
    ] {
        let future = fake.submit(0);
        fake.fail(future.id().0 as usize, kind);
        assert_eq!(future.state(), state);
    }
    assert_eq!(block_on(future).unwrap(), 7);
}

#[test]
fn the_first_settlement_wins() {
    let mut fake = Fake::new();
    let future = fake.submit(7);
    let cell = Arc::clone(future.cell());
    fake.finish(0);
    assert!(!cell.settle(Err(error(TaskErrorKind::Failed)), &mut Wakers::default()));
    assert_eq!(block_on(future).unwrap(), 7);
}

#[test]
fn errors_that_no_worker_reported_have_the_key_too() {
    let mut fake = Fake::new();
    let mut future = fake.submit_with_key(5, "BTC");
    let late = block_on(future.result(SOON)).unwrap_err().to_string();
    let named = "task tests::echo #0 (key \"BTC\") is not done";
    assert!(late.starts_with(named), "{late}");
    drop(fake.cell(0));
    let error = block_on(future).unwrap_err();
    assert_eq!(error.kind(), TaskErrorKind::PoolBroken);
    assert_eq!(error.key(), Some("BTC"));
}

#[test]
fn result_borrows_and_may_be_called_again() {
    let mut fake = Fake::new();
    let mut future = fake.submit(5);
    let late = block_on(future.result(SOON)).unwrap_err();
    assert_eq!(
        late.to_string(),
        "task tests::echo #0 is not done after 1ms and continues; wait for it again, or cancel it"
    );
    fake.finish(0);
    assert!(fake.commands.is_empty(), "a timeout cancels nothing");
    for _ in 0..2 {
        assert_eq!(block_on(future.result(Duration::ZERO)).unwrap().unwrap(), 5);
    }
    assert_eq!(block_on(future).unwrap(), 5);
}

#[test]
fn a_result_of_another_shape_is_an_error() {
    let mut fake = Fake::new();
    let future = fake.submit(5);
    fake.cell(0).settle(Ok(garbage()), &mut Wakers::default());
    assert_eq!(
        block_on(future).unwrap_err().kind(),
        TaskErrorKind::Rejected
    );
}

#[test]
fn the_newest_waker_is_woken_once_after_the_batch() {
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let mut fake = Fake::new();
    let mut futures = fake.submit_many(3);
    let counts = [(); 2].map(|()| Arc::new(Count(AtomicUsize::new(0))));
    for count in &counts {
        for future in &mut futures {
            let waker = Arc::clone(count).into();
            assert!(
                future
                    .poll_unpin(&mut Context::from_waker(&waker))
                    .is_pending()
            );
        }
    }
    let mut wakers = Wakers::default();
    for id in 0..3 {
        fake.cell(id).settle(Ok(Output::EMPTY), &mut wakers);
    }
    let seen = || {
        counts
            .each_ref()
            .map(|count| count.0.load(Ordering::Relaxed))
    };
    assert_eq!(seen(), [0, 0]);
    wakers.wake();
    assert_eq!(seen(), [0, 1], "one task waits for all three");
}

#[test]
fn every_future_of_an_executor_that_is_gone_is_broken() {
    let mut fake = Fake::new();
    let taken = fake.submit(0);
    fake.pump();
    let waiting = fake.submit(1);
    let cancel = waiting.cancel();
    let mailbox = Arc::clone(&fake.mailbox);
    drop(fake);
    let after = TaskFuture::submit(&mailbox, super::fake::echo(2));
    for future in [taken, waiting, after] {
        assert_eq!(
            block_on(future).unwrap_err().kind(),
            TaskErrorKind::PoolBroken
        );
    }
    assert_eq!(block_on(cancel), CancelOutcome::AlreadyDone);
}

#[test]
fn after_a_shutdown_a_future_resolves_to_it() {
    let fake = Fake::new();
    fake.inbox.close(Closed::ShutDown);
    let call = super::fake::echo(1).key("BTC");
    let error = block_on(TaskFuture::submit(&fake.mailbox, call)).unwrap_err();
    assert_eq!(
        (error.kind(), error.key()),
        (TaskErrorKind::ShutDown, Some("BTC"))
    );
}

#[test]
fn arguments_that_cannot_be_encoded_are_rejected_and_numbered() {
    struct Stubborn;
    impl serde::Serialize for Stubborn {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("stubborn"))
        }
    }
    let mut fake = Fake::new();
    let future = TaskFuture::<u64>::submit(&fake.mailbox, Call::new(&TASK, &Stubborn));
    assert_eq!(fake.submit(1).id(), TaskId(1));
    fake.pump();
    let seen = fake.tasks[0].as_ref().expect("the executor sees it");
    assert!(seen.cell.is_settled());
    let error = block_on(future).unwrap_err();
    assert_eq!(
        (error.kind(), error.id()),
        (TaskErrorKind::Rejected, Some(TaskId(0)))
    );
    assert!(error.message().contains("stubborn"), "{error}");
}

#[test]
fn a_cancel_is_sent_at_once_and_yields_its_outcome() {
    let mut fake = Fake::new();
    let future = fake.submit(0);
    let cancel = future.cancel();
    drop(future.handle().cancel());
    fake.pump();
    assert_eq!(fake.commands.len(), 2);
    let Command::Cancel { cell, reply } = fake.commands.remove(0) else {
        panic!("not a cancel");
    };
    assert!(Arc::ptr_eq(&cell, future.cell()));
    reply.unwrap().send(CancelOutcome::Signalled).unwrap();
    assert_eq!(block_on(cancel), CancelOutcome::Signalled);
    fake.finish(0);
    assert_eq!(block_on(future.cancel()), CancelOutcome::AlreadyDone);
    fake.pump();
    assert_eq!(fake.commands.len(), 1, "what has ended is not cancelled");
}

#[test]
fn dropping_cancels_only_on_request() {
    let mut fake = Fake::new();
    drop(fake.submit(0));
    let done = fake.submit(1).abort_on_drop();
    fake.finish(1);
    drop(done);
    fake.pump();
    assert!(fake.commands.is_empty());
    drop(fake.submit(2).abort_on_drop());
    fake.pump();
    match fake.commands.as_slice() {
        [Command::Cancel { cell, reply: None }] => assert_eq!(cell.id(), TaskId(2)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_result_of_a_dropped_future_is_not_kept() {
    let long = bytes::Bytes::from(vec![7; 1000]);
    let mut fake = Fake::new();
    let [before, after] = [fake.submit(0), fake.submit(1)];
    let handles = [before.handle(), after.handle()];
    let settle = |cell: &Cell| cell.settle(Ok(long.clone().into()), &mut Wakers::default());
    drop(before);
    settle(&fake.cell(0));
    settle(&fake.cell(1));
    drop(after);
    assert!(
        handles
            .iter()
            .all(|handle| handle.state() == TaskState::Done)
    );
    assert!(long.is_unique(), "the handles hold no result");
}

#[test]
fn attempts_are_reported_of_successes_and_failures() {
    let mut fake = Fake::new();
    let future = fake.submit(0);
    assert!(future.attempts().is_empty());
    future.cell().set_running(Attempt(1));
    future.cell().remember(report("once"));
    assert_eq!(future.attempts().len(), 1);
    assert_eq!(future.state(), TaskState::Pending, "it has ended");
    fake.finish(0);
    assert_eq!(future.attempts()[0].message, "once");
    let failed = fake.submit(1);
    let cell = fake.cell(1);
    cell.remember(report("once"));
    let all = vec![report("once"), report("twice")];
    let error = TaskError::of_attempts(cell.subject(), all);
    cell.settle(Err(error), &mut Wakers::default());
    assert_eq!(failed.handle().attempts()[1].message, "twice");
}

#[test]
fn callbacks_run_in_order_with_a_handle_that_shows_the_end() {
    let mut fake = Fake::new();
    let (sender, seen) = mpsc::channel();
    let future = fake.submit(3);
    let add = |n: u32| {
        let sender = sender.clone();
        future.on_done(move |handle| sender.send((n, handle.state())).expect("the test receives"));
    };
    add(1);
    future.on_done(|_| panic!("a callback may panic"));
    add(2);
    assert!(seen.try_recv().is_err());
    fake.finish(0);
    add(3);
    for n in 1..=3 {
        let seen = seen.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(seen, (n, TaskState::Done));
    }
}

#[test]
fn a_future_resolves_on_any_runtime_and_from_any_thread() {
    let fake = Fake::new();
    let mailbox = Arc::clone(&fake.mailbox);
    let thread = fake.answer();
    let submit = |n| TaskFuture::submit(&mailbox, super::fake::echo(n));
    assert_eq!(block_on(submit(1)).unwrap(), 1);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let mut future = submit(2);
    let result = runtime.block_on(future.result(Duration::from_secs(20)));
    assert_eq!(
        result.unwrap().unwrap(),
        2,
        "without a timer of the runtime"
    );
    std::thread::scope(|scope| {
        for first in 0..4 {
            let mailbox = &mailbox;
            scope.spawn(move || {
                for n in 0..500 {
                    let n = first * 1000 + n;
                    let future = TaskFuture::submit(mailbox, super::fake::echo(n));
                    assert_eq!(block_on(future).unwrap(), n);
                }
            });
        }
    });
    crate::client::map::tests::end(&mailbox, thread);
}

#[test]
fn a_panic_of_the_executor_resolves_its_futures() {
    let mut fake = Fake::new();
    let future = fake.submit(0);
    fake.pump();
    let died = catch_unwind(AssertUnwindSafe(move || {
        let _held = fake;
        panic!("the executor's thread panics");
    }));
    assert!(died.is_err());
    assert_eq!(
        block_on(future).unwrap_err().kind(),
        TaskErrorKind::PoolBroken
    );
}
