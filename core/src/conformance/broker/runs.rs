//! Checks of the beginning and the end of runs in a broker, and of the leftovers that are found.

use std::time::Duration;

use super::Subject;
use super::steps::{Opened, expect, expect_nothing, facts, left_of, name, put};
use crate::broker::openers::WorkerFacts;
use crate::broker::{ClassId, Cohort, Which};

/// The least size of a message: a full batch, and the parts around it.
// A batch has 1 MiB of entries at most; its head and its MAC are far below 64 KiB.
const LEAST_MESSAGE: usize = (1 << 20) + (64 << 10);

/// Limits fit each other, podpool's messages, and the queues.
///
/// # Panics
/// When they do not.
pub async fn limits_are_sound(subject: &Subject) {
    let limits = subject.broker.limits();
    let (shortest, longest) = limits.leases;
    assert!(shortest <= limits.default_lease && limits.default_lease <= longest);
    assert!(
        limits.message_bytes >= LEAST_MESSAGE,
        "a batch does not fit"
    );
    if let Err(error) = subject.broker.check().await {
        panic!("the settings of the test are refused: {error}");
    }
    let run = Opened::new(subject).await;
    let tasks = run.tasks(ClassId::DEFAULT).limits();
    assert_eq!(tasks.lease, run.facts.lease, "the run's lease");
    assert_eq!(tasks.message_bytes, limits.message_bytes);
    run.end().await;
}

/// A lease outside of the broker's limits is an error that names the setting, and nothing is left of the run.
///
/// # Panics
/// When the run is opened.
pub async fn a_lease_out_of_bounds_is_refused(subject: &Subject) {
    let (shortest, _) = subject.broker.limits().leases;
    let mut facts = facts(subject);
    facts.lease = shortest / 2;
    let Err(error) = subject.broker.open(&facts).await else {
        panic!("a lease of {:?} was given", facts.lease);
    };
    assert!(error.to_string().contains("lease"), "{error}");
    assert_eq!(left_of(subject, &facts.run).await, []);
}

/// A worker refuses a description that it cannot read.
///
/// # Panics
/// When the description is accepted.
pub async fn nonsense_is_not_opened(subject: &Subject) {
    let worker_facts = WorkerFacts {
        class: ClassId::DEFAULT,
        place: Some((0, 0)),
        lease: subject.broker.limits().default_lease,
    };
    for body in ["", "{}", "No Such Run"] {
        let opened = subject.opener.open(body, &worker_facts).await;
        let Err(reason) = opened else {
            panic!("{body:?} was opened");
        };
        assert!(!reason.is_empty(), "a refusal says why");
    }
}

/// The queues of a cohort can be removed before its run ends, more than once, and also if they were never made.
///
/// # Panics
/// When they cannot be removed.
pub async fn a_cohort_may_be_retired_twice(subject: &Subject) {
    let run = Opened::new(subject).await;
    run.prepare(5, 2).await;
    for number in [5, 5, 6] {
        let cohort = Cohort {
            number,
            class: ClassId::DEFAULT,
            size: 2,
        };
        let retired = run.queues.retire(cohort).await;
        assert_eq!(retired, Ok(()), "cohort {number}");
    }
    // The run's own queues still work.
    put(&*run.queues.control(), &["closing"], subject.patience).await;
    run.end().await;
}

/// Two runs of one name have nothing in common: neither messages nor an end.
///
/// # Panics
/// When they have.
pub async fn runs_share_nothing(subject: &Subject) {
    let patience = subject.patience;
    let (one, other) = (Opened::new(subject).await, Opened::new(subject).await);
    let of_one = one.worker(subject, ClassId::DEFAULT, None).await;
    let of_other = other.worker(subject, ClassId::DEFAULT, None).await;
    put(&*one.tasks(ClassId::DEFAULT), &["one's"], patience).await;
    put(&*of_one.results, &["one's"], patience).await;
    expect_nothing(&*of_other.tasks, "the task is another run's").await;
    expect_nothing(&*other.queues.results(), "the result is another run's").await;
    expect(&*of_one.tasks, &["one's"], patience).await;
    one.end().await;
    put(&*other.tasks(ClassId::DEFAULT), &["other's"], patience).await;
    expect(&*of_other.tasks, &["other's"], patience).await;
    other.end().await;
}

/// The objects that a killed master leaves are found by the run, by its name, and once its deadline is over; nothing
/// else is found. They can be removed in the order in which they are found. A broker of one process leaves nothing.
///
/// # Panics
/// When something is not found, or stays.
pub async fn what_is_left_is_found(subject: &Subject) {
    let facts = facts(subject);
    let queues = match subject.broker.open(&facts).await {
        Ok(queues) => queues,
        Err(error) => panic!("run {} was not opened: {error}", facts.run),
    };
    let cohort = Cohort {
        number: 0,
        class: ClassId::DEFAULT,
        size: 1,
    };
    if let Err(reason) = queues.prepare(cohort).await {
        panic!("{reason}");
    }
    // Its master is killed.
    drop(queues);
    let left = left_of(subject, &facts.run).await;
    assert_eq!(left.is_empty(), !subject.broker.limits().processes);
    for leftover in &left {
        assert_eq!(leftover.run, facts.run, "{leftover:?}");
        assert!(!leftover.what.is_empty() && !leftover.id.is_empty());
        assert_eq!(leftover.run_name, facts.name);
        assert_eq!(leftover.deadline, Some(facts.deadline));
    }
    for (which, seconds, found) in [
        (Which::Named(name()), -1, true),
        (Which::PastDeadline, 1, true),
        (Which::PastDeadline, -1, false),
    ] {
        let second = Duration::from_secs(1);
        let now = match seconds {
            1 => facts.deadline + second,
            _ => facts.deadline - second,
        };
        let all = subject.broker.leftovers(&which, now).await;
        let all = all.unwrap_or_else(|error| panic!("{error}"));
        let own = all.iter().filter(|it| it.run == facts.run).count();
        let expected = if found { left.len() } else { 0 };
        assert_eq!(own, expected, "{which:?} at {seconds} s of the deadline");
    }
    // Twice: two calls of `gc` may remove the same object, and the second must not fail.
    for leftover in left.iter().chain(&left) {
        assert_eq!(
            subject.broker.remove(leftover).await,
            Ok(()),
            "{leftover:?}"
        );
    }
    assert_eq!(left_of(subject, &facts.run).await, []);
}

/// Everything that a run made is removed when it has ended: the queues of its cohorts too.
///
/// # Panics
/// When something is left.
pub async fn an_ended_run_leaves_nothing(subject: &Subject) {
    let run = Opened::new(subject).await;
    run.prepare(0, 2).await;
    run.prepare(1, 1).await;
    let id = run.facts.run.clone();
    put(
        &*run.tasks(ClassId::DEFAULT),
        &["never taken"],
        subject.patience,
    )
    .await;
    run.end().await;
    assert_eq!(left_of(subject, &id).await, []);
}
