//! Tests of the mailbox.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake};
use std::time::{Duration, Instant};

use super::*;
use crate::client::future::TaskFuture;
use crate::client::future::fake::{Fake, block_on, echo};
use futures_util::FutureExt;

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn numbers_are_dense_and_in_order_over_many_chunks() {
    let (mailbox, inbox) = Mailbox::new();
    let futures: Vec<_> = (0..5000)
        .map(|n| TaskFuture::submit(&mailbox, echo(n)))
        .collect();
    let (mut seen, mut chunk, mut commands) = (0, Vec::new(), Vec::new());
    loop {
        let more = inbox.drain(&mut chunk, &mut commands);
        assert!(chunk.len() <= CHUNK && chunk.capacity() <= CHUNK);
        for submission in chunk.drain(..) {
            assert_eq!(submission.cell.id(), TaskId(seen));
            assert_eq!(
                *submission.arguments,
                podpool_core::codec::encode(&(seen,)).unwrap()
            );
            seen += 1;
        }
        if !more {
            break;
        }
    }
    assert_eq!(seen, 5000);
    assert!(futures.iter().map(|future| future.id().0).eq(0..5000));
    let state = lock(&mailbox.state);
    assert!(
        state.spare.capacity() + state.tail.capacity() >= CHUNK,
        "a chunk is kept for reuse"
    );
}

#[test]
fn drain_appends_to_the_submissions_that_the_caller_holds() {
    let (mailbox, inbox) = Mailbox::new();
    let _futures = [0, 1].map(|n| TaskFuture::submit(&mailbox, echo(n)));
    let mut held = Vec::new();
    inbox.drain(&mut held, &mut Vec::new());
    let _third = TaskFuture::submit(&mailbox, echo(2));
    assert!(!inbox.drain(&mut held, &mut Vec::new()));
    assert!(
        held.iter()
            .map(|submission| submission.cell.id().0)
            .eq(0..3)
    );
}

#[test]
fn a_command_overtakes_no_submission_before_it() {
    let (mailbox, inbox) = Mailbox::new();
    let futures: Vec<_> = (0..1500)
        .map(|n| TaskFuture::submit(&mailbox, echo(n)))
        .collect();
    mailbox.command(Command::CancelMany(Vec::new()));
    let later: Vec<_> = (0..1500)
        .map(|n| TaskFuture::submit(&mailbox, echo(n)))
        .collect();
    let (mut submissions, mut commands) = (Vec::new(), Vec::new());
    assert!(inbox.drain(&mut submissions, &mut commands));
    assert_eq!((submissions.len(), commands.len()), (1024, 0));
    assert!(inbox.drain(&mut submissions, &mut commands));
    assert_eq!((submissions.len(), commands.len()), (2048, 1));
    assert!(!inbox.drain(&mut submissions, &mut commands));
    assert_eq!((submissions.len(), commands.len()), (3000, 1));
    drop((futures, later));
}

#[test]
fn the_executor_is_woken_only_when_it_sleeps() {
    let (mailbox, inbox) = Mailbox::new();
    let count = Arc::new(Count::default());
    let waker = Arc::clone(&count).into();
    let woken = || count.0.load(Ordering::Relaxed);
    let cx = &mut Context::from_waker(&waker);
    let submit = || drop(TaskFuture::submit(&mailbox, echo(0)));

    let mut changed = inbox.changed();
    assert!(changed.poll_unpin(cx).is_pending());
    submit();
    submit();
    assert_eq!(woken(), 1, "the second finds the executor awake");
    assert!(changed.poll_unpin(cx).is_ready());
    drop(changed);
    inbox.drain(&mut Vec::new(), &mut Vec::new());
    {
        let mut dropped = inbox.changed();
        assert!(dropped.poll_unpin(cx).is_pending());
    }
    submit();
    assert_eq!(woken(), 1, "the executor does other work");
    let mut commanded = inbox.commanded();
    assert!(commanded.poll_unpin(cx).is_pending());
    submit();
    assert_eq!(woken(), 1, "the executor has enough work");
    mailbox.command(Command::CancelMany(Vec::new()));
    assert_eq!(woken(), 2);
    assert!(commanded.poll_unpin(cx).is_ready());
}

