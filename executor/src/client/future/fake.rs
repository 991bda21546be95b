//! For tests: a task that is never run, an executor that a test drives by hand, and a bounded `block_on`.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use podpool_core::codec;
use podpool_core::id::Attempt;
use podpool_core::json::JsonCodec;
use podpool_core::outcome::{Cause, Failure};
use podpool_core::signature::{Parameter, Signature};
use podpool_core::task::{Body, Call, TaskOptions, TaskSpec};

use crate::client::future::TaskFuture;
use crate::client::map::Submit;
use crate::error::{AttemptReport, Subject, TaskError, TaskErrorKind};
use crate::master::cell::{CellGuard, Output, Wakers};
use crate::master::command::Command;
use crate::master::mailbox::{Inbox, Mailbox, Submission};
use crate::master::measured::Pace;

/// A test that waits longer hangs.
const BOUND: Duration = Duration::from_secs(30);

pub(crate) static TASK: TaskSpec = TaskSpec {
    name: "tests::echo",
    version: None,
    file: file!(),
    line: line!(),
    signature: Signature {
        parameters: &[Parameter::new("n", "")],
        json: JsonCodec::of::<(u64,), u64>(),
        ..Signature::EMPTY
    },
    options: TaskOptions::DEFAULT,
    body: Body::Sync(|_, arguments, output| {
        output.extend_from_slice(arguments);
        Ok(())
    }),
    shape: || Ok(podpool_core::shape::Shape(String::new())),
    traced: OnceLock::new(),
    index: OnceLock::new(),
};

/// A call that the fake executor answers with its argument.
pub(crate) fn echo(n: u64) -> Call<u64> {
    Call::new(&TASK, &(n,))
}

/// The executor's side, driven by the test.
#[derive(Debug)]
pub(crate) struct Fake {
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) inbox: Inbox,
    /// The submitted tasks that have not ended, by number.
    pub(crate) tasks: Vec<Option<Submission>>,
    pub(crate) commands: Vec<Command>,
}

impl Fake {
    pub(crate) fn new() -> Self {
        let (mailbox, inbox) = Mailbox::new();
        Self {
            mailbox,
            inbox,
            tasks: Vec::new(),
            commands: Vec::new(),
        }
    }

    pub(crate) fn submit(&self, n: u64) -> TaskFuture<u64> {
        TaskFuture::submit(&self.mailbox, echo(n))
    }

    pub(crate) fn submit_with_key(&self, n: u64, key: &str) -> TaskFuture<u64> {
        TaskFuture::submit(&self.mailbox, echo(n).key(key))
    }

    pub(crate) fn submit_many(&self, count: u64) -> Vec<TaskFuture<u64>> {
        (0..count).map(|n| self.submit(n)).collect()
    }

    /// Takes everything out of the mailbox.
    pub(crate) fn pump(&mut self) {
        let mut submissions = Vec::new();
        while self.inbox.drain(&mut submissions, &mut self.commands) {}
        self.tasks.extend(submissions.into_iter().map(Some));
    }

    fn take(&mut self, id: usize) -> Submission {
        self.pump();
        self.tasks[id].take().expect("a task ends once")
    }

    /// Ends a task with its argument.
    pub(crate) fn finish(&mut self, id: usize) {
        let submission = self.take(id);
        settle_echo(&submission, &mut Wakers::default());
    }

    /// Takes a task out, for the test to settle.
    pub(crate) fn cell(&mut self, id: usize) -> CellGuard {
        self.take(id).cell
    }

    /// Ends a task with an error.
    pub(crate) fn fail(&mut self, id: usize, kind: TaskErrorKind) {
        let submission = self.take(id);
        let error = TaskError::new(kind, submission.cell.subject(), "as the test wants it");
        submission.cell.settle(Err(error), &mut Wakers::default());
    }

    /// The numbers of the tasks that the last command cancels.
    pub(crate) fn cancelled(&mut self) -> Vec<u64> {
        self.pump();
        match self.commands.pop() {
            Some(Command::CancelMany(cells)) => cells.iter().map(|cell| cell.id().0).collect(),
            other => panic!("not a cancel of many: {other:?}"),
        }
    }

    /// A pool for maps.
    pub(crate) fn pool(&self, slots: usize, typical: Option<Duration>) -> Box<dyn Submit> {
        Box::new(Pool {
            mailbox: Arc::clone(&self.mailbox),
            slots,
            typical,
        })
    }

    /// Answers every submission on a thread of its own, in batches, until the mailbox receives a shutdown.
    pub(crate) fn answer(mut self) -> JoinHandle<()> {
        thread::spawn(move || {
            let mut submissions = Vec::new();
            loop {
                block_on(self.inbox.changed());
                self.inbox.drain(&mut submissions, &mut self.commands);
                let mut wakers = Wakers::default();
                submissions
                    .drain(..)
                    .for_each(|submission| settle_echo(&submission, &mut wakers));
                let ends = |command: &Command| matches!(command, Command::Shutdown { .. });
                if self.commands.drain(..).any(|command| ends(&command)) {
                    return;
                }
            }
        })
    }
}

fn settle_echo(submission: &Submission, wakers: &mut Wakers) {
    let result = bytes::Bytes::copy_from_slice(&submission.arguments);
    submission.cell.settle(Ok(result.into()), wakers);
}

/// The report of a first attempt that failed.
pub(crate) fn report(message: &str) -> AttemptReport {
    AttemptReport::new(Attempt::FIRST, Failure::new(Cause::Failed, message))
}

/// An error of no particular task.
pub(crate) fn error(kind: TaskErrorKind) -> TaskError {
    let subject = Subject {
        task: "tests::echo",
        id: None,
        key: None,
    };
    TaskError::new(kind, subject, "as the test wants it")
}

/// Bytes that are no `u64`.
pub(crate) fn garbage() -> Output {
    bytes::Bytes::from(codec::encode("not a number").expect("strings encode")).into()
}

struct Pool {
    mailbox: Arc<Mailbox>,
    slots: usize,
    typical: Option<Duration>,
}

impl Submit for Pool {
    fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    fn slots(&self) -> usize {
        self.slots
    }

    fn typical(&self, _: &'static TaskSpec) -> Option<Duration> {
        self.typical
    }

    fn pace(&self) -> Pace {
        Pace::default()
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on this thread without any runtime. One that hangs fails the test.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    let start = Instant::now();
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        let left = BOUND.checked_sub(start.elapsed());
        thread::park_timeout(left.expect("the future hangs"));
    }
}
