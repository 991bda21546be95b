//! Tests of notices about attempts and queues.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use podpool_core::queue::QueueLimits;
use podpool_core::queue::memory::MemoryQueue;
use podpool_core::worker::Queues;

use super::super::RunningDispatch;
use super::super::fake::{Mute, idle};
use super::*;
use crate::master::command::ShutdownBehavior;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_first_failure_is_reported_at_once_and_those_after_it_together() {
    let start = Instant::now();
    let mut retries = Retries::default();
    let soon = || "; again soon".to_owned();
    retries.failed(start, Cause::Failed, || "a".to_owned(), soon);
    assert_eq!(retries.take(), ["a; again soon"]);
    assert_eq!(retries.deadline(), None, "nothing is held");
    for (n, line) in ["b", "c", "d"].into_iter().enumerate() {
        retries.failed(
            start + SECOND * n as u32,
            Cause::Failed,
            || line.to_owned(),
            soon,
        );
    }
    assert_eq!(retries.take(), [""; 0]);
    let until = retries.deadline().unwrap();
    assert_eq!(until, start + TOGETHER);
    retries.on_tick(until);
    assert_eq!(
        retries.take(),
        [
            "b; 2 more attempts failed like it in the 5s before this line, and their tasks were tried again"
        ]
    );
    retries.failed(until + SECOND, Cause::Failed, || "e".to_owned(), soon);
    retries.on_tick(until + TOGETHER);
    assert_eq!(retries.take(), ["e"]);
    retries.on_tick(until + 2 * TOGETHER);
    retries.failed(until + 3 * TOGETHER, Cause::Failed, || "f".to_owned(), soon);
    assert_eq!(retries.take(), ["f; again soon"], "at once after a pause");
}

#[test]
fn each_cause_has_lines_of_its_own_and_the_end_reports_what_is_held() {
    let start = Instant::now();
    let mut retries = Retries::default();
    let soon = || "; again soon".to_owned();
    for line in ["a", "b", "c"] {
        retries.failed(start, Cause::Failed, || line.to_owned(), soon);
    }
    retries.failed(start, Cause::Crashed, || "crash".to_owned(), soon);
    assert_eq!(retries.take(), ["a; again soon", "crash; again soon"]);
    retries.end();
    let lines = retries.take();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].starts_with("b; 1 more attempts failed"),
        "{lines:?}"
    );
    retries.end();
    retries.on_tick(start + TOGETHER);
    assert_eq!(retries.take(), [""; 0], "once");
}

#[test]
fn a_queue_is_reported_after_some_seconds_of_refusals_and_when_it_answers() {
    let start = Instant::now();
    let mut queue = QueueTrouble::new("the tasks' queue", "takes nothing");
    let reason = "connection refused".to_owned();
    let refusing = Refusing::of_pulls((start, &reason));
    let refusing = Some(&refusing);
    let timeout = 600 * SECOND;
    assert_eq!(queue.deadline(refusing), Some(start + PATIENCE));
    assert_eq!(queue.look(start + SECOND, refusing, timeout), None);
    let told = queue.look(start + 6 * SECOND, refusing, timeout).unwrap();
    let expected = "the tasks' queue takes nothing for 6 s: connection refused; it is tried again, and given up in 594 s";
    assert_eq!(told, QueueNotice::Trouble(expected.to_owned()));
    assert_eq!(queue.deadline(refusing), None);
    assert_eq!(queue.look(start + 30 * SECOND, refusing, timeout), None);
    let expected = "the tasks' queue answers again after 42 s";
    let ended = queue.look(start + 42 * SECOND, None, timeout).unwrap();
    assert_eq!(ended, QueueNotice::Relief(expected.to_owned()));
    assert_eq!(queue.look(start + 43 * SECOND, None, timeout), None);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_does_not_answer_is_reported_before_its_calls_fail() {
    let mut publisher = Publisher::<()>::new(Arc::new(Mute));
    let mut queue = QueueTrouble::new("the control queue", "takes nothing");
    let timeout = 600 * SECOND;
    assert!(Refusing::of_puts(&publisher).is_none(), "nothing is put");
    publisher.push(Bytes::new(), None);
    assert!(publisher.next().now_or_never().is_none());
    let sent = Instant::now();
    let waits = Refusing::of_puts(&publisher);
    assert_eq!(queue.deadline(waits.as_ref()), Some(sent + SILENCE));
    assert_eq!(queue.look(sent + 9 * SECOND, waits.as_ref(), timeout), None);
    let told = queue.look(sent + 10 * SECOND, waits.as_ref(), timeout);
    let expected = "the control queue takes nothing for 10 s: it has not answered so far; it is tried again, and given up in 590 s";
    assert_eq!(told, Some(QueueNotice::Trouble(expected.to_owned())));
    // The queue answered meanwhile, and the next message is under way.
    let reason = String::new();
    let next = Refusing::of_pulls((sent + 12 * SECOND, &reason));
    let told = queue.look(sent + 13 * SECOND, Some(&next), timeout);
    let expected = "the control queue answers again after 13 s";
    assert_eq!(told, Some(QueueNotice::Relief(expected.to_owned())));
}

#[tokio::test(start_paused = true)]
async fn once_the_run_ends_a_queue_that_does_not_answer_sets_no_deadline() {
    let memory = || Arc::new(MemoryQueue::new("q", QueueLimits::new(1 << 20, SECOND)));
    let queues = Queues {
        tasks: memory(),
        results: memory(),
        control: Arc::new(Mute),
    };
    let (_mailbox, _fleet, _orders, dispatch) = idle(queues);
    let mut running = RunningDispatch::new(dispatch);
    running.control.push(Bytes::new(), None);
    assert!(running.control.next().now_or_never().is_none());
    assert!(running.outage_deadline().is_some());
    running.state.shut_down(ShutdownBehavior::WaitForTasks);
    running.state.conclude(Instant::now());
    assert_eq!(running.outage_deadline(), None);
}

#[test]
fn of_a_long_message_the_first_line_is_printed() {
    assert_eq!(brief("one\ntwo"), "one");
    assert_eq!(brief(""), "");
    let long = "é".repeat(300);
    assert_eq!(brief(&long).chars().count(), MESSAGE + 1);
}
