//! Tests of the budgets of a task.

use super::*;

fn judge(policy: &Policy, causes: &[Cause]) -> Decision {
    let mut spent = Spent::default();
    causes
        .iter()
        .map(|cause| {
            decide(
                policy,
                &mut spent,
                Ended::Reported(&Failure::new(*cause, "x")),
                0.0,
            )
        })
        .last()
        .unwrap()
}

#[test]
fn failures_spend_the_retries_and_back_off() {
    let policy = Policy::new(2, Backoff::DEFAULT);
    let retry = |seconds| Decision::Retry {
        after: Duration::from_secs(seconds),
        alone: false,
    };
    assert_eq!(judge(&policy, &[Cause::Failed]), retry(1));
    assert_eq!(judge(&policy, &[Cause::Failed, Cause::Panicked]), retry(2));
    assert_eq!(
        judge(&policy, &[Cause::Failed, Cause::Panicked, Cause::TimedOut]),
        Decision::GiveUp
    );
}

#[test]
fn a_permanent_failure_is_not_retried() {
    let failure = Failure {
        retryable: false,
        ..Failure::new(Cause::Failed, "x")
    };
    let policy = Policy::new(9, Backoff::DEFAULT);
    assert_eq!(
        decide(
            &policy,
            &mut Spent::default(),
            Ended::Reported(&failure),
            0.0
        ),
        Decision::GiveUp
    );
}

#[test]
fn causes_have_budgets_of_their_own() {
    let policy = Policy::new(0, Backoff::DEFAULT);
    let retry = |alone| Decision::Retry {
        after: Duration::ZERO,
        alone,
    };
    let mixed = [Cause::Crashed, Cause::OutOfMemory, Cause::Crashed];
    assert_eq!(judge(&policy, &mixed), retry(false));
    assert_eq!(judge(&policy, &[Cause::Crashed; 3]), Decision::GiveUp);
    assert_eq!(judge(&policy, &[Cause::OutOfMemory; 2]), Decision::GiveUp);
    assert_eq!(judge(&policy, &[Cause::Suspect; 50]), retry(true));
    let proven = [Cause::Suspect, Cause::Crashed].repeat(3);
    assert_eq!(judge(&policy, &proven[..4]), retry(false));
    assert_eq!(judge(&policy, &proven[..5]), retry(true));
    assert_eq!(judge(&policy, &proven), Decision::GiveUp);
    assert_eq!(judge(&policy, &[Cause::Interrupted; 50]), Decision::Wait);
}

#[test]
fn every_backoff_gives_a_delay_within_its_bound() {
    let ends = [Duration::ZERO, Duration::from_secs(3), Duration::MAX];
    let factors = [f32::NAN, -2.0, 0.0, 1.0, 2.0, f32::MAX, f32::INFINITY];
    for (initial, max) in ends.into_iter().flat_map(|i| ends.map(|max| (i, max))) {
        for factor in factors {
            let backoff = Backoff {
                initial,
                max,
                factor,
            };
            for (failures, jitter) in [(0, 0.0), (1, 0.5), (9_999, 1.0), (u32::MAX, f32::NAN)] {
                let delay = delay(&backoff, failures, jitter);
                assert!(delay <= max, "{backoff:?}, {failures}: {delay:?}");
                let none = initial.is_zero() || max.is_zero();
                assert_eq!(delay.is_zero(), none, "{backoff:?}, {failures}: {delay:?}");
            }
        }
    }
    let shrinking = Backoff {
        factor: 0.5,
        ..Backoff::DEFAULT
    };
    assert_eq!(delay(&shrinking, 9, 0.0), shrinking.initial);
}

#[test]
fn delays_are_bounded_whatever_the_count() {
    for failures in [0, 1, 10, 1000, u32::MAX] {
        let longest = delay(&Backoff::DEFAULT, failures, 0.0);
        assert!(longest <= Duration::from_secs(60));
        assert!(delay(&Backoff::DEFAULT, failures, 1.0) >= longest / 2 - Duration::from_millis(1));
    }
}

fn lose(policy: &Policy, losses: &[(Blame, Cause, bool)]) -> Vec<Decision> {
    let mut spent = Spent::default();
    let ended = losses.iter().map(|(blame, cause, fresh)| Ended::Lost {
        blame: *blame,
        cause: *cause,
        fresh: *fresh,
    });
    ended
        .map(|ended| decide(policy, &mut spent, ended, 0.0))
        .collect()
}

#[test]
fn a_worker_that_ends_with_one_task_is_charged_to_that_task() {
    let policy = Policy::new(9, Backoff::DEFAULT);
    let died = (Blame::Charged, Cause::Crashed, true);
    let wait = Decision::Wait;
    assert_eq!(lose(&policy, &[died; 3]), [wait, wait, Decision::GiveUp]);
    let memory = (Blame::Charged, Cause::OutOfMemory, true);
    assert_eq!(lose(&policy, &[memory; 2]), [wait, Decision::GiveUp]);
    let suspect = (Blame::Suspect, Cause::Suspect, true);
    assert_eq!(lose(&policy, &[suspect; 200]), [Decision::ALONE; 200]);
    // Budgets of slots and of workers are apart.
    let mut spent = Spent::default();
    for _ in 0..2 {
        let crashed = Failure::new(Cause::Crashed, "x");
        let ended = Ended::Reported(&crashed);
        assert_eq!(decide(&policy, &mut spent, ended, 0.0), Decision::AT_ONCE);
    }
    let (blame, cause, fresh) = died;
    let ended = Ended::Lost {
        blame,
        cause,
        fresh,
    };
    assert_eq!(decide(&policy, &mut spent, ended, 0.0), wait);
}

#[test]
fn a_task_that_is_lost_again_and_again_runs_alone_each_fifth_time_and_ends_with_the_hundredth() {
    let policy = Policy::new(0, Backoff::DEFAULT);
    let decisions = lose(&policy, &[(Blame::None, Cause::Interrupted, true); 100]);
    for (number, decision) in (1..).zip(&decisions) {
        let expected = match number {
            100 => Decision::GiveUp,
            _ if number % 5 == 0 => Decision::ALONE,
            _ => Decision::Wait,
        };
        assert_eq!(*decision, expected, "{number}");
    }
    let told_twice = (Blame::None, Cause::Interrupted, false);
    assert_eq!(lose(&policy, &[told_twice; 200]), [Decision::Wait; 200]);
    assert_eq!(judge(&policy, &[Cause::Broken; 99]), Decision::AT_ONCE);
    assert_eq!(judge(&policy, &[Cause::Broken; 100]), Decision::GiveUp);
}
