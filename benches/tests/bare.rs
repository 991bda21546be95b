//! The reference pool answers every task with its own payload, whatever its size, and reports when a child is gone.

use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use podpool_benches::bare::BarePool;

const PROGRAM: &str = env!("CARGO_BIN_EXE_scoreboard");

/// Fails when `work` takes longer than ten seconds: a pool that hangs must not hang the tests.
fn bounded(work: impl FnOnce() + Send + 'static) {
    let (done, wait) = channel();
    let worker = std::thread::spawn(move || {
        work();
        // The receiver is gone only where the test has failed already.
        let _gone = done.send(());
    });
    // A panic of the thread drops the sender, and the receive then fails at once and not by the time-out.
    let ended = wait.recv_timeout(Duration::from_secs(10));
    assert_ne!(ended, Err(RecvTimeoutError::Timeout), "the pool hangs");
    if let Err(panic) = worker.join() {
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn every_answer_has_its_own_payload_far_past_the_window() {
    bounded(|| {
        let mut pool = BarePool::start(Path::new(PROGRAM), 2, 4).unwrap();
        let futures: Vec<_> = (0..5_000u32)
            .map(|i| pool.submit(i.to_le_bytes().to_vec()))
            .collect();
        for (i, future) in (0..5_000u32).zip(futures) {
            assert_eq!(future.wait().unwrap(), i.to_le_bytes());
        }
    });
}

#[test]
fn payloads_larger_than_a_pipe_pass_among_small_and_empty_ones() {
    bounded(|| {
        let mut pool = BarePool::start(Path::new(PROGRAM), 2, 64).unwrap();
        let payloads: Vec<Vec<u8>> = (0..60u8)
            .map(|i| vec![i; [0, 3, 65_532, 65_536, 1 << 20][usize::from(i) % 5]])
            .collect();
        let futures: Vec<_> = payloads.iter().map(|p| pool.submit(p.clone())).collect();
        for (payload, future) in payloads.iter().zip(futures) {
            assert!(future.wait().unwrap() == *payload);
        }
    });
}

#[test]
fn a_child_that_ends_fails_its_futures() {
    bounded(|| {
        // The program `true` exits at once, without a read of its input.
        let mut pool = BarePool::start(Path::new("true"), 1, 4).unwrap();
        for _ in 0..10 {
            let error = pool.submit(vec![1]).wait().unwrap_err().to_string();
            assert!(error.contains("ended before it answered"), "{error}");
        }
    });
}
