//! Tests of the life of a run.

use super::*;

const WAIT: ShutdownBehavior = ShutdownBehavior::WaitForTasks;

#[test]
fn an_aborted_run_never_has_the_state_of_one_that_ended() {
    let mut life = Life::default();
    assert_eq!(life.run_state(0), None);
    life.shut_down(WAIT);
    assert_eq!(life.run_state(1), Some(RunState::Closing));
    assert_eq!(life.run_state(0), Some(RunState::Ended));
    life.shut_down(ShutdownBehavior::Abort);
    life.shut_down(WAIT);
    assert_eq!(life.run_state(1), Some(RunState::Aborted));
    assert_eq!(life.run_state(0), Some(RunState::Aborted));
    let mut broken = Life::default();
    assert!(broken.breach(Breach::Broken, "no pod starts"));
    assert_eq!(broken.run_state(0), Some(RunState::Aborted));
}

#[test]
fn the_first_reason_stays_and_another_master_outranks_it() {
    let mut life = Life::default();
    assert!(life.breach(Breach::Broken, "first"));
    assert!(!life.breach(Breach::Broken, "second"));
    let reason = "first".to_owned();
    assert_eq!(life.outcome(), Err(ShutdownError::Broken { reason }));
    assert!(!life.is_shared());
    let by = RunId::new("older").unwrap();
    assert!(life.breach(Breach::NamesInUse(by.clone()), "third"));
    assert_eq!(life.outcome(), Err(ShutdownError::NamesInUse { by }));
    assert!(life.breach(Breach::Superseded(7), "fourth"));
    assert!(!life.breach(Breach::Superseded(8), "fifth"));
    let superseded = ShutdownError::Superseded { epoch: 7 };
    assert_eq!(life.outcome(), Err(superseded));
    assert_eq!(life.broken(), Some("first"));
    assert!(life.is_superseded() && life.is_shared());
    assert_eq!(life.run_state(0), None, "the run goes on elsewhere");
}

#[test]
fn a_limit_ends_a_run_as_a_breach_does() {
    let error = ShutdownError::DeadlinePassed {
        deadline: std::time::Duration::from_secs(1),
        unended: 0,
    };
    let limit = || Breach::Limit(Arc::new(error.clone()));
    let mut life = Life::default();
    assert_eq!(life.error_of_tasks(), None);
    assert!(life.breach(limit(), "the deadline"));
    assert!(!life.breach(Breach::Broken, "later"));
    assert_eq!(life.outcome(), Err(error.clone()));
    assert_eq!(life.run_state(0), Some(RunState::Aborted));
    let tasks = Some((TaskErrorKind::RunLimit, "the deadline"));
    assert_eq!(life.error_of_tasks(), tasks);
    // The master that took the run over has the tasks, and those that ended by the limit keep their error.
    assert!(life.breach(Breach::Superseded(7), "another master"));
    assert_eq!(life.error_of_tasks(), tasks);
    let mut broken = Life::default();
    assert!(broken.breach(Breach::Broken, "first"));
    assert!(!broken.breach(limit(), "the deadline"));
    let tasks = Some((TaskErrorKind::PoolBroken, "first"));
    assert_eq!(broken.error_of_tasks(), tasks);
}

#[test]
fn a_run_is_over_when_it_was_shut_down_and_nothing_is_left() {
    let mut life = Life::default();
    assert!(!life.fleet_ended(Vec::new()), "it had no order to end");
    assert!(life.is_ending() && !life.is_over(0));
    let mut life = Life::default();
    life.shut_down(WAIT);
    life.end_fleet();
    assert!(!life.is_over(0));
    assert!(life.fleet_ended(vec!["a Job".to_owned(), "a Secret".to_owned()]));
    assert!(life.is_over(0) && !life.is_over(1));
    let what = "a Job; a Secret".to_owned();
    assert_eq!(life.outcome(), Err(ShutdownError::Leftover { what }));
    let mut aborted = Life::default();
    aborted.shut_down(ShutdownBehavior::Abort);
    assert!(aborted.fleet_ended(Vec::new()));
    assert_eq!(aborted.outcome(), Ok(()));
}
