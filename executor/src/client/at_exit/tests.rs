//! Tests of the wait at the end of `main`.

use std::time::Instant;

use super::*;

const SHORT: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(20);

fn runs() -> &'static Runs {
    Box::leak(Box::new(Runs::new()))
}

#[test]
fn without_executors_there_is_no_wait() {
    let runs = runs();
    let (mailbox, _inbox) = Mailbox::new();
    drop(runs.begin(&mailbox));
    let began = Instant::now();
    runs.end(LONG);
    assert!(began.elapsed() < LONG);
}

#[test]
fn an_executor_is_shut_down_and_waited_for() {
    let runs = runs();
    let (mailbox, inbox) = Mailbox::new();
    let present = runs.begin(&mailbox);
    let other = runs.begin(&Mailbox::new().0);
    let executor = std::thread::spawn(move || {
        let (mut submissions, mut commands) = (Vec::new(), Vec::new());
        while commands.is_empty() {
            inbox.drain(&mut submissions, &mut commands);
            std::thread::yield_now();
        }
        drop((present, other));
        commands
    });
    let began = Instant::now();
    runs.end(LONG);
    assert!(began.elapsed() < LONG);
    let commands = executor.join().unwrap();
    assert!(matches!(
        commands[..],
        [Command::Shutdown {
            behavior: ShutdownBehavior::Abort,
            ..
        }]
    ));
}

#[test]
fn an_executor_that_hangs_is_not_waited_for_forever() {
    let runs = runs();
    let (mailbox, _inbox) = Mailbox::new();
    let _present = runs.begin(&mailbox);
    let began = Instant::now();
    runs.end(SHORT);
    assert!(began.elapsed() >= SHORT);
}
