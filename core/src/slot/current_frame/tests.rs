//! Tests of cancellations and reclaims that race with the next task.

use super::*;

#[derive(Default)]
struct Sent(Vec<(u64, u32, Vec<u8>)>, Vec<(u64, u32)>);

impl Uplink for Sent {
    fn results(&mut self, frame: u64, count: u32, bytes: &mut Vec<u8>) {
        self.0.push((frame, count, bytes[RESULTS_HEAD..].to_vec()));
    }

    fn reclaimed(&mut self, frame: u64, kept: u32) {
        self.1.push((frame, kept));
    }
}

fn finish(frames: &CurrentFrame<Sent>, result: &[u8]) {
    let mut bytes = empty_results();
    bytes.extend_from_slice(result);
    frames.finished(&mut bytes, Instant::now());
    assert_eq!(bytes, empty_results());
}

#[test]
fn results_of_a_frame_go_together_and_long_ones_at_once() {
    let frames = CurrentFrame::new(Sent::default());
    assert!(frames.begin(1, 3));
    finish(&frames, b"a");
    finish(&frames, b"b");
    frames.end();
    assert!(frames.begin(2, 2));
    finish(&frames, b"c");
    let long = vec![1; AT_ONCE + 1];
    finish(&frames, &long);
    let sent = frames.uplink(|sent| mem::take(&mut sent.0));
    assert_eq!(
        sent,
        [(1, 2, b"ab".to_vec()), (2, 1, b"c".to_vec()), (2, 1, long)]
    );
}

#[test]
fn a_revocation_is_answered_before_while_and_after_a_frame_runs() {
    let frames = CurrentFrame::new(Sent::default());
    frames.reclaim(2);
    assert!(frames.begin(1, 3));
    assert!(matches!(frames.claim(TaskId(1), Attempt(1)), Claim::Run(_)));
    frames.reclaim(1);
    assert!(matches!(
        frames.claim(TaskId(2), Attempt(1)),
        Claim::Reclaimed
    ));
    frames.end();
    frames.reclaim(1);
    assert!(!frames.begin(2, 3));
    assert!(frames.begin(3, 1));
    frames.reclaim(2);
    let answers = frames.uplink(|sent| mem::take(&mut sent.1));
    assert_eq!(answers, [(2, 0), (1, 1), (1, u32::MAX), (2, u32::MAX)]);
}

#[test]
fn a_cancellation_reaches_its_task_only() {
    let frames = CurrentFrame::new(Sent::default());
    frames.cancel(1, TaskId(2), Attempt(1));
    assert!(frames.begin(1, 3));
    let Claim::Run(token) = frames.claim(TaskId(1), Attempt(1)) else {
        panic!("the first task runs");
    };
    frames.cancel(1, TaskId(1), Attempt(2));
    frames.cancel(2, TaskId(1), Attempt(1));
    assert!(!token.is_cancelled());
    frames.cancel(1, TaskId(1), Attempt(1));
    assert!(token.is_cancelled());
    assert!(matches!(
        frames.claim(TaskId(2), Attempt(1)),
        Claim::Cancelled
    ));
    assert!(matches!(frames.claim(TaskId(2), Attempt(1)), Claim::Run(_)));
}

#[test]
fn a_cancellation_that_comes_late_does_not_meet_the_next_execution() {
    let frames = CurrentFrame::new(Sent::default());
    let task = (TaskId(1), Attempt(1));
    let claim = |frames: &CurrentFrame<Sent>| frames.claim(task.0, task.1);
    assert!(frames.begin(1, 1));
    assert!(matches!(claim(&frames), Claim::Run(_)));
    frames.end();
    frames.cancel(1, task.0, task.1);
    assert!(
        lock(&frames.current).cancelled.is_empty(),
        "nothing to keep"
    );
    assert!(frames.begin(2, 1));
    frames.cancel(1, task.0, task.1);
    let Claim::Run(token) = claim(&frames) else {
        panic!("the cancellation was meant for frame 1");
    };
    frames.cancel(1, task.0, task.1);
    assert!(!token.is_cancelled());
    // One that its frame never used up goes with it.
    frames.cancel(2, TaskId(9), Attempt(1));
    frames.end();
    assert!(frames.begin(3, 1));
    assert!(lock(&frames.current).cancelled.is_empty());
    assert!(matches!(frames.claim(TaskId(9), Attempt(1)), Claim::Run(_)));
}