#[test]
fn a_closed_mailbox_takes_commands_and_no_tasks() {
    let (mailbox, inbox) = Mailbox::new();
    let before = TaskFuture::submit(&mailbox, echo(0));
    inbox.close(Closed::ShutDown);
    let after = TaskFuture::submit(&mailbox, echo(1));
    assert!(after.is_done() && !before.is_done());
    assert_eq!(after.id(), TaskId(1));
    mailbox.command(Command::CancelMany(Vec::new()));
    let (mut submissions, mut commands) = (Vec::new(), Vec::new());
    inbox.drain(&mut submissions, &mut commands);
    assert_eq!((submissions.len(), commands.len()), (1, 1));
    inbox.close(Closed::Broken("no image".into()));
    inbox.close(Closed::ShutDown);
    let broken = block_on(TaskFuture::submit(&mailbox, echo(2))).unwrap_err();
    assert_eq!(
        (broken.kind(), broken.message()),
        (TaskErrorKind::PoolBroken, "no image")
    );
}

#[test]
fn a_run_that_reached_a_limit_refuses_with_it_whatever_follows() {
    let (mailbox, inbox) = Mailbox::new();
    let error = ShutdownError::DeadlinePassed {
        deadline: Duration::from_secs(3),
        unended: 2,
    };
    inbox.close(Closed::ShutDown);
    inbox.close(Closed::Limit(Arc::new(error.clone())));
    inbox.close(Closed::ShutDown);
    inbox.close(Closed::Broken("no image".into()));
    let late = block_on(TaskFuture::submit(&mailbox, echo(0))).unwrap_err();
    assert_eq!(late.kind(), TaskErrorKind::RunLimit);
    assert_eq!(late.message(), error.to_string());
    drop(inbox);
    assert_eq!(mailbox.how_it_ended(), Err(error));
}

#[test]
fn submissions_that_a_shutdown_left_in_the_mailbox_are_shut_down() {
    let (mailbox, inbox) = Mailbox::new();
    let left = TaskFuture::submit(&mailbox, echo(0));
    inbox.close(Closed::ShutDown);
    drop(inbox);
    assert_eq!(block_on(left).unwrap_err().kind(), TaskErrorKind::ShutDown);
    let (reply, answer) = tokio::sync::oneshot::channel();
    let behavior = ShutdownBehavior::default();
    mailbox.command(Command::Shutdown {
        behavior,
        done: reply,
    });
    assert!(block_on(answer).is_err(), "no executor is left to answer");
}

/// Prints the rate of submits in a release build, while the other side drains.
#[test]
fn rate_of_submits() {
    let count = if cfg!(debug_assertions) {
        20_000
    } else {
        1_000_000
    };
    for busy in [false, true] {
        let fake = Fake::new();
        let mailbox = Arc::clone(&fake.mailbox);
        let (held, thread) = if busy {
            (None, Some(fake.answer()))
        } else {
            (Some(fake), None)
        };
        let mut futures = Vec::with_capacity(count as usize);
        let start = Instant::now();
        futures.extend((0..count).map(|n| TaskFuture::submit(&mailbox, echo(n))));
        let submitted = start.elapsed();
        if let Some(thread) = thread {
            for (n, future) in (0..).zip(futures) {
                assert_eq!(block_on(future).unwrap(), n);
            }
            crate::client::map::tests::end(&mailbox, thread);
        }
        drop(held);
        let rate = |time: Duration| count as f64 / time.as_secs_f64() / 1e6;
        println!(
            "submit ({}): {:.2} M/s, all awaited {:.2} M/s",
            if busy {
                "drained meanwhile"
            } else {
                "left alone"
            },
            rate(submitted),
            rate(start.elapsed())
        );
    }
}
